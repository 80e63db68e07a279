//! Crawls for tests: configurations with short limits, and ways to wait.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use toolscout::access::profile::Profiles;
use toolscout::catalog::{Listing, Outcome, ServerInfo, ServerUpdate};
use toolscout::config::{
    AuditConfig, AuthConfig, Config, CrawlConfig, Defaults, EmbedConfig, LimitsConfig, NameFilter,
    NetworkConfig, ServerConfig, TelemetryConfig, TlsConfig, TokenKey, Transport,
};
use toolscout::crawl::{self, Crawler, Wanted};
use toolscout::tool::ServerId;
use url::Url;

/// Longer than anything should take on a busy machine; only a failing test waits so long.
pub const PATIENCE: Duration = Duration::from_mins(1);

pub fn server(id: &str, transport: Transport) -> ServerConfig {
    ServerConfig {
        id: id.into(),
        enabled: true,
        title: None,
        names: NameFilter::default(),
        timeout: PATIENCE,
        refresh: Duration::from_hours(1),
        network: NetworkConfig::direct(),
        guard: None,
        transport,
        auth: toolscout::config::Auth::Headers,
        filled_in: Vec::new(),
    }
}

pub fn http(url: &Url) -> Transport {
    Transport::Http { url: url.clone(), headers: Vec::new() }
}

pub fn limits() -> CrawlConfig {
    CrawlConfig { concurrency: 8, max_pages: 20, max_tools: 1_000, max_bytes: 4 << 20 }
}

pub fn config(servers: Vec<ServerConfig>) -> Config {
    Config {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        demo: false,
        allow_anonymous: false,
        allowed_hosts: Vec::new(),
        allowed_origins: Vec::new(),
        data: PathBuf::new(),
        servers,
        crawl: limits(),
        defaults: Defaults { network: NetworkConfig::direct(), ..Defaults::default() },
        embed: EmbedConfig { enabled: false, ..EmbedConfig::default() },
        call: toolscout::config::CallConfig::default(),
        mcp: toolscout::config::McpConfig::default(),
        rerank: None,
        registries: Vec::new(),
        profiles: Profiles::new(),
        token_key: TokenKey::File,
        auth: AuthConfig::default(),
        tenants: BTreeMap::default(),
        limits: LimitsConfig::default(),
        tls: TlsConfig::default(),
        telemetry: TelemetryConfig::default(),
        cluster: None,
        audit: AuditConfig::default(),
        learn: None,
        trust: toolscout::trust::policy::Policy::default(),
    }
}

/// What one crawl of this transport finds.
pub async fn outcome(transport: Transport) -> Outcome {
    let server = server("srv", transport);
    let mut updates = crawl::crawl_once(&server, &limits(), None).await;
    assert_eq!(updates.len(), 1);
    updates.remove(0).outcome
}

pub fn listing(outcome: Outcome) -> Listing {
    match outcome {
        Outcome::Listed(listing) => listing,
        other => panic!("not listed: {other:?}"),
    }
}

/// The error of a failed crawl.
pub fn failure(outcome: Outcome) -> String {
    match outcome {
        Outcome::Failed { error } => error,
        other => panic!("not failed: {other:?}"),
    }
}

pub fn definitions(listing: &Listing) -> Vec<&str> {
    listing.tools.iter().map(|tool| tool.definition.get()).collect()
}

pub fn names(listing: &Listing) -> Vec<&str> {
    listing.tools.iter().map(|tool| &*tool.name).collect()
}

/// A page of tools with these names.
pub fn page(names: &[&str], next: Option<&str>) -> String {
    let tools: Vec<_> = names
        .iter()
        .map(|name| format!(r#"{{"name":"{name}","inputSchema":{{"type":"object"}}}}"#))
        .collect();
    let next = next.map(|next| format!(r#","nextCursor":"{next}""#)).unwrap_or_default();
    format!(r#"{{"tools":[{}]{next}}}"#, tools.join(","))
}

/// Running crawls, and what they tell.
pub struct Crawls {
    pub crawler: Crawler,
    updates: mpsc::Receiver<ServerUpdate>,
    shutdown: CancellationToken,
}

impl Crawls {
    pub fn start(servers: Vec<ServerConfig>, known: BTreeMap<ServerId, ServerInfo>) -> Self {
        Self::of(&config(servers), known)
    }

    pub fn of(config: &Config, known: BTreeMap<ServerId, ServerInfo>) -> Self {
        let (sender, updates) = mpsc::channel(64);
        let shutdown = CancellationToken::new();
        let wanted = config.servers.iter().cloned().map(Wanted::crawled).collect();
        let crawler = crawl::start(wanted, &config.crawl, known, sender, shutdown.clone());
        Self { crawler, updates, shutdown }
    }

    pub async fn next(&mut self) -> ServerUpdate {
        let next = tokio::time::timeout(PATIENCE, self.updates.recv());
        next.await.expect("no update in time").expect("the crawls have ended")
    }

    /// The next listing of this server; other updates are passed over.
    pub async fn listing_of(&mut self, server: &str) -> Listing {
        loop {
            let update = self.next().await;
            if let (id, Outcome::Listed(listing)) = (update.server.as_str(), update.outcome)
                && id == server
            {
                return listing;
            }
        }
    }

    /// Shuts down, and waits until every task has ended.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        let stopped = tokio::time::timeout(PATIENCE, self.crawler.stopped());
        stopped.await.expect("the crawls do not end");
        // It could start more of them, and so keeps the channel open.
        drop(self.crawler);
        while self.updates.recv().await.is_some() {}
    }
}

/// Waits until this is so.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "never so: {what}");
}
