//! Definitions arrive byte for byte, over every transport and in both eras.

use serde_json::json;

use crate::support::crawling::{definitions, http, listing, outcome};
use crate::support::mock_http::{MockHttp, Speaks};
use crate::support::mock_stdio::MockStdio;

const HANDSHAKE: Speaks = Speaks::Handshake(400, -32600);

/// Definitions that a typed decode, or a detour over a JSON value, would lose or change.
fn odd() -> Vec<String> {
    let deep = format!("{}0{}", "[".repeat(600), "]".repeat(600));
    vec![
        r#"{"name":"plain","inputSchema":{"type":"object"}}"#.into(),
        r#"{ "zeta" : 1, "inputSchema":{"type":"object","b":2,"a":1}, "name" :"order", "alpha":[ ] }"#.into(),
        r#"{"name":"numbers","inputSchema":{"type":"object","default":1e400,"max":-0.0,"n":12345678901234567890123,"x":1.10}}"#.into(),
        r#"{"name":"surrogate","description":"lone \ud83d here","inputSchema":{"type":"object"}}"#.into(),
        r#"{"name":"escapes","description":"\u00e9\/é\u0000","inputSchema":{"type":"object"}}"#.into(),
        format!(r#"{{"name":"deep","inputSchema":{{"type":"object","default":{deep}}}}}"#),
        r#"{"name":"unknown","inputSchema":{"type":"object"},"execution":{"taskSupport":"optional"},"x":null}"#.into(),
        r#"{"name":"twice","a":1,"inputSchema":{"type":"object"},"a":2}"#.into(),
        r#"{"name":"badschema","inputSchema":true,"outputSchema":true,"icons":[{}],"annotations":{"readOnlyHint":"yes"}}"#.into(),
    ]
}

fn page() -> String {
    // Odd members of the page itself do no harm either.
    format!(r#"{{"huge":1e999, "tools":[ {} ],"_meta":{{}}}}"#, odd().join(" , "))
}

#[tokio::test]
async fn over_http() {
    for speaks in [HANDSHAKE, Speaks::Stateless] {
        for events in [false, true] {
            let mock = MockHttp::pages(speaks, events, vec![(None, page())]).await;
            let listing = listing(outcome(http(&mock.url)).await);
            assert_eq!(definitions(&listing), odd());
            assert_eq!(listing.defects, ["badschema: inputSchema is not an object"]);
        }
    }
}

#[tokio::test]
async fn over_stdio() {
    for stateless in [false, true] {
        let mock = MockStdio::new(&json!({"pages": [[null, page()]], "stateless": stateless}));
        let listing = listing(outcome(mock.transport()).await);
        assert_eq!(definitions(&listing), odd());
        let version = if stateless { "2026-07-28" } else { "2024-11-05" };
        assert_eq!(listing.info.protocol.as_deref(), Some(version));
    }
}

#[tokio::test]
async fn over_an_event_of_many_lines() {
    // In an event stream each line of the message is a `data:` line of its own.
    let definition = "{\n\"name\":\"lines\",\n\n \"inputSchema\":{}}";
    let body = move |id: &str| {
        let message =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"tools":[{definition}]}}}}"#);
        format!("data: {}\n\n", message.replace('\n', "\ndata: "))
    };
    // The third request of the session, whose ids count from 0 or 1.
    let mock = MockHttp::start(HANDSHAKE, false, move |_| {
        let bodies = (0..6).map(|id| body(&id.to_string())).collect::<String>();
        crate::support::mock_http::Answer::Body("text/event-stream", bodies.into_bytes())
    })
    .await;
    assert_eq!(definitions(&listing(outcome(http(&mock.url)).await)), [definition]);
}
