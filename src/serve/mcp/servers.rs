//! `list_servers`: what is connected, for a model.
//!
//! Invariant: a number of tools that is not known is left out, not told as zero.

use std::time::SystemTime;

use rmcp::model::{CallToolResult, JsonObject};
use rmcp::service::{RequestContext, RoleServer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::trail::Trail;
use super::McpHandler;
use super::schema::{read, structured};
use crate::live::ServerState;

/// The arguments of `list_servers`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListServers {}

/// The result of `list_servers`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Servers {
    /// By id.
    servers: Vec<Connected>,
}

/// A server.
#[derive(Debug, Serialize, JsonSchema)]
struct Connected {
    /// Its id, as `search_tools` takes it.
    id: String,
    /// Its title.
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// What can be said of it at the moment.
    state: ServerState,
    /// How many tools it has; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<usize>,
    /// Seconds since its tools were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_s: Option<u64>,
}

impl McpHandler {
    pub(super) fn list_servers(
        &self,
        arguments: Option<JsonObject>,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, String> {
        let ListServers {} = read(arguments, "list_servers takes nothing")?;
        let now = SystemTime::now();
        let servers = self.live.servers();
        let servers = servers.iter().map(|(id, status)| Connected {
            id: id.to_string(),
            title: status.title.clone(),
            state: status.state,
            tools: status.tools,
            age_s: status
                .crawled_at
                .and_then(|then| now.duration_since(then).ok())
                .map(|age| age.as_secs()),
        });
        let servers: Vec<_> = servers.collect();
        let (trail, way) = Trail::of_mcp(context, &self.audit);
        trail.keep_list(way, &self.live, "list_servers", servers.len());
        structured(&Servers { servers }, context)
    }
}
