//! Reads the documents by which sites say where their MCP servers are: manifests, server cards,
//! catalogs, and lists as clients have them.
//!
//! Invariant: whatever a document says, nothing here starts a command or asks an address: it
//! yields addresses, which others check.

use serde::Serialize;
use serde_json::{Map, Value};
use url::Url;

use super::input::{Input, KeyValue};
use super::one_line;
use super::server::{Remote, Server};

/// Servers and further documents that are read of one.
const MOST: usize = 50;

/// What one document says.
#[derive(Debug, Default, PartialEq)]
pub struct Document {
    /// What it is.
    pub kind: &'static str,
    /// The servers that it describes.
    pub offers: Vec<Offer>,
    /// Further documents that it refers to, with the names that it gives them.
    pub links: Vec<(Url, Option<String>)>,
}

/// A server that a document describes.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// What it calls itself.
    pub name: Option<String>,
    /// Its display title.
    pub title: Option<String>,
    /// Where it is.
    pub remote: Remote,
    /// What it wants to see.
    pub auth: Option<Auth>,
}

/// What a server wants to see of those who ask.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Auth {
    /// `none`, `oauth2`, `bearer`, `api_key`, `basic`, or what the document says.
    pub r#type: String,
    /// Where people log in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization_url: Option<String>,
    /// Where tokens are had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_url: Option<String>,
    /// Who gives tokens for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authorization_servers: Vec<String>,
    /// What is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
}

impl Auth {
    /// Of a kind, and nothing more is known.
    pub fn of(kind: &str) -> Self {
        Self { r#type: kind.into(), ..Self::default() }
    }
}

/// Reads what was found at `at`; `None` where it is none of these documents.
pub fn read(at: &Url, body: &[u8]) -> Option<Document> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let object = value.as_object()?;
    let mut document = if let Some(entries) = object.get("entries").and_then(Value::as_array) {
        catalog(at, entries)
    } else if let Some(servers) = object.get("mcpServers").and_then(Value::as_object) {
        Document { kind: "list of servers", offers: listed(at, servers), ..Document::default() }
    } else if let Some(servers) = object.get("servers").filter(|_| !names_endpoint(object)) {
        let offers = match servers {
            Value::Object(servers) => listed(at, servers),
            Value::Array(servers) => {
                let objects = servers.iter().filter_map(Value::as_object);
                objects.flat_map(|server| offers(at, server)).collect()
            }
            _ => Vec::new(),
        };
        Document { kind: "list of servers", offers, ..Document::default() }
    } else {
        let kind = if object.contains_key("remotes") { "server card" } else { "manifest" };
        Document { kind, offers: offers(at, object), ..Document::default() }
    };
    document.offers.truncate(MOST);
    document.links.truncate(MOST);
    let says_something = !document.offers.is_empty() || !document.links.is_empty();
    says_something.then_some(document)
}

fn names_endpoint(object: &Map<String, Value>) -> bool {
    ["endpoint", "remotes", "transport"].iter().any(|key| object.contains_key(*key))
}

/// An AI catalog, or an MCP catalog, which is a part of one.
fn catalog(at: &Url, entries: &[Value]) -> Document {
    let mut document = Document { kind: "catalog", ..Document::default() };
    for entry in entries.iter().filter_map(Value::as_object) {
        let kind = text(entry, "type").or_else(|| text(entry, "mediaType")).unwrap_or_default();
        let is_card = kind.contains("mcp-server");
        if !is_card && !kind.contains("ai-catalog") {
            continue;
        }
        let name = text(entry, "displayName")
            .or_else(|| text(entry, "identifier")?.rsplit([':', '/']).next().map(str::to_owned));
        match (entry.get("data").and_then(Value::as_object), text(entry, "url")) {
            (Some(card), _) if is_card => {
                document.offers.extend(
                    offers(at, card)
                        .into_iter()
                        .map(|offer| Offer { name: offer.name.or_else(|| name.clone()), ..offer }),
                );
            }
            (_, Some(url)) => document.links.extend(at.join(&url).ok().map(|url| (url, name))),
            _ => {}
        }
    }
    document
}

/// `{id: {url, headers}}`. What starts a command is left aside.
fn listed(at: &Url, servers: &Map<String, Value>) -> Vec<Offer> {
    let offer = |(id, server): (&String, &Value)| {
        let server = server.as_object()?;
        let url = first(server, &["url", "serverUrl", "httpUrl"])?;
        let headers = server.get("headers").and_then(Value::as_object).into_iter().flatten();
        let headers = headers.filter_map(|(name, value)| {
            let value = Some(value.as_str()?.to_owned());
            let input = Input { value, is_required: true, ..Input::default() };
            Some(KeyValue { name: name.clone(), input, ..KeyValue::default() })
        });
        Some(Offer {
            name: Some(id.clone()),
            title: text(server, "title"),
            remote: Remote { headers: headers.collect(), ..remote(at, &url, server)? },
            auth: auth(server),
        })
    };
    servers.iter().filter_map(offer).collect()
}

