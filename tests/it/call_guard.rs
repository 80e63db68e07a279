//! What may be called, and what is said where it may not.

use std::time::Duration;

use rmcp::model::ProtocolVersion;
use rmcp::service::ClientLifecycleMode;
use serde_json::{Value, json};
use toolscout::config::{Allow, CallConfig, Transport};

use crate::support::crawling::{http, server, until};
use crate::support::mock_http::{Answer, MockHttp, Request, Speaks};
use crate::support::proxy::{Proxy, all, call};

fn tools() -> String {
    let look = json!({"type": "object", "required": ["at"], "properties": {
        "at": {"type": "string"}, "depth": {"type": "integer"}}});
    let tools = json!({"tools": [
        {"name": "look", "annotations": {"readOnlyHint": true}, "inputSchema": look},
        {"name": "change_it", "inputSchema": {"type": "object"}},
        {"name": "hang", "inputSchema": {"type": "object"}},
    ]});
    tools.to_string()
}

fn lister(request: &Request) -> Answer {
    match (request.method.as_str(), request.params["name"].as_str()) {
        ("tools/list", _) => Answer::Result(tools()),
        (_, Some("hang")) => Answer::Hang,
        _ => Answer::Result(
            json!({"content": [{"type": "text", "text": request.params["arguments"].to_string()}]})
                .to_string(),
        ),
    }
}

async fn mock() -> MockHttp {
    MockHttp::start(Speaks::Handshake(400, -32601), false, lister).await
}

