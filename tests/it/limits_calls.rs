//! Calls of the day, and seats that calls do not take.

use reqwest::Method;
use serde_json::{Value, json};
use toolscout::config::{Config, LimitsConfig, McpConfig};

use crate::support::app::config;
use crate::support::crawling::{http, server, until};
use crate::support::mock_http::{Answer, MockHttp, Request, Speaks};
use crate::support::proxy::{Proxy, all};
use crate::support::service::{Service, configure};
use crate::support::tenants::{Asker, key, operator};

fn lister(request: &Request) -> Answer {
    let tools = json!({"tools": [
        {"name": "look", "inputSchema": {"type": "object"}},
        {"name": "hang", "inputSchema": {"type": "object"}},
    ]});
    match (request.method.as_str(), request.params["name"].as_str()) {
        ("tools/list", _) => Answer::Result(tools.to_string()),
        (_, Some("hang")) => Answer::Hang,
        _ => Answer::Result(json!({"content": []}).to_string()),
    }
}

async fn mock() -> MockHttp {
    MockHttp::start(Speaks::Handshake(400, -32601), false, lister).await
}

fn calls(mock: &MockHttp) -> usize {
    mock.count("tools/call")
}

struct Called {
    status: u16,
    retry_after: Option<u64>,
    text: String,
}

async fn post(service: &Service, path: &str, body: Value) -> Called {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.request(Method::POST, format!("{}{path}", service.url)).json(&body);
    let request = request.header("accept", "application/json, text/event-stream");
    let response = request.send().await.unwrap();
    let after = response.headers().get("retry-after");
    Called {
        status: response.status().as_u16(),
        retry_after: after.map(|after| after.to_str().unwrap().parse().unwrap()),
        text: response.text().await.unwrap(),
    }
}

async fn call(service: &Service, id: &str) -> Called {
    post(service, "/v1/call", json!({"id": id, "arguments": {}})).await
}

#[tokio::test]
async fn a_quota_holds_over_both_ways_and_over_a_restart() {
    let mock = mock().await;
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "[servers.srv]\nurl = \"{}\"\n[call]\nenabled = true\nallow = \"all\"\n\
         [limits]\ncalls_per_day = 3",
        mock.url
    );
    configure(folder.path(), &text);
    let service = Service::start(folder.path(), &[]).await;
    service.until_state("srv", "ready").await;
    // What can't be called at all is not counted.
    assert_eq!(call(&service, "srv/none").await.status, 404);
    assert_eq!(call(&service, "srv/look").await.status, 200);
    let over_mcp = |id: u8| {
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
            "name": "call_tool", "arguments": {"id": "srv/look", "arguments": {}}}})
    };
    let answer = post(&service, "/mcp", over_mcp(1)).await;
    assert!(!answer.text.contains("\"isError\":true"), "{}", answer.text);
    service.stop().await;

    let service = Service::start(folder.path(), &[]).await;
    service.until_state("srv", "ready").await;
    assert_eq!(call(&service, "srv/look").await.status, 200);
    let spent = call(&service, "srv/look").await;
    assert_eq!(spent.status, 429, "{}", spent.text);
    assert!(spent.text.contains("urn:toolscout:problem:quota-spent"), "{}", spent.text);
    assert!((1..=86_400).contains(&spent.retry_after.unwrap()));
    let answer = post(&service, "/mcp", over_mcp(2)).await;
    assert!(answer.text.contains("3 calls"), "{}", answer.text);
    assert_eq!(calls(&mock), 3);
    // Searches are no calls, and an operator sees who has spent what.
    assert_eq!(service.get("/v1/search?q=look").await.0, 200);
    let token = std::fs::read_to_string(folder.path().join("data/admin.token")).unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.get(format!("{}/v1/admin/quotas", service.url));
    let quotas: Value =
        request.bearer_auth(token.trim()).send().await.unwrap().json().await.unwrap();
    assert_eq!(quotas["spent"], json!({"address:127.0.0.1": 3}), "{quotas}");
    service.stop().await;
}

#[tokio::test]
async fn an_operator_is_told_what_the_keys_are_called_that_have_spent_calls() {
    let mock = mock().await;
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "[servers.srv]\nurl = '{}'\n[call]\nenabled = true\nallow = 'all'\n[auth]\nkeys = true\n\
         [limits]\ncalls_per_day = 3",
        mock.url
    );
    configure(folder.path(), &text);
    let secret = key(folder.path(), None, &["search", "call"]).await;
    let service = Service::start(folder.path(), &[]).await;
    let operator = Asker::new(&service, Some(&operator(folder.path())));
    service
        .until("the tool is there", async || operator.get("/v1/tools/srv/look").await.status == 200)
        .await;
    let body = json!({"id": "srv/look", "arguments": {}});
    let called = Asker::new(&service, Some(&secret)).post("/v1/call", &body).await;
    assert_eq!(called.status, 200, "{}", called.text);
    let keys = operator.get("/v1/admin/keys").await.json();
    let who = format!(":Key:key:{}", keys["keys"][0]["id"].as_str().unwrap());
    let quotas = operator.get("/v1/admin/quotas").await.json();
    assert_eq!((&quotas["spent"][&who], &quotas["names"][&who]), (&json!(1), &json!("somebody")));
    service.stop().await;
}

#[tokio::test]
async fn calls_that_wait_for_their_server_keep_nobody_from_searching() {
    let mock = mock().await;
    let limits =
        LimitsConfig { concurrent_requests: std::num::NonZero::new(1), ..LimitsConfig::default() };
    let config = Config { limits, ..config() };
    let servers = vec![server("srv", http(&mock.url))];
    let proxy = Proxy::of(servers, all(), McpConfig::default(), &config).await;
    let hang = json!({});
    let (first, second) = (proxy.call("srv/hang", &hang), proxy.call("srv/hang", &hang));
    let over_mcp = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "call_tool", "arguments": {"id": "srv/hang", "arguments": {}}}});
    let third = proxy.app.request(Method::POST, "/mcp").json(&over_mcp);
    let third = third.header("accept", "application/json, text/event-stream");
    let third = proxy.app.send(third);
    let searched = async {
        until("all are called", || calls(&mock) == 3).await;
        proxy.app.get("/v1/search?q=look").await
    };
    let searched = tokio::select! {
        _ = first => panic!("the first call has ended"),
        _ = second => panic!("the second call has ended"),
        _ = third => panic!("the third call has ended"),
        searched = searched => searched,
    };
    assert_eq!(searched.status, 200, "{}", searched.text);
}
