//! The BM25F score of one tool taken apart, for the one who asks why.
//!
//! Invariant: the parts add up to the score that [`Lexical::rank`] gives the tool.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Asked, K1, Lexical};
use crate::catalog::ToolIdx;
use crate::text::fields::{FIELD_NAMES, FIELDS};

/// What one term of a query adds to a tool's lexical score.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TermScore {
    /// The term as it is indexed: lower case, stemmed; the right spelling
    /// of a misspelt word, or a synonym of one.
    pub term: String,
    /// What it adds.
    pub score: f32,
    /// The same by field (`name`, `title`, `description`, `params`, `server`,
    /// `server_description`): a share of `score` each.
    pub fields: BTreeMap<&'static str, f32>,
}

impl Lexical {
    /// The terms of `query` that `tool` matches, the largest score first.
    pub fn explain_terms(&self, query: &str, tool: ToolIdx) -> Vec<TermScore> {
        let document = &self.documents.all[tool.as_usize()];
        let norms = document.norms(&self.average);
        let mut found: Vec<TermScore> = self
            .asked(query)
            .into_iter()
            .filter_map(|Asked { term, number, counts, .. }| {
                let frequencies = document.frequency(number?)?;
                let idf = self.idf(self.found_in(number));
                let weighted: [f32; FIELDS] =
                    std::array::from_fn(|at| f32::from(frequencies[at]) * norms[at]);
                let sum: f32 = weighted.iter().sum();
                let score = counts * idf * sum / (K1 + sum);
                let fields = FIELD_NAMES
                    .into_iter()
                    .zip(weighted)
                    .filter(|(_, weighted)| *weighted > 0.0)
                    .map(|(name, weighted)| (name, score * weighted / sum))
                    .collect();
                Some(TermScore { term, score, fields })
            })
            .collect();
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{documents, of_fields};
    use super::*;

    proptest! {
        #[test]
        fn the_parts_add_up_to_the_score(
            documents in documents(),
            query in "([a-d]{1,2} ){1,4}",
        ) {
            let lexical = of_fields(&documents);
            let found = lexical.rank(&lexical.asked(&query), 100, |_| true).0;
            for tool in (0..12).map(ToolIdx).take(documents.len()) {
                let parts = lexical.explain_terms(&query, tool);
                let sum: f32 = parts.iter().map(|part| part.score).sum();
                let score =
                    found.iter().find(|hit| hit.tool == tool).map_or(0.0, |hit| hit.score);
                prop_assert!((sum - score).abs() < 1e-4 * score.max(1.0), "{sum} {score}");
                for part in parts {
                    let fields: f32 = part.fields.values().sum();
                    prop_assert!((fields - part.score).abs() < 1e-4 * part.score.max(1.0));
                }
            }
        }
    }
}
