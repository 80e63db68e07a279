//! BM25F over a tool's fields, with the impact of every posting computed when the index is built.
//!
//! Robertson, Zaragoza and Taylor, "Simple BM25 extension to multiple weighted fields" (CIKM
//! 2004): a term's frequencies in all fields are weighted, normalised by field length, added up,
//! and saturated once; document frequency is one for the whole collection. A query then only adds
//! stored numbers. Invariant: scores equal the formula's (see the scalar oracle in the tests).

mod asked;
mod coverage;
mod explain;
mod typos;

use std::ops::Range;
use std::sync::Arc;

pub use asked::Asked;
pub use coverage::Coverage;
pub use explain::TermScore;

use self::typos::Spelled;
use super::document::{Document, Documents};
use super::{Best, Ranked};
use crate::catalog::ToolIdx;
use crate::text::fields::FIELDS;

/// Saturation of term frequency.
const K1: f32 = 1.2;
/// Weight of each field, in the order of [`crate::text::fields::FIELD_NAMES`].
const WEIGHTS: [f32; FIELDS] = [2.0, 1.5, 1.0, 0.5, 1.5, 0.3];
/// How much a field's length counts, in the same order.
const LENGTH_B: [f32; FIELDS] = [0.4, 0.4, 0.75, 0.75, 0.4, 0.75];
/// Tools scored at a time: their scores stay in the first-level cache.
const BLOCK: u32 = 4_096;

/// A lexical index of one catalog.
#[derive(Debug, Default)]
pub struct Lexical {
    documents: Arc<Documents>,
    /// Postings of term `t` are `starts[t]..starts[t + 1]`, ordered by tool.
    starts: Vec<u32>,
    postings: Vec<Posting>,
    /// Mean length of each field.
    average: [f32; FIELDS],
    spelled: Arc<Spelled>,
}

/// A tool that has a term, and what that adds to its score.
#[derive(Debug, Clone, Copy)]
struct Posting {
    tool: u32,
    impact: f32,
}

impl Document {
    /// What one occurrence in each field counts for.
    #[expect(clippy::cast_precision_loss, reason = "counts of words are far below 2^24")]
    fn norms(&self, average: &[f32; FIELDS]) -> [f32; FIELDS] {
        std::array::from_fn(|field| {
            let ratio = self.lengths[field] as f32 / average[field];
            WEIGHTS[field] / (1.0 - LENGTH_B[field] + LENGTH_B[field] * ratio)
        })
    }
}

/// A term's frequencies, weighted and added up.
fn weighted(frequencies: [u8; FIELDS], norms: &[f32; FIELDS]) -> f32 {
    frequencies.into_iter().zip(norms).map(|(count, norm)| f32::from(count) * norm).sum()
}

