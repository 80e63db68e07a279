//! What goes over HTTP: the bodies that are read and written, and their schemas.
//!
//! Invariant: a definition is written as the bytes that are stored, and every body that is served
//! is one of these types, from which `/openapi.json` is made.

mod asked;
mod call;
mod near;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

pub use self::asked::{Asked, Need, SearchRequest};
pub use self::call::{CallAnswer, CallRequest};
pub use self::near::{Lint, NearTool};
use super::debug::Debug;
use super::formats::{Body, Tokens};
use super::trust::{About, EarlierDefinition, Found, HeldDefinition, History};
use crate::live::trusted::Known;
use crate::live::{ServerState, ServerStatus, Status};
use crate::search::{Answer, Explain, Mode, Stale, Why};
use crate::tool::{ServerId, Tool, ToolId};

/// An answer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SearchAnswer<'a> {
    /// The generation of the index that was searched.
    pub generation: u64,
    /// The arms that ranked.
    pub mode: Mode,
    /// Why that is not `hybrid` though it was not asked for, or not reranked although it should be, and
    /// what mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// Microseconds from the query to the ranking, embedding included.
    pub took_us: u64,
    /// Best first.
    pub tools: Vec<FoundTool<'a>>,
    /// What they take, where there is a budget.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
    /// None of them is likely to be what is looked for.
    pub no_good_match: bool,
    /// Why one tool stands where it does, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'a Why>,
    /// Servers among them whose tools may be out of date.
    pub stale: &'a [Stale],
    /// What the stages took and found, when an operator asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debug: Option<Debug<'a>>,
}

/// The answers to a batch.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BatchAnswer<'a> {
    /// One for each need, in the order of the needs.
    pub answers: Vec<Body<'a>>,
}

/// A tool that fits.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct FoundTool<'a> {
    /// `server/name`, unique.
    pub id: &'a str,
    /// The server that offers it.
    pub server: &'a str,
    /// Its name at that server.
    pub name: &'a str,
    /// Comparable within this answer only.
    pub score: f32,
    /// How likely it meets the need, 0 to 1; comparable between answers.
    pub confidence: f32,
    /// Ids of the same tool on other servers.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schemars(with = "Vec<String>", default)]
    pub duplicates: &'a [ToolId],
    /// It is in every answer of the profile, beside those that `limit` counts.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    pub pinned: bool,
    /// The definition as its server sent it, but for what the profile says in its place, unless
    /// `reduced` says otherwise.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub definition: Cow<'a, RawValue>,
    /// What was left out for the token budget, and how to get it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reduced: Option<String>,
    /// The tokens of its definition, by o200k, where its place is explained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<usize>,
    /// How it came to its place, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explain: Option<&'a Explain>,
}

impl<'a> From<&'a Answer> for SearchAnswer<'a> {
    fn from(answer: &'a Answer) -> Self {
        let tools = answer.hits.iter().map(|hit| FoundTool {
            id: hit.tool.id.as_str(),
            server: hit.tool.server.as_str(),
            name: &hit.tool.name,
            score: hit.score,
            confidence: hit.confidence,
            duplicates: &hit.duplicates,
            pinned: hit.pinned,
            definition: Cow::Borrowed(&hit.tool.definition),
            reduced: None,
            tokens: None,
            explain: hit.explain.as_ref(),
        });
        Self {
            generation: answer.generation,
            mode: answer.mode,
            reason: answer.reason.as_deref(),
            took_us: answer.took_us,
            tools: tools.collect(),
            tokens: None,
            no_good_match: answer.no_good_match,
            why: answer.why.as_ref(),
            stale: &answer.stale,
            debug: None,
        }
    }
}

/// A tool.
#[derive(Debug, Serialize, JsonSchema)]
pub struct KnownTool<'a> {
    /// `server/name`, unique.
    pub id: &'a str,
    /// The server that offers it.
    pub server: &'a str,
    /// Its name at that server.
    pub name: &'a str,
    /// The definition as its server sent it.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub definition: &'a RawValue,
    /// Since when it is known; with a single tool only, as what follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
    /// What is odd in the definition.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub findings: Vec<Found>,
    /// A newer definition that waits for approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldDefinition>,
    /// Definitions that were served before, newest first, when asked for; a few are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub earlier: Option<Vec<EarlierDefinition>>,
    /// Tools that say nearly the same, the likest first, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub near: Option<Vec<NearTool>>,
    /// What makes it hard to find or to use, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lint: Option<Vec<Lint>>,
}

impl<'a> From<&'a Tool> for KnownTool<'a> {
    fn from(tool: &'a Tool) -> Self {
        Self {
            id: tool.id.as_str(),
            server: tool.server.as_str(),
            name: &tool.name,
            definition: &tool.definition,
            history: None,
            findings: Vec::new(),
            held: None,
            earlier: None,
            near: None,
            lint: None,
        }
    }
}

impl KnownTool<'_> {
    /// The tool, and what is known beside its definition.
    #[must_use]
    pub fn with(self, about: About) -> Self {
        let About { history, findings, held } = about;
        Self { history, findings, held, ..self }
    }
}

/// A page of tools.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ToolPage<'a> {
    /// The generation that was read.
    pub generation: u64,
    /// Ordered by id.
    pub tools: Vec<KnownTool<'a>>,
    /// Give it as `cursor` to get the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<&'a str>,
}

