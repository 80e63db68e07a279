//! One crawl of one server: connect, list, and keep or close the connection.
//!
//! Invariant: whatever way a crawl ends, it ends within the server's `timeout`.

use std::sync::Arc;
use std::time::Duration;

use super::client;
use super::error::{CrawlError, Secrets};
use super::list::list;
use super::session::{Connector, Era, Event, Session};
use crate::auth::Account;
use crate::catalog::{Listing, Outcome, ServerInfo};
use crate::config::{CrawlConfig, ServerConfig, Transport};

/// A server, and what is remembered of it from one crawl to the next.
pub(super) struct Upstream {
    pub(super) server: Arc<ServerConfig>,
    limits: CrawlConfig,
    secrets: Secrets,
    account: Option<Arc<Account>>,
    http: Option<reqwest::Client>,
    era: Option<Era>,
    /// The last crawl was refused for this long.
    asked: Option<Duration>,
    session: Option<Session>,
}

impl Upstream {
    pub(super) fn new(
        server: Arc<ServerConfig>,
        account: Option<Arc<Account>>,
        limits: &CrawlConfig,
        known: Option<&ServerInfo>,
    ) -> Self {
        Self {
            secrets: Secrets::of(&server, account.clone()),
            account,
            server,
            limits: limits.clone(),
            http: None,
            era: known.and_then(Era::known),
            asked: None,
            session: None,
        }
    }

    /// Crawls once. With `watch` the connection stays open where the server announces changes.
    pub(super) async fn crawl(&mut self, watch: bool) -> Outcome {
        let timeout = self.server.timeout;
        let listing = match tokio::time::timeout(timeout, self.list(watch)).await {
            Ok(listing) => listing,
            Err(_) => Err(CrawlError::Timeout(timeout)),
        };
        if listing.is_err() || !self.announces() {
            self.close().await;
        }
        self.asked = None;
        if let Err(error) = &listing {
            match error {
                CrawlError::Busy { wait, .. } => self.asked = *wait,
                // Certificates may have been renewed by the next time.
                CrawlError::Tls(_) | CrawlError::AuthRequired(_) => self.http = None,
                _ => {}
            }
        }
        match listing {
            Ok(listing) => Outcome::Listed(listing),
            Err(error) => {
                let text = self.secrets.mask(&error.to_string());
                match error {
                    CrawlError::AuthRequired(_) | CrawlError::Login(_) => {
                        Outcome::AuthRequired { error: text }
                    }
                    _ => Outcome::Failed { error: text },
                }
            }
        }
    }

    async fn list(&mut self, watch: bool) -> Result<Listing, CrawlError> {
        let who = self.who();
        if let Some(session) = &self.session {
            match list(session, &self.server, &who, &self.limits).await {
                Ok(listing) => return Ok(listing),
                Err(error) if is_final(&error) => return Err(error),
                // The connection may have gone stale: once more over a fresh one.
                Err(_) => self.close().await,
            }
        }
        if let (Transport::Http { url, headers }, None) = (&self.server.transport, &self.http) {
            self.http = Some(client::client(&self.server, url, headers)?);
        }
        let connector = Connector {
            server: &self.server,
            secrets: &self.secrets,
            http: self.http.as_ref(),
            account: self.account.as_ref(),
            max_bytes: self.limits.max_bytes,
        };
        let session = self.session.insert(connector.connect(self.era).await?);
        self.era = Some(session.era);
        if watch {
            // First, so that no change falls between the listing and the watch.
            session.subscribe().await;
        }
        list(session, &self.server, &who, &self.limits).await
    }

    /// Who logged in there.
    pub(super) fn who(&self) -> String {
        self.account.as_ref().map(|account| account.who()).unwrap_or_default()
    }

    /// How long the server asked to be left alone, if the last crawl failed for that.
    pub(super) fn asked(&self) -> Option<Duration> {
        self.asked
    }

    /// The next crawl starts a child.
    pub(super) fn starts_a_child(&self) -> bool {
        matches!(self.server.transport, Transport::Stdio { .. }) && self.session.is_none()
    }

    /// The server says by itself when its tools change.
    pub(super) fn announces(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.announces)
    }

    /// Waits for news over the open connection; for ever if there is none.
    pub(super) async fn event(&self) -> Event {
        match &self.session {
            Some(session) => session.event().await,
            None => std::future::pending().await,
        }
    }

    /// Forgets what was announced up to now: the next crawl will see it.
    pub(super) fn settle(&self) {
        if let Some(session) = &self.session {
            session.settle();
        }
    }

    /// Closes the connection, and waits for it: no child is left.
    pub(super) async fn close(&mut self) {
        if let Some(session) = self.session.take() {
            session.close().await;
        }
    }
}

/// Over a fresh connection it would be the same, or the server asked to be left alone.
fn is_final(error: &CrawlError) -> bool {
    matches!(
        error,
        CrawlError::Login(_)
            | CrawlError::Token(_)
            | CrawlError::AuthRequired(_)
            | CrawlError::ProxyAuth
            | CrawlError::Busy { .. }
            | CrawlError::CursorLoop(_)
            | CrawlError::TooManyPages(_)
            | CrawlError::TooManyTools(_)
            | CrawlError::TooManyBytes(_)
    )
}
