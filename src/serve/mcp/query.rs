//! `tools/list` with a `query` (SEP-1821), which the SDK does not read.
//!
//! Invariant: a request without one is answered as ever.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rmcp::ErrorData;
use rmcp::model::Tool as McpTool;
use rmcp::service::{RequestContext, RoleServer};
use serde::Deserialize;
use serde_json::Value;

use super::super::MAX_BODY_BYTES;
use super::super::problem::Problem;
use super::{McpHandler, aliases};
use crate::search::Query;

/// What is asked for beside a cursor.
#[derive(Debug, Clone)]
struct Asked(String);

#[derive(Deserialize)]
struct Message {
    method: String,
    params: Params,
}

#[derive(Deserialize)]
struct Params {
    query: String,
}

/// The layer that reads the query, and leaves it with the request.
pub async fn read(request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY_BYTES).await else {
        return Problem::too_large().into_response();
    };
    if let Ok(Message { method, params }) = serde_json::from_slice(&body)
        && method == "tools/list"
    {
        parts.extensions.insert(Asked(params.query));
    }
    next.run(Request::from_parts(parts, Body::from(body))).await
}

impl McpHandler {
    /// The tools that fit what is asked for, under names by which they can be called here; `None`
    /// where nothing is.
    pub(super) async fn matching(
        &self,
        context: &RequestContext<RoleServer>,
    ) -> Result<Option<Vec<McpTool>>, ErrorData> {
        let parts = context.extensions.get::<Parts>();
        let Some(Asked(query)) = parts.and_then(|parts| parts.extensions.get()).cloned() else {
            return Ok(None);
        };
        let query = Query { texts: vec![query], ..Query::default() };
        let answer = self.ask(&query).await;
        let answer = answer.map_err(|message| ErrorData::invalid_params(message, None))?;
        let tools = answer.hits.iter().map(|hit| aliases::callable(&hit.tool));
        // What the SDK's types can't hold is found by search_tools.
        let tools = tools.filter_map(|tool| serde_json::from_value(Value::Object(tool)).ok());
        Ok(Some(tools.collect()))
    }
}
