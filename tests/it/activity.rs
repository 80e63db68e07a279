//! What operators are told of searches and calls: as much as there was, no more of a text than is to
//! be kept, and the hours of before after a restart.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::mock_http::{Answer, MockHttp, Speaks};
use crate::support::service::{Service, catalog, configure};
use crate::support::tenants::{Asker, key, operator};

const TOOLS: &[(&str, &str, &str)] = &[
    ("mail", "send_mail", "Send an e-mail to somebody"),
    ("mail", "read_mail", "Read what came in"),
    ("git", "merge", "Merge a branch into another"),
];
/// Of no tool's words.
const NOTHING: &str = "xylqz vwkjh";
const KEPT: &str = "data/activity/hours.book";

fn folder(more: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    catalog(folder.path(), TOOLS);
    configure(folder.path(), &format!("[servers.files]\ncatalog = 'catalog.jsonl'\n{more}"));
    folder
}

async fn start(folder: &Path) -> (Service, Asker) {
    let service = Service::start(folder, &[]).await;
    service.until_ready().await;
    service
        .until("the tools are listed", async || service.tools().await.len() == TOOLS.len())
        .await;
    let operator = Asker::new(&service, Some(&operator(folder)));
    (service, operator)
}

async fn activity(operator: &Asker, query: &str) -> Value {
    let told = operator.get(&format!("/v1/admin/activity{query}")).await;
    assert_eq!(told.status, 200, "{}", told.text);
    told.json()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a Vec<Value> {
    value[name].as_array().unwrap_or_else(|| panic!("{name}: {value}"))
}

fn sum(values: &[Value], name: &str) -> u64 {
    values.iter().map(|value| value[name].as_u64().unwrap()).sum()
}

fn queries(told: &Value) -> Vec<&str> {
    list(told, "recent").iter().map(|one| one["query"].as_str().unwrap_or_default()).collect()
}

#[tokio::test]
async fn what_is_told_is_what_was_asked() {
    let folder = folder("");
    let (service, operator) = start(folder.path()).await;
    let before = activity(&operator, "").await;
    assert_eq!((before["total"]["searches"].as_u64(), list(&before, "recent").len()), (Some(0), 0));
    assert_eq!(before["per_second"], 0.0, "{before}");
    assert!(before["latency"]["p50_us"].is_null());

    let anybody = Asker::new(&service, None);
    // Three of them over HTTP, one as before.
    for _ in 0..2 {
        assert_eq!(anybody.get("/v1/search?q=send+mail").await.status, 200);
    }
    let batch = json!({"batch": [{"query": "merge"}, {"queries": ["read", "came in"]}]});
    assert_eq!(anybody.post("/v1/search", &batch).await.status, 200);
    // Over MCP, and of a conversation.
    let asked = json!({"name": "search_tools", "arguments": {"query": NOTHING}});
    let mcp = anybody.mcp("/mcp", "tools/call", asked).await;
    assert!(mcp.text.contains("no_good_match"), "{}", mcp.text);
    let turn = json!({"text": "merge my branch", "limit": 2});
    assert_eq!(anybody.post("/v1/select", &turn).await.status, 200);
    // Refused, and not even read.
    assert_eq!(anybody.get("/v1/search?q=merge&server=nobody").await.status, 400);
    assert_eq!(anybody.get("/v1/search").await.status, 400);

    let told = activity(&operator, "").await;
    let total = &told["total"];
    let expected = json!({
        "searches": 6, "hybrid": 6, "lexical": 0, "dense": 0, "degraded": 0, "cached": 1,
        "refused": 1, "turned_away": 0, "calls": 0, "failed_calls": 0,
    });
    for (name, count) in expected.as_object().unwrap() {
        assert_eq!(total[name], *count, "{name}: {total}");
    }
    assert_eq!(
        sum(std::slice::from_ref(total), "empty")
            + sum(std::slice::from_ref(total), "no_good_match"),
        1,
        "{total}"
    );
    // Each range says the same of them, as does the histogram.
    for range in ["10m", "6h", "14d"] {
        let told = activity(&operator, &format!("?range={range}")).await;
        let slots = list(&told, "slots");
        for name in ["searches", "cached", "refused", "empty", "no_good_match"] {
            assert_eq!(sum(slots, name), total[name].as_u64().unwrap(), "{range} {name}");
        }
        let cells = told["latency"]["cells"].as_array().unwrap();
        assert_eq!(sum(cells, "searches"), 6, "{range}");
        let percentile = |name: &str| told["latency"][name].as_u64().unwrap();
        assert!(percentile("p50_us") <= percentile("p90_us"), "{told}");
        assert!(percentile("p99_us") <= percentile("max_us"), "{told}");
        let width = told["slot_s"].as_u64().unwrap();
        assert!(slots.iter().all(|slot| slot["at_s"].as_u64().unwrap() % width == 0));
    }

    assert_eq!(
        queries(&told),
        ["merge", "merge my branch", NOTHING, "read | came in", "merge", "send mail", "send mail"]
    );
    let recent = list(&told, "recent");
    assert_eq!(recent[0]["refused"], true);
    assert!(recent[0].get("took_us").is_none(), "{}", recent[0]);
    let first = &recent[6];
    assert_eq!(
        (&first["way"], &first["caller"], &first["cached"]),
        (&json!("http"), &json!("anonymous"), &json!(false))
    );
    assert_eq!((&recent[5]["cached"], &recent[2]["way"]), (&json!(true), &json!("mcp")));
    assert_eq!(first["best"][0], "mail/send_mail");
    let missed = list(&told, "missed");
    assert_eq!((missed.len(), &missed[0]["query"]), (1, &json!(NOTHING)), "{missed:?}");
    // Only what came since is told again.
    let last = told["last"].as_u64().unwrap();
    assert_eq!(anybody.get("/v1/search?q=letters").await.status, 200);
    assert_eq!(queries(&activity(&operator, &format!("?after={last}")).await), ["letters"]);

    // Each search could have had all of the catalog.
    let told = activity(&operator, "").await;
    let catalog = told["savings"]["catalog_tokens"].as_u64().unwrap();
    let total = std::slice::from_ref(&told["total"]);
    let whole = sum(total, "sent_tokens") + sum(total, "saved_tokens");
    assert!(catalog > 50 && whole.abs_diff(7 * catalog) <= 8, "{whole} of {catalog}: {told}");
    service.stop().await;
}

#[tokio::test]
async fn calls_are_counted_by_how_they_ended_and_whoever_is_not_let_in_as_well() {
    let mock = MockHttp::start(Speaks::Handshake(400, -32601), false, |request| {
        let tool = json!({"tools": [{"name": "look", "inputSchema": {"type": "object"}}]});
        let said = json!({"content": [], "isError": request.params["arguments"]["wrong"] == true});
        Answer::Result(if request.method == "tools/list" { tool } else { said }.to_string())
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "[servers.srv]\nurl = '{}'\n[call]\nenabled = true\nallow = 'all'\n[auth]\nkeys = true\n",
        mock.url
    );
    configure(folder.path(), &text);
    let caller = key(folder.path(), None, &["search", "call"]).await;
    let service = Service::start(folder.path(), &[]).await;
    let token = operator(folder.path());
    let operator = Asker::new(&service, Some(&token));
    service
        .until("the tool is listed", async || {
            operator.get("/v1/tools/srv/look").await.status == 200
        })
        .await;
    let caller = Asker::new(&service, Some(&caller));
    for (arguments, id) in
        [(json!({}), "srv/look"), (json!({"wrong": true}), "srv/look"), (json!({}), "srv/no")]
    {
        caller.post("/v1/call", &json!({"id": id, "arguments": arguments})).await;
    }
    let stranger = Asker::new(&service, None);
    assert_eq!(stranger.get("/v1/search?q=look").await.status, 401);
    assert_eq!(caller.get("/v1/admin/activity").await.status, 403);
    assert_eq!(stranger.get("/v1/admin/activity").await.status, 401);
    assert_eq!(operator.get("/v1/admin/activity?range=1y").await.status, 400);
    assert_eq!(caller.get("/v1/search?q=look").await.status, 200);
    let told = activity(&operator, "").await;
    let total = &told["total"];
    assert_eq!((&total["calls"], &total["failed_calls"]), (&json!(3), &json!(2)), "{total}");
    // Those that ask for this page are none that search.
    assert_eq!((&total["turned_away"], &total["searches"]), (&json!(1), &json!(1)), "{total}");
    let name = told["recent"][0]["caller"].as_str().unwrap();
    assert!(!name.is_empty() && name != "anonymous", "{told}");
    service.stop().await;
}

#[tokio::test]
async fn of_a_query_is_told_what_is_to_be_kept_and_nothing_of_it_is_on_disk() {
    const ASKED: &str = "/v1/search?q=xylqz+ada@example.com+vwkjh";
    for (policy, kept) in [
        ("full", Some("xylqz ada@example.com vwkjh")),
        ("redact", Some("xylqz [email] vwkjh")),
        ("hash", None),
        ("none", None),
    ] {
        let folder = folder(&format!("[audit]\nqueries = '{policy}'\n"));
        let (service, operator) = start(folder.path()).await;
        for _ in 0..2 {
            assert_eq!(service.get(ASKED).await.0, 200);
        }
        let told = activity(&operator, "").await;
        assert_eq!((&told["queries"], &told["total"]["searches"]), (&json!(policy), &json!(2)));
        assert_eq!(list(&told, "recent").len(), 2, "{told}");
        let said = told["recent"][0].get("query").and_then(Value::as_str);
        match policy {
            "hash" => {
                assert!(said.unwrap().starts_with("blake3:"), "{told}");
                assert_eq!(told["recent"][0]["query"], told["recent"][1]["query"]);
                assert_eq!(told["missed"][0]["searches"], 2, "{told}");
            }
            _ => assert_eq!(said, kept, "{policy}"),
        }
        assert_eq!(list(&told, "missed").is_empty(), policy == "none", "{told}");
        if policy != "full" {
            assert!(!told.to_string().contains("ada@"), "{told}");
        }
        service.stop().await;
        let bytes = std::fs::read(folder.path().join(KEPT)).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("xylqz"), "{policy}");
    }
}

#[tokio::test]
async fn a_restart_keeps_the_hours_and_forgets_the_queries() {
    let folder = folder("");
    let (service, operator) = start(folder.path()).await;
    for query in ["send", "merge", NOTHING] {
        service.search(query).await;
    }
    let before = activity(&operator, "?range=14d").await;
    service.stop().await;

    let (service, operator) = start(folder.path()).await;
    let after = activity(&operator, "?range=14d").await;
    for same in ["slots", "total", "latency", "since_s"] {
        assert_eq!(after[same], before[same], "{same}");
    }
    let (recent, missed) = (list(&after, "recent"), list(&after, "missed"));
    assert!(recent.is_empty() && missed.is_empty(), "{after}");
    assert!(list(&activity(&operator, "?range=10m").await, "slots").is_empty());
    // Whoever has looked before the restart hears of all that came after it.
    service.search("send").await;
    let since = format!("?range=14d&after={}", before["last"]);
    let told = activity(&operator, &since).await;
    assert_eq!((queries(&told), &told["total"]["searches"]), (vec!["send"], &json!(4)));
    service.stop().await;

    // A file that can't be read is no reason not to start.
    std::fs::write(folder.path().join(KEPT), "TSACTIV").unwrap();
    let (service, operator) = start(folder.path()).await;
    assert_eq!(activity(&operator, "").await["total"]["searches"], 0);
    assert!(service.log().contains("activity is counted anew"), "{}", service.log());
    service.stop().await;
}

#[tokio::test]
async fn who_looks_at_how_searching_works_is_counted_nowhere() {
    let folder = folder("");
    let (service, operator) = start(folder.path()).await;
    for explained in ["/v1/search?q=send+mail&explain=1", "/v1/search?q=xylqz&explain=1"] {
        assert_eq!(operator.get(explained).await.status, 200);
    }
    let batch = json!({"batch": [{"query": "merge"}], "explain": true});
    assert_eq!(operator.post("/v1/search", &batch).await.status, 200);
    assert_eq!(operator.get("/v1/map/query?q=send").await.status, 200);
    let told = activity(&operator, "").await;
    let total = std::slice::from_ref(&told["total"]);
    for name in ["searches", "saved_tokens", "sent_tokens", "empty", "no_good_match"] {
        assert_eq!(sum(total, name), 0, "{name}");
    }
    assert!(list(&told, "recent").is_empty() && list(&told, "missed").is_empty(), "{told}");
    assert_eq!(operator.get("/v1/search?q=send+mail").await.status, 200);
    assert_eq!(queries(&activity(&operator, "").await), ["send mail"]);
    service.stop().await;
}

#[tokio::test]
async fn an_answer_that_a_filter_left_empty_is_told_with_the_filter() {
    let folder = folder("");
    let (service, operator) = start(folder.path()).await;
    let found = operator.get("/v1/search?q=merge+a+branch").await.json();
    assert_eq!(found["tools"][0]["id"], "git/merge", "{found}");
    // No tool of these says of itself that it only reads.
    let filtered = "/v1/search?q=merge+a+branch&server=git&server=mail&read_only=1";
    assert_eq!(operator.get(filtered).await.json()["tools"], json!([]));
    let plain = format!("/v1/search?q={}", NOTHING.replace(' ', "+"));
    for path in [filtered, &plain, &plain] {
        assert_eq!(operator.get(path).await.status, 200);
    }
    let told = activity(&operator, "").await;
    let missed: Vec<_> =
        list(&told, "missed").iter().map(|one| (&one["query"], &one["filter"])).collect();
    let filter = json!("server=git server=mail read_only=true");
    let expected = [(&json!(NOTHING), &Value::Null), (&json!("merge a branch"), &filter)];
    assert!(missed.len() == 2 && expected.iter().all(|one| missed.contains(one)), "{missed:?}");
    service.stop().await;
}
