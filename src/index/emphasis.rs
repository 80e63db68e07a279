//! What an operator wants to see of some tools, whatever is asked: they are returned always, or
//! sooner.
//!
//! Invariant: speaks of tools of the index alone, and changes no score of a tool that is not in it.

use std::collections::BTreeMap;

use super::Ranked;
use crate::catalog::ToolIdx;

/// Pins and boosts. The default one changes nothing.
#[derive(Debug, Default)]
pub struct Emphasis {
    /// Tools that every answer has, in this order.
    pub pinned: Vec<ToolIdx>,
    /// What scores are multiplied by, where that is not 1.
    pub boosts: BTreeMap<ToolIdx, f32>,
}

impl Emphasis {
    /// Lifts or lowers scores, which end at 1 afterwards as before, and puts them in order.
    pub fn apply(&self, ranked: &mut [Ranked]) {
        if self.boosts.is_empty() {
            return;
        }
        for ranked in ranked.iter_mut() {
            ranked.score *= self.boosts.get(&ranked.tool).unwrap_or(&1.0);
        }
        ranked.sort_unstable_by(Ranked::order);
        let best = ranked.first().map_or(1.0, |ranked| ranked.score).max(1.0);
        for ranked in ranked.iter_mut() {
            ranked.score /= best;
        }
    }

    /// The tool is in every answer.
    pub fn is_pinned(&self, tool: ToolIdx) -> bool {
        self.pinned.contains(&tool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_end_at_one_and_stay_in_order() {
        let ranked = |scores: [(u32, f32); 3]| -> Vec<Ranked> {
            scores.map(|(tool, score)| Ranked { tool: ToolIdx(tool), score }).into()
        };
        let mut list = ranked([(0, 1.0), (1, 0.75), (2, 0.5)]);
        Emphasis::default().apply(&mut list);
        assert_eq!(list, ranked([(0, 1.0), (1, 0.75), (2, 0.5)]));
        let emphasis = Emphasis { boosts: [(ToolIdx(1), 2.0)].into(), ..Emphasis::default() };
        emphasis.apply(&mut list);
        assert_eq!(list, ranked([(1, 1.0), (0, 1.0 / 1.5), (2, 0.5 / 1.5)]));
        let emphasis = Emphasis { boosts: [(ToolIdx(1), 0.5)].into(), ..Emphasis::default() };
        emphasis.apply(&mut list);
        assert_eq!(list[0].tool, ToolIdx(0));
        assert!(list.iter().all(|ranked| ranked.score <= 1.0));
    }
}
