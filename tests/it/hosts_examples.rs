//! Every file of `examples/` does what it says: over the real binary with the demo's servers, and
//! against a stand-in for the model APIs that refuses what they refuse.

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::fakes::{Fakes, example, printed};
use crate::support::peers;
use crate::support::service::Service;

const NEED: &str = "give the customer their money back";
/// What that needs.
const TOOL: &str = "payments/refund_payment";

/// The demo's servers, and calls switched on as the examples say.
pub async fn demo() -> (TempDir, Service) {
    let folder = tempfile::tempdir().unwrap();
    let config = example("toolscout.toml");
    let args = ["--demo", "--config", config.to_str().unwrap()];
    let service = Service::start(folder.path(), &args).await;
    service.until_ready().await;
    let listed = async || service.status().await["servers"]["ready"] == 14;
    service.until("all servers are listed", listed).await;
    (folder, service)
}

/// The demo ran the tool and said so, and the model told it on.
fn assert_called(said: &str) {
    let call = format!("{TOOL} would have run with");
    assert!(said.starts_with("The tool said: ") && said.contains(&call), "{said}");
}

/// The tools of each request, by name and whether they are deferred.
fn tools(seen: &Value) -> Vec<(&str, bool)> {
    let tools = seen["request"]["tools"].as_array().unwrap().iter();
    tools.map(|tool| (tool["name"].as_str().unwrap_or(""), tool["defer_loading"] == true)).collect()
}

#[tokio::test]
async fn claude_finds_a_deferred_tool_by_reference_and_calls_it() {
    let Some(fakes) = Fakes::start().await else { return };
    let (_folder, service) = demo().await;
    assert_called(&fakes.run("hosts", "anthropic_tool_search.py", &service.url, &[NEED]).await);
    let seen = fakes.seen().await;
    assert_eq!(seen.len(), 3, "search, call, answer");
    let all = service.status().await["total"].as_u64().unwrap();
    for one in &seen {
        let tools = tools(one);
        let deferred = tools.iter().filter(|(_, deferred)| *deferred).count();
        assert_eq!((deferred as u64, tools.len() as u64), (all, all + 1));
    }
    let result = &seen[1]["request"]["messages"][2]["content"][0];
    assert_eq!(result["content"][0]["tool_name"], "payments__refund_payment", "{result}");
}

#[tokio::test]
async fn claude_gets_the_tools_for_its_next_request_and_keeps_them() {
    let Some(fakes) = Fakes::start().await else { return };
    let (_folder, service) = demo().await;
    assert_called(&fakes.run("hosts", "anthropic_select.py", &service.url, &[NEED]).await);
    let seen = fakes.seen().await;
    assert_eq!(seen.len(), 2, "call, answer");
    let (first, second) = (tools(&seen[0]), tools(&seen[1]));
    assert_eq!(first[0], ("payments__refund_payment", false), "{first:?}");
    assert!(second.starts_with(&first), "{second:?}");
}

#[tokio::test]
async fn an_openai_model_searches_by_the_client_and_calls() {
    let Some(fakes) = Fakes::start().await else { return };
    let (_folder, service) = demo().await;
    assert_called(&fakes.run("hosts", "openai_tool_search.py", &service.url, &[NEED]).await);
    let seen = fakes.seen().await;
    assert_eq!(seen.len(), 3, "search, call, answer");
    assert!(seen.iter().all(|one| tools(one) == [("", false)]), "the search alone");
    let output = &seen[1]["request"]["input"][0];
    assert_eq!(output["tools"][0]["name"], "payments", "{output}");
}

#[tokio::test]
async fn an_agent_of_the_agents_sdk_searches_and_calls_over_mcp() {
    let Some(fakes) = Fakes::start().await else { return };
    let (_folder, service) = demo().await;
    assert_called(&fakes.run("hosts", "agents_sdk.py", &service.url, &[NEED]).await);
    assert_eq!(fakes.seen().await.len(), 3, "search, call, answer");
}

#[tokio::test]
async fn an_agent_of_langgraph_searches_and_calls_over_mcp() {
    if peers::folder("langgraph", &[".venv"]).is_none() {
        return;
    }
    let Some(fakes) = Fakes::start().await else { return };
    let (_folder, service) = demo().await;
    assert_called(&fakes.run("langgraph", "langgraph_agent.py", &service.url, &[NEED]).await);
    assert_eq!(fakes.seen().await.len(), 3, "search, call, answer");
}

#[tokio::test]
async fn the_client_of_fastmcp_finds_and_calls() {
    let Some(hosts) = peers::folder("hosts", &[".venv"]) else { return };
    let (_folder, service) = demo().await;
    let mut command = Command::new(hosts.join(".venv/bin/python"));
    let arguments = r#"{"payment_id": "pay_1"}"#;
    command.arg(example("fastmcp_client.py")).args([NEED, arguments]);
    command.env("TOOLSCOUT_URL", &service.url);
    let said = printed(command).await;
    assert!(said.starts_with(&format!("{TOOL} ")), "{said}");
    assert!(
        said.contains(&format!("{TOOL} would have run with {arguments}").replace(": ", ":")),
        "{said}"
    );
}

#[tokio::test]
async fn curl_finds_and_calls() {
    let (_folder, service) = demo().await;
    let run = async |args: &[&str]| {
        let mut command = Command::new("bash");
        command.arg(example("plain_http.sh")).args(args).env("TOOLSCOUT_URL", &service.url);
        printed(command).await
    };
    let found: Value = serde_json::from_str(&run(&[NEED]).await).unwrap();
    let line = found["result"][0].as_str().unwrap();
    assert!(line.starts_with(&format!("{TOOL}(")) && line.contains("payment_id: string"), "{line}");
    let said = run(&[NEED, TOOL, r#"{"payment_id": "pay_1"}"#]).await;
    let called: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    let text = called["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("would have run with"), "{called}");
}
