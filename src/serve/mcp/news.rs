//! The event stream on which clients of before 2026-07-28 hear over HTTP that the tool list changed.
//!
//! Invariant: it says nothing else, ends with the service, and there are at most [`MAX_STREAMS`]:
//! whoever comes after that is told that there is none, and goes on without.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use rmcp::model::ProtocolVersion;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::super::problem::Problem;
use super::{Face, McpHandler};
use crate::live::Live;

/// Most streams at once.
const MAX_STREAMS: usize = 512;
/// A stream without news says that it is still there this often.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const CHANGED: &str = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;

/// Opens such streams; cheap to clone.
#[derive(Clone)]
pub struct News {
    handler: McpHandler,
    shutdown: CancellationToken,
    free: Arc<Semaphore>,
}

impl News {
    /// Of the tool list that this handler gives.
    pub fn of(handler: McpHandler, shutdown: CancellationToken) -> Self {
        Self { handler, shutdown, free: Arc::new(Semaphore::new(MAX_STREAMS)) }
    }

    /// The same for those who see what `live` shows.
    pub fn of_view(self, live: Live, may_call: bool) -> Self {
        Self { handler: self.handler.scoped(live).calling(may_call), ..self }
    }

    /// `GET /mcp`
    pub fn open(self, headers: &HeaderMap) -> Response {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let wanted =
            text(header::ACCEPT.as_str()).is_some_and(|kinds| kinds.contains("event-stream"));
        let newer = text("mcp-protocol-version")
            .is_some_and(|version| version >= ProtocolVersion::V_2026_07_28.as_str());
        let Ok(turn) = Arc::clone(&self.free).try_acquire_owned() else {
            return Problem::wrong_method().into_response();
        };
        if !wanted || newer {
            return Problem::wrong_method().into_response();
        }
        let seen = self.handler.live.status().generation;
        let known = self.handler.face();
        let next = |(news, mut seen, known, turn): (Self, u64, Face, _)| async move {
            let known = tokio::select! {
                known = news.handler.list_changed(&mut seen, &known) => known,
                () = news.shutdown.cancelled() => return None,
            };
            let event = Ok::<_, Infallible>(Event::default().data(CHANGED));
            Some((event, (news, seen, known, turn)))
        };
        let events = stream::unfold((self, seen, known, turn), next);
        Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
    }
}
