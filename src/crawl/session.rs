//! A connection to one server, in whichever era of the protocol it speaks.
//!
//! Invariant: only [`Session::page`] asks for tools, and never through rmcp's typed calls, which
//! lose parts of the definitions and may answer from a cache when the server is down.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rmcp::ClientHandler;
use rmcp::model::{
    ClientCapabilities, ClientConfig, ClientRequest, ErrorCode, ErrorData, Implementation,
    ListToolsRequest, PaginatedRequestParams, ProtocolVersion, ServerNotification, ServerPeerInfo,
    SubscriptionFilter,
};
use rmcp::service::{
    ClientInitializeError, ClientLifecycleMode, NotificationContext, Peer, PeerRequestOptions,
    RoleClient, RunningService, ServiceError, Subscription, serve_client_with_lifecycle_and_ct,
};
use rmcp::transport::DynamicTransportError;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::authorized::Authorized;
use super::client;
use super::error::{CrawlError, Secrets, clip};
use super::http;
use super::http_error;
use super::news::NewsStream;
use super::sse::SseTransport;
use super::stdio::{Program, StdioTransport};
use super::tap::Reply;
use crate::auth::Account;
use crate::catalog::ServerInfo;
use crate::config::{ServerConfig, Transport};

/// How long a server may take to confirm that it will announce changes.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a connection may take to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(6);

/// The ways of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Era {
    /// `initialize` over an event stream that answers POSTs: HTTP in 2024.
    EventStream,
    /// `initialize`.
    Handshake,
    /// Since 2026-07-28, without it.
    Stateless,
}

impl Era {
    /// The era in which a server was listed before.
    pub(super) fn known(info: &ServerInfo) -> Option<Self> {
        let version = info.protocol.as_deref()?;
        Some(if info.event_stream { Self::EventStream } else { Self::of(version) })
    }

    /// The era of a protocol version; versions are dates. The transport is not in it.
    fn of(version: &str) -> Self {
        if version < ProtocolVersion::V_2026_07_28.as_str() {
            Self::Handshake
        } else {
            Self::Stateless
        }
    }
}

/// Why a transport gave up, which rmcp has no way to tell. The first word stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Fault(Arc<Mutex<Option<CrawlError>>>);

impl Fault {
    pub(super) fn set(&self, why: CrawlError) {
        self.slot().get_or_insert(why);
    }

    pub(super) fn take(&self) -> Option<CrawlError> {
        self.slot().take()
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<CrawlError>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What happened to an idle session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// The server says that its tools changed.
    Changed,
    /// The connection is gone.
    Ended,
}

/// An open connection. Dropping it closes it in the background.
pub(super) struct Session {
    pub(super) peer: Peer<RoleClient>,
    info: Arc<ServerPeerInfo>,
    changed: Arc<Notify>,
    news: NewsStream,
    pub(super) fault: Fault,
    stop: CancellationToken,
    ended: CancellationToken,
    /// The era that it was opened in.
    pub(super) era: Era,
    /// The server announces changes of its tools, as long as the session is open.
    pub(super) announces: bool,
    _stop_on_drop: DropGuard,
}

/// What connecting needs to know.
pub(super) struct Connector<'a> {
    pub(super) server: &'a ServerConfig,
    pub(super) secrets: &'a Secrets,
    pub(super) http: Option<&'a reqwest::Client>,
    pub(super) account: Option<&'a Arc<Account>>,
    pub(super) max_bytes: usize,
}

