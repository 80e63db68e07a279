//! The terms that a query asks for: its own, the nearest to those misspelt, and their synonyms.
//!
//! Invariant: each term once; one that the query has counts in full, and neither a word that any
//! tool has is read as another nor a synonym counts as much as the word itself.

use super::Lexical;
use crate::text::{synonyms, terms};

/// What a word read as another counts of what the other would.
const MISSPELT: f32 = 0.5;
/// What a synonym counts of the word that is asked for.
const SYNONYM: f32 = 0.3;

/// A term to look for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    /// As the index has it, if it has it.
    pub term: String,
    /// 1, or less for a term that the query does not have.
    pub counts: f32,
    /// It stands for a word of the query, rather than beside it.
    pub own: bool,
}

impl Lexical {
    /// The terms that `query` asks for.
    pub(super) fn asked(&self, query: &str) -> Vec<Asked> {
        let mut own = terms(query);
        own.sort_unstable();
        own.dedup();
        let read = own.into_iter().map(|term| {
            let meant = if self.has(&term) { None } else { self.meant_by(&term) };
            match meant {
                Some(meant) => Asked { term: meant.into(), counts: MISSPELT, own: true },
                None => Asked { term, counts: 1.0, own: true },
            }
        });
        let mut asked: Vec<Asked> = read.collect();
        let beside = asked.iter().flat_map(|asked| {
            let counts = SYNONYM * asked.counts;
            synonyms::of(&asked.term).map(move |term| (term.to_owned(), counts))
        });
        let beside: Vec<Asked> = beside
            .filter(|(term, _)| self.has(term))
            .map(|(term, counts)| Asked { term, counts, own: false })
            .collect();
        asked.extend(beside);
        // Of the same term what counts most: the word itself before a reading or a synonym of it.
        asked.sort_by(|a, b| a.term.cmp(&b.term).then(b.counts.total_cmp(&a.counts)));
        asked.dedup_by(|a, b| a.term == b.term);
        asked
    }

    fn has(&self, term: &str) -> bool {
        self.terms.contains_key(term)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::described;
    use super::*;

    #[test]
    fn own_words_count_most() {
        let lexical = described(&["remove or erase a repository"]);
        let asked = |query: &str| -> Vec<(String, f32, bool)> {
            let asked = lexical.asked(query).into_iter();
            asked.map(|asked| (asked.term, asked.counts, asked.own)).collect()
        };
        let term = |term: &str, counts, own| (term.to_owned(), counts, own);
        assert_eq!(
            asked("delete the repository"),
            [
                term("delet", 1.0, true),
                term("eras", SYNONYM, false),
                term("remov", SYNONYM, false),
                term("repositori", 1.0, true)
            ]
        );
        assert_eq!(
            asked("remove, erase"),
            [term("eras", 1.0, true), term("remov", 1.0, true)],
            "a word of the query is no synonym"
        );
        let misspelt = SYNONYM * MISSPELT;
        assert_eq!(asked("remoev"), [term("eras", misspelt, false), term("remov", 0.5, true)]);
        assert_eq!(asked("remove remoev")[1], term("remov", 1.0, true));
    }
}
