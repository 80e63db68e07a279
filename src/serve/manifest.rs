//! How others find toolscout: a manifest at `/.well-known/mcp` and a server card beside `/mcp`.
//!
//! Invariant: the URLs in both lead back to where the document was read.

use axum::Extension;
use axum::http::{HeaderMap, Uri, header};
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;

use super::door::Door;
use super::door::challenge::Kind;
use super::http::json;
use super::scope::Scoped;

const DESCRIPTION: &str = "Finds the few tools that fit a need among all tools of many MCP servers";

/// The manifest at `/.well-known/mcp`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Manifest {
    name: &'static str,
    version: &'static str,
    description: &'static str,
    /// The MCP endpoint.
    endpoint: String,
    transport: &'static str,
    auth: Auth,
}

/// What a client must show to be let in.
#[derive(Debug, Serialize, JsonSchema)]
struct Auth {
    /// How.
    r#type: Kind,
}

/// The server card (SEP-2127).
#[derive(Debug, Serialize, JsonSchema)]
pub struct ServerCard {
    #[serde(rename = "$schema")]
    schema: &'static str,
    name: &'static str,
    version: &'static str,
    title: &'static str,
    description: &'static str,
    remotes: [Remote; 1],
}

/// Where and how to connect.
#[derive(Debug, Serialize, JsonSchema)]
struct Remote {
    r#type: &'static str,
    url: String,
    #[serde(rename = "supportedProtocolVersions")]
    supported_protocol_versions: Vec<String>,
}

/// `GET /.well-known/mcp`
pub async fn manifest(Extension(door): Extension<Door>, uri: Uri, headers: HeaderMap) -> Response {
    json(&Manifest {
        name: "toolscout",
        version: env!("CARGO_PKG_VERSION"),
        description: DESCRIPTION,
        endpoint: endpoint(&uri, &headers, "/mcp"),
        transport: "streamable-http",
        auth: Auth { r#type: door.challenges().kind() },
    })
}

/// `GET /mcp/server-card`
pub async fn server_card(Scoped(live): Scoped, uri: Uri, headers: HeaderMap) -> Response {
    let path = live.scope().map_or("/mcp".into(), |profile| format!("/p/{profile}/mcp"));
    let versions = rmcp::model::ProtocolVersion::KNOWN_VERSIONS;
    json(&ServerCard {
        schema: "https://static.modelcontextprotocol.io/schemas/v1/server-card.schema.json",
        name: "toolscout/toolscout",
        version: env!("CARGO_PKG_VERSION"),
        title: "toolscout",
        description: DESCRIPTION,
        remotes: [Remote {
            r#type: "streamable-http",
            url: endpoint(&uri, &headers, &path),
            supported_protocol_versions: versions.iter().map(ToString::to_string).collect(),
        }],
    })
}

/// The MCP endpoint at this path, as this caller reaches it. The guard has checked the host; a proxy before us
/// says whether it was reached over TLS.
fn endpoint(uri: &Uri, headers: &HeaderMap, path: &str) -> String {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = header(header::HOST.as_str())
        .or(uri.authority().map(axum::http::uri::Authority::as_str))
        .unwrap_or("localhost");
    let tls = header("x-forwarded-proto").is_some_and(|proto| proto.eq_ignore_ascii_case("https"));
    let scheme = if tls { "https" } else { "http" };
    format!("{scheme}://{host}{path}")
}
