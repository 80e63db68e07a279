//! The admin API and its command line: who may, and what they can do while it serves.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::crawling::page;
use crate::support::mock_http::{Answer, MockHttp, Speaks};
use crate::support::service::{Ran, Service, configure, run};

async fn mock(tools: &[&str]) -> MockHttp {
    MockHttp::pages(Speaks::Stateless, false, vec![(None, page(tools, None))]).await
}

async fn service(folder: &Path, door: &MockHttp) -> Service {
    configure(folder, &format!("[servers.door]\nurl = \"{}\"", door.url));
    let service = Service::start(folder, &[]).await;
    service.until_state("door", "ready").await;
    service
}

/// Status and body of a request with this token.
async fn ask(
    service: &Service,
    method: Method,
    path: &str,
    token: Option<&str>,
    body: Option<Value>,
) -> (u16, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.request(method.clone(), format!("{}{path}", service.url));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if method == Method::POST {
        request = request.json(&body.unwrap_or_else(|| json!({})));
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    if status == 401 {
        assert!(response.headers().contains_key("www-authenticate"));
    }
    (status, response.json().await.unwrap_or_default())
}

async fn cli(folder: &Path, service: &Service, args: &[&str]) -> Ran {
    let place = ["--data", "data", "--url", &service.url];
    run(folder, &[&["server"], args, &place].concat()).await
}

fn token(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("data/admin.token")).unwrap().trim().to_owned()
}

#[tokio::test]
async fn nobody_gets_in_without_the_token() {
    let door = mock(&["open"]).await;
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path(), &door).await;
    let routes = [
        (Method::GET, "/v1/admin/config"),
        (Method::POST, "/v1/admin/reload"),
        (Method::POST, "/v1/admin/servers"),
        (Method::DELETE, "/v1/admin/servers/door"),
        (Method::POST, "/v1/admin/servers/door/pause"),
        (Method::POST, "/v1/admin/servers/door/resume"),
        (Method::POST, "/v1/admin/servers/door/refresh"),
        (Method::GET, "/v1/admin/pending"),
        (Method::GET, "/v1/admin/learned"),
        (Method::DELETE, "/v1/admin/learned"),
        (Method::POST, "/v1/admin/servers/door/approve"),
        (Method::POST, "/v1/admin/servers/door/reject"),
        (Method::GET, "/v1/admin/registries"),
        (Method::GET, "/v1/admin/evals"),
        (Method::POST, "/v1/admin/evals"),
        (Method::DELETE, "/v1/admin/evals/1"),
        (Method::POST, "/v1/admin/registries/servers/door/approve"),
        (Method::POST, "/v1/admin/registries/servers/door/revoke"),
    ];
    let wrong = "0".repeat(64);
    for (method, path) in routes {
        for said in [None, Some(wrong.as_str()), Some("")] {
            let (status, body) = ask(&service, method.clone(), path, said, None).await;
            assert_eq!(status, 401, "{method} {path}");
            assert_eq!(body["type"], "urn:toolscout:problem:unauthorized");
        }
    }
    assert_eq!(service.server("door").await["state"], "ready");
    assert!(!service.log().contains(&token(folder.path())));
    service.stop().await;

    // A token that others can read lets nobody start.
    let path = folder.path().join("data/admin.token");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let ran = run(folder.path(), &["serve", "--listen", "127.0.0.1:0", "--data", "data"]).await;
    assert!(ran.code != 0 && ran.stderr.contains("chmod 600"), "{}", ran.stderr);
}

#[tokio::test]
async fn a_paused_server_keeps_its_tools_and_is_not_asked_even_after_a_restart() {
    let door = mock(&["open"]).await;
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path(), &door).await;
    assert_eq!(cli(folder.path(), &service, &["pause", "door"]).await.stdout, "door is paused\n");
    service.until_state("door", "paused").await;
    assert_eq!(service.tools().await, ["door/open"]);
    let refused = cli(folder.path(), &service, &["refresh", "door"]).await;
    assert!(refused.code != 0 && refused.stderr.contains("resume it first"), "{}", refused.stderr);
    service.stop().await;

    let asked = door.seen().len();
    let service = Service::start(folder.path(), &[]).await;
    service.until_state("door", "paused").await;
    assert_eq!(service.tools().await, ["door/open"]);
    assert_eq!(door.seen().len(), asked, "a paused server was asked");
    assert_eq!(cli(folder.path(), &service, &["resume", "door"]).await.code, 0);
    service.until_state("door", "ready").await;
    let asked = door.seen().len();
    assert_eq!(cli(folder.path(), &service, &["refresh", "door"]).await.code, 0);
    service.until("the door is asked again", async || door.seen().len() > asked).await;
    service.stop().await;
}

