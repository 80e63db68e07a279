//! toolscout's server on a port of its own, over a catalog that the test gives.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use reqwest::{Method, RequestBuilder, StatusCode, header};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use toolscout::access::profile::Profiles;
use toolscout::catalog::{Catalog, Outcome, Server, ServerInfo, ServerUpdate};
use toolscout::config::{
    AuditConfig, AuthConfig, Config, CrawlConfig, Defaults, EmbedConfig, LimitsConfig, Sources,
    TelemetryConfig, TlsConfig, TokenKey, load,
};
use toolscout::live::Live;
use toolscout::live::indexer::Indexer;
use toolscout::serve::{self, Rooms};
use toolscout::tool::{ServerId, Tool};

/// A definition with everything that JSON readers trip over: spaces and key order of its own, a
/// key twice, numbers beyond a double, half a surrogate pair.
pub const ODD: &str = r#"{ "zebra":1, "name":"odd/näme %2F","apple" : 1e400,"description":"send a carrier pigeon \ud83d", "n":123456789012345678901234567890, "n":2.50,"inputSchema":true}"#;

/// A server of the test catalog: id, title, definitions.
pub type Listed<'a> = (&'a str, Option<&'a str>, &'a [&'a str]);

/// Three servers; one has a `/` in its id.
pub const SERVERS: &[Listed<'static>] = &[
    (
        "calendar",
        Some("Team calendar"),
        &[
            r#"{"name":"create_event","title":"Create event","description":"Create a calendar event and invite people to the meeting","inputSchema":{"type":"object","properties":{"start":{"type":"string","description":"when the meeting begins"}}}}"#,
            r#"{"name":"delete_event","description":"Delete a calendar event","inputSchema":{"type":"object"}}"#,
            r#"{"name":"list_events","description":"List the events of a day","inputSchema":{"type":"object"}}"#,
        ],
    ),
    (
        "post/office",
        None,
        &[
            r#"{"name":"send_mail","description":"Send an e-mail message to somebody","inputSchema":{"type":"object"}}"#,
            ODD,
        ],
    ),
    (
        "files",
        Some("Files"),
        &[
            r#"{"name":"read_file","description":"Read a file from disk","inputSchema":{"type":"object"}}"#,
        ],
    ),
];

/// A catalog of those servers.
pub fn catalog(servers: &[Listed<'_>]) -> Catalog {
    Catalog::from_servers(servers.iter().map(|(id, title, tools)| {
        let server = ServerId::from(*id);
        let tools = tools.iter().map(|text| Arc::new(Tool::parse(&server, text).unwrap()));
        Server {
            tools: tools.collect(),
            id: server.clone(),
            info: ServerInfo { title: title.map(str::to_owned), ..ServerInfo::default() },
            crawled_at: SystemTime::now(),
        }
    }))
}

/// A configuration without servers and without an encoder.
pub fn config() -> Config {
    Config {
        listen: ([127, 0, 0, 1], 0).into(),
        allow_anonymous: false,
        allowed_hosts: Vec::new(),
        allowed_origins: Vec::new(),
        data: std::env::temp_dir(),
        servers: Vec::new(),
        demo: false,
        crawl: CrawlConfig { concurrency: 1, max_pages: 1, max_tools: 1, max_bytes: 1 },
        defaults: Defaults::default(),
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

/// Profiles as a configuration has them.
pub fn profiles(toml: &str) -> Profiles {
    let sources = Sources { text: Some(toml.to_owned()), ..Sources::default() };
    let loaded = load(&sources, &|_| None).map_err(|errors| errors.to_string());
    loaded.unwrap().config.profiles
}

/// Takes a server away from `live`, as the real writer does it.
pub async fn remove_server(live: &Live, server: &str) {
    let (sender, updates) = mpsc::channel(1);
    let update = ServerUpdate {
        server: server.into(),
        transport: "file",
        outcome: Outcome::Removed,
        next_crawl: None,
    };
    sender.send(update).await.unwrap();
    drop(sender);
    let indexer = Indexer::new(live.clone(), None);
    let (_no_encoder, vectors) = tokio::sync::oneshot::channel();
    indexer.run(updates, vectors, 1, CancellationToken::new()).await;
}

/// A running server; stopped when dropped.
pub struct TestApp {
    pub address: SocketAddr,
    pub live: Live,
    client: reqwest::Client,
    shutdown: CancellationToken,
    task: Option<JoinHandle<()>>,
}

/// An answer, read to its end.
pub struct Reply {
    pub status: StatusCode,
    pub headers: header::HeaderMap,
    pub text: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    /// As [`Reply::json`], for a body that holds [`ODD`]: its number and its half surrogate pair
    /// are replaced by others that a `Value` can hold.
    pub fn json_lossy(&self) -> Value {
        let text = self.text.replace("1e400", "1e300").replace(r"\ud83d", "?");
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    /// The last part of a problem's type; checks the rest of the problem on the way.
    pub fn problem(&self) -> String {
        let kind = &self.headers[header::CONTENT_TYPE];
        assert_eq!(kind, "application/problem+json", "{}", self.text);
        let body = self.json();
        assert_eq!(body["status"], self.status.as_u16());
        assert_eq!(body["request_id"], self.headers["x-request-id"].to_str().unwrap());
        assert!(!body["detail"].as_str().unwrap().is_empty());
        let kind = body["type"].as_str().unwrap();
        kind.strip_prefix("urn:toolscout:problem:").unwrap().to_owned()
    }
}

impl TestApp {
    /// Serves [`SERVERS`].
    pub async fn start() -> Self {
        Self::serve(Live::from_catalog(catalog(SERVERS)), &config()).await
    }

    pub async fn serve(live: Live, config: &Config) -> Self {
        Self::of(Rooms::from(live), config).await
    }

    pub async fn of(rooms: Rooms, config: &Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, rooms, config)
    }

    /// On a listener whose address had to be known before.
    pub fn on(listener: TcpListener, rooms: Rooms, config: &Config) -> Self {
        let live = rooms.live.clone();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn({
            let (config, shutdown) = (config.clone(), shutdown.clone());
            async move { serve::run(listener, rooms, &config, shutdown).await.unwrap() }
        });
        Self {
            address,
            live,
            client: reqwest::Client::builder().no_proxy().no_gzip().build().unwrap(),
            shutdown,
            task: Some(task),
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    pub async fn send(&self, request: RequestBuilder) -> Reply {
        let response = request.send().await.unwrap();
        Reply {
            status: response.status(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
        }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Reply {
        let request = self
            .request(Method::POST, path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body);
        self.send(request).await
    }

    /// Begins the shutdown and waits for its end.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        let task = self.task.take().unwrap();
        task.await.unwrap();
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}
