//! What a fuzzer feeds: a function for each place where bytes of others come in (`fuzz/`).
//!
//! Invariant: whatever the bytes, each returns, within bounded memory, and what it asserts holds.
//! The seeds of each are fed in the unit tests as well, so a seed that is added for a crash is a
//! regression test.

use std::cell::OnceCell;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::catalog::{Catalog, Server, ServerInfo};
use crate::config::{self, Config, ServerConfig, Sources};
use crate::format::{Format, Rung, definition, piece};
use crate::index::snapshot;
use crate::live::{Encoder, Live};
use crate::search::{Arms, MAX_LIMIT, Query};
use crate::tool::Tool;
use crate::trust::checks;
use crate::{crawl, embed, learn, serve, text, trust};

/// The name of a target, and what it feeds.
pub type Target = (&'static str, fn(&[u8]));

/// The targets: each has its program in `fuzz/targets` and its seeds in `fuzz/seeds`.
pub const TARGETS: [Target; 7] = [
    ("config", configuration),
    ("rpc", rpc),
    ("listing", listing),
    ("query", query),
    ("snapshot", saved),
    ("events", events),
    ("schema", schema),
];

/// Files of configuration: ours, and those of clients.
pub fn configuration(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        config::fuzzing::read(text);
    }
}

/// What a fuzzer asks: one runtime and one service a thread.
struct Service {
    runtime: Runtime,
    live: Live,
    router: Router,
}

thread_local! {
    static SERVICE: OnceCell<Service> = const { OnceCell::new() };
}

const TOOLS: [&str; 4] = [
    r#"{"name":"create_event","description":"Create a calendar event and invite people","inputSchema":{"type":"object","properties":{"start":{"type":"string"}}}}"#,
    r#"{"name":"send_mail","description":"Send an e-mail to somebody","inputSchema":{"type":"object"}}"#,
    r#"{"name":"read_file","description":"Read a file from disk","annotations":{"readOnlyHint":true}}"#,
    r#"{"name":"größe","description":"Wie groß ist es? 大きさ","inputSchema":true,"n":1e400}"#,
];

fn settings(text: &str) -> Option<Config> {
    let sources = Sources { text: Some(text.into()), ..Sources::default() };
    config::load(&sources, &|_| None).ok().map(|loaded| loaded.config)
}

impl Service {
    fn start() -> Option<Self> {
        let runtime = Builder::new_current_thread().enable_all().build().ok()?;
        let entered = runtime.enter();
        let tools = TOOLS.iter().filter_map(|text| Tool::parse(&"srv".into(), text).ok());
        let live = Live::from_catalog(Catalog::from_servers([Server {
            id: "srv".into(),
            tools: tools.map(Into::into).collect(),
            info: ServerInfo::default(),
            crawled_at: std::time::SystemTime::now(),
        }]));
        let encoder = std::sync::Arc::new(embed::Fixed::in_binary().ok()?);
        live.set_encoder(Encoder::start(encoder, 1, std::time::Duration::from_mins(1)).ok()?);
        let config = settings("data = '/nowhere'")?;
        let router = serve::router(live.clone(), &config, &CancellationToken::new());
        drop(entered);
        Some(Self { runtime, live, router })
    }

    fn with(work: impl FnOnce(&Self)) {
        SERVICE.with(|service| {
            if service.get().is_none() {
                let _ = Self::start().map(|started| service.set(started));
            }
            work(service.get().unwrap_or_else(|| panic!("no service to fuzz")));
        });
    }
}

/// Bodies of requests, MCP's first of all: the first byte says where to. Nothing is a failure of
/// ours, and what says that it is JSON is.
pub fn rpc(data: &[u8]) {
    let Some((place, body)) = data.split_first() else { return };
    let path = match place % 8 {
        0 => "/v1/search",
        1 => "/v1/select",
        2 => "/v1/call",
        3 => "/v1/feedback",
        _ => "/mcp",
    };
    let version = if place & 128 == 0 { "2025-06-18" } else { "2026-07-28" };
    Service::with(|service| {
        let request = Request::post(path)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream")
            .header("mcp-protocol-version", version)
            .body(Body::from(body.to_vec()));
        let Ok(request) = request else { return };
        service.runtime.block_on(async {
            let Ok(response) = service.router.clone().oneshot(request).await;
            let status = response.status();
            assert!(
                !status.is_server_error() || status == StatusCode::SERVICE_UNAVAILABLE,
                "{path}: {status}"
            );
            let kind = response.headers().get(header::CONTENT_TYPE).cloned();
            let body = to_bytes(response.into_body(), 16 << 20).await.unwrap_or_default();
            if kind.is_some_and(|kind| kind.as_bytes().ends_with(b"json")) {
                let read = serde_json::from_slice::<&serde_json::value::RawValue>(&body);
                assert!(read.is_ok(), "{path}: {}", String::from_utf8_lossy(&body));
            }
        });
    });
    if let Ok(Value::Object(arguments)) = serde_json::from_slice(body) {
        let _ = serve::read_arguments(arguments);
    }
}