#[tokio::test]
async fn nothing_is_called_until_it_is_switched_on_and_then_what_reads() {
    let mock = mock().await;
    let proxy = Proxy::start(vec![server("srv", http(&mock.url))], CallConfig::default()).await;
    let names = async || {
        // A client may keep a list.
        let client = proxy.client(ClientLifecycleMode::Initialize).await;
        let tools = client.list_tools(None).await.unwrap().tools;
        tools.iter().map(|tool| tool.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["search_tools", "get_tool", "list_servers"]);
    let (code, why) = proxy.refusal("srv/look", &json!({"at": "x"})).await;
    assert_eq!(code, "calls-off");
    assert!(why.contains("[call]"), "{why}");
    // Who may call nothing does not learn either what there is.
    assert_eq!(proxy.refusal("srv/none", &json!({})).await.0, "calls-off");

    let on = CallConfig { enabled: true, ..CallConfig::default() };
    proxy.caller().configure(on.clone());
    assert_eq!(names().await, ["search_tools", "get_tool", "list_servers", "call_tool"]);
    let result = proxy.result("srv/look", &json!({"at": "x"})).await;
    assert_eq!(result["content"][0]["text"], r#"{"at":"x"}"#);
    let (code, why) = proxy.refusal("srv/change_it", &json!({})).await;
    assert_eq!(code, "not-read-only");
    assert!(why.contains("call = \"all\"") && why.contains("allow = \"all\""), "{why}");

    let own = |allow| CallConfig { servers: [("srv".into(), allow)].into(), ..on.clone() };
    proxy.caller().configure(own(Allow::All));
    proxy.result("srv/change_it", &json!({})).await;
    proxy.caller().configure(own(Allow::Off));
    let (code, why) = proxy.refusal("srv/look", &json!({"at": "x"})).await;
    assert_eq!(code, "calls-off");
    assert!(why.contains("srv"), "{why}");
    proxy.caller().configure(CallConfig { allow: Allow::Off, ..on });
    assert_eq!(proxy.refusal("srv/look", &json!({"at": "x"})).await.0, "calls-off");
    assert_eq!(mock.count("tools/call"), 2);
}

#[tokio::test]
async fn arguments_are_checked_before_the_server_sees_them() {
    let mock = mock().await;
    let proxy = Proxy::start(vec![server("srv", http(&mock.url))], all()).await;
    let (code, why) = proxy.refusal("srv/look", &json!({"depth": "deep"})).await;
    assert_eq!(code, "invalid-arguments");
    for part in ["/depth", "\"integer\"", "\"at\" is a required"] {
        assert!(why.contains(part), "{why}");
    }
    assert_eq!(mock.count("tools/call"), 0);
    let misses = [
        ("srv/lok", "unknown-tool", "srv/look"),
        ("changeIt please", "unknown-tool", "srv/change_it"),
    ];
    for (id, expected, near) in misses {
        let (code, why) = proxy.refusal(id, &json!({})).await;
        assert_eq!(code, expected, "{why}");
        assert!(why.contains(near), "{why}");
    }
    // A name in any spelling, and the forms that models mistake the right one for.
    for body in [
        json!({"id": "ChangeIt", "arguments": {"a": 1}}),
        json!({"name": "srv change it", "parameters": {"a": 1}}),
        json!({"tool_name": "change_it", "arguments": "{\"a\": 1}"}),
    ] {
        let reply = proxy.app.post("/v1/call", body.to_string()).await;
        assert_eq!(reply.status, 200, "{body}: {}", reply.text);
        assert_eq!(reply.json()["id"], "srv/change_it");
        assert_eq!(reply.json()["result"]["content"][0]["text"], r#"{"a":1}"#);
    }
    for body in ["[]", "{", "{\"arguments\": {}}"] {
        assert_eq!(proxy.app.post("/v1/call", body).await.problem(), "invalid-request");
    }
}

#[tokio::test]
async fn a_name_of_several_tools_is_none() {
    let mock = mock().await;
    let servers = vec![server("one", http(&mock.url)), server("two", http(&mock.url))];
    let proxy = Proxy::start(servers, all()).await;
    let (code, why) = proxy.refusal("look", &json!({"at": "x"})).await;
    assert_eq!(code, "unknown-tool");
    assert!(why.contains("one/look, two/look"), "{why}");
    proxy.result("two/look", &json!({"at": "x"})).await;
}

#[tokio::test]
async fn a_call_over_mcp_is_the_servers_own_result() {
    let mock = mock().await;
    let proxy = Proxy::start(vec![server("srv", http(&mock.url))], all()).await;
    let modern =
        ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
    for era in [ClientLifecycleMode::Initialize, modern] {
        let client = proxy.client(era).await;
        let arguments = json!({"id": "srv/look", "arguments": {"at": "here"}});
        let result = call(&client, "call_tool", arguments).await;
        assert_eq!(result.is_error, None);
        assert_eq!(result.content[0].as_text().unwrap().text, r#"{"at":"here"}"#);
        let direct = call(&client, "srv/look", json!({"at": "there"})).await;
        assert_eq!(direct.content[0].as_text().unwrap().text, r#"{"at":"there"}"#);
        let wrong = call(&client, "call_tool", json!({"id": "srv/look"})).await;
        assert_eq!(wrong.is_error, Some(true));
        let told = &wrong.content[0].as_text().unwrap().text;
        assert!(told.contains("\"at\" is a required property"), "{told}");
        let servers = call(&client, "list_servers", json!({})).await.structured_content.unwrap();
        assert_eq!(servers["servers"][0]["id"], "srv");
        assert_eq!(servers["servers"][0]["state"], "ready");
        assert_eq!(servers["servers"][0]["tools"], 3);
        let got = call(&client, "get_tool", json!({"id": "changeIt"})).await;
        assert_eq!(got.structured_content.unwrap()["id"], "srv/change_it");
        client.cancel().await.unwrap();
    }
}

#[tokio::test]
async fn calls_at_once_are_bounded() {
    let mock = mock().await;
    let servers = vec![server("one", http(&mock.url)), server("two", http(&mock.url))];
    let most = CallConfig { max_concurrent: 2, max_per_server: 1, ..all() };
    let proxy = Proxy::start(servers, most).await;
    let hang = |id: &str| {
        let body = json!({"id": id, "arguments": {}}).to_string();
        let request = proxy.app.request(reqwest::Method::POST, "/v1/call");
        let request = request.header("content-type", "application/json").body(body);
        tokio::spawn(async move { request.send().await })
    };
    let first = hang("one/hang");
    until("the first call is under way", || mock.count("tools/call") == 1).await;
    let (code, why) = proxy.refusal("one/look", &json!({"at": "x"})).await;
    assert_eq!(code, "busy");
    assert!(why.contains("max_per_server"), "{why}");
    let second = hang("two/hang");
    until("the second call is under way", || mock.count("tools/call") == 2).await;
    let (code, why) = proxy.refusal("two/look", &json!({"at": "x"})).await;
    assert_eq!(code, "busy");
    assert!(why.contains("max_concurrent"), "{why}");
    // Who leaves makes room, and the server is told.
    first.abort();
    second.abort();
    until("both are cancelled", || mock.count("notifications/cancelled") == 2).await;
    proxy.result("one/look", &json!({"at": "x"})).await;
    assert_eq!(proxy.app.post("/v1/call", r#"{"arguments":{}}"#).await.status, 400);
    let metrics = proxy.app.get("/metrics").await.text;
    for outcome in ["answered", "busy", "cancelled", "invalid_arguments"] {
        assert!(metrics.contains(&format!("toolscout_calls_total{{outcome=\"{outcome}\"}}")));
    }
}

#[tokio::test]
async fn a_result_that_is_too_large_is_told_by_its_size() {
    let lister = |request: &Request| match request.method.as_str() {
        "tools/list" => Answer::Result(tools()),
        _ => Answer::Result(
            json!({"content": [{"type": "text", "text": "x".repeat(5_000)}]}).to_string(),
        ),
    };
    let mock = MockHttp::start(Speaks::Stateless, true, lister).await;
    let small = CallConfig { max_result_bytes: 1_000, ..all() };
    let proxy = Proxy::start(vec![server("srv", http(&mock.url))], small).await;
    let (code, why) = proxy.refusal("srv/look", &json!({"at": "x"})).await;
    assert_eq!(code, "result-too-large");
    assert!(why.contains("5039 bytes") && why.contains("1000"), "{why}");
    proxy.caller().configure(all());
    let whole: Value = proxy.result("srv/look", &json!({"at": "x"})).await;
    assert_eq!(whole["content"][0]["text"].as_str().unwrap().len(), 5_000);
}

#[tokio::test]
async fn a_server_that_is_silent_is_given_up_and_told() {
    let mock = mock().await;
    let soon = Duration::from_millis(200);
    let short = CallConfig { timeout: soon, max_timeout: soon, ..all() };
    let proxy = Proxy::start(vec![server("srv", http(&mock.url))], short).await;
    let (code, why) = proxy.refusal("srv/hang", &json!({})).await;
    assert_eq!(code, "upstream-timeout");
    assert!(why.contains("200ms"), "{why}");
    until("it is told", || mock.count("notifications/cancelled") == 1).await;
    assert_eq!(mock.count("tools/call"), 1, "it is not called twice");
}

/// A child that lists a tool, and reads nothing more once that tool is called.
const DEAF: &str = r#"
import json, sys, time
for line in sys.stdin:
    request = json.loads(line)
    method = request.get("method")
    if method == "tools/call":
        time.sleep(1000)
    result = {"tools/list": {"tools": [{"name": "look", "inputSchema": {"type": "object"}}]}}.get(
        method, {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                 "serverInfo": {"name": "deaf", "version": "1"}})
    if "id" in request and method in ("initialize", "tools/list"):
        print(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}), flush=True)
    elif "id" in request:
        error = {"code": -32601, "message": "what?"}
        print(json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": error}), flush=True)
"#;

#[tokio::test]
async fn what_a_child_does_not_read_is_bounded_however_often_it_is_called() {
    let deaf = Transport::Stdio {
        command: "python3".into(),
        args: vec!["-c".into(), DEAF.into()],
        env: Vec::new(),
        cwd: None,
    };
    let limits = CallConfig { timeout: Duration::from_millis(100), ..all() };
    let proxy = Proxy::start(vec![server("deaf", deaf)], limits).await;
    // Each of them is given up, and what it sent stays where it is.
    let large = json!({"text": "x".repeat(900_000)});
    let (mut waiting, mut refused) = (0, 0);
    for _ in 0..30 {
        match proxy.refusal("deaf/look", &large).await {
            (code, _) if code == "upstream-timeout" => waiting += 1,
            (code, why) => {
                assert_eq!(code, "upstream-unavailable");
                assert!(why.contains("does not read"), "{why}");
                refused += 1;
            }
        }
    }
    assert!((1..=10).contains(&waiting), "{waiting} of 900 kB wait");
    assert_eq!(waiting + refused, 30);
}
