//! What goes over HTTP: the bodies that are read and written, and their schemas.
//!
//! Invariant: a definition is written as the bytes that are stored, and every body that is served
//! is one of these types, from which `/openapi.json` is made.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::problem::Problem;
use super::trust::{About, Found, HeldDefinition, History};
use crate::live::trusted::Known;
use crate::live::{ServerState, ServerStatus, Status};
use crate::search::{Answer, Explain, MAX_PHRASINGS, Mode, Query, Stale, Why};
use crate::tool::hints::HintFilter;
use crate::tool::{ServerId, Tool, ToolId};

/// Most needs of one batch.
pub const MAX_BATCH: usize = 32;

/// A need, in one or several phrasings.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Need {
    /// What the tool should do, in a few words, or its name.
    #[serde(default)]
    pub query: Option<String>,
    /// Several phrasings of the same need; their rankings are fused.
    #[serde(default)]
    #[schemars(length(max = MAX_PHRASINGS))]
    pub queries: Option<Vec<String>>,
    /// How many tools, 1 to 50; without it 5 to 10, as the scores fall off, and up to 20 for a task
    /// of several needs.
    #[serde(default)]
    #[schemars(range(min = 1, max = 50))]
    pub limit: Option<usize>,
    /// Only tools of these servers, by id; empty means all.
    #[serde(default)]
    pub servers: Vec<String>,
    /// Only tools that say (true) or do not say (false) that they change nothing.
    #[serde(default)]
    pub read_only: Option<bool>,
    /// Only tools that may (true) or do not (false) delete or overwrite; one that says nothing may.
    #[serde(default)]
    pub destructive: Option<bool>,
    /// Only tools that reach (true) or do not reach (false) beyond their server; one that says
    /// nothing does.
    #[serde(default)]
    pub open_world: Option<bool>,
}

/// The body of `POST /v1/search`: one need, or `batch`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchRequest {
    /// What the tool should do, in a few words, or its name.
    #[serde(default)]
    pub query: Option<String>,
    /// Several phrasings of the same need; their rankings are fused.
    #[serde(default)]
    #[schemars(length(max = MAX_PHRASINGS))]
    pub queries: Option<Vec<String>>,
    /// How many tools, 1 to 50; without it 5 to 10, up to 20 for a task of several needs. In a
    /// batch: for needs that name none.
    #[serde(default)]
    #[schemars(range(min = 1, max = 50))]
    pub limit: Option<usize>,
    /// Only tools of these servers, by id. In a batch: for needs that name none.
    #[serde(default)]
    pub servers: Vec<String>,
    /// The profile whose view is searched; without it all tools are.
    #[serde(default)]
    pub profile: Option<String>,
    /// Only tools that say (true) or do not say (false) that they change nothing. In a batch, as
    /// the next two: for needs that do not say.
    #[serde(default)]
    pub read_only: Option<bool>,
    /// Only tools that may (true) or do not (false) delete or overwrite; one that says nothing may.
    #[serde(default)]
    pub destructive: Option<bool>,
    /// Only tools that reach (true) or do not reach (false) beyond their server; one that says
    /// nothing does.
    #[serde(default)]
    pub open_world: Option<bool>,
    /// Say of each tool how it came to its place.
    #[serde(default)]
    pub explain: bool,
    /// The id of a tool: say why it stands where it does, found or not.
    #[serde(default)]
    pub why: Option<String>,
    /// Independent needs, each with an answer of its own.
    #[serde(default)]
    #[schemars(length(min = 1, max = MAX_BATCH))]
    pub batch: Option<Vec<Need>>,
}

impl Need {
    /// The query that is meant.
    pub fn into_query(self, explain: bool, why: Option<&str>) -> Result<Query, Problem> {
        let texts = match (self.query, self.queries) {
            (Some(query), None) => vec![query],
            (None, Some(queries)) => queries,
            _ => {
                return Err(Problem::invalid(
                    "give either query (a text) or queries (several phrasings of one need)",
                ));
            }
        };
        Ok(Query {
            texts,
            hints: HintFilter {
                read_only: self.read_only,
                destructive: self.destructive,
                open_world: self.open_world,
            },
            limit: self.limit,
            servers: self.servers.into_iter().map(ServerId::from).collect(),
            explain,
            why: why.map(ToolId::from),
            ..Query::default()
        })
    }
}

