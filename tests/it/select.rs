//! `/v1/select`: the tools for the next turn of a conversation, in any host's dialect.

use serde_json::{Value, json};
use toolscout::catalog::Catalog;
use toolscout::demo;
use toolscout::live::Live;

use crate::support::app::{SERVERS, TestApp, catalog, config, profiles};

async fn app() -> TestApp {
    let demo = Catalog::from_listings(demo::catalog().unwrap());
    TestApp::serve(Live::from_catalog(demo), &config()).await
}

async fn select(app: &TestApp, asked: Value) -> Value {
    let reply = app.post("/v1/select", asked.to_string()).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()
}

fn list<'a>(answer: &'a Value, key: &str) -> Vec<&'a str> {
    answer[key].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect()
}

#[tokio::test]
async fn every_dialect_gets_the_same_tools_in_its_own_shape() {
    let app = app().await;
    let need = "refund a card payment";
    let text = select(&app, json!({"text": need})).await;
    let ids = list(&text, "ids");
    assert_eq!(list(&text, "added"), ids);
    assert_eq!(text["result"][0]["inputSchema"]["type"], "object");
    let messages = json!([{"role": "user", "content": [{"type": "text", "text": need}]}]);
    let anthropic = select(&app, json!({"messages": messages})).await;
    assert_eq!(list(&anthropic, "ids"), ids);
    assert_eq!(anthropic["result"][0]["input_schema"]["type"], "object");
    let input = json!([{"role": "user", "content": [{"type": "input_text", "text": need}]}]);
    for input in [input, json!(need)] {
        let openai = select(&app, json!({"input": input})).await;
        assert_eq!(list(&openai, "ids"), ids);
        assert_eq!(openai["result"][0]["type"], "function");
    }
    let names = select(&app, json!({"messages": messages, "format": "names"})).await;
    assert_eq!(list(&names, "result"), ids);
}

#[tokio::test]
async fn over_a_conversation_tools_stay_in_place_and_new_ones_follow() {
    let app = app().await;
    let mut messages = vec![json!({"role": "user", "content": "refund the payment of order 17"})];
    let first = select(&app, json!({"messages": messages, "pinned": ["mail/sendMessage"]})).await;
    let before = list(&first, "ids");
    assert_eq!(before[0], "mail/sendMessage", "{before:?}");
    let name = first["result"][1]["name"].clone();
    messages.push(json!({"role": "assistant", "content": [
        {"type": "tool_use", "id": "toolu_1", "name": name, "input": {}}]}));
    messages.push(json!({"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": "refunded"}]}));
    messages.push(json!({"role": "user", "content": "create a calendar event for tomorrow"}));
    let asked = |limit: usize| {
        json!({"messages": messages, "pinned": ["mail/sendMessage"], "previous": before,
            "limit": limit})
    };
    let second = select(&app, asked(50)).await;
    let after = list(&second, "ids");
    assert_eq!(after[..before.len()], before, "what was given stays in its place");
    assert!(after[before.len()..].contains(&"calendar/create_event"), "{after:?}");
    assert_eq!(after[before.len()..], list(&second, "added"));
    assert_eq!(second["removed"], json!([]));
    assert_eq!(second["result"][0], first["result"][0]);

    let tight = select(&app, asked(4)).await;
    let kept = list(&tight, "ids");
    assert_eq!(kept.len(), 4);
    assert!(kept.contains(&"mail/sendMessage"), "pinned: {kept:?}");
    assert!(kept.contains(&before[1]), "called: {kept:?}");
    assert!(kept.contains(&"calendar/create_event"), "needed: {kept:?}");
    assert!(list(&tight, "removed").iter().all(|id| before.contains(id) && !kept.contains(id)));

    // A word that asks for nothing leaves all as it is.
    for last in ["yes, do that", "thanks!"] {
        messages.push(json!({"role": "user", "content": last}));
        let third = select(&app, json!({"messages": messages, "previous": after})).await;
        assert_eq!(list(&third, "ids"), after, "{last}");
    }
    // Where nothing was given before, it goes on with the need before it.
    let anew = select(&app, json!({"messages": messages})).await;
    assert!(list(&anew, "ids").contains(&"calendar/create_event"), "{anew}");
}

