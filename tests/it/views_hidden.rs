//! A profile hides what it leaves out from every answer: the same comes out as of a toolscout that
//! has its tools alone.

use rmcp::model::{CallToolRequestParams, ProtocolVersion};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt};
use rmcp::transport::StreamableHttpClientTransport;
use serde_json::{Value, json};
use toolscout::live::Live;

use crate::serve_events::open;
use crate::support::app::{Listed, TestApp, catalog, config, profiles};

const LONG: &str = "merges a branch of a code repository into another one after all checks passed \
    and every reviewer said yes to the change, then deletes what was merged";

/// Each tool has a word of its own, and two are the same tool on two servers.
fn world() -> Vec<(&'static str, &'static str, Vec<String>)> {
    let tool = |name: &str, description: &str, annotations: Value| {
        json!({"name": name, "description": description, "annotations": annotations}).to_string()
    };
    let reads = || json!({"readOnlyHint": true, "openWorldHint": false});
    vec![
        (
            "git",
            "Gitea qqalpha",
            vec![
                tool("merge", LONG, json!({})),
                tool("list_qqbravo", "Lists issues qqbravo", reads()),
                tool("drop_qqcharlie", "Deletes an issue qqcharlie", json!({})),
            ],
        ),
        (
            "github",
            "GitHub qqdelta",
            vec![
                tool("merge", LONG, json!({})),
                tool("list_qqecho", "Lists issues qqecho", reads()),
                tool("find_qqfoxtrot", "Finds issues qqfoxtrot", json!({"readOnlyHint": true})),
            ],
        ),
        (
            "mail",
            "Mail qqgolf",
            vec![
                tool("send_qqhotel", "Sends mail qqhotel", json!({"destructiveHint": false})),
                tool("read_qqindia", "Reads mail qqindia", reads()),
            ],
        ),
    ]
}

const MARKERS: [&str; 10] = [
    "qqalpha",
    "qqbravo",
    "qqcharlie",
    "qqdelta",
    "qqecho",
    "qqfoxtrot",
    "qqgolf",
    "qqhotel",
    "qqindia",
    "github",
];

const PROFILES: &str = r#"
    [profiles.one]
    servers = ["git"]
    [profiles.names]
    allow = ["list_*", "mail/*"]
    deny = ["*india"]
    [profiles.reads]
    read_only = true
    open_world = false
    [profiles.first]
    max_servers = 2
    max_tools = 4
    [profiles.set]
    servers = ["mail"]
    [profiles.set.toolsets.github]
    enabled = false
    configs = { merge = { enabled = true } }
    [profiles.nothing]
    allow = []
"#;

/// What each shows, by hand.
const SHOWN: [(&str, &[&str]); 6] = [
    ("one", &["git/merge", "git/list_qqbravo", "git/drop_qqcharlie"]),
    ("names", &["git/list_qqbravo", "github/list_qqecho", "mail/send_qqhotel"]),
    ("reads", &["git/list_qqbravo", "github/list_qqecho", "mail/read_qqindia"]),
    ("first", &["git/merge", "git/list_qqbravo", "git/drop_qqcharlie", "github/find_qqfoxtrot"]),
    ("set", &["github/merge", "mail/send_qqhotel", "mail/read_qqindia"]),
    ("nothing", &[]),
];

/// The servers of these tools, with nothing else.
fn live(shown: Option<&[&str]>) -> Live {
    let world = world();
    let is_shown = |server: &str, definition: &str| {
        let name = serde_json::from_str::<Value>(definition).unwrap()["name"].clone();
        let id = format!("{server}/{}", name.as_str().unwrap());
        shown.is_none_or(|shown| shown.contains(&id.as_str()))
    };
    let kept: Vec<(&str, &str, Vec<&str>)> = world
        .iter()
        .map(|(id, title, tools)| {
            let tools = tools.iter().map(String::as_str);
            (*id, *title, tools.filter(|tool| is_shown(id, tool)).collect())
        })
        .filter(|(_, _, tools): &(_, _, Vec<&str>)| !tools.is_empty())
        .collect();
    let listed: Vec<Listed<'_>> =
        kept.iter().map(|(id, title, tools)| (*id, Some(*title), tools.as_slice())).collect();
    match shown {
        None => Live::from_catalog_with(catalog(&listed), &profiles(PROFILES)),
        Some(_) => Live::from_catalog(catalog(&listed)),
    }
}

/// Without what is of the moment.
fn timeless(mut value: Value) -> Value {
    if let Value::Object(members) = &mut value {
        for key in ["took_us", "uptime_s", "age_s", "request_id"] {
            members.remove(key);
        }
        for value in members.values_mut() {
            *value = timeless(value.take());
        }
    } else if let Value::String(text) = &value
        && let Ok(inside @ Value::Object(_)) = serde_json::from_str(text)
    {
        return timeless(inside);
    } else if let Value::Array(items) = &mut value {
        for item in items {
            *item = timeless(item.take());
        }
    }
    value
}

