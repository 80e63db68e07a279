//! server-everything through toolscout is as it is directly.

use std::collections::BTreeSet;

use rmcp::model::{CallToolRequestParams, ProgressNotificationParam};
use rmcp::service::{RoleClient, RunningService, ServiceExt};
use rmcp::transport::StreamableHttpClientTransport;
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use toolscout::config::Transport;

use crate::support::proxy::{Listening, Proxy, all};
use crate::upstreams::{everything_over_http, peers, script, server, stdio};

type Client = RunningService<RoleClient, Listening>;

/// What a call came to, as JSON, error or not.
async fn outcome(client: &Client, tool: &str, arguments: &Value) -> Value {
    let arguments = arguments.as_object().cloned().unwrap();
    let request = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
    match client.call_tool(request).await {
        Ok(result) => serde_json::to_value(result).unwrap(),
        Err(error) => json!({ "failed": error.to_string() }),
    }
}

/// What each tool is called with.
fn arguments(tool: &str) -> Value {
    match tool {
        "echo" => json!({"message": "hällo"}),
        "get-sum" => json!({"a": 2, "b": 3.5}),
        "get-annotated-message" => json!({"messageType": "error", "includeImage": true}),
        "get-structured-content" => json!({"location": "Chicago"}),
        "get-resource-links" => json!({"count": 3}),
        "get-resource-reference" => json!({"resourceType": "Text", "resourceId": 1}),
        "simulate-research-query" => json!({"topic": "tools"}),
        "trigger-long-running-operation" => json!({"duration": 1, "steps": 4}),
        _ => json!({}),
    }
}

/// These tell of the moment, or of the process.
const OF_THE_MOMENT: [&str; 4] =
    ["get-env", "get-resource-reference", "toggle-simulated-logging", "toggle-subscriber-updates"];

async fn compare(
    direct: Client,
    heard: &mut mpsc::UnboundedReceiver<ProgressNotificationParam>,
    proxied: &Proxy,
) {
    let (sender, mut heard_here) = mpsc::unbounded_channel();
    let transport = StreamableHttpClientTransport::from_uri(proxied.app.url("/mcp"));
    let through: Client = Listening(sender).serve(transport).await.unwrap();
    let tools = direct.list_all_tools().await.unwrap();
    let mut compared = BTreeSet::new();
    for tool in &tools {
        let name = tool.name.as_ref();
        if OF_THE_MOMENT.contains(&name) {
            continue;
        }
        let arguments = arguments(name);
        let expected = outcome(&direct, name, &arguments).await;
        let call = json!({"id": format!("everything/{name}"), "arguments": arguments});
        let got = outcome(&through, "call_tool", &call).await;
        assert_eq!(got, expected, "{name}");
        compared.insert(name.to_owned());
        if name == "trigger-long-running-operation" {
            let steps = |heard: &mut mpsc::UnboundedReceiver<ProgressNotificationParam>| {
                let mut steps = Vec::new();
                while let Ok(step) = heard.try_recv() {
                    steps.push((step.progress, step.total, step.message));
                }
                steps.sort_by(|a, b| a.0.total_cmp(&b.0));
                steps
            };
            let (direct, through) = (steps(heard), steps(&mut heard_here));
            assert_eq!(through, direct);
            assert!(!through.is_empty(), "it tells of its progress");
        }
    }
    for name in ["echo", "get-sum", "get-structured-content", "get-tiny-image"] {
        assert!(compared.contains(name), "{name} was not compared: {compared:?}");
    }
    assert!(compared.contains("trigger-long-running-operation"), "{compared:?}");
}

/// A client of the server itself, and what it hears.
async fn directly(
    program: &str,
) -> (Child, Client, mpsc::UnboundedReceiver<ProgressNotificationParam>) {
    let mut command = Command::new("node");
    command.args([program, "stdio"]).stdin(std::process::Stdio::piped());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let mut child = command.kill_on_drop(true).spawn().unwrap();
    let pipes = (child.stdout.take().unwrap(), child.stdin.take().unwrap());
    let (sender, heard) = mpsc::unbounded_channel();
    let client = Listening(sender).serve(pipes).await.unwrap();
    (child, client, heard)
}

#[tokio::test]
async fn over_stdio() {
    let Some(peers) = peers() else { return };
    let program = script(&peers, "server-everything");
    let proxied =
        Proxy::start(vec![stdio("everything", "node", &[&program, "stdio"])], all()).await;
    let (_child, direct, mut heard) = directly(&program).await;
    compare(direct, &mut heard, &proxied).await;
    proxied.stop().await;
}

/// The SDK has no client for the transport of 2024: what is compared with is the same over pipes.
#[tokio::test]
async fn over_the_event_stream_of_2024() {
    let Some(peers) = peers() else { return };
    let (_served, url) = everything_over_http(&peers, "sse", "sse").await;
    let transport = Transport::Http { url: url.parse().unwrap(), headers: Vec::new() };
    let proxied = Proxy::start(vec![server("everything", transport)], all()).await;
    let (_child, direct, mut heard) = directly(&script(&peers, "server-everything")).await;
    compare(direct, &mut heard, &proxied).await;
    proxied.stop().await;
}

#[tokio::test]
async fn over_streamable_http() {
    let Some(peers) = peers() else { return };
    let (_child, url) = everything_over_http(&peers, "streamableHttp", "mcp").await;
    let transport = Transport::Http { url: url.parse().unwrap(), headers: Vec::new() };
    let proxied = Proxy::start(vec![server("everything", transport)], all()).await;
    let (sender, mut heard) = mpsc::unbounded_channel();
    let direct = StreamableHttpClientTransport::from_uri(url);
    let direct = Listening(sender).serve(direct).await.unwrap();
    compare(direct, &mut heard, &proxied).await;
    proxied.stop().await;
}
