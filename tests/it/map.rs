//! The picture of the catalog over HTTP: what is told of which tools, to whom, and when.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::app::{TestApp, catalog, config};
use crate::support::service::{Service, catalog as write_catalog, configure};
use toolscout::live::Live;

const TOOLS: &[(&str, &str, &str)] = &[
    ("crm", "find_customer", "Find a customer by name or number"),
    ("crm", "list_customers", "List the customers of a region"),
    ("crm", "delete_customer", "Delete a customer and what is known of it"),
    ("crm", "merge_customers", "Merge two customers into one"),
    ("mail", "send_letter", "Send a letter to somebody by e-mail"),
    ("mail", "read_letters", "Read the letters in the inbox"),
    ("mail", "delete_letter", "Delete a letter from the inbox"),
    ("mail", "forward_letter", "Forward a letter to somebody else"),
    ("git", "merge_branch", "Merge a branch into another"),
    ("git", "list_branches", "List the branches of a repository"),
];

async fn serve(folder: &Path, tools: &[(&str, &str, &str)], more: &str) -> Service {
    write_catalog(folder, tools);
    configure(folder, &format!("[servers.all]\ncatalog = \"catalog.jsonl\"\n{more}"));
    let service = Service::start(folder, &[]).await;
    service.until("listed", async || service.tools().await.len() == tools.len()).await;
    service
}

/// The picture once it is drawn.
async fn drawn(service: &Service, path: &str) -> Value {
    service.until("drawn", async || service.get(path).await.1["state"] == "ready").await;
    service.get(path).await.1
}

/// The ids of the points, which are parallel to their places.
fn ids(map: &Value) -> Vec<String> {
    let list = |name: &str| map[name].as_array().unwrap().clone();
    let (servers, names) = (list("server"), list("name"));
    assert_eq!(names.len(), servers.len());
    assert_eq!((list("x").len(), list("y").len()), (names.len(), names.len()));
    assert!(list("x").iter().chain(&list("y")).all(Value::is_i64), "{map}");
    let id = |(server, name): (&Value, &Value)| {
        let server = &map["servers"][usize::try_from(server.as_u64().unwrap()).unwrap()];
        format!("{}/{}", server.as_str().unwrap(), name.as_str().unwrap())
    };
    servers.iter().zip(&names).map(id).collect()
}

#[tokio::test]
async fn every_tool_has_a_place_that_it_keeps_when_others_come() {
    let folder = tempfile::tempdir().unwrap();
    let service = serve(folder.path(), TOOLS, "refresh = \"1s\"").await;
    let map = drawn(&service, "/v1/map").await;
    let known = ids(&map);
    assert_eq!(known, service.tools().await);
    assert_eq!(map["tools"], TOOLS.len());
    let place = |map: &Value, id: &str| {
        let at = ids(map).iter().position(|known| known == id).unwrap();
        (map["x"][at].clone(), map["y"][at].clone())
    };
    // The same as of another process.
    let other = tempfile::tempdir().unwrap();
    let again = serve(other.path(), TOOLS, "").await;
    let again = drawn(&again, "/v1/map").await;
    assert_eq!((&map["x"], &map["y"]), (&again["x"], &again["y"]));

    let more = [TOOLS, &[("crm", "count_customers", "Count the customers of a region")]].concat();
    write_catalog(folder.path(), &more);
    service.until("listed", async || service.tools().await.len() == more.len()).await;
    let after = drawn(&service, "/v1/map").await;
    assert!(after["generation"].as_u64() > map["generation"].as_u64());
    assert_eq!(ids(&after).len(), more.len());
    for id in &known {
        assert_eq!(place(&after, id), place(&map, id), "{id}");
    }
}

#[tokio::test]
async fn a_query_stands_among_what_it_means_and_near_duplicates_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let letter = "Print a letter on the office printer, fold it, put it into an envelope with a stamp \
                  and hand it to the post at five";
    let more = [("post", "print_letter", letter), ("fax", "print_letter", letter)];
    let tools = [TOOLS, &more].concat();
    let service = serve(folder.path(), &tools, "").await;
    let (status, early) = service.get("/v1/map/query?q=customer").await;
    assert_eq!((status, &early["at"]), (200, &Value::Null), "{early}");
    assert!(early["reason"].as_str().unwrap().contains("GET /v1/map"), "{early}");

    let map = drawn(&service, "/v1/map").await;
    let ids = ids(&map);
    let groups: Vec<Vec<&str>> = map["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group.as_array().unwrap())
        .map(|group| {
            let id = |at: &Value| &*ids[usize::try_from(at.as_u64().unwrap()).unwrap()];
            group.iter().map(id).collect()
        })
        .collect();
    assert_eq!(groups, [["fax/print_letter", "post/print_letter"]]);

    let at = service.get("/v1/map/query?q=find+a+customer+by+name").await.1["at"].clone();
    let far = |place: usize| {
        let along =
            |axis: &str, of: usize| map[axis][place].as_f64().unwrap() - at[of].as_f64().unwrap();
        along("x", 0).hypot(along("y", 1))
    };
    let nearest = (0..ids.len()).min_by(|a, b| far(*a).total_cmp(&far(*b))).unwrap();
    assert!(
        ids[nearest].ends_with("customer") || ids[nearest].ends_with("customers"),
        "{}",
        ids[nearest]
    );
    for (path, code) in [
        ("/v1/map/query", "invalid-request"),
        ("/v1/map/query?q=", "empty-query"),
        ("/v1/map?q=x", "invalid-request"),
    ] {
        let (status, problem) = service.get(path).await;
        let told = problem["type"].as_str().unwrap_or_default().to_owned();
        assert_eq!((status, &*told), (400, &*format!("urn:toolscout:problem:{code}")), "{path}");
    }
}

