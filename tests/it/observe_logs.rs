//! What is told of requests in the log, and what can be switched while it runs.

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::service::{Service, catalog, configure, run};

/// A word that stands in queries and nowhere else.
const CANARY: &str = "zephyrquery";

async fn service(folder: &std::path::Path, config: &str, args: &[&str]) -> Service {
    configure(folder, config);
    catalog(folder, &[("mail", "send", "Send a letter")]);
    let args = [&["--catalog", "catalog.jsonl"], args].concat();
    let service = Service::start(folder, &args).await;
    service.until_ready().await;
    service
}

#[tokio::test]
async fn a_clients_id_is_kept_where_it_can_stand_in_a_log() {
    let app = TestApp::start().await;
    let long = "x".repeat(129);
    for (given, kept) in [
        ("abc-123_X.y:z", true),
        ("", false),
        (&*long, false),
        ("a b", false),
        ("a\"b", false),
        ("\u{e9}", false),
    ] {
        let request = app.request(reqwest::Method::GET, "/v1/search?q=");
        let reply = app.send(request.header("x-request-id", given)).await;
        let id = reply.headers["x-request-id"].to_str().unwrap();
        assert_eq!(id == given, kept, "{given:?} became {id:?}");
        assert_eq!(reply.json()["request_id"], id);
    }
}

#[tokio::test]
async fn lines_are_json_with_the_id_and_nothing_of_what_was_asked() {
    let folder = tempfile::tempdir().unwrap();
    let config = "[telemetry]\naccess_log = true";
    let service = service(folder.path(), config, &["--log-format", "json"]).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/v1/search?q={CANARY}", service.url);
    let request = http.get(url).header("x-request-id", "mine-1").bearer_auth("tok3n-of-nobody");
    assert_eq!(request.send().await.unwrap().status(), 200);
    service.until_logged("mine-1").await;
    let line = service.log().lines().find(|line| line.contains("mine-1")).unwrap().to_owned();
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["fields"]["message"], "answered");
    assert_eq!(line["fields"]["status"], 200);
    assert_eq!(line["span"]["id"], "mine-1");
    assert_eq!(line["span"]["route"], "/v1/search");
    assert!(!service.log().contains(CANARY) && !service.log().contains("tok3n"));
    service.stop().await;
}

#[tokio::test]
async fn the_log_is_switched_while_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let service = service(folder, "", &[]).await;
    let log = async |args: &[&str]| {
        let place = ["--data", "data", "--url", &service.url];
        run(folder, &[&["log"], args, &place].concat()).await
    };
    service.search(CANARY).await;
    assert!(!service.log().contains("status=200"), "{}", service.log());
    let now = log(&["warn,toolscout=debug", "--for", "10m", "--json"]).await.json();
    assert_eq!(now["filter"], "warn,toolscout=debug");
    assert_eq!(now["usual"], "warn,toolscout=info");
    assert!((1..=600).contains(&now["reverts_in_s"].as_u64().unwrap()));
    service.search(CANARY).await;
    service.until_logged("status=200").await;
    let now = log(&["--usual", "--json"]).await.json();
    assert_eq!((&now["filter"], &now["reverts_in_s"]), (&now["usual"], &Value::Null));
    assert!(!service.log().contains(CANARY));

    // A query in the log is one that somebody asked for, and without what is a person's.
    let now = log(&["--sample-queries", "1", "--json"]).await.json();
    assert_eq!(now["sample_queries"], 1.0);
    service.search(&format!("{CANARY} to ada@example.com")).await;
    service.until_logged(&format!("{CANARY} to [email]")).await;
    assert!(!service.log().contains("ada@example.com"));

    let refused = log(&["toolscout=loud"]).await;
    assert!(refused.code == 1 && refused.stderr.contains("not a filter"), "{}", refused.stderr);
    let url = format!("{}/v1/admin/log", service.url);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    assert_eq!(http.get(&url).send().await.unwrap().status(), 401);
    let token = std::fs::read_to_string(folder.join("data/admin.token")).unwrap();
    for wrong in [
        json!({"filter": "info", "usual": true}),
        json!({"filter": "info", "for_s": 0}),
        json!({"sample_queries": 2.0}),
        json!({"level": "info"}),
        json!({"filter": "x".repeat(1_001)}),
    ] {
        let request = http.put(&url).bearer_auth(token.trim()).json(&wrong);
        assert_eq!(request.send().await.unwrap().status(), 400, "{wrong}");
    }
    service.stop().await;
}

/// The SDK writes what servers answer into its own lines: no switch brings those back.
#[tokio::test]
async fn no_switch_shows_the_sdks_lines() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let service = service(folder, "", &[]).await;
    let args = ["log", "trace,rmcp=trace,rmcp::transport=trace", "--data", "data", "--url"];
    assert_eq!(run(folder, &[&args[..], &[&*service.url]].concat()).await.code, 0);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let params = json!({"name": "search_tools", "arguments": {"query": CANARY}});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let accept = "application/json, text/event-stream";
    let request = http.post(format!("{}/mcp", service.url)).header("accept", accept).json(&body);
    assert_eq!(request.send().await.unwrap().status(), 200);
    service.until_logged("status=200").await;
    assert!(!service.log().contains(CANARY), "{}", service.log());
    service.stop().await;
}

#[tokio::test]
async fn debug_is_for_operators() {
    let app = TestApp::start().await;
    assert_eq!(app.get("/v1/search?q=event&debug=1").await.problem(), "not-an-operator");
    let batch = r#"{"batch":[{"query":"event"}],"debug":true}"#;
    assert_eq!(app.post("/v1/search", batch).await.problem(), "not-an-operator");
    assert!(app.get("/v1/search?q=event&debug=0").await.json().get("debug").is_none());

    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path(), "", &[]).await;
    let token = std::fs::read_to_string(folder.path().join("data/admin.token")).unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for (repeated, format) in [(false, ""), (true, "&format=openai")] {
        let url = format!("{}/v1/search?q=a+letter&debug=1{format}", service.url);
        let response = http.get(url).bearer_auth(token.trim()).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let body: Value = response.json().await.unwrap();
        let debug = &body["debug"];
        assert_eq!(debug["generation"], body["generation"]);
        // What was answered before went through no stage.
        assert_eq!(debug["repeated"], repeated, "{debug}");
        assert_eq!(debug["took_us"]["all"].is_u64(), !repeated, "{debug}");
        let found = debug["candidates"]["lexical"].as_u64();
        assert_eq!(found.is_some_and(|found| found > 0), !repeated, "{debug}");
    }
    service.stop().await;
}