#[tokio::test]
async fn budgets_and_what_is_gone_are_told() {
    let app = app().await;
    let asked = json!({"text": "create an event", "token_budget": 600, "format": "anthropic",
        "previous": ["gone/tool", "calendar__create_event"], "pinned": ["gone/too"]});
    let answer = select(&app, asked).await;
    assert_eq!(list(&answer, "removed"), ["gone/tool"]);
    assert_eq!(list(&answer, "missing"), ["gone/too"]);
    assert_eq!(list(&answer, "ids")[0], "calendar/create_event", "a model's name will do");
    let returned = answer["tokens"]["returned"].as_u64().unwrap();
    assert!(returned <= 600 && answer["reduced"].is_object(), "{}", answer["tokens"]);
    assert_eq!(answer["tokens"]["family"], "anthropic");
}

#[tokio::test]
async fn a_profile_narrows_pins_and_says_the_format() {
    let of = "[profiles.desk]\nservers = ['calendar', 'files']\npinned = ['files/read_file']\n\
        format = 'openai'\ntoken_budget = 5000";
    let live = Live::from_catalog_with(catalog(SERVERS), &profiles(of));
    let app = TestApp::serve(live, &config()).await;
    let body = json!({"messages": [{"role": "user", "content": "send an e-mail to somebody"}]});
    for path in ["/p/desk/v1/select", "/v1/select?profile=desk", "/v1/select"] {
        let mut body = body.clone();
        if path == "/v1/select" {
            body["profile"] = "desk".into();
        }
        let answer = app.post(path, body.to_string()).await.json();
        let ids = list(&answer, "ids");
        assert_eq!(ids[0], "files/read_file", "{path}: {answer}");
        assert!(ids.iter().all(|id| !id.starts_with("post/")), "{ids:?}");
        assert_eq!(answer["result"][0]["parameters"]["type"], "object");
        assert_eq!(answer["tokens"]["budget"], 5000);
    }
    let hidden = json!({"text": "read", "pinned": ["post/office/send_mail"], "profile": "desk"});
    let answer = app.post("/v1/select", hidden.to_string()).await.json();
    assert_eq!(list(&answer, "missing"), ["post/office/send_mail"]);
    let tools = app.get("/p/desk/v1/anthropic/tools").await;
    assert!(
        tools.text.contains("files__read_file") && !tools.text.contains("post"),
        "{}",
        tools.text
    );
}

#[tokio::test]
async fn what_cant_be_read_is_refused() {
    let app = app().await;
    for (body, code) in [
        (json!({}), "invalid-request"),
        (json!({"text": "a", "messages": []}), "invalid-request"),
        (json!({"input": 7}), "invalid-request"),
        (json!({"messages": "a"}), "invalid-request"),
        (json!({"text": "a", "limit": 0}), "invalid-request"),
        (json!({"text": "a", "token_budget": 0}), "invalid-request"),
        (json!({"text": "a", "what": 1}), "invalid-request"),
        (json!({"text": "a", "previous": vec!["x"; 1_001]}), "invalid-request"),
        (json!({"text": "a", "pinned": vec!["x"; 1_001]}), "invalid-request"),
        (json!({"text": "?!"}), "empty-query"),
        (json!({"messages": [{"role": "system", "content": "be kind"}]}), "empty-query"),
        (json!({"text": "a", "servers": ["nowhere"]}), "unknown-server"),
    ] {
        let reply = app.post("/v1/select", body.to_string()).await;
        assert_eq!((reply.status.as_u16(), reply.problem()), (400, code.into()), "{body}");
    }
}
