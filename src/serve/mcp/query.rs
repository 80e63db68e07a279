//! `tools/list` with a `query` (SEP-1821), which the SDK does not read.
//!
//! The query is moved to where the SDK leaves what it does not know, before it decodes the request.
//! Invariant: every other message passes as it is.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rmcp::ErrorData;
use rmcp::model::Tool as McpTool;
use rmcp::service::{RequestContext, RoleServer};
use serde_json::{Map, Value};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader, DuplexStream};

use super::super::MAX_BODY_BYTES;
use super::super::problem::Problem;
use super::{McpHandler, aliases};
use crate::search::Query;

const QUERY: &str = "toolscout/query";
/// Bytes that may wait between a client's pipe and the SDK.
const PIPE: usize = 64 << 10;

/// The same message with its query moved, if it is a `tools/list` that has one.
fn moved(message: &[u8]) -> Option<Vec<u8>> {
    let mut message: Value = serde_json::from_slice(message).ok()?;
    if message.get("method")? != "tools/list" {
        return None;
    }
    let params = message.get_mut("params")?.as_object_mut()?;
    let query = params.remove("query").filter(Value::is_string)?;
    let meta = params.entry("_meta").or_insert_with(|| Value::Object(Map::new()));
    meta.as_object_mut()?.insert(QUERY.to_owned(), query);
    serde_json::to_vec(&message).ok()
}

/// The layer that moves the query.
pub async fn read(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY_BYTES).await else {
        return Problem::too_large().into_response();
    };
    let body = moved(&body).map_or_else(|| Body::from(body), Body::from);
    next.run(Request::from_parts(parts, body)).await
}

/// The same for a client's lines.
pub fn read_lines(input: impl AsyncRead + Send + Unpin + 'static) -> DuplexStream {
    let (mut ours, theirs) = tokio::io::duplex(PIPE);
    // Bytes: a line that is no text is refused by who reads it, and ends nothing here.
    let mut lines = BufReader::new(input).split(b'\n');
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_segment().await {
            let mut line = moved(&line).unwrap_or(line);
            line.push(b'\n');
            if ours.write_all(&line).await.is_err() {
                return;
            }
        }
    });
    theirs
}

impl McpHandler {
    /// The tools that fit what is asked for, under names by which they can be called here; `None`
    /// where nothing is.
    pub(super) async fn matching(
        &self,
        context: &RequestContext<RoleServer>,
    ) -> Result<Option<Vec<McpTool>>, ErrorData> {
        let Some(query) = context.meta.get(QUERY).and_then(Value::as_str) else {
            return Ok(None);
        };
        if !self.config.list_query {
            return Ok(None);
        }
        let query = Query { texts: vec![query.to_owned()], ..Query::default() };
        let answer = self.ask(&query, context).await;
        let answer = answer.map_err(|message| ErrorData::invalid_params(message, None))?;
        let catalog = self.live.catalog();
        let tools = answer.hits.iter().map(|hit| aliases::callable(&catalog, &hit.tool));
        // What the SDK's types can't hold is found by search_tools.
        let tools = tools.filter_map(|tool| serde_json::from_value(Value::Object(tool)).ok());
        Ok(Some(tools.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_query_of_a_listing_is_moved() {
        let other =
            |text: &str| moved(text.as_bytes()).map(|text| String::from_utf8(text).unwrap());
        for passes in [
            r#"{"method":"tools/list","id":1}"#,
            r#"{"method":"tools/list","id":1,"params":{"cursor":"x"}}"#,
            r#"{"method":"tools/list","id":1,"params":{"query":7}}"#,
            r#"{"method":"tools/call","id":1,"params":{"query":"x"}}"#,
            "{",
        ] {
            assert_eq!(other(passes), None, "{passes}");
        }
        let asked = r#"{"method":"tools/list","id":1,"params":{"query":"x","_meta":{"a":1}}}"#;
        let read: Value = serde_json::from_str(&other(asked).unwrap()).unwrap();
        let meta = serde_json::json!({"a": 1, "toolscout/query": "x"});
        assert_eq!(read["params"], serde_json::json!({ "_meta": meta }));
    }
}
