//! An MCP server on the transport of 2024: an event stream, and an address for POSTs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::{get, post};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::broadcast;
use url::Url;

/// What it does.
#[derive(Clone)]
pub struct Plan {
    /// The status of a GET that opens the stream.
    pub status: u16,
    /// What the `endpoint` event says.
    pub endpoint: String,
    /// The `result` of a listing, changed by tests as they go.
    pub page: Arc<Mutex<String>>,
}

impl Plan {
    pub fn page(page: String) -> Self {
        Self { status: 200, endpoint: "/messages?session=1".into(), page: Arc::new(page.into()) }
    }
}

/// The running server.
pub struct MockSse {
    pub url: Url,
    pub plan: Plan,
    events: broadcast::Sender<String>,
    seen: Arc<Mutex<Vec<(String, HeaderMap)>>>,
    refused: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Clone)]
struct Mock {
    plan: Plan,
    events: broadcast::Sender<String>,
    seen: Arc<Mutex<Vec<(String, HeaderMap)>>>,
    refused: Arc<AtomicUsize>,
}

impl MockSse {
    pub async fn start(plan: Plan) -> Self {
        let (events, _) = broadcast::channel(64);
        let mock = Mock {
            plan: plan.clone(),
            events: events.clone(),
            seen: Arc::default(),
            refused: Arc::default(),
        };
        let (seen, refused) = (Arc::clone(&mock.seen), Arc::clone(&mock.refused));
        // A POST to the stream's own address is a 405, as it is in the wild.
        let app = Router::new()
            .route("/sse", get(open).post(refuse))
            .route("/messages", post(take))
            .with_state(mock);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/sse", listener.local_addr().unwrap()).parse().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, plan, events, seen, refused, task }
    }

    /// The methods that were asked, in order.
    pub fn asked(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|(method, _)| method.clone()).collect()
    }

    /// How many POSTs came to the stream's own address.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }

    /// The value of a header in every message.
    pub fn header(&self, name: &str) -> Vec<Option<String>> {
        let value = |headers: &HeaderMap| Some(headers.get(name)?.to_str().unwrap().to_owned());
        self.seen.lock().unwrap().iter().map(|(_, headers)| value(headers)).collect()
    }

    /// Sends this as an event.
    pub fn send(&self, event: &str) {
        let _ = self.events.send(event.to_owned());
    }

    /// Announces that the tools changed.
    pub fn announce(&self) {
        let news = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
        self.send(&format!("event: message\ndata: {news}\n\n"));
    }

    /// Ends every stream.
    pub fn cut(&self) {
        self.send("cut");
    }

    /// How many streams are open.
    pub fn streams(&self) -> usize {
        self.events.receiver_count()
    }
}

impl Drop for MockSse {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn open(State(mock): State<Mock>) -> Response<Body> {
    let response = Response::builder().status(mock.plan.status);
    if mock.plan.status != 200 {
        return response.body(Body::empty()).unwrap();
    }
    let hello = format!(": hello\n\nevent: endpoint\ndata: {}\n\n", mock.plan.endpoint);
    let news = stream::unfold(mock.events.subscribe(), |mut events| async {
        let event = events.recv().await.ok().filter(|event| event != "cut")?;
        Some((event, events))
    });
    let body = stream::once(async { hello }).chain(news).map(Ok::<_, std::io::Error>);
    response.header("content-type", "text/event-stream").body(Body::from_stream(body)).unwrap()
}

async fn refuse(State(mock): State<Mock>) -> StatusCode {
    mock.refused.fetch_add(1, Ordering::SeqCst);
    StatusCode::METHOD_NOT_ALLOWED
}

async fn take(State(mock): State<Mock>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let message: Value = serde_json::from_slice(&body).unwrap();
    let method = message["method"].as_str().unwrap_or_default();
    mock.seen.lock().unwrap().push((method.to_owned(), headers));
    let result = match method {
        "initialize" => json!({
            "protocolVersion": "2024-11-05",
            "capabilities": {"tools": {"listChanged": true}},
            "serverInfo": {"name": "old", "version": "1"},
        })
        .to_string(),
        "tools/list" => mock.plan.page.lock().unwrap().clone(),
        _ => return StatusCode::ACCEPTED,
    };
    let id = &message["id"];
    let reply = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
    let _ = mock.events.send(format!("event: message\ndata: {reply}\n\n"));
    StatusCode::ACCEPTED
}
