//! Takes the results of `tools/list` and `tools/call` out of the replies before rmcp decodes them.
//!
//! rmcp's typed decode drops unknown fields, turns a page with one malformed tool into something
//! else, and fails on a number like `1e400`. So the reply is rewritten: rmcp gets a small, valid
//! result that carries the raw text as one string, and keeps its correlation and timeouts.
//!
//! Invariant: [`Reply::raw`] and [`result_of_call`] are, byte for byte, the `result` that came.

use axum::http::{HeaderName, HeaderValue};
use rmcp::model::{
    ClientJsonRpcMessage, ClientRequest, CustomResult, ErrorData, GetMeta, ListToolsResult,
    MetaObject, RequestId, ServerJsonRpcMessage, ServerResult, Tool,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::pending::Pending;
use crate::telemetry;

const RAW: &str = "toolscout/raw";
const ANNOTATED: &str = "toolscout/annotated";
/// The annotation that turns an argument into an HTTP header.
const HEADER_ANNOTATION: &str = "x-mcp-header";

/// What a server answered to one `tools/list`.
#[derive(Debug)]
pub(super) struct Reply {
    /// The `result`, as it came.
    pub(super) raw: String,
    /// Tools that rmcp took out, since their `x-mcp-header` annotations are invalid and the
    /// protocol forbids HTTP clients to use such tools.
    pub(super) rejected: Vec<String>,
}

impl Reply {
    /// Reads back what [`rewrite`] wrote; `None` for any other result.
    pub(super) fn of(result: ServerResult) -> Option<Self> {
        let ServerResult::ListToolsResult(result) = result else {
            return None;
        };
        let mut meta = result.meta?.0;
        let Some(Value::String(raw)) = meta.remove(RAW) else {
            return None;
        };
        let annotated = meta.remove(ANNOTATED)?;
        let rejected = annotated
            .as_array()?
            .iter()
            .filter_map(Value::as_str)
            .filter(|name| !result.tools.iter().any(|tool| tool.name == *name))
            .map(str::to_owned)
            .collect();
        Some(Self { raw, rejected })
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<&'a RawValue>,
}

/// The id of a `tools/list` request.
pub(super) fn listing_id(message: &ClientJsonRpcMessage) -> Option<&RequestId> {
    match message {
        ClientJsonRpcMessage::Request(request)
            if matches!(request.request, ClientRequest::ListToolsRequest(_)) =>
        {
            Some(&request.id)
        }
        _ => None,
    }
}

/// The id of a `tools/call` request.
pub(super) fn call_id(message: &ClientJsonRpcMessage) -> Option<&RequestId> {
    match message {
        ClientJsonRpcMessage::Request(request)
            if matches!(request.request, ClientRequest::CallToolRequest(_)) =>
        {
            Some(&request.id)
        }
        _ => None,
    }
}

/// What a request says of the trace that it belongs to, as headers.
pub(super) fn trace_of(message: &ClientJsonRpcMessage) -> Vec<(HeaderName, HeaderValue)> {
    match message {
        ClientJsonRpcMessage::Request(request) => telemetry::carried(&request.request.get_meta().0),
        _ => Vec::new(),
    }
}

/// What a server answered to `tools/call`, as it came. A reply that passed by the tap is written
/// anew.
pub(super) fn result_of_call(result: ServerResult) -> Option<String> {
    match result {
        ServerResult::CustomResult(CustomResult(Value::Object(mut members))) => {
            match members.remove(RAW) {
                Some(Value::String(raw)) => Some(raw),
                _ => None,
            }
        }
        other => serde_json::to_string(&other).ok(),
    }
}

/// A reply is rewritten by what was asked.
type Rewrite = fn(&str, RequestId) -> ServerJsonRpcMessage;

/// Decodes a message as rmcp would, except the reply to the `tools/list` request `awaited`, which
/// is rewritten. `None` for what is no JSON-RPC message.
pub(super) fn decode(text: &str, awaited: Option<&RequestId>) -> Option<ServerJsonRpcMessage> {
    let listing = awaited.and_then(|awaited| reply_to(text, |id| is(awaited, id), rewrite));
    listing.or_else(|| serde_json::from_str(text).ok())
}

/// The rewritten reply to one of the calls that are waited for. What is said of their progress
/// goes to who called.
pub(super) fn reply_to_call(text: &str, pending: &Pending) -> Option<ServerJsonRpcMessage> {
    if pending.is_empty() {
        return None;
    }
    let reply = reply_to(text, |id| pending.take(id), rewrite_call);
    if reply.is_none() {
        pending.tell(text);
    }
    reply
}

fn rewrite_call(raw: &str, id: RequestId) -> ServerJsonRpcMessage {
    let result = ServerResult::CustomResult(CustomResult(json!({ RAW: raw })));
    ServerJsonRpcMessage::response(result, id)
}

/// The rewritten message, if it replies to a request that `awaited` knows the id of.
fn reply_to(
    text: &str,
    awaited: impl Fn(&RequestId) -> Option<RequestId>,
    rewrite: Rewrite,
) -> Option<ServerJsonRpcMessage> {
    if let Ok(envelope) = serde_json::from_str::<Envelope<'_>>(text)
        && envelope.method.is_none()
        && (envelope.result.is_some() || envelope.error.is_some())
        && let Some(id) = envelope.id
        && let Ok(id) = serde_json::from_str::<RequestId>(id.get())
        && let Some(awaited) = awaited(&id)
    {
        if let Some(result) = envelope.result {
            return Some(rewrite(result.get(), awaited));
        }
        if let Some(error) = envelope.error {
            let error = serde_json::from_str(error.get())
                .unwrap_or_else(|_| ErrorData::internal_error("an unreadable error", None));
            return Some(ServerJsonRpcMessage::error(error, Some(awaited)));
        }
    }
    None
}

/// Some servers answer the id `7` with `"7"`.
pub(super) fn is(awaited: &RequestId, id: &RequestId) -> Option<RequestId> {
    (id == awaited || id.to_string() == awaited.to_string()).then(|| awaited.clone())
}

fn rewrite(raw: &str, id: RequestId) -> ServerJsonRpcMessage {
    let tools = annotated(raw);
    let names = tools.iter().map(|tool| Value::String(tool.name.to_string())).collect();
    let mut meta = MetaObject::default();
    meta.0.insert(RAW.into(), Value::String(raw.to_owned()));
    meta.0.insert(ANNOTATED.into(), Value::Array(names));
    let mut result = ListToolsResult::with_all_items(tools);
    result.meta = Some(meta);
    ServerJsonRpcMessage::response(ServerResult::ListToolsResult(result), id)
}

/// The tools that rmcp has to know of: it validates their header annotations, and builds the
/// headers of calls from them.
fn annotated(raw: &str) -> Vec<Tool> {
    #[derive(Deserialize)]
    struct Page<'a> {
        #[serde(borrow)]
        tools: Vec<&'a RawValue>,
    }
    if !raw.contains(HEADER_ANNOTATION) {
        return Vec::new();
    }
    serde_json::from_str::<Page<'_>>(raw)
        .map(|page| page.tools)
        .unwrap_or_default()
        .into_iter()
        .filter(|tool| tool.get().contains(HEADER_ANNOTATION))
        .filter_map(|tool| serde_json::from_str(tool.get()).ok())
        .collect()
}

/// The tap of a connection that carries every message on one line, in order.
#[derive(Debug, Default)]
pub(super) struct LineTap {
    pending: Pending,
    listing: Option<RequestId>,
    discover: Option<RequestId>,
    abandoned: Option<RequestId>,
}

impl LineTap {
    /// Notes what is about to be sent.
    pub(super) fn sent(&mut self, message: &ClientJsonRpcMessage) {
        self.pending.sent(message);
        if let Some(id) = listing_id(message) {
            self.listing = Some(id.clone());
        } else if let ClientJsonRpcMessage::Request(request) = message {
            match request.request {
                ClientRequest::DiscoverRequest(_) => self.discover = Some(request.id.clone()),
                // A server that starts slowly answers the discover request that rmcp has given
                // up; rmcp would take that for the reply to `initialize`, and fail.
                ClientRequest::InitializeRequest(_) => self.abandoned = self.discover.take(),
                _ => {}
            }
        }
    }

    /// Decodes a line; `Ok(None)` is a message to drop, `Err` no message at all.
    pub(super) fn received(&self, line: &[u8]) -> Result<Option<ServerJsonRpcMessage>, NoMessage> {
        let message = std::str::from_utf8(line)
            .ok()
            .and_then(|text| {
                let reply = reply_to_call(text, &self.pending);
                reply.or_else(|| decode(text, self.listing.as_ref()))
            })
            .ok_or(NoMessage)?;
        let id = match &message {
            ServerJsonRpcMessage::Response(response) => Some(&response.id),
            ServerJsonRpcMessage::Error(error) => error.id.as_ref(),
            _ => None,
        };
        let late = id.is_some() && id == self.abandoned.as_ref();
        Ok((!late).then_some(message))
    }
}

/// The line is not JSON-RPC.
#[derive(Debug)]
pub(super) struct NoMessage;

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Option<Reply> {
        match decode(text, Some(&RequestId::Number(7)))? {
            ServerJsonRpcMessage::Response(response) => Reply::of(response.result),
            _ => None,
        }
    }

    #[test]
    fn the_result_is_kept_byte_for_byte() {
        let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
        let raw = format!(r#"{{ "z":1e400,"tools" : [{{"name":"\ud800"}}, {deep}] }}"#);
        for id in ["7", "\"7\""] {
            let text = format!(r#"{{"result":{raw},"id":{id},"jsonrpc":"2.0"}}"#);
            assert_eq!(reply(&text).unwrap().raw, raw);
        }
    }

    #[test]
    fn other_messages_pass() {
        assert!(reply(r#"{"jsonrpc":"2.0","id":8,"result":{"tools":[]}}"#).is_none());
        let ping = r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#;
        assert!(matches!(
            decode(ping, Some(&RequestId::Number(7))),
            Some(ServerJsonRpcMessage::Request(_))
        ));
        assert!(decode("Starting…", None).is_none());
    }

    #[test]
    fn an_odd_error_is_still_an_answer() {
        let odd = r#"{"jsonrpc":"2.0","id":7,"error":"no"}"#;
        assert!(matches!(
            decode(odd, Some(&RequestId::Number(7))),
            Some(ServerJsonRpcMessage::Error(_))
        ));
    }
}
