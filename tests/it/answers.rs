//! What an answer is: the same tool once, how sure, and why a tool is in it or not.

use rmcp::ServiceExt;
use rmcp::model::CallToolRequestParams;
use rmcp::transport::StreamableHttpClientTransport;
use serde_json::{Value, json};
use toolscout::live::Live;

use crate::support::app::{Listed, TestApp, catalog, config};
use crate::support::service::{self, Service, configure, run};

/// Two forks of one server, and others that speak of similar things.
const FORKS: &[Listed<'static>] = &[
    (
        "acme/forge",
        None,
        &[
            r#"{"name":"merge_pull","description":"Merge a pull request","inputSchema":{"type":"object"}}"#,
            r#"{"name":"close_pull","description":"Close a pull request","inputSchema":{"type":"object"}}"#,
        ],
    ),
    (
        "beta/forge",
        None,
        &[
            r#"{"name":"mergePull","description":"Merge the pull request","inputSchema":{"type":"object"}}"#,
            r#"{"name":"close_pull","description":"Close a pull request.","inputSchema":{"type":"object"}}"#,
        ],
    ),
    (
        "gitea",
        None,
        &[
            r#"{"name":"merge_pull","description":"Merge a Gitea pull request","inputSchema":{"type":"object"}}"#,
        ],
    ),
    (
        "kitchen",
        None,
        &[
            r#"{"name":"merge_eggs","description":"Whisk eggs together","inputSchema":{"type":"object"}}"#,
            r#"{"name":"boil_water","description":"Boil water","inputSchema":{"type":"object"}}"#,
        ],
    ),
];

async fn forks() -> TestApp {
    TestApp::serve(Live::from_catalog(catalog(FORKS)), &config()).await
}

/// Each tool's id with those named beside it.
fn slots(answer: &Value) -> Vec<String> {
    let tools = answer["tools"].as_array().unwrap().iter();
    tools
        .map(|tool| {
            let beside = tool["duplicates"].as_array().cloned().unwrap_or_default();
            let beside: Vec<&str> = beside.iter().map(|id| id.as_str().unwrap()).collect();
            format!("{} ({})", tool["id"].as_str().unwrap(), beside.join(" "))
        })
        .collect()
}

#[tokio::test]
async fn the_same_tool_takes_one_slot_unless_its_server_is_named() {
    let app = forks().await;
    let ask = async |path: &str| slots(&app.get(&format!("/v1/search?{path}")).await.json());
    let found = ask("q=merge+the+pull+request").await;
    assert_eq!(found[0], "acme/forge/merge_pull (beta/forge/mergePull)", "{found:?}");
    assert!(found.contains(&"gitea/merge_pull ()".into()), "another product: {found:?}");
    assert_eq!(found.iter().filter(|slot| slot.contains("forge")).count(), 2, "{found:?}");
    let found = ask("q=merge+the+pull+request+at+beta").await;
    assert_eq!(found[0], "beta/forge/mergePull (acme/forge/merge_pull)", "{found:?}");
    let found = ask("q=merge+the+pull+request&server=beta/forge").await;
    assert_eq!(found, ["beta/forge/mergePull ()", "beta/forge/close_pull ()"]);
    assert_eq!(ask("q=merge+close+pull+request&limit=3").await.len(), 3, "limit counts slots");
}

#[tokio::test]
async fn mcp_and_the_terminal_name_the_others_too() {
    let app = forks().await;
    let client = ().serve(StreamableHttpClientTransport::from_uri(app.url("/mcp"))).await.unwrap();
    let arguments = json!({"query": "merge the pull request"});
    let call = CallToolRequestParams::new("search_tools")
        .with_arguments(arguments.as_object().unwrap().clone());
    let result = client.call_tool(call).await.unwrap();
    let found = result.structured_content.unwrap();
    assert_eq!(slots(&found)[0], "acme/forge/merge_pull (beta/forge/mergePull)");
    assert_eq!(found["no_good_match"], false);
    let sure = found["tools"][0]["confidence"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&sure), "{found}");
    client.cancel().await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let asked = ["search", "--url", &app.url(""), "merge the pull request"];
    let table = run(folder.path(), &asked).await;
    assert!(table.stdout.contains("the same: beta/forge/mergePull"), "{}", table.stdout);
}