impl Connector<'_> {
    /// Connects in the era that is remembered, or finds out, and falls back to the others.
    pub(super) async fn connect(&self, remembered: Option<Era>) -> Result<Session, CrawlError> {
        let error = match self.open(remembered).await {
            Ok(session) => return Ok(session),
            Err(error) => error,
        };
        // Nobody there, or the door is shut: another dialect won't help.
        if matches!(
            error,
            CrawlError::CommandNotFound(_)
                | CrawlError::NoFolder(_)
                | CrawlError::Spawn { .. }
                | CrawlError::Unreachable(_)
                | CrawlError::Tls(_)
                | CrawlError::ProxyAuth
                | CrawlError::Busy { .. }
                | CrawlError::AuthRequired(_)
                | CrawlError::Login(_)
                | CrawlError::Token(_)
                | CrawlError::TooManyBytes(_)
        ) {
            return Err(error);
        }
        tracing::debug!(server = %self.server.id, "trying the other protocol eras");
        let second = match (remembered, &error) {
            // A stateless server that started slowly has been asked to `initialize`, and refused.
            (None, CrawlError::Refused { .. }) | (Some(Era::Handshake), _) => Era::Stateless,
            _ => Era::Handshake,
        };
        let mut last = match self.open(Some(second)).await {
            Ok(session) => return Ok(session),
            Err(
                second @ (CrawlError::AuthRequired(_)
                | CrawlError::Login(_)
                | CrawlError::Busy { .. }),
            ) => {
                return Err(second);
            }
            Err(second) => second,
        };
        // The protocol's own order: a server that takes no POST may give an event stream.
        let refuses = |error: &CrawlError| match error {
            CrawlError::Status(status) => status.starts_with('4'),
            _ => false,
        };
        if remembered == Some(Era::EventStream) {
            match self.open(Some(Era::Stateless)).await {
                Ok(session) => return Ok(session),
                Err(third) => last = third,
            }
        } else if self.http.is_some() && refuses(&last) {
            match self.open(Some(Era::EventStream)).await {
                Ok(session) => return Ok(session),
                // It has no event stream either: what the POST came to says more.
                Err(CrawlError::Status(_)) => {}
                Err(third) => return Err(third),
            }
        }
        // With a remembered era the first error is the telling one.
        Err(if remembered.is_some() { error } else { last })
    }

    /// Connects in this era, or finds out which of those since 2025 it is.
    async fn open(&self, era: Option<Era>) -> Result<Session, CrawlError> {
        let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
        let mode = match era {
            None => ClientLifecycleMode::Auto { preferred_versions, legacy_version: None },
            Some(Era::Stateless) => ClientLifecycleMode::Discover { preferred_versions },
            Some(Era::Handshake | Era::EventStream) => ClientLifecycleMode::Initialize,
        };
        let changed = Arc::new(Notify::new());
        let fault = Fault::default();
        let news = NewsStream::new();
        let stop = CancellationToken::new();
        let listener = Listener(Arc::clone(&changed));
        let service = match &self.server.transport {
            Transport::Stdio { command, args, env, cwd } => {
                let program = Program { command, args, env, cwd: cwd.as_deref() };
                let transport = StdioTransport::spawn(
                    &program,
                    &self.server.id,
                    self.secrets,
                    self.max_bytes,
                    fault.clone(),
                )?;
                serve_client_with_lifecycle_and_ct(listener, transport, mode, stop.clone()).await
            }
            Transport::Http { url, headers } => {
                let client = match self.http {
                    Some(client) => client.clone(),
                    None => client::client(self.server, url, headers)?,
                };
                let client = Authorized { client, account: self.account.cloned() };
                if era == Some(Era::EventStream) {
                    let connected =
                        SseTransport::connect(client, url, self.max_bytes, fault.clone());
                    let transport = connected.await?;
                    serve_client_with_lifecycle_and_ct(listener, transport, mode, stop.clone())
                        .await
                } else {
                    let (changed, news) = (Arc::clone(&changed), news.clone());
                    let fault = fault.clone();
                    let transport =
                        http::transport(client, url, self.max_bytes, changed, news, fault);
                    serve_client_with_lifecycle_and_ct(listener, transport, mode, stop.clone())
                        .await
                }
            }
            Transport::Catalog { .. } => {
                return Err(CrawlError::Client("a catalog file is not a server".into()));
            }
        };
        let service =
            service.map_err(|error| fault.take().unwrap_or_else(|| connect_error(error)))?;
        Session::of(service, era, (changed, news), fault, stop)
    }
}

impl Session {
    fn of(
        service: RunningService<RoleClient, Listener>,
        era: Option<Era>,
        (changed, news): (Arc<Notify>, NewsStream),
        fault: Fault,
        stop: CancellationToken,
    ) -> Result<Self, CrawlError> {
        let peer = service.peer().clone();
        let info = peer
            .peer_info()
            .ok_or_else(|| CrawlError::Protocol("it does not say what it is".into()))?;
        let ended = CancellationToken::new();
        let end = ended.clone().drop_guard();
        tokio::spawn(async move {
            let _end = end;
            let _ = service.waiting().await;
        });
        let era = match era {
            Some(Era::EventStream) => Era::EventStream,
            _ => Era::of(info.protocol_version.as_str()),
        };
        Ok(Self {
            peer,
            info,
            era,
            changed,
            news,
            fault,
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
            ended,
            announces: false,
        })
    }

    /// What the server says of itself.
    pub(super) fn info(&self) -> &ServerPeerInfo {
        &self.info
    }

    /// The server said that it has tools.
    pub(super) fn offers_tools(&self) -> bool {
        self.info.capabilities.tools.is_some()
    }

