//! How many tools to return when the caller does not say.
//!
//! Invariant: 5 to 10 (fewer only when fewer were found), and never cut between equal scores of
//! tools that the query names.

use crate::index::Ranked;

/// Fewest tools without a `limit`.
const FEWEST: usize = 5;
/// Most tools without a `limit`.
const MOST: usize = 10;
/// A tool beyond the fewest stays while it scores this share of the last of them.
const FALL_OFF: f32 = 0.8;

/// How many of `ranking` (best first) to return.
pub fn cut(ranking: &[Ranked]) -> usize {
    let Some(last) = ranking.get(FEWEST - 1) else {
        return ranking.len();
    };
    let floor = last.score * FALL_OFF;
    let more = ranking[FEWEST..].iter().take(MOST - FEWEST);
    FEWEST + more.take_while(|ranked| ranked.score >= floor).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ToolIdx;

    fn ranking(scores: &[f32]) -> Vec<Ranked> {
        let ranked = (0_u32..).zip(scores);
        ranked.map(|(at, score)| Ranked { tool: ToolIdx(at), score: *score }).collect()
    }

    #[test]
    fn five_to_ten_by_where_the_scores_fall() {
        assert_eq!(cut(&[]), 0);
        assert_eq!(cut(&ranking(&[0.9, 0.1])), 2);
        assert_eq!(cut(&ranking(&[0.9, 0.8, 0.7, 0.6, 0.5, 0.1, 0.1])), 5);
        assert_eq!(cut(&ranking(&[0.9, 0.8, 0.7, 0.6, 0.5, 0.45, 0.42, 0.1])), 7);
        assert_eq!(cut(&ranking(&[0.5; 30])), 10);
    }
}
