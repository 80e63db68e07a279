//! Words of a query that no tool has, read as the nearest that one has: `reqest` is `request`.
//!
//! Invariant: a word that any tool has is never read as another, and one that is counts for less.

use std::collections::HashMap;

use super::Lexical;
use crate::text::terms;

/// Shorter words have too many neighbours: `rome` is not `role`.
const SHORTEST: usize = 5;
/// What a word read as another counts of what the other would.
const WEIGHT: f32 = 0.5;

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
            .filter(move |term| strsim::osa_distance(word, term) == 1)
    }
}

impl Lexical {
    /// The different terms of `query` as the index has them, and what each counts. A term that is
    /// known by no spelling stands for itself.
    pub(super) fn resolve(&self, query: &str) -> Vec<(String, f32)> {
        let mut asked = terms(query);
        asked.sort_unstable();
        asked.dedup();
        let known = |term: &str| self.postings(term).map(|list| list.len());
        let mut resolved: Vec<(String, f32)> = Vec::with_capacity(asked.len());
        for term in &asked {
            if known(term).is_some() || !is_word(term, SHORTEST) {
                resolved.push((term.clone(), 1.0));
                continue;
            }
            // Of several the most common, as a reader would.
            let meant =
                self.spelled.near(term).max_by(|a, b| known(a).cmp(&known(b)).then(b.cmp(a)));
            match meant {
                Some(meant) if asked.iter().any(|other| other == meant) => {}
                Some(meant) => resolved.push((meant.into(), WEIGHT)),
                None => resolved.push((term.clone(), 1.0)),
            }
        }
        // Two misspellings of one word are one word.
        resolved.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        resolved.dedup_by(|a, b| a.0 == b.0);
        resolved
    }
}

fn is_word(term: &str, shortest: usize) -> bool {
    term.len() >= shortest && term.bytes().all(|byte| byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::super::Document;
    use super::*;
    use crate::text::fields::FIELDS;

    #[test]
    fn a_misspelt_word_finds_what_is_meant() {
        let documents: Vec<Document> = ["merge request", "vector index", "request", "role"]
            .iter()
            .map(|text| {
                let mut fields: [String; FIELDS] = Default::default();
                fields[2] = (*text).into();
                Document::of(&fields)
            })
            .collect();
        let lexical = Lexical::from_documents(&documents);
        let found = |query: &str| -> Vec<u32> {
            let (ranked, _) = lexical.rank(query, 9, |_| true);
            ranked.into_iter().map(|ranked| ranked.tool.0).collect()
        };
        for query in ["reqest", "reqeust", "requestt", "rqeuest merge"] {
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
