//! toolscout before servers that it crawls and calls: all of it in the test's own process.

use std::collections::BTreeMap;

use rmcp::ClientHandler;
use rmcp::model::{CallToolRequestParams, CallToolResult, ProgressNotificationParam};
use rmcp::service::{
    ClientLifecycleMode, ClientServiceExt, NotificationContext, RoleClient, RunningService,
};
use rmcp::transport::StreamableHttpClientTransport;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use toolscout::config::{Allow, CallConfig, Config, McpConfig, ServerConfig};
use toolscout::crawl::call::Caller;
use toolscout::crawl::{self, Crawler, Wanted};
use toolscout::live::Live;
use toolscout::live::indexer::Indexer;
use toolscout::serve::Rooms;

use super::app::{Reply, TestApp, config};
use super::crawling::{PATIENCE, limits};

pub struct Proxy {
    pub app: TestApp,
    pub crawler: Crawler,
    shutdown: CancellationToken,
}

/// Everything may be called.
pub fn all() -> CallConfig {
    CallConfig { enabled: true, allow: Allow::All, ..CallConfig::default() }
}

impl Proxy {
    /// Before these servers, as soon as all of them are listed.
    pub async fn start(servers: Vec<ServerConfig>, call: CallConfig) -> Self {
        Self::with(servers, call, McpConfig::default()).await
    }

    pub async fn with(servers: Vec<ServerConfig>, call: CallConfig, mcp: McpConfig) -> Self {
        Self::of(servers, call, mcp, &config()).await
    }

    pub async fn of(
        servers: Vec<ServerConfig>,
        call: CallConfig,
        mcp: McpConfig,
        config: &Config,
    ) -> Self {
        let count = servers.len();
        let live = Live::new("these tests have no encoder");
        let shutdown = CancellationToken::new();
        let (updates, received) = mpsc::channel(64);
        let wanted = servers.into_iter().map(Wanted::crawled).collect();
        let crawler = crawl::start(wanted, &limits(), BTreeMap::new(), updates, shutdown.clone());
        crawler.caller().configure(call);
        let indexer = Indexer::new(live.clone(), None);
        let stop = shutdown.clone();
        tokio::spawn(async move {
            let (_no_encoder, vectors) = tokio::sync::oneshot::channel();
            indexer.run(received, vectors, 1, stop).await;
        });
        let listed = async {
            let mut seen = 0;
            while live.catalog().servers().count() < count {
                seen = live.changed(seen).await;
            }
        };
        tokio::time::timeout(PATIENCE, listed).await.expect("not all servers are listed");
        let rooms = Rooms { caller: crawler.caller(), mcp, ..Rooms::from(live) };
        let app = TestApp::of(rooms, config).await;
        Self { app, crawler, shutdown }
    }

    pub fn caller(&self) -> Caller {
        self.crawler.caller()
    }

    /// A call over plain HTTP.
    pub async fn call(&self, id: &str, arguments: &Value) -> Reply {
        let body = json!({ "id": id, "arguments": arguments });
        self.app.post("/v1/call", body.to_string()).await
    }

    /// The result of a call that is answered by its server.
    pub async fn result(&self, id: &str, arguments: &Value) -> Value {
        let reply = self.call(id, arguments).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        let answer = reply.json();
        assert_eq!(answer["id"], id);
        answer["result"].clone()
    }

    /// The code and the detail of a refusal.
    pub async fn refusal(&self, id: &str, arguments: &Value) -> (String, String) {
        let reply = self.call(id, arguments).await;
        let detail = reply.json()["detail"].as_str().unwrap_or_default().to_owned();
        (reply.problem(), detail)
    }

    /// A client of this era.
    pub async fn client(&self, era: ClientLifecycleMode) -> RunningService<RoleClient, ()> {
        let transport = StreamableHttpClientTransport::from_uri(self.app.url("/mcp"));
        ().serve_with_lifecycle(transport, era).await.unwrap()
    }

    /// Ends the crawls and waits until every connection is closed.
    pub async fn stop(&self) {
        self.shutdown.cancel();
        let stopped = tokio::time::timeout(PATIENCE, self.crawler.stopped());
        stopped.await.expect("connections are left");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// What a client gets of a tool.
pub async fn call(
    client: &RunningService<RoleClient, ()>,
    tool: &'static str,
    arguments: Value,
) -> CallToolResult {
    let arguments = arguments.as_object().cloned().unwrap();
    client.call_tool(CallToolRequestParams::new(tool).with_arguments(arguments)).await.unwrap()
}

/// A client that hands on what it hears of progress.
#[derive(Clone)]
pub struct Listening(pub mpsc::UnboundedSender<ProgressNotificationParam>);

impl ClientHandler for Listening {
    async fn on_progress(
        &self,
        params: ProgressNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        let _ = self.0.send(params);
    }
}
