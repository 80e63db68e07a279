//! MCP's conformance suite against the MCP endpoint, in the versions that it has checks for.
//! `tests/conformance/expected-failures.yml` says which must fail, and why: one of them that
//! passes is an error too.

use reqwest::Method;
use serde_json::json;
use tokio::process::Command;

use crate::hosts_examples::demo;
use crate::support::app::TestApp;
use crate::support::peers;

/// Versions and the fewest checks that pass. (The suite has none for 2024-11-05, and for
/// 2025-03-26 one, about sessions, which toolscout has none of; `serve_mcp.rs` speaks both.)
const VERSIONS: [(&str, usize); 3] = [("2025-06-18", 30), ("2025-11-25", 35), ("2026-07-28", 85)];

#[tokio::test]
async fn the_conformance_suite_passes_but_for_what_is_expected_to_fail() {
    let Some(suite) = peers::folder("conformance", &["node_modules"]) else { return };
    let (_folder, service) = demo().await;
    for (version, fewest) in VERSIONS {
        let output = Command::new(peers::node(&suite))
            .arg(suite.join("node_modules/@modelcontextprotocol/conformance/dist/index.js"))
            .args(["server", "--suite", "all", "--spec-version", version, "--url"])
            .arg(format!("{}/mcp", service.url))
            .arg("--expected-failures")
            .arg(suite.join("expected-failures.yml"))
            .env("NO_PROXY", "127.0.0.1")
            .kill_on_drop(true)
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{version}: {said}{errors}");
        let passed = said.lines().find_map(|line| line.strip_prefix("Total: ")).unwrap();
        let passed = passed.split(' ').next().unwrap().parse::<usize>().unwrap();
        assert!(passed >= fewest, "{version}: only {passed} passed");
    }
}

/// Versions that begin with `initialize`; one that nobody knows is answered with the newest.
#[tokio::test]
async fn every_version_with_a_handshake_is_spoken_as_asked_for() {
    let app = TestApp::start().await;
    let ask = async |version: &str, method: &str, params: serde_json::Value| {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let mut request = app
            .request(Method::POST, "/mcp")
            .header("accept", "application/json, text/event-stream")
            .header("content-type", "application/json");
        if method != "initialize" {
            request = request.header("mcp-protocol-version", version);
        }
        let reply = app.send(request.body(body.to_string())).await;
        assert_eq!(reply.status, 200, "{version} {method}: {}", reply.text);
        reply.json()["result"].take()
    };
    for (asked, spoken) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("1999-12-31", "2025-11-25"),
    ] {
        let about = json!({"name": "tests", "version": "1"});
        let hello = json!({"protocolVersion": asked, "capabilities": {}, "clientInfo": about});
        let hello = ask(asked, "initialize", hello).await;
        assert_eq!(hello["protocolVersion"], spoken, "{hello}");
        let listed = ask(spoken, "tools/list", json!({})).await;
        assert_eq!(listed["tools"][0]["name"], "search_tools", "{listed}");
        let call = json!({"name": "get_tool", "arguments": {"id": "files/read_file"}});
        let got = ask(spoken, "tools/call", call).await;
        assert!(got["content"][0]["text"].as_str().unwrap().contains("files/read_file"), "{got}");
    }
}
