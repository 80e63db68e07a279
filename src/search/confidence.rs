//! How likely it is that a tool meets the need: the same number for every query and catalog.
//!
//! A logistic model over what the arms say of a query and a tool, not over their fused score,
//! which means something within one answer only. `scripts/fit_confidence.py` fits the
//! coefficients ([`fitted`]) on labelled queries, and on queries that nothing fits. Invariant: in
//! 0..=1, and a larger cosine or coverage never lowers it.

mod fitted;

use serde::Serialize;

use super::Ranking;
use crate::catalog::ToolIdx;
use crate::index::Index;
use crate::index::lexical::Coverage;

/// What is known of a query and a tool.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Features {
    /// Cosine of their vectors; `None` without an encoder, or while the tool has no vector.
    pub cosine: Option<f32>,
    /// By how much that is above the mean of the dense arm's candidates.
    pub lift: f32,
    /// The share of the query's inverse document frequency that the tool matches.
    pub coverage: f32,
    /// The share of the lexical score of an ideal tool that the tool has.
    pub strength: f32,
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

/// One phrasing.
struct Text<'a> {
    coverage: Coverage<'a>,
    vector: Option<&'a [f32]>,
    /// Mean cosine of the dense arm's candidates.
    usual: f32,
}

impl<'a> Gauge<'a> {
    /// For the tools of `ranking`, which `texts` and their `vectors` gave.
    pub fn new(
        index: &'a Index,
        texts: &[String],
        vectors: &'a [Vec<f32>],
        ranking: &'a Ranking,
    ) -> Self {
        let text = |(at, text): (usize, &String)| Text {
            coverage: index.lexical.coverage(text),
            vector: vectors.get(at).map(Vec::as_slice),
            usual: ranking.lists.get(at).map_or(0.0, |lists| mean(&lists.dense)),
        };
        Self { index, ranking, texts: texts.iter().enumerate().map(text).collect() }
    }

    /// What is known of `tool`, for each phrasing.
    pub fn features(&self, tool: ToolIdx) -> impl Iterator<Item = Features> {
        self.texts.iter().map(move |text| {
            let dense = self.index.dense.as_ref().zip(text.vector);
            let cosine = dense.and_then(|(dense, vector)| dense.score(vector, tool));
            #[expect(clippy::cast_precision_loss, reason = "a query has a few thousand terms")]
            let terms = text.coverage.terms().max(1) as f32;
            let (coverage, strength) = text.coverage.of(tool);
            Features {
                cosine,
                lift: cosine.map_or(0.0, |cosine| cosine - text.usual),
                coverage,
                strength,
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

/// True when none of the tools, best first, is likely enough to be what is looked for.
pub fn no_good_match(confidences: &[f32]) -> bool {
    confidences.iter().all(|confidence| *confidence < fitted::NO_GOOD_MATCH)
}

impl Features {
    fn confidence(&self) -> f32 {
        let named = if self.named { 1.0 } else { 0.0 };
        let (values, weights) = match self.cosine {
            Some(cosine) => (
                vec![1.0, cosine, self.coverage, self.strength, self.length, named],
                &fitted::HYBRID[..],
            ),
            None => {
                (vec![1.0, self.coverage, self.strength, self.length, named], &fitted::LEXICAL[..])
            }
        };
        let logit: f32 = values.iter().zip(weights).map(|(value, weight)| value * weight).sum();
        1.0 / (1.0 + (-logit).exp())
    }
}

fn mean(list: &[crate::index::Ranked]) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "an arm ranks a few hundred")]
    let count = list.len().max(1) as f32;
    list.iter().map(|ranked| ranked.score).sum::<f32>() / count
}
