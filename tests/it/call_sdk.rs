//! The official SDKs call a server's tool through toolscout, and hear how far it has come.

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::crawling::server;
use crate::support::mock_stdio::MockStdio;
use crate::support::peers::{self, output};
use crate::support::proxy::{Proxy, all};

async fn proxy() -> (MockStdio, Proxy) {
    let page = json!({"tools": [{"name": "make", "inputSchema": {"type": "object"}}]});
    let result =
        json!({"content": [{"type": "text", "text": "made"}], "structuredContent": {"n": 1}});
    let steps = json!([{"progress": 1, "message": "half"}, {"progress": 2, "message": "done"}]);
    let make = json!({"progress": steps, "result": result.to_string()});
    let script = json!({"pages": [[null, page.to_string()]], "calls": {"make": make}});
    let mock = MockStdio::new(&script);
    let proxy = Proxy::start(vec![server("srv", mock.transport())], all()).await;
    (mock, proxy)
}

fn check(seen: &Value) {
    let tools = json!(["search_tools", "get_tool", "list_servers", "call_tool"]);
    assert_eq!(seen["tools"], tools);
    assert_eq!(seen["result"]["content"][0]["text"], "made");
    assert_eq!(seen["result"]["structuredContent"], json!({"n": 1}));
    let mut steps = seen["steps"].as_array().unwrap().clone();
    steps.sort_by(|a, b| a[0].as_f64().unwrap().total_cmp(&b[0].as_f64().unwrap()));
    assert_eq!(
        json!(steps.iter().map(|step| &step[1]).collect::<Vec<_>>()),
        json!(["half", "done"])
    );
}

#[tokio::test]
async fn the_typescript_sdk_calls() {
    let Some(sdk) = peers::folder("sdk", &["node_modules"]) else { return };
    let (_mock, proxy) = proxy().await;
    let mut command = Command::new("node");
    command.arg(sdk.join("ts_call.mjs")).args([&proxy.app.url("/mcp"), "srv/make"]);
    check(&output(&mut command).await);
}

#[tokio::test]
async fn the_python_sdk_calls_in_both_eras() {
    let Some(sdk) = peers::folder("sdk", &[".venv"]) else { return };
    let (_mock, proxy) = proxy().await;
    for mode in ["auto", "legacy"] {
        let mut command = Command::new(sdk.join(".venv/bin/python"));
        command.arg(sdk.join("py_call.py")).args([&proxy.app.url("/mcp"), mode, "srv/make"]);
        check(&output(&mut command).await);
    }
}
