//! Servers over HTTP: eras, credentials, redirects, floods and silence.

use std::time::Duration;

use axum::Router;
use axum::http::Uri;
use axum::response::Redirect;
use axum::routing::any;
use toolscout::catalog::{Outcome, ServerInfo};
use toolscout::config::Transport;
use toolscout::crawl::crawl_once;
use url::Url;

use crate::support::crawling::{
    PATIENCE, failure, http, limits, listing, names, outcome, page, server,
};
use crate::support::mock_http::{Answer, MockHttp, Speaks};

fn one_page() -> Vec<(Option<&'static str>, String)> {
    vec![(None, page(&["a"], None))]
}

#[tokio::test]
async fn refusals_of_discovery_lead_to_the_handshake() {
    for (status, code) in
        [(400, -32600), (404, -32601), (405, -32000), (500, -32603), (400, -32022), (200, -32602)]
    {
        let mock = MockHttp::pages(Speaks::Handshake(status, code), true, one_page()).await;
        let listing = listing(outcome(http(&mock.url)).await);
        assert_eq!(names(&listing), ["a"], "HTTP {status}, {code}");
    }
}

#[tokio::test]
async fn the_remembered_era_comes_first() {
    let remembered =
        |version: &str| ServerInfo { protocol: Some(version.into()), ..ServerInfo::default() };
    let mock = MockHttp::pages(Speaks::Handshake(404, -32601), false, one_page()).await;
    let server_of = |mock: &MockHttp| server("srv", http(&mock.url));
    crawl_once(&server_of(&mock), &limits(), Some(&remembered("2025-06-18"))).await;
    assert_eq!(mock.count("server/discover"), 0);
    assert_eq!(mock.count("tools/list"), 1);
    // A server that has moved on is found all the same, and one that has moved back too.
    let moved = MockHttp::pages(Speaks::Stateless, false, one_page()).await;
    let known = remembered("2024-11-05");
    let update = crawl_once(&server_of(&moved), &limits(), Some(&known)).await.remove(0);
    assert_eq!(listing(update.outcome).info.protocol.as_deref(), Some("2026-07-28"));
    assert_eq!(moved.seen()[0].method, "initialize");
    let known = remembered("2026-07-28");
    let update = crawl_once(&server_of(&mock), &limits(), Some(&known)).await.remove(0);
    assert_eq!(listing(update.outcome).info.protocol.as_deref(), Some("2025-06-18"));
}

#[tokio::test]
async fn headers_of_each_era_are_sent() {
    let mock = MockHttp::pages(Speaks::Stateless, false, one_page()).await;
    let transport = Transport::Http {
        url: mock.url.clone(),
        headers: vec![("Authorization".into(), "Bearer token-123".into())],
    };
    listing(outcome(transport).await);
    for request in mock.seen() {
        assert_eq!(request.headers["authorization"], "Bearer token-123");
        assert_eq!(request.headers["mcp-protocol-version"], "2026-07-28");
        assert_eq!(request.headers["mcp-method"], *request.method);
    }
    let mock = MockHttp::pages(Speaks::Handshake(404, -32601), false, one_page()).await;
    listing(outcome(http(&mock.url)).await);
    let listings: Vec<_> = mock.seen();
    let request = listings.iter().find(|request| request.method == "tools/list").unwrap();
    assert_eq!(request.headers["mcp-session-id"], "s1");
    assert_eq!(request.headers["mcp-protocol-version"], "2025-06-18");
}

#[tokio::test]
async fn a_gated_server_is_known_as_such() {
    for (code, challenge) in [(401, Some("Bearer realm=x")), (401, None), (403, None)] {
        let mock = MockHttp::start(Speaks::Nothing(code, challenge), false, |_| Answer::Hang).await;
        let gated = outcome(http(&mock.url)).await;
        let Outcome::AuthRequired { error } = gated else {
            panic!("HTTP {code}: {gated:?}");
        };
        assert!(error.contains(&format!("HTTP {code}")), "{error}");
        // One that lets everybody in but shows its tools to nobody.
        for speaks in [Speaks::Stateless, Speaks::Handshake(400, -32600)] {
            let mock =
                MockHttp::start(speaks, false, move |_| Answer::Status(code, challenge)).await;
            let gated = outcome(http(&mock.url)).await;
            assert!(matches!(gated, Outcome::AuthRequired { .. }), "{gated:?}");
        }
    }
}

#[tokio::test]
async fn errors_say_what_to_do() {
    let mock = MockHttp::start(Speaks::Stateless, false, |_| Answer::Status(503, None)).await;
    let error = failure(outcome(http(&mock.url)).await);
    assert!(error.contains("HTTP 503"), "{error}");
    let mock = MockHttp::start(Speaks::Nothing(404, None), false, |_| Answer::Hang).await;
    let error = failure(outcome(http(&mock.url)).await);
    assert!(error.contains("`url`"), "{error}");
    for (content, body) in [("text/html", "<p>Hello"), ("application/json", "hello")] {
        let mock =
            MockHttp::start(Speaks::Stateless, false, move |_| Answer::Body(content, body.into()))
                .await;
        let error = failure(outcome(http(&mock.url)).await);
        assert!(error.contains("breaks the protocol"), "{error}");
    }
    let mock = MockHttp::start(Speaks::Stateless, false, |_| {
        Answer::Body("application/json", b"{\"result\":\"\xff\"}".to_vec())
    })
    .await;
    assert!(failure(outcome(http(&mock.url)).await).contains("UTF-8"));
}

