//! Names and shapes of other tool searches, and `tools/list` with a query.

use rmcp::service::ClientLifecycleMode;
use serde_json::{Value, json};
use toolscout::config::{Alias, CallConfig, McpConfig};

use crate::support::crawling::server;
use crate::support::mock_stdio::MockStdio;
use crate::support::proxy::{Proxy, all, call};

fn mock() -> MockStdio {
    let tool = |name: &str, about: &str| {
        let schema = json!({"type": "object", "properties": {"to": {"type": "string"}}});
        json!({"name": name, "description": about, "inputSchema": schema})
    };
    let tools = [tool("send_mail", "Send an e-mail"), tool("read_file", "Read a file from disk")];
    let page = json!({ "tools": tools }).to_string();
    MockStdio::new(&json!({
        "pages": [[null, page]], "calls": {"send_mail": "params", "read_file": "params"},
    }))
}

async fn list(proxy: &Proxy, params: Value) -> Vec<Value> {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params});
    let request = proxy
        .app
        .request(reqwest::Method::POST, "/mcp")
        .header("accept", "application/json, text/event-stream")
        .header("content-type", "application/json")
        .body(body.to_string());
    let reply = proxy.app.send(request).await;
    reply.json()["result"]["tools"].as_array().unwrap().clone()
}

fn names(tools: &[Value]) -> Vec<&str> {
    tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn aliases_are_there_once_switched_on() {
    let mock = mock();
    let servers = || vec![server("post", mock.transport())];
    let without = Proxy::start(servers(), CallConfig::default()).await;
    let own = ["search_tools", "get_tool", "list_servers"];
    assert_eq!(names(&list(&without, json!({})).await), own);
    let mcp = McpConfig { aliases: vec![Alias::AgentCore, Alias::ToolHive], list_query: false };
    let proxy = Proxy::with(servers(), all(), mcp).await;
    let tools = list(&proxy, json!({})).await;
    let more = ["x_amz_bedrock_agentcore_search", "find_tool", "call_tool"];
    assert_eq!(names(&tools), [&own[..], &more[..]].concat());
    assert_eq!(tools[5]["inputSchema"]["required"], json!(["tool_name"]));

    let client = proxy.client(ClientLifecycleMode::Initialize).await;
    let arguments = json!({"query": "send an e-mail"});
    let found = call(&client, "x_amz_bedrock_agentcore_search", arguments).await;
    let found = found.structured_content.unwrap();
    assert_eq!(found["tools"][0]["name"], "post__send_mail");
    assert!(found["tools"][0]["inputSchema"]["properties"]["to"].is_object());
    assert!(found.get("token_metrics").is_none());
    let arguments = json!({"tool_description": "e-mail", "tool_keywords": ["send", "mail"]});
    let found = call(&client, "find_tool", arguments).await.structured_content.unwrap();
    let metrics = &found["token_metrics"];
    let number = |name: &str| metrics[name].as_f64().unwrap();
    assert!(number("returned_tokens") > 0.0);
    assert!(number("returned_tokens") <= number("baseline_tokens"));
    assert!((0.0..=100.0).contains(&number("savings_percent")));
    // What was found is called by the name that it was found under.
    let name = found["tools"][0]["name"].as_str().unwrap();
    let arguments = json!({"tool_name": name, "parameters": {"to": "Ann"}});
    let called = call(&client, "call_tool", arguments).await.structured_content.unwrap();
    assert_eq!(called["name"], "send_mail");
    assert_eq!(called["arguments"], json!({"to": "Ann"}));
}

#[tokio::test]
async fn a_query_lists_what_fits_where_that_is_switched_on() {
    let mock = mock();
    let servers = || vec![server("post", mock.transport())];
    let query = || json!({"query": "read a file from disk"});
    let off = Proxy::start(servers(), all()).await;
    assert_eq!(names(&list(&off, query()).await)[0], "search_tools");
    let mcp = McpConfig { list_query: true, ..McpConfig::default() };
    let on = Proxy::with(servers(), all(), mcp).await;
    assert_eq!(names(&list(&on, json!({})).await)[0], "search_tools");
    let listed = list(&on, query()).await;
    assert_eq!(listed[0]["name"], "post__read_file");
    let client = on.client(ClientLifecycleMode::Initialize).await;
    let called = call(&client, "post__read_file", json!({"to": "x"})).await;
    assert_eq!(called.structured_content.unwrap()["name"], "read_file");
}
