//! `/v1/search` in the formats that hosts take, and within a budget of tokens.

use rmcp::ServiceExt;
use rmcp::model::CallToolRequestParams;
use rmcp::transport::StreamableHttpClientTransport;
use serde_json::{Value, json};
use toolscout::catalog::Catalog;
use toolscout::demo;
use toolscout::live::Live;

use crate::support::app::{ODD, TestApp, config};
use crate::support::service::{Service, run};

async fn demo_app() -> TestApp {
    let catalog = Catalog::from_listings(demo::catalog().unwrap());
    TestApp::serve(Live::from_catalog(catalog), &config()).await
}

async fn ask(app: &TestApp, asked: Value) -> Value {
    let reply = app.post("/v1/search", asked.to_string()).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_format_changes_the_shape_and_never_the_tools() {
    let app = demo_app().await;
    let need = "create an event and invite people";
    let described = ask(&app, json!({"query": need, "limit": 6})).await;
    let tools = described["tools"].as_array().unwrap();
    let found: Vec<&str> = tools.iter().map(|tool| tool["id"].as_str().unwrap()).collect();
    for format in ["mcp", "anthropic", "openai", "names", "signatures"] {
        let answer = ask(&app, json!({"query": need, "limit": 6, "format": format})).await;
        assert_eq!(ids(&answer), found, "{format}");
        let result = answer["result"].as_array().unwrap();
        assert_eq!(result.len(), found.len());
        assert!(answer.get("tools").is_none() && answer.get("tokens").is_none(), "{answer}");
        assert_eq!(answer["mode"], "lexical");
        assert!(answer["reason"].is_string() && answer["generation"].is_u64());
        for (shown, tool) in result.iter().zip(tools) {
            let (definition, id) = (&tool["definition"], tool["id"].as_str().unwrap());
            match format {
                "mcp" => assert_eq!(shown, definition),
                "names" => assert_eq!(shown, id),
                "signatures" => assert!(shown.as_str().unwrap().starts_with(&format!("{id}("))),
                _ => {
                    let schema = if format == "openai" { "parameters" } else { "input_schema" };
                    assert_eq!(shown["description"], definition["description"]);
                    assert_eq!(shown[schema], definition["inputSchema"]);
                    let name = shown["name"].as_str().unwrap();
                    // The way back.
                    let tool = app.get(&format!("/v1/tools/{name}")).await.json();
                    assert_eq!(tool["id"], id);
                }
            }
        }
    }
}

#[tokio::test]
async fn calls_are_answered_under_their_ids() {
    let app = demo_app().await;
    let asked = json!({"query": "refund a payment", "format": "tool_reference",
        "tool_use_id": "toolu_9"});
    let answer = ask(&app, asked).await;
    assert_eq!(answer["result"]["type"], "tool_result");
    assert_eq!(answer["result"]["tool_use_id"], "toolu_9");
    let references = answer["result"]["content"].as_array().unwrap();
    assert_eq!(references.len(), ids(&answer).len());
    assert_eq!(references[0]["type"], "tool_reference");

    let asked =
        json!({"query": "refund a payment", "format": "tool_search_output", "call_id": "call_9"});
    let answer = ask(&app, asked).await;
    let result = &answer["result"];
    assert_eq!(
        (&result["type"], &result["call_id"]),
        (&"tool_search_output".into(), &"call_9".into())
    );
    assert_eq!((&result["execution"], &result["status"]), (&"client".into(), &"completed".into()));
    let mut names = Vec::new();
    for namespace in result["tools"].as_array().unwrap() {
        assert_eq!(namespace["type"], "namespace");
        for tool in namespace["tools"].as_array().unwrap() {
            assert_eq!(tool["defer_loading"], true);
            names.push(tool["name"].as_str().unwrap().replacen("__", "/", 1));
        }
    }
    assert_eq!(names, ids(&answer), "ids are in the order of the result");

    let path = "/v1/search?q=refund+a+payment&format=tool_search_output&call_id=call_9";
    assert_eq!(app.get(path).await.json()["result"], *result);
}

#[tokio::test]
async fn a_budget_drops_nothing_and_says_what_it_shortened() {
    let app = demo_app().await;
    for format in ["mcp", "anthropic", "openai", "tool_search_output", "signatures"] {
        let whole = ask(
            &app,
            json!({"query": "create an event", "limit": 10, "format": format,
            "token_budget": 1_000_000}),
        )
        .await;
        let all = whole["tokens"]["returned"].as_u64().unwrap();
        assert!(whole.get("reduced").is_none(), "{whole}");
        assert!(whole["tokens"]["baseline"].as_u64().unwrap() > 5 * all, "{}", whole["tokens"]);
        for share in [2, 4] {
            let budget = all / share;
            let asked = json!({"query": "create an event", "limit": 10, "format": format,
                "token_budget": budget});
            let less = ask(&app, asked).await;
            let tokens = &less["tokens"];
            assert_eq!(tokens["budget"], budget);
            assert_eq!(tokens["estimate"], true);
            assert_eq!(ids(&less), ids(&whole));
            let over = tokens["returned"].as_u64().unwrap() > budget;
            assert_eq!(over, tokens["over_budget"] == true, "{format}: {tokens}");
            assert_eq!(over, tokens["note"].is_string());
            let reduced = less["reduced"].as_object().unwrap();
            assert!(!reduced.is_empty(), "{less}");
        }
    }
    let little = ask(&app, json!({"query": "create an event", "token_budget": 1})).await;
    assert_eq!(little["tokens"]["over_budget"], true);
    let tool = &little["tools"][0];
    let said = tool["reduced"].as_str().unwrap();
    assert_eq!(said, "only the name: get_tool returns it whole");
    let families = ["openai", "anthropic"].map(|family| {
        json!({"query": "create an event", "format": "openai", "family": family,
            "token_budget": 100_000})
    });
    let [ours, theirs] = families;
    let (ours, theirs) = (ask(&app, ours).await, ask(&app, theirs).await);
    assert!(ours["tokens"]["returned"].as_u64() < theirs["tokens"]["returned"].as_u64());
    assert_eq!(theirs["tokens"]["family"], "anthropic");
}

#[tokio::test]
async fn a_batch_has_a_budget_for_each_need() {
    let app = demo_app().await;
    let asked = json!({"format": "anthropic", "token_budget": 400, "batch": [
        {"query": "create an event"}, {"query": "refund a payment", "token_budget": 100_000}]});
    let answers = ask(&app, asked).await["answers"].clone();
    assert_eq!(answers[0]["tokens"]["budget"], 400);
    assert!(answers[0]["tokens"]["returned"].as_u64().unwrap() <= 400);
    assert_eq!(answers[1]["tokens"]["budget"], 100_000);
    assert!(answers[1].get("reduced").is_none());
}

#[tokio::test]
async fn a_model_may_set_a_budget_over_mcp() {
    let app = demo_app().await;
    let transport = StreamableHttpClientTransport::from_uri(app.url("/mcp"));
    let client = ().serve(transport).await.unwrap();
    let call = async |tool: &'static str, arguments: Value| {
        let arguments = arguments.as_object().unwrap().clone();
        let call = CallToolRequestParams::new(tool).with_arguments(arguments);
        client.call_tool(call).await.unwrap().structured_content.unwrap()
    };
    let ids = |found: &Value| -> Vec<Value> {
        found["tools"].as_array().unwrap().iter().map(|tool| tool["id"].clone()).collect()
    };
    let whole = call("search_tools", json!({"query": "create an event"})).await;
    assert!(whole.get("tokens").is_none(), "{whole}");
    let less = json!({"query": "create an event", "token_budget": 900});
    let less = call("search_tools", less).await;
    assert_eq!(ids(&less), ids(&whole));
    assert!(less["tokens"]["returned"].as_u64().unwrap() <= 900, "{}", less["tokens"]);
    for tool in less["tools"].as_array().unwrap() {
        assert_eq!(tool["definition"]["name"], tool["name"]);
        assert!(tool["definition"]["inputSchema"].is_object());
    }
    let last = less["tools"].as_array().unwrap().last().unwrap();
    assert!(last["reduced"].as_str().unwrap().contains("get_tool"), "{last}");
    let named = call("get_tool", json!({"id": "calendar__create_event"})).await;
    assert_eq!(named["id"], "calendar/create_event");
    client.cancel().await.unwrap();
}

