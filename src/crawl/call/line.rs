//! The connection to one server, for calls.
//!
//! Invariant: there is at most one at a time, and a task that closes it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::error::CallError;
use super::send::Failure;
use crate::auth::Account;
use crate::config::{CrawlConfig, ServerConfig, Transport};
use crate::crawl::client;
use crate::crawl::error::{CrawlError, Secrets};
use crate::crawl::session::{Connector, Era, Session};

/// How long calls that are under way may take once the service stops.
const DRAIN: Duration = Duration::from_secs(3);
/// How often a stopped line is looked at for calls that are under way.
const LOOK: Duration = Duration::from_millis(20);

/// A server that can be called.
pub(super) struct Line {
    pub(super) server: Arc<ServerConfig>,
    /// Calls that are under way.
    pub(super) running: Arc<AtomicUsize>,
    account: Option<Arc<Account>>,
    secrets: Secrets,
    /// Cancelled when the entry changes or goes, and with the service.
    stop: CancellationToken,
    open: AsyncMutex<Open>,
    used: Mutex<Instant>,
}

#[derive(Default)]
struct Open {
    session: Option<Arc<Session>>,
    era: Option<Era>,
    http: Option<reqwest::Client>,
}

impl Line {
    pub(super) fn new(
        server: Arc<ServerConfig>,
        account: Option<Arc<Account>>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            secrets: Secrets::of(&server, account.clone()),
            server,
            running: Arc::default(),
            account,
            stop,
            open: AsyncMutex::default(),
            used: Mutex::new(Instant::now()),
        }
    }

    /// Closes the connection; no other one is opened.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// The open connection, or a new one.
    pub(super) async fn open(
        self: &Arc<Self>,
        limits: &CrawlConfig,
        idle: Duration,
        tasks: &TaskTracker,
    ) -> Result<Arc<Session>, CrawlError> {
        self.touch();
        let mut open = self.open.lock().await;
        if self.stop.is_cancelled() {
            return Err(CrawlError::Closed(": its entry changed, or toolscout stops".into()));
        }
        if let Some(session) = &open.session
            && !session.has_ended()
        {
            return Ok(Arc::clone(session));
        }
        if let (Transport::Http { url, headers }, None) = (&self.server.transport, &open.http) {
            open.http = Some(client::client(&self.server, url, headers)?);
        }
        let connector = Connector {
            server: &self.server,
            secrets: &self.secrets,
            http: open.http.as_ref(),
            account: self.account.as_ref(),
            max_bytes: limits.max_bytes,
        };
        let connected = connector.connect(open.era).await;
        if let Err(CrawlError::Tls(_) | CrawlError::AuthRequired(_)) = &connected {
            // Certificates may have been renewed by the next time.
            open.http = None;
        }
        let session = Arc::new(connected?);
        open.era = Some(session.era);
        open.session = Some(Arc::clone(&session));
        tasks.spawn(Arc::clone(self).keep(Arc::clone(&session), idle));
        Ok(session)
    }

    /// Closes the connection when its time has come: when it ended, when it is to stop, or when
    /// it was not used for as long as `idle`.
    async fn keep(self: Arc<Self>, session: Arc<Session>, idle: Duration) {
        let mut open = loop {
            tokio::select! {
                () = session.ended() => break self.open.lock().await,
                () = self.stop.cancelled() => {
                    self.drained().await;
                    break self.open.lock().await;
                }
                () = tokio::time::sleep_until(self.used() + idle) => {
                    // Whoever calls is counted before the connection is asked for.
                    let open = self.open.lock().await;
                    if !self.is_idle() {
                        self.touch();
                    } else if self.used().elapsed() >= idle {
                        break open;
                    }
                }
            }
        };
        if open.session.as_ref().is_some_and(|open| Arc::ptr_eq(open, &session)) {
            open.session = None;
        }
        session.close().await;
    }

    fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn used(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_idle(&self) -> bool {
        self.running.load(Ordering::SeqCst) == 0
    }

    /// Waits until the calls that are under way have ended, for a short while.
    async fn drained(&self) {
        let drained = async {
            while !self.is_idle() {
                tokio::time::sleep(LOOK).await;
            }
        };
        let _ = tokio::time::timeout(DRAIN, drained).await;
    }

    /// What a failure means to who called.
    pub(super) fn error(&self, failure: Failure) -> CallError {
        let server = self.server.id.clone();
        match failure {
            Failure::Refused(error) => {
                let data = error.data.map(|data| format!(" ({data})")).unwrap_or_default();
                let message = self.secrets.mask(&format!("{}{data}", error.message));
                CallError::Upstream { server, code: error.code.0, message }
            }
            Failure::Timeout(after) => CallError::Timeout { server, after },
            Failure::Connection { error: CrawlError::TooManyBytes(most), .. } => {
                CallError::Endless { server, most }
            }
            Failure::NoConnection(error) => self.error(Failure::Connection { error, sent: false }),
            Failure::Connection { error, sent } => {
                let why = match &error {
                    CrawlError::Closed(how) => format!("the connection ended{how}"),
                    error => error.to_string(),
                };
                let why = self.secrets.mask(&why);
                match error {
                    CrawlError::AuthRequired(_) | CrawlError::Login(_) | CrawlError::Token(_) => {
                        CallError::Auth { server, why }
                    }
                    CrawlError::Closed(_) | CrawlError::Exited { .. } if sent => {
                        CallError::Lost { server, why }
                    }
                    _ => CallError::Unavailable { server, why },
                }
            }
        }
    }
}
