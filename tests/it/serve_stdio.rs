//! `toolscout serve --stdio` as a host starts it: a child that speaks MCP on its pipes and takes
//! its own children with it when it goes.
#![cfg(target_os = "linux")]

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use rmcp::ServiceError;
use rmcp::model::{CallToolRequestParams, CallToolResult, ProtocolVersion};
use rmcp::service::{
    ClientLifecycleMode, ClientServiceExt, RoleClient, RunningService, ServiceExt,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::support::crawling::PATIENCE;
use crate::support::service::{catalog, configure};

type Client = RunningService<RoleClient, ()>;

fn start(data: &std::path::Path, args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_toolscout"))
        .args(["serve", "--stdio", "--data"])
        .arg(data)
        .args(args)
        .env_remove("TOOLSCOUT_MODEL")
        .env_remove("TOOLSCOUT_CONFIG")
        .current_dir(data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn call(
    client: &Client,
    tool: &'static str,
    arguments: &Value,
) -> Result<CallToolResult, ServiceError> {
    let arguments = arguments.as_object().cloned().unwrap();
    let request = CallToolRequestParams::new(tool).with_arguments(arguments);
    client.call_tool(request).await
}

/// Searches again until `id` is found: the first crawl takes its time.
async fn search_until(client: &Client, query: &str, id: &str) -> Value {
    loop {
        let found = call(client, "search_tools", &json!({ "query": query })).await.unwrap();
        if let Some(found) = found.structured_content
            && found["tools"][0]["id"] == id
        {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// State and parent of a process, if it is there.
fn stat(pid: &str) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?))
}

fn children_of(parent: u32) -> Vec<String> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|pid| stat(pid).is_some_and(|(_, of)| of == parent))
        .collect()
}

/// The demo's servers over stdio, as soon as the crawl has started some.
async fn wait_for_children(parent: u32) -> Vec<String> {
    loop {
        let children = children_of(parent);
        if !children.is_empty() {
            return children;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn runs(pid: &str) -> bool {
    stat(pid).is_some_and(|(state, _)| state != 'Z')
}

#[tokio::test]
async fn a_host_is_served_over_pipes_until_it_closes_them() {
    let modern =
        ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
    for era in [ClientLifecycleMode::Initialize, modern] {
        let data = tempfile::tempdir().unwrap();
        let mut child = start(data.path(), &["--demo"]);
        let children = wait_for_children(child.id().unwrap()).await;
        let pipes = (child.stdout.take().unwrap(), child.stdin.take().unwrap());
        let client = ().serve_with_lifecycle(pipes, era).await.unwrap();

        let list = client.list_tools(None).await.unwrap();
        let names: Vec<_> = list.tools.iter().map(|tool| &*tool.name).collect();
        assert_eq!(names, ["search_tools", "get_tool", "list_servers"]);

        let stored: Value =
            serde_json::from_str(include_str!("../../index-data/demo/calendar.json")).unwrap();
        let name = stored["tools"][0]["name"].as_str().unwrap();
        let id = format!("calendar/{name}");
        let found = search_until(&client, &id, &id).await;
        assert_eq!(found["mode"], "hybrid", "{found}");
        let got = call(&client, "get_tool", &json!({ "id": id })).await.unwrap();
        let got = got.structured_content.unwrap();
        assert_eq!(got["definition"]["name"], name);
        assert_eq!(got["definition"], found["tools"][0]["definition"]);

        client.cancel().await.unwrap();
        let status = child.wait().await.unwrap();
        assert!(status.success(), "{status}");
        let left: Vec<_> = children.iter().filter(|pid| runs(pid)).collect();
        assert!(left.is_empty(), "left running: {left:?}");
    }
}

#[tokio::test]
async fn a_hangup_has_it_read_its_configuration_anew() {
    let folder = tempfile::tempdir().unwrap();
    catalog(folder.path(), &[("door", "knock", "Knock on wood"), ("bell", "ring", "Ring it")]);
    let entry = "[servers.all]\ncatalog = \"catalog.jsonl\"\n";
    configure(folder.path(), &format!("{entry}deny = [\"ring\"]"));
    let mut child = start(folder.path(), &[]);
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    let pipes = (child.stdout.take().unwrap(), child.stdin.take().unwrap());
    let client: Client = ().serve(pipes).await.unwrap();
    let found = |query, id| tokio::time::timeout(PATIENCE, search_until(&client, query, id));
    found("door/knock", "door/knock").await.unwrap();

    configure(folder.path(), entry);
    kill_process(pid, Signal::HUP).unwrap();
    found("bell/ring", "bell/ring").await.unwrap();
    // Without a signal its files are looked at.
    configure(folder.path(), &format!("{entry}deny = [\"knock\"]"));
    let gone = async {
        loop {
            let found = call(&client, "search_tools", &json!({ "query": "door/knock" })).await;
            let found = found.unwrap().structured_content.unwrap();
            let mut tools = found["tools"].as_array().unwrap().iter();
            if !tools.any(|tool| tool["id"] == "door/knock") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
    client.cancel().await.unwrap();
    assert!(child.wait().await.unwrap().success());
}