    /// Asks for one page of tools; `None` for the first.
    pub(super) async fn page(&self, cursor: Option<String>) -> Result<Reply, CrawlError> {
        let params =
            cursor.map(|cursor| PaginatedRequestParams::default().with_cursor(Some(cursor)));
        let request = ClientRequest::ListToolsRequest(ListToolsRequest {
            params,
            ..ListToolsRequest::default()
        });
        let answer = async {
            self.peer
                .send_cancellable_request(request, PeerRequestOptions::no_options())
                .await?
                .await_response()
                .await
        };
        match answer.await {
            Ok(result) => Reply::of(result)
                .ok_or_else(|| CrawlError::Protocol("the reply is no listing".into())),
            Err(error) => Err(self.fault.take().unwrap_or_else(|| call_error(error))),
        }
    }

    /// Asks the server to announce changes from now on, where it can.
    pub(super) async fn subscribe(&mut self) {
        let tools = self.info.capabilities.tools.as_ref();
        if tools.and_then(|tools| tools.list_changed) != Some(true) {
            return;
        }
        if self.info.protocol_version.has_initialize() {
            self.announces = true;
            self.news.settled().await;
            return;
        }
        let mut filter = SubscriptionFilter::default();
        filter.tools_list_changed = Some(true);
        match tokio::time::timeout(SUBSCRIBE_TIMEOUT, self.peer.listen(filter)).await {
            Ok(Ok(subscription)) => {
                self.announces = true;
                let (changed, stop) = (Arc::clone(&self.changed), self.stop.clone());
                tokio::spawn(follow(subscription, changed, stop));
            }
            Ok(Err(error)) => tracing::debug!(%error, "no subscription to changes"),
            Err(_) => tracing::debug!("no answer to the subscription to changes"),
        }
    }

    /// Waits until something happens.
    pub(super) async fn event(&self) -> Event {
        tokio::select! {
            () = self.changed.notified() => Event::Changed,
            () = self.ended.cancelled() => Event::Ended,
            () = self.news.ended() => Event::Ended,
        }
    }

    /// Forgets a change that was announced before now.
    pub(super) fn settle(&self) {
        let _ = futures::FutureExt::now_or_never(self.changed.notified());
    }

    /// The connection is gone.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_cancelled() || self.peer.is_transport_closed()
    }

    /// Waits until the connection is gone.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Closes the connection and waits until it is closed: a child has ended then.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.ended.cancelled()).await;
    }
}

/// Hands on what a subscription says; its end is the end of the session.
async fn follow(mut subscription: Subscription, changed: Arc<Notify>, stop: CancellationToken) {
    loop {
        let next = tokio::select! {
            next = subscription.next() => next,
            () = stop.cancelled() => return,
        };
        match next {
            Ok(Some(ServerNotification::ToolListChangedNotification(_))) => changed.notify_one(),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return stop.cancel(),
        }
    }
}

/// Our side of the connection: we only listen.
struct Listener(Arc<Notify>);

impl ClientHandler for Listener {
    fn get_info(&self) -> ClientConfig {
        let name = Implementation::new("toolscout", env!("CARGO_PKG_VERSION"));
        let mut config = ClientConfig::new(ClientCapabilities::default(), name);
        config.protocol_version = ProtocolVersion::V_2025_11_25;
        config
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.0.notify_one();
    }
}

fn connect_error(error: ClientInitializeError) -> CrawlError {
    match error {
        ClientInitializeError::TransportError { error, .. } => transport_error(&error),
        ClientInitializeError::JsonRpcError(error) => refused("initialize", &error),
        ClientInitializeError::LegacyFallbackFailed { fallback, .. } => connect_error(*fallback),
        ClientInitializeError::ConnectionClosed(_) => CrawlError::Closed(String::new()),
        error => CrawlError::Protocol(clip(&error.to_string(), 200)),
    }
}

pub(super) fn call_error(error: ServiceError) -> CrawlError {
    match error {
        ServiceError::McpError(error) => refused("tools/list", &error),
        ServiceError::TransportSend(error) => transport_error(&error),
        ServiceError::TransportClosed => CrawlError::Closed(String::new()),
        error => CrawlError::Protocol(clip(&error.to_string(), 200)),
    }
}

fn transport_error(error: &DynamicTransportError) -> CrawlError {
    match error.error.downcast_ref() {
        Some(error) => http_error::crawl_error(error),
        None => CrawlError::Closed(format!(": {}", clip(&error.error.to_string(), 200))),
    }
}

fn refused(method: &'static str, error: &ErrorData) -> CrawlError {
    CrawlError::Refused { method, code: error.code.0, message: clip(&error.message, 200) }
}

/// The server does not know `tools/list`.
pub(super) fn is_unknown_method(error: &CrawlError) -> bool {
    matches!(error, CrawlError::Refused { code, .. } if *code == ErrorCode::METHOD_NOT_FOUND.0)
}
