//! The whole catalog for model APIs: what a search refers to is in it, under the same name.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use toolscout::live::Live;

use crate::support::app::{SERVERS, TestApp, catalog, config};

fn names(tools: &Value) -> BTreeSet<String> {
    let all = tools.as_array().unwrap().iter();
    all.flat_map(|tool| match tool["tools"].as_array() {
        Some(inner) => inner.clone(),
        None => vec![tool.clone()],
    })
    .filter_map(|tool| tool["name"].as_str().map(str::to_owned))
    .collect()
}

#[tokio::test]
async fn every_reference_resolves_in_the_list() {
    let app = TestApp::start().await;
    let list = app.get("/v1/anthropic/tools").await.json();
    let tools = list["tools"].as_array().unwrap();
    assert_eq!((list["total"].as_u64(), tools.len()), (Some(6), 7));
    assert_eq!(tools[0]["name"], "search_tools");
    assert!(tools[0].get("defer_loading").is_none(), "one tool must not be deferred");
    assert!(tools[0]["description"].as_str().unwrap().contains("6 tools of 3 servers"));
    assert!(tools[1..].iter().all(|tool| tool["defer_loading"] == true));
    let listed = names(&list["tools"]);
    let openai = app.get("/v1/openai/tools").await.json();
    assert_eq!(openai["tools"][0]["type"], "tool_search");
    assert_eq!(openai["tools"][0]["execution"], "client");
    let mut expected = listed.clone();
    expected.remove("search_tools");
    assert_eq!(names(&openai["tools"]), expected);

    for need in ["create an event", "carrier pigeon", "read a file"] {
        let asked = json!({"query": need, "format": "tool_reference"});
        let answer = app.post("/v1/search", asked.to_string()).await.json();
        for reference in answer["result"]["content"].as_array().unwrap() {
            assert!(listed.contains(reference["tool_name"].as_str().unwrap()), "{reference}");
        }
    }
}

#[tokio::test]
async fn a_list_that_is_known_is_not_sent_again() {
    let app = TestApp::start().await;
    for path in ["/v1/anthropic/tools", "/v1/openai/tools", "/v1/openai/tools?server=files"] {
        let first = app.get(path).await;
        let tag = first.headers["etag"].to_str().unwrap().to_owned();
        let again = app.request(Method::GET, path).header("if-none-match", &tag);
        let again = app.send(again).await;
        assert_eq!((again.status.as_u16(), again.text.as_str()), (304, ""));
        let other = app.request(Method::GET, path).header("if-none-match", "W/\"0\"");
        assert_eq!(app.send(other).await.status, 200);
    }
    // The same tools, another time: the tag is of the content.
    let later = TestApp::serve(Live::from_catalog(catalog(SERVERS)), &config()).await;
    let tag = |reply: &crate::support::app::Reply| reply.headers["etag"].clone();
    let path = "/v1/anthropic/tools";
    assert_eq!(tag(&app.get(path).await), tag(&later.get(path).await));
}

#[tokio::test]
async fn servers_narrow_a_list() {
    let app = TestApp::start().await;
    let list = app.get("/v1/anthropic/tools?server=files").await.json();
    assert_eq!(
        names(&list["tools"]),
        ["files__read_file", "search_tools"].map(str::to_owned).into()
    );
    assert_eq!(app.get("/v1/openai/tools?server=nowhere").await.problem(), "unknown-server");
    assert_eq!(app.get("/v1/openai/tools?q=a").await.problem(), "invalid-request");
    let early = TestApp::serve(Live::new("not crawled yet"), &config()).await;
    assert_eq!(early.get("/v1/anthropic/tools").await.problem(), "not-ready");
}
