//! Fourteen small MCP servers of our own, so that toolscout can be tried without any other.
//!
//! Their tools stand in `index-data/demo/*.json` and are compiled in. Half of the servers run as
//! children over stdio, half inside this process over HTTP on loopback: they are crawled like any
//! other. Invariant: a demo tool does nothing; it says what it would have done.

mod server;

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::value::to_raw_value;
use tokio_util::sync::CancellationToken;

use crate::catalog::{Listing, ServerInfo};
use crate::config::{NameFilter, NetworkConfig, ServerConfig, Transport};
use crate::tool::{ServerId, Tool};

pub use server::{run_over, run_stdio};

/// The subcommand under which a child runs: `toolscout demo-server NAME`.
pub const CHILD_COMMAND: &str = "demo-server";

/// Time for one crawl of a demo server: starting a child on a busy machine takes the most of it.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The tools never change.
const REFRESH: Duration = Duration::from_hours(1);

/// How a demo server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    Stdio,
    Http,
}

macro_rules! sources {
    ($($name:literal over $over:ident,)*) => {
        /// Name, transport and file of every demo server.
        const SOURCES: &[(&str, Over, &str)] = &[$((
            $name,
            Over::$over,
            include_str!(concat!("../index-data/demo/", $name, ".json")),
        ),)*];
    };
}
sources! {
    "calendar" over Stdio,
    "chat" over Http,
    "cloud" over Stdio,
    "crm" over Http,
    "database" over Stdio,
    "files" over Http,
    "forge" over Stdio,
    "issues" over Http,
    "mail" over Stdio,
    "observability" over Http,
    "payments" over Stdio,
    "people" over Http,
    "travel" over Stdio,
    "wiki" over Http,
}

/// Labelled queries of the demo's tools, as `toolscout eval` takes them.
pub const QUERIES: &str = include_str!("../index-data/demo/queries.jsonl");

/// Why the demo can't run.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// No demo server has that name.
    #[error("no demo server {0:?}: there are {names}", names = names().collect::<Vec<_>>().join(", "))]
    UnknownServer(String),
    /// A file that was compiled in can't be read.
    #[error("the demo server {server} has a damaged tool file: {source}")]
    File {
        /// The server.
        server: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Loopback can't be listened on.
    #[error("the demo can't listen on 127.0.0.1: {0}")]
    Listen(#[source] std::io::Error),
    /// The conversation over stdio did not begin, or broke.
    #[error("the demo server {server} lost its client: {message}")]
    Session {
        /// The server.
        server: &'static str,
        /// What happened.
        message: String,
    },
}

/// One file of `index-data/demo`.
#[derive(Debug, Clone, Deserialize)]
struct DemoServer {
    server: String,
    title: String,
    instructions: String,
    tools: Vec<rmcp::model::Tool>,
}

/// The names of all demo servers, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    SOURCES.iter().map(|(name, _, _)| *name)
}

/// Starts the servers that run inside this process, and returns the entries of all: those, and
/// the ones that the crawler starts itself as `program demo-server NAME`.
///
/// Children end when their stdin closes, the others when `shutdown` is cancelled: nothing is left
/// running when this process is killed.
pub async fn start(
    program: &Path,
    shutdown: CancellationToken,
) -> Result<Vec<ServerConfig>, DemoError> {
    let mut entries = server::serve_http(shutdown).await?;
    entries.extend(over(Over::Stdio).map(|(name, _)| {
        entry(
            name,
            Transport::Stdio {
                command: program.to_string_lossy().into_owned(),
                args: vec![CHILD_COMMAND.into(), name.into()],
                env: Vec::new(),
                cwd: None,
            },
        )
    }));
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(entries)
}

/// What crawling every demo server gives, without crawling.
pub fn catalog() -> Result<Vec<(ServerId, Listing)>, DemoError> {
    SOURCES
        .iter()
        .map(|&(name, _, json)| {
            let server = load(name, json)?;
            let id = ServerId::from(name);
            let mut listing = Listing {
                info: ServerInfo {
                    title: Some(server.title),
                    description: Some(server.instructions),
                    ..ServerInfo::default()
                },
                tools: Vec::new(),
                crawled_at: SystemTime::now(),
                defects: Vec::new(),
            };
            for tool in &server.tools {
                let definition = to_raw_value(tool)
                    .map_err(|source| DemoError::File { server: name, source })?;
                match Tool::from_raw(&id, definition) {
                    Ok(tool) => listing.tools.push(tool),
                    Err(error) => listing.defects.push(error.to_string()),
                }
            }
            Ok((id, listing))
        })
        .collect()
}

fn over(wanted: Over) -> impl Iterator<Item = (&'static str, &'static str)> {
    SOURCES.iter().filter(move |(_, over, _)| *over == wanted).map(|(name, _, json)| (*name, *json))
}

fn load(name: &'static str, json: &str) -> Result<DemoServer, DemoError> {
    serde_json::from_str(json).map_err(|source| DemoError::File { server: name, source })
}

fn entry(name: &str, transport: Transport) -> ServerConfig {
    ServerConfig {
        id: name.into(),
        enabled: true,
        title: None,
        names: NameFilter::default(),
        timeout: TIMEOUT,
        refresh: REFRESH,
        network: NetworkConfig::direct(),
        guard: None,
        transport,
        auth: crate::config::Auth::Headers,
        filled_in: Vec::new(),
    }
}
