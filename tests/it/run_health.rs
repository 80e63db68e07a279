//! What load balancers and people are told of how a service does: `/livez`, `/readyz`, `/health`.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::mock_stdio::MockStdio;
use crate::support::service::{Service, catalog, configure, run};

const HOUSE: &str = "[servers.house]\ncatalog = \"catalog.jsonl\"\n";

/// A folder with a catalog of one tool, and what else its configuration says.
fn folder(more: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    catalog(folder.path(), &[("house", "ring_bell", "Ring the bell")]);
    configure(folder.path(), &format!("{HOUSE}{more}"));
    folder
}

/// Why a part is degraded.
fn why(ready: &Value, part: &str) -> Option<String> {
    let parts = ready["degraded"].as_array().unwrap_or_else(|| panic!("{ready}"));
    let of_part = parts.iter().find(|one| one["part"] == part);
    of_part.map(|one| one["why"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_service_that_is_well_says_so() {
    let folder = folder("");
    let service = Service::start(folder.path(), &[]).await;
    service.until("well", async || service.get("/readyz").await.1["status"] == "ok").await;
    let (status, ready) = service.get("/readyz").await;
    assert_eq!((status, &ready["degraded"]), (200, &json!([])));
    assert!(ready["generation"].as_u64() > Some(0), "{ready}");
    let well = json!({"status": "healthy", "version": env!("CARGO_PKG_VERSION")});
    assert_eq!(service.get("/health").await, (200, well));
    service.stop().await;
}

#[tokio::test]
async fn what_is_degraded_is_named_and_servers_are_counted() {
    let folder = folder("[servers.unreached]\nurl = \"http://127.0.0.1:1/mcp\"\n");
    // A file stands where the snapshots should be.
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::write(folder.path().join("data/snapshots"), "").unwrap();
    let service = Service::start(folder.path(), &[]).await;
    service.until_state("unreached", "failed").await;
    service.until_ready().await;
    let told = async |part: &str| why(&service.get("/readyz").await.1, part);
    service.until("the snapshot", async || told("snapshot").await.is_some()).await;
    let (status, ready) = service.get("/readyz").await;
    assert_eq!((status, &ready["status"]), (200, &json!("degraded")));
    let servers = why(&ready, "servers").unwrap();
    assert!(servers.starts_with("1 failed: "), "{servers}");
    assert_eq!(why(&ready, "configuration"), None);
    assert_eq!(service.get("/health").await.0, 200);

    // A configuration that can't be read changes nothing, and is told of.
    configure(folder.path(), "listen = 7");
    service.signal(Signal::HUP);
    service.until("the configuration", async || told("configuration").await.is_some()).await;
    let (_, ready) = service.get("/readyz").await;
    for secret in ["unreached", folder.path().to_str().unwrap()] {
        assert!(!ready.to_string().contains(secret), "{ready}");
    }

    // Whoever runs it may know which.
    let token = fs::read_to_string(folder.path().join("data/admin.token")).unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let asked = client.get(format!("{}/readyz", service.url)).bearer_auth(token.trim());
    let told: Value = asked.send().await.unwrap().json().await.unwrap();
    let servers = told["degraded"].as_array().unwrap().iter().find(|one| one["part"] == "servers");
    assert_eq!(servers.unwrap()["servers"], json!(["unreached"]), "{told}");

    // What was mended is named no more; another catalog is another snapshot.
    let tool = fs::read_to_string(folder.path().join("catalog.jsonl")).unwrap();
    fs::write(folder.path().join("more.jsonl"), tool.replace("house", "more")).unwrap();
    fs::remove_file(folder.path().join("data/snapshots")).unwrap();
    let more = format!("{HOUSE}[servers.more]\ncatalog = \"more.jsonl\"\n");
    configure(folder.path(), &more);
    service.signal(Signal::HUP);
    service.until("mended", async || service.get("/readyz").await.1["status"] == "ok").await;
    service.stop().await;
}

#[tokio::test]
async fn an_encoder_that_is_missing_is_degraded_and_one_switched_off_is_not() {
    let folder = folder(
        "[embed.endpoint]\nurl = \"http://127.0.0.1:1/v1\"\nmodel = \"m\"\ndimensions = 8\nretries = 0\n",
    );
    let service = Service::start(folder.path(), &[]).await;
    service.until_ready().await;
    let told = async || why(&service.get("/readyz").await.1, "search");
    service.until("told", async || told().await.is_some()).await;
    service.stop().await;

    configure(folder.path(), &format!("{HOUSE}[embed]\nenabled = false\n"));
    let service = Service::start(folder.path(), &[]).await;
    service.until("well", async || service.get("/readyz").await.1["status"] == "ok").await;
    assert_eq!(service.status().await["mode"], "lexical");
    service.stop().await;
}

#[tokio::test]
async fn before_the_first_generation_it_is_unhealthy() {
    let hanging = MockStdio::new(&json!({"hang": true, "pages": []}));
    let toolscout::config::Transport::Stdio { command, args, .. } = hanging.transport() else {
        unreachable!("it speaks on stdio");
    };
    let folder = tempfile::tempdir().unwrap();
    let entry = format!("[servers.slow]\ncommand = {command:?}\nargs = {args:?}");
    configure(folder.path(), &entry);
    let service = Service::start(folder.path(), &[]).await;
    let ill = json!({"status": "unhealthy", "version": env!("CARGO_PKG_VERSION")});
    assert_eq!(service.get("/health").await, (503, ill));
    assert_eq!(service.get("/readyz").await.0, 503);
    assert_eq!(service.get("/livez").await.1["status"], "ok");
    service.stop().await;
}

#[tokio::test]
async fn who_is_leaving_says_so_and_answers_on() {
    let folder = folder("");
    let mut service = Service::start(folder.path(), &["--leave", "1h"]).await;
    service.until_ready().await;
    service.signal(Signal::TERM);
    service.until("leaving", async || service.get("/readyz").await.0 == 503).await;
    let (_, problem) = service.get("/readyz").await;
    assert_eq!(problem["type"], "urn:toolscout:problem:draining");
    assert_eq!(service.get("/health").await.0, 503);
    assert_eq!(service.get("/livez").await.0, 200);
    // Each on a connection of its own, as those of who has not heard of it yet.
    let answer = run(folder.path(), &["search", "--url", &service.url, "bell", "--json"]).await;
    assert_eq!(answer.json()["tools"][0]["id"], "house/ring_bell");
    service.signal(Signal::TERM);
    assert_eq!(service.ended().await, Some(130));
}
