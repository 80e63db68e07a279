//! Crawls real MCP servers, as `npm` and `PyPI` have them (`scripts/fetch-test-peers.sh`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use toolscout::catalog::{Listing, Outcome};
use toolscout::config::{CrawlConfig, NameFilter, Names, NetworkConfig, ServerConfig, Transport};
use toolscout::crawl::{self, Wanted};

use crate::support::peers;

const LIMITS: CrawlConfig =
    CrawlConfig { concurrency: 4, max_pages: 100, max_tools: 1000, max_bytes: 16 << 20 };

/// Tools that server-everything offers to a client without capabilities.
const EVERYTHING: &[&str] = &["echo", "get-structured-content", "get-sum", "get-tiny-image"];

/// The folder of the installed peers; `None` when the caller chose to go without.
pub fn peers() -> Option<PathBuf> {
    peers::folder("peers", &["node_modules", ".venv"])
}

pub fn server(id: &str, transport: Transport) -> ServerConfig {
    ServerConfig {
        id: id.into(),
        enabled: true,
        title: None,
        names: NameFilter::default(),
        timeout: Duration::from_mins(1),
        refresh: Duration::from_hours(1),
        network: NetworkConfig::direct(),
        guard: None,
        transport,
        auth: toolscout::config::Auth::Headers,
        filled_in: Vec::new(),
    }
}

pub fn stdio(id: &str, command: impl AsRef<Path>, args: &[&str]) -> ServerConfig {
    let transport = Transport::Stdio {
        command: command.as_ref().to_str().unwrap().to_owned(),
        args: args.iter().map(ToString::to_string).collect(),
        env: Vec::new(),
        cwd: None,
    };
    server(id, transport)
}

/// The start of a server from npm.
pub fn script(peers: &Path, package: &str) -> String {
    let path = format!("node_modules/@modelcontextprotocol/{package}/dist/index.js");
    peers.join(path).to_str().unwrap().to_owned()
}

async fn listing(server: &ServerConfig) -> Listing {
    let mut updates = crawl::crawl_once(server, &LIMITS, None).await;
    assert_eq!(updates.len(), 1);
    let update = updates.remove(0);
    assert_eq!(update.server, server.id);
    match update.outcome {
        Outcome::Listed(listing) => listing,
        other => panic!("{} was not listed: {other:?}", server.id),
    }
}

fn names(listing: &Listing) -> BTreeSet<&str> {
    listing.tools.iter().map(|tool| &*tool.name).collect()
}

#[track_caller]
fn assert_offers(listing: &Listing, expected: &[&str]) {
    let names = names(listing);
    for name in expected {
        assert!(names.contains(name), "{name} is missing in {names:?}");
    }
    assert_eq!(listing.defects, Vec::<String>::new());
}

#[tokio::test]
async fn everything_is_listed_over_stdio() {
    let Some(peers) = peers() else { return };
    let program = script(&peers, "server-everything");
    let listing = listing(&stdio("everything", "node", &[&program, "stdio"])).await;
    assert_offers(&listing, EVERYTHING);
    assert!(listing.info.protocol.is_some());
}

/// server-everything over HTTP.
pub async fn everything_over_http(peers: &Path, mode: &str, path: &str) -> (Child, String) {
    let (child, origin) = over_http(peers, &[&script(peers, "server-everything"), mode]).await;
    (child, format!("{origin}/{path}"))
}

/// A server over HTTP, held to loopback on a port that the system chose, and its origin.
async fn over_http(peers: &Path, program: &[&str]) -> (Child, String) {
    let mut child = Command::new("node")
        .arg("--require")
        .arg(peers.join("loopback.cjs"))
        .args(program)
        .env("PORT", "0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some(port) = line.strip_prefix("loopback ") {
            // Read on: a server whose stdout is closed dies of its next line.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return (child, format!("http://127.0.0.1:{port}"));
        }
    }
    panic!("{program:?} ended before it listened");
}

#[tokio::test]
async fn everything_is_listed_over_http_as_over_stdio() {
    let Some(peers) = peers() else { return };
    let program = script(&peers, "server-everything");
    let over_stdio = listing(&stdio("everything", "node", &[&program, "stdio"])).await;
    for (mode, path) in [("streamableHttp", "mcp"), ("sse", "sse")] {
        let (_child, url) = everything_over_http(&peers, mode, path).await;
        let transport = Transport::Http { url: url.parse().unwrap(), headers: Vec::new() };
        let over_http = listing(&server("everything", transport)).await;
        assert_offers(&over_http, EVERYTHING);
        assert_eq!(names(&over_http), names(&over_stdio), "{mode}");
    }
}

