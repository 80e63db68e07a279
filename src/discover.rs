//! Finds servers that nobody has written down yet: at an address, or in a registry.
//!
//! Stands between `config` and `crawl`, and asks `crawl` what an address offers.
//!
//! Invariant: what a remote document says is data. An address in it is asked only if the guard of
//! `auth` lets it through; a command in it is never run, only shown to someone at the command line
//! who may have it written into a local file; its texts go to a terminal or a file as one line of
//! visible characters.

pub mod documents;
pub mod entry;
pub mod fetch;
pub mod follow;
pub mod input;
pub mod name;
mod probe;
pub mod registry;
pub mod server;
pub mod well_known;

pub use probe::State;

/// `text` in one line of visible characters, cut to `max` bytes.
pub fn one_line(text: &str, max: usize) -> String {
    let visible = |c: char| match c {
        c if c.is_whitespace() || c.is_control() => Some(' '),
        // What turns text around, hides it, or writes it invisibly.
        '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}' => None,
        c => Some(c),
    };
    let mut line = String::with_capacity(text.len().min(max));
    for c in text.chars().filter_map(visible) {
        if c == ' ' && (line.is_empty() || line.ends_with(' ')) {
            continue;
        }
        if line.len() + c.len_utf8() > max {
            line.push('…');
            return line;
        }
        line.push(c);
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_nothing_that_moves_or_hides() {
        assert_eq!(one_line("  a\u{1b}[31m\nb\t\tc\u{202e}d\u{200b}e ", 100), "a [31m b cde");
        assert_eq!(one_line("ééé", 4), "éé…");
        assert_eq!(one_line("abcd", 4), "abcd");
        assert_eq!(one_line("", 4), "");
    }
}
