//! What is told of definitions over the socket: since when, what changed, what waits.

use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::mock_http::{Answer, MockHttp, Speaks};
use crate::support::service::{Service, configure, run};

/// A server whose tools a test can change: name and description.
pub struct Shop {
    mock: MockHttp,
    tools: Arc<Mutex<Vec<(&'static str, &'static str)>>>,
}

impl Shop {
    pub async fn open(tools: &[(&'static str, &'static str)]) -> Self {
        let tools = Arc::new(Mutex::new(tools.to_vec()));
        let offered = Arc::clone(&tools);
        let mock = MockHttp::start(Speaks::Stateless, false, move |_| {
            let tools: Vec<Value> = offered
                .lock()
                .unwrap()
                .iter()
                .map(|(name, description)| {
                    json!({"name": name, "description": description, "inputSchema": {"type": "object"}})
                })
                .collect();
            Answer::Result(json!({ "tools": tools }).to_string())
        })
        .await;
        Self { mock, tools }
    }

    pub fn offer(&self, tools: &[(&'static str, &'static str)]) {
        *self.tools.lock().unwrap() = tools.to_vec();
    }

    /// Puts it into the configuration as `shop`.
    pub fn configure(&self, folder: &Path, more: &str) {
        let url = &self.mock.url;
        configure(folder, &format!("[servers.shop]\nurl = \"{url}\"\nrefresh = \"1s\"\n{more}\n"));
    }
}

/// What happened, in order: kind and tool.
pub async fn happened(service: &Service) -> Vec<(String, Option<String>)> {
    let (status, page) = service.get("/v1/changes").await;
    assert_eq!(status, 200, "{page}");
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let events = page["events"].as_array().unwrap().iter();
    events.map(|event| (text(&event["kind"]).unwrap(), text(&event["tool"]))).collect()
}

pub async fn until_happened(service: &Service, kind: &str, tool: &str) {
    service
        .until(&format!("{tool} {kind}"), async || {
            let wanted = (kind.to_owned(), Some(tool.to_owned()));
            happened(service).await.contains(&wanted)
        })
        .await;
}

async fn description(service: &Service, id: &str) -> Value {
    service.get(&format!("/v1/tools/{id}")).await.1["definition"]["description"].clone()
}

