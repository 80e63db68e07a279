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

use std::collections::HashMap;

pub use coverage::Coverage;
pub use explain::TermScore;
use rayon::prelude::*;

use self::typos::Spelled;
use super::{Ranked, top_k};
use crate::catalog::{Catalog, ToolIdx};
use crate::text::fields::{self, FIELDS};
use crate::text::terms;

/// Saturation of term frequency.
const K1: f32 = 1.2;
/// Weight of each field, in the order of [`fields::FIELD_NAMES`].
const WEIGHTS: [f32; FIELDS] = [2.0, 1.5, 1.0, 0.5, 1.5, 0.3];
/// How much a field's length counts, in the same order.
const LENGTH_B: [f32; FIELDS] = [0.4, 0.4, 0.75, 0.75, 0.4, 0.75];

/// A lexical index of one catalog.
#[derive(Debug, Default)]
pub struct Lexical {
    terms: HashMap<Box<str>, u32>,
    /// Postings of term `t` are `starts[t]..starts[t + 1]`.
    starts: Vec<u32>,
    tools: Vec<u32>,
    impacts: Vec<f32>,
    /// How many tools the catalog has.
    len: usize,
    /// Mean length of each field.
    average: [f32; FIELDS],
    spelled: Spelled,
}

/// A tool's terms with their frequency in each field, and the fields' lengths.
struct Document {
    frequencies: HashMap<String, [u16; FIELDS]>,
    lengths: [u32; FIELDS],
}

impl Document {
    fn of(fields: &[String; FIELDS]) -> Self {
        let mut document = Self { frequencies: HashMap::new(), lengths: [0; FIELDS] };
        for (field, text) in fields.iter().enumerate() {
            for term in terms(text) {
                let count = &mut document.frequencies.entry(term).or_default()[field];
                *count = count.saturating_add(1);
                document.lengths[field] += 1;
            }
        }
        document
    }

    /// What one occurrence in each field counts for.
    #[expect(clippy::cast_precision_loss, reason = "counts of words are far below 2^24")]
    fn norms(&self, average: &[f32; FIELDS]) -> [f32; FIELDS] {
        std::array::from_fn(|field| {
            let ratio = self.lengths[field] as f32 / average[field];
            WEIGHTS[field] / (1.0 - LENGTH_B[field] + LENGTH_B[field] * ratio)
        })
    }
}

impl Lexical {
    /// The index of `catalog`; tokenises on rayon.
    pub fn build(catalog: &Catalog) -> Self {
        let documents: Vec<Document> = catalog
            .tools()
            .par_iter()
            .map(|tool| {
                let server = catalog.server(tool.server.as_str()).map(|server| &**server);
                Document::of(&fields::lexical(tool, server))
            })
            .collect();
        Self::from_documents(&documents)
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "counts of tools and words are far below 2^24, and positions fit u32"
    )]
    fn from_documents(documents: &[Document]) -> Self {
        let count = documents.len().max(1) as f32;
        let average: [f32; FIELDS] = std::array::from_fn(|field| {
            let total: u64 =
                documents.iter().map(|document| u64::from(document.lengths[field])).sum();
            (total as f32 / count).max(1e-6)
        });
        let mut terms: HashMap<Box<str>, u32> = HashMap::new();
        let mut postings: Vec<Vec<(u32, f32)>> = Vec::new();
        for (at, document) in documents.iter().enumerate() {
            let norms = document.norms(&average);
            for (term, frequencies) in &document.frequencies {
                let weighted: f32 = frequencies
                    .iter()
                    .zip(norms)
                    .map(|(frequency, norm)| f32::from(*frequency) * norm)
                    .sum();
                let id = if let Some(id) = terms.get(term.as_str()) {
                    *id
                } else {
                    terms.insert(term.as_str().into(), postings.len() as u32);
                    postings.push(Vec::new());
                    postings.len() as u32 - 1
                };
                postings[id as usize].push((at as u32, weighted));
            }
        }
        let spelled = Spelled::of(terms.keys().map(|term| &**term));
        let mut index = Self { terms, len: documents.len(), average, spelled, ..Self::default() };
        for list in &postings {
            index.starts.push(index.tools.len() as u32);
            let idf = index.idf(list.len());
            for (tool, weighted) in list {
                index.tools.push(*tool);
                index.impacts.push(idf * weighted / (K1 + weighted));
            }
        }
        index.starts.push(index.tools.len() as u32);
        index
    }

    /// The best `k` tools for `query` among those that `keep` lets through, and every tool's
    /// score by position. A term that the query repeats counts once: long messages repeat
    /// themselves.
    pub fn rank(
        &self,
        query: &str,
        k: usize,
        keep: impl Fn(ToolIdx) -> bool,
    ) -> (Vec<Ranked>, Vec<f32>) {
        let mut scores = vec![0.0; self.len];
        for asked in self.asked(query) {
            let Some(list) = self.postings(&asked.term) else { continue };
            for (tool, impact) in self.tools[list.clone()].iter().zip(&self.impacts[list]) {
                scores[*tool as usize] += asked.counts * impact;
            }
        }
        let found = (0_u32..)
            .zip(&scores)
            .filter(|(_, score)| **score > 0.0)
            .map(|(tool, score)| Ranked { tool: ToolIdx(tool), score: *score })
            .filter(|ranked| keep(ranked.tool));
        (top_k(found.collect(), k), scores)
    }

    fn postings(&self, term: &str) -> Option<std::ops::Range<usize>> {
        let id = *self.terms.get(term)? as usize;
        Some(self.starts[id] as usize..self.starts[id + 1] as usize)
    }

    /// How much a term that `found_in` tools have tells of them.
    #[expect(clippy::cast_precision_loss, reason = "counts of tools are far below 2^24")]
    fn idf(&self, found_in: usize) -> f32 {
        let (count, found_in) = (self.len.max(1) as f32, found_in as f32);
        (1.0 + (count - found_in + 0.5) / (found_in + 0.5)).ln()
    }

    /// How many different terms there are.
    pub fn term_count(&self) -> usize {
        self.terms.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An index of tools that have nothing but a description.
    pub fn described(descriptions: &[&str]) -> Lexical {
        let document = |text: &&str| {
            let mut fields: [String; FIELDS] = Default::default();
            fields[2] = (*text).into();
            Document::of(&fields)
        };
        Lexical::from_documents(&descriptions.iter().map(document).collect::<Vec<_>>())
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
                                let tf = document[f].iter().filter(|t| *t == term).count() as f32;
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
            let built: Vec<Document> = documents.iter().map(Document::of).collect();
            let found = Lexical::from_documents(&built).rank(&query, 100, |_| true).0;
            let wanted = oracle(&documents, &query);
            prop_assert_eq!(found.len(), wanted.iter().filter(|score| **score > 0.0).count());
            for ranked in &found {
                let wanted = wanted[ranked.tool.as_usize()];
                prop_assert!((ranked.score - wanted).abs() < 1e-4 * wanted.max(1.0));
            }
            prop_assert!(found.is_sorted_by(|a, b| a.order(b).is_le()));
        }
    }

    #[test]
    fn an_empty_index_finds_nothing() {
        assert!(Lexical::build(&Catalog::default()).rank("x", 5, |_| true).0.is_empty());
    }
}
