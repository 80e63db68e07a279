//! Clients of others, in processes of their own: the official TypeScript and Python SDKs, `FastMCP`
//! and the MCP Inspector.

use serde_json::{Value, json};
use tokio::process::Command;

use crate::hosts_examples::demo;
use crate::support::app::TestApp;
use crate::support::peers::{self, output};

fn check(seen: &Value) {
    assert_eq!(seen["server"], "toolscout");
    assert!(seen["instructions"].as_str().unwrap().contains("search_tools"));
    assert_eq!(seen["tools"], json!(["search_tools", "get_tool", "list_servers"]));
    assert_eq!(seen["found"]["tools"][0]["id"], "calendar/create_event", "{seen}");
    assert_eq!(seen["found"]["tools"][0]["definition"]["title"], "Create event");
    assert_eq!(seen["found"], seen["foundText"]);
    assert_eq!(seen["got"]["id"], "files/read_file");
    assert_eq!(seen["got"]["definition"]["name"], "read_file");
    assert_eq!(seen["refused"]["isError"], true);
    assert!(seen["refused"]["text"].as_str().unwrap().contains("empty"));
}

const ARGS: [&str; 2] = ["invite people to a meeting", "files/read_file"];

/// The mode of an SDK, and whether it then speaks the newest version.
const ERAS: [(&str, bool); 2] = [("auto", true), ("legacy", false)];

#[tokio::test]
async fn the_typescript_sdks_search_in_both_eras() {
    let Some(sdk) = peers::folder("sdk", &["node_modules"]) else { return };
    let app = TestApp::start().await;
    for (mode, newest) in ERAS.into_iter().chain([("v1", false)]) {
        let mut command = Command::new("node");
        command.arg(sdk.join("ts_client.mjs")).args([&app.url("/mcp"), mode]).args(ARGS);
        let seen = output(&mut command).await;
        check(&seen);
        assert_eq!(seen["protocol"] == "2026-07-28", newest, "{mode}: {}", seen["protocol"]);
    }
}

/// Runs a client in Python in both eras.
async fn in_both_eras(folder: &str, script: &str) {
    let Some(folder) = peers::folder(folder, &[".venv"]) else { return };
    let app = TestApp::start().await;
    for (mode, newest) in ERAS {
        let mut command = Command::new(folder.join(".venv/bin/python"));
        command.arg(folder.join(script)).args([&app.url("/mcp"), mode]).args(ARGS);
        let seen = output(&mut command).await;
        check(&seen);
        assert_eq!(seen["protocol"] == "2026-07-28", newest, "{mode}: {}", seen["protocol"]);
    }
}

#[tokio::test]
async fn the_python_sdk_searches_in_both_eras() {
    in_both_eras("sdk", "py_client.py").await;
}

#[tokio::test]
async fn the_client_of_fastmcp_searches_in_both_eras() {
    in_both_eras("hosts", "fastmcp_client.py").await;
}

/// The MCP Inspector's command line: lists, holds the schemas against what models' APIs take
/// (`--strict`), and calls.
#[tokio::test]
async fn the_inspector_lists_and_calls_in_both_eras() {
    let Some(folder) = peers::folder("conformance", &["node_modules"]) else { return };
    let (home, service) = demo().await;
    let program = "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js";
    for era in ["legacy", "modern"] {
        let inspect = |args: &[&str]| {
            let mut command = Command::new(peers::node(&folder));
            command
                .arg(folder.join(program))
                .args(["--cli", &format!("{}/mcp", service.url)])
                .args(["--quiet", "--protocol-era", era, "--method"])
                .args(args)
                .env("HOME", home.path());
            command
        };
        let call = |tool, arguments| {
            inspect(&["tools/call", "--tool-name", tool, "--tool-args-json", arguments])
        };
        let listed = output(&mut inspect(&["tools/list", "--strict"])).await;
        let names = listed["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]);
        let all = ["search_tools", "get_tool", "list_servers", "call_tool"];
        assert_eq!(names.collect::<Vec<_>>(), all);

        let found = output(&mut call(
            "search_tools",
            r#"{"query": "create a calendar event with guests"}"#,
        ))
        .await;
        let found = &found["structuredContent"]["tools"][0]["id"];
        assert_eq!(found, "calendar/create_event");
        let refund = r#"{"id": "payments/refund_payment", "arguments": {"payment_id": "p1"}}"#;
        let called = output(&mut call("call_tool", refund)).await;
        let text = called["content"][0]["text"].as_str().unwrap();
        assert!(text.contains("payments/refund_payment would have run"), "{called}");
        assert!(called["structuredContent"]["refund_id"].is_string(), "{called}");

        let refused = call("get_tool", r#"{"id": "no/such"}"#).output().await.unwrap();
        assert_eq!(refused.status.code(), Some(5), "{refused:?}");
        let refused: Value = serde_json::from_slice(&refused.stdout).unwrap();
        assert_eq!(refused["isError"], true);
    }
}