/// What one object says, be it a server card or a manifest.
fn offers(at: &Url, object: &Map<String, Value>) -> Vec<Offer> {
    let info = object.get("serverInfo").and_then(Value::as_object);
    let own = |key: &str| text(object, key).or_else(|| text(info?, key));
    let (name, title) = (own("name"), own("title"));
    if object.get("remotes").is_some_and(Value::is_array) {
        let card = serde_json::from_value::<Server>(Value::Object(object.clone()));
        let remotes = card.map(|card| card.remotes).unwrap_or_default();
        // Of several transports to one server one is enough: the better one.
        let best = remotes.into_iter().filter(|remote| remote.kind().is_some());
        let best = best.min_by_key(Remote::kind).and_then(|remote| {
            let url = absolute(at, &remote.url)?;
            Some(Offer { name, title, remote: Remote { url, ..remote }, auth: auth(object) })
        });
        return best.into_iter().collect();
    }
    let transport = object.get("transport").and_then(Value::as_object);
    let endpoints = object.get("endpoints").and_then(Value::as_object);
    let url = first(object, &["endpoint", "mcp_endpoint", "mcpEndpoint", "url", "server_url"])
        .or_else(|| first(transport?, &["endpoint", "url"]))
        .or_else(|| {
            first(endpoints?, &["streamable_http", "streamableHttp", "http", "mcp", "sse"])
        });
    let offer = url.and_then(|url| {
        let remote = remote(at, &url, transport.unwrap_or(object))?;
        Some(Offer { name, title, remote, auth: auth(object) })
    });
    offer.into_iter().collect()
}

fn remote(at: &Url, url: &str, said: &Map<String, Value>) -> Option<Remote> {
    let kind = text(said, "type").or_else(|| text(said, "transport")).unwrap_or_default();
    let kind = if kind.eq_ignore_ascii_case("sse") { "sse" } else { "streamable-http" };
    Some(Remote {
        r#type: kind.into(),
        url: absolute(at, url)?,
        headers: Vec::new(),
        variables: std::collections::BTreeMap::new(),
    })
}

/// An address, which may begin with a variable.
fn absolute(at: &Url, url: &str) -> Option<String> {
    let is_template = url.contains('{');
    if is_template && (url.starts_with('{') || url.starts_with("http")) {
        return Some(url.to_owned());
    }
    at.join(url).ok().map(String::from)
}

fn auth(object: &Map<String, Value>) -> Option<Auth> {
    let said =
        ["auth", "authentication", "authorization"].iter().find_map(|key| object.get(*key))?;
    let mut auth = Auth::default();
    match said {
        Value::String(kind) => auth.r#type = kind_of(kind),
        Value::Bool(false) => auth.r#type = "none".into(),
        Value::Object(said) => {
            let required = said.get("required").and_then(Value::as_bool);
            let schemes = said.get("schemes").and_then(Value::as_array);
            let scheme = schemes.and_then(|schemes| schemes.first()?.as_str().map(str::to_owned));
            let kind = first(said, &["type", "method", "scheme"]).or(scheme);
            auth.r#type = match (kind, required) {
                (_, Some(false)) => "none".into(),
                (Some(kind), _) => kind_of(&kind),
                (None, _) => "unknown".into(),
            };
            auth.authorization_url =
                first(said, &["authorization_url", "authorizationUrl", "authorization_endpoint"]);
            auth.token_url = first(said, &["token_url", "tokenUrl", "token_endpoint"]);
            auth.scopes = words(said.get("scopes").or_else(|| said.get("scope")));
        }
        _ => return None,
    }
    Some(auth)
}

fn kind_of(said: &str) -> String {
    let said = one_line(said, 40).to_ascii_lowercase();
    match said.as_str() {
        "oauth" | "oauth2" | "oauth2.0" | "oauth2.1" | "oauth_2" => "oauth2".into(),
        "bearer" | "token" | "bearer_token" | "http" => "bearer".into(),
        "api_key" | "apikey" | "api-key" => "api_key".into(),
        _ => said,
    }
}

/// Who gives tokens for a server: its protected-resource metadata (RFC 9728).
pub fn resource_metadata(body: &[u8]) -> Option<Auth> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let object = value.as_object()?;
    let servers = words(object.get("authorization_servers"));
    let scopes = words(object.get("scopes_supported"));
    if servers.is_empty() && !object.contains_key("resource") {
        return None;
    }
    let r#type = if servers.is_empty() { "bearer" } else { "oauth2" };
    Some(Auth { r#type: r#type.into(), authorization_servers: servers, scopes, ..Auth::default() })
}

/// A list of words, or words in one text, or the keys of an object.
fn words(value: Option<&Value>) -> Vec<String> {
    let clip = |word: &str| one_line(word, 200);
    let words: Vec<String> = match value {
        Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).map(clip).collect(),
        Some(Value::String(words)) => words.split([' ', ',']).map(clip).collect(),
        Some(Value::Object(words)) => words.keys().map(|word| clip(word)).collect(),
        _ => Vec::new(),
    };
    words.into_iter().filter(|word| !word.is_empty()).take(MOST).collect()
}

