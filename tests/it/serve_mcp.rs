//! MCP at `/mcp` and on a pair of streams, with rmcp's client in both eras.

use rmcp::model::{CallToolRequestParams, CallToolResult, ProtocolVersion, ServerNotification};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt, NotificationContext, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::{ClientHandler, RoleClient};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use toolscout::live::Live;
use toolscout::serve;

use crate::support::app::{ODD, SERVERS, TestApp, catalog, config, profiles, remove_server};

/// A client that passes on the news that the tool list changed.
struct Watcher(mpsc::UnboundedSender<()>);

impl ClientHandler for Watcher {
    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        let _ = self.0.send(());
    }
}

type Client = RunningService<RoleClient, Watcher>;

fn eras() -> [(ClientLifecycleMode, &'static str); 2] {
    [
        (ClientLifecycleMode::Initialize, "2025-11-25"),
        (
            ClientLifecycleMode::Discover {
                preferred_versions: vec![ProtocolVersion::V_2026_07_28],
            },
            "2026-07-28",
        ),
    ]
}

fn watcher() -> (Watcher, mpsc::UnboundedReceiver<()>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Watcher(sender), receiver)
}

async fn connect(app: &TestApp, era: ClientLifecycleMode) -> Client {
    let transport = StreamableHttpClientTransport::from_uri(app.url("/mcp"));
    watcher().0.serve_with_lifecycle(transport, era).await.unwrap()
}

async fn call(client: &Client, tool: &'static str, arguments: Value) -> CallToolResult {
    let arguments = arguments.as_object().cloned().unwrap();
    let request = CallToolRequestParams::new(tool).with_arguments(arguments);
    client.call_tool(request).await.unwrap()
}

fn text(result: &CallToolResult) -> &str {
    &result.content[0].as_text().unwrap().text
}

/// The structured result, after checking that its text says the same.
fn structured(result: &CallToolResult) -> &Value {
    assert_ne!(result.is_error, Some(true), "{}", text(result));
    let value = result.structured_content.as_ref().unwrap();
    assert_eq!(&serde_json::from_str::<Value>(text(result)).unwrap(), value);
    value
}

fn error(result: &CallToolResult) -> &str {
    assert_eq!(result.is_error, Some(true), "{}", text(result));
    text(result)
}

#[tokio::test]
async fn both_eras_find_and_get_tools() {
    let app = TestApp::start().await;
    for (era, version) in eras() {
        let client = connect(&app, era).await;
        let info = client.peer_info().unwrap();
        assert_eq!(info.protocol_version.as_str(), version);
        assert!(info.instructions.as_deref().unwrap().contains("search_tools"));

        let found =
            call(&client, "search_tools", json!({"query": "create_event", "limit": 2})).await;
        let found = structured(&found);
        let first = &found["tools"][0];
        assert_eq!(first["id"], "calendar/create_event");
        let stored: Value = serde_json::from_str(SERVERS[0].2[0]).unwrap();
        assert_eq!(first["definition"], stored);
        assert!(first["score"].is_f64());
        assert!(found["generation"].as_u64().unwrap() > 0);
        assert_eq!(found["mode"], "lexical");

        let queries =
            json!({"queries": ["mail somebody", "send message"], "servers": ["post/office"]});
        let found = call(&client, "search_tools", queries).await;
        assert_eq!(structured(&found)["tools"][0]["id"], "post/office/send_mail");

        let got = call(&client, "get_tool", json!({"id": "files/read_file"})).await;
        assert_eq!(structured(&got)["definition"]["name"], "read_file");
        client.cancel().await.unwrap();
    }
}

#[tokio::test]
async fn a_definition_that_json_values_cannot_hold_comes_as_text() {
    let app = TestApp::start().await;
    for (era, _) in eras() {
        let client = connect(&app, era).await;
        let found = call(&client, "search_tools", json!({"query": "carrier pigeon mail"})).await;
        let tools = structured(&found)["tools"].as_array().unwrap().clone();
        let odd = tools.iter().find(|tool| tool["name"] == "odd/näme %2F").unwrap();
        assert_eq!(odd["definition_text"], ODD);
        assert!(odd.get("definition").is_none());
        let mail = tools.iter().find(|tool| tool["name"] == "send_mail").unwrap();
        assert!(mail["definition"].is_object(), "its neighbour is as ever");
        client.cancel().await.unwrap();
    }
}

