//! What callers may do, route by route and over MCP; and that one profile is all that some see.

use std::os::unix::fs::PermissionsExt;

use reqwest::{Method, StatusCode};
use rmcp::ServiceExt;
use rmcp::model::CallToolRequestParams;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use toolscout::access::caller::{Peer, Scope};
use toolscout::access::keys::NewKey;
use toolscout::access::keys::file::KeyFile;
use toolscout::config::{AuthConfig, Config, McpConfig, Sources, Transport, load};
use toolscout::live::Live;
use toolscout::serve::door::Door;
use toolscout::serve::{self, Rooms};
use tower::ServiceExt as _;

use crate::support::app::{Reply, SERVERS, TestApp, catalog, config, profiles};
use crate::support::crawling::{page, server};
use crate::support::mock_http::{Answer, MockHttp, Request, Speaks};
use crate::support::proxy::{Proxy, all};

const PROFILES: &str = "[profiles.mail]\nservers = ['post/office']\n[profiles.days]\n\
    servers = ['calendar']";

/// A service that takes keys, and its data folder.
struct Asked {
    app: TestApp,
    folder: tempfile::TempDir,
}

impl Asked {
    async fn start(live: Live) -> Self {
        Self::of(|door| Rooms { door, ..Rooms::from(live) }).await
    }

    async fn of(rooms: impl FnOnce(Door) -> Rooms) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // So that there is something to be found.
        let first = NewKey { name: "first".into(), scopes: Scope::ALL.into(), ..NewKey::default() };
        make(folder.path(), first);
        let config = asking(folder.path());
        // Keys are read when it opens: those of a test are made before.
        for scopes in [
            &[Scope::Search][..],
            &[Scope::Call],
            &[Scope::Search, Scope::Call],
            &[Scope::Admin],
            &Scope::ALL,
        ] {
            for profile in [None, Some("mail"), Some("gone")] {
                if profile.is_some() && scopes.contains(&Scope::Admin) {
                    continue;
                }
                let key = NewKey {
                    name: format!("{scopes:?} {profile:?}"),
                    scopes: scopes.to_vec(),
                    profile: profile.map(str::to_owned),
                    ..NewKey::default()
                };
                let secret = make(folder.path(), key);
                std::fs::write(folder.path().join(named(scopes, profile)), secret).unwrap();
            }
        }
        let door = Door::open(&config, None).unwrap();
        Self { app: TestApp::of(rooms(door), &config).await, folder }
    }

    fn key(&self, scopes: &[Scope], profile: Option<&str>) -> String {
        std::fs::read_to_string(self.folder.path().join(named(scopes, profile))).unwrap()
    }

    async fn ask(&self, method: Method, path: &str, key: &str) -> Reply {
        let mut request = self.app.request(method.clone(), path).header("x-api-key", key);
        if method == Method::POST {
            request = request.header("content-type", "application/json").body("{}");
        }
        self.app.send(request).await
    }

    async fn get(&self, path: &str, key: &str) -> Reply {
        self.ask(Method::GET, path, key).await
    }
}

fn named(scopes: &[Scope], profile: Option<&str>) -> String {
    let names: Vec<_> = scopes.iter().map(|scope| scope.name()).collect();
    format!("{}-{}", names.join("-"), profile.unwrap_or_default())
}

fn asking(data: &std::path::Path) -> Config {
    let auth = AuthConfig { keys: true, ..AuthConfig::default() };
    Config { auth, data: data.to_owned(), ..config() }
}

fn make(data: &std::path::Path, key: NewKey) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let make = |book: &mut toolscout::access::keys::Book| {
        book.create(key, now.as_secs()).map(|(_, secret)| secret.expose().to_owned())
    };
    KeyFile::of(data).change(make).unwrap().0
}

fn live() -> Live {
    Live::from_catalog_with(catalog(SERVERS), &profiles(PROFILES))
}

const SEARCH: &[Scope] = &[Scope::Search];
const CALL: &[Scope] = &[Scope::Call];
const BOTH: &[Scope] = &[Scope::Search, Scope::Call];
const ADMIN: &[Scope] = &[Scope::Admin];

