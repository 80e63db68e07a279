//! The stand-in for the model APIs refuses what they refuse: else the examples would prove nothing.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::fakes::Fakes;

/// `value` with the one at `pointer` replaced.
fn with(value: &Value, pointer: &str, other: Value) -> Value {
    let mut value = value.clone();
    *value.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = other;
    value
}

/// `value` without the member `key` of what is at `pointer`.
fn without(value: &Value, pointer: &str, key: &str) -> Value {
    let mut value = value.clone();
    value.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(key).unwrap();
    value
}

async fn check(fakes: &Fakes, path: &str, sound: &Value, refused: &[(Value, &str)]) {
    let (status, answer) = fakes.post(path, sound.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    for (request, expected) in refused {
        let (status, answer) = fakes.post(path, request.to_string()).await;
        assert_eq!(status, 400, "{expected}: {answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(expected), "{expected}: {message}");
    }
}

#[tokio::test]
async fn the_messages_api_refuses_what_it_does_not_take() {
    let Some(fakes) = Fakes::start().await else { return };
    let sound = json!({
        "model": "m", "max_tokens": 1,
        "tools": [
            {"name": "search_tools", "description": "d", "input_schema": {"type": "object"}},
            {"name": "a__b", "description": "d", "defer_loading": true,
                "input_schema": {"type": "object", "properties": {}}},
        ],
        "messages": [
            {"role": "user", "content": "need"},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "u", "name": "search_tools", "input": {"query": "need"}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "u",
                "content": [{"type": "tool_reference", "tool_name": "a__b"}]}]},
        ],
    });
    let reference = "/messages/2/content/0/content/0";
    check(
        &fakes,
        "/v1/messages",
        &sound,
        &[
            (without(&sound, "", "max_tokens"), "max_tokens: Field required"),
            (with(&sound, "/tools/0/name", json!("a/b")), "should match pattern"),
            (with(&sound, "/tools/0/name", json!("n".repeat(65))), "should match pattern"),
            (with(&sound, "/tools/0/name", json!("a__b")), "must be unique"),
            (without(&sound, "/tools/1", "input_schema"), "Field required"),
            (with(&sound, "/tools/1/input_schema", json!({})), "type 'object'"),
            (
                with(&sound, "/tools/1/input_schema", json!({"type": "object", "anyOf": []})),
                "anyOf",
            ),
            (with(&sound, "/tools/1", json!({"inputSchema": {}})), "Extra inputs"),
            (
                with(&sound, "/tools", json!([sound["tools"][1]])),
                "All tools have defer_loading set",
            ),
            (with(&sound, &format!("{reference}/tool_name"), json!("c")), "Tool reference 'c'"),
            (without(&sound, reference, "tool_name"), "Field required"),
            (
                with(&sound, "/messages/2/content/0/tool_use_id", json!("x")),
                "unexpected `tool_use_id`",
            ),
            (without(&sound, "/messages/2/content/0", "tool_use_id"), "Field required"),
            (with(&sound, "/messages/2/content", json!("no")), "without `tool_result`"),
            (with(&sound, "/messages/2", json!({"role": "user", "content": ""})), "non-empty"),
        ],
    )
    .await;
}

#[tokio::test]
async fn the_responses_api_refuses_what_it_does_not_take() {
    let Some(fakes) = Fakes::start().await else { return };
    let sound = json!({
        "model": "m",
        "tools": [{"type": "tool_search", "execution": "client", "description": "d",
            "parameters": {"type": "object"}}],
        "input": [
            {"role": "user", "content": "need"},
            {"type": "tool_search_call", "call_id": "s", "execution": "client",
                "arguments": {"query": "need"}},
            {"type": "tool_search_output", "call_id": "s", "execution": "client",
                "status": "completed", "tools": [{"type": "namespace", "name": "a",
                "description": "d", "tools": [{"type": "function", "name": "b",
                "description": "d", "parameters": {"type": "object"}, "defer_loading": true}]}]},
            {"type": "function_call", "call_id": "f", "namespace": "a", "name": "b",
                "arguments": "{}"},
            {"type": "function_call_output", "call_id": "f", "output": "done"},
        ],
    });
    let (output, space) = ("/input/2", "/input/2/tools/0");
    let function = "/input/2/tools/0/tools/0";
    check(
        &fakes,
        "/v1/responses",
        &sound,
        &[
            (without(&sound, "", "input"), "'input'"),
            (without(&sound, "/input/1", "call_id"), "'input[1].call_id'"),
            (without(&sound, output, "call_id"), "No tool search call found"),
            (with(&sound, "/input/2/call_id", json!("x")), "No tool search call found"),
            (with(&sound, "/input/2/execution", json!("server")), "execution"),
            (with(&sound, "/input/2/tools/0/name", json!("a.b")), "should match pattern"),
            (without(&sound, space, "description"), "Field required"),
            (with(&sound, "/input/2/tools/0/tools", json!([])), "needs a function"),
            (with(&sound, &format!("{function}/name"), json!("n".repeat(65))), "pattern"),
            (
                with(&sound, &format!("{function}/parameters"), json!({"type": ["object"]})),
                "object",
            ),
            (
                with(&sound, function, json!({"type": "function", "input_schema": {}})),
                "Extra inputs",
            ),
            (without(&sound, "/input/3", "namespace"), "Missing namespace"),
            (with(&sound, "/input/4/call_id", json!("x")), "No tool call found"),
            (
                with(&sound, "/input", json!([sound["input"][0], sound["input"][1]])),
                "No tool output",
            ),
            (
                with(&sound, "/tools", json!([sound["input"][2]["tools"][0]])),
                "Deferred tools require tools.tool_search",
            ),
        ],
    )
    .await;
}

/// Names, schemas and descriptions that no model API takes are mended on the way to it.
#[tokio::test]
async fn what_toolscout_gives_is_taken_whatever_servers_sent() {
    let Some(fakes) = Fakes::start().await else { return };
    let app = TestApp::start().await;
    for (api, path, member, rest) in [
        ("anthropic", "/v1/messages", "messages", r#""max_tokens":1"#),
        ("openai", "/v1/responses", "input", r#""store":false"#),
    ] {
        for (from, wanted) in [
            (format!("/v1/{api}/tools"), "tools"),
            (format!("/v1/search?q=carrier+pigeon+mail&format={api}"), "result"),
        ] {
            let given = app.get(&from).await.text;
            // As text: the test catalog has what a `Value` can't hold.
            let given: BTreeMap<&str, &RawValue> = serde_json::from_str(&given).unwrap();
            let tools = given[wanted].get();
            assert!(tools.contains("post_office__odd_n_me"), "{tools}");
            let body = format!(
                r#"{{"model":"m","tools":{tools},"{member}":[{{"role":"user","content":"x"}}],{rest}}}"#
            );
            let (status, answer) = fakes.post(path, body).await;
            assert_eq!(status, 200, "{from}: {answer}");
        }
    }
}
