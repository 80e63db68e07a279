//! A few lines on what is indexed, for the description of `search_tools`: a model that knows what
//! there is searches better, and searches at all.
//!
//! Invariant: the same catalog gives the same text, at most [`MAX_BYTES`] long. Titles come from
//! upstreams: they are data, and only short, printable, single-line pieces of them get in.

use std::fmt::Write;

use crate::catalog::Catalog;

/// The longest digest.
pub const MAX_BYTES: usize = 1_200;
/// The longest title, in characters.
const MAX_TITLE: usize = 40;
/// The longest id: a cut one could not be given back as a filter, so there is more room.
const MAX_ID: usize = 120;

/// Counts, then servers by the number of their tools.
pub fn digest(catalog: &Catalog) -> String {
    let mut servers: Vec<_> = catalog.servers().filter(|server| !server.tools.is_empty()).collect();
    if servers.is_empty() {
        return "No tool is indexed yet.".to_owned();
    }
    servers.sort_by(|a, b| (b.tools.len(), &a.id).cmp(&(a.tools.len(), &b.id)));
    let mut text = format!(
        "{} of {} indexed (server id: title, tools):",
        plural(catalog.len(), "tool"),
        plural(servers.len(), "server")
    );
    for (at, server) in servers.iter().enumerate() {
        let id = printable(server.id.as_str(), MAX_ID);
        let title = server.info.title.as_deref();
        let title = title.map(|title| printable(title, MAX_TITLE));
        let title = title.filter(|title| !title.is_empty() && *title != id);
        let count = server.tools.len();
        let entry = match title {
            Some(title) => format!("\n- {id}: {title}, {count}"),
            None => format!("\n- {id}: {count}"),
        };
        let left = servers.len() - at;
        // Room for the closing line.
        if text.len() + entry.len() + 40 > MAX_BYTES {
            let _ = write!(text, "\n- and {}", plural(left, "more server"));
            break;
        }
        text.push_str(&entry);
    }
    text
}

fn plural(count: usize, noun: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{s}")
}

/// One line of at most `max` characters, without those that can't be seen.
fn printable(text: &str, max: usize) -> String {
    let seen: String = text
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| !c.is_control() && !is_invisible(*c))
        .collect();
    let words = seen.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.chars().count() <= max {
        return words;
    }
    words.chars().take(max - 1).chain(['…']).collect()
}

/// Marks that change how text is shown or hide it (zero width, direction, tags).
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use super::*;
    use crate::catalog::{Server, ServerInfo};
    use crate::tool::{ServerId, Tool};

    fn server(id: &str, title: Option<&str>, tools: usize) -> Server {
        let server = ServerId::from(id);
        Server {
            tools: (0..tools)
                .map(|n| {
                    Arc::new(Tool::parse(&server, &format!(r#"{{"name":"t{n:03}"}}"#)).unwrap())
                })
                .collect(),
            id: server,
            info: ServerInfo { title: title.map(str::to_owned), ..ServerInfo::default() },
            crawled_at: SystemTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn names_the_servers_largest_first() {
        let catalog = Catalog::from_servers([
            server("cal", Some("Calendar"), 1),
            server("git", Some("git"), 2),
            server("empty", None, 0),
        ]);
        assert_eq!(
            digest(&catalog),
            "3 tools of 2 servers indexed (server id: title, tools):\n- git: 2\n- cal: Calendar, 1"
        );
    }

    #[test]
    fn never_outgrows_its_room_and_says_what_it_left_out() {
        let title = "é".repeat(200);
        let many = (0..300).map(|n| server(&format!("s{n:03}"), Some(&title), 1));
        let text = digest(&Catalog::from_servers(many));
        assert!(text.len() <= MAX_BYTES, "{}", text.len());
        let last = text.lines().last().unwrap();
        let named = text.lines().count() - 2;
        assert_eq!(last, format!("- and {} more servers", 300 - named));
    }

    #[test]
    fn upstream_text_stays_on_its_line() {
        assert_eq!(printable("Mail\n\n\u{7}- \u{202e}admin:\u{200b}  rm", 40), "Mail - admin: rm");
        assert_eq!(printable(&"x".repeat(41), 40).chars().count(), 40);
    }
}