#[tokio::test]
async fn a_view_is_drawn_as_if_its_tools_were_all() {
    let folder = tempfile::tempdir().unwrap();
    let profiles =
        "[profiles.some]\ndeny = [\"*delete*\", \"git/*\"]\n[profiles.none]\nallow = []\n";
    let shared = serve(folder.path(), TOOLS, profiles).await;
    let shown: Vec<_> = TOOLS
        .iter()
        .filter(|(server, name, _)| *server != "git" && !name.contains("delete"))
        .copied()
        .collect();
    let own = tempfile::tempdir().unwrap();
    let alone = serve(own.path(), &shown, "").await;
    // Whatever is drawn of the whole before.
    drawn(&shared, "/v1/map").await;
    let timeless = |mut told: Value| {
        told.as_object_mut().unwrap().remove("generation");
        told
    };
    let wanted = timeless(drawn(&alone, "/v1/map").await);
    for path in ["/p/some/v1/map", "/v1/map?profile=some"] {
        assert_eq!(timeless(drawn(&shared, path).await), wanted, "{path}");
    }
    let wanted = timeless(alone.get("/v1/map/query?q=merge+a+branch").await.1);
    let told = shared.get("/p/some/v1/map/query?q=merge+a+branch").await.1;
    assert_eq!(timeless(told), wanted);
    let (status, nothing) = shared.get("/p/none/v1/map").await;
    assert_eq!(
        (status, &nothing["state"], &nothing["tools"]),
        (200, &json!("no_vectors"), &json!(0))
    );

    // What a view lost is gone from its picture at once, also while the next is drawn.
    configure(
        folder.path(),
        "[servers.all]\ncatalog = \"catalog.jsonl\"\n[profiles.some]\nservers = [\"crm\"]\n",
    );
    shared
        .until("the view changed", async || {
            shared.get("/p/some/v1/tools").await.1["tools"].as_array().unwrap().len() == 4
        })
        .await;
    let (_, map) = shared.get("/p/some/v1/map").await;
    assert!(ids(&map).iter().all(|id| id.starts_with("crm/")), "{map}");
    assert_eq!(shared.get("/p/none/v1/map").await.0, 404);
}

#[tokio::test]
async fn a_large_picture_is_told_to_be_drawn_until_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let lines: String = (0..1_500)
        .map(|at| {
            let about = format!("Tool {at} of subject {}, part {}", at % 97, at % 31);
            json!({"server": format!("s{}", at % 40), "name": format!("t{at}"), "description": about})
                .to_string()
                + "\n"
        })
        .collect();
    std::fs::write(folder.path().join("catalog.jsonl"), lines).unwrap();
    configure(folder.path(), "[servers.all]\ncatalog = \"catalog.jsonl\"\n");
    let service = Service::start(folder.path(), &[]).await;
    let embedded = async || service.status().await["embedded"] == 1_500;
    service.until("embedded", embedded).await;
    let (status, map) = service.get("/v1/map").await;
    assert_eq!((status, &map["state"], &map["x"]), (202, &json!("drawing"), &json!([])), "{map}");
    // Searches go on meanwhile.
    assert_eq!(service.get("/v1/search?q=subject+7").await.0, 200);
    let map = drawn(&service, "/v1/map").await;
    assert_eq!(map["x"].as_array().unwrap().len(), 1_500);
}

#[tokio::test]
async fn where_no_tool_has_a_vector_it_is_said_why() {
    let live = Live::from_catalog(catalog(crate::support::app::SERVERS));
    let app = TestApp::serve(live, &config()).await;
    let map = app.get("/v1/map").await;
    assert_eq!(map.status, 200);
    assert_eq!(map.json()["state"], "no_vectors");
    assert_eq!(map.json()["reason"], "this index was made without an encoder");
    let place = app.get("/v1/map/query?q=mail").await.json();
    assert_eq!((&place["at"], &place["reason"]), (&Value::Null, &map.json()["reason"]));
}
