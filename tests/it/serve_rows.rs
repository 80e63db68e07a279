//! The catalog in rows, and what a tool is shown with: earlier definitions, near-duplicates.

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::service::Service;
use crate::support::tenants::{Asker, operator};
use crate::trust_history::{Shop, until_happened};

/// The rows of a page, each as an object.
fn rows(page: &Value) -> Vec<Value> {
    let columns = page["columns"].as_array().unwrap();
    let one = |row: &Value| {
        let cells = columns.iter().zip(row.as_array().unwrap());
        let cells = cells.map(|(name, cell)| (name.as_str().unwrap().to_owned(), cell.clone()));
        let mut row: serde_json::Map<String, Value> = cells.collect();
        let server = usize::try_from(row["server"].as_u64().unwrap()).unwrap();
        row.insert("server".into(), page["servers"][server].clone());
        Value::Object(row)
    };
    page["rows"].as_array().unwrap().iter().map(one).collect()
}

#[tokio::test]
async fn all_tools_come_in_rows_page_by_page() {
    let app = TestApp::start().await;
    let whole = app.get("/v1/tools?view=rows").await.json();
    let listed = app.get("/v1/tools").await.json_lossy();
    let all = rows(&whole);
    let ids = all.iter().map(|row| {
        json!(format!("{}/{}", row["server"].as_str().unwrap(), row["name"].as_str().unwrap()))
    });
    let wanted = listed["tools"].as_array().unwrap().iter().map(|tool| tool["id"].clone());
    assert_eq!(ids.collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
    assert_eq!(whole["total"], all.len());
    assert_eq!(whole["generation"], listed["generation"]);
    let create = &all[0];
    let definition = crate::support::app::SERVERS[0].2[0];
    assert_eq!(
        (&create["title"], &create["bytes"]),
        (&json!("Create event"), &json!(definition.len()))
    );
    assert!(create["tokens"].as_u64().unwrap() > 10);
    // Nothing keeps a history here.
    assert_eq!((&create["first_seen"], &create["changes"]), (&Value::Null, &json!(0)));

    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = app.get(&format!("/v1/tools?view=rows&limit=2{cursor}")).await.json();
        assert!(page["rows"].as_array().unwrap().len() <= 2);
        paged.extend(rows(&page));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(paged, all);
    let of_one = app.get("/v1/tools?view=rows&server=post/office").await.json();
    assert_eq!((&of_one["total"], &of_one["servers"]), (&json!(2), &json!(["post/office"])));
    for path in ["view=cards", "view=rows&limit=5001", "limit=1001", "view=rows&limit=0"] {
        let refused = app.get(&format!("/v1/tools?{path}")).await;
        assert_eq!(refused.problem(), "invalid-request", "{path}");
    }
    assert_eq!(app.get("/v1/tools?view=rows&server=none").await.problem(), "unknown-server");
}

#[tokio::test]
async fn rows_and_tools_say_what_was_there_before_and_what_is_alike() {
    let long =
        "Merge a branch of a repository into another once every reviewer agreed and checks passed";
    let also = "Merge a branch of a repository into another once every reviewer agreed and checks passed today";
    let shop = Shop::open(&[("merge", long), ("merge_all", also), ("sell", "Sell a book")]).await;
    let folder = tempfile::tempdir().unwrap();
    shop.configure(folder.path(), "");
    let service = Service::start(folder.path(), &[]).await;
    service.until_state("shop", "ready").await;
    let (_, near) = service.get("/v1/tools/shop/merge?near=1&earlier=1").await;
    assert_eq!(near["near"][0]["id"], "shop/merge_all");
    assert!(near["near"][0]["share"].as_f64().unwrap() >= 0.8, "{near}");
    assert_eq!(near["earlier"], json!([]));
    assert_eq!(service.get("/v1/tools/shop/sell?near=1").await.1["near"], json!([]));
    let (_, linted) = service.get("/v1/tools/shop/sell?lint=1").await;
    assert_eq!(linted["lint"][0]["rule"], "short-description");
    assert_eq!(linted["lint"][0]["level"], "warning");
    assert_eq!(service.get("/v1/tools/shop/merge?lint=1").await.1["lint"], json!([]));
    // Who asks for no more gets no more.
    let plain = service.get("/v1/tools/shop/merge").await.1;
    assert!(["near", "earlier", "lint"].iter().all(|more| plain.get(more).is_none()), "{plain}");

    shop.offer(&[("merge", long), ("merge_all", also), ("sell", "Sell a car")]);
    until_happened(&service, "changed", "shop/sell").await;
    let (_, second) = service.get("/v1/tools/shop/sell?earlier=1").await;
    let before: Value =
        serde_json::from_str(second["earlier"][0]["definition"].as_str().unwrap()).unwrap();
    assert_eq!(before["description"], "Sell a book");
    assert_eq!(second["definition"]["description"], "Sell a car");
    assert_eq!(second["earlier"][0]["until"], second["history"]["changed_at"]);
    let (_, page) = service.get("/v1/tools?view=rows").await;
    let row = rows(&page).into_iter().find(|row| row["name"] == "sell").unwrap();
    assert_eq!((&row["changes"], &row["held"]), (&json!(1), &json!(false)));
    assert!(row["changed"].as_u64() >= row["first_seen"].as_u64());
    service.stop().await;

    // They are kept over a restart; a file of them that is damaged costs nothing else.
    let service = Service::start(folder.path(), &[]).await;
    service.until_ready().await;
    let again = service.get("/v1/tools/shop/sell?earlier=1").await.1;
    assert_eq!(again["earlier"], second["earlier"]);
    service.stop().await;
    std::fs::write(folder.path().join("data/trust/earlier.book"), "no book").unwrap();
    let service = Service::start(folder.path(), &[]).await;
    service.until_ready().await;
    let after = service.get("/v1/tools/shop/sell?earlier=1").await.1;
    assert_eq!((&after["earlier"], &after["history"]), (&json!([]), &second["history"]));
    service.until_logged("changes are shown from now on").await;
    service.stop().await;
}

#[tokio::test]
async fn what_an_approved_definition_took_the_place_of_is_kept() {
    let shop = Shop::open(&[("buy", "Buy a book")]).await;
    let folder = tempfile::tempdir().unwrap();
    shop.configure(folder.path(), "pin = true");
    let service = Service::start(folder.path(), &[]).await;
    service.until_state("shop", "ready").await;
    shop.offer(&[("buy", "Buy a car")]);
    until_happened(&service, "held", "shop/buy").await;
    let held = service.get("/v1/tools/shop/buy?earlier=1").await.1;
    assert_eq!(
        (&held["earlier"], &held["definition"]["description"]),
        (&json!([]), &json!("Buy a book"))
    );
    let asker = Asker::new(&service, Some(&operator(folder.path())));
    let approved = asker.post("/v1/admin/servers/shop/approve", &json!({})).await;
    assert_eq!(approved.status, 200, "{}", approved.text);
    let after = service.get("/v1/tools/shop/buy?earlier=1").await.1;
    assert_eq!(after["definition"]["description"], "Buy a car");
    assert!(after["earlier"][0]["definition"].as_str().unwrap().contains("Buy a book"));
    service.stop().await;
}