#[tokio::test]
async fn every_route_wants_its_scope() {
    let asked = Asked::start(live()).await;
    let path = asked.folder.path().join("keys/api.keys");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let document = asked.get("/openapi.json", &asked.key(SEARCH, None)).await.json();
    let open = ["/livez", "/readyz", "/health", "/.well-known/", "/oauth/", "/console/"];
    let mut seen = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        // What is below /v1/admin has to be there to be asked for: auth_keys.rs.
        if open.iter().any(|open| path.starts_with(open)) || path.starts_with("/v1/admin/") {
            continue;
        }
        let administers = ["/metrics", "/v1/changes", "/v1/findings"].contains(&path.as_str());
        let wanted = match path.trim_start_matches("/p/{profile}") {
            _ if administers => Scope::Admin,
            "/v1/call" => Scope::Call,
            _ => Scope::Search,
        };
        let path = path.replace("{profile}", "mail").replace("{id}", "files%2Fread_file");
        for method in operations.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let without = asked
                .app
                .send(
                    asked
                        .app
                        .request(method.clone(), &path)
                        .header("content-type", "application/json"),
                )
                .await;
            assert_eq!(
                (without.status.as_u16(), without.problem()),
                (401, "unauthorized".into()),
                "{path}"
            );
            for scopes in [SEARCH, CALL, ADMIN] {
                // Whoever may have it is given a stream without an end (serve_events.rs).
                if path.ends_with("/v1/events") && scopes.contains(&wanted) {
                    continue;
                }
                let reply = asked.ask(method.clone(), &path, &asked.key(scopes, None)).await;
                let refused = reply.status == StatusCode::FORBIDDEN
                    && reply.problem() == "insufficient-scope";
                assert_eq!(
                    refused,
                    !scopes.contains(&wanted),
                    "{method} {path} {scopes:?}: {}",
                    reply.text
                );
                assert_ne!(reply.status, StatusCode::UNAUTHORIZED, "{path}");
                seen += 1;
            }
        }
    }
    assert!(seen > 60, "{seen}");
    // What is there for everybody is so without a key, and with a wrong one.
    for path in ["/livez", "/readyz", "/.well-known/mcp"] {
        assert_eq!(asked.app.get(path).await.status, 200, "{path}");
        assert_eq!(asked.get(path, "ts_wrong").await.status, 200, "{path}");
    }
    assert_eq!(asked.app.get("/.well-known/mcp").await.json()["auth"]["type"], "api_key");
    // Whoever is not known does not hear what there is.
    assert_eq!(asked.app.get("/v1/nothing").await.status, 401);
    assert_eq!(asked.get("/v1/nothing", &asked.key(SEARCH, None)).await.status, 404);
}

/// Bodies of model APIs can be read as they are; others hold what no value can.
fn read(reply: &Reply) -> Value {
    serde_json::from_str(&reply.text).unwrap_or_else(|_| reply.json_lossy())
}

fn timeless(mut reply: Value) -> Value {
    for key in ["took_us", "uptime_s", "request_id"] {
        reply.as_object_mut().map(|reply| reply.remove(key));
    }
    for server in reply["servers"].as_array_mut().into_iter().flatten() {
        server.as_object_mut().unwrap().remove("age_s");
    }
    reply
}

