//! Words of a query that no tool has, read as the nearest that one has: `reqest` is `request`.
//!
//! Invariant: the reading is one letter off and begins with the same letter.

use std::collections::HashMap;

use super::Lexical;

/// Shorter words have too many neighbours: `rome` is not `role`.
const SHORTEST: usize = 5;

/// The terms that a misspelt word can stand for, by first letter and length.
#[derive(Debug, Default)]
pub struct Spelled(HashMap<(u8, usize), Vec<Box<str>>>);

impl Spelled {
    /// Of all `terms`.
    pub fn of<'a>(terms: impl Iterator<Item = &'a str>) -> Self {
        let mut spelled: HashMap<(u8, usize), Vec<Box<str>>> = HashMap::new();
        for term in terms.filter(|term| is_word(term, SHORTEST - 1)) {
            spelled.entry((term.as_bytes()[0], term.len())).or_default().push(term.into());
        }
        Self(spelled)
    }

    /// The terms one letter off: added, left out, changed, or two swapped; the first is right.
    fn near(&self, word: &str) -> impl Iterator<Item = &str> {
        (word.len() - 1..=word.len() + 1)
            .filter_map(|length| self.0.get(&(word.as_bytes()[0], length)))
            .flatten()
            .map(|term| &**term)
            .filter(move |term| is_one_off(word.as_bytes(), term.as_bytes()))
    }
}

impl Lexical {
    /// The most common of the terms that a word known by no spelling can stand for.
    pub(super) fn meant_by(&self, word: &str) -> Option<&str> {
        if !is_word(word, SHORTEST) {
            return None;
        }
        let found_in = |term: &str| self.postings(term).map(|list| list.len());
        self.spelled.near(word).max_by(|a, b| found_in(a).cmp(&found_in(b)).then(b.cmp(a)))
    }
}

/// One letter is more, less or another, or two neighbours are swapped: the optimal string
/// alignment distance is 1. A query asks it of thousands of terms.
fn is_one_off(a: &[u8], b: &[u8]) -> bool {
    let start = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[start..], &b[start..]);
    let end = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    match (&a[..a.len() - end], &b[..b.len() - end]) {
        ([], [_]) | ([_], [] | [_]) => true,
        ([a, b], [c, d]) => a == d && b == c,
        _ => false,
    }
}

fn is_word(term: &str, shortest: usize) -> bool {
    term.len() >= shortest && term.bytes().all(|byte| byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::described;
    use super::*;

    proptest! {
        #[test]
        fn one_off_is_a_distance_of_one(a in "[ab]{0,5}", b in "[ab]{0,5}") {
            let one_off = strsim::osa_distance(&a, &b) == 1;
            prop_assert_eq!(is_one_off(a.as_bytes(), b.as_bytes()), one_off);
        }
    }

    #[test]
    fn a_misspelt_word_finds_what_is_meant() {
        let lexical = described(&["merge request", "vector index", "request", "role"]);
        let found = |query: &str| -> Vec<u32> {
            let (ranked, _) = lexical.rank(query, 9, |_| true);
            ranked.into_iter().map(|ranked| ranked.tool.0).collect()
        };
        for query in ["reqest", "reqeust", "requestt", "merge rquest"] {
            assert!(found(query).contains(&0), "{query}");
        }
        assert_eq!(found("vctor"), [1]);
        assert_eq!(found("rome"), [] as [u32; 0], "too short to tell");
        assert_eq!(found("bequest"), [] as [u32; 0], "another first letter is another word");
        let score = |query: &str| lexical.rank(query, 1, |_| true).0[0].score;
        assert!(score("vctor") < score("vector"));
        assert!((score("vector vctor") - score("vector")).abs() < 1e-6);
    }
}