fn paths() -> Vec<String> {
    let mut paths: Vec<String> = [
        "/v1/tools",
        "/v1/tools?limit=1",
        "/v1/tools?cursor=git/m",
        "/v1/tools?view=rows",
        "/v1/tools?view=rows&limit=1",
        "/v1/tools/nothing",
        "/v1/servers",
        "/v1/status",
        "/v1/map",
        "/v1/map/query?q=merge",
        "/v1/anthropic/tools",
        "/v1/openai/tools",
    ]
    .map(str::to_owned)
    .into();
    for (server, _, tools) in world() {
        paths.push(format!("/v1/tools?server={server}"));
        paths.push(format!("/v1/tools?view=rows&server={server}"));
        paths.push(format!("/v1/search?q=merge&server={server}"));
        paths.push(format!("/v1/search?q=merge+in+{server}&explain=1"));
        for tool in tools {
            let tool: Value = serde_json::from_str(&tool).unwrap();
            let name = tool["name"].as_str().unwrap();
            let spoken = name.replace('_', "+");
            paths.push(format!("/v1/tools/{server}/{name}"));
            paths.push(format!("/v1/tools/{server}/{name}?near=1&earlier=1&lint=1"));
            paths.push(format!("/v1/search?q={name}&explain=1"));
            paths.push(format!("/v1/search?q={server}+{spoken}&limit=50"));
            paths.push(format!("/v1/search?q=issues&why={server}/{name}"));
            paths.push(format!("/v1/search?q=issue+mail&why={server}/{name}s&read_only=1"));
            paths.push(format!("/v1/search?q={name}&q=delete&destructive=0&open_world=1"));
        }
    }
    // One letter off words that only some have.
    paths.push("/v1/search?q=qqchralie+reviewre+reposotory&explain=1".into());
    paths
}

/// What is posted: several needs, and every shape of an answer.
fn bodies() -> Vec<(&'static str, Value)> {
    let several = json!([{"query": "merge"}, {"query": "qqecho", "read_only": true}]);
    let every: Vec<String> =
        SHOWN.iter().flat_map(|(_, ids)| ids.iter()).map(|id| (*id).into()).collect();
    let mut bodies = vec![
        ("/v1/search", json!({"batch": several, "explain": true})),
        ("/v1/search", json!({"query": "issues mail", "token_budget": 60})),
        ("/v1/select", json!({"text": "merge the branch, then list issues", "limit": 4})),
        ("/v1/select", json!({"text": "send mail", "pinned": every, "limit": 50})),
        ("/v1/select", json!({"text": "send mail", "previous": every})),
        ("/v1/select", json!({"messages": [{"role": "user", "content": "list issues"}]})),
    ];
    for format in [
        "mcp",
        "anthropic",
        "openai",
        "tool_reference",
        "tool_search_output",
        "names",
        "signatures",
    ] {
        let body = json!({"query": "merge issues", "limit": 50, "format": format});
        bodies.push(("/v1/search", body));
    }
    bodies
}

#[tokio::test]
async fn every_answer_is_that_of_a_toolscout_with_these_tools_alone() {
    let all = TestApp::serve(live(None), &config()).await;
    for (profile, shown) in SHOWN {
        let alone = TestApp::serve(live(Some(shown)), &config()).await;
        let hidden: Vec<&str> = MARKERS
            .into_iter()
            .filter(|marker| {
                let tools = shown.iter().any(|id| id.contains(marker));
                let server = match *marker {
                    "qqalpha" => "git/",
                    "qqdelta" => "github/",
                    "qqgolf" => "mail/",
                    _ => "none/",
                };
                !tools && !shown.iter().any(|id| id.starts_with(server))
            })
            .collect();
        assert!(!hidden.is_empty());
        for path in paths() {
            let wanted = alone.get(&path).await;
            let sign = if path.contains('?') { '&' } else { '?' };
            for path in [format!("/p/{profile}{path}"), format!("{path}{sign}profile={profile}")] {
                let reply = all.get(&path).await;
                assert_eq!(reply.status, wanted.status, "{path}: {}", reply.text);
                assert_eq!(timeless(reply.json()), timeless(wanted.json()), "{path}");
                for marker in hidden.iter().filter(|marker| !path.contains(**marker)) {
                    assert!(!reply.text.contains(marker), "{path}: {}", reply.text);
                }
            }
        }
        let wanted = first_event(&alone, "/v1/events").await;
        for path in [format!("/p/{profile}/v1/events"), format!("/v1/events?profile={profile}")] {
            let told = first_event(&all, &path).await;
            assert_eq!(told, wanted, "{path}");
            for marker in &hidden {
                assert!(!told.to_string().contains(marker), "{path}: {told}");
            }
        }
        for (path, body) in bodies() {
            let of = |profile: Option<&str>| {
                let mut body = body.clone();
                body["profile"] = json!(profile);
                body.to_string()
            };
            let wanted = alone.post(path, of(None)).await;
            let below = format!("/p/{profile}{path}");
            for (path, named) in [(path, Some(profile)), (&*below, None)] {
                let reply = all.post(path, of(named)).await;
                assert_eq!(timeless(reply.json()), timeless(wanted.json()), "{path} {body}");
                for marker in hidden.iter().filter(|marker| !body.to_string().contains(**marker)) {
                    assert!(!reply.text.contains(marker), "{path} {body}: {}", reply.text);
                }
            }
        }
        assert_eq!(
            over_mcp(&all.url(&format!("/p/{profile}/mcp"))).await,
            over_mcp(&alone.url("/mcp")).await,
            "{profile}"
        );
        assert_eq!(
            over_mcp(&all.url(&format!("/mcp?profile={profile}"))).await,
            over_mcp(&alone.url("/mcp")).await,
            "{profile}"
        );
    }
}

