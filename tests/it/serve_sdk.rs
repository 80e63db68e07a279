//! The official TypeScript and Python SDKs as clients, in processes of their own.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::process::Command;

use crate::support::app::TestApp;

pub fn sdk(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk").join(file)
}

/// False when the SDKs are absent and the caller has said that this is meant.
#[expect(clippy::print_stderr, reason = "a test that was left out says so")]
pub fn installed(what: &str) -> bool {
    if sdk(what).exists() {
        return true;
    }
    let skip = std::env::var("TOOLSCOUT_SKIP_PEERS").is_ok_and(|value| value == "1");
    assert!(
        skip,
        "tests/sdk/{what} is absent: run ./scripts/fetch-test-peers.sh, or set TOOLSCOUT_SKIP_PEERS=1"
    );
    eprintln!("skipped: tests/sdk/{what} is absent and TOOLSCOUT_SKIP_PEERS=1");
    false
}

pub async fn output(command: &mut Command) -> Value {
    let output = command.kill_on_drop(true).output().await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {errors}"))
}

fn check(seen: &Value) {
    assert_eq!(seen["server"], "toolscout");
    assert!(seen["instructions"].as_str().unwrap().contains("search_tools"));
    assert_eq!(seen["tools"], serde_json::json!(["search_tools", "get_tool", "list_servers"]));
    assert_eq!(seen["found"]["tools"][0]["id"], "calendar/create_event", "{seen}");
    assert_eq!(seen["found"]["tools"][0]["definition"]["title"], "Create event");
    assert_eq!(seen["found"], seen["foundText"]);
    assert_eq!(seen["got"]["id"], "files/read_file");
    assert_eq!(seen["got"]["definition"]["name"], "read_file");
    assert_eq!(seen["refused"]["isError"], true);
    assert!(seen["refused"]["text"].as_str().unwrap().contains("empty"));
}

const ARGS: [&str; 2] = ["invite people to a meeting", "files/read_file"];

#[tokio::test]
async fn the_typescript_sdk_searches() {
    if !installed("node_modules") {
        return;
    }
    let app = TestApp::start().await;
    let mut command = Command::new("node");
    command.arg(sdk("ts_client.mjs")).arg(app.url("/mcp")).args(ARGS);
    check(&output(&mut command).await);
}

#[tokio::test]
async fn the_python_sdk_searches_in_both_eras() {
    if !installed(".venv") {
        return;
    }
    let app = TestApp::start().await;
    for (mode, newest) in [("auto", true), ("legacy", false)] {
        let mut command = Command::new(sdk(".venv/bin/python"));
        command
            .arg(sdk("py_client.py"))
            .args([&app.url("/mcp"), mode])
            .args(ARGS)
            .env("NO_PROXY", "127.0.0.1");
        let seen = output(&mut command).await;
        check(&seen);
        assert_eq!(seen["protocol"] == "2026-07-28", newest, "{mode}: {}", seen["protocol"]);
    }
}
