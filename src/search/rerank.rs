//! The best of a ranking, put in another order.
//!
//! Invariant: tools that the query names stay first, and what is beyond the depth stays behind.

use std::cmp::Ordering;

use super::{Placed, Ranking};
use crate::catalog::ToolIdx;

impl Ranking {
    /// The best `depth` tools that the query does not name, best first: those to reorder.
    pub fn candidates(&self, depth: usize) -> Vec<ToolIdx> {
        self.places(depth).into_iter().map(|at| self.ranked[at].tool).collect()
    }

    /// Puts the candidates in the order of `scores`, which are theirs one by one, best first.
    /// Each takes the fused score of the place that it comes to: where the scores fall off is
    /// still told by both arms. Equals stay as they were.
    pub fn reorder(&mut self, scores: &[f32]) {
        let places = self.places(scores.len());
        let tools = places.iter().map(|at| self.ranked[*at].tool);
        let mut pairs: Vec<(ToolIdx, f32)> = tools.zip(scores.iter().copied()).collect();
        pairs.sort_by(|(_, a), (_, b)| b.partial_cmp(a).unwrap_or(Ordering::Equal));
        for (rank, (at, (tool, score))) in (1..).zip(places.into_iter().zip(pairs)) {
            self.ranked[at].tool = tool;
            self.reranked.insert(tool, Placed { rank, score });
        }
    }

    fn places(&self, depth: usize) -> Vec<usize> {
        let unnamed = |at: &usize| !self.named.contains(&self.ranked[*at].tool);
        (0..self.ranked.len()).filter(unnamed).take(depth).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Stages;
    use super::*;
    use crate::index::Ranked;

    #[test]
    fn named_tools_and_what_is_deeper_stay() {
        let ranked = (0..6_u8)
            .map(|at| Ranked { tool: ToolIdx(at.into()), score: 2.0 - f32::from(at) / 10.0 });
        let named = [ToolIdx(0), ToolIdx(2)].into();
        let (admitted, lists) = Default::default();
        let mut ranking = Ranking {
            ranked: ranked.collect(),
            needs: 1,
            named,
            admitted,
            reranked: BTreeMap::new(),
            lifted: BTreeMap::new(),
            lists,
            stages: Stages::default(),
        };
        assert_eq!(ranking.candidates(3), [ToolIdx(1), ToolIdx(3), ToolIdx(4)]);
        let before: Vec<f32> = ranking.ranked.iter().map(|ranked| ranked.score).collect();
        ranking.reorder(&[0.1, 7.0, 0.1]);
        let tools: Vec<u32> = ranking.ranked.iter().map(|ranked| ranked.tool.0).collect();
        assert_eq!(tools, [0, 3, 2, 1, 4, 5]);
        let after: Vec<f32> = ranking.ranked.iter().map(|ranked| ranked.score).collect();
        assert_eq!(after, before);
        let placed = ranking.reranked.get(&ToolIdx(3));
        assert_eq!(placed, Some(&Placed { rank: 1, score: 7.0 }));
        assert_eq!(ranking.reranked.len(), 3);
    }
}
