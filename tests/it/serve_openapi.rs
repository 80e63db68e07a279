//! The OpenAPI document describes what is really served.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use toolscout::live::Live;

use crate::serve_events::open;
use crate::support::app::{Reply, SERVERS, TestApp, catalog, config, profiles, remove_server};

/// Fails unless the reply is what the document says of it.
fn check(document: &Value, method: &str, path: &str, reply: &Reply) {
    let responses = &document["paths"][path][method]["responses"];
    let status = reply.status.as_str().to_owned();
    let response = responses
        .get(&status)
        .unwrap_or_else(|| panic!("{method} {path}: {status} is not documented"));
    let kind = reply.headers["content-type"].to_str().unwrap();
    let kind = kind.split(';').next().unwrap();
    let schema = &response["content"][kind]["schema"];
    assert!(schema.is_object(), "{method} {path} {status}: {kind} is not documented");
    if kind == "text/plain" {
        return;
    }
    let mut schema = schema.clone();
    schema["components"] = document["components"].clone();
    close(&mut schema);
    let validator = jsonschema::validator_for(&schema).unwrap();
    let body = reply.json_lossy();
    let errors: Vec<_> = validator.iter_errors(&body).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{method} {path} {status}: {errors:?}\n{body}");
}

/// Makes members that no schema names an error, so that nothing is served undocumented.
fn close(schema: &mut Value) {
    if let Value::Object(members) = schema {
        if members.contains_key("properties") && !members.contains_key("additionalProperties") {
            members.insert("additionalProperties".into(), false.into());
        }
        members.values_mut().for_each(close);
    }
}

#[tokio::test]
async fn live_responses_are_what_the_document_says() {
    let all = profiles("[profiles.all]\npinned = ['files/read_file']\nboost = { '*' = 1.1 }");
    let live = Live::from_catalog_with(catalog(SERVERS), &all);
    let app = TestApp::serve(live, &config()).await;
    let reply = app.get("/openapi.json").await;
    let document = reply.json();
    assert_eq!(document["openapi"], "3.1.0");
    for (template, path) in [
        ("/v1/search", "/v1/search?q=event&explain=1&why=calendar/delete_event"),
        ("/v1/search", "/v1/search?q=event&why=calendar/delete_evnt"),
        ("/v1/search", "/v1/search?q="),
        ("/v1/search", "/v1/search?q=event&profile=all&explain=1&read_only=0"),
        ("/v1/search", "/v1/search?q=event&profile=none"),
        ("/p/{profile}/v1/search", "/p/all/v1/search?q=event&why=files/read_file"),
        ("/p/{profile}/v1/tools", "/p/all/v1/tools"),
        ("/p/{profile}/v1/tools/{id}", "/p/all/v1/tools/files/read_file"),
        ("/p/{profile}/v1/servers", "/p/all/v1/servers"),
        ("/p/{profile}/v1/status", "/p/none/v1/status"),
        ("/p/{profile}/mcp/server-card", "/p/all/mcp/server-card"),
        ("/v1/search", "/v1/search?q=event&format=signatures&token_budget=20"),
        ("/v1/search", "/v1/search?q=event&token_budget=100&why=calendar/delete_event"),
        ("/v1/anthropic/tools", "/v1/anthropic/tools?server=calendar"),
        ("/v1/openai/tools", "/v1/openai/tools?server=files"),
        ("/v1/openai/tools", "/v1/openai/tools?server=nowhere"),
        ("/p/{profile}/v1/openai/tools", "/p/all/v1/openai/tools?server=files"),
        ("/v1/tools", "/v1/tools?limit=2"),
        ("/v1/tools", "/v1/tools"),
        ("/v1/tools", "/v1/tools?limit=0"),
        ("/v1/tools", "/v1/tools?view=rows"),
        ("/v1/tools/{id}", "/v1/tools/files/read_file?near=1&earlier=1&lint=1"),
        ("/v1/events", "/v1/events"),
        ("/v1/tools/{id}", "/v1/tools/files%2Fread_file"),
        ("/v1/tools/{id}", "/v1/tools/post/office/odd/n%C3%A4me%20%252F"),
        ("/v1/tools/{id}", "/v1/tools/nothing"),
        ("/v1/servers", "/v1/servers"),
        ("/v1/status", "/v1/status"),
        ("/oauth/start/{server}", "/oauth/start/none"),
        ("/oauth/callback", "/oauth/callback?code=x&state=y"),
        ("/mcp/server-card", "/mcp/server-card"),
        ("/.well-known/mcp", "/.well-known/mcp"),
        ("/livez", "/livez"),
        ("/readyz", "/readyz"),
        ("/health", "/health"),
        ("/metrics", "/metrics"),
        ("/openapi.json", "/openapi.json"),
    ] {
        check(&document, "get", template, &app.get(path).await);
    }
    for body in [
        json!({"query": "event", "explain": true, "why": "files/read_file"}),
        json!({"batch": [{"query": "event"}, {"query": "carrier pigeon"}]}),
        json!({"query": "event", "queries": []}),
        json!({"query": "event", "format": "tool_search_output", "call_id": "1"}),
        json!({"batch": [{"query": "event"}], "format": "anthropic", "token_budget": 50}),
    ] {
        let reply = app.post("/v1/search", body.to_string()).await;
        check(&document, "post", "/v1/search", &reply);
    }
    for body in [
        json!({"text": "create an event", "previous": ["gone/x"], "token_budget": 50}),
        json!({"input": "create an event", "pinned": ["gone/x", "files/read_file"]}),
        json!({"text": "create an event", "profile": "all"}),
        json!({"text": ""}),
    ] {
        let reply = app.post("/v1/select", body.to_string()).await;
        check(&document, "post", "/v1/select", &reply);
    }
    for body in ["{}", r#"{"query": "event", "tool": "files/read_file"}"#] {
        let reply = app.post("/v1/feedback", body).await;
        check(&document, "post", "/v1/feedback", &reply);
    }
    for body in [json!({"id": "files/read_file", "arguments": {}}), json!({"arguments": {}})] {
        check(&document, "post", "/v1/call", &app.post("/v1/call", body.to_string()).await);
    }
    let huge = app.post("/v1/search", vec![b' '; 2 << 20]).await;
    check(&document, "post", "/v1/search", &huge);
    let plain = app.request(Method::POST, "/v1/search").body("{}");
    check(&document, "post", "/v1/search", &app.send(plain).await);

    let early = TestApp::serve(Live::new("not crawled yet"), &config()).await;
    check(&document, "get", "/readyz", &early.get("/readyz").await);
    check(&document, "get", "/health", &early.get("/health").await);
    check(&document, "get", "/v1/search", &early.get("/v1/search?q=a").await);
    check(&document, "get", "/v1/status", &early.get("/v1/status").await);

    let mut events = open(app.request(Method::GET, "/v1/events")).await;
    remove_server(&app.live, "files").await;
    for name in ["state", "generation", "servers"] {
        let reply = Reply {
            status: reqwest::StatusCode::OK,
            headers: [(CONTENT_TYPE, "text/event-stream".parse().unwrap())].into_iter().collect(),
            text: events.told(name).await.to_string(),
        };
        check(&document, "get", "/v1/events", &reply);
    }
}

