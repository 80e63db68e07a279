//! The whole catalog for a model API that searches through us: every tool deferred, and the
//! definition of the search itself.
//!
//! Invariant: the names are those of `tool_reference` and `tool_search_output` results, so that
//! these resolve; a list that did not change is not sent again (`ETag`).

use axum::extract::RawQuery;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::digest::digest;
use super::formats;
use super::http::{self, Params};
use super::observe::Lifted;
use super::problem::Problem;
use super::scope::{self, Scoped};
use crate::catalog::Catalog;
use crate::format::{self, Format, Rung};
use crate::live::Live;
use crate::search::{MAX_LIMIT, QueryError};
use crate::tool::{ContentHash, Tool};

/// The most tools that the Messages API takes, the search among them.
const ANTHROPIC_MOST: usize = 10_000;

const SEARCH: &str = "Find the tools that fit a need, among all tools of all connected servers. \
    Describe one need in plain words, or spell a tool's exact name.";

/// A catalog as a model API takes it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DeferredTools {
    /// The generation that was read.
    generation: u64,
    /// For `tools` of a request: the search first, then every tool, deferred.
    #[schemars(with = "Vec<Value>")]
    tools: Vec<Box<RawValue>>,
    /// How many tools of the catalog are among them.
    total: usize,
    /// Tools beyond what the API takes, by id the last: give `server` to get others.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(default)]
    left_out: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// `GET /v1/anthropic/tools`
pub async fn anthropic(
    Scoped(live): Scoped,
    RawQuery(query): RawQuery,
    lifted: Lifted,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    list(&live, &lifted, (query.as_deref(), &headers), |catalog, tools| {
        let search = json!({
            "name": "search_tools",
            "description": format!("{SEARCH}\n\n{}", digest(catalog)),
            "input_schema": parameters(),
        });
        let left_out = tools.len().saturating_sub(ANTHROPIC_MOST - 1);
        let tools = tools[..tools.len() - left_out].iter();
        let deferred = tools.map(|tool| format::deferred(catalog, tool));
        (std::iter::once(search.to_string()).chain(deferred).collect(), left_out)
    })
    .await
}

/// `GET /v1/openai/tools`
pub async fn openai(
    Scoped(live): Scoped,
    RawQuery(query): RawQuery,
    lifted: Lifted,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    list(&live, &lifted, (query.as_deref(), &headers), |catalog, tools| {
        let search = json!({
            "type": "tool_search",
            "execution": "client",
            "description": format!("{SEARCH}\n\n{}", digest(catalog)),
            "parameters": parameters(),
        });
        let piece =
            |tool: &&Tool| format::piece(Format::ToolSearchOutput, catalog, tool, Rung::Full);
        let pieces: Vec<String> = tools.iter().map(piece).collect();
        let namespaces = format::namespaces(catalog, tools.iter().copied(), &pieces);
        (std::iter::once(search.to_string()).chain(namespaces).collect(), 0)
    })
    .await
}

/// What the search takes.
fn parameters() -> Value {
    json!({
        "type": "object",
        "properties": {
            "query": { "type": "string", "description": "what the tool should do, or its name" },
            "limit": {
                "type": "integer", "minimum": 1, "maximum": MAX_LIMIT,
                "description": "how many tools; without it 5 to 10, as they fit",
            },
        },
        "required": ["query"],
        "additionalProperties": false,
    })
}

/// The texts of a list's tools, and how many tools were left out.
type Written = (Vec<String>, usize);

async fn list(
    live: &Live,
    lifted: &Lifted,
    (query, headers): (Option<&str>, &HeaderMap),
    write: impl FnOnce(&Catalog, &[&Tool]) -> Written + Send + 'static,
) -> Result<Response, Problem> {
    let params = Params::parse(query, &["server", scope::PROFILE])?;
    let servers: Vec<String> = params.all("server");
    if !live.is_ready() {
        return Err(Problem::not_ready());
    }
    let index = live.index();
    let known = live.servers();
    let is_known =
        |id: &String| known.contains_key(id.as_str()) || index.catalog.server(id).is_some();
    if let Some(unknown) = servers.iter().find(|id| !is_known(id)) {
        return Err(QueryError::UnknownServer(unknown.clone()).into());
    }
    let asked = headers.get(header::IF_NONE_MATCH).cloned();
    let make = move || {
        let catalog = &*index.catalog;
        let wanted = |tool: &&Tool| {
            servers.is_empty() || servers.iter().any(|server| server == tool.server.as_str())
        };
        let tools: Vec<&Tool> = catalog.tools().iter().map(|tool| &**tool).filter(wanted).collect();
        let (texts, left_out) = write(catalog, &tools);
        let tag = format!("W/\"{}\"", &ContentHash::of(&texts.join("\n")).hex()[..32]);
        let told = [(header::ETAG, tag.clone()), (header::CACHE_CONTROL, "no-cache".to_owned())];
        let same = asked.is_some_and(|asked| asked.to_str().is_ok_and(|tags| tags.contains(&tag)));
        if same {
            return (StatusCode::NOT_MODIFIED, told).into_response();
        }
        let tools_written = texts.into_iter().map(formats::raw).collect();
        let total = tools.len() - left_out;
        let body =
            DeferredTools { generation: index.generation, tools: tools_written, total, left_out };
        (told, http::json(&body)).into_response()
    };
    // A large catalog takes a while to write.
    formats::aside(lifted, true, make).await
}
