//! The event stream on which an HTTP server of before 2026 says what is new, between requests.
//!
//! Invariant: when that stream ends it is known, since what was said afterwards is lost.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use rmcp::transport::streamable_http_client::SseError;
use sse_stream::Sse;
use tokio::sync::watch;

/// How long the stream is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// There is none: it was not asked for, or the server does not give it.
    None,
    /// It is about to be asked for.
    Awaited,
    Open,
    Ended,
}

/// What is known of the stream. Clones speak of the same one.
#[derive(Debug, Clone)]
pub(super) struct NewsStream(watch::Sender<State>);

impl NewsStream {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(State::None))
    }

    /// rmcp asks for it as soon as a session has begun.
    pub(super) fn awaited(&self) {
        self.0.send_replace(State::Awaited);
    }

    /// The server gives none.
    pub(super) fn refused(&self) {
        self.0.send_replace(State::None);
    }

    /// There may be one, and it can't be had: what is said on it is lost, as after its end.
    pub(super) fn failed(&self) {
        self.0.send_replace(State::Ended);
    }

    /// `stream`, of which we notice the end.
    pub(super) fn opened(
        &self,
        stream: BoxStream<'static, Result<Sse, SseError>>,
    ) -> BoxStream<'static, Result<Sse, SseError>> {
        self.0.send_replace(State::Open);
        let state = (stream, End(self.clone()));
        let next = |(mut stream, end): (BoxStream<'static, _>, End)| async move {
            let event = stream.next().await?;
            Some((event, (stream, end)))
        };
        stream::unfold(state, next).boxed()
    }

    /// Waits until it is known whether there is a stream.
    pub(super) async fn settled(&self) {
        let mut state = self.0.subscribe();
        let known = state.wait_for(|state| *state != State::Awaited);
        let _ = tokio::time::timeout(PATIENCE, known).await;
    }

    /// Waits until the stream has ended.
    pub(super) async fn ended(&self) {
        // The sender lives as long as we do.
        let _ = self.0.subscribe().wait_for(|state| *state == State::Ended).await;
    }
}

/// Tells of the end, whoever let the stream go.
struct End(NewsStream);

impl Drop for End {
    fn drop(&mut self) {
        self.0.0.send_replace(State::Ended);
    }
}