fn text(object: &Map<String, Value>, key: &str) -> Option<String> {
    let text = object.get(key)?.as_str()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn first(object: &Map<String, Value>, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| text(object, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<Document> {
        read(&"https://example.test/.well-known/mcp".parse().unwrap(), text.as_bytes())
    }

    fn one(text: &str) -> (Option<String>, String, Option<Auth>) {
        let document = found(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(document.offers.len(), 1, "{text}");
        let offer = document.offers.into_iter().next().unwrap();
        (offer.name, offer.remote.url, offer.auth)
    }

    #[test]
    fn manifests_name_an_endpoint_and_what_it_wants() {
        let (name, url, auth) = one(
            r#"{"name":"shop","version":"1","endpoint":"/mcp","auth":{"type":"oauth2",
               "authorization_url":"https://id.test/a","token_url":"https://id.test/t","scopes":["read"]}}"#,
        );
        assert_eq!((name.as_deref(), url.as_str()), (Some("shop"), "https://example.test/mcp"));
        let auth = auth.unwrap();
        assert_eq!((auth.r#type.as_str(), auth.scopes), ("oauth2", vec!["read".to_owned()]));
        assert_eq!(auth.token_url.as_deref(), Some("https://id.test/t"));
        for other in [
            r#"{"serverInfo":{"name":"shop"},"transport":{"type":"streamable-http","endpoint":"/mcp"},"authentication":{"required":false}}"#,
            r#"{"name":"shop","url":"https://example.test/mcp","auth":"none"}"#,
            r#"{"servers":[{"name":"shop","endpoint":"/mcp","authentication":false}]}"#,
            r#"{"name":"shop","endpoints":{"mcp":"/mcp"},"auth":{"type":"none"}}"#,
        ] {
            let (name, url, auth) = one(other);
            assert_eq!((name.as_deref(), url.as_str()), (Some("shop"), "https://example.test/mcp"));
            assert_eq!(auth.unwrap().r#type, "none", "{other}");
        }
    }

    #[test]
    fn of_the_remotes_of_a_card_the_better_is_taken() {
        let (name, url, auth) = one(
            r#"{"name":"com.example/weather","remotes":[{"type":"sse","url":"/sse"},{"type":"websocket","url":"/w"},
               {"type":"streamable-http","url":"https://{region}.example.test/mcp","variables":{"region":{"default":"eu"}}}]}"#,
        );
        assert_eq!(name.as_deref(), Some("com.example/weather"));
        assert_eq!((url.as_str(), auth), ("https://{region}.example.test/mcp", None));
    }

    #[test]
    fn a_catalog_has_cards_inside_and_elsewhere() {
        let document = found(
            r#"{"specVersion":"1.0","entries":[
                {"identifier":"urn:air:x.test:mcp:one","type":"application/mcp-server-card+json","url":"/one/server-card"},
                {"identifier":"urn:air:x.test:mcp:two","mediaType":"application/mcp-server-card+json",
                 "data":{"remotes":[{"type":"streamable-http","url":"https://two.test/mcp"}]}},
                {"identifier":"urn:air:x.test:a2a:three","type":"application/a2a-agent-card+json","url":"/three"},
                {"identifier":"urn:air:x.test:more","type":"application/ai-catalog+json","url":"https://x.test/more.json"}]}"#,
        );
        let document = document.unwrap();
        assert_eq!(document.offers[0].name.as_deref(), Some("two"));
        let links: Vec<_> = document.links.iter().map(|(url, _)| url.as_str()).collect();
        assert_eq!(links, ["https://example.test/one/server-card", "https://x.test/more.json"]);
    }

    #[test]
    fn a_command_in_a_list_is_left_aside() {
        let (name, url, _) = one(
            r#"{"mcpServers":{"evil":{"command":"sh","args":["-c","id"]},"good":{"url":"https://good.test/mcp"}}}"#,
        );
        assert_eq!((name.as_deref(), url.as_str()), (Some("good"), "https://good.test/mcp"));
    }

    #[test]
    fn other_documents_are_none() {
        for other in [
            "",
            "[]",
            "{}",
            "<html>",
            "7",
            r#"{"name":"x"}"#,
            r#"{"entries":[]}"#,
            r#"{"servers":7}"#,
        ] {
            assert_eq!(found(other), None, "{other}");
        }
        assert_eq!(resource_metadata(b"{}"), None);
        let auth = resource_metadata(
            br#"{"resource":"https://x.test/mcp","authorization_servers":["https://id.test"],"scopes_supported":["a b"]}"#,
        );
        assert_eq!(auth.unwrap().authorization_servers, ["https://id.test"]);
    }
}
