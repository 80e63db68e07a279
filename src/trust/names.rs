//! Names that could be taken for those of another server's tool.
//!
//! Invariant: of tools whose names can be confused the one that was seen first is the owner, of
//! several that came together the first by id; only tools of other servers than the owner's have a
//! finding.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;

use unicode_security::confusable_detection::skeleton;

use super::Shadows;
use super::checks::Finding;
use super::history::Book;
use super::policy::Rule;
use crate::text::name_key;
use crate::tool::{ContentHash, ServerId};

/// Tools by what their names look like.
#[derive(Debug, Default)]
pub struct Names {
    alike: HashMap<u64, Group, foldhash::fast::RandomState>,
    hasher: foldhash::fast::RandomState,
}

/// Tools that look alike, ordered by server and name; mostly it is one.
type Group = Vec<Member>;
/// One of them.
type Member = ((ServerId, Arc<str>), Seen);

/// What is seen of a tool.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// When it was first, in milliseconds since 1970.
    pub since_ms: u64,
    /// Of its definition.
    pub hash: ContentHash,
    /// How its description begins; 0 where that says too little.
    pub said: u64,
}

impl Names {
    /// The names of every tool that is offered.
    pub fn of(book: &Book) -> Self {
        let mut names = Self::default();
        for (server, name, entry) in book.offered() {
            if let Some(version) = entry.offered() {
                let first_seen = entry.first_seen_ms;
                names.set(
                    server,
                    name,
                    Seen { since_ms: first_seen, hash: version.hash, said: version.said },
                );
            }
        }
        names
    }

    /// A tool that came, or offers another definition.
    pub fn set(&mut self, server: &ServerId, name: &Arc<str>, seen: Seen) {
        let group = self.alike.entry(self.hasher.hash_one(looks(name))).or_default();
        match place(group, server, name) {
            Ok(at) => group[at].1 = seen,
            Err(at) => {
                if group.is_empty() {
                    group.reserve_exact(1);
                }
                group.insert(at, ((server.clone(), Arc::clone(name)), seen));
            }
        }
    }

    /// A tool that went.
    pub fn remove(&mut self, server: &ServerId, name: &Arc<str>) {
        let look = self.hasher.hash_one(looks(name));
        if let Some(group) = self.alike.get_mut(&look) {
            if let Ok(at) = place(group, server, name) {
                group.remove(at);
            }
            if group.is_empty() {
                self.alike.remove(&look);
            }
        }
    }

    /// What is to be said of every tool that could be confused with one of these names; `None`
    /// where nothing is.
    pub fn findings<'a>(
        &self,
        names: impl Iterator<Item = &'a Arc<str>>,
    ) -> Vec<(ServerId, Arc<str>, Option<Finding>)> {
        let looked: BTreeSet<u64> = names.map(|name| self.hasher.hash_one(looks(name))).collect();
        let groups = looked.iter().filter_map(|look| self.alike.get(look));
        groups.flat_map(findings_in).collect()
    }

    /// Every finding.
    pub fn all(&self) -> Shadows {
        let mut all: BTreeMap<ServerId, BTreeMap<Arc<str>, Finding>> = BTreeMap::new();
        for (server, name, finding) in self.alike.values().flat_map(findings_in) {
            if let Some(finding) = finding {
                all.entry(server).or_default().insert(name, finding);
            }
        }
        all.into_iter().map(|(server, found)| (server, Arc::new(found))).collect()
    }
}

/// Where a tool is in its group, or would be.
fn place(group: &Group, server: &ServerId, name: &Arc<str>) -> Result<usize, usize> {
    group.binary_search_by(|((of, known), _)| (of, known).cmp(&(server, name)))
}

fn findings_in(group: &Group) -> Vec<(ServerId, Arc<str>, Option<Finding>)> {
    let owner = group.iter().min_by_key(|(id, seen)| (seen.since_ms, id));
    let Some(owner) = owner else { return Vec::new() };
    let one = |tool: &Member| {
        let (server, name) = tool.0.clone();
        (server, name, (tool.0.0 != owner.0.0).then(|| finding(owner, tool)))
    };
    group.iter().map(one).collect()
}

fn finding(owner: &Member, tool: &Member) -> Finding {
    let ((server, name), own) = (&owner.0, &tool.0.1);
    let (rule, how) = if name == own {
        (Rule::Shadow, "has the name of")
    } else if name_key(name) == name_key(own) {
        (Rule::Shadow, "has, but for case and separators, the name of")
    } else {
        (Rule::Lookalike, "has a name that looks like that of")
    };
    let is_twin = owner.1.hash == tool.1.hash;
    let is_copy = !is_twin && owner.1.said == tool.1.said && tool.1.said != 0;
    let and = match (is_twin, is_copy) {
        (true, _) => ", and the same definition",
        (_, true) => ", and begins to describe itself in the same words",
        _ => "",
    };
    Finding {
        rule,
        // Every second server has a `search`; who says the same in other words is another matter.
        note: is_twin || (rule == Rule::Shadow && !is_copy),
        what: format!("{how} {server}/{name}, which was there first{and}"),
        pointer: "/name".into(),
        excerpt: super::checks::visible(own),
    }
}

/// The same for names that a reader could confuse.
fn looks(name: &str) -> String {
    let key = name_key(name);
    // Twice: what the first makes of other scripts is then read as ASCII is.
    let key = if key.is_ascii() { key } else { name_key(&skeleton(&key).collect::<String>()) };
    let mut seen = String::with_capacity(key.len() + 4);
    for c in key.chars() {
        // As Unicode's confusables have it.
        match c {
            '0' => seen.push('o'),
            '1' => seen.push('l'),
            'm' => seen.push_str("rn"),
            _ => seen.push(c),
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike() {
        for (a, b) in [
            ("create_issue", "createIssue"),
            ("create_issue", "cr\u{435}ate_issue"),
            ("send_email", "send_ernail"),
            ("list_files", "1ist_files"),
            ("p\u{430}y", "pay"),
            ("\u{440}\u{430}\u{443}", "pay"),
            ("tool\u{200b}name", "tool_name"),
        ] {
            assert_eq!(looks(a), looks(b), "{a} {b}");
        }
        for (a, b) in [("get_file", "get_files"), ("list", "last"), ("v1", "v2")] {
            assert_ne!(looks(a), looks(b), "{a} {b}");
        }
    }
}
