//! Host, Origin and content type are checked on every route, the unknown ones too.

use reqwest::Method;
use toolscout::live::Live;

use crate::support::app::{SERVERS, TestApp, catalog, config};

/// Every path of the OpenAPI document, and some that nothing is served at.
async fn paths(app: &TestApp) -> Vec<String> {
    let document = app.get("/openapi.json").await.json();
    let mut paths: Vec<String> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(|path| path.replace("{id}", "x"))
        .collect();
    assert!(paths.len() > 10, "{paths:?}");
    paths.extend(["/".into(), "/nowhere".into()]);
    paths
}

#[tokio::test]
async fn a_foreign_origin_or_host_is_refused_on_every_route() {
    let app = TestApp::start().await;
    for path in paths(&app).await {
        for method in [Method::GET, Method::POST, Method::OPTIONS, Method::DELETE] {
            for (header, value, code) in [
                ("origin", "https://evil.example", "origin-not-allowed"),
                ("origin", "null", "origin-not-allowed"),
                ("host", "evil.example", "host-not-allowed"),
                ("host", "evil.example:7420", "host-not-allowed"),
            ] {
                let request = app
                    .request(method.clone(), &path)
                    .header(header, value)
                    .header("content-type", "application/json")
                    .body("{}");
                let reply = app.send(request).await;
                assert_eq!(reply.status, 403, "{method} {path} {header}: {value}");
                assert_eq!(reply.problem(), code);
            }
        }
    }
}

#[tokio::test]
async fn a_post_without_json_is_refused_on_every_route() {
    let app = TestApp::start().await;
    for path in paths(&app).await {
        for kind in ["text/plain", "application/x-www-form-urlencoded", ""] {
            let mut request = app.request(Method::POST, &path).body("{}");
            if !kind.is_empty() {
                request = request.header("content-type", kind);
            }
            let reply = app.send(request).await;
            assert_eq!(reply.status, 415, "{path} {kind}");
            assert_eq!(reply.problem(), "not-json");
        }
    }
}

#[tokio::test]
async fn what_the_operator_allows_is_served() {
    let mut config = config();
    config.allowed_hosts = vec!["tools.example".into()];
    config.allowed_origins = vec!["https://console.example".into()];
    let app = TestApp::serve(Live::from_catalog(catalog(SERVERS)), &config).await;
    for (host, origin, status) in [
        ("tools.example", "https://console.example", 200),
        ("tools.example:8443", "http://localhost:5173", 200),
        ("localhost", "http://127.0.0.1", 200),
        ("tools.example", "http://console.example", 403),
        ("www.tools.example", "https://console.example", 403),
    ] {
        for path in ["/v1/status", "/metrics", "/.well-known/mcp"] {
            let request =
                app.request(Method::GET, path).header("host", host).header("origin", origin);
            assert_eq!(app.send(request).await.status, status, "{path} {host} {origin}");
        }
    }
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_read_the_answers_and_no_other() {
    let mut config = config();
    config.allowed_origins = vec!["https://console.example".into()];
    let app = TestApp::serve(Live::from_catalog(catalog(SERVERS)), &config).await;
    for origin in ["https://console.example", "http://localhost:5173"] {
        let preflight = app
            .request(Method::OPTIONS, "/mcp")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type,mcp-protocol-version");
        let reply = app.send(preflight).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert_eq!(reply.headers["access-control-allow-origin"], origin);
        let headers = reply.headers["access-control-allow-headers"].to_str();
        assert!(headers.unwrap().contains("mcp-protocol-version"));
        let methods = reply.headers["access-control-allow-methods"].to_str();
        assert!(methods.unwrap().contains("POST"));
        for path in ["/v1/status", "/v1/search", "/nowhere"] {
            let reply = app.send(app.request(Method::GET, path).header("origin", origin)).await;
            assert_eq!(reply.headers["access-control-allow-origin"], origin);
            let exposed = &reply.headers["access-control-expose-headers"];
            assert_eq!(exposed, "x-request-id,retry-after,www-authenticate");
            let credentials = "access-control-allow-credentials";
            assert!(!reply.headers.contains_key(credentials));
        }
    }
    for path in paths(&app).await {
        let preflight = app
            .request(Method::OPTIONS, &path)
            .header("origin", "https://evil.example")
            .header("access-control-request-method", "GET");
        let reply = app.send(preflight).await;
        assert_eq!(reply.status, 403, "{path}");
        assert!(!reply.headers.contains_key("access-control-allow-origin"));
    }
}