#[tokio::test]
async fn odd_definitions_come_as_they_are_or_mended() {
    let app = TestApp::start().await;
    let mcp = app.post("/v1/search", r#"{"query":"carrier pigeon","format":"mcp","limit":1}"#);
    assert!(mcp.await.text.contains(&format!(r#""result":[{ODD}]"#)));
    let asked = json!({"query": "carrier pigeon", "format": "anthropic", "limit": 1});
    let answer = ask(&app, asked).await;
    let tool = &answer["result"][0];
    assert_eq!(tool["input_schema"], json!({"type": "object", "properties": {}}));
    assert!(tool["description"].as_str().unwrap().contains("carrier pigeon"));
}

#[tokio::test]
async fn what_cant_be_meant_is_refused_by_name() {
    let app = TestApp::start().await;
    for (path, says) in [
        ("/v1/search?q=a&format=xml", "tool_reference"),
        ("/v1/search?q=a&token_budget=0", "token_budget"),
        ("/v1/search?q=a&token_budget=-1", "token_budget"),
        ("/v1/search?q=a&family=x", "anthropic"),
    ] {
        let reply = app.get(path).await;
        assert_eq!(reply.problem(), "invalid-request");
        assert!(reply.json()["detail"].as_str().unwrap().contains(says), "{path}: {}", reply.text);
    }
    for body in [
        json!({"query": "a", "format": "xml"}),
        json!({"query": "a", "token_budget": 0}),
        json!({"batch": [{"query": "a"}], "call_id": "x"}),
        json!({"batch": [{"query": "a", "token_budget": 0}]}),
    ] {
        let reply = app.post("/v1/search", body.to_string()).await;
        assert_eq!(reply.problem(), "invalid-request", "{body}");
    }
}

#[tokio::test]
async fn the_command_line_prints_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), &["--demo"]).await;
    let all_ready = async || service.status().await["servers"]["ready"] == 14;
    service.until("all ready", all_ready).await;
    let ask = async |source: &[&str]| {
        let args = [&["search"][..], source, &["create an event"]].concat();
        let budget = ["--format", "anthropic", "--token-budget", "500"];
        run(folder.path(), &[&args[..], &budget].concat()).await.json()
    };
    let (here, there) = (ask(&["--demo"]).await, ask(&["--url", &service.url]).await);
    service.stop().await;
    assert_eq!(here["result"], there["result"]);
    assert_eq!(here["tokens"], there["tokens"]);
    assert!(here["tokens"]["returned"].as_u64().unwrap() <= 500);
    // A budget is spoken of to people, too.
    let told = ["search", "--demo", "create an event", "--limit", "2", "--token-budget", "500"];
    let told = run(folder.path(), &told).await;
    assert!(told.stdout.contains(" of 500 tokens, all tools have "), "{}", told.stdout);
    let refused = run(folder.path(), &["search", "--demo", "a", "--format", "xml"]).await;
    assert!(
        refused.code != 0 && refused.stderr.contains("tool_search_output"),
        "{}",
        refused.stderr
    );
}