#[tokio::test]
async fn what_nothing_fits_is_said() {
    let app = forks().await;
    let ask = async |q: &str| app.get(&format!("/v1/search?q={q}")).await.json();
    let good = ask("merge_pull").await;
    let poor = ask("book+a+cheap+overnight+train+for+two+and+merge+our+calendars").await;
    assert_eq!(good["no_good_match"], false, "{good}");
    assert_eq!(poor["no_good_match"], true, "{poor}");
    let sure = |answer: &Value| answer["tools"][0]["confidence"].as_f64().unwrap();
    assert!(sure(&good) > sure(&poor));
    let none = ask("zzz").await;
    assert_eq!((&none["tools"], &none["no_good_match"]), (&json!([]), &json!(true)));
}

#[tokio::test]
async fn why_is_answered_for_any_tool() {
    let app = forks().await;
    let ask = async |path: &str| app.get(&format!("/v1/search?{path}")).await.json();
    for (asked, verdict, says) in [
        ("limit=2&why=acme/forge/merge_pull", "returned", "place 1 of 2"),
        ("why=beta/forge/mergePull", "grouped", "the same tool as acme/forge/merge_pull"),
        ("limit=1&why=gitea/merge_pull", "below_cut", "place 2, and the answer ends at 1"),
        ("why=kitchen/boil_water", "beyond_depth", "no arm"),
        ("server=kitchen&why=gitea/merge_pull", "filtered", "gitea is not among"),
        ("why=gitea/mergepul", "unknown_tool", "much like it is gitea/merge_pull"),
        ("why=nothing/of/the/kind", "unknown_tool", "no tool has this id"),
    ] {
        let answer = ask(&format!("q=merge+the+pull+request&{asked}")).await;
        let why = &answer["why"];
        assert_eq!(why["verdict"], verdict, "{asked}: {why}");
        assert!(why["because"].as_str().unwrap().contains(says), "{asked}: {why}");
        assert_eq!(why["returned"], answer["tools"].as_array().unwrap().len());
    }
    let answer = ask("q=merge+the+pull+request&limit=1&explain=1&why=acme/forge/merge_pull").await;
    let (why, hit) = (&answer["why"], &answer["tools"][0]);
    assert_eq!(why["lexical"], hit["explain"]["lexical"], "the whole ranking begins as the list");
    assert_eq!((&why["score"], &why["confidence"]), (&hit["score"], &hit["confidence"]));
    let terms = why["terms"].as_array().unwrap();
    let sum: f64 = terms.iter().map(|term| term["score"].as_f64().unwrap()).sum();
    assert!((sum - why["lexical"]["score"].as_f64().unwrap()).abs() < 1e-3, "{why}");
    assert!(terms[0]["fields"]["name"].as_f64().unwrap() > 0.0, "{why}");
    assert!(ask("q=merge").await.get("why").is_none());

    let body =
        json!({"why": "kitchen/merge_eggs", "batch": [{"query": "eggs"}, {"query": "pull"}]});
    let answers = app.post("/v1/search", body.to_string()).await.json();
    assert_eq!(answers["answers"][0]["why"]["verdict"], "returned", "{answers}");
    assert_eq!(answers["answers"][1]["why"]["verdict"], "beyond_depth", "{answers}");
    let twice = app.get("/v1/search?q=a&why=a/b&why=c/d").await;
    assert_eq!(twice.problem(), "invalid-request");
}