impl Lexical {
    /// The index of `documents`; shares with `old`, that of an earlier catalog, what it can.
    #[expect(clippy::cast_precision_loss, reason = "counts of tools are far below 2^24")]
    pub fn build(documents: Arc<Documents>, old: Option<&Self>) -> Self {
        let all = &documents.all;
        let count = all.len().max(1) as f32;
        let average = std::array::from_fn(|field| {
            let total: u64 = all.iter().map(|document| u64::from(document.lengths[field])).sum();
            (total as f32 / count).max(1e-6)
        });
        let terms = || all.iter().flat_map(|document| &document.terms);
        let mut starts = vec![0_u32; documents.dictionary.len() + 1];
        for frequency in terms() {
            starts[frequency.term as usize + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let idf: Vec<f32> =
            starts.windows(2).map(|list| idf(all.len(), (list[1] - list[0]) as usize)).collect();
        let mut ends = starts.clone();
        let mut postings =
            vec![Posting { tool: 0, impact: 0.0 }; starts.last().map_or(0, |end| *end as usize)];
        for (tool, document) in (0_u32..).zip(all) {
            let norms = document.norms(&average);
            for frequency in &document.terms {
                let weighted = weighted(frequency.fields, &norms);
                let term = frequency.term as usize;
                let impact = idf[term] * weighted / (K1 + weighted);
                postings[ends[term] as usize] = Posting { tool, impact };
                ends[term] += 1;
            }
        }
        let spelled = match old {
            Some(old) if Arc::ptr_eq(&old.documents.dictionary, &documents.dictionary) => {
                Arc::clone(&old.spelled)
            }
            _ => Arc::new(Spelled::of(&documents.dictionary)),
        };
        Self { documents, starts, postings, average, spelled }
    }

    /// The best `k` tools for the terms of a query among those that `keep` lets through, and every
    /// tool's score by position.
    pub fn rank(
        &self,
        asked: &[Asked],
        k: usize,
        keep: impl Fn(ToolIdx) -> bool,
    ) -> (Vec<Ranked>, Vec<f32>) {
        let mut lists: Vec<(f32, &[Posting])> = asked
            .iter()
            .filter_map(|asked| Some((asked.counts, &self.postings[self.list(asked.number?)])))
            .collect();
        let mut scores = vec![0.0; self.documents.all.len()];
        let mut best = Best::of(k);
        for (at, scores) in (0_u32..).zip(scores.chunks_mut(BLOCK as usize)) {
            let start = at * BLOCK;
            let end = start + BLOCK;
            for (counts, list) in &mut lists {
                let (here, later) =
                    list.split_at(list.partition_point(|posting| posting.tool < end));
                for posting in here {
                    scores[(posting.tool - start) as usize] += *counts * posting.impact;
                }
                *list = later;
            }
            best.add_all(scores, |at| ToolIdx(start + at), |at| keep(ToolIdx(start + at)));
        }
        (best.ranked(), scores)
    }

    /// Where the postings of the term with this number are.
    fn list(&self, term: u32) -> Range<usize> {
        self.starts[term as usize] as usize..self.starts[term as usize + 1] as usize
    }

    /// The number of a term that some tool has.
    fn number(&self, term: &str) -> Option<u32> {
        self.documents.dictionary.number(term).filter(|number| !self.list(*number).is_empty())
    }

    /// How many tools have the term.
    fn found_in(&self, term: Option<u32>) -> usize {
        term.map_or(0, |term| self.list(term).len())
    }

    /// How much a term that `found_in` tools have tells of them.
    fn idf(&self, found_in: usize) -> f32 {
        idf(self.documents.all.len(), found_in)
    }

    /// How many different terms there are.
    pub fn term_count(&self) -> usize {
        self.starts.windows(2).filter(|list| list[0] < list[1]).count()
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of tools are far below 2^24")]
fn idf(tools: usize, found_in: usize) -> f32 {
    let (count, found_in) = (tools.max(1) as f32, found_in as f32);
    (1.0 + (count - found_in + 0.5) / (found_in + 0.5)).ln()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::fields::{COUNTED, DESCRIPTION};
    use crate::text::terms;

    /// An index of tools that have nothing but a description.
    pub fn described(descriptions: &[&str]) -> Lexical {
        let fields = |text: &&str| {
            let mut fields: [String; FIELDS] = Default::default();
            fields[DESCRIPTION] = (*text).into();
            fields
        };
        of_fields(&descriptions.iter().map(fields).collect::<Vec<_>>())
    }

    /// An index of tools with these fields.
    pub fn of_fields(fields: &[[String; FIELDS]]) -> Lexical {
        Lexical::build(Arc::new(Documents::of_fields(fields)), None)
    }

    /// The fields of a few tools, in words of a few letters.
    pub fn documents() -> impl Strategy<Value = Vec<[String; FIELDS]>> {
        prop::collection::vec(prop::array::uniform6("([a-d]{1,2} ){0,4}"), 1..12)
    }

    /// BM25F as the paper has it, one document at a time.
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    fn oracle(documents: &[[String; FIELDS]], query: &str) -> Vec<f32> {
        let split: Vec<[Vec<String>; FIELDS]> =
            documents.iter().map(|fields| fields.each_ref().map(|text| terms(text))).collect();
        let count = split.len() as f32;
        let mut query = terms(query);
        query.sort();
        query.dedup();
        split
            .iter()
            .map(|document| {
                query
                    .iter()
                    .map(|term| {
                        let has = |d: &&[Vec<String>; FIELDS]| d.iter().any(|f| f.contains(term));
                        let found_in = split.iter().filter(has).count() as f32;
                        let idf = (1.0 + (count - found_in + 0.5) / (found_in + 0.5)).ln();
                        let weighted: f32 = (0..FIELDS)
                            .map(|f| {
                                let total: usize = split.iter().map(|d| d[f].len()).sum();
                                let average = (total as f32 / count).max(1e-6);
                                let length = document[f].len() as f32;
                                let tf = document[f].iter().filter(|t| *t == term).count();
                                let tf = tf.min(usize::from(COUNTED[f])) as f32;
                                WEIGHTS[f] * tf
                                    / (1.0 - LENGTH_B[f] + LENGTH_B[f] * length / average)
                            })
                            .sum();
                        idf * weighted / (K1 + weighted)
                    })
                    .sum()
            })
            .collect()
    }

    proptest! {
        #[test]
        fn agrees_with_the_formula(
            documents in documents(),
            query in "([a-d]{1,2} ){1,4}",
        ) {
            let lexical = of_fields(&documents);
            let found = lexical.rank(&lexical.asked(&query), 100, |_| true).0;
            let wanted = oracle(&documents, &query);
            prop_assert_eq!(found.len(), wanted.iter().filter(|score| **score > 0.0).count());
            for ranked in &found {
                let wanted = wanted[ranked.tool.as_usize()];
                prop_assert!((ranked.score - wanted).abs() < 1e-4 * wanted.max(1.0));
            }
            prop_assert!(found.is_sorted_by(|a, b| a.order(b).is_le()));
        }
    }

    proptest! {
        #[test]
        fn saying_a_word_again_lifts_nothing(
            mut documents in documents(),
            query in "([a-d]{1,2} ){1,4}",
            again in prop::collection::vec((0_usize..4, 0_usize..100, 1_usize..40), 1..4),
        ) {
            // The same tool twice, one of them stuffed with its own words.
            let mut stuffed = documents[0].clone();
            for (field, word, times) in again {
                let words: Vec<String> =
                    stuffed[field].split_whitespace().map(str::to_owned).collect();
                if !words.is_empty() {
                    let more = format!(" {}", words[word % words.len()]).repeat(times);
                    stuffed[field].push_str(&more);
                }
            }
            documents.push(stuffed);
            let lexical = of_fields(&documents);
            let scores = lexical.rank(&lexical.asked(&query), 100, |_| true).1;
            prop_assert!(scores[documents.len() - 1] <= scores[0]);
        }
    }

    #[test]
    fn an_empty_index_finds_nothing() {
        let lexical = of_fields(&[]);
        assert!(lexical.rank(&lexical.asked("x"), 5, |_| true).0.is_empty());
    }
}
