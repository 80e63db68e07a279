//! An operator's word on definitions that are held back, over the socket and on the command line.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::service::{Ran, Service, run};
use crate::trust_history::{Shop, until_happened};

/// Status and body of an admin request.
async fn ask(folder: &Path, service: &Service, path: &str, body: Option<Value>) -> (u16, Value) {
    let token = std::fs::read_to_string(folder.join("data/admin.token")).unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}{path}", service.url);
    let request = match body {
        Some(body) => client.post(url).json(&body),
        None => client.get(url),
    };
    let response = request.bearer_auth(token.trim()).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap_or_default())
}

async fn cli(folder: &Path, service: &Service, args: &[&str]) -> Ran {
    let place = ["--data", "data", "--url", &service.url];
    run(folder, &[&["trust"], args, &place].concat()).await
}

/// A pinned shop of which three definitions wait.
async fn held(folder: &Path) -> (Shop, Service) {
    let shop = Shop::open(&[("buy", "Buy a book"), ("sell", "Sell a book")]).await;
    shop.configure(folder, "pin = true");
    let service = Service::start(folder, &[]).await;
    service.until_state("shop", "ready").await;
    shop.offer(&[("buy", "Buy a \u{202E}car"), ("sell", "Sell a car"), ("rent", "Rent a book")]);
    until_happened(&service, "held", "shop/sell").await;
    (shop, service)
}

#[tokio::test]
async fn what_was_looked_at_is_approved_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (shop, service) = held(folder.path()).await;
    let (status, list) = ask(folder.path(), &service, "/v1/admin/pending", None).await;
    assert_eq!(status, 200, "{list}");
    let ids: Vec<_> = list["pending"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert_eq!(ids, ["shop/buy", "shop/rent", "shop/sell"]);
    let buy = &list["pending"][0];
    assert!(buy["served"].as_str().unwrap().contains("Buy a book"));
    assert_eq!(buy["held"]["findings"][0]["rule"], "hidden_text");
    assert_eq!(buy["held"]["findings"][0]["where"], "/description");
    assert!(buy["held"]["findings"][0]["excerpt"].as_str().unwrap().contains("\\u{202e}"));
    let bytes = buy["definition"].as_str().unwrap();
    assert_eq!(buy["held"]["hash"], blake3::hash(bytes.as_bytes()).to_hex().as_str());

    let approve = "/v1/admin/servers/shop/approve";
    let choice = |name: &str, hash: &Value| json!({"tools": [{"name": name, "hash": hash}]});
    let other = &list["pending"][1]["held"]["hash"];
    for (body, status, code) in [
        (choice("buy", other), 409, "definition-changed"),
        (choice("buy", &json!("abc")), 400, "invalid-request"),
        (choice("none", &Value::Null), 404, "nothing-waits"),
        (json!({"tool": "buy"}), 400, "invalid-request"),
    ] {
        let (got, problem) = ask(folder.path(), &service, approve, Some(body)).await;
        assert_eq!(got, status, "{problem}");
        assert_eq!(problem["type"], format!("urn:toolscout:problem:{code}"));
    }
    let unknown = ask(folder.path(), &service, "/v1/admin/servers/none/approve", Some(json!({})));
    assert_eq!(unknown.await.0, 404);
    assert_eq!(service.tools().await, ["shop/buy", "shop/sell"]);

    let body = choice("buy", &buy["held"]["hash"]);
    let (status, done) = ask(folder.path(), &service, approve, Some(body)).await;
    assert_eq!((status, &done["tools"]["shop/buy"]), (200, &buy["held"]["hash"]), "{done}");
    // At once, and as the bytes that came.
    let (_, now) = service.get("/v1/tools/shop/buy").await;
    assert_eq!(now["definition"]["description"], "Buy a \u{202E}car");
    assert_eq!((&now["history"]["hash"], &now["held"]), (&buy["held"]["hash"], &Value::Null));
    let reject = "/v1/admin/servers/shop/reject";
    let body = json!({"tools": [{"name": "rent"}]});
    assert_eq!(ask(folder.path(), &service, reject, Some(body)).await.0, 200);
    let (status, done) = ask(folder.path(), &service, approve, Some(json!({}))).await;
    assert_eq!((status, done["tools"].as_object().unwrap().len()), (200, 1), "{done}");
    assert_eq!(service.tools().await, ["shop/buy", "shop/sell"]);
    // Killed at once: what was decided is on disk.
    drop(service);

    let service = Service::start(folder.path(), &[]).await;
    service.until_state("shop", "ready").await;
    let description = async |id: &str| {
        service.get(&format!("/v1/tools/{id}")).await.1["definition"]["description"].clone()
    };
    assert_eq!(description("shop/buy").await, "Buy a \u{202E}car");
    assert_eq!(description("shop/sell").await, "Sell a car");
    assert_eq!(service.tools().await, ["shop/buy", "shop/sell"]);
    let (_, list) = ask(folder.path(), &service, "/v1/admin/pending?server=shop", None).await;
    assert_eq!(list["pending"][0]["held"]["rejected"], true, "{list}");
    drop(shop);
    service.stop().await;
}