#[tokio::test]
async fn what_matched_is_shown_as_it_stands_in_the_tool() {
    const TOOLS: &[Listed<'static>] = &[(
        "diary",
        Some("Event diary"),
        &[
            r#"{"name":"createEvent","title":"Create an EVENT","description":"Adds events; eventually.","inputSchema":{"type":"object","properties":{"event_id":{"description":"Newest"}}}}"#,
            r#"{"name":"burn","description":"Burn it all","inputSchema":{"type":"object"}}"#,
        ],
    )];
    let app = TestApp::serve(Live::from_catalog(catalog(TOOLS)), &config()).await;
    let path = "/v1/search?q=create+the+evnet&explain=1&why=diary/createEvent";
    let answer = app.get(path).await.json();
    let hit = &answer["tools"][0];
    // A misspelt word, another form of it, and a synonym.
    let words = json!({
        "name": ["create", "Event"],
        "title": ["Create", "EVENT"],
        "description": ["Adds", "events"],
        "params": ["event"],
        "server": ["Event"],
    });
    assert_eq!(hit["explain"]["words"], words, "{hit}");
    assert_eq!(answer["why"]["words"], words);
    let tokens = hit["tokens"].as_u64().unwrap();
    let alone =
        app.get("/v1/search?q=createEvent&limit=1&token_budget=9999&format=mcp").await.json();
    assert!(tokens.abs_diff(alone["tokens"]["returned"].as_u64().unwrap()) <= 2, "{hit} {alone}");
    assert!(app.get("/v1/search?q=create").await.json()["tools"][0].get("tokens").is_none());
}

#[tokio::test]
async fn an_arm_answers_alone_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let tools =
        [("house", "ring_bell", "Ring the bell"), ("house", "sound_chime", "Make it chime")];
    service::catalog(folder.path(), &tools);
    configure(folder.path(), "[servers.house]\ncatalog = \"catalog.jsonl\"\n");
    let service = Service::start(folder.path(), &[]).await;
    service.until_ready().await;
    for (arm, mode, has) in [
        ("", "hybrid", [true, true]),
        ("&arm=lexical", "lexical", [true, false]),
        ("&arm=dense", "dense", [false, true]),
    ] {
        // The second time from memory.
        for _ in 0..2 {
            let (_, answer) = service.get(&format!("/v1/search?q=bell&explain=1{arm}")).await;
            assert_eq!(answer["mode"], mode, "{answer}");
            assert!(answer.get("reason").is_none(), "nothing is amiss: {answer}");
            let explain = &answer["tools"][0]["explain"];
            assert_eq!(
                [explain["lexical"].is_object(), explain["dense"].is_object()],
                has,
                "{answer}"
            );
        }
    }
    assert!(service.metric("toolscout_degraded_searches_total").await < 0.5);
    let args = ["search", "--url", &service.url, "--arm", "dense", "--json", "bell"];
    assert_eq!(run(folder.path(), &args).await.json()["mode"], "dense");
    let (status, problem) = service.get("/v1/search?q=bell&arm=left").await;
    assert!(
        status == 400 && problem["detail"].as_str().unwrap().contains("lexical, dense, hybrid"),
        "{problem}"
    );
    service.stop().await;
}

#[tokio::test]
async fn why_knows_the_servers_that_are_not_there() {
    let folder = tempfile::tempdir().unwrap();
    service::catalog(folder.path(), &[("house", "ring_bell", "Ring the bell")]);
    configure(
        folder.path(),
        "[servers.house]\ncatalog = \"catalog.jsonl\"\n\
         [servers.off]\ncommand = \"true\"\nenabled = false\n\
         [servers.gone]\ncommand = \"false\"\n",
    );
    let service = Service::start(folder.path(), &[]).await;
    service.until_ready().await;
    let failed = async || service.status().await["servers"]["failed"] == 1;
    service.until("gone failed", failed).await;
    for (id, says) in [("off/x", "off is switched off"), ("gone/y", "gone could not be crawled")] {
        let (_, answer) = service.get(&format!("/v1/search?q=ring&why={id}")).await;
        assert_eq!(answer["why"]["verdict"], "server_unavailable", "{answer}");
        assert!(answer["why"]["because"].as_str().unwrap().contains(says), "{answer}");
    }
    let args = ["search", "--url", &service.url, "ring", "--why", "house/ring_bells"];
    let told = run(folder.path(), &args).await;
    assert!(told.stdout.contains("much like it: house/ring_bell"), "{}", told.stdout);
    let args = ["search", "--catalog", "catalog.jsonl", "bell", "--why", "house/ring_bell"];
    let told = run(folder.path(), &args).await;
    assert!(told.stdout.contains("why house/ring_bell: it has place 1 of 1"), "{}", told.stdout);
    assert!(told.stdout.contains(" bell (description "), "{}", told.stdout);
    service.stop().await;
}