#[tokio::test]
async fn who_is_kept_to_a_profile_sees_that_one_whatever_is_asked_for() {
    let asked = Asked::start(live()).await;
    let (kept, free) = (asked.key(BOTH, Some("mail")), asked.key(BOTH, None));
    let paths = [
        "/v1/search?q=event",
        "/v1/search?q=mail&explain=1",
        "/v1/tools",
        "/v1/tools/calendar%2Fcreate_event",
        "/v1/tools/post%2Foffice%2Fsend_mail",
        "/v1/servers",
        "/v1/status",
        "/v1/anthropic/tools",
        "/v1/openai/tools",
        "/mcp/server-card",
    ];
    for path in paths {
        // What others see of that profile is what they see of everything.
        let view = asked.get(&format!("/p/mail{path}"), &free).await;
        let sign = if path.contains('?') { '&' } else { '?' };
        for same in [path.to_owned(), format!("/p/mail{path}"), format!("{path}{sign}profile=mail")]
        {
            let reply = asked.get(&same, &kept).await;
            assert_eq!(reply.status, view.status, "{same}: {}", reply.text);
            assert_eq!(timeless(read(&reply)), timeless(read(&view)), "{same}");
            assert!(!reply.text.contains("calendar/"), "{same}: {}", reply.text);
        }
        // One that is there and one that is not are the same to them.
        let unknown = asked.get(&format!("/p/nowhere{path}"), &kept).await;
        assert_eq!((unknown.status.as_u16(), unknown.problem()), (404, "unknown-profile".into()));
        for other in [
            format!("/p/days{path}"),
            format!("{path}{sign}profile=days"),
            format!("{path}{sign}profile=nowhere"),
            format!("/p/mail{path}{sign}profile=days"),
        ] {
            let reply = asked.get(&other, &kept).await;
            assert_eq!(timeless(reply.json()), timeless(unknown.json()), "{other}");
        }
        // A profile that is gone shows nothing.
        let gone = asked.get(path, &asked.key(SEARCH, Some("gone"))).await;
        assert_eq!(gone.problem(), "unknown-profile", "{path}");
    }
    for (path, mut body) in [
        ("/v1/search", json!({ "query": "event" })),
        ("/v1/select", json!({ "text": "create an event" })),
        ("/v1/call", json!({ "id": "calendar/create_event", "arguments": {} })),
        (
            "/v1/feedback",
            json!({ "query": "event", "tool": "calendar/create_event", "outcome": "chosen" }),
        ),
    ] {
        let mut answers = Vec::new();
        for profile in ["days", "nowhere"] {
            body["profile"] = json!(profile);
            let request = asked.app.request(Method::POST, path).header("x-api-key", &kept);
            let reply = asked.app.send(request.json(&body)).await;
            assert_eq!(reply.problem(), "unknown-profile", "{path}");
            answers.push(timeless(reply.json()));
        }
        assert_eq!(answers[0], answers[1]);
    }
    // What tells of everything is not for them.
    for path in ["/metrics", "/v1/changes", "/v1/findings", "/v1/admin/profiles"] {
        assert_ne!(asked.get(path, &kept).await.status, 200, "{path}");
    }
    let tools = over_mcp(&asked.app.url("/mcp"), &kept, "list_servers", json!({})).await.unwrap();
    assert!(tools.contains("post/office") && !tools.contains("calendar"), "{tools}");
    let tools =
        over_mcp(&asked.app.url("/mcp?profile=days"), &kept, "list_servers", json!({})).await;
    assert!(tools.is_err());
}

/// The text of a tool's result, to a client with this key; or why there is none.
async fn over_mcp(
    url: &str,
    key: &str,
    tool: &'static str,
    arguments: Value,
) -> Result<String, String> {
    let config = StreamableHttpClientTransportConfig::with_uri(url).auth_header(key);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let transport = StreamableHttpClientTransport::with_client(client, config);
    let client = ().serve(transport).await.map_err(|error| format!("{error:?}"))?;
    let listed = client.list_tools(None).await.map_err(|error| format!("{error:?}"))?;
    // A cache on the way must not show one caller's list to another.
    let scope = serde_json::to_value(&listed).unwrap()["cacheScope"].clone();
    assert!(scope.is_null() || scope == "private", "{scope}");
    let offers_calls = listed.tools.iter().any(|tool| tool.name == "call_tool");
    let request =
        CallToolRequestParams::new(tool).with_arguments(arguments.as_object().cloned().unwrap());
    let result = client.call_tool(request).await;
    let result = result.map(|result| serde_json::to_string(&result).unwrap());
    let told = client.peer_info().unwrap();
    let tells = serde_json::to_string(&told).unwrap().contains("call_tool");
    assert_eq!(tells, offers_calls);
    result
        .map(|text| format!("{text} call_tool: {offers_calls}"))
        .map_err(|error| format!("{error:?} call_tool: {offers_calls}"))
}

