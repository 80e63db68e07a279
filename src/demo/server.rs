//! A demo server's side of MCP: it lists its file's tools, and answers every call with what the
//! call would have done. Invariant: an answer fits the tool's `outputSchema`, as clients check.

use std::sync::Arc;

use axum::Router;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
    JsonObject, ListToolsResult, PaginatedRequestParams, ServerCapabilities,
    ServerConfig as ServerInfo, Tool,
};
use rmcp::service::{RequestContext, ServerInitializeError};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceExt};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{DemoError, DemoServer, Over, SOURCES, entry, load, over};
use crate::config::{ServerConfig, Transport};

/// Serves the demo server `name` on stdin and stdout until stdin closes.
pub async fn run_stdio(name: &str) -> Result<(), DemoError> {
    run_over(name, rmcp::transport::stdio()).await
}

/// As [`run_stdio`], over any pair of pipes.
pub async fn run_over<R, W>(name: &str, pipes: (R, W)) -> Result<(), DemoError>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let &(name, _, json) = SOURCES
        .iter()
        .find(|(known, _, _)| *known == name)
        .ok_or_else(|| DemoError::UnknownServer(name.into()))?;
    let lost = |message| DemoError::Session { server: name, message };
    let session = match Handler(Arc::new(load(name, json)?)).serve(pipes).await {
        Ok(session) => session,
        // A client may look in (`server/discover`) and leave.
        Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
        Err(error) => return Err(lost(error.to_string())),
    };
    session.waiting().await.map_err(|error| lost(error.to_string()))?;
    Ok(())
}

/// Serves half of the demo servers on a free loopback port, a path each, until `shutdown`.
pub(super) async fn serve_http(
    shutdown: CancellationToken,
) -> Result<Vec<ServerConfig>, DemoError> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(DemoError::Listen)?;
    let address = listener.local_addr().map_err(DemoError::Listen)?;
    let mut router = Router::new();
    let mut entries = Vec::new();
    for (name, json) in over(Over::Http) {
        let handler = Handler(Arc::new(load(name, json)?));
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            .enforce_origin_validation()
            .with_cancellation_token(shutdown.clone());
        let service: StreamableHttpService<_, LocalSessionManager> =
            StreamableHttpService::new(move || Ok(handler.clone()), Arc::default(), config);
        router = router.route_service(&format!("/{name}/mcp"), service);
        let url = Url::parse(&format!("http://{address}/{name}/mcp"))
            .map_err(|error| DemoError::Listen(std::io::Error::other(error)))?;
        let headers = Vec::new();
        entries.push(entry(name, Transport::Http { url, headers }));
    }
    tokio::spawn(async move {
        let served =
            axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::warn!(%error, "the demo servers stopped");
        }
    });
    Ok(entries)
}

#[derive(Clone)]
struct Handler(Arc<DemoServer>);

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerInfo {
        let version = env!("CARGO_PKG_VERSION");
        ServerInfo::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(
                Implementation::new(&self.0.server, version).with_title(&self.0.title),
            )
            .with_instructions(&self.0.instructions)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.0.tools.iter().find(|tool| tool.name == name).cloned()
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.0.tools.clone()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(tool) = self.get_tool(&request.name) else {
            let message = format!("{} has no tool {:?}", self.0.server, request.name);
            return Err(ErrorData::invalid_params(message, None));
        };
        let arguments = request.arguments.unwrap_or_default();
        Ok(answer(&self.0.server, &tool, &arguments).into())
    }
}

fn answer(server: &str, tool: &Tool, arguments: &JsonObject) -> CallToolResult {
    let missing: Vec<&str> = strings(tool.input_schema.get("required"))
        .filter(|name| !arguments.contains_key(*name))
        .collect();
    if !missing.is_empty() {
        let text = format!("{} needs {}", tool.name, missing.join(", "));
        return CallToolResult::error(vec![ContentBlock::text(text)]);
    }
    let text = format!(
        "This is a demo: nothing was done. {server}/{} would have run with {}",
        tool.name,
        Value::Object(arguments.clone()),
    );
    let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
    result.structured_content = tool.output_schema.as_deref().map(placeholder);
    result
}

/// The least value that fits an `outputSchema` of the demo: its required members, empty.
fn placeholder(schema: &JsonObject) -> Value {
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => strings(schema.get("required"))
            .filter_map(|name| {
                let member = schema.get("properties")?.get(name)?.as_object()?;
                Some((name.to_owned(), placeholder(member)))
            })
            .collect(),
        Some("array") => json!([]),
        Some("integer" | "number") => json!(0),
        Some("boolean") => json!(false),
        _ => json!("demo:nothing-was-done"),
    }
}

fn strings(value: Option<&Value>) -> impl Iterator<Item = &str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}
