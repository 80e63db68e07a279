//! The published generation and the state of every server: what a query reads.
//!
//! Invariant: one writer (the indexer), readers never lock, and a reader that holds a generation
//! keeps a consistent one to the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use serde::Serialize;

use crate::catalog::Catalog;
use crate::search::{Answer, Mode, Query, QueryError};
use crate::tool::ServerId;

/// What can be said of a server at the moment.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    /// Its tools are known and current.
    Ready,
    /// Its last crawl failed: the tools are those of the last good one.
    Stale,
    /// Its first crawl is under way.
    Connecting,
    /// It wants credentials.
    AuthRequired,
    /// It could not be crawled, and nothing is known of its tools.
    Failed,
    /// It is switched off in the configuration.
    Disabled,
    /// Its crawls are paused by an operator.
    Paused,
    /// An operator has not approved its definitions yet.
    PendingApproval,
}

/// A server as operators see it.
#[derive(Debug, Clone)]
pub struct ServerStatus {
    /// Its state.
    pub state: ServerState,
    /// Its display title.
    pub title: Option<String>,
    /// The MCP version spoken.
    pub protocol: Option<String>,
    /// `stdio`, `http` or `file`.
    pub transport: &'static str,
    /// How many tools are known; `None` when unknown, which is not zero.
    pub tools: Option<usize>,
    /// When its last complete listing was read.
    pub crawled_at: Option<SystemTime>,
    /// When the next crawl is due.
    pub next_crawl: Option<SystemTime>,
    /// Why the last crawl failed.
    pub error: Option<String>,
    /// Tools that were left out or are defective: a line each.
    pub defects: Vec<String>,
}

/// What `/v1/status` reports of the index.
#[derive(Debug, Clone)]
pub struct Status {
    /// Number of the published generation; 0 before the first.
    pub generation: u64,
    /// What a query would be answered with now.
    pub mode: Mode,
    /// Why that is not `hybrid`, and what mends it.
    pub reason: Option<String>,
    /// Id of the encoder, if there is one.
    pub encoder: Option<String>,
    /// Tools that have a vector.
    pub embedded: usize,
    /// Tools in the catalog.
    pub total: usize,
    /// When this process began to serve.
    pub started: Instant,
}

/// The live index; a cheap handle.
#[derive(Clone)]
pub struct Live {
    _inner: Arc<()>,
}

impl Live {
    /// The catalog of the published generation.
    pub fn catalog(&self) -> Arc<Catalog> {
        unimplemented!()
    }

    /// Every configured server, ordered by id.
    pub fn servers(&self) -> Arc<BTreeMap<ServerId, ServerStatus>> {
        unimplemented!()
    }

    /// The index as a whole.
    pub fn status(&self) -> Status {
        unimplemented!()
    }

    /// True from the first generation on.
    pub fn is_ready(&self) -> bool {
        unimplemented!()
    }

    /// Resolves when a generation newer than `seen` is published, with its number.
    pub async fn changed(&self, seen: u64) -> u64 {
        std::future::pending::<()>().await;
        seen
    }

    /// Answers a query; past the embedding deadline lexically, and says so.
    pub async fn search(&self, query: &Query) -> Result<Answer, QueryError> {
        let _ = query;
        std::future::pending().await
    }
}