#[tokio::test]
async fn changes_are_told_in_order_and_kept_over_a_restart() {
    let shop = Shop::open(&[("buy", "Buy a book"), ("sell", "Sell a book")]).await;
    let folder = tempfile::tempdir().unwrap();
    shop.configure(folder.path(), "");
    let service = Service::start(folder.path(), &[]).await;
    service.until_state("shop", "ready").await;
    let (_, before) = service.get("/v1/tools/shop/buy").await;
    assert_eq!(before["history"]["changes"], 0);
    assert_eq!(before["history"]["changed_at"], Value::Null);
    let bytes = r#"{"description":"Buy a book","inputSchema":{"type":"object"},"name":"buy"}"#;
    assert_eq!(before["history"]["hash"], blake3::hash(bytes.as_bytes()).to_hex().as_str());
    assert_eq!(happened(&service).await, [("server_added".to_owned(), None)]);

    shop.offer(&[("buy", "Buy a car"), ("rent", "Rent a book")]);
    until_happened(&service, "removed", "shop/sell").await;
    let told = |kind: &str, tool: &str| (kind.to_owned(), Some(tool.to_owned()));
    let all = [
        ("server_added".to_owned(), None),
        told("changed", "shop/buy"),
        told("added", "shop/rent"),
        told("removed", "shop/sell"),
    ];
    assert_eq!(happened(&service).await, all);
    let (_, page) = service.get("/v1/changes?since=1&limit=1&server=shop").await;
    assert_eq!(page["events"][0]["parts"], json!(["description"]));
    assert_eq!(page["events"][0]["old_hash"], before["history"]["hash"]);
    assert_eq!(
        (&page["next"], &page["more"], &page["gap"]),
        (&json!(2), &json!(true), &json!(false))
    );
    let (_, after) = service.get("/v1/tools/shop/buy").await;
    assert_eq!(page["events"][0]["new_hash"], after["history"]["hash"]);
    assert_eq!(after["history"]["first_seen"], before["history"]["first_seen"]);
    assert_eq!(after["history"]["changes"], 1);
    service.until_logged("the definition changed: description").await;
    let metrics = reqwest::get(format!("{}/metrics", service.url)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let line = r#"toolscout_tool_changes_total{server="shop",kind="changed"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
    service.stop().await;

    // A restart tells nothing anew and forgets nothing.
    let service = Service::start(folder.path(), &[]).await;
    service.until_state("shop", "ready").await;
    assert_eq!(happened(&service).await, all);
    assert_eq!(service.get("/v1/tools/shop/buy").await.1["history"], after["history"]);
    // What was known comes back as it was.
    shop.offer(&[("buy", "Buy a car"), ("rent", "Rent a book"), ("sell", "Sell a book")]);
    until_happened(&service, "added", "shop/sell").await;
    let (_, back) = service.get("/v1/tools/shop/sell").await;
    assert_eq!(back["history"]["first_seen"], before["history"]["first_seen"]);
    assert_eq!(back["history"]["changes"], 0);
    for (query, said) in [
        ("since=x", "since must be a number"),
        ("limit=0", "limit is 0"),
        ("until=1", "there is no parameter"),
    ] {
        let (status, problem) = service.get(&format!("/v1/changes?{query}")).await;
        assert!(status == 400 && problem["detail"].as_str().unwrap().contains(said), "{problem}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_pinned_server_is_served_as_it_was() {
    let shop = Shop::open(&[("buy", "Buy a book"), ("sell", "Sell a book")]).await;
    let folder = tempfile::tempdir().unwrap();
    shop.configure(folder.path(), "pin = true");
    let service = Service::start(folder.path(), &[]).await;
    service.until_state("shop", "ready").await;
    assert_eq!(service.tools().await, ["shop/buy", "shop/sell"]);

    shop.offer(&[("buy", "Buy a car"), ("rent", "Rent a book")]);
    until_happened(&service, "held", "shop/rent").await;
    let as_it_was = async |service: &Service| {
        assert_eq!(service.tools().await, ["shop/buy"]);
        assert_eq!(description(service, "shop/buy").await, "Buy a book");
        let server = service.server("shop").await;
        assert_eq!((&server["tools"], &server["held"]), (&json!(1), &json!(2)), "{server}");
        let (status, problem) = service.get("/v1/tools/shop/rent").await;
        assert_eq!((status, &problem["type"]), (404, &json!("urn:toolscout:problem:tool-held")));
        let (_, buy) = service.get("/v1/tools/shop/buy").await;
        assert_eq!(buy["held"]["why"], "pinned");
        assert_eq!(buy["held"]["parts"], json!(["description"]));
        assert_ne!(buy["held"]["hash"], buy["history"]["hash"]);
    };
    as_it_was(&service).await;
    service.until_logged("toolscout trust show shop/buy").await;
    service.stop().await;
    let service = Service::start(folder.path(), &[]).await;
    as_it_was(&service).await;
    service.until_state("shop", "ready").await;
    as_it_was(&service).await;
    // Who goes back to what is served waits for nothing.
    shop.offer(&[("buy", "Buy a book")]);
    until_happened(&service, "withdrawn", "shop/buy").await;
    assert_eq!(service.get("/v1/tools/shop/buy").await.1["held"], Value::Null);
    service.stop().await;

    // What no rule holds any more is served.
    shop.offer(&[("buy", "Buy a car")]);
    shop.configure(folder.path(), "");
    let service = Service::start(folder.path(), &[]).await;
    until_happened(&service, "changed", "shop/buy").await;
    assert_eq!(description(&service, "shop/buy").await, "Buy a car");
    service.stop().await;
}

#[tokio::test]
async fn a_history_that_cant_be_used_is_set_aside() {
    let shop = Shop::open(&[("buy", "Buy a book")]).await;
    let folder = tempfile::tempdir().unwrap();
    shop.configure(folder.path(), "pin = true");
    let service = Service::start(folder.path(), &[]).await;
    service.until_state("shop", "ready").await;
    let newest = service.get("/v1/changes").await.1["next"].as_u64().unwrap();
    service.stop().await;
    let path = folder.path().join("data/trust/definitions.book");
    let mut bad = std::fs::read(&path).unwrap();
    *bad.last_mut().unwrap() ^= 1;
    std::fs::write(&path, &bad).unwrap();
    shop.offer(&[("buy", "Buy a car")]);
    let service = Service::start(folder.path(), &[]).await;
    service.until_logged("is damaged (checksum differs); set aside as").await;
    // What was served is what is pinned, and no number comes twice.
    until_happened(&service, "held", "shop/buy").await;
    assert_eq!(description(&service, "shop/buy").await, "Buy a book");
    let (_, page) = service.get(&format!("/v1/changes?since={newest}")).await;
    assert!(page["gap"] == true && page["next"].as_u64().unwrap() > newest, "{page}");
    let aside = std::fs::read_dir(path.parent().unwrap()).unwrap();
    let aside = aside.map(|entry| entry.unwrap().path());
    let aside = aside.filter(|path| path.to_string_lossy().contains("definitions.bad-")).count();
    assert_eq!(aside, 1);
    service.stop().await;
}

#[tokio::test]
async fn a_history_that_cant_be_read_is_not_started_without() {
    let shop = Shop::open(&[("buy", "Buy a book")]).await;
    let folder = tempfile::tempdir().unwrap();
    shop.configure(folder.path(), "pin = true");
    // A folder can't be read by anybody; another user's file can't by who is not root.
    let path = folder.path().join("data/trust/definitions.book");
    std::fs::create_dir_all(&path).unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data", "data"];
    let ran = run(folder.path(), &serve).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{}", ran.stderr);
    let said = format!("can't read the history of definitions {}", path.display());
    assert!(ran.stderr.contains(&said) && ran.stderr.contains("move it away"), "{}", ran.stderr);
    std::fs::remove_dir(&path).unwrap();
    let service = Service::start(folder.path(), &[]).await;
    service.until_state("shop", "ready").await;
    service.stop().await;
}