/// The body of `POST /v1/call`: `id` and `arguments`, or one of the forms that models mistake them
/// for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct CallRequest(#[schemars(with = "Call")] pub serde_json::Map<String, serde_json::Value>);

/// A call of a tool.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "a schema alone: a call is read in more forms than this one")]
struct Call {
    /// The tool's id (`server/name`), or its name where that is the only one.
    id: String,
    /// Its arguments, by the inputSchema of its definition.
    #[schemars(default)]
    arguments: serde_json::Map<String, serde_json::Value>,
}

/// What a call came to at the tool's server.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CallAnswer<'a> {
    /// What was called.
    pub id: &'a str,
    /// The server that answered.
    pub server: &'a str,
    /// The result as it sent it, an error of the tool included (`isError`).
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub result: &'a RawValue,
}

/// What a `POST /v1/search` asks for.
#[derive(Debug)]
pub enum Asked {
    /// One need.
    One(Query),
    /// Several, each to be answered by itself.
    Batch(Vec<Query>),
}

impl SearchRequest {
    /// The queries that are meant.
    pub fn into_queries(self) -> Result<Asked, Problem> {
        let need = Need {
            query: self.query,
            queries: self.queries,
            limit: self.limit,
            servers: self.servers,
            read_only: self.read_only,
            destructive: self.destructive,
            open_world: self.open_world,
        };
        let Some(batch) = self.batch else {
            return need.into_query(self.explain, self.why.as_deref()).map(Asked::One);
        };
        if need.query.is_some() || need.queries.is_some() {
            return Err(Problem::invalid(
                "give either batch or one need (query or queries), not both",
            ));
        }
        if batch.is_empty() || batch.len() > MAX_BATCH {
            return Err(Problem::invalid(format!(
                "batch has {} needs, it must have 1 to {MAX_BATCH}",
                batch.len()
            )));
        }
        let queries = batch.into_iter().enumerate().map(|(at, mut item)| {
            item.limit = item.limit.or(need.limit);
            if item.servers.is_empty() {
                item.servers.clone_from(&need.servers);
            }
            item.read_only = item.read_only.or(need.read_only);
            item.destructive = item.destructive.or(need.destructive);
            item.open_world = item.open_world.or(need.open_world);
            item.into_query(self.explain, self.why.as_deref())
                .map_err(|problem| problem.within(&format!("batch[{at}]")))
        });
        queries.collect::<Result<_, _>>().map(Asked::Batch)
    }
}

/// An answer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SearchAnswer<'a> {
    /// The generation of the index that was searched.
    pub generation: u64,
    /// The arms that ranked.
    pub mode: Mode,
    /// Why that is not `hybrid`, or not reranked although it should be, and what mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// Microseconds from the query to the ranking, embedding included.
    pub took_us: u64,
    /// Best first.
    pub tools: Vec<FoundTool<'a>>,
    /// None of them is likely to be what is looked for.
    pub no_good_match: bool,
    /// Why one tool stands where it does, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'a Why>,
    /// Servers among them whose tools may be out of date.
    pub stale: &'a [Stale],
}

/// The answers to a batch.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BatchAnswer<'a> {
    /// One for each need, in the order of the needs.
    pub answers: Vec<SearchAnswer<'a>>,
}

/// A tool that fits.
#[derive(Debug, Serialize, JsonSchema)]
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
    /// The definition as its server sent it, but for what the profile says in its place.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub definition: &'a RawValue,
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
            definition: &hit.tool.definition,
            explain: hit.explain.as_ref(),
        });
        Self {
            generation: answer.generation,
            mode: answer.mode,
            reason: answer.reason.as_deref(),
            took_us: answer.took_us,
            tools: tools.collect(),
            no_good_match: answer.no_good_match,
            why: answer.why.as_ref(),
            stale: &answer.stale,
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
            next_crawl_s: status.next_crawl.map(|then| seconds(then.duration_since(now))),
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

/// The answer of `/livez` and `/readyz`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Health {
    /// `ok`.
    pub status: &'static str,
    /// Number of the published generation; 0 before the first.
    pub generation: u64,
}
