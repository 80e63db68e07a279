//! Refusals of the SDK, in the form of all others.
//!
//! Invariant: what is no JSON-RPC message leaves as a problem; messages leave as they are.

use axum::body::{Body, to_bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::super::problem::Problem;

/// The most that is read of the SDK's own words.
const MOST: usize = 4 << 10;

/// The response, or a problem of its status and in its words where it says what is wrong in words
/// alone.
pub async fn told(response: Response) -> Response {
    let status = response.status();
    let is_refusal = status.is_client_error() || status.is_server_error();
    let kind = response.headers().get(header::CONTENT_TYPE);
    if !is_refusal || kind.is_some_and(|kind| !kind.as_bytes().starts_with(b"text/plain")) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let words = to_bytes(body, MOST).await.unwrap_or_default();
    let words = String::from_utf8_lossy(&words);
    let detail = match words.trim() {
        // Why is in the log.
        _ if status.is_server_error() => return Problem::internal().into_response(),
        "" => "this is no request of MCP over streamable HTTP",
        words => words,
    };
    let mut problem = Problem::new(status, "mcp-refused", detail).into_response();
    parts.headers.remove(header::CONTENT_TYPE);
    parts.headers.remove(header::CONTENT_LENGTH);
    problem.headers_mut().extend(parts.headers);
    problem.map(Body::new)
}
