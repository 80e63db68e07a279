//! Clients of others, in processes of their own: the official TypeScript and Python SDKs, `FastMCP`
//! and the MCP Inspector.

use serde_json::{Value, json};
use tokio::process::Command;

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
    let app = TestApp::start().await;
    let home = tempfile::tempdir().unwrap();
    for era in ["legacy", "modern"] {
        let inspect = |args: &[&str]| {
            let mut command = Command::new(peers::node(&folder));
            let program =
                "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js";
            command
                .arg(folder.join(program))
                .args(["--cli", &app.url("/mcp"), "--quiet", "--protocol-era", era, "--method"])
                .args(args)
                .env("HOME", home.path());
            command
        };
        let listed = output(&mut inspect(&["tools/list", "--strict"])).await;
        let names = listed["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]);
        assert_eq!(names.collect::<Vec<_>>(), ["search_tools", "get_tool", "list_servers"]);
        let query = format!("query={}", ARGS[0]);
        let call = ["tools/call", "--tool-name", "search_tools", "--tool-arg", &query];
        let found = output(&mut inspect(&call)).await;
        let found = &found["structuredContent"];
        assert_eq!(found["tools"][0]["id"], "calendar/create_event", "{found}");
        let call = ["tools/call", "--tool-name", "get_tool", "--tool-arg", "id=no/such"];
        let refused = inspect(&call).kill_on_drop(true).output().await.unwrap();
        assert_eq!(refused.status.code(), Some(5), "{refused:?}");
        let refused: Value = serde_json::from_slice(&refused.stdout).unwrap();
        assert_eq!(refused["isError"], true);
    }
}