#[tokio::test]
async fn a_model_is_told_what_to_do_about_its_mistakes() {
    let app = TestApp::start().await;
    for (era, _) in eras() {
        let client = connect(&app, era).await;
        for (tool, arguments, expected) in [
            ("search_tools", json!({}), "query"),
            ("search_tools", json!({"query": ""}), "empty"),
            ("search_tools", json!({"query": "\u{0}\u{1b}"}), "empty"),
            ("search_tools", json!({"query": "a".repeat(500_000)}), "shorten"),
            ("search_tools", json!({"query": "a", "limit": 0}), "1 to 50"),
            ("search_tools", json!({"query": "a", "limit": 10_000}), "1 to 50"),
            ("search_tools", json!({"query": "a", "limit": "5"}), "limit"),
            (
                "search_tools",
                json!({"query": "a", "servers": ["nowhere"]}),
                "calendar, files, post/office",
            ),
            ("search_tools", json!({"query": "a", "limt": 3}), "limt"),
            ("get_tool", json!({}), "id"),
            ("get_tool", json!({"id": "nowhere/nothing"}), "search_tools"),
        ] {
            let result = call(&client, tool, arguments.clone()).await;
            assert!(error(&result).contains(expected), "{arguments}: {}", text(&result));
        }
        let unknown = client.call_tool(CallToolRequestParams::new("send_mail")).await;
        let message = unknown.unwrap_err().to_string();
        assert!(message.contains("search_tools"), "{message}");
        client.cancel().await.unwrap();
    }
    let early = TestApp::serve(Live::new("not crawled yet"), &config()).await;
    let client = connect(&early, ClientLifecycleMode::Initialize).await;
    let result = call(&client, "search_tools", json!({"query": "mail"})).await;
    assert!(error(&result).contains("again"), "{}", text(&result));
}

#[tokio::test]
async fn the_tool_list_says_what_is_indexed_and_describes_results_truly() {
    let app = TestApp::start().await;
    for (era, version) in eras() {
        let client = connect(&app, era).await;
        let list = client.list_tools(None).await.unwrap();
        if version == "2026-07-28" {
            let list = serde_json::to_value(&list).unwrap();
            assert_eq!(list["cacheScope"], "public");
            assert!(list["ttlMs"].as_u64().unwrap() > 0);
        }
        let search = &list.tools[0];
        let description = search.description.as_deref().unwrap();
        assert!(description.contains("6 tools of 3 servers"), "{description}");
        assert!(description.contains("calendar: Team calendar, 3"), "{description}");
        let results = [
            call(&client, "search_tools", json!({"query": "carrier pigeon mail"})).await,
            call(&client, "get_tool", json!({"id": "files/read_file"})).await,
        ];
        for (tool, result) in list.tools.iter().zip(&results) {
            assert_eq!(tool.annotations.as_ref().unwrap().read_only_hint, Some(true));
            let schema = Value::Object((**tool.output_schema.as_ref().unwrap()).clone());
            let valid = jsonschema::validator_for(&schema).unwrap();
            let errors: Vec<_> =
                valid.iter_errors(structured(result)).map(|e| e.to_string()).collect();
            assert!(errors.is_empty(), "{errors:?}");
            let input = Value::Object((*tool.input_schema).clone());
            assert!(!input.to_string().contains("null"), "{input}");
            assert_eq!(input["type"], "object");
            assert_eq!(input["additionalProperties"], false);
            assert!(input["properties"].is_object());
        }
        client.cancel().await.unwrap();
    }
}

#[tokio::test]
async fn a_changed_catalog_is_told_to_subscribers() {
    let app = TestApp::start().await;
    let [_, (modern, _)] = eras();
    let client = connect(&app, modern).await;
    let filter = rmcp::model::SubscriptionFilter::builder().tools_list_changed().build();
    let mut subscription = client.listen(filter).await.unwrap();
    remove_server(&app.live, "files").await;
    let news = subscription.next().await.unwrap().unwrap();
    assert!(matches!(news, ServerNotification::ToolListChangedNotification(_)));
    let list = client.list_tools(None).await.unwrap();
    let description = list.tools[0].description.as_deref().unwrap();
    assert!(description.contains("5 tools of 2 servers"), "{description}");
}

#[tokio::test]
async fn a_view_hears_of_its_own_changes_alone() {
    let live = Live::from_catalog_with(
        catalog(SERVERS),
        &profiles("[profiles.a]\nservers = ['calendar', 'files']"),
    );
    let app = TestApp::serve(live, &config()).await;
    let transport = StreamableHttpClientTransport::from_uri(app.url("/p/a/mcp"));
    let [_, (modern, _)] = eras();
    let client = watcher().0.serve_with_lifecycle(transport, modern).await.unwrap();
    let filter = rmcp::model::SubscriptionFilter::builder().tools_list_changed().build();
    let mut subscription = client.listen(filter).await.unwrap();
    // Of the first it is told nothing: what it hears of is the second.
    remove_server(&app.live, "post/office").await;
    remove_server(&app.live, "files").await;
    subscription.next().await.unwrap().unwrap();
    let list = client.list_tools(None).await.unwrap();
    let description = list.tools[0].description.as_deref().unwrap();
    assert!(description.contains("3 tools of 1 server"), "{description}");
}