#[tokio::test]
async fn a_server_is_added_and_removed_and_no_secret_is_told() {
    let (door, bell) = (mock(&["open"]).await, mock(&["ring"]).await);
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path(), &door).await;
    let token = token(folder.path());
    let post = async |body: Value| {
        ask(&service, Method::POST, "/v1/admin/servers", Some(&token), Some(body)).await
    };
    let (status, done) =
        post(json!({"id": "bell", "url": bell.url, "bearer_token": "s3cret-of-the-bell"})).await;
    assert_eq!((status, &done["done"]), (201, &json!("added")), "{done}");
    service.until_state("bell", "ready").await;
    let authorized = bell.seen().iter().any(|request| {
        request
            .headers
            .get("authorization")
            .is_some_and(|value| value == "Bearer s3cret-of-the-bell")
    });
    assert!(authorized, "the token is not sent");
    let listed = cli(folder.path(), &service, &["list"]).await.stdout;
    assert!(listed.contains("bell") && listed.contains("ready"), "{listed}");

    // What would run a command, read a file or a variable of this machine never comes so.
    for wrong in [
        json!({"id": "x", "command": "sh"}),
        json!({"id": "x", "url": bell.url, "command": "sh"}),
        json!({"id": "x", "url": bell.url, "bearer_token_file": "/etc/passwd"}),
        json!({"id": "x", "url": "${HOME}"}),
        json!({"id": "x", "url": "file:///etc/passwd"}),
        json!({"id": "", "url": bell.url}),
        json!({"url": bell.url}),
        json!([1]),
    ] {
        let (status, body) = post(wrong.clone()).await;
        assert_eq!(status, 400, "{wrong} {body}");
    }
    let (status, _) = post(json!({"id": "door", "url": bell.url})).await;
    assert_eq!(status, 409);
    service.stop().await;

    // It is there after a restart, and nothing told its token.
    let service = Service::start(folder.path(), &[]).await;
    service.until_state("bell", "ready").await;
    let (_, servers) = service.get("/v1/servers").await;
    for told in [servers.to_string(), service.log()] {
        assert!(!told.contains("s3cret-of-the-bell"), "{told}");
    }
    let refused = cli(folder.path(), &service, &["remove", "door"]).await;
    assert!(refused.code != 0 && refused.stderr.contains("configuration"), "{}", refused.stderr);
    assert_eq!(cli(folder.path(), &service, &["remove", "bell"]).await.stdout, "bell is removed\n");
    service.until("the bell is gone", async || service.server("bell").await.is_null()).await;
    assert_eq!(service.tools().await, ["door/open"]);
    let refused = cli(folder.path(), &service, &["remove", "bell"]).await;
    assert!(refused.code != 0 && refused.stderr.contains("no server `bell`"), "{}", refused.stderr);
    service.stop().await;
}

#[tokio::test]
async fn what_is_let_go_on_says_so_before_its_crawl_ends() {
    let hangs = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&hangs);
    let door = MockHttp::start(Speaks::Stateless, false, move |_| {
        if now.load(Ordering::SeqCst) {
            Answer::Hang
        } else {
            Answer::Result(page(&["open"], None))
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let entry = format!("[servers.door]\nurl = \"{}\"\ntimeout = \"10m\"\n", door.url);
    configure(folder.path(), &entry);
    let service = Service::start(folder.path(), &[]).await;
    service.until_state("door", "ready").await;
    cli(folder.path(), &service, &["pause", "door"]).await;
    service.until_state("door", "paused").await;
    hangs.store(true, Ordering::SeqCst);
    cli(folder.path(), &service, &["resume", "door"]).await;
    service.until_state("door", "stale").await;
    assert_eq!(service.tools().await, ["door/open"]);

    configure(folder.path(), &(entry.clone() + "enabled = false"));
    service.until_state("door", "disabled").await;
    configure(folder.path(), &entry);
    service.until_state("door", "connecting").await;
    service.stop().await;
}

#[tokio::test]
async fn a_command_for_a_service_minds_only_where_that_is() {
    let door = mock(&["open"]).await;
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path(), &door).await;
    let listen = service.url.trim_start_matches("http://");
    let wrong = "[servers.door]\ncomand = \"sh\"\n[embed.endpoint]\napi_key_env = \"NOT_SET\"\n\
                 [[registry]]\nname = \"ours\"\nurl = \"http://127.0.0.1:1\"\n";
    configure(folder.path(), &format!("listen = \"{listen}\"\ndata = \"data\"\n{wrong}"));
    for args in [&["server", "list"][..], &["trust", "pending"], &["registry", "pending"]] {
        let ran = run(folder.path(), args).await;
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.stderr);
    }
    configure(folder.path(), &format!("listen = 7\n[[[{wrong}"));
    assert_eq!(cli(folder.path(), &service, &["list"]).await.code, 0);
    assert_ne!(run(folder.path(), &["server", "list", "--data", "data"]).await.code, 0);
    // What would mean nothing is not offered.
    for flag in ["--demo", "--mcp-config=x.json", "--catalog=x.jsonl", "--model=x"] {
        let ran = cli(folder.path(), &service, &["list", flag]).await;
        assert!(ran.code == 2 && ran.stderr.contains("unexpected argument"), "{}", ran.stderr);
    }
    service.stop().await;
}
