//! Exact names: who spells a tool's name gets that tool.
//!
//! Invariant: a key is the name's letters and digits alone ([`name_key`]), so every spelling of
//! a name, with or without its server before it, has the same key.

use std::collections::{BTreeSet, HashMap};

use crate::catalog::{Catalog, ToolIdx};
use crate::text::name_key;

/// From a name's key to the tools of that name.
#[derive(Debug, Default)]
pub struct Names {
    /// The bare name: several servers may offer it.
    bare: HashMap<String, Vec<ToolIdx>>,
    /// Server id or title, then name.
    full: HashMap<String, Vec<ToolIdx>>,
}

impl Names {
    /// The names of `catalog`.
    pub fn build(catalog: &Catalog) -> Self {
        let mut names = Self::default();
        for (at, tool) in (0_u32..).map(ToolIdx).zip(catalog.tools()) {
            let bare = name_key(&tool.name);
            if bare.is_empty() {
                continue;
            }
            let title = catalog
                .server(tool.server.as_str())
                .and_then(|server| server.info.title.as_deref())
                .unwrap_or("");
            let servers = BTreeSet::from([name_key(tool.server.as_str()), name_key(title)]);
            for server in servers.iter().filter(|server| !server.is_empty()) {
                names.full.entry(format!("{server}{bare}")).or_default().push(at);
            }
            names.bare.entry(bare).or_default().push(at);
        }
        names
    }

    /// The tools that `query` names, ordered by id: the whole query spells a name (with or
    /// without its server), or a word of it is written as an identifier (`merge_pull_request`,
    /// `listTables`) and is one.
    pub fn find(&self, query: &str) -> Vec<ToolIdx> {
        let mut found = BTreeSet::new();
        self.add(&name_key(query), &mut found);
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
}