#[tokio::test]
async fn every_get_in_the_document_is_served_and_every_reference_resolves() {
    let live = Live::from_catalog_with(catalog(SERVERS), &profiles("[profiles.all]"));
    let app = TestApp::serve(live, &config()).await;
    let reply = app.get("/openapi.json").await;
    let document = reply.json();
    for (path, operations) in document["paths"].as_object().unwrap() {
        // Those under the token are asked of a whole service (admin.rs).
        // Streams have no end to wait for (serve_events.rs).
        if operations.get("get").is_some()
            && !path.starts_with("/v1/admin/")
            && !path.ends_with("/v1/events")
        {
            let filled = path.replace("{id}", "files%2Fread_file").replace("{profile}", "all");
            let reply = app.get(&filled).await;
            assert_ne!(reply.status, 405, "{path}");
            match path.as_str() {
                "/oauth/start/{server}" => assert_eq!(reply.problem(), "no-login"),
                // There is something to tell where access tokens are taken (auth_tokens.rs).
                path if path.contains("oauth-protected-resource") => {
                    assert_eq!(reply.problem(), "no-such-path");
                }
                // Absent without a token.
                path if path.starts_with("/v1/admin/") => {}
                path => assert!(reply.status != 404, "{path}"),
            }
        }
    }
    for piece in reply.text.split(r##""$ref":"#/"##).skip(1) {
        let pointer = piece.split('"').next().unwrap();
        assert!(document.pointer(&format!("/{pointer}")).is_some(), "{pointer}");
    }
}

#[tokio::test]
async fn the_manifest_and_the_card_lead_to_the_mcp_endpoint() {
    let app = TestApp::start().await;
    let manifest = app.get("/.well-known/mcp").await.json();
    assert_eq!(manifest["endpoint"], app.url("/mcp"));
    let card = app.get("/mcp/server-card").await.json();
    assert_eq!(card["remotes"][0]["url"], app.url("/mcp"));
    let versions = card["remotes"][0]["supportedProtocolVersions"].as_array().unwrap();
    assert!(versions.contains(&"2026-07-28".into()), "{versions:?}");
    let request = app.request(Method::GET, "/.well-known/mcp").header("x-forwarded-proto", "https");
    let endpoint = app.send(request).await.json()["endpoint"].clone();
    assert_eq!(endpoint, app.url("/mcp").replace("http:", "https:"));
}
