//! Results over MCP that are written once: definitions go out as the bytes that are stored.
//!
//! The SDK takes a result as a tree of values, which for ten definitions is built, copied and
//! written anew on every call. So the handler of an HTTP request leaves the text of its result in
//! a slot of that request and hands the SDK two short marks in its place; the layer around the
//! SDK puts the text where the marks are. Invariant: what a client reads is equal, as JSON, to
//! what the SDK would have written; whatever finds no slot (stdio) goes the plain way.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{header, request::Parts};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rmcp::model::{CallToolResult, ContentBlock};
use rmcp::service::{RequestContext, RoleServer};
use serde_json::Value;

use super::problem::Problem;

/// Where a handler leaves the text of its result.
#[derive(Clone, Default)]
struct Slot(Arc<Mutex<Option<Raw>>>);

/// The text of a result, and what stands for it until it is put in.
struct Raw {
    mark: String,
    text: String,
}

/// A result whose JSON is `text`, or that text back where it can't be put in.
pub fn result(
    text: String,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResult, String> {
    let slot = context.extensions.get::<Parts>().and_then(|parts| parts.extensions.get::<Slot>());
    let Some(slot) = slot else { return Err(text) };
    // Nobody who sends a request can know it.
    let mark = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
    let mut result = CallToolResult::success(vec![ContentBlock::text(as_text(&mark))]);
    result.structured_content = Some(Value::String(as_value(&mark)));
    *slot.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Raw { mark, text });
    Ok(result)
}

fn as_text(mark: &str) -> String {
    format!("text-{mark}")
}

fn as_value(mark: &str) -> String {
    format!("value-{mark}")
}

/// The layer: gives each request a slot, and puts what was left there into the response.
pub async fn put_in(mut request: Request, next: Next) -> Response {
    let slot = Slot::default();
    request.extensions_mut().insert(slot.clone());
    let response = next.run(request).await;
    let raw = slot.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(raw) = raw else { return response };
    let (mut parts, body) = response.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return Problem::internal().into_response();
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(raw.put_into(&body)))
}

impl Raw {
    fn put_into(mut self, body: &[u8]) -> Vec<u8> {
        // Between tokens only: in a string a line break is escaped. A stream of events has its
        // data on one line.
        if self.text.contains(['\n', '\r']) {
            self.text = self.text.replace(['\n', '\r'], " ");
        }
        // A text can't fail to be written.
        let text = serde_json::to_string(&self.text).unwrap_or_default();
        let mut whole = Vec::with_capacity(body.len() + text.len() + self.text.len());
        let mut rest = body;
        let mut marks = [(as_text(&self.mark), text), (as_value(&self.mark), self.text)]
            .map(|(mark, text)| (format!("\"{mark}\""), text))
            .map(|(mark, text)| (find(body, mark.as_bytes()), mark.len(), text));
        marks.sort_by_key(|(at, ..)| *at);
        for (at, length, text) in marks {
            let Some(at) = at else { continue };
            let start = at - (body.len() - rest.len());
            whole.extend_from_slice(&rest[..start]);
            whole.extend_from_slice(text.as_bytes());
            rest = &rest[start + length..];
        }
        whole.extend_from_slice(rest);
        whole
    }
}

/// Where `needle` begins.
fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_marks_are_replaced_in_any_order() {
        let text = "{\"a\": \"b\\n\\\"\",\n\"c\":1}".to_owned();
        let (mark, value) = ("0f".to_owned(), serde_json::from_str::<Value>(&text).unwrap());
        for body in [
            r#"{"x":["text-0f"],"y":"value-0f","z":1}"#,
            r#"{"y":"value-0f","z":1,"x":["text-0f"]}"#,
        ] {
            let raw = Raw { mark: mark.clone(), text: text.clone() };
            let whole: Value = serde_json::from_slice(&raw.put_into(body.as_bytes())).unwrap();
            assert_eq!(whole["y"], value);
            assert_eq!(whole["z"], 1);
            let inside: Value = serde_json::from_str(whole["x"][0].as_str().unwrap()).unwrap();
            assert_eq!(inside, value);
        }
    }
}