/// Every configured server.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ServerList<'a> {
    /// Ordered by id.
    pub servers: Vec<KnownServer<'a>>,
}

/// A server.
#[derive(Debug, Serialize, JsonSchema)]
pub struct KnownServer<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its display title.
    pub title: Option<&'a str>,
    /// What can be said of it at the moment.
    pub state: ServerState,
    /// The MCP version spoken.
    pub protocol: Option<&'a str>,
    /// `stdio`, `http` or `file`.
    pub transport: &'a str,
    /// How many tools it offers; null when that is unknown.
    pub tools: Option<usize>,
    /// Seconds that it says its listing holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<f64>,
    /// It says that its tools are for whoever has the credentials that it is crawled with.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    pub private: bool,
    /// Seconds since its last complete listing.
    pub age_s: Option<u64>,
    /// Seconds to the next crawl.
    pub next_crawl_s: Option<u64>,
    /// Why the last crawl failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
    /// Where to log in, if it wants that; on a listener on loopback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login_url: Option<String>,
    /// Tools that were left out or are defective, a line each.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schemars(default)]
    pub defects: &'a [String],
    /// New and changed definitions that wait for approval, since it is pinned.
    pub held: usize,
    /// Definitions that are not served for what was found in them.
    pub quarantined: usize,
    /// Tools in which something was found (`/v1/findings`).
    pub suspicious: usize,
}

impl<'a> KnownServer<'a> {
    /// A server as it is at `now`.
    pub fn at(now: SystemTime, id: &'a ServerId, status: &'a ServerStatus, known: &Known) -> Self {
        let counts = known.book.counts(id.as_str(), known.policy.of(id));
        let seconds = |span: Result<Duration, _>| span.map_or(0, |span| span.as_secs());
        Self {
            id: id.as_str(),
            title: status.title.as_deref(),
            state: status.state,
            protocol: status.protocol.as_deref(),
            transport: status.transport,
            tools: status.tools,
            ttl_s: status.ttl.map(|ttl| ttl.as_secs_f64()),
            private: status.private,
            age_s: status.crawled_at.map(|then| seconds(now.duration_since(then))),
            next_crawl_s: status
                .next_crawl
                .map(|then| then.saturating_duration_since(Instant::now()).as_secs()),
            error: status.error.as_deref(),
            login_url: None,
            defects: &status.defects,
            held: counts.held,
            quarantined: counts.quarantined,
            suspicious: counts.suspicious,
        }
    }
}

/// The index as a whole.
#[derive(Debug, Serialize, JsonSchema)]
pub struct IndexStatus<'a> {
    /// Number of the published generation; 0 before the first.
    pub generation: u64,
    /// What a query would be answered with now.
    pub mode: Mode,
    /// Why that is not `hybrid`, or not reranked although it should be, and what mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// The encoder, if there is one.
    pub encoder: Option<&'a str>,
    /// The reranker, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reranker: Option<&'a str>,
    /// Tools that have a vector.
    pub embedded: usize,
    /// Tools in the catalog.
    pub total: usize,
    /// How many servers are in each state.
    #[schemars(with = "BTreeMap<String, usize>")]
    pub servers: BTreeMap<ServerState, usize>,
    /// Seconds since this process began to serve.
    pub uptime_s: u64,
    /// The version of toolscout.
    pub version: &'a str,
    /// The audit log can't be written at the moment, and requests go on without it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    pub audit_failing: bool,
}

impl<'a> IndexStatus<'a> {
    /// The status with the servers counted.
    pub fn of(status: &'a Status, servers: &BTreeMap<ServerId, ServerStatus>) -> Self {
        Self {
            generation: status.generation,
            mode: status.mode,
            reason: status.reason.as_deref(),
            encoder: status.encoder.as_deref(),
            reranker: status.reranker.as_deref(),
            embedded: status.embedded,
            total: status.total,
            servers: count_states(servers),
            uptime_s: status.started.elapsed().as_secs(),
            version: env!("CARGO_PKG_VERSION"),
            audit_failing: false,
        }
    }
}

const STATES: [ServerState; 8] = [
    ServerState::Ready,
    ServerState::Stale,
    ServerState::Connecting,
    ServerState::AuthRequired,
    ServerState::Failed,
    ServerState::Disabled,
    ServerState::Paused,
    ServerState::PendingApproval,
];

/// How many servers are in each state, with the zeros, so that a state never just vanishes.
pub fn count_states(servers: &BTreeMap<ServerId, ServerStatus>) -> BTreeMap<ServerState, usize> {
    let mut counts: BTreeMap<_, _> = STATES.iter().map(|state| (*state, 0)).collect();
    for server in servers.values() {
        *counts.entry(server.state).or_default() += 1;
    }
    counts
}

/// A state as it is written.
pub fn state_name(state: ServerState) -> &'static str {
    match state {
        ServerState::Ready => "ready",
        ServerState::Stale => "stale",
        ServerState::Connecting => "connecting",
        ServerState::AuthRequired => "auth_required",
        ServerState::Failed => "failed",
        ServerState::Disabled => "disabled",
        ServerState::Paused => "paused",
        ServerState::PendingApproval => "pending_approval",
    }
}
