//! Asks one address whether an MCP server is there, and what it wants.
//!
//! Invariant: every request, those of the crawl too, goes through the guard.

use std::time::Duration;

use serde::Serialize;
use url::Url;

use super::documents::{self, Auth};
use super::entry::{Entry, Reach};
use super::fetch::{Bounds, FetchError, Fetched, Fetcher};
use super::input::{Input, Writer};
use crate::auth::guard::Policy;
use crate::catalog::Outcome;
use crate::config::{self, CrawlConfig, NameFilter, NetworkConfig, ServerConfig, Transport};
use crate::crawl;

/// Of one document.
pub(super) const BOUNDS: Bounds = Bounds { bytes: 1 << 20, time: Duration::from_secs(10) };
/// Time for one crawl of what was found.
const CRAWL_TIME: Duration = Duration::from_secs(30);
const LIMITS: CrawlConfig =
    CrawlConfig { concurrency: 4, max_pages: 200, max_tools: 20_000, max_bytes: 64 << 20 };
pub(super) const JSON: &str = "application/json";

/// What a server answered to somebody without credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// It may be crawled.
    Open {
        /// How many tools it lists.
        tools: usize,
        /// The version of the protocol that was spoken.
        protocol: Option<String>,
    },
    /// It wants to know who asks.
    AuthRequired {
        /// What is known of what it wants.
        auth: Auth,
    },
    /// It was not asked: its address or its headers need values first.
    NeedsValues,
    /// It did not answer as a server does.
    Failed {
        /// Why.
        error: String,
    },
}

impl State {
    /// It, in a few words.
    pub fn said(&self) -> String {
        match self {
            Self::Open { tools: 1, .. } => "an MCP server, 1 tool".into(),
            Self::Open { tools, .. } => format!("an MCP server, {tools} tools"),
            Self::AuthRequired { auth } => format!("wants credentials ({})", auth.r#type),
            Self::NeedsValues => "not asked: it needs values first".into(),
            Self::Failed { error } => error.clone(),
        }
    }
}

/// How sure it is that there is a server at an address, before it has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certain {
    /// A document names it.
    Named,
    /// Somebody typed it, path and all.
    Typed,
    /// It has to show.
    Shown,
}

/// Credentials that a server wants and no header of the entry carries yet.
pub(super) fn wants(entry: &mut Entry, state: &State) {
    let State::AuthRequired { auth } = state else { return };
    let Reach::Http { headers, .. } = &mut entry.reach else { return };
    let carries = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    if carries || !entry.variables.is_empty() {
        return;
    }
    let (name, value) = match auth.r#type.as_str() {
        "bearer" => ("Authorization", "Bearer {token}"),
        "api_key" => ("X-API-Key", "{api_key}"),
        "basic" => ("Authorization", "Basic {credentials}"),
        _ => return,
    };
    let secret = Input { is_required: true, is_secret: true, ..Input::default() };
    let inputs = ["token", "api_key", "credentials"].map(|name| (name.into(), secret.clone()));
    let mut writer = Writer::new(&entry.id);
    if let Ok(value) = writer.template(name, value, &inputs.into()) {
        headers.push((name.into(), value));
        entry.variables = writer.variables;
    }
}

/// What the server at `url` answers, and its title. `auth` is what a document says that it wants.
pub(super) async fn ask(
    fetcher: &Fetcher,
    (url, headers): (&Url, Vec<(String, String)>),
    auth: Option<Auth>,
    certain: Certain,
) -> (State, Option<String>) {
    let probe = match probe(fetcher, url, &headers).await {
        Ok(probe) => probe,
        Err(error) => return (State::Failed { error: error.to_string() }, None),
    };
    let is_refused = matches!(probe.status.as_u16(), 401 | 403);
    if !is_refused {
        let updates =
            crawl::crawl_once(&config(url, headers, fetcher.guard(url)), &LIMITS, None).await;
        match updates.into_iter().next().map(|update| update.outcome) {
            Some(Outcome::Listed(listing)) => {
                let protocol = listing.info.protocol;
                return (State::Open { tools: listing.tools.len(), protocol }, listing.info.title);
            }
            Some(Outcome::AuthRequired { .. }) => {}
            Some(Outcome::Failed { error }) => return (State::Failed { error }, None),
            _ => return (State::Failed { error: "no answer".into() }, None),
        }
    }
    let wanted = wanted(fetcher, url, &probe).await;
    let is_server = wanted.is_some()
        || certain == Certain::Named
        || (certain == Certain::Typed && probe.status != 403);
    if !is_server {
        let error = format!("HTTP {}, as any site may answer", probe.status.as_u16());
        return (State::Failed { error }, None);
    }
    let auth = match (wanted, auth) {
        (Some(wanted), Some(auth)) => joined(wanted, auth),
        (wanted, auth) => wanted.or(auth).unwrap_or_else(|| Auth::of("unknown")),
    };
    (State::AuthRequired { auth }, None)
}

