//! What an operator is told of a search beside its answer: `debug`.
//!
//! Invariant: nobody else is: how long a search takes tells of what others have.

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::problem::Problem;
use super::trail::Trail;
use crate::search::Answer;

/// What the stages of a search took and found.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct Debug<'a> {
    /// The same was answered before in this generation: no stage was gone through.
    pub repeated: bool,
    /// The generation that was searched.
    pub generation: u64,
    /// Why the answer is less than it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// Microseconds of each stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_us: Option<StageTimes>,
    /// Tools that each stage gave to the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidates: Option<Candidates>,
}

/// Microseconds.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct StageTimes {
    /// Making vectors of the query.
    pub embed: u64,
    /// The words' arm.
    pub lexical: u64,
    /// The vectors' arm, where it ranked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dense: Option<u64>,
    /// Making one ranking of both.
    pub fuse: u64,
    /// Ordering the best anew, where something does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rerank: Option<u64>,
    /// All of it, and what is not named here.
    pub all: u64,
}

/// Numbers of tools.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct Candidates {
    /// Of the words' arm, over all texts and their pieces.
    pub lexical: usize,
    /// Of the vectors' arm.
    pub dense: usize,
    /// In the ranking of both.
    pub ranked: usize,
    /// In the answer.
    pub returned: usize,
}

impl<'a> Debug<'a> {
    /// Of this answer.
    pub fn of(answer: &'a Answer) -> Self {
        let us = |took: std::time::Duration| u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        Self {
            repeated: answer.repeated,
            generation: answer.generation,
            reason: answer.reason.as_deref(),
            took_us: answer.stages.map(|stages| StageTimes {
                embed: us(stages.embed),
                lexical: us(stages.lexical),
                dense: stages.dense.map(us),
                fuse: us(stages.fuse),
                rerank: stages.rerank.map(us),
                all: answer.took_us,
            }),
            candidates: answer.stages.map(|stages| Candidates {
                lexical: stages.of_lexical,
                dense: stages.of_dense,
                ranked: stages.ranked,
                returned: answer.hits.len(),
            }),
        }
    }
}

/// Refuses `debug` to those who administer nothing.
pub fn check(asked: bool, trail: &Trail) -> Result<(), Problem> {
    if !asked || trail.is_operators() {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "not-an-operator",
        "debug is for operators: ask without it, or with credentials that may administer",
    ))
}