#[tokio::test]
async fn the_command_line_shows_and_decides() {
    let folder = tempfile::tempdir().unwrap();
    let (_shop, service) = held(folder.path()).await;
    let trust = async |args: &[&str]| cli(folder.path(), &service, args).await;
    let ran = trust(&["pending"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for wanted in ["shop/buy", "shop/rent", "hidden_text", "description", "new"] {
        assert!(ran.stdout.contains(wanted), "{}", ran.stdout);
    }
    let ran = trust(&["show", "shop/buy"]).await;
    assert!(ran.stdout.contains("-   \"description\": \"Buy a book\""), "{}", ran.stdout);
    assert!(ran.stdout.contains("+   \"description\": \"Buy a \\u{202e}car\""), "{}", ran.stdout);
    assert!(!ran.stdout.contains('\u{202E}'));
    let hint = ran.stdout.lines().last().unwrap();
    let hash = hint.rsplit(' ').next().unwrap().to_owned();
    let ran = trust(&["approve", "shop/buy", "--hash", "00000000"]).await;
    assert!(ran.code == 1 && ran.stderr.contains("what waits is"), "{}", ran.stderr);
    let ran = trust(&["approve", "shop/buy", "--hash", &hash]).await;
    assert_eq!((ran.code, ran.stdout.contains(&format!("approved shop/buy {hash}"))), (0, true));
    let ran = trust(&["reject", "shop/rent"]).await;
    assert!(ran.stdout.starts_with("rejected shop/rent"), "{}{}", ran.stdout, ran.stderr);
    let json = trust(&["pending", "--json"]).await.json();
    assert_eq!(json.as_array().unwrap().len(), 1);
    let ran = trust(&["approve", "--server", "shop"]).await;
    assert!(ran.stdout.starts_with("approved shop/sell"), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(trust(&["pending"]).await.stdout, "nothing waits\n");
    assert!(trust(&["pending", "--rejected"]).await.stdout.contains("rejected"));
    let ran = trust(&["show", "shop/none"]).await;
    assert!(ran.code == 1 && ran.stderr.contains("toolscout trust pending"), "{}", ran.stderr);
    // What was rejected may be wanted after all.
    let ran = trust(&["approve", "shop/rent"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(service.tools().await, ["shop/buy", "shop/rent", "shop/sell"]);
    service.stop().await;
}

#[tokio::test]
async fn a_reload_changes_what_is_pinned() {
    let folder = tempfile::tempdir().unwrap();
    let (shop, service) = held(folder.path()).await;
    shop.configure(folder.path(), "");
    let (status, done) = ask(folder.path(), &service, "/v1/admin/reload", Some(json!({}))).await;
    assert_eq!(status, 200, "{done}");
    until_happened(&service, "released", "shop/sell").await;
    assert_eq!(service.tools().await, ["shop/buy", "shop/rent", "shop/sell"]);
    service.stop().await;
}