/// The first request of the protocol since 2026-07-28; older servers refuse it in many ways.
async fn probe(
    fetcher: &Fetcher,
    url: &Url,
    headers: &[(String, String)],
) -> Result<Fetched, FetchError> {
    const VERSION: &str = "2026-07-28";
    let body = serde_json::json!({
        "jsonrpc": "2.0", "id": 1, "method": "server/discover",
        "params": {"_meta": {
            "io.modelcontextprotocol/protocolVersion": VERSION,
            "io.modelcontextprotocol/clientInfo":
                {"name": "toolscout", "version": env!("CARGO_PKG_VERSION")},
            "io.modelcontextprotocol/clientCapabilities": {},
        }},
    });
    let own = [
        ("content-type", JSON),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", VERSION),
        ("mcp-method", "server/discover"),
    ];
    let given = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let all: Vec<_> = own.into_iter().chain(given).collect();
    fetcher.post(url, &all, body.to_string(), BOUNDS).await
}

/// What the challenge and the protected-resource metadata say; `None` where there is neither.
async fn wanted(fetcher: &Fetcher, url: &Url, answer: &Fetched) -> Option<Auth> {
    let bearer = answer.challenges.iter().find(|challenge| {
        challenge.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer"))
    });
    let named = bearer.and_then(|challenge| parameter(challenge, "resource_metadata"));
    let named = named.and_then(|named| url.join(&named).ok());
    let path = url.path().trim_end_matches('/');
    let usual = [path, ""].map(|path| format!("/.well-known/oauth-protected-resource{path}"));
    let usual = usual.iter().filter_map(|path| url.join(path).ok());
    for place in named.into_iter().chain(usual) {
        let document = fetcher.get(&place, JSON, BOUNDS).await;
        let auth = document.ok().filter(|document| document.status.is_success());
        if let Some(auth) = auth.and_then(|document| documents::resource_metadata(&document.body)) {
            return Some(auth);
        }
    }
    bearer.map(|_| Auth::of("bearer"))
}

/// What the server says of itself goes before what a document says of it.
fn joined(server: Auth, document: Auth) -> Auth {
    let Auth { r#type, authorization_url, token_url, authorization_servers, scopes } = server;
    let said = |mine: Vec<String>, theirs| if mine.is_empty() { theirs } else { mine };
    Auth {
        r#type: if r#type == "bearer" { document.r#type } else { r#type },
        authorization_url: authorization_url.or(document.authorization_url),
        token_url: token_url.or(document.token_url),
        authorization_servers: said(authorization_servers, document.authorization_servers),
        scopes: said(scopes, document.scopes),
    }
}

/// The value of a parameter of a challenge.
fn parameter(challenge: &str, name: &str) -> Option<String> {
    let at = challenge.find(&format!("{name}="))? + name.len() + 1;
    let rest = &challenge[at..];
    let value = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?,
        None => rest.split([',', ' ']).next()?,
    };
    Some(value.to_owned())
}

fn config(url: &Url, headers: Vec<(String, String)>, guard: Option<Policy>) -> ServerConfig {
    ServerConfig {
        id: "found".into(),
        enabled: true,
        title: None,
        names: NameFilter::default(),
        timeout: CRAWL_TIME,
        refresh: CRAWL_TIME,
        network: NetworkConfig::default(),
        guard,
        transport: Transport::Http {
            url: url.clone(),
            headers: headers.into_iter().map(|(name, value)| (name, value.into())).collect(),
        },
        auth: config::Auth::Headers,
        filled_in: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_challenges() {
        let challenge = r#"Bearer realm="x", resource_metadata="https://x.test/m", error=none"#;
        assert_eq!(parameter(challenge, "resource_metadata").as_deref(), Some("https://x.test/m"));
        assert_eq!(parameter(challenge, "error").as_deref(), Some("none"));
        assert_eq!(parameter("Bearer", "error"), None);
    }
}
