//! Words of a query that no tool has, read as the nearest that one has: `reqest` is `request`.
//!
//! Invariant: the reading is one letter off and begins with the same letter.

use std::hash::{BuildHasher, Hash};

use super::Lexical;
use crate::index::document::Dictionary;

/// Shorter words have too many neighbours: `rome` is not `role`.
const SHORTEST: usize = 5;

/// Finds the terms that a misspelt word can stand for.
///
/// One slip leaves the beginning or the end of a word as it was, so a term is found by either: of
/// `n` letters the first half or the last, without the two in the middle that a swap may touch.
#[derive(Debug, Default)]
pub struct Spelled {
    hasher: foldhash::quality::FixedState,
    /// Hash of half a term, and the term's number; ordered.
    halves: Vec<(u64, u32)>,
}

impl Spelled {
    /// Of all terms.
    pub(super) fn of(dictionary: &Dictionary) -> Self {
        let mut spelled = Self::default();
        for (number, term) in (0..).zip(dictionary.terms()) {
            if is_word(term, SHORTEST - 1) {
                let keys = spelled.keys(term.as_bytes(), term.len());
                spelled.halves.extend(keys.map(|key| (key, number)));
            }
        }
        spelled.halves.sort_unstable();
        spelled
    }

    /// The keys of a term of this length that `word` may be.
    fn keys(&self, word: &[u8], length: usize) -> [u64; 2] {
        let (before, after) = ((length - 1) / 2, (length - 2) / 2);
        // The first letter is never wrong, so that it is part of both.
        let end = (word[0], &word[word.len() - after..]);
        [self.key(length, &word[..before]), self.key(length, end)]
    }

    fn key(&self, length: usize, half: impl Hash) -> u64 {
        self.hasher.hash_one((length, half))
    }

    /// The numbers of all terms one letter off (added, left out, changed, or two swapped), some
    /// of them twice, and of some that are not.
    fn near(&self, word: &[u8]) -> impl Iterator<Item = u32> {
        (word.len() - 1..=word.len() + 1).flat_map(|length| self.keys(word, length)).flat_map(
            |key| {
                let from = self.halves.partition_point(|(half, _)| *half < key);
                let same = self.halves[from..].iter().take_while(move |(half, _)| *half == key);
                same.map(|(_, number)| *number)
            },
        )
    }
}

impl Lexical {
    /// The most common of the terms that a word known by no spelling can stand for; of two equally
    /// common the first by letters.
    pub(super) fn meant_by(&self, word: &str) -> Option<u32> {
        if !is_word(word, SHORTEST) {
            return None;
        }
        let term = |number: u32| self.documents.dictionary.term(number);
        self.spelled
            .near(word.as_bytes())
            .map(|number| (self.found_in(Some(number)), number))
            .filter(|(found_in, number)| {
                let term = term(*number).as_bytes();
                *found_in > 0 && term[0] == word.as_bytes()[0] && is_one_off(word.as_bytes(), term)
            })
            .max_by(|a, b| a.0.cmp(&b.0).then_with(|| term(b.1).cmp(term(a.1))))
            .map(|(_, number)| number)
    }
}

/// One letter is more, less or another, or two neighbours are swapped: the optimal string
/// alignment distance is 1.
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

    proptest! {
        #[test]
        fn halves_find_what_comparing_with_all_finds(
            terms in prop::collection::vec("a[ab]{3,9}", 1..20),
            word in "a[ab]{4,9}",
        ) {
            let lexical = described(&terms.iter().map(String::as_str).collect::<Vec<_>>());
            let near: Vec<&str> = lexical
                .spelled
                .near(word.as_bytes())
                .map(|number| lexical.documents.dictionary.term(number))
                .collect();
            for term in lexical.documents.dictionary.terms() {
                if strsim::osa_distance(&word, term) == 1 {
                    prop_assert!(near.contains(&term), "{} is near {}", term, word);
                }
            }
        }
    }

    #[test]
    fn a_misspelt_word_finds_what_is_meant() {
        let lexical = described(&["merge request", "vector index", "request", "role"]);
        let found = |query: &str| -> Vec<u32> {
            let (ranked, _) = lexical.rank(&lexical.asked(query), 9, |_| true);
            ranked.into_iter().map(|ranked| ranked.tool.0).collect()
        };
        for query in ["reqest", "reqeust", "requestt", "merge rquest"] {
            assert!(found(query).contains(&0), "{query}");
        }
        assert_eq!(found("vctor"), [1]);
        assert_eq!(found("rome"), [] as [u32; 0], "too short to tell");
        assert_eq!(found("bequest"), [] as [u32; 0], "another first letter is another word");
        let score = |query: &str| lexical.rank(&lexical.asked(query), 1, |_| true).0[0].score;
        assert!(score("vctor") < score("vector"));
        assert!((score("vector vctor") - score("vector")).abs() < 1e-6);
    }
}
