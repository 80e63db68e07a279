//! What the stages of a search took and found, for metrics and for operators.
//!
//! Invariant: it changes no answer, and costs a few readings of a clock.

use std::time::Duration;

/// What each stage took, and how much it found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stages {
    /// Making vectors of the query.
    pub embed: Duration,
    /// The words' arm.
    pub lexical: Duration,
    /// The vectors' arm; `None` where it did not rank.
    pub dense: Option<Duration>,
    /// Making one ranking of both.
    pub fuse: Duration,
    /// Ordering the best anew; `None` where nothing does.
    pub rerank: Option<Duration>,
    /// Tools that the words' arm gave, of all texts and pieces.
    pub of_lexical: usize,
    /// Tools that the vectors' arm gave.
    pub of_dense: usize,
    /// Tools in the ranking.
    pub ranked: usize,
}
