//! A server on the transport of 2024-11-05: it speaks on an event stream, and is spoken to by POST
//! at the address that its first event names.
//!
//! Invariant: a message is only ever sent to the origin that was configured, since it may carry
//! credentials; no event is longer than `max_bytes`.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use reqwest::header::{ACCEPT, CACHE_CONTROL};
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use rmcp::service::RoleClient;
use rmcp::transport::Transport;
use rmcp::transport::streamable_http_client::SseError;
use sse_stream::{Sse, SseStream};
use tokio_util::bytes::Bytes;
use url::Url;

use super::authorized::Authorized;
use super::error::CrawlError;
use super::http::{self, EVENTS};
use super::http_error;
use super::session::Fault;
use super::tap::LineTap;
use crate::auth::cause;

/// The `endpoint` event is the first, and comes at once.
const ENDPOINT_TIMEOUT: Duration = Duration::from_secs(3);

/// rmcp's transport to such a server, with the tap in it.
pub(super) struct SseTransport {
    http: Authorized,
    endpoint: Url,
    events: Events,
    tap: LineTap,
    fault: Fault,
}

impl SseTransport {
    /// Opens the stream and waits for the address.
    pub(super) async fn connect(
        http: Authorized,
        url: &Url,
        max_bytes: usize,
        fault: Fault,
    ) -> Result<Self, CrawlError> {
        let request = |client: &reqwest::Client| {
            client.get(url.clone()).header(ACCEPT, EVENTS).header(CACHE_CONTROL, "no-cache")
        };
        let response = http.send(request).await?;
        if let Some(error) = http_error::refused(&response) {
            return Err(error);
        }
        if !http::content_type(&response).starts_with(EVENTS) {
            return Err(CrawlError::Status("200 without an event stream".into()));
        }
        let mut events = Events::of(response, max_bytes);
        // The stream of a later transport may stay silent.
        let Ok(endpoint) = tokio::time::timeout(ENDPOINT_TIMEOUT, events.endpoint()).await else {
            return Err(CrawlError::Status("200 without an `endpoint` event".into()));
        };
        let endpoint = endpoint?;
        let endpoint = url
            .join(endpoint.trim())
            .map_err(|_| CrawlError::Protocol("its `endpoint` event holds no address".into()))?;
        if endpoint.origin() != url.origin() {
            return Err(CrawlError::Protocol(
                "its `endpoint` event names another origin than its `url`".into(),
            ));
        }
        Ok(Self { http, endpoint, events, tap: LineTap::default(), fault })
    }
}

impl Transport<RoleClient> for SseTransport {
    type Error = io::Error;

    fn name() -> Cow<'static, str> {
        "sse".into()
    }

    fn send(
        &mut self,
        message: ClientJsonRpcMessage,
    ) -> impl Future<Output = Result<(), io::Error>> + Send + 'static {
        self.tap.sent(&message);
        let (http, endpoint) = (self.http.clone(), self.endpoint.clone());
        let fault = self.fault.clone();
        async move {
            let request = |client: &reqwest::Client| client.post(endpoint.clone()).json(&message);
            let error = match http.send(request).await {
                Ok(response) => match http_error::refused(&response) {
                    Some(error) => error,
                    None => return Ok(()),
                },
                Err(error) => error,
            };
            // rmcp tells of a failed send in words of its own.
            fault.set(error);
            Err(io::ErrorKind::ConnectionAborted.into())
        }
    }

    async fn receive(&mut self) -> Option<ServerJsonRpcMessage> {
        loop {
            let event = match self.events.next().await {
                Ok(event) => event,
                Err(error) => {
                    self.fault.set(error);
                    return None;
                }
            };
            // Without a name an event is a message; the address does not change.
            if event.event.as_deref().is_some_and(|name| name != "message") {
                continue;
            }
            let data = event.data.unwrap_or_default();
            match self.tap.received(data.as_bytes()) {
                Ok(Some(message)) => return Some(message),
                Ok(None) => {}
                Err(_) => tracing::debug!(bytes = data.len(), "an event is not JSON-RPC: skipped"),
            }
        }
    }

    async fn close(&mut self) -> Result<(), io::Error> {
        // Letting the stream go is how this transport says goodbye.
        self.events.stream = futures::stream::empty().boxed();
        Ok(())
    }
}

/// An event stream of bounded events.
pub(super) struct Events {
    stream: BoxStream<'static, Result<Sse, SseError>>,
    /// What may still be read up to the end of the next event: comments that keep the stream
    /// alive count, too, so it is an event's worth of them that would end it.
    left: Arc<AtomicUsize>,
    max_bytes: usize,
}

impl Events {
    pub(super) fn of(response: reqwest::Response, max_bytes: usize) -> Self {
        let left = Arc::new(AtomicUsize::new(max_bytes));
        let counted = Arc::clone(&left);
        let bytes = response.bytes_stream().map(move |chunk| {
            let chunk = chunk.map_err(io::Error::other)?;
            let so_far = counted.load(Ordering::Relaxed);
            let left = so_far.checked_sub(chunk.len()).ok_or(io::ErrorKind::FileTooLarge)?;
            counted.store(left, Ordering::Relaxed);
            Ok::<Bytes, io::Error>(chunk)
        });
        Self { stream: SseStream::from_bytes_stream(bytes).boxed(), left, max_bytes }
    }

    /// Its events, as they are.
    pub(super) fn stream(self) -> BoxStream<'static, Result<Sse, SseError>> {
        let Self { stream, left, max_bytes } = self;
        stream.inspect(move |_| left.store(max_bytes, Ordering::Relaxed)).boxed()
    }

    /// What the `endpoint` event says.
    async fn endpoint(&mut self) -> Result<String, CrawlError> {
        loop {
            let event = self.next().await?;
            if event.event.as_deref() == Some("endpoint") {
                return Ok(event.data.unwrap_or_default());
            }
        }
    }

    pub(super) async fn next(&mut self) -> Result<Sse, CrawlError> {
        let event = self.stream.next().await;
        self.left.store(self.max_bytes, Ordering::Relaxed);
        match event {
            Some(Ok(event)) => Ok(event),
            None => Err(CrawlError::Closed(String::new())),
            Some(Err(SseError::Body(error))) => Err(match error.downcast_ref::<io::Error>() {
                Some(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                    CrawlError::TooManyBytes(self.max_bytes)
                }
                _ => CrawlError::Closed(format!(": {}", cause(&*error))),
            }),
            Some(Err(error)) => {
                Err(CrawlError::Protocol(super::error::clip(&error.to_string(), 200)))
            }
        }
    }
}