/// A server that speaks 2026-07-28 over both.
#[tokio::test]
async fn context7_is_listed_over_http_as_over_stdio() {
    let Some(peers) = peers() else { return };
    let program = peers.join("node_modules/@upstash/context7-mcp/dist/index.js");
    let program = program.to_str().unwrap();
    let over_stdio = listing(&stdio("context7", "node", &[program])).await;
    let (_child, origin) =
        over_http(&peers, &[program, "--transport", "http", "--port", "0"]).await;
    let url = format!("{origin}/mcp").parse().unwrap();
    let transport = Transport::Http { url, headers: Vec::new() };
    let over_http = listing(&server("context7", transport)).await;
    assert_offers(&over_http, &["resolve-library-id"]);
    assert_eq!(names(&over_http), names(&over_stdio));
    for listing in [over_stdio, over_http] {
        assert_eq!(listing.info.protocol.as_deref(), Some("2026-07-28"));
    }
}

#[tokio::test]
async fn memory_is_listed() {
    let Some(peers) = peers() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut server = stdio("memory", "node", &[&script(&peers, "server-memory")]);
    if let Transport::Stdio { env, .. } = &mut server.transport {
        let file = folder.path().join("memory.json").display().to_string();
        env.push(("MEMORY_FILE_PATH".into(), file.into()));
    }
    assert_offers(&listing(&server).await, &["create_entities", "search_nodes"]);
}

#[tokio::test]
async fn filesystem_is_listed() {
    let Some(peers) = peers() else { return };
    let folder = tempfile::tempdir().unwrap();
    let program = script(&peers, "server-filesystem");
    let args = [program.as_str(), folder.path().to_str().unwrap()];
    let listing = listing(&stdio("files", "node", &args)).await;
    assert_offers(&listing, &["read_text_file", "write_file", "list_directory"]);
}

#[tokio::test]
async fn git_is_listed() {
    let Some(peers) = peers() else { return };
    let python = peers.join(".venv/bin/python");
    let listing = listing(&stdio("git", python, &["-m", "mcp_server_git"])).await;
    assert_offers(&listing, &["git_status", "git_commit", "git_log"]);
}

#[tokio::test]
async fn time_is_listed() {
    let Some(peers) = peers() else { return };
    let python = peers.join(".venv/bin/python");
    let args = ["-m", "mcp_server_time", "--local-timezone", "UTC"];
    let listing = listing(&stdio("time", python, &args)).await;
    assert_offers(&listing, &["get_current_time", "convert_time"]);
}

#[tokio::test]
async fn a_filter_leaves_tools_out() {
    let Some(peers) = peers() else { return };
    let python = peers.join(".venv/bin/python");
    let args = ["-m", "mcp_server_time", "--local-timezone", "UTC"];
    let mut server = stdio("time", python, &args);
    server.names.deny = Names::new(&["convert_*".into()]).unwrap();
    assert_eq!(names(&listing(&server).await), BTreeSet::from(["get_current_time"]));
}

/// server-everything announces a change right after it was connected to. The interval is an hour,
/// so a second listing can have no other cause.
#[tokio::test]
async fn an_announced_change_is_crawled() {
    let Some(peers) = peers() else { return };
    let program = script(&peers, "server-everything");
    let wanted = vec![Wanted::crawled(stdio("everything", "node", &[&program, "stdio"]))];
    let (sender, mut updates) = mpsc::channel(16);
    let shutdown = CancellationToken::new();
    let crawler = crawl::start(wanted, &LIMITS, BTreeMap::new(), sender, shutdown.clone());

    let mut listings = 0;
    let twice = async {
        while listings < 2 {
            match updates.recv().await.expect("the crawler lives").outcome {
                Outcome::Listed(listing) => {
                    assert_offers(&listing, EVERYTHING);
                    listings += 1;
                }
                Outcome::Connecting => {}
                other => panic!("unexpected: {other:?}"),
            }
        }
    };
    let done = tokio::time::timeout(Duration::from_mins(1), twice).await;
    shutdown.cancel();
    crawler.stopped().await;
    assert!(done.is_ok(), "{listings} listings, where 2 were awaited");
}
