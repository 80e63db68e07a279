//! What a profile changes of what it shows: pins, boosts, names, descriptions, limits; and filters
//! on annotations, which need no profile.

use serde_json::{Value, json};
use toolscout::live::Live;

use crate::support::app::{Listed, TestApp, catalog, config, profiles};

const SERVERS: &[Listed<'static>] = &[
    (
        "crm",
        Some("Customers"),
        &[
            r#"{ "x" :1e400, "name":"find_customer","description":"Find a customer","inputSchema":{"type":"object","properties":{"name":{"type":"string"}}},"annotations":{"readOnlyHint":true}}"#,
            r#"{"name":"delete_customer","description":"Delete a customer record","annotations":{"destructiveHint":true}}"#,
            r#"{"name":"list_customers","description":"List every customer record","annotations":{"readOnlyHint":true,"openWorldHint":false}}"#,
            r#"{"name":"note_customer","description":"Note something of a customer","annotations":{"destructiveHint":false}}"#,
        ],
    ),
    (
        "mail",
        None,
        &[
            r#"{"name":"send","description":"Send a letter to somebody"}"#,
            r#"{"name":"read","description":"Read the letters of a customer","annotations":{"readOnlyHint":true}}"#,
        ],
    ),
];

async fn serve(toml: &str) -> TestApp {
    let live = Live::from_catalog_with(catalog(SERVERS), &profiles(toml));
    TestApp::serve(live, &config()).await
}

fn ids(answer: &Value) -> Vec<&str> {
    let tools = answer["tools"].as_array().unwrap();
    tools.iter().map(|tool| tool["id"].as_str().unwrap()).collect()
}

