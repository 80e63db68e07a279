//! News of the tool list over HTTP, for clients that begin with `initialize`.

use futures::{Stream, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio_util::bytes::Bytes;
use toolscout::config::CallConfig;

use crate::support::app::{TestApp, remove_server};
use crate::support::crawling::{PATIENCE, page, server};
use crate::support::mock_stdio::MockStdio;
use crate::support::peers;
use crate::support::proxy::{Proxy, all};

fn listen(app: &TestApp) -> reqwest::RequestBuilder {
    app.request(Method::GET, "/mcp").header("accept", "text/event-stream")
}

/// Waits for the next event, which has to be the news.
async fn news(body: &mut (impl Stream<Item = reqwest::Result<Bytes>> + Unpin)) {
    let read = async {
        let mut text = String::new();
        while !text.contains("\n\n") || text.starts_with(':') {
            text.push_str(std::str::from_utf8(&body.next().await.unwrap().unwrap()).unwrap());
        }
        text
    };
    let text = tokio::time::timeout(PATIENCE, read).await.unwrap();
    let data: Value = serde_json::from_str(text.trim().strip_prefix("data: ").unwrap()).unwrap();
    let told = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
    assert_eq!(data, told);
}

#[tokio::test]
async fn a_change_is_told_on_the_stream() {
    let app = TestApp::start().await;
    let stream = listen(&app).send().await.unwrap();
    assert_eq!(stream.status(), 200);
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let mut body = stream.bytes_stream();
    remove_server(&app.live, "files").await;
    news(&mut body).await;
    // It ends with the service, which waits for no one.
    app.stop().await;
    assert!(tokio::time::timeout(PATIENCE, body.next()).await.unwrap().is_none());
}

#[tokio::test]
async fn calls_that_are_switched_on_or_off_change_the_list() {
    let mock = MockStdio::pages(&[(None, &page(&["knock"], None))]);
    let proxy = Proxy::start(vec![server("door", mock.transport())], CallConfig::default()).await;
    let mut body = listen(&proxy.app).send().await.unwrap().bytes_stream();
    proxy.caller().configure(all());
    news(&mut body).await;
    proxy.caller().configure(CallConfig::default());
    news(&mut body).await;
}

#[tokio::test]
async fn whoever_has_another_way_gets_none() {
    let app = TestApp::start().await;
    let plain = app.request(Method::GET, "/mcp").header("accept", "application/json");
    assert_eq!(app.send(plain).await.status, 405);
    let newer = listen(&app).header("mcp-protocol-version", "2026-07-28");
    assert_eq!(app.send(newer).await.status, 405);
}

#[tokio::test]
async fn the_typescript_sdk_hears_of_a_change() {
    let Some(sdk) = peers::folder("sdk", &["node_modules"]) else { return };
    let app = TestApp::start().await;
    let mut child = Command::new("node")
        .arg(sdk.join("ts_news.mjs"))
        .arg(app.url("/mcp"))
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let stdout = tokio::io::BufReader::new(child.stdout.take().unwrap());
    let mut lines = tokio::io::AsyncBufReadExt::lines(stdout);
    let mut next = async || {
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        line.expect("it says nothing").unwrap()
    };
    assert_eq!(next().await.as_deref(), Some("listening"));
    remove_server(&app.live, "files").await;
    assert_eq!(next().await.as_deref(), Some("changed"));
}
