//! An MCP server over HTTP that does what a test tells it, byte for byte.

use std::io::Write;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri, Version};
use axum::routing::any;
use futures::{StreamExt, stream};
use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use url::Url;

use super::front;

/// What the server answers to one `tools/list` or `tools/call`.
pub enum Answer {
    /// These messages, then this `result`; by event stream alone.
    Told(Vec<Value>, String),
    /// This `result`, as written here.
    Result(String),
    /// A JSON-RPC error.
    Error(i32, &'static str),
    /// An HTTP status, with a `WWW-Authenticate` header if there is one.
    Status(u16, Option<&'static str>),
    /// An HTTP status, with this `Retry-After`.
    Busy(u16, String),
    /// This `result`, in this content coding.
    Encoded(&'static str, String),
    /// This content type and body, whatever they are.
    Body(&'static str, Vec<u8>),
    /// The headers, this beginning of the body, then the connection breaks.
    Cut(String),
    /// A body without end.
    Flood,
    /// Nothing, for ever.
    Hang,
}

/// How the server shakes hands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// `initialize` only; other requests get this HTTP status and JSON-RPC code.
    Handshake(u16, i32),
    /// 2026-07-28 only.
    Stateless,
    /// The same, and it announces no changes.
    Quiet,
    /// Nothing but this status, with this `Retry-After`.
    Busy(u16, &'static str),
    /// Nothing but this status, with a `WWW-Authenticate` header if there is one.
    Nothing(u16, Option<&'static str>),
}

type Lister = dyn Fn(&Request) -> Answer + Send + Sync;

/// A request that came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub cursor: Option<String>,
    pub params: Value,
    pub headers: HeaderMap,
    pub version: Version,
    pub path: String,
}

/// The running server.
pub struct MockHttp {
    pub url: Url,
    seen: Arc<Mutex<Vec<Request>>>,
    changes: broadcast::Sender<News>,
    refuses_news: Arc<AtomicU16>,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

/// What goes out on the streams that say what is new.
#[derive(Clone, Copy)]
enum News {
    Changed,
    /// The stream ends.
    Cut,
}

struct Mock {
    speaks: Speaks,
    events: bool,
    lister: Box<Lister>,
    seen: Arc<Mutex<Vec<Request>>>,
    changes: broadcast::Sender<News>,
    /// A GET comes to this status; 0 to a stream.
    refuses_news: Arc<AtomicU16>,
}

impl MockHttp {
    /// Starts a server; with `events` it answers requests by event stream.
    pub async fn start(
        speaks: Speaks,
        events: bool,
        lister: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::over(None, speaks, events, lister).await
    }

    /// The same over TLS.
    pub async fn over(
        tls: Option<ServerConfig>,
        speaks: Speaks,
        events: bool,
        lister: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let seen = Arc::default();
        let (changes, _) = broadcast::channel(16);
        let refuses_news = Arc::<AtomicU16>::default();
        let mock = Arc::new(Mock {
            speaks,
            events,
            lister: Box::new(lister),
            seen: Arc::clone(&seen),
            changes: changes.clone(),
            refuses_news: Arc::clone(&refuses_news),
        });
        // Any number of servers, at paths of their own.
        let app = Router::new()
            .route("/mcp", any(serve))
            .route("/{server}/mcp", any(serve))
            .with_state(mock);
        let (origin, task, connections) = front::serve(app, tls).await;
        let url = format!("{origin}/mcp").parse().unwrap();
        Self { url, seen, changes, refuses_news, connections, task }
    }

    /// One page after another, by cursor: the first has none.
    pub async fn pages(speaks: Speaks, events: bool, pages: Vec<(Option<&str>, String)>) -> Self {
        let pages: Vec<_> =
            pages.into_iter().map(|(cursor, page)| (cursor.map(str::to_owned), page)).collect();
        Self::start(speaks, events, move |request| {
            match pages.iter().find(|(cursor, _)| *cursor == request.cursor) {
                Some((_, page)) => Answer::Result(page.clone()),
                None => Answer::Error(-32602, "no such cursor"),
            }
        })
        .await
    }

    /// Everything that was asked.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// How often this was asked.
    pub fn count(&self, method: &str) -> usize {
        self.seen().iter().filter(|request| request.method == method).count()
    }

    /// Whether anybody listens for changes.
    pub fn has_listener(&self) -> bool {
        self.changes.receiver_count() > 0
    }

    /// Announces that the tools changed.
    pub fn announce(&self) {
        let _ = self.changes.send(News::Changed);
    }

    /// Ends the streams of those who listen for changes.
    pub fn cut(&self) {
        let _ = self.changes.send(News::Cut);
    }

    /// From now on whoever wants to listen (as before 2026) gets this status; 0 lets them.
    pub fn refuse_news(&self, status: u16) {
        self.refuses_news.store(status, Ordering::SeqCst);
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for MockHttp {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    State(mock): State<Arc<Mock>>,
    http: Method,
    version: Version,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let request = Request {
        method: message["method"].as_str().unwrap_or_default().to_owned(),
        cursor: message["params"]["cursor"].as_str().map(str::to_owned),
        params: message["params"].clone(),
        headers,
        version,
        path: uri.path().to_owned(),
    };
    mock.seen.lock().unwrap().push(request.clone());
    let id = &message["id"];
    match http {
        Method::GET => {
            return match mock.refuses_news.load(Ordering::SeqCst) {
                0 => changes(&mock, &json!({}), None),
                code => status(code, None),
            };
        }
        Method::DELETE => return status(200, None),
        _ => {}
    }
    match (mock.speaks, request.method.as_str()) {
        (Speaks::Nothing(code, challenge), _) => status(code, challenge),
        (Speaks::Busy(code, after), _) => answer(&mock, id, Answer::Busy(code, after.into())),
        (_, "tools/list" | "tools/call") => answer(&mock, id, (mock.lister)(&request)),
        (_, method) if method.starts_with("notifications/") => status(202, None),
        (Speaks::Handshake(..), "initialize") => {
            let result = json!({
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {"listChanged": true}},
                "serverInfo": {"name": "mock", "title": "Mock", "version": "1"},
                "instructions": "Ask me anything.",
            });
            let mut response = answer(&mock, id, Answer::Result(result.to_string()));
            response.headers_mut().insert("mcp-session-id", "s1".parse().unwrap());
            response
        }
        (Speaks::Stateless | Speaks::Quiet, "server/discover") => {
            let announces = mock.speaks == Speaks::Stateless;
            let result = json!({
                "resultType": "complete", "ttlMs": 0, "cacheScope": "private",
                "supportedVersions": ["2026-07-28"],
                "capabilities": {"tools": {"listChanged": announces}},
                "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "mock", "version": "1"}},
            });
            answer(&mock, id, Answer::Result(result.to_string()))
        }
        (Speaks::Stateless, "subscriptions/listen") => {
            let meta = json!({"io.modelcontextprotocol/subscriptionId": id});
            let acknowledged = json!({
                "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
                "params": {"_meta": meta, "notifications": {"toolsListChanged": true}},
            });
            changes(&mock, &meta, Some(&acknowledged))
        }
        (Speaks::Handshake(code, error), _) => {
            let body = json!({
                "jsonrpc": "2.0", "id": id, "error": {"code": error, "message": "what?"}
            });
            Response::builder()
                .status(code)
                .header("content-type", "application/json")
                .body(Body::from(body.to_string()))
                .unwrap()
        }
        (Speaks::Stateless | Speaks::Quiet, _) => {
            answer(&mock, id, Answer::Error(-32601, "unknown method"))
        }
    }
}

fn status(code: u16, challenge: Option<&str>) -> Response<Body> {
    let mut response = Response::builder().status(StatusCode::from_u16(code).unwrap());
    if let Some(challenge) = challenge {
        response = response.header("www-authenticate", challenge);
    }
    response.body(Body::empty()).unwrap()
}

fn answer(mock: &Mock, id: &Value, answer: Answer) -> Response<Body> {
    let content = if mock.events { "text/event-stream" } else { "application/json" };
    let response = Response::builder().header("content-type", content);
    let wrap = |text: String| {
        if mock.events {
            // An opening event, another message, and a comment come first.
            let log = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}"#;
            format!(": hello\n\nid: 1\ndata: \n\ndata: {log}\n\ndata: {text}\n\n")
        } else {
            text
        }
    };
    let body = match answer {
        Answer::Result(result) => {
            Body::from(wrap(format!(r#"{{"result":{result},"jsonrpc":"2.0","id":{id}}}"#)))
        }
        Answer::Told(messages, result) => {
            let told: Vec<_> = messages.iter().map(|one| format!("data: {one}\n\n")).collect();
            let told = told.concat();
            let reply = format!(r#"{{"result":{result},"jsonrpc":"2.0","id":{id}}}"#);
            return Response::builder()
                .header("content-type", "text/event-stream")
                .body(Body::from(format!("{told}data: {reply}\n\n")))
                .unwrap();
        }
        Answer::Error(code, message) => Body::from(wrap(
            json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
                .to_string(),
        )),
        Answer::Status(code, challenge) => return status(code, challenge),
        Answer::Busy(code, after) => {
            let response = Response::builder().status(code).header("retry-after", after);
            return response.body(Body::empty()).unwrap();
        }
        Answer::Encoded(coding, result) => {
            let text = wrap(format!(r#"{{"result":{result},"jsonrpc":"2.0","id":{id}}}"#));
            let body = encoded(coding, &text);
            return response.header("content-encoding", coding).body(Body::from(body)).unwrap();
        }
        Answer::Body(content, body) => {
            return Response::builder()
                .header("content-type", content)
                .body(Body::from(body))
                .unwrap();
        }
        Answer::Cut(start) => {
            Body::from_stream(stream::iter([Ok(wrap(start)), Err(std::io::Error::other("cut"))]))
        }
        Answer::Flood => {
            let start = stream::iter([Ok::<_, std::io::Error>(Bytes::from(if mock.events {
                "data: "
            } else {
                r#"{"jsonrpc":"2.0","result":{"tools":[""#
            }))]);
            let chunk = Bytes::from(vec![b'x'; 64 << 10]);
            Body::from_stream(start.chain(stream::repeat_with(move || Ok(chunk.clone()))))
        }
        Answer::Hang => Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()),
    };
    response.body(body).unwrap()
}

fn encoded(coding: &str, text: &str) -> Vec<u8> {
    let level = flate2::Compression::best();
    match coding {
        "gzip" => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), level);
            writer.write_all(text.as_bytes()).unwrap();
            writer.finish().unwrap()
        }
        "deflate" => {
            let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), level);
            writer.write_all(text.as_bytes()).unwrap();
            writer.finish().unwrap()
        }
        other => panic!("no such coding: {other}"),
    }
}

/// An event stream that says when tools changed.
fn changes(mock: &Mock, meta: &Value, first: Option<&Value>) -> Response<Body> {
    let changed = json!({
        "jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": {"_meta": meta}
    });
    let first = first.map(|first| Ok(format!("data: {first}\n\n")));
    let receiver = mock.changes.subscribe();
    let later = stream::unfold(receiver, move |mut receiver| {
        let event = format!("data: {changed}\n\n");
        async move {
            match receiver.recv().await {
                Ok(News::Changed) => Some((Ok::<_, std::io::Error>(event), receiver)),
                Ok(News::Cut) | Err(_) => None,
            }
        }
    });
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(Body::from_stream(stream::iter(first).chain(later)))
        .unwrap()
}