async fn found(app: &TestApp, path: &str) -> Vec<String> {
    let reply = app.get(path).await;
    ids(&reply.json_lossy()).into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn pinned_tools_stand_beside_those_that_the_limit_counts() {
    let app =
        serve("[profiles.a]\npinned = ['mail/send', 'crm/find_customer', 'crm/none']\nlimit = 2")
            .await;
    let answer = app.get("/p/a/v1/search?q=customer+record").await.json_lossy();
    let pinned = |answer: &Value| -> Vec<String> {
        let tools = answer["tools"].as_array().unwrap().iter();
        let pinned = tools.filter(|tool| tool["pinned"] == true);
        pinned.map(|tool| tool["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&answer).len(), 4, "{answer}");
    assert_eq!(&ids(&answer)[..2], ["crm/delete_customer", "crm/list_customers"]);
    assert_eq!(pinned(&answer), ["crm/find_customer", "mail/send"]);
    assert!(answer["tools"][0].get("pinned").is_none());
    // One that is looked for comes first, and is not counted either.
    let answer = app.get("/p/a/v1/search?q=find_customer&limit=1").await.json_lossy();
    assert_eq!(ids(&answer)[0], "crm/find_customer");
    assert_eq!((ids(&answer).len(), pinned(&answer).len()), (3, 2), "{answer}");
    let why = app.get("/p/a/v1/search?q=customer&why=mail/send").await.json_lossy();
    assert_eq!(why["why"]["verdict"], "pinned");
    assert_eq!(why["why"]["returned"], ids(&why).len());
    // A filter holds for pinned tools too.
    let reads = app.get("/p/a/v1/search?q=customer&read_only=1").await.json_lossy();
    assert_eq!(pinned(&reads), ["crm/find_customer"]);
    // Nobody else sees them so.
    assert!(!found(&app, "/v1/search?q=customer+record").await.contains(&"mail/send".to_owned()));
}

#[tokio::test]
async fn a_boost_lifts_and_an_exact_name_goes_before_it() {
    let app =
        serve("[profiles.a.boost]\n'list_*' = 2\n'crm/delete_*' = 0.5\n[profiles.b]\ndeny = ['x']")
            .await;
    let first = async |path: &str| found(&app, path).await[0].clone();
    assert_eq!(first("/p/b/v1/search?q=delete+customer+record").await, "crm/delete_customer");
    assert_eq!(first("/p/a/v1/search?q=delete+customer+record").await, "crm/list_customers");
    assert_eq!(first("/p/a/v1/search?q=delete_customer").await, "crm/delete_customer");
    let answer = app.get("/p/a/v1/search?q=customer+record&explain=1").await.json_lossy();
    assert_eq!(answer["tools"][0]["explain"]["boost"], 2.0);
    let why = app.get("/p/a/v1/search?q=customer&why=crm/delete_customer").await.json_lossy();
    assert_eq!(why["why"]["boost"], 0.5);
    assert!(
        answer["tools"]
            .as_array()
            .unwrap()
            .iter()
            .all(|tool| { tool["score"].as_f64().unwrap() <= 1.0 })
    );
}

#[tokio::test]
async fn another_name_and_description_change_nothing_else() {
    let app = serve(
        r#"[profiles.a.rename]
        "crm/find_customer" = "customer_search"
        "mail/send" = "read"
        [profiles.a.describe]
        "crm/find_customer" = "Look a \"client\" up by zebra"
        "#,
    )
    .await;
    let reply = app.get("/p/a/v1/tools/crm/find_customer").await;
    let own = r#"{ "x" :1e400, "name":"find_customer","description":"Find a customer","#;
    let new =
        r#"{ "x" :1e400, "name":"customer_search","description":"Look a \"client\" up by zebra","#;
    assert!(reply.text.contains(new), "{}", reply.text);
    let rest = SERVERS[0].2[0].strip_prefix(own).unwrap();
    assert!(reply.text.contains(&format!("{new}{rest}")), "{}", reply.text);
    let tool = reply.json_lossy();
    assert_eq!(
        (&tool["id"], &tool["name"]),
        (&json!("crm/find_customer"), &json!("customer_search"))
    );
    // By the new name, by the id, and by a word of the new description; no longer by the old name.
    for query in ["customer_search", "Customers customer search", "crm/find_customer", "zebra"] {
        let query = query.replace(' ', "+");
        let path = format!("/p/a/v1/search?q={query}&limit=1&explain=1");
        let answer = app.get(&path).await.json_lossy();
        assert_eq!(ids(&answer), ["crm/find_customer"], "{query}");
        let exact = &answer["tools"][0]["explain"]["exact_name"];
        assert_eq!(*exact, query != "zebra", "{query}");
    }
    let old = app.get("/p/a/v1/search?q=find_customer&why=crm/find_customer").await.json_lossy();
    assert_eq!(old["why"]["exact_name"], false);
    assert_eq!(found(&app, "/v1/search?q=zebra").await, Vec::<String>::new());
    // The server has a `read` already.
    assert_eq!(app.get("/p/a/v1/tools/mail/send").await.json()["name"], "send");
    let views = app.live.views();
    assert_eq!(
        views["a"].warnings,
        ["rename: mail/send keeps its name, since its server has another tool \"read\""]
    );
}

#[tokio::test]
async fn annotations_filter_and_what_is_not_said_is_the_worst() {
    let app =
        serve("[profiles.safe]\ndestructive = false\n[profiles.safe.boost]\n'read' = 1.1").await;
    let sorted = async |path: &str| {
        let mut found = found(&app, path).await;
        found.sort();
        found
    };
    let ask = |filter: &str| format!("/v1/search?q=customer+letter&limit=50{filter}");
    let reads = ["crm/find_customer", "crm/list_customers", "mail/read"];
    assert_eq!(sorted(&ask("&read_only=true")).await, reads);
    assert_eq!(
        sorted(&ask("&read_only=0")).await,
        ["crm/delete_customer", "crm/note_customer", "mail/send"]
    );
    let harmless = ["crm/find_customer", "crm/list_customers", "crm/note_customer", "mail/read"];
    assert_eq!(sorted(&ask("&destructive=0")).await, harmless);
    assert_eq!(sorted(&ask("&open_world=0")).await, ["crm/list_customers"]);
    assert_eq!(sorted(&ask("&open_world=0&destructive=1")).await, Vec::<String>::new());
    assert_eq!(sorted(&format!("/p/safe{}", ask(""))).await, harmless);
    assert_eq!(sorted(&format!("/p/safe{}", ask("&read_only=1"))).await, reads);
    assert_eq!(app.get(&ask("&read_only=maybe")).await.problem(), "invalid-request");

    let why = app.get(&ask("&read_only=1&why=mail/send")).await.json_lossy();
    assert_eq!(why["why"]["verdict"], "filtered");
    assert!(why["why"]["because"].as_str().unwrap().contains("annotations"), "{why}");
    // The exact name of what is filtered is not found either.
    assert!(
        !sorted("/v1/search?q=delete_customer&destructive=0")
            .await
            .contains(&"crm/delete_customer".to_owned())
    );

    let body = json!({"destructive": false, "batch": [
        {"query": "customer", "destructive": true}, {"query": "customer", "open_world": false},
    ]});
    let answers = app.post("/v1/search", body.to_string()).await.json_lossy();
    assert!(ids(&answers["answers"][0]).contains(&"crm/delete_customer"));
    assert_eq!(ids(&answers["answers"][1]), ["crm/list_customers"]);
}

#[tokio::test]
async fn a_limit_of_the_profile_holds_where_the_request_names_none() {
    let app = serve("[profiles.a]\nlimit = 1\n[profiles.b]").await;
    assert_eq!(found(&app, "/p/a/v1/search?q=customer").await.len(), 1);
    assert_eq!(found(&app, "/p/a/v1/search?q=customer&limit=3").await.len(), 3);
    assert!(found(&app, "/p/b/v1/search?q=customer").await.len() > 1);
    let batch = app.post("/p/a/v1/search", r#"{"batch": [{"query": "customer"}]}"#).await;
    assert_eq!(ids(&batch.json_lossy()["answers"][0]).len(), 1);
}

#[tokio::test]
async fn a_card_leads_to_the_endpoint_of_its_profile() {
    let app = serve("[profiles.a]").await;
    for path in ["/p/a/mcp/server-card", "/mcp/server-card?profile=a"] {
        let card = app.get(path).await.json();
        assert_eq!(card["remotes"][0]["url"], app.url("/p/a/mcp"), "{path}");
    }
}
