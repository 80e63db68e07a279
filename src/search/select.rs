//! How many tools to return when the caller does not say.
//!
//! Invariant: 5 to 10 for one need and up to 20 for several, fewer only when fewer were found.

use super::slots::Slot;

/// Fewest tools without a `limit`.
const FEWEST: usize = 5;
/// Most tools for one need.
const MOST: usize = 10;
/// Most tools for any number of needs.
pub const MOST_OF_ALL: usize = 20;
/// A tool beyond the fewest stays while it scores this share of the best: one half as good as the
/// best. Below that a tool more made fewer than one answer in a hundred complete, and no cut by
/// the fifth score or by the largest drop was better at the same number (`benches/QUALITY.md`).
const FALL_OFF: f32 = 0.5;

/// How many of `slots` (best first) to return to a query of so many needs.
pub fn cut(slots: &[Slot], needs: usize) -> usize {
    if slots.len() <= FEWEST {
        return slots.len();
    }
    let most = if needs > 1 { (FEWEST * needs).clamp(MOST, MOST_OF_ALL) } else { MOST };
    // A tool that the query names scores beyond 1, which the others can't reach.
    let floor = slots[0].shown.score.min(1.0) * FALL_OFF;
    let more = slots[FEWEST..].iter().take(most - FEWEST);
    FEWEST + more.take_while(|slot| slot.shown.score >= floor).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ToolIdx;
    use crate::index::Ranked;

    fn slots(scores: &[f32]) -> Vec<Slot> {
        (0_u32..)
            .zip(scores)
            .map(|(at, score)| Slot {
                shown: Ranked { tool: ToolIdx(at), score: *score },
                beside: Vec::new(),
            })
            .collect()
    }

    #[test]
    fn five_to_ten_by_where_the_scores_fall() {
        assert_eq!(cut(&[], 1), 0);
        assert_eq!(cut(&slots(&[0.9, 0.1]), 1), 2);
        assert_eq!(cut(&slots(&[0.9, 0.8, 0.7, 0.6, 0.5, 0.1, 0.1]), 1), 5);
        assert_eq!(cut(&slots(&[0.8, 0.8, 0.7, 0.6, 0.5, 0.45, 0.42, 0.1]), 1), 7);
        assert_eq!(cut(&slots(&[1.9, 0.8, 0.7, 0.6, 0.6, 0.55, 0.52, 0.45]), 1), 7);
        assert_eq!(cut(&slots(&[0.9, 0.1, 0.1, 0.1, 0.1, 0.1]), 1), 5);
        assert_eq!(cut(&slots(&[0.5; 30]), 1), 10);
    }

    #[test]
    fn more_for_several_needs() {
        assert_eq!(cut(&slots(&[0.5; 30]), 2), 10);
        assert_eq!(cut(&slots(&[0.5; 30]), 3), 15);
        assert_eq!(cut(&slots(&[0.5; 30]), 9), 20);
        assert_eq!(cut(&slots(&[0.5; 7]), 9), 7);
    }
}
