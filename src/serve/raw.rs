//! Results over MCP that are written once: definitions go out as the bytes that are stored.
//!
//! The SDK takes a result as a tree of values, which for ten definitions is built, copied and
//! written anew on every call. So the handler of an HTTP request leaves the text of its result in
//! a slot of that request and hands the SDK two short marks in its place; the layer around the
//! SDK puts the text where the marks are. Invariant: what a client reads is equal, as JSON, to
//! what the SDK would have written; whatever finds no slot (stdio) goes the plain way.
//!
//! A result that is passed on from a server takes the place of the whole one, byte for byte.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{header, request::Parts};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::TryStreamExt;
use rmcp::model::{CallToolResult, ContentBlock};
use rmcp::service::{RequestContext, RoleServer};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::problem::Problem;

/// Where a handler leaves the text of its result.
#[derive(Clone, Default)]
pub struct Slot(Arc<Mutex<Option<Raw>>>);

/// The text of a result, and what stands for it until it is put in.
struct Raw {
    /// None where it is the whole result.
    mark: Option<String>,
    text: String,
}

impl Slot {
    /// The text of the whole result, if one was left here.
    pub fn take(&self) -> Option<String> {
        self.lock().take().map(|raw| raw.text)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Raw>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(context: &RequestContext<RoleServer>) -> Option<&Self> {
        context.extensions.get::<Parts>().and_then(|parts| parts.extensions.get::<Self>())
    }
}

/// Has `text` be the whole result.
pub fn whole(text: String, context: &RequestContext<RoleServer>) -> Result<CallToolResult, String> {
    let Some(slot) = Slot::of(context).or_else(|| context.extensions.get::<Slot>()) else {
        return Err("toolscout can't pass a result on here".to_owned());
    };
    *slot.lock() = Some(Raw { mark: None, text });
    Ok(CallToolResult::success(Vec::new()))
}

/// A result whose JSON is `text`, or that text back where it can't be put in.
pub fn result(
    text: String,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResult, String> {
    let Some(slot) = Slot::of(context) else { return Err(text) };
    // Nobody who sends a request can know it.
    let mark = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
    let mut result = CallToolResult::success(vec![ContentBlock::text(as_text(&mark))]);
    result.structured_content = Some(Value::String(as_value(&mark)));
    *slot.lock() = Some(Raw { mark: Some(mark), text });
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
    let kind = response.headers().get(header::CONTENT_TYPE);
    if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
        // The result is yet to come, after what is said of its progress.
        return response.map(|body| events(body, slot));
    }
    let raw = slot.lock().take();
    let Some(raw) = raw else { return response };
    let (mut parts, body) = response.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return Problem::internal().into_response();
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(raw.put_into(&body)))
}

/// The same stream of events, the text put into the one that has the result.
fn events(body: Body, slot: Slot) -> Body {
    let events = body.into_data_stream().map_ok(move |event| {
        // An event is written as one piece, and the result is the last of them.
        let is_result = find(&event, br#""result":"#).is_some();
        match is_result.then(|| slot.lock().take()).flatten() {
            Some(raw) => Bytes::from(raw.put_into_event(&event)),
            None => event,
        }
    });
    Body::from_stream(events)
}

/// What the SDK answers with.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
}

impl Raw {
    /// Puts the text into a body.
    fn put_into(self, body: &[u8]) -> Vec<u8> {
        match self.mark {
            Some(_) => self.put_at_marks(body),
            None => self.put_in_place(body),
        }
    }

    /// Puts the text into an event, whose data is one line.
    fn put_into_event(self, event: &[u8]) -> Vec<u8> {
        const DATA: &[u8] = b"data: ";
        let mut raw = Some(self);
        let lines = event.split_inclusive(|byte| *byte == b'\n').map(|line| {
            let Some(data) = line.strip_prefix(DATA) else { return line.to_vec() };
            let Some(raw) = raw.take() else { return line.to_vec() };
            let end = data.iter().rposition(|byte| !b"\r\n".contains(byte)).map_or(0, |at| at + 1);
            [DATA, &raw.put_into(&data[..end]), &data[end..]].concat()
        });
        lines.collect::<Vec<_>>().concat()
    }

    /// The text in the place of the result.
    fn put_in_place(self, body: &[u8]) -> Vec<u8> {
        match serde_json::from_slice::<Envelope<'_>>(body) {
            Ok(Envelope { id, result: Some(_) }) => {
                let text = self.text.replace(['\n', '\r'], " ");
                format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{text}}}"#).into_bytes()
            }
            // The SDK has something else to say.
            _ => body.to_vec(),
        }
    }

    fn put_at_marks(mut self, body: &[u8]) -> Vec<u8> {
        let mark = self.mark.take().unwrap_or_default();
        // Between tokens only: in a string a line break is escaped. A stream of events has its
        // data on one line.
        if self.text.contains(['\n', '\r']) {
            self.text = self.text.replace(['\n', '\r'], " ");
        }
        // A text can't fail to be written.
        let text = serde_json::to_string(&self.text).unwrap_or_default();
        let mut whole = Vec::with_capacity(body.len() + text.len() + self.text.len());
        let mut rest = body;
        let mut marks = [(as_text(&mark), text), (as_value(&mark), self.text)]
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
            let raw = Raw { mark: Some(mark.clone()), text: text.clone() };
            let whole: Value = serde_json::from_slice(&raw.put_into(body.as_bytes())).unwrap();
            assert_eq!(whole["y"], value);
            assert_eq!(whole["z"], 1);
            let inside: Value = serde_json::from_str(whole["x"][0].as_str().unwrap()).unwrap();
            assert_eq!(inside, value);
        }
    }

    #[test]
    fn a_whole_result_stands_in_its_place_byte_for_byte() {
        let text = r#"{ "n":1e400,"s":"\ud800" }"#;
        let raw = || Raw { mark: None, text: text.to_owned() };
        let body = br#"{"jsonrpc":"2.0","id":"7","result":{"content":[]}}"#;
        let whole = format!(r#"{{"jsonrpc":"2.0","id":"7","result":{text}}}"#);
        assert_eq!(raw().put_into(body), whole.as_bytes());
        let event = [b"event: message\ndata: ", &body[..], b"\n\n"].concat();
        let expected = format!("event: message\ndata: {whole}\n\n");
        assert_eq!(raw().put_into_event(&event), expected.as_bytes());
        let error = br#"{"jsonrpc":"2.0","id":"7","error":{"code":1,"message":"no"}}"#;
        assert_eq!(raw().put_into(error), error);
    }
}
