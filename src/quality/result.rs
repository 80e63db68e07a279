//! What comes of an evaluation, as it is kept and as it is told.
//!
//! Invariant: the scores are those that `toolscout eval` prints for the same queries, index and encoder.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Job;
use crate::eval::{AsServed, GroupReport, Outcome};
use crate::search::{Arms, Mode};

/// Where an evaluation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "EvalState")]
pub enum State {
    /// Others are before it.
    Waiting,
    /// It is at work.
    Running,
    /// There is a result.
    Done,
    /// There will be none.
    Failed,
}

/// An evaluation.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Eval")]
pub struct Status {
    /// Its id, which sorts by time.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// Where it stands.
    pub state: State,
    /// How many queries were asked.
    pub done: usize,
    /// How many there are.
    pub total: usize,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
}

impl Status {
    pub(super) fn open(job: &Job, is_first: bool) -> Self {
        Self {
            id: job.id.to_string(),
            name: job.wanted.name.clone(),
            state: if is_first { State::Running } else { State::Waiting },
            done: job.done.load(Ordering::SeqCst),
            total: job.wanted.queries.len(),
            error: None,
            head: None,
        }
    }

    pub(super) fn failed(job: &Job, error: String) -> Self {
        Self { state: State::Failed, error: Some(error), ..Self::open(job, false) }
    }

    pub(super) fn done(head: Head) -> Self {
        let all = head.queries + head.unscored;
        Self {
            id: head.id.clone(),
            name: head.name.clone(),
            state: State::Done,
            done: all,
            total: all,
            error: None,
            head: Some(head),
        }
    }
}

/// What came of an evaluation, in short, and of what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "EvalHead")]
pub struct Head {
    /// The evaluation's id.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// When it began.
    pub at: String,
    /// How long it took.
    pub took_ms: u64,
    /// The generation of the index.
    pub generation: u64,
    /// How many tools it had.
    pub tools: usize,
    /// The arms that ranked.
    pub mode: Mode,
    /// Why that is less than is configured, if it is.
    pub reason: Option<String>,
    /// The encoder.
    pub encoder: Option<String>,
    /// The reranker.
    pub reranker: Option<String>,
    /// What was learned from use counted.
    pub learned: bool,
    /// The arms that were asked for.
    pub arms: Arms,
    /// The limit that was asked for.
    pub limit: Option<usize>,
    /// The release.
    pub version: String,
    /// The same where release, encoder, reranker, arms, limit and learning are.
    pub configuration: String,
    /// The same where every tool is.
    pub catalog: String,
    /// The same where every query and label is.
    pub file: String,
    /// Queries that were scored.
    pub queries: usize,
    /// Queries without a need: no labels, or no tool fits.
    pub unscored: usize,
    /// Scored queries whose answer lacks a tool.
    pub failed: usize,
    /// The scores of all.
    pub all: GroupReport,
    /// What a caller gets.
    pub as_served: AsServed,
}

impl Head {
    /// Its id as it names its file.
    pub(super) fn number(&self) -> u64 {
        self.id.parse().unwrap_or_default()
    }
}

/// A query whose answer lacks a tool that it is labelled with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "EvalFailure")]
pub struct Failure {
    /// The query's id.
    pub id: String,
    /// The query, cut where it is very long.
    pub query: String,
    /// Its category.
    pub category: Option<String>,
    /// What is lacking.
    pub missed: Vec<Missed>,
    /// What the answer has, best first.
    pub got: Vec<String>,
}

/// A tool that an answer lacks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Missed {
    /// The tool.
    pub tool: String,
    /// The rank of it, or of the best other tool that would have done; none beyond rank 100.
    pub rank: Option<usize>,
    /// It is in the catalog.
    pub known: bool,
}

/// All that is kept of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub head: Head,
    pub categories: BTreeMap<String, GroupReport>,
    /// The first of them, in the order of the file; `head.failed` is how many there are.
    pub failures: Vec<Failure>,
    pub outcomes: Vec<Outcome>,
    /// The queries of `outcomes`, cut.
    pub texts: Vec<String>,
}

/// An evaluation, with all that is told of it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "EvalShown")]
pub struct Shown {
    /// Where it stands, and what came of it in short.
    #[serde(flatten)]
    pub status: Status,
    /// The scores of each category.
    pub categories: BTreeMap<String, GroupReport>,
    /// The first queries whose answer lacks a tool, in the order of the file.
    pub failures: Vec<Failure>,
}
