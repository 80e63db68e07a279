//! The HTTP API over real sockets: what is answered, and what is refused and how.

use std::io::Read;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use toolscout::live::Live;

use crate::support::app::{ODD, SERVERS, TestApp, catalog, config};

fn names(answer: &Value) -> Vec<&str> {
    let tools = answer["tools"].as_array().unwrap();
    tools.iter().map(|tool| tool["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_search_answers_with_the_stored_bytes() {
    let app = TestApp::start().await;
    let reply = app.get("/v1/search?q=carrier+pigeon").await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.headers["content-type"], "application/json");
    assert!(reply.text.contains(&format!(r#""definition":{ODD}"#)), "{}", reply.text);

    let reply = app.post("/v1/search", r#"{"query":"send_mail","limit":1}"#).await;
    let answer = reply.json();
    assert_eq!(names(&answer), ["post/office/send_mail"]);
    assert_eq!(answer["mode"], "lexical");
    assert!(answer["reason"].is_string(), "a degraded answer says why: {answer}");
    assert!(answer["generation"].as_u64().unwrap() > 0);
    assert!(answer["took_us"].is_u64());
    assert_eq!(answer["stale"], json!([]));
    assert_eq!(answer["tools"][0]["server"], "post/office");
    assert_eq!(answer["tools"][0]["name"], "send_mail");
    assert!(answer["tools"][0].get("explain").is_none());
}

#[tokio::test]
async fn get_and_post_ask_the_same() {
    let app = TestApp::start().await;
    let got = app
        .get("/v1/search?q=create+meeting&q=calendar+event&limit=2&server=calendar&server=files&explain=1")
        .await
        .json();
    let posted = app
        .post(
            "/v1/search",
            json!({"queries": ["create meeting", "calendar event"], "limit": 2,
                "servers": ["calendar", "files"], "explain": true})
            .to_string(),
        )
        .await
        .json();
    assert_eq!(got["tools"], posted["tools"]);
    assert_eq!(names(&got).len(), 2);
    assert_eq!(names(&got)[0], "calendar/create_event");
    let explain = &got["tools"][0]["explain"];
    assert_eq!(explain["lexical"]["rank"], 1, "{explain}");
}

#[tokio::test]
async fn a_batch_answers_each_need_by_itself() {
    let app = TestApp::start().await;
    let body = json!({"limit": 1, "servers": ["calendar"], "batch": [
        {"query": "delete an event"},
        {"queries": ["read a file"], "servers": ["files"]},
    ]});
    let reply = app.post("/v1/search", body.to_string()).await;
    let answers = reply.json();
    let answers = answers["answers"].as_array().unwrap();
    assert_eq!(names(&answers[0]), ["calendar/delete_event"]);
    assert_eq!(names(&answers[1]), ["files/read_file"]);
}

#[tokio::test]
async fn bad_searches_are_refused_by_name() {
    let app = TestApp::start().await;
    for (path, code) in [
        ("/v1/search", "invalid-request"),
        ("/v1/search?q=", "empty-query"),
        ("/v1/search?q=%00%01%1b", "empty-query"),
        ("/v1/search?q=a&limit=0", "limit-out-of-range"),
        ("/v1/search?q=a&limit=10000", "limit-out-of-range"),
        ("/v1/search?q=a&limit=-1", "invalid-request"),
        ("/v1/search?q=a&limit=99999999999999999999999", "invalid-request"),
        ("/v1/search?q=a&limit=1&limit=2", "invalid-request"),
        ("/v1/search?q=a&explain=maybe", "invalid-request"),
        ("/v1/search?q=a&server=nowhere", "unknown-server"),
        ("/v1/search?q=a&sever=files", "invalid-request"),
        ("/v1/tools?limit=0", "invalid-request"),
        ("/v1/tools?limit=10000", "invalid-request"),
        ("/v1/tools?server=nowhere", "unknown-server"),
        ("/v1/tools?page=2", "invalid-request"),
    ] {
        let reply = app.get(path).await;
        assert_eq!(reply.status, 400, "{path}: {}", reply.text);
        assert_eq!(reply.problem(), code, "{path}: {}", reply.text);
    }
    let too_many = json!({"queries": vec!["a"; 9]}).to_string();
    let long = json!({"query": "mail ".repeat(100_000)}).to_string();
    for (body, code) in [
        ("", "invalid-request"),
        ("{", "invalid-request"),
        ("[]", "invalid-request"),
        ("null", "invalid-request"),
        ("{}", "invalid-request"),
        (r#"{"query":7}"#, "invalid-request"),
        (r#"{"query":"a","queries":["a"]}"#, "invalid-request"),
        (r#"{"queries":[]}"#, "empty-query"),
        (r#"{"query":"a","limt":3}"#, "invalid-request"),
        (r#"{"query":"a","limit":0}"#, "limit-out-of-range"),
        (r#"{"query":"a","limit":-1}"#, "invalid-request"),
        (r#"{"query":"a","servers":["nowhere"]}"#, "unknown-server"),
        (r#"{"batch":[]}"#, "invalid-request"),
        (r#"{"query":"a","batch":[{"query":"a"}]}"#, "invalid-request"),
        (r#"{"batch":[{"query":"a"},{"query":""}]}"#, "empty-query"),
        (too_many.as_str(), "too-many-phrasings"),
        (long.as_str(), "query-too-long"),
    ] {
        let reply = app.post("/v1/search", body.to_owned()).await;
        let shown = &body[..body.len().min(80)];
        assert_eq!(reply.status, 400, "{shown}: {}", reply.text);
        assert_eq!(reply.problem(), code, "{shown}: {}", reply.text);
    }
    let reply =
        app.post("/v1/search", r#"{"batch":[{"query":"a"},{"query":"a","limit":51}]}"#).await;
    let detail = reply.json()["detail"].to_string();
    assert!(detail.contains("batch[1]"), "{detail}");
    assert!(
        app.get("/v1/search?q=read%00a%1bfile&limit=1").await.text.contains("files/read_file"),
        "control characters among words do no harm"
    );
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_the_server_goes_on() {
    let app = TestApp::start().await;
    let reply = app.post("/v1/search", vec![b' '; 1024 * 1024 + 1]).await;
    assert_eq!(reply.status, 413);
    assert_eq!(reply.problem(), "body-too-large");

    // A megabyte in the request line: refused by the HTTP layer, before there is a request.
    let mut socket = TcpStream::connect(app.address).await.unwrap();
    let head =
        format!("GET /v1/search?q={} HTTP/1.1\r\nhost: localhost\r\n\r\n", "a".repeat(1 << 20));
    // The server may close before it has read everything.
    let _ = socket.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer).await;
    let line = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
    assert!(line.is_empty() || line.contains(" 414 ") || line.contains(" 431 "), "{line}");

    assert_eq!(app.get("/livez").await.status, 200);
}

#[tokio::test]
async fn every_tool_is_listed_once_page_by_page() {
    let app = TestApp::start().await;
    let all = catalog(SERVERS);
    for limit in [1, 2, 4, 6, 1000] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let reply = app.get(&format!("/v1/tools?limit={limit}{cursor}")).await;
            assert_eq!(reply.status, 200, "{}", reply.text);
            let page = reply.json_lossy();
            seen.extend(names(&page).into_iter().map(str::to_owned));
            assert!(names(&page).len() <= limit);
            let Some(next) = page["next_cursor"].as_str() else {
                break;
            };
            let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
            cursor = format!("&cursor={next}");
        }
        let ids: Vec<_> = all.tools().iter().map(|tool| tool.id.to_string()).collect();
        assert_eq!(seen, ids, "limit {limit}");
    }
    let page = app.get("/v1/tools?server=post/office").await;
    assert!(page.text.contains(&format!(r#""definition":{ODD}"#)));
    assert_eq!(names(&page.json_lossy()).len(), 2);
    assert_eq!(app.get("/v1/tools?cursor=zzz").await.json()["tools"], json!([]));
}

#[tokio::test]
async fn a_tool_is_found_under_its_id_encoded_or_not() {
    let app = TestApp::start().await;
    for path in ["post%2Foffice%2Fsend_mail", "post/office/send_mail", "post%2foffice/send_mail"] {
        let reply = app.get(&format!("/v1/tools/{path}")).await;
        assert_eq!(reply.json()["id"], "post/office/send_mail", "{path}");
    }
    let odd = "post/office/odd/n%C3%A4me%20%252F";
    let reply = app.get(&format!("/v1/tools/{odd}")).await;
    assert!(reply.text.contains(&format!(r#""definition":{ODD}"#)), "{}", reply.text);
    for unknown in ["post", "post/office", "post/office/send_mail/", "%20", "..%2f..%2fetc"] {
        let reply = app.get(&format!("/v1/tools/{unknown}")).await;
        assert_eq!((reply.status.as_u16(), reply.problem()), (404, "unknown-tool".into()));
    }
    let reply = app.get("/v1/tools/%ff").await;
    assert_eq!((reply.status.as_u16(), reply.problem()), (400, "invalid-request".into()));
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_problems_too() {
    let app = TestApp::start().await;
    for path in ["/nowhere", "/v1", "/v2/search", "/v1/search/", "/v1/tools/"] {
        let reply = app.get(path).await;
        assert_eq!(
            (reply.status.as_u16(), reply.problem()),
            (404, "no-such-path".into()),
            "{path}"
        );
    }
    for (method, path) in [
        (Method::DELETE, "/v1/search"),
        (Method::DELETE, "/v1/tools/files%2Fread_file"),
        (Method::DELETE, "/v1/status"),
        (Method::TRACE, "/livez"),
    ] {
        let reply = app.send(app.request(method.clone(), path)).await;
        assert_eq!(reply.status, 405, "{method} {path}");
        assert_eq!(reply.problem(), "wrong-method");
        assert!(reply.headers.contains_key("allow"), "{method} {path}");
    }
    assert_eq!(app.post("/v1/status", "{}").await.status, 405);
    assert_eq!(app.send(app.request(Method::HEAD, "/livez")).await.status, 200);
}

#[tokio::test]
async fn servers_and_status_have_the_promised_shape() {
    let app = TestApp::start().await;
    let servers = app.get("/v1/servers").await.json();
    let servers = servers["servers"].as_array().unwrap();
    let ids: Vec<_> = servers.iter().map(|server| &server["id"]).collect();
    assert_eq!(ids, ["calendar", "files", "post/office"]);
    for server in servers {
        assert_eq!(server["state"], "ready", "{server}");
        assert!(server["tools"].as_u64().unwrap() > 0);
        assert!(server["age_s"].as_u64().unwrap() < 3600);
        for key in ["title", "protocol", "transport", "next_crawl_s"] {
            assert!(server.get(key).is_some(), "{key} in {server}");
        }
    }
    let status = app.get("/v1/status").await.json();
    assert_eq!(status["total"], 6);
    assert_eq!(status["embedded"], 0);
    assert_eq!(status["encoder"], Value::Null);
    assert_eq!(status["mode"], "lexical");
    assert!(status["reason"].is_string());
    assert_eq!(status["servers"]["ready"], 3);
    assert_eq!(status["servers"]["failed"], 0);
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert!(status["uptime_s"].is_u64());
}

#[tokio::test]
async fn before_the_first_generation_it_lives_but_is_not_ready() {
    let app = TestApp::serve(Live::new("not crawled yet"), &config()).await;
    assert_eq!(app.get("/livez").await.status, 200);
    for path in ["/readyz", "/v1/search?q=mail"] {
        let reply = app.get(path).await;
        assert_eq!((reply.status.as_u16(), reply.problem()), (503, "not-ready".into()));
        assert_eq!(reply.headers["retry-after"], "1");
    }
    assert_eq!(app.get("/v1/status").await.json()["generation"], 0);
    let ready = TestApp::start().await;
    assert_eq!(ready.get("/readyz").await.json()["status"], "ok");
}

#[tokio::test]
async fn metrics_count_by_route_and_never_by_what_callers_write() {
    let app = TestApp::start().await;
    let secret = "q8z1unlikely";
    app.get(&format!("/v1/search?q={secret}")).await;
    app.get(&format!("/v1/tools/{secret}")).await;
    app.get(&format!("/{secret}")).await;
    let method = Method::from_bytes(secret.to_uppercase().as_bytes()).unwrap();
    app.send(app.request(method, "/livez")).await;
    let text = app.get("/metrics").await.text;
    for line in [
        r#"toolscout_http_requests_total{route="/v1/search",method="GET",status="200"}"#,
        r#"toolscout_http_requests_total{route="/v1/tools/{*id}",method="GET",status="404"}"#,
        r#"toolscout_http_requests_total{route="unmatched",method="GET",status="404"}"#,
        r#"toolscout_http_requests_total{route="/livez",method="other",status="405"}"#,
        r#"toolscout_http_request_duration_seconds_bucket{route="/v1/search",le="0.005"}"#,
        r#"toolscout_searches_total{mode="lexical"}"#,
        "toolscout_degraded_searches_total ",
        "toolscout_tools 6\n",
        "toolscout_tools_embedded 0\n",
        "toolscout_generation ",
        r#"toolscout_servers{state="ready"} 3"#,
        r#"toolscout_servers{state="auth_required"} 0"#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.to_lowercase().contains(secret), "{text}");
}

#[tokio::test]
async fn a_shutdown_ends_streams_and_returns() {
    let app = TestApp::start().await;
    let listen = app
        .request(Method::POST, "/mcp")
        .header("accept", "application/json, text/event-stream")
        .header("content-type", "application/json")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "subscriptions/listen")
        .body(
            json!({"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": {
                "notifications": {"toolsListChanged": true},
                "_meta": {
                    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
                    "io.modelcontextprotocol/clientCapabilities": {},
                },
            }})
            .to_string(),
        );
    let mut stream = listen.send().await.unwrap();
    assert_eq!(stream.status(), 200);
    let first = stream.chunk().await.unwrap().unwrap();
    let first = String::from_utf8_lossy(&first).into_owned();
    assert!(first.contains("notifications/subscriptions/acknowledged"), "{first}");
    let address = app.address;
    app.stop().await;
    while let Ok(Some(_)) = stream.chunk().await {}
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn answers_are_compressed_for_who_asks_and_kept_by_no_cache() {
    let app = TestApp::start().await;
    for path in ["/v1/search?q=mail", "/v1/tools", "/openapi.json"] {
        let plain = app.get(path).await;
        assert!(!plain.headers.contains_key("content-encoding"), "{path}");
        let asked = app.request(Method::GET, path).header("accept-encoding", "gzip");
        let response = asked.send().await.unwrap();
        assert_eq!(response.headers()["content-encoding"], "gzip", "{path}");
        let packed = response.bytes().await.unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
        // Not to the letter: how long a search took differs.
        assert!(text.starts_with('{') && text.ends_with('}'), "{text}");
        assert_eq!(text.contains(ODD), plain.text.contains(ODD), "{path}");
    }
    for path in ["/v1/search?q=mail", "/v1/search", "/v1/status", "/nowhere"] {
        let reply = app.get(path).await;
        assert_eq!(reply.headers["cache-control"], "no-store", "{path}");
    }
}
