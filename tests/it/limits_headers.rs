//! What every answer tells browsers, as it stands on the wire.

use reqwest::Method;

use crate::support::app::{Reply, TestApp};

/// The headers of an answer that don't change with each.
fn steady(reply: &Reply) -> String {
    let mut lines: Vec<String> = reply
        .headers
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "date" | "x-request-id" | "content-length"))
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    lines.sort();
    lines.join("\n")
}

#[tokio::test]
async fn answers_say_that_they_are_no_pages() {
    let app = TestApp::start().await;
    insta::assert_snapshot!(steady(&app.get("/v1/status").await));
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_is_told_what_it_may_read() {
    let app = TestApp::start().await;
    let request = app.request(Method::GET, "/v1/status").header("origin", "http://localhost:3000");
    insta::assert_snapshot!(steady(&app.send(request).await));
    let preflight = app
        .request(Method::OPTIONS, "/v1/admin/servers/x")
        .header("origin", "http://localhost:3000")
        .header("access-control-request-method", "DELETE")
        .header("access-control-request-headers", "authorization");
    insta::assert_snapshot!(steady(&app.send(preflight).await));
}

#[tokio::test]
async fn refusals_say_it_as_well() {
    let app = TestApp::start().await;
    let foreign = app.request(Method::GET, "/v1/status").header("host", "evil.example");
    for reply in [
        app.get("/nowhere").await,
        app.send(foreign).await,
        app.post("/v1/search", "{").await,
        app.send(app.request(Method::DELETE, "/v1/search")).await,
    ] {
        assert!(reply.status.is_client_error());
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "DENY"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(reply.headers[name], value, "{}", reply.text);
        }
        // In the clear a browser is told nothing that only TLS can keep.
        assert!(!reply.headers.contains_key("strict-transport-security"));
    }
}
