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
pub struct Asked {
    /// As the index has it, if it has it.
    pub(super) term: String,
    /// Its number; `None` if no tool has it.
    pub(super) number: Option<u32>,
    /// 1, or less for a term that the query does not have.
    pub(super) counts: f32,
    /// It stands for a word of the query, rather than beside it.
    pub(super) own: bool,
}

impl Asked {
    /// The term, as the index has it.
    pub fn term(&self) -> &str {
        &self.term
    }
}

impl Lexical {
    /// The terms that `query` asks for. One that it repeats is asked for once: long messages
    /// repeat themselves.
    pub fn asked(&self, query: &str) -> Vec<Asked> {
        let mut own = terms(query);
        own.sort_unstable();
        own.dedup();
        let read = own.into_iter().map(|term| {
            let number = self.number(&term);
            let meant = if number.is_none() { self.meant_by(&term) } else { None };
            match meant {
                Some(meant) => Asked {
                    term: self.documents.dictionary.term(meant).to_owned(),
                    number: Some(meant),
                    counts: MISSPELT,
                    own: true,
                },
                None => Asked { term, number, counts: 1.0, own: true },
            }
        });
        let mut asked: Vec<Asked> = read.collect();
        let beside = asked.iter().flat_map(|asked| {
            let counts = SYNONYM * asked.counts;
            synonyms::of(&asked.term).filter_map(move |term| {
                let number = Some(self.number(term)?);
                Some(Asked { term: term.to_owned(), number, counts, own: false })
            })
        });
        let beside: Vec<Asked> = beside.collect();
        asked.extend(beside);
        // Of the same term what counts most: the word itself before a reading or a synonym of it.
        asked.sort_by(|a, b| a.term.cmp(&b.term).then(b.counts.total_cmp(&a.counts)));
        asked.dedup_by(|a, b| a.term == b.term);
        asked
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
