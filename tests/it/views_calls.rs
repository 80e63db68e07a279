//! Calls through a profile: what it does not show can't be called, and what it calls otherwise is
//! called by its own name.

use std::time::Duration;

use rmcp::service::{ClientLifecycleMode, ClientServiceExt};
use rmcp::transport::StreamableHttpClientTransport;
use serde_json::{Value, json};
use toolscout::access::profile::Profiles;

use crate::support::app::profiles;
use crate::support::crawling::{PATIENCE, http, server, until};
use crate::support::mock_http::{Answer, MockHttp, Request, Speaks};
use crate::support::proxy::{Proxy, all, call};

fn lister(request: &Request) -> Answer {
    let tool = |name: &str| json!({"name": name, "inputSchema": {"type": "object"}});
    match (request.method.as_str(), request.params["name"].as_str()) {
        ("tools/list", _) => {
            let tools = ["look", "look_secretly", "hang"].map(tool);
            Answer::Result(json!({ "tools": tools }).to_string())
        }
        (_, Some("hang")) => Answer::Hang,
        (_, name) => {
            Answer::Result(json!({"content": [{"type": "text", "text": name}]}).to_string())
        }
    }
}

const PROFILES: &str = "[profiles.a]\ndeny = ['look_*']\nmax_concurrent_calls = 1\n\
    [profiles.a.rename]\n'srv/look' = 'peek'\n[profiles.b]\nservers = []";

async fn start() -> (MockHttp, Proxy) {
    let mock = MockHttp::start(Speaks::Handshake(400, -32601), false, lister).await;
    let proxy = Proxy::start(vec![server("srv", http(&mock.url))], all()).await;
    assert!(proxy.app.live.set_profiles(profiles(PROFILES)));
    until("the views are there", || proxy.app.live.scoped("a").is_some()).await;
    (mock, proxy)
}

fn body(id: &str) -> String {
    json!({ "id": id, "arguments": {} }).to_string()
}

#[tokio::test]
async fn only_what_is_shown_is_called_and_by_its_own_name() {
    let (mock, proxy) = start().await;
    let text = |result: &Value| result["content"][0]["text"].clone();
    for id in ["srv/look", "peek", "srv peek"] {
        let reply = proxy.app.post("/p/a/v1/call", body(id)).await;
        assert_eq!(reply.status, 200, "{id}: {}", reply.text);
        let answer = reply.json();
        assert_eq!((&answer["id"], text(&answer["result"])), (&json!("srv/look"), json!("look")));
    }
    // The body may name it, whichever form the call has.
    for (id, answered) in [("srv/look_secretly", "404"), ("srv/look", "200")] {
        for body in
            [json!({"id": id, "profile": "a", "arguments": {}}), json!({"id": id, "profile": "a"})]
        {
            let reply = proxy.app.post("/v1/call", body.to_string()).await;
            assert_eq!(reply.status.as_str(), answered, "{body}: {}", reply.text);
        }
    }
    let called = mock.count("tools/call");
    for (path, id) in [
        ("/p/a/v1/call", "srv/look_secretly"),
        ("/p/a/v1/call", "look_secretly"),
        ("/v1/call?profile=a", "look secretly"),
        ("/p/b/v1/call", "srv/look"),
    ] {
        let reply = proxy.app.post(path, body(id)).await;
        assert_eq!(reply.problem(), "unknown-tool", "{path} {id}");
        let told = reply.json()["detail"].to_string().replace(id, "");
        assert!(!told.contains("secretly"), "{told}");
    }
    let transport = StreamableHttpClientTransport::from_uri(proxy.app.url("/p/a/mcp"));
    let client = ().serve_with_lifecycle(transport, ClientLifecycleMode::Initialize).await.unwrap();
    let hidden =
        call(&client, "call_tool", json!({"id": "srv/look_secretly", "arguments": {}})).await;
    assert_eq!(hidden.is_error, Some(true));
    assert_eq!(mock.count("tools/call"), called, "the server hears nothing of it");
    let shown = call(&client, "call_tool", json!({"id": "srv/look", "arguments": {}})).await;
    assert_eq!(text(&serde_json::to_value(shown).unwrap()), "look");
    client.cancel().await.unwrap();
    // Without a profile it is there.
    assert_eq!(proxy.app.post("/v1/call", body("srv/look_secretly")).await.status, 200);

    assert!(proxy.app.live.set_profiles(Profiles::new()));
    until("the views are gone", || proxy.app.live.scoped("a").is_none()).await;
    let gone = proxy.app.post("/p/a/v1/call", body("srv/look")).await;
    assert_eq!(gone.problem(), "unknown-profile");
}

#[tokio::test]
async fn a_profile_has_so_many_calls_at_one_time() {
    let (mock, proxy) = start().await;
    let request = proxy.app.request(reqwest::Method::POST, "/p/a/v1/call");
    let request = request.header("content-type", "application/json").body(body("srv/hang"));
    let hanging = tokio::spawn(request.timeout(Duration::from_mins(1)).send());
    until("it hangs", || mock.count("tools/call") == 1).await;
    assert_eq!(proxy.app.post("/p/a/v1/call", body("srv/look")).await.problem(), "busy");
    assert_eq!(proxy.app.post("/v1/call", body("srv/look")).await.status, 200, "others may");
    hanging.abort();
    let ended = async {
        while proxy.app.post("/p/a/v1/call", body("srv/look")).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the call that was given up still counts");
}
