//! How a service ends: what is open is answered within a deadline, what is known is saved, and
//! nothing that was started stays.

use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::net::{TcpStream, UnixDatagram};
use toolscout::config::Transport;

use crate::support::crawling::{PATIENCE, page, until};
use crate::support::mock_stdio::MockStdio;
use crate::support::service::{Service, configure, serve, snapshot};

/// A server that ends only when it is killed, with a child of its own; its tool `slow` does that.
fn stubborn(slow: &Value) -> MockStdio {
    MockStdio::new(&json!({
        "pages": [[null, page(&["slow"], None)]],
        "calls": {"slow": slow}, "grandchild": true, "stubborn": true,
    }))
}

fn point_at(folder: &Path, mock: &MockStdio) {
    let Transport::Stdio { command, args, .. } = mock.transport() else {
        unreachable!("it speaks on stdio");
    };
    let entry = format!("[servers.house]\ncommand = {command:?}\nargs = {args:?}");
    configure(folder, &format!("[call]\nenabled = true\nallow = \"all\"\n{entry}"));
}

/// Status and body of a call of the tool, over HTTP or over MCP.
async fn call(url: String, over_mcp: bool) -> (u16, String) {
    let asked = json!({"id": "house/slow", "arguments": {}});
    let params = json!({"name": "call_tool", "arguments": asked});
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let (path, body) = if over_mcp { ("/mcp", message) } else { ("/v1/call", asked) };
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client
        .post(format!("{url}{path}"))
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-11-25");
    match request.json(&body).send().await {
        Ok(response) => (response.status().as_u16(), response.text().await.unwrap_or_default()),
        Err(error) => (0, error.to_string()),
    }
}

#[tokio::test]
async fn calls_under_way_are_answered_and_nothing_is_left() {
    let done = r#"{"content":[{"type":"text","text":"done at last"}]}"#;
    let mock = stubborn(&json!({"wait": true, "result": done}));
    let folder = tempfile::tempdir().unwrap();
    point_at(folder.path(), &mock);
    let mut service = Service::start(folder.path(), &["--drain", "1h"]).await;
    service.until_state("house", "ready").await;
    let calls: Vec<_> =
        [false, true].map(|mcp| tokio::spawn(call(service.url.clone(), mcp))).into();
    until("the calls are under way", || mock.count("call slow") == 2).await;

    service.signal(Signal::TERM);
    let address = service.url.strip_prefix("http://").unwrap().to_owned();
    service
        .until("new connections are refused", async || TcpStream::connect(&address).await.is_err())
        .await;
    mock.go();
    for call in calls {
        let (status, body) = call.await.unwrap();
        assert!(status == 200 && body.contains("done at last"), "{status} {body}");
    }
    assert_eq!(service.ended().await, Some(0), "{}", service.log());
    until("children and theirs have ended", || mock.running().is_empty()).await;
    assert!(mock.count("start") >= 2, "{:?}", mock.log());
    assert!(snapshot(folder.path()).is_file());
}

#[tokio::test]
async fn a_call_that_outlasts_the_deadline_is_cut_off() {
    let mock = stubborn(&json!("hang"));
    let folder = tempfile::tempdir().unwrap();
    point_at(folder.path(), &mock);
    let mut service = Service::start(folder.path(), &["--drain", "100ms"]).await;
    service.until_state("house", "ready").await;
    let cut = tokio::spawn(call(service.url.clone(), false));
    until("the call is under way", || mock.count("call slow") == 1).await;
    service.signal(Signal::TERM);
    assert_eq!(service.ended().await, Some(0), "{}", service.log());
    assert_ne!(cut.await.unwrap().0, 200);
    assert!(service.log().contains("have been cut off"), "{}", service.log());
    until("children and theirs have ended", || mock.running().is_empty()).await;
}

#[tokio::test]
async fn a_second_signal_leaves_no_child_either() {
    let mock = stubborn(&json!("hang"));
    let folder = tempfile::tempdir().unwrap();
    point_at(folder.path(), &mock);
    let mut service = Service::start(folder.path(), &["--drain", "1h"]).await;
    service.until_state("house", "ready").await;
    let cut = tokio::spawn(call(service.url.clone(), false));
    until("the call is under way", || mock.count("call slow") == 1).await;
    service.signal(Signal::TERM);
    service.until_logged("stopping").await;
    service.signal(Signal::TERM);
    assert_eq!(service.ended().await, Some(130));
    assert_ne!(cut.await.unwrap().0, 200);
    until("children and theirs have ended", || mock.running().is_empty()).await;
}

#[tokio::test]
async fn a_service_manager_hears_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut command = serve(folder.path(), &["--demo"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "20000");
    let mut service = Service::of(command).await;
    let mut told = String::new();
    let mut wait_for = async |word: &str| {
        let mut bytes = [0; 1_000];
        while !told.lines().any(|line| line == word) {
            let read = tokio::time::timeout(PATIENCE, socket.recv(&mut bytes)).await;
            let read = read.unwrap_or_else(|_| panic!("no {word}: {told}")).unwrap();
            told.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
            told.push('\n');
        }
    };
    wait_for("READY=1").await;
    wait_for("WATCHDOG=1").await;
    service.signal(Signal::TERM);
    wait_for("STOPPING=1").await;
    assert_eq!(service.ended().await, Some(0));
}