/// What a server answers to `tools/list`, and what is made of its tools.
pub fn listing(data: &[u8]) {
    thread_local! {
        static SERVER: Option<ServerConfig> = settings("data = '/nowhere'\n[servers.srv]\ncommand = 'sh'")
            .and_then(|config| config.servers.into_iter().next());
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    SERVER.with(|server| {
        let server = server.as_ref().unwrap_or_else(|| panic!("no server to fuzz"));
        for listing in crawl::fuzzing::listings(server, text) {
            for tool in &listing.tools {
                assert!(text.contains(tool.definition.get()), "not the bytes that came");
                understood(tool);
            }
        }
    });
}

/// Everything that is read of a definition.
fn understood(tool: &Tool) {
    let _ = checks::inspect(tool);
    let view = tool.view();
    let _ = text::fields::embedded(tool, &view, None);
    if let Some(description) = &view.description {
        let once = text::stuffing::once(description);
        assert!(once.len() <= description.len() + 1, "said again only more");
    }
}

/// What somebody looks for.
pub fn query(data: &[u8]) {
    let Ok(asked) = std::str::from_utf8(data) else { return };
    for word in text::words(asked) {
        let _ = text::term(&word);
    }
    assert_eq!(text::name_key(&text::name_key(asked)), text::name_key(asked));
    Service::with(|service| {
        let texts: Vec<String> = asked.split('\0').map(str::to_owned).collect();
        for arms in [Arms::Hybrid, Arms::Lexical] {
            let query = Query { texts: texts.clone(), explain: true, arms, ..Query::default() };
            let found = || service.runtime.block_on(service.live.look_up(&query));
            let (Ok(answer), Ok(again)) = (found(), found()) else { return };
            assert!(answer.hits.len() <= MAX_LIMIT);
            assert!(answer.hits.iter().all(|hit| hit.score.is_finite()));
            let ids = |answer: &crate::search::Answer| -> Vec<String> {
                answer.hits.iter().map(|hit| hit.tool.id.to_string()).collect()
            };
            assert_eq!(ids(&answer), ids(&again), "the same question, another answer");
        }
    });
}

/// Payloads of the files in the data folder: the first byte says of which. The checksum before them
/// is no lock, since whoever writes there can make one.
pub fn saved(data: &[u8]) {
    // Lengths that are beyond this are refused here; in the files the checksum vouches for them.
    let limits = wincode::config::Configuration::default;
    let Some((kind, payload)) = data.split_first() else { return };
    match kind % 3 {
        0 => {
            if let Some((_, catalog)) = snapshot::decode(payload, limits()) {
                catalog.tools().iter().for_each(|tool| understood(tool));
            }
        }
        1 => drop(trust::file::decode(payload, limits())),
        _ => drop(learn::file::decode(payload, limits())),
    }
}

/// Streams of events, in pieces as long as the first byte says.
pub fn events(data: &[u8]) {
    let Some((length, stream)) = data.split_first() else { return };
    let pieces = stream.chunks(usize::from(*length).max(1)).map(<[u8]>::to_vec).collect();
    Service::with(|service| service.runtime.block_on(crawl::fuzzing::events(pieces)));
}

/// Definitions in all smaller forms, and as model APIs take them.
pub fn schema(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // A whole definition, or a schema of one.
    let wrapped = format!(r#"{{"name":"t","description":"d","inputSchema":{text}}}"#);
    for text in [text, &wrapped] {
        let Ok(tool) = Tool::parse(&"srv".into(), text) else { continue };
        understood(&tool);
        let catalog = Catalog::from_servers([Server {
            id: "srv".into(),
            tools: vec![tool.clone().into()],
            info: ServerInfo::default(),
            crawled_at: std::time::SystemTime::UNIX_EPOCH,
        }]);
        for rung in Rung::ALL {
            let form = definition(&tool, rung, None);
            assert!(is_json(&form), "{rung:?}: {form}");
            for format in [Format::Mcp, Format::Anthropic, Format::Openai] {
                let form = piece(format, &catalog, &tool, rung);
                assert!(is_json(&form), "{format:?} {rung:?}: {form}");
            }
        }
        if let Ok(Value::Object(whole)) = serde_json::from_str(tool.definition.get())
            && let Some((form, _)) = serve::reduce(&whole)
        {
            assert!(Value::Object(form).to_string().len() <= serve::MAX_BYTES);
        }
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_target_takes_its_seeds() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        for (name, target) in TARGETS {
            assert!(fuzz.join(format!("targets/{name}.rs")).is_file(), "{name} has no program");
            let seeds = std::fs::read_dir(fuzz.join("seeds").join(name)).unwrap();
            let mut count = 0;
            for seed in seeds {
                let path = seed.unwrap().path();
                let data = std::fs::read(&path).unwrap();
                let fed = std::panic::catch_unwind(|| target(&data));
                assert!(fed.is_ok(), "{}", path.display());
                count += 1;
            }
            assert!(count > 0, "{name} has no seed");
        }
    }
}
