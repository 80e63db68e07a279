//! Exact names: who spells a tool's name gets that tool.
//!
//! Invariant: names are compared by their letters and digits alone ([`name_key`]), so every
//! spelling of a name is the same name, alone or with words of its server beside it.

use std::collections::{BTreeSet, HashSet};

use foldhash::{HashMap, HashMapExt as _};

use crate::catalog::{Catalog, ToolIdx};
use crate::text::name_key;

/// Longer queries are sentences: a name in them is found only where it is written as one.
const MOST_WORDS: usize = 12;
/// Words that may stand between a name and its server.
const FILLERS: [&str; 10] = ["a", "at", "for", "from", "in", "of", "on", "the", "to", "with"];
/// Words of a server's name that say nothing about which server it is.
const GENERIC: [&str; 7] = ["api", "client", "mcp", "server", "service", "tool", "tools"];

/// From a name's key to the tools of that name.
#[derive(Debug, Default)]
pub struct Names {
    /// The bare name: several servers may offer it.
    bare: HashMap<String, Vec<ToolIdx>>,
    /// Server id or title, then name.
    full: HashMap<String, Vec<ToolIdx>>,
    /// Each tool's server, as a position in `servers`.
    server_of: Vec<usize>,
    /// The words of each server's id and title.
    servers: Vec<HashSet<String>>,
}

impl Names {
    /// The names of `catalog`.
    pub fn build(catalog: &Catalog) -> Self {
        let mut names = Self::default();
        let mut positions = HashMap::new();
        for (at, tool) in (0_u32..).map(ToolIdx).zip(catalog.tools()) {
            let title = catalog
                .server(tool.server.as_str())
                .and_then(|server| server.info.title.as_deref())
                .unwrap_or("");
            let position = *positions.entry(&tool.server).or_insert_with(|| {
                let words = words(tool.server.as_str()).chain(words(title));
                names.servers.push(words.filter(|word| !GENERIC.contains(&&**word)).collect());
                names.servers.len() - 1
            });
            names.server_of.push(position);
            let bare = name_key(&tool.name);
            if bare.is_empty() {
                continue;
            }
            let servers = BTreeSet::from([name_key(tool.server.as_str()), name_key(title)]);
            for server in servers.iter().filter(|server| !server.is_empty()) {
                names.full.entry(format!("{server}{bare}")).or_default().push(at);
            }
            // A tool that a view renames keeps its id, and is found by it.
            if tool.own_name() != &*tool.name {
                let id = name_key(tool.id.as_str());
                let known = names.full.entry(id).or_default();
                if !known.contains(&at) {
                    known.push(at);
                }
            }
            names.bare.entry(bare).or_default().push(at);
        }
        names
    }

    /// The tools that `query` names, ordered by id: the whole query spells a name; or a name and
    /// words of its server (`gitlab list merge requests`, `create issue in github`); or a word of
    /// it is written as an identifier (`merge_pull_request`, `listTables`) and is one.
    pub fn find(&self, query: &str) -> Vec<ToolIdx> {
        let mut found = BTreeSet::new();
        self.add(&name_key(query), &mut found);
        if found.is_empty() {
            self.add_beside_server(query, &mut found);
        }
        for word in query.split_whitespace().map(trim).filter(|word| is_identifier(word)) {
            self.add(&name_key(word), &mut found);
        }
        found.into_iter().collect()
    }

    fn add(&self, key: &str, found: &mut BTreeSet<ToolIdx>) {
        // A full name is the more exact reading; a bare one that reads the same does not add.
        let at = self.full.get(key).or_else(|| self.bare.get(key));
        found.extend(at.into_iter().flatten());
    }

    /// Adds the tools of which the query has the name in one piece, and whose server has all
    /// other words of the query.
    fn add_beside_server(&self, query: &str, found: &mut BTreeSet<ToolIdx>) {
        let words: Vec<String> = words(query).take(MOST_WORDS + 1).collect();
        if words.len() > MOST_WORDS {
            return;
        }
        for start in 0..words.len() {
            for end in start + 1..=words.len() {
                let Some(tools) = self.bare.get(&words[start..end].concat()) else { continue };
                let beside: Vec<&String> = words[..start]
                    .iter()
                    .chain(&words[end..])
                    .filter(|word| !FILLERS.contains(&&***word))
                    .collect();
                let of_server = |tool: &&ToolIdx| {
                    let server = &self.servers[self.server_of[tool.as_usize()]];
                    !beside.is_empty() && beside.iter().all(|word| server.contains(*word))
                };
                found.extend(tools.iter().filter(of_server));
            }
        }
    }
}

/// The runs of letters and digits, without case and accents.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).map(name_key).filter(|word| !word.is_empty())
}

fn trim(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_alphanumeric())
}

/// Written as code, not as prose: joined by `_`, `-`, `.`, `/`, or with a capital inside.
fn is_identifier(word: &str) -> bool {
    word.contains(['_', '-', '.', '/'])
        || word.chars().zip(word.chars().skip(1)).any(|(a, b)| a.is_lowercase() && b.is_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::file;
    use std::io::Write;

    fn catalog(lines: &[(&str, &str)]) -> Catalog {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for (server, name) in lines {
            writeln!(file, r#"{{"server":"{server}","name":"{name}"}}"#).unwrap();
        }
        Catalog::from_listings(file::read(file.path(), None).unwrap())
    }

    #[test]
    fn every_spelling_finds_the_tool() {
        let catalog = catalog(&[
            ("gitlab", "list_merge_requests"),
            ("other", "list"),
            ("third", "listMergeRequests"),
        ]);
        let names = Names::build(&catalog);
        let find = |query: &str| -> Vec<String> {
            names.find(query).into_iter().map(|at| catalog.tool(at).id.to_string()).collect()
        };
        let both = ["gitlab/list_merge_requests", "third/listMergeRequests"];
        for query in ["listMergeRequests", "list_merge_requests", "List Merge Requests"] {
            assert_eq!(find(query), both, "{query}");
        }
        for query in ["gitlab list merge requests", "gitlab/list_merge_requests"] {
            assert_eq!(find(query), both[..1], "{query}");
        }
        assert_eq!(find("please call `list_merge_requests` for me"), both);
        assert_eq!(find("list all the things"), Vec::<String>::new());
    }

    #[test]
    fn a_word_of_the_server_beside_the_name_is_enough() {
        let catalog = catalog(&[
            ("acme-gitlab", "list_merge_requests"),
            ("other-api", "list_merge_requests"),
            ("acme-gitlab", "list"),
        ]);
        let names = Names::build(&catalog);
        let find = |query: &str| -> Vec<String> {
            names.find(query).into_iter().map(|at| catalog.tool(at).id.to_string()).collect()
        };
        for query in ["GitLab list merge requests", "list merge requests in the gitlab"] {
            assert_eq!(find(query), ["acme-gitlab/list_merge_requests"], "{query}");
        }
        assert_eq!(find("gitlab list of runners"), Vec::<String>::new());
        assert_eq!(find("api list merge requests"), Vec::<String>::new());
        assert_eq!(find("acme list"), ["acme-gitlab/list"]);
    }
}
