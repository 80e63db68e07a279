//! The console in the browser: files that were built from `console/` and stand in the binary.
//!
//! Invariant: they say nothing of this toolscout but how one logs in to it, so everybody may have them;
//! what they show they ask for like any other client. A page loads nothing but them, runs no script but
//! theirs, and asks nobody but us and whom the configuration names for logins.

use std::sync::{Arc, LazyLock};

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use schemars::JsonSchema;
use serde::Serialize;

use super::http::json;
use super::problem::Problem;
use crate::config::{AuthConfig, IssuerConfig};

/// Where its files are.
pub const FILES: &str = "/console/{file}";
/// Where it learns how one logs in.
pub const SETTINGS: &str = "/console/settings.json";
/// Its pages, one file for all: what stands on them is decided in the browser. An authorization server
/// sends the browser back to the last.
pub const PAGES: [&str; 7] =
    ["/", "/catalog", "/servers", "/quality", "/map", "/activity", "/login"];

/// How people log in.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ConsoleSettings")]
pub struct Settings {
    /// The version of toolscout.
    version: &'static str,
    /// Callers are asked who they are; where they are not, operators are all the same.
    asks: bool,
    /// API keys are taken.
    keys: bool,
    /// Authorization servers that people can log in at.
    issuers: Vec<LoginAt>,
}

/// An authorization server, and what to ask of it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LoginAt {
    /// What it calls itself.
    url: String,
    /// What the console is there.
    client_id: String,
    /// What to ask for.
    scopes: Vec<String>,
    /// What the token is to be for (RFC 8707), where that is not a name which only it knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
}

impl Settings {
    fn of(auth: &AuthConfig) -> Self {
        let login = |issuer: &IssuerConfig| {
            let login = issuer.console.clone()?;
            let resource = auth.resource.clone().filter(|resource| *resource == issuer.audience);
            let (url, client_id, scopes) = (issuer.url.clone(), login.client_id, login.scopes);
            Some(LoginAt { url, client_id, scopes, resource })
        };
        let issuers = auth.issuers.iter().filter_map(login).collect();
        let version = env!("CARGO_PKG_VERSION");
        Self { version, asks: auth.asks(), keys: auth.keys, issuers }
    }
}

/// What a page may load and do. No text becomes a part of it by way of being read as HTML.
fn policy(auth: &AuthConfig) -> String {
    let issuers = auth.issuers.iter().filter(|issuer| issuer.console.is_some());
    let issuers = issuers.map(|issuer| issuer.at.origin().ascii_serialization());
    let asked: Vec<String> = ["'self'".to_owned()].into_iter().chain(issuers).collect();
    let asked = asked.join(" ");
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
         connect-src {asked}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'"
    )
}

struct File {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
    tag: String,
}

impl File {
    fn new(name: &'static str, kind: &'static str, bytes: &'static [u8]) -> Self {
        // Weak, as it stands for the compressed bytes as well.
        let tag = format!("W/\"{}\"", &blake3::hash(bytes).to_hex()[..24]);
        Self { name, kind, bytes, tag }
    }

    fn answer(&self, headers: &HeaderMap, policy: &str) -> Response {
        // Kept, and asked for again each time: after an upgrade nobody looks at an old one.
        let head: [(HeaderName, &str); 4] = [
            (header::CONTENT_TYPE, self.kind),
            (header::CACHE_CONTROL, "no-cache"),
            (header::ETAG, &self.tag),
            (header::CONTENT_SECURITY_POLICY, policy),
        ];
        let known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
        let mut known = known.into_iter().flat_map(|tags| tags.split(','));
        if known.any(|tag| tag.trim() == self.tag) {
            return (StatusCode::NOT_MODIFIED, head).into_response();
        }
        (head, self.bytes).into_response()
    }
}

static FILES_BUILT: LazyLock<[File; 5]> = LazyLock::new(|| {
    [
        File::new(
            "index.html",
            "text/html; charset=utf-8",
            include_bytes!("../../console/dist/index.html"),
        ),
        File::new(
            "app.js",
            "text/javascript; charset=utf-8",
            include_bytes!("../../console/dist/app.js"),
        ),
        File::new(
            "app.css",
            "text/css; charset=utf-8",
            include_bytes!("../../console/dist/app.css"),
        ),
        File::new("icon.svg", "image/svg+xml", include_bytes!("../../console/dist/icon.svg")),
        // Of what is built in, whose terms want to go with it.
        File::new(
            "licenses.md",
            "text/markdown; charset=utf-8",
            include_bytes!("../../console/dist/licenses.md"),
        ),
    ]
});

/// Every route, by its path.
pub fn routes(auth: &AuthConfig) -> Vec<(&'static str, MethodRouter)> {
    let (policy, settings): (Arc<str>, _) = (policy(auth).into(), Arc::new(Settings::of(auth)));
    let of_pages = Arc::clone(&policy);
    let page = async move |headers: HeaderMap| FILES_BUILT[0].answer(&headers, &of_pages);
    let file = async move |name: Result<Path<String>, PathRejection>, headers: HeaderMap| {
        let Path(name) = name?;
        let found = FILES_BUILT.iter().skip(1).find(|file| file.name == name);
        let file = found.ok_or_else(Problem::no_route)?;
        Ok::<_, Problem>(file.answer(&headers, &policy))
    };
    let pages = PAGES.into_iter().map(|path| (path, get(page.clone())));
    let settings = get(async move || json(&*settings));
    pages.chain([(FILES, get(file)), (SETTINGS, settings)]).collect()
}
