//! A query, and the answer to it.
//!
//! Invariant: for one generation the same query gets the same answer; ties break by tool id.

use std::sync::Arc;

use serde::Serialize;

use crate::tool::{ServerId, Tool};

/// The largest `limit`.
pub const MAX_LIMIT: usize = 50;
/// Longest query text that is read, in bytes.
pub const MAX_QUERY_BYTES: usize = 16 * 1024;

/// What to look for.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// One or more phrasings of one need; their rankings are fused.
    pub texts: Vec<String>,
    /// How many tools, 1 to [`MAX_LIMIT`]; absent means 5 to 10, by where the scores fall off.
    pub limit: Option<usize>,
    /// Only tools of these servers; empty means all.
    pub servers: Vec<ServerId>,
    /// Fill in [`Hit::explain`].
    pub explain: bool,
    /// Which arms rank.
    pub arms: Arms,
}

/// Which arms rank.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Arms {
    /// Both, where both are there.
    #[default]
    Hybrid,
    /// BM25F alone.
    Lexical,
    /// Vectors alone.
    Dense,
}

/// Which arms an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// BM25F and vectors.
    Hybrid,
    /// BM25F alone.
    Lexical,
    /// Vectors alone (only on request).
    Dense,
}

/// The tools that fit.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The generation that was searched.
    pub generation: u64,
    /// The arms that ranked.
    pub mode: Mode,
    /// Why it is not `hybrid`, and what mends it.
    pub reason: Option<String>,
    /// Microseconds from the query to the ranking, embedding included.
    pub took_us: u64,
    /// Best first.
    pub hits: Vec<Hit>,
    /// Servers among the hits whose tools may be out of date.
    pub stale: Vec<Stale>,
}

/// A server whose last crawl failed.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Stale {
    /// The server.
    #[schemars(with = "String")]
    pub server: ServerId,
    /// Seconds since its last complete listing.
    pub age_s: u64,
}

/// A tool that fits.
#[derive(Debug, Clone)]
pub struct Hit {
    /// The tool.
    pub tool: Arc<Tool>,
    /// Comparable within one answer only.
    pub score: f32,
    /// How it came to its place, when asked for.
    pub explain: Option<Explain>,
}

/// How a tool came to its place.
#[derive(Debug, Clone, Default, Serialize, schemars::JsonSchema)]
pub struct Explain {
    /// The query spells this tool's name.
    pub exact_name: bool,
    /// Its place in the lexical arm, if it is there.
    pub lexical: Option<Placed>,
    /// Its place in the dense arm, if it is there.
    pub dense: Option<Placed>,
    /// Query terms found in it, by field (`name`, `title`, `description`, `params`, `server`).
    pub matched: std::collections::BTreeMap<&'static str, Vec<String>>,
}

/// A place in one arm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Placed {
    /// 1 is the best.
    pub rank: usize,
    /// The arm's own score.
    pub score: f32,
}

/// Why a query can't be searched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// No text with anything to search for.
    #[error("the query is empty: say in a few words what the tool should do")]
    Empty,
    /// A text is too long.
    #[error("the query has {bytes} bytes, at most {MAX_QUERY_BYTES} are read: shorten it")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// `limit` is out of range.
    #[error("limit is {0}, it must be 1 to {MAX_LIMIT}")]
    Limit(usize),
    /// A server that is not configured.
    #[error("no server {0:?}: GET /v1/servers lists them")]
    UnknownServer(String),
}
