//! A site of files that answers as a test tells it: an index of packages, or a hub of models.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response};
use axum::routing::any;
use futures::stream;

/// An answer.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    is_cut: bool,
}

impl Reply {
    pub fn of(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, body: body.into(), ..Self::default() }
    }

    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// A redirect.
    pub fn to(address: &str) -> Self {
        Self::status(302).with("location", address)
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The connection breaks half-way.
    pub fn cut(mut self) -> Self {
        self.is_cut = true;
        self
    }
}

/// A request that came: its path with the query, and its `Authorization`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub path: String,
    pub key: Option<String>,
}

type Replier = dyn Fn(&str) -> Reply + Send + Sync;

/// The running site.
pub struct MockSite {
    pub url: String,
    seen: Arc<Mutex<Vec<Asked>>>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Clone)]
struct Mock {
    seen: Arc<Mutex<Vec<Asked>>>,
    replier: Arc<Replier>,
}

impl MockSite {
    /// Starts a site that answers each path so.
    pub async fn start(replier: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let seen = Arc::default();
        let mock = Mock { seen: Arc::clone(&seen), replier: Arc::new(replier) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(any(answer)).with_state(mock);
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, seen, task }
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Asked> {
        self.seen.lock().unwrap().clone()
    }

    /// How often something at a path that ends so was asked for.
    pub fn count(&self, end: &str) -> usize {
        self.seen().iter().filter(|asked| asked.path.ends_with(end)).count()
    }
}

impl Drop for MockSite {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(mock): State<Mock>, request: Request<Body>) -> Response<Body> {
    let key = request.headers().get("authorization");
    let path = request.uri().path_and_query().unwrap().to_string();
    let key = key.map(|key| key.to_str().unwrap().to_owned());
    mock.seen.lock().unwrap().push(Asked { path: path.clone(), key });
    let Reply { status, headers, mut body, is_cut } = (mock.replier)(&path);
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    if !is_cut {
        return response.body(Body::from(body)).unwrap();
    }
    response = response.header("content-length", body.len());
    body.truncate(body.len() / 2);
    let broken = std::io::Error::from(std::io::ErrorKind::ConnectionAborted);
    response.body(Body::from_stream(stream::iter([Ok(body), Err(broken)]))).unwrap()
}
