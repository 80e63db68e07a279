//! What is asked for: one need, or several at once.
//!
//! Invariant: what is not understood is refused by name.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::formats::Wants;
use super::super::problem::Problem;
use crate::format::{Call, Family, Format};
use crate::search::{Arms, MAX_PHRASINGS, Query};
use crate::tool::hints::HintFilter;
use crate::tool::{ServerId, ToolId};

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
    /// The most tokens that the tools may take, an estimate: the last of them are shortened, and
    /// say so, until all fit.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub token_budget: Option<usize>,
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
    /// Which arms rank; to see what each of them does.
    #[serde(default)]
    pub arm: Arms,
    /// Say what each stage of the search took and found; for operators.
    #[serde(default)]
    pub debug: bool,
    /// The shape that the tools come in, as `result`; without it they are described in `tools`.
    #[serde(default)]
    pub format: Option<Format>,
    /// The most tokens that the tools may take, an estimate: the last of them are shortened, and
    /// say so, until all fit. In a batch: for needs that name none.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub token_budget: Option<usize>,
    /// Whose tokens; without it what the format tells.
    #[serde(default)]
    pub family: Option<Family>,
    /// With `tool_reference`: the id of the `tool_use` that is answered.
    #[serde(default)]
    pub tool_use_id: Option<String>,
    /// With `tool_search_output`: the id of the `tool_search_call` that is answered.
    #[serde(default)]
    pub call_id: Option<String>,
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

/// What a `POST /v1/search` asks for, and how it is to be answered.
#[derive(Debug)]
pub enum Asked {
    /// One need.
    One(Query, Wants),
    /// Several, each to be answered by itself.
    Batch(Vec<(Query, Wants)>),
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
            token_budget: self.token_budget,
        };
        let wants = Wants {
            format: self.format,
            token_budget: self.token_budget,
            family: self.family,
            call: Call { tool_use_id: self.tool_use_id, call_id: self.call_id },
            debug: self.debug,
        };
        wants.check()?;
        let Some(batch) = self.batch else {
            let query = need.into_query(self.explain, self.why.as_deref())?;
            return Ok(Asked::One(Query { arms: self.arm, ..query }, wants));
        };
        if wants.call != Call::default() {
            return Err(Problem::invalid("tool_use_id and call_id go with one need, not a batch"));
        }
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
            let budget = item.token_budget.or(need.token_budget);
            let wants = Wants { token_budget: budget, ..wants.clone() };
            wants
                .check()
                .and_then(|()| item.into_query(self.explain, self.why.as_deref()))
                .map(|query| (Query { arms: self.arm, ..query }, wants))
                .map_err(|problem| problem.within(&format!("batch[{at}]")))
        });
        queries.collect::<Result<_, _>>().map(Asked::Batch)
    }
}
