//! The rankings of the arms become one.
//!
//! Convex combination (Bruch, Gai and Ingber, "An analysis of fusion functions for hybrid
//! retrieval", TOIS 2023): the lexical score over its maximum and the dense score scaled to its
//! candidates' range, weighted and added. Invariant: ties break by tool id, and every fused score
//! is between 0 and 1.

use std::collections::HashMap;

use super::{Arms, Query};
use crate::catalog::ToolIdx;
use crate::index::{Index, Ranked};

/// How deep each arm ranks.
pub const DEPTH: usize = 100;
/// Weight of the lexical arm where both have a say.
const LEXICAL_WEIGHT: f32 = 0.5;

/// What each arm said of one text, best first.
#[derive(Debug, Default)]
pub struct ArmLists {
    /// BM25F.
    pub lexical: Vec<Ranked>,
    /// Vectors.
    pub dense: Vec<Ranked>,
}

/// Ranks every text of `query` in every arm it asks for. `vectors` are the texts' vectors in
/// order, or empty when there are none.
pub fn rank_arms(
    index: &Index,
    query: &Query,
    vectors: &[Vec<f32>],
    keep: impl Fn(ToolIdx) -> bool + Copy,
) -> Vec<ArmLists> {
    let filtered = !query.servers.is_empty();
    let arms = |(at, text): (usize, &String)| ArmLists {
        lexical: match query.arms {
            Arms::Hybrid | Arms::Lexical => index.lexical.search(text, DEPTH, keep),
            Arms::Dense => Vec::new(),
        },
        dense: match (query.arms, &index.dense, vectors.get(at)) {
            (Arms::Hybrid | Arms::Dense, Some(dense), Some(vector)) => {
                dense.search(vector, DEPTH, filtered, keep)
            }
            _ => Vec::new(),
        },
    };
    query.texts.iter().enumerate().map(arms).collect()
}

/// One ranking out of the arms' of all texts, best first.
pub fn fuse(index: &Index, lists: &[ArmLists], vectors: &[Vec<f32>]) -> Vec<Ranked> {
    let mut fused: HashMap<ToolIdx, f32> = HashMap::new();
    for (at, lists) in lists.iter().enumerate() {
        let vector = vectors.get(at).map(Vec::as_slice);
        for (tool, score) in fuse_one(index, lists, vector) {
            *fused.entry(tool).or_default() += score;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a handful of phrasings")]
    let texts = lists.len().max(1) as f32;
    let mut ranking: Vec<Ranked> =
        fused.into_iter().map(|(tool, sum)| Ranked { tool, score: sum / texts }).collect();
    ranking.sort_unstable_by(Ranked::order);
    ranking
}

fn fuse_one(index: &Index, lists: &ArmLists, vector: Option<&[f32]>) -> HashMap<ToolIdx, f32> {
    let best = lists.lexical.first().map_or(1.0, |ranked| ranked.score);
    let mut scores: HashMap<ToolIdx, f32> =
        lists.lexical.iter().map(|ranked| (ranked.tool, ranked.score / best)).collect();
    let (Some(top), Some(bottom), Some(dense), Some(vector)) =
        (lists.dense.first(), lists.dense.last(), &index.dense, vector)
    else {
        return scores;
    };
    let range = (top.score - bottom.score).max(f32::EPSILON);
    let scaled = |score: f32| ((score - bottom.score) / range).clamp(0.0, 1.0);
    let lexical_weight = if lists.lexical.is_empty() { 0.0 } else { LEXICAL_WEIGHT };
    for (tool, score) in &mut scores {
        // A tool without a vector yet competes by the lexical arm alone.
        if let Some(cosine) = dense.score(vector, *tool) {
            *score = lexical_weight * *score + (1.0 - lexical_weight) * scaled(cosine);
        }
    }
    for ranked in &lists.dense {
        scores.entry(ranked.tool).or_insert_with(|| (1.0 - lexical_weight) * scaled(ranked.score));
    }
    scores
}