/// What a stream of events begins with.
async fn first_event(app: &TestApp, path: &str) -> Value {
    timeless(open(app.request(reqwest::Method::GET, path)).await.told("state").await)
}

/// All that is said over MCP, in both eras.
async fn over_mcp(url: &str) -> Vec<Value> {
    let mut said = Vec::new();
    let modern =
        ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
    for era in [ClientLifecycleMode::Initialize, modern] {
        let transport = StreamableHttpClientTransport::from_uri(url);
        let client = ().serve_with_lifecycle(transport, era).await.unwrap();
        said.push(serde_json::to_value(client.peer_info()).unwrap());
        said.push(serde_json::to_value(client.list_tools(None).await.unwrap()).unwrap());
        for (tool, arguments) in [
            ("search_tools", json!({"query": "merge"})),
            ("search_tools", json!({"query": "github list qqecho"})),
            ("search_tools", json!({"query": "issues", "servers": ["nowhere"]})),
            ("search_tools", json!({"query": "issues", "read_only": true})),
            ("get_tool", json!({"id": "github/list_qqecho"})),
            ("get_tool", json!({"id": "git/merge"})),
            ("list_servers", json!({})),
        ] {
            let arguments = arguments.as_object().cloned().unwrap();
            let request = CallToolRequestParams::new(tool).with_arguments(arguments);
            let result = client.call_tool(request).await.unwrap();
            said.push(timeless(serde_json::to_value(result).unwrap()));
        }
        client.cancel().await.unwrap();
    }
    said
}

#[tokio::test]
async fn an_unknown_profile_is_refused_without_a_word_of_others() {
    let app = TestApp::serve(live(None), &config()).await;
    for path in [
        "/p/secret/v1/status",
        "/v1/status?profile=secret",
        "/v1/search?q=merge&profile=",
        "/p/ONE/v1/tools",
        "/p/secret/mcp",
        "/mcp?profile=secret",
        "/p/secret/mcp/server-card",
    ] {
        let reply = app.get(path).await;
        assert_eq!(
            (reply.status.as_u16(), reply.problem()),
            (404, "unknown-profile".into()),
            "{path}"
        );
        for (name, _) in SHOWN {
            assert!(!reply.text.contains(&format!("{name:?}")), "{path}: {}", reply.text);
        }
    }
    let unknown = app.post("/v1/search", r#"{"query": "merge", "profile": "secret"}"#).await;
    assert_eq!(unknown.problem(), "unknown-profile");
    // Neither more nor less than one is named, and it can be read.
    for path in ["/p/one/v1/status?profile=set", "/v1/status?profile=one&profile=set"] {
        assert_eq!(app.get(path).await.problem(), "invalid-request", "{path}");
    }
    let both = app.post("/p/one/v1/search", r#"{"query": "merge", "profile": "set"}"#).await;
    assert_eq!(both.problem(), "invalid-request");
    assert_eq!(app.get("/p/%FF/v1/tools").await.problem(), "invalid-request");
    assert_eq!(app.get("/p/one/v1/status?profile=one").await.status, 200);
    // What is told of all definitions is not told of a view.
    for path in ["/v1/changes?profile=one", "/v1/findings?profile=one"] {
        assert_eq!(app.get(path).await.problem(), "not-of-a-profile", "{path}");
    }
    for path in ["/p/one/v1/changes", "/p/one/metrics", "/p/one/v1/admin/config"] {
        assert_eq!(app.get(path).await.problem(), "no-such-path", "{path}");
    }
}