/// toolscout before a server whose tool can be called.
pub async fn callable() -> Proxy {
    let answer = |request: &Request| match request.method.as_str() {
        "tools/list" => Answer::Result(page(&["open"], None)),
        _ => Answer::Result(r#"{"content":[{"type":"text","text":"it is open"}]}"#.into()),
    };
    let door = MockHttp::start(Speaks::Stateless, false, answer).await;
    let transport = Transport::Http { url: door.url.clone(), headers: Vec::new() };
    let proxy = Proxy::start(vec![server("door", transport)], all()).await;
    // It is there as long as the tests are.
    std::mem::forget(door);
    proxy
}

#[tokio::test]
async fn who_may_not_call_is_not_offered_it_and_is_told_what_it_takes() {
    let proxy = callable().await;
    let live = proxy.app.live.clone();
    let (caller, mcp) = (proxy.caller(), McpConfig::default());
    let asked = Asked::of(|door| Rooms { door, caller, mcp, ..Rooms::from(live) }).await;
    let url = asked.app.url("/mcp");
    let arguments = json!({ "id": "door/open", "arguments": {} });
    for tool in ["call_tool", "door/open"] {
        let refused = over_mcp(&url, &asked.key(SEARCH, None), tool, arguments.clone()).await;
        let refused = refused.unwrap_err();
        assert!(refused.contains("InsufficientScope"), "{refused}");
        assert!(refused.contains("call_tool: false"), "{refused}");
    }
    let found =
        over_mcp(&url, &asked.key(SEARCH, None), "search_tools", json!({ "query": "open" })).await;
    assert!(found.unwrap().contains("door/open"));
    let passed = over_mcp(&url, &asked.key(BOTH, None), "call_tool", arguments).await;
    let passed = passed.unwrap();
    assert!(passed.contains("it is open") && passed.contains("call_tool: true"), "{passed}");
    // The transport itself says no to who has nothing.
    let refused = over_mcp(&url, "ts_wrong", "search_tools", json!({ "query": "open" })).await;
    assert!(refused.unwrap_err().contains("Auth"), "no challenge");
    proxy.stop().await;
}

#[tokio::test]
async fn the_name_in_a_certificate_says_what_its_holder_may_do() {
    let sources = Sources {
        text: Some(format!(
            "[[auth.certificates]]\nname = 'ops.test'\nscopes = ['search', 'admin']\n\
             [[auth.certificates]]\nname = '*.mail.test'\nprofile = 'mail'\n{PROFILES}"
        )),
        ..Sources::default()
    };
    let loaded = load(&sources, &|_| None).map_err(|errors| errors.to_string()).unwrap();
    let config = Config { auth: loaded.config.auth, ..config() };
    let door = Door::open(&config, None).unwrap();
    let rooms = Rooms { door, ..Rooms::from(live()) };
    let router = serve::router(rooms, &config, &CancellationToken::new());
    let ask = async |name: Option<&str>, path: &str| {
        let peer = Peer { address: [127, 0, 0, 1].into(), certificate: name.map(Into::into) };
        let request = axum::http::Request::get(path).header("host", "localhost").extension(peer);
        let request = request.body(axum::body::Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8_lossy(&body).into_owned())
    };
    for name in [None, Some("evil.test"), Some("mail.test"), Some("ops.test.evil.test")] {
        assert_eq!(ask(name, "/v1/tools").await.0, 401, "{name:?}");
    }
    let (status, body) = ask(Some("one.mail.test"), "/v1/tools").await;
    assert!(status == 200 && body.contains("post/office") && !body.contains("calendar"), "{body}");
    assert_eq!(ask(Some("one.mail.test"), "/metrics").await.0, 403);
    assert_eq!(ask(Some("ops.test"), "/metrics").await.0, 200);
    assert_eq!(ask(Some("ops.test"), "/v1/tools").await.0, 200);
    assert!(ask(None, "/.well-known/mcp").await.1.contains("mtls"));
}