#[tokio::test]
async fn a_pair_of_streams_serves_both_eras_until_the_client_leaves() {
    for (era, version) in eras() {
        let live = Live::from_catalog(catalog(SERVERS));
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (input, output) = tokio::io::split(ours);
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(serve::run_stream(live.clone(), input, output, shutdown));
        let (watcher, mut changed) = watcher();
        let client = watcher.serve_with_lifecycle(theirs, era).await.unwrap();
        let found = call(&client, "search_tools", json!({"query": "read file"})).await;
        assert_eq!(structured(&found)["tools"][0]["id"], "files/read_file");
        if version != "2026-07-28" {
            remove_server(&live, "files").await;
            changed.recv().await.unwrap();
        }
        client.cancel().await.unwrap();
        served.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn streams_end_at_once_on_shutdown_or_silence() {
    let live = Live::from_catalog(catalog(SERVERS));
    let (ours, theirs) = tokio::io::duplex(1024);
    let (input, output) = tokio::io::split(ours);
    drop(theirs);
    let token = CancellationToken::new();
    Box::pin(serve::run_stream(live.clone(), input, output, token)).await.unwrap();

    let (ours, _theirs) = tokio::io::duplex(1024);
    let (input, output) = tokio::io::split(ours);
    let token = CancellationToken::new();
    token.cancel();
    Box::pin(serve::run_stream(live, input, output, token)).await.unwrap();
}

#[tokio::test]
async fn requests_that_are_no_mcp_are_refused_and_harm_nothing() {
    let app = TestApp::start().await;
    let accept = "application/json, text/event-stream";
    for (body, statuses) in [
        ("{".to_owned(), 400..=415),
        ("[]".to_owned(), 400..=415),
        (r#"{"jsonrpc":"2.0","id":1,"method":"no/such"}"#.to_owned(), 200..=404),
        (" ".repeat(1024 * 1024 + 1), 413..=413),
    ] {
        let request = app
            .request(reqwest::Method::POST, "/mcp")
            .header("accept", accept)
            .header("content-type", "application/json")
            .body(body);
        let reply = app.send(request).await;
        assert!(statuses.contains(&reply.status.as_u16()), "{}: {}", reply.status, reply.text);
    }
    for method in [reqwest::Method::DELETE, reqwest::Method::PUT] {
        let request = app
            .request(method, "/mcp")
            .header("accept", accept)
            .header("content-type", "application/json");
        assert_eq!(app.send(request).await.status, 405);
    }
    let client = connect(&app, ClientLifecycleMode::Initialize).await;
    assert_eq!(client.list_tools(None).await.unwrap().tools.len(), 3);
}

#[tokio::test]
async fn a_large_definition_comes_smaller_and_says_so_and_whole_when_asked_for() {
    let pad = "x".repeat(40_000);
    let large = format!(
        r#"{{"name":"big","description":"upload a parcel","inputSchema":{{"type":"object"}},"outputSchema":{{"title":"{pad}"}}}}"#
    );
    let odd = format!(r#"{{"name":"odd","description":"upload a parcel","n":1e400,"p":"{pad}"}}"#);
    let definitions = [large.as_str(), odd.as_str()];
    let servers = catalog(&[("depot", None, &definitions)]);
    let app = TestApp::serve(Live::from_catalog(servers), &config()).await;
    let client = connect(&app, ClientLifecycleMode::Initialize).await;
    let found = call(&client, "search_tools", json!({"query": "upload a parcel"})).await;
    let tools = structured(&found)["tools"].as_array().unwrap();
    assert_eq!(tools.len(), 2, "none is dropped for its size");
    for tool in tools {
        assert!(tool.to_string().len() < 1_000);
        assert_eq!(tool["definition"]["name"], tool["name"]);
        assert_eq!(tool["definition"]["description"], "upload a parcel");
        let id = tool["id"].as_str().unwrap();
        let reduced = tool["reduced"].as_str().unwrap();
        assert!(
            reduced.ends_with(&format!(r#"get_tool {{"id": "{id}"}} returns it whole"#)),
            "{reduced}"
        );
    }
    let got = call(&client, "get_tool", json!({"id": "depot/big"})).await;
    let whole: Value = serde_json::from_str(&large).unwrap();
    assert_eq!(structured(&got)["definition"], whole);
    assert!(structured(&got).get("reduced").is_none());
    let got = call(&client, "get_tool", json!({"id": "depot/odd"})).await;
    assert_eq!(structured(&got)["definition_text"], odd);
    let plain = app.get("/v1/search?q=upload+a+parcel").await.text;
    assert!(plain.contains(&large) && plain.contains(&odd));
}

#[tokio::test]
async fn long_decimals_keep_every_digit() {
    let numbers = "[31.245270191439438,121.48791951161945,0.1]";
    let definition = format!(r#"{{"name":"locate","examples":{numbers}}}"#);
    let definitions = [definition.as_str()];
    let servers = catalog(&[("maps", None, &definitions)]);
    let app = TestApp::serve(Live::from_catalog(servers), &config()).await;
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "get_tool", "arguments": {"id": "maps/locate"}}});
    let request = app
        .request(reqwest::Method::POST, "/mcp")
        .header("accept", "application/json, text/event-stream")
        .header("content-type", "application/json")
        .header("mcp-protocol-version", "2025-11-25")
        .body(body.to_string());
    let reply = app.send(request).await;
    assert!(
        reply.text.matches(&format!(r#"examples":{numbers}"#)).count() == 1
            && reply.text.matches(numbers).count() == 2,
        "as structured content and as text: {}",
        reply.text
    );
}
