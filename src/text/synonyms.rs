//! Words that say the same of a tool: who asks to `remove` means `delete`.
//!
//! Invariant: a word is in one group, and groups hold what tools do and deal in everywhere, never
//! the words of one product. Short on purpose: the vectors know the rest.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::terms;

const GROUPS: &[&[&str]] = &[
    &["delete", "remove", "erase"],
    &["create", "add", "new", "make"],
    &["list", "show", "display"],
    &["get", "fetch", "retrieve", "read"],
    &["update", "edit", "change", "modify"],
    &["search", "find", "lookup", "query"],
    &["send", "post"],
    &["run", "execute"],
    &["start", "begin", "launch"],
    &["stop", "end", "terminate", "cancel"],
    &["mail", "email"],
    &["photo", "picture", "image"],
    &["repo", "repository"],
    &["pr", "pull"],
    &["issue", "ticket", "bug"],
    &["folder", "directory"],
    &["doc", "document"],
    &["meeting", "event", "appointment"],
    &["customer", "client"],
    &["weather", "forecast"],
    &["price", "quote", "cost"],
    &["song", "track", "music"],
    &["movie", "film"],
    &["channel", "room"],
    &["user", "person", "people", "member"],
];

/// The other terms of the group of `term`, which is stemmed as [`terms`] does.
pub fn of(term: &str) -> impl Iterator<Item = &'static str> {
    static BY_TERM: LazyLock<HashMap<String, Vec<String>>> = LazyLock::new(|| {
        let mut by_term: HashMap<String, Vec<String>> = HashMap::new();
        for group in GROUPS {
            let stems: Vec<String> = group.iter().flat_map(|word| terms(word)).collect();
            for stem in &stems {
                let others = stems.iter().filter(|other| *other != stem).cloned();
                by_term.entry(stem.clone()).or_default().extend(others);
            }
        }
        by_term
    });
    BY_TERM.get(term).into_iter().flatten().map(String::as_str)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_word_is_in_one_group_and_none_is_a_stop_word() {
        let mut seen = HashSet::new();
        for word in GROUPS.iter().copied().flatten() {
            let stems = terms(word);
            assert_eq!(stems.len(), 1, "{word}");
            assert!(seen.insert(stems), "{word} is in two groups");
        }
    }

    #[test]
    fn every_form_meets_its_group() {
        for form in ["removing", "Removed", "delete"] {
            let term = &terms(form)[0];
            assert!(of(term).any(|other| other == "eras"), "{form}");
            assert!(of(term).all(|other| other != term), "{form}");
        }
        assert_eq!(of("kubernet").count(), 0);
    }
}
