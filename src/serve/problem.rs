//! What an HTTP caller is told when a request can't be answered (RFC 9457), in one place.
//!
//! Invariant: a problem says what the caller can do about it and nothing of our insides. The body
//! is written by [`super::observe`], which alone knows the request's id.

use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::search::QueryError;

/// A refusal or failure on its way to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// A stable word for programs, the last part of `type`.
    pub code: &'static str,
    /// What is wrong with this request, and the next step.
    pub detail: String,
    /// Seconds after which it is worth asking again, where that is known.
    pub retry_after: Option<u64>,
}

/// The body of an error response, `application/problem+json`.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[schemars(rename = "Problem")]
pub struct ProblemBody<'a> {
    /// `urn:toolscout:problem:` and a stable word.
    pub r#type: String,
    /// The status in words.
    pub title: &'a str,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this request, and the next step.
    pub detail: &'a str,
    /// Also in the `x-request-id` header, and in the log.
    pub request_id: &'a str,
}

impl Problem {
    /// A problem of any kind.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), retry_after: None }
    }

    /// 400: the request can't be read as what it should be.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid-request", detail)
    }

    /// 404 for a path that nothing is served at.
    pub fn no_route() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no-such-path",
            "nothing is served here: GET /openapi.json lists every path",
        )
    }

    /// 404 for a tool id that is not in the catalog; `is_held` where a definition of it waits.
    pub fn no_tool_served(is_held: bool) -> Self {
        if !is_held {
            return Self::no_tool();
        }
        Self::new(
            StatusCode::NOT_FOUND,
            "tool-held",
            "the tool is held back until an operator approves it: GET /v1/findings may say why",
        )
    }

    /// 404 for a tool id that is not in the catalog.
    pub fn no_tool() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "unknown-tool",
            "no tool has this id: GET /v1/tools lists them, GET /v1/search finds them",
        )
    }

    /// 405.
    pub fn wrong_method() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "wrong-method",
            "this path does not take that method: see the Allow header",
        )
    }

    /// 413.
    pub fn too_large() -> Self {
        Self::larger_than(super::MAX_BODY_BYTES)
    }

    /// 413 of a path that takes so much.
    pub fn larger_than(most: usize) -> Self {
        let told = format!("a body may have {most} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", told)
    }

    /// 503 before the first generation.
    pub fn not_ready() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not-ready",
            "the first crawl is under way and nothing can be searched yet: try again in a moment",
        )
    }

    /// 503 while it is being stopped.
    pub fn draining() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "draining",
            "this toolscout is being stopped: ask another one, or this one after its restart",
        )
    }

    /// 500 without the reason, which is in the log.
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "toolscout failed on this request: the log has the reason under the request id",
        )
    }

    /// As it stands in a response, under the id of its request.
    pub fn body<'a>(&'a self, request_id: &'a str) -> ProblemBody<'a> {
        ProblemBody {
            r#type: format!("urn:toolscout:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            request_id,
        }
    }

    /// The same problem, which is over after so long.
    #[must_use]
    pub fn after(mut self, wait: std::time::Duration) -> Self {
        let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.retry_after = Some(whole.max(1));
        self
    }

    /// The same problem, of one item of several.
    #[must_use]
    pub fn within(mut self, place: &str) -> Self {
        self.detail = format!("{place}: {}", self.detail);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        let code = match error {
            QueryError::Empty => "empty-query",
            QueryError::TooLong { .. } => "query-too-long",
            QueryError::Limit(_) => "limit-out-of-range",
            QueryError::UnknownServer(_) => "unknown-server",
            QueryError::TooMany(_) => "too-many-phrasings",
        };
        Self::new(StatusCode::BAD_REQUEST, code, error.to_string())
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Self::too_large()
        } else {
            Self::invalid("the body could not be read to its end")
        }
    }
}

impl From<PathRejection> for Problem {
    fn from(_: PathRejection) -> Self {
        Self::invalid("the path is not percent-encoded UTF-8")
    }
}
