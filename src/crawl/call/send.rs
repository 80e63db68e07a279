//! One call over an open connection.
//!
//! Invariant: a call that nobody waits for any more is cancelled at its server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CancelledNotification, CancelledNotificationParam,
    ClientRequest, ErrorData, GetExtensions, ListToolsRequest, RequestId, RequestMetaObject,
    Tool as McpTool,
};
use rmcp::service::{Peer, PeerRequestOptions, RoleClient, ServiceError};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Call;
use crate::crawl::error::CrawlError;
use crate::crawl::http::Known;
use crate::crawl::pending::Told;
use crate::crawl::session::{Era, Session, call_error};
use crate::crawl::tap;
use crate::telemetry;
use crate::tool::Tool;

/// Steps of progress that may wait to be handed on.
const STEPS: usize = 32;
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// The annotation that turns an argument into an HTTP header.
const HEADER_ANNOTATION: &str = "x-mcp-header";

/// Why there is no result.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server answered with an error.
    Refused(ErrorData),
    /// No word for this long, or no end.
    Timeout(Duration),
    /// There is no connection.
    NoConnection(CrawlError),
    /// The connection failed; `sent` where the server may have heard of the call.
    Connection { error: CrawlError, sent: bool },
}

/// How long a call may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Without a word.
    pub(super) idle: Duration,
    /// When it ends at the latest.
    pub(super) end: Instant,
    /// The same, from the start on.
    pub(super) whole: Duration,
}

impl Session {
    /// The `result` that the server gives, as it comes.
    pub(super) async fn call(
        &self,
        name: &str,
        call: &Call,
        limits: Limits,
    ) -> Result<String, Failure> {
        if self.era == Era::Stateless && call.tool.definition.get().contains(HEADER_ANNOTATION) {
            self.make_known(&call.tool, name).await;
        }
        let mut params = CallToolRequestParams::new(name.to_owned());
        params.arguments = Some(call.arguments.clone());
        let mut options = PeerRequestOptions::no_options();
        let mut meta = telemetry::meta().unwrap_or_default();
        if self.era == Era::Stateless
            && let Some(input) = &call.input
        {
            meta.insert(CAPABILITIES.to_owned(), input.capabilities.clone());
            params.input_responses = input.responses.clone();
            params.request_state.clone_from(&input.state);
        }
        if !meta.is_empty() {
            options = options.with_meta(RequestMetaObject::from(meta));
        }
        let (told, mut steps) = mpsc::channel(STEPS);
        let begun = Arc::new(AtomicBool::new(false));
        let mut request = CallToolRequest::new(params);
        request.extensions_mut().insert(Told { progress: told, begun: Arc::clone(&begun) });
        let request = ClientRequest::CallToolRequest(request);
        let sent = self.peer.send_cancellable_request(request, options).await;
        let handle = sent.map_err(|error| self.failure(error, false))?;
        let mut cancel = Cancel { peer: self.peer.clone(), id: Some(handle.id.clone()) };
        let mut reply = handle.rx;
        let mut idle = std::pin::pin!(tokio::time::sleep(limits.idle));
        let reply = loop {
            tokio::select! {
                biased;
                Some(step) = steps.recv() => {
                    idle.as_mut().reset(Instant::now() + limits.idle);
                    if let Some(progress) = &call.progress {
                        // Who listens too slowly misses some.
                        let _ = progress.try_send(step);
                    }
                }
                reply = &mut reply => break reply,
                () = &mut idle => return Err(Failure::Timeout(limits.idle)),
                () = tokio::time::sleep_until(limits.end) => {
                    return Err(Failure::Timeout(limits.whole));
                }
            }
        };
        cancel.id = None;
        let begun = begun.load(Ordering::SeqCst);
        match reply {
            Ok(Ok(result)) => {
                let result = tap::result_of_call(result);
                let result = result.filter(|result| result.trim_start().starts_with('{'));
                result.ok_or_else(|| Failure::Connection {
                    error: CrawlError::Protocol("the reply is no result".into()),
                    sent: true,
                })
            }
            Ok(Err(ServiceError::McpError(error))) => Err(Failure::Refused(error)),
            Ok(Err(error)) => Err(self.failure(error, begun)),
            Err(_) => Err(self.failure(ServiceError::TransportClosed, begun)),
        }
    }

    fn failure(&self, error: ServiceError, begun: bool) -> Failure {
        let unsent = match &error {
            // A line that could not be written to its end was not read as one.
            ServiceError::TransportSend(error) => {
                use std::io::ErrorKind::{BrokenPipe, WouldBlock};

                let cause = error.error.downcast_ref::<std::io::Error>();
                cause.is_some_and(|cause| matches!(cause.kind(), BrokenPipe | WouldBlock))
            }
            _ => false,
        };
        let error = self.fault.take().unwrap_or_else(|| call_error(error));
        let unsent = unsent || matches!(error, CrawlError::Unreachable(_) | CrawlError::Tls(_));
        Failure::Connection { error, sent: begun && !unsent }
    }

    /// Has rmcp know a tool, from whose annotations it builds headers; the server is not asked.
    async fn make_known(&self, tool: &Tool, name: &str) {
        let Ok(mut known) = serde_json::from_str::<McpTool>(tool.definition.get()) else { return };
        known.name = name.to_owned().into();
        let mut request = ListToolsRequest::default();
        request.extensions.insert(Known(known));
        let request = ClientRequest::ListToolsRequest(request);
        let options = PeerRequestOptions::no_options();
        if let Ok(handle) = self.peer.send_cancellable_request(request, options).await {
            let _ = handle.await_response().await;
        }
    }
}

/// Has the server know that nobody waits any more, unless it is told otherwise.
struct Cancel {
    peer: Peer<RoleClient>,
    id: Option<RequestId>,
}

impl Drop for Cancel {
    fn drop(&mut self) {
        let (Some(id), Ok(runtime)) = (self.id.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let peer = self.peer.clone();
        runtime.spawn(async move {
            let reason = "the caller waits no longer".to_owned();
            let params = CancelledNotificationParam::new(Some(id), Some(reason));
            let _ = peer.send_notification(CancelledNotification::new(params).into()).await;
        });
    }
}

/// What goes with a call in which a server may ask back.
#[derive(Debug, Clone, Default)]
pub struct Input {
    /// What the caller can be asked for, as it says it.
    pub capabilities: Value,
    /// Its answers to what was asked, by the server's own ids.
    pub responses: Option<std::collections::BTreeMap<String, Value>>,
    /// The state that the server gave with its questions.
    pub state: Option<String>,
}
