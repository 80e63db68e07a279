//! A toolscout with tenants, and those who ask it with a key.

use std::collections::BTreeMap;
use std::path::Path;

use reqwest::Method;
use serde_json::Value;

use super::service::{Service, run};

/// Makes a key that may do everything, of this tenant if there is one.
pub async fn key(folder: &Path, tenant: Option<&str>, scopes: &[&str]) -> String {
    let mut args = vec!["key", "create", "somebody", "--json", "--data", "data"];
    for scope in scopes {
        args.extend(["--scope", scope]);
    }
    args.extend(tenant.into_iter().flat_map(|name| ["--tenant", name]));
    let made = run(folder, &args).await.json();
    made["secret"].as_str().unwrap().to_owned()
}

/// The token of who runs a toolscout in this folder.
pub fn operator(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("data/admin.token")).unwrap().trim().to_owned()
}

/// What was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub status: u16,
    /// Without those of the moment.
    pub headers: BTreeMap<String, String>,
    pub text: String,
}

impl Told {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    /// The last part of a problem's type.
    pub fn problem(&self) -> String {
        let json = self.json();
        json["type"].as_str().unwrap().rsplit(':').next().unwrap().to_owned()
    }
}

/// Somebody who asks one toolscout.
pub struct Asker {
    pub url: String,
    pub key: Option<String>,
    pub more: Vec<(&'static str, String)>,
    client: reqwest::Client,
}

impl Asker {
    pub fn new(service: &Service, key: Option<&str>) -> Self {
        let client =
            reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let (url, key) = (service.url.clone(), key.map(str::to_owned));
        Self { url, key, more: Vec::new(), client: client.build().unwrap() }
    }

    /// The same with one more header.
    pub fn with(service: &Service, key: Option<&str>, header: (&'static str, &str)) -> Self {
        let more = vec![(header.0, header.1.to_owned())];
        Self { more, ..Self::new(service, key) }
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        self.more.iter().fold(request, |request, (name, value)| request.header(*name, value))
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Told {
        let response = request.send().await.unwrap();
        let moment = ["date", "x-request-id", "content-length", "set-cookie"];
        let headers = response.headers().iter();
        let headers = headers.filter(|(name, _)| !moment.contains(&name.as_str()));
        let headers = headers
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        Told { status: response.status().as_u16(), headers, text: response.text().await.unwrap() }
    }

    pub async fn get(&self, path: &str) -> Told {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Told {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// One message over MCP, as it was before 2026.
    pub async fn mcp(&self, path: &str, method: &str, params: Value) -> Told {
        let message = serde_json::json!({
            "jsonrpc": "2.0", "id": 1, "method": method, "params": params,
        });
        let request = self.request(Method::POST, path).json(&message);
        let request = request.header("accept", "application/json, text/event-stream");
        self.send(request.header("mcp-protocol-version", "2025-06-18")).await
    }
}
