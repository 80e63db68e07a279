//! How likely it is that a tool meets the need: the same number for every query and catalog.
//!
//! A logistic model over what the arms say of a query and a tool, not over their fused score,
//! which means something within one answer only. `scripts/fit_confidence.py` fits the
//! coefficients ([`fitted`]) on labelled queries, and on queries that nothing fits. Invariant: in
//! 0..=1, and a larger cosine or coverage never lowers it.

mod fitted;

use serde::Serialize;

use super::fuse::ArmLists;
use super::{PartVectors, Ranking};
use crate::catalog::ToolIdx;
use crate::index::Index;
use crate::index::lexical::Coverage;

/// What is known of a query and a tool.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Features {
    /// Cosine of their vectors; `None` without an encoder, or while the tool has no vector.
    pub cosine: Option<f32>,
    /// The tool's lexical score as a share of the best that the query admits.
    pub coverage: f32,
    /// Logarithm of the number of different terms in the query: long ones match less of all.
    pub length: f32,
    /// The query names the tool.
    pub named: bool,
}

/// Measures the tools of one ranking.
pub struct Gauge<'a> {
    index: &'a Index,
    ranking: &'a Ranking,
    texts: Vec<Text<'a>>,
}

/// One phrasing: the whole text and its pieces.
struct Text<'a> {
    coverage: Vec<Coverage<'a>>,
    vectors: Option<&'a PartVectors>,
}

impl<'a> Gauge<'a> {
    /// For the tools of `ranking`, which came of `vectors`.
    pub fn new(index: &'a Index, vectors: &'a [PartVectors], ranking: &'a Ranking) -> Self {
        let text = |(at, lists): (usize, &'a ArmLists)| {
            let parts = std::iter::once(lists).chain(&lists.pieces);
            Text {
                coverage: parts.map(|part| index.lexical.coverage(&part.asked)).collect(),
                vectors: vectors.get(at),
            }
        };
        let texts = ranking.lists.iter().enumerate().map(text).collect();
        Self { index, ranking, texts }
    }

    /// What is known of `tool`, for each phrasing; of its whole and its pieces what fits best,
    /// since a tool that meets one need of several is a good one.
    pub fn features(&self, tool: ToolIdx) -> impl Iterator<Item = Features> {
        self.texts.iter().map(move |text| {
            let dense = self.index.dense.as_ref().zip(text.vectors);
            let cosine = dense.and_then(|(dense, vectors)| {
                let parts: Vec<&[f32]> = vectors.texts().collect();
                dense.scores(&parts, &[tool]).into_iter().flatten().flatten().reduce(f32::max)
            });
            let coverage = text.coverage.iter().map(|part| part.of(tool)).fold(0.0, f32::max);
            #[expect(clippy::cast_precision_loss, reason = "a query has a few thousand terms")]
            let terms = text.coverage.first().map_or(1, Coverage::terms).max(1) as f32;
            Features {
                cosine,
                coverage,
                length: terms.ln(),
                named: self.ranking.named.contains(&tool),
            }
        })
    }

    /// The confidence in `tool`: that of the phrasing which fits it best.
    pub fn confidence(&self, tool: ToolIdx) -> f32 {
        let best = self.features(tool).map(|features| features.confidence()).fold(0.0, f32::max);
        // More digits would say more than is known.
        (best * 1000.0).round() / 1000.0
    }
}

/// True when none of the tools of an answer is likely enough to be what is looked for; `hybrid`
/// says that the query has a vector.
pub fn no_good_match(hybrid: bool, mut confidences: impl Iterator<Item = f32>) -> bool {
    let least = if hybrid { fitted::NO_GOOD_MATCH } else { fitted::NO_GOOD_MATCH_LEXICAL };
    confidences.all(|confidence| confidence < least)
}

impl Features {
    fn confidence(&self) -> f32 {
        let named = if self.named { 1.0 } else { 0.0 };
        let (weights, cosine) = match self.cosine {
            Some(cosine) => (fitted::HYBRID, cosine),
            None => (fitted::LEXICAL, 0.0),
        };
        // The root, since the first matches say the most.
        let values = [1.0, cosine, self.coverage.sqrt(), self.length, named];
        let logit: f32 = values.iter().zip(weights).map(|(value, weight)| value * weight).sum();
        1.0 / (1.0 + (-logit).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confidence(cosine: Option<f32>, coverage: f32, named: bool) -> f32 {
        Features { cosine, coverage, length: 1.5, named }.confidence()
    }

    #[test]
    fn more_evidence_never_lowers_it() {
        let steps = || (0..=10_u8).map(|step| f32::from(step) / 10.0);
        let rises = |values: Vec<f32>| {
            assert!(values.iter().all(|value| (0.0..=1.0).contains(value)), "{values:?}");
            assert!(values.is_sorted() && values[0] < values[10], "{values:?}");
        };
        for known in [None, Some(0.1), Some(0.5)] {
            rises(steps().map(|coverage| confidence(known, coverage, false)).collect());
            assert!(confidence(known, 0.3, true) > confidence(known, 0.3, false));
        }
        rises(steps().map(|cosine| confidence(Some(cosine), 0.3, false)).collect());
    }

    #[test]
    fn one_good_tool_is_enough() {
        for hybrid in [true, false] {
            assert!(no_good_match(hybrid, [].into_iter()));
            assert!(no_good_match(hybrid, [0.0, 0.0].into_iter()));
            assert!(!no_good_match(hybrid, [0.0, 1.0].into_iter()));
        }
    }
}