#[tokio::test]
async fn nobody_there_and_no_secret_told() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url: Url =
        format!("http://user:hunter22@127.0.0.1:{port}/mcp?key=sesame99").parse().unwrap();
    let error = failure(outcome(http(&url)).await);
    assert!(error.contains("can't reach the server"), "{error}");
    assert!(!error.contains("hunter22") && !error.contains("sesame99"), "{error}");
    // A server that tells what it was sent.
    let mock = MockHttp::start(Speaks::Stateless, false, |_| {
        Answer::Error(-32000, "bad token: token-123")
    })
    .await;
    let transport = Transport::Http {
        url: mock.url.clone(),
        headers: vec![("Authorization".into(), "Bearer token-123".into())],
    };
    let error = failure(outcome(transport).await);
    assert!(error.contains("bad token: ***"), "{error}");
    let transport = Transport::Http {
        url: mock.url.clone(),
        headers: vec![("X-Key".into(), "new\nline".into())],
    };
    let error = failure(outcome(transport).await);
    assert!(error.contains("`X-Key`") && !error.contains("line"), "{error}");
}

#[tokio::test]
async fn a_flood_is_cut_off() {
    for events in [false, true] {
        let mock = MockHttp::start(Speaks::Stateless, events, |_| Answer::Flood).await;
        let error = failure(outcome(http(&mock.url)).await);
        assert!(error.contains("more than 4194304 bytes"), "{error}");
    }
}

#[tokio::test]
async fn silence_ends_at_the_timeout() {
    let mock = MockHttp::start(Speaks::Stateless, false, |_| Answer::Hang).await;
    let mut server = server("srv", http(&mock.url));
    server.timeout = Duration::from_millis(300);
    let limits = limits();
    let crawl = crawl_once(&server, &limits, None);
    let updates = tokio::time::timeout(PATIENCE / 2, crawl).await.expect("hangs");
    let error = failure(updates.into_iter().next().unwrap().outcome);
    assert!(error.contains("within 300ms") && error.contains("`timeout`"), "{error}");
}

#[tokio::test]
async fn credentials_stay_within_the_origin() {
    let mock = MockHttp::pages(Speaks::Stateless, false, one_page()).await;
    let elsewhere = mock.url.clone();
    let app = Router::new()
        .route("/away", any(move || async move { Redirect::temporary(elsewhere.as_str()) }))
        .route("/round", any(|_: Uri| async { Redirect::temporary("/round") }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    for path in ["away", "round"] {
        let url = format!("{origin}/{path}").parse().unwrap();
        let error = failure(outcome(http(&url)).await);
        assert!(error.contains("HTTP 307"), "{error}");
    }
    assert!(mock.seen().is_empty());
    task.abort();
}

#[tokio::test]
async fn redirects_within_the_origin_are_followed() {
    let mock = MockHttp::pages(Speaks::Stateless, false, one_page()).await;
    let target = mock.url.clone();
    // The same origin, as the client sees it: a proxy in front would do the same.
    let app = Router::new().route("/old", any(|| async { Redirect::permanent("/mcp") })).fallback(
        any(move |request: axum::extract::Request| async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            let response = reqwest::Client::new()
                .post(target)
                .headers(parts.headers)
                .body(body)
                .send()
                .await
                .unwrap();
            axum::http::Response::<reqwest::Body>::from(response).map(axum::body::Body::new)
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/old", listener.local_addr().unwrap()).parse().unwrap();
    let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    assert_eq!(names(&listing(outcome(http(&url)).await)), ["a"]);
    task.abort();
}

#[tokio::test]
async fn tools_with_invalid_header_annotations_are_left_out_and_reported() {
    let tool = |name: &str, header: &str| {
        format!(
            r#"{{"name":"{name}","inputSchema":{{"type":"object","properties":{{"p":{{"type":"string","x-mcp-header":{header}}}}}}}}}"#
        )
    };
    let tools = [tool("good", "\"Region\""), tool("bad", "\"no token\""), tool("worse", "7")];
    let page = format!(r#"{{"tools":[{}]}}"#, tools.join(","));
    for events in [false, true] {
        let pages = vec![(None, page.clone())];
        let mock = MockHttp::pages(Speaks::Stateless, events, pages).await;
        let listing = listing(outcome(http(&mock.url)).await);
        assert_eq!(names(&listing), ["good"]);
        assert_eq!(
            listing.defects,
            [
                "bad left out: its x-mcp-header is invalid",
                "worse left out: its x-mcp-header is invalid",
            ]
        );
    }
    // Older versions know no such annotation.
    let mock = MockHttp::pages(Speaks::Handshake(404, -32601), false, vec![(None, page)]).await;
    assert_eq!(names(&listing(outcome(http(&mock.url)).await)), ["good", "bad", "worse"]);
}
