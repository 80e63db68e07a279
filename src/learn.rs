//! Learning from use: which tool was chosen after which query.
//!
//! Invariant: evidence is of one scope and never counts in another; it fades, is bounded in number
//! and in what one caller can add to it, and can be looked at and erased. Queries are kept as they
//! were asked: that is what whoever switches it on agrees to. Pure and synchronous; the rooms
//! behind it are `live` (its one writer) and `search` (what follows from it).

pub mod book;
pub mod file;
pub mod recent;

use std::time::Duration;

use crate::search::QueryError;

/// Longer texts are no needs but documents: nothing is learned of them.
pub const MAX_TEXT_BYTES: usize = 2_000;

/// How evidence is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The time in which it loses half of its weight.
    pub half_life: Duration,
    /// The most that is kept, over all scopes.
    pub max_events: usize,
}

/// What came of a tool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was taken for what was asked.
    #[default]
    Chosen,
    /// It was not what was asked for.
    Wrong,
}

impl Outcome {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chosen => "chosen",
            Self::Wrong => "wrong",
        }
    }
}

/// Why nothing was learned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LearnError {
    /// The configuration does not ask for it.
    #[error("learning from use is off: set `enabled = true` under [learn] and restart")]
    Off,
    /// The query is none.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The query is too long to be one need.
    #[error("the query has {0} bytes, and of more than {MAX_TEXT_BYTES} nothing is learned")]
    TooLong(usize),
    /// The tool is not there.
    #[error("no tool has the id {0:?}: name one of a search's tools, as `server/name`")]
    UnknownTool(String),
    /// More came than is taken in at once.
    #[error("too much feedback at once: send it again in a few seconds")]
    TooMuch,
}
