//! An authorization server that signs what a test wants, and counts what it is asked.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{RawForm, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A key of an issuer.
pub struct Signer {
    pub kid: String,
    key: EncodingKey,
    pub jwk: Value,
}

impl Signer {
    /// ES256, under this id.
    pub fn new(kid: &str) -> Self {
        let pair = rcgen::KeyPair::generate().unwrap();
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        let jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["kid"] = kid.into();
        jwk["use"] = "sig".into();
        Self { kid: kid.into(), key, jwk }
    }

    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(claims, Some(&self.kid))
    }

    /// Under another id, or none.
    pub fn sign_as(&self, claims: &Value, kid: Option<&str>) -> String {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(Algorithm::ES256) };
        encode(&header, claims, &self.key).unwrap()
    }
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[derive(Default)]
struct Inside {
    url: String,
    keys: Mutex<Vec<Value>>,
    /// Times that the keys were asked for.
    fetched: AtomicU64,
    down: AtomicBool,
    /// What is said of opaque tokens.
    known: Mutex<BTreeMap<String, Value>>,
    introspected: AtomicU64,
    /// The last authorization and body at introspection.
    shown: Mutex<(String, String)>,
}

/// A running issuer.
pub struct Issuer(Arc<Inside>);

impl Issuer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inside = Arc::new(Inside { url, ..Inside::default() });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(metadata))
            .route("/jwks", get(jwks))
            .route("/introspect", post(introspect))
            .with_state(Arc::clone(&inside));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self(inside)
    }

    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// Has these keys from now on.
    pub fn publish(&self, signers: &[&Signer]) {
        *self.0.keys.lock().unwrap() = signers.iter().map(|signer| signer.jwk.clone()).collect();
    }

    pub fn set_down(&self, down: bool) {
        self.0.down.store(down, Ordering::SeqCst);
    }

    pub fn fetched(&self) -> u64 {
        self.0.fetched.load(Ordering::SeqCst)
    }

    pub fn introspected(&self) -> u64 {
        self.0.introspected.load(Ordering::SeqCst)
    }

    pub fn shown(&self) -> (String, String) {
        self.0.shown.lock().unwrap().clone()
    }

    /// Says this of an opaque token.
    pub fn knows(&self, token: &str, claims: Value) {
        self.0.known.lock().unwrap().insert(token.into(), claims);
    }
}

async fn metadata(State(inside): State<Arc<Inside>>) -> Response {
    let jwks = format!("{}/jwks", inside.url);
    json(&inside, &json!({ "issuer": inside.url, "jwks_uri": jwks }))
}

async fn jwks(State(inside): State<Arc<Inside>>) -> Response {
    inside.fetched.fetch_add(1, Ordering::SeqCst);
    let mut keys = inside.keys.lock().unwrap().clone();
    // One that nobody understands, and one that a shared secret would be.
    keys.push(json!({ "kty": "new", "kid": "odd" }));
    keys.push(json!({ "kty": "oct", "kid": "shared", "k": "c2hhcmVk" }));
    json(&inside, &json!({ "keys": keys }))
}

async fn introspect(
    State(inside): State<Arc<Inside>>,
    headers: HeaderMap,
    RawForm(body): RawForm,
) -> Response {
    inside.introspected.fetch_add(1, Ordering::SeqCst);
    let authorization = headers["authorization"].to_str().unwrap().to_owned();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let token = url::form_urlencoded::parse(body.as_bytes()).find(|(name, _)| name == "token");
    let token = token.unwrap().1.into_owned();
    *inside.shown.lock().unwrap() = (authorization, body);
    let said = inside.known.lock().unwrap().get(&token).cloned();
    json(&inside, &said.unwrap_or(json!({ "active": false })))
}

fn json(inside: &Inside, body: &Value) -> Response {
    if inside.down.load(Ordering::SeqCst) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    axum::Json(body).into_response()
}
