//! An embeddings endpoint that does what a test tells it.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde_json::{Value, json};

/// What the endpoint answers to one request.
#[derive(Clone)]
pub enum Reply {
    /// A vector of three numbers for each text, the last text's first.
    Vectors,
    /// This status, with a `Retry-After` or `Location` header if there is one.
    Status(u16, Option<(&'static str, String)>),
    /// This, with status 200.
    Body(Value),
    /// Nothing, for ever.
    Hang,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Request {
    pub key: Option<String>,
    pub model: String,
    pub texts: Vec<String>,
}

type Replier = dyn Fn(&Request, usize) -> Reply + Send + Sync;

/// The running endpoint.
pub struct MockEmbeddings {
    /// What the configuration names.
    pub url: String,
    seen: Arc<Mutex<Vec<Request>>>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Clone)]
struct Mock {
    seen: Arc<Mutex<Vec<Request>>>,
    replier: Arc<Replier>,
}

impl MockEmbeddings {
    /// Starts an endpoint; `replier` is told the request and how many came before it.
    pub async fn start(replier: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let seen = Arc::default();
        let mock = Mock { seen: Arc::clone(&seen), replier: Arc::new(replier) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let app = Router::new().route("/v1/embeddings", any(answer)).with_state(mock);
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, seen, task }
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for MockEmbeddings {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(mock): State<Mock>, headers: HeaderMap, body: String) -> Response {
    let body: Value = serde_json::from_str(&body).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let request = Request {
        key: headers.get("authorization").map(|key| key.to_str().unwrap().to_owned()),
        model: text(&body["model"]),
        texts: body["input"].as_array().unwrap().iter().map(text).collect(),
    };
    let before = {
        let mut seen = mock.seen.lock().unwrap();
        seen.push(request.clone());
        seen.len() - 1
    };
    match (mock.replier)(&request, before) {
        Reply::Vectors => axum::Json(vectors(&request.texts)).into_response(),
        Reply::Status(status, header) => {
            let status = StatusCode::from_u16(status).unwrap();
            let echo = format!("what you sent: {:?}", request.key);
            match header {
                Some(header) => (status, [header], echo).into_response(),
                None => (status, echo).into_response(),
            }
        }
        Reply::Body(body) => axum::Json(body).into_response(),
        Reply::Hang => std::future::pending().await,
    }
}

/// The last first, so that an order other than by `index` is seen to be wrong.
fn vectors(texts: &[String]) -> Value {
    let data = texts.iter().enumerate().rev().map(
        |(index, text)| json!({"object": "embedding", "index": index, "embedding": vector(text)}),
    );
    json!({"object": "list", "data": data.collect::<Vec<_>>(), "model": "mock"})
}

/// Words of one meaning have one direction; the vectors are not of unit length.
fn vector(text: &str) -> [f32; 3] {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["meeting", "appointment"]) {
        [3.0, 0.0, 0.0]
    } else if has(&["path", "document"]) {
        [0.0, 3.0, 0.0]
    } else {
        [0.0, 0.0, 3.0]
    }
}
