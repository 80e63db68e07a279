//! `toolscout lint`: what it says of good tools and of bad ones, and its exit code.

use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use serde_json::{Value, json};

use crate::support::crawling::page;
use crate::support::mock_http::{MockHttp, Speaks};
use crate::support::service::{Service, configure, run};
use crate::support::shared::shared;

fn write(folder: &Path, tools: &[Value]) {
    let lines: Vec<String> = tools.iter().map(|tool| format!("{tool}\n")).collect();
    std::fs::write(folder.join("tools.jsonl"), lines.concat()).unwrap();
}

fn tool(name: &str, description: &str) -> Value {
    json!({"server": "s", "name": name, "description": description, "inputSchema": {}})
}

#[tokio::test]
async fn the_demo_has_no_errors() {
    let folder = tempfile::tempdir().unwrap();
    let report = run(folder.path(), &["lint", "--demo", "--json"]).await.json();
    assert_eq!(report["servers"], 14);
    assert_eq!(report["errors"], 0, "{report}");
    // What is there to be said of it is only this.
    let rules: Vec<&String> = report["by_rule"].as_object().unwrap().keys().collect();
    assert!(rules.iter().all(|rule| *rule == "undescribed-parameters"), "{report}");
}

#[tokio::test]
async fn errors_fail_and_warnings_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let lint = async |args: &[&str]| {
        run(folder.path(), &[&["lint", "--catalog", "tools.jsonl"], args].concat()).await
    };
    write(
        folder.path(),
        &[tool("open", "Opens a door"), tool("ring", "Sound the bell of a house.")],
    );
    let warned = lint(&[]).await;
    assert_eq!(warned.code, 0, "{}", warned.stderr);
    let said = "warning: short-description: s/open: its description has 3 words, fewer than 4";
    assert!(warned.stdout.starts_with(said), "{}", warned.stdout);
    let summary = "0 errors, 1 warnings (short-description 1) in 2 tools of 1 servers";
    assert!(warned.stdout.contains(summary), "{}", warned.stdout);
    assert_eq!(lint(&["--deny", "short-description"]).await.code, 1);
    assert!(
        lint(&["--allow", "short-description"]).await.stdout.starts_with("0 errors, 0 warnings in")
    );
    assert!(lint(&["--min-words", "3"]).await.stdout.starts_with("0 errors, 0 warnings in"));
    assert!(
        lint(&["--rule", "near-duplicate"]).await.stdout.starts_with("0 errors, 0 warnings in")
    );

    write(folder.path(), &[tool("open", ""), tool("ring", "Sound the bell of a house.")]);
    let failed = lint(&["--json"]).await;
    assert_eq!(failed.code, 1);
    let report: Value = serde_json::from_str(&failed.stdout).unwrap();
    assert_eq!(report["errors"], 1);
    let expected = json!([{
        "rule": "no-description", "level": "error", "tool": "s/open",
        "message": "it has no description",
    }]);
    assert_eq!(report["findings"], expected);
    for wrong in [&["--rule", "nonsense"][..], &["--similar", "2"], &["--first", "0"]] {
        assert_eq!(lint(wrong).await.code, 2, "{wrong:?}");
    }
}

#[tokio::test]
async fn what_can_not_be_crawled_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    let pages = vec![(None, page(&["open"], None))];
    let door = MockHttp::pages(Speaks::Stateless, false, pages).await;
    let away = MockHttp::pages(Speaks::Nothing(503, None), false, Vec::new()).await;
    let entry = |id: &str, mock: &MockHttp| format!("[servers.{id}]\nurl = \"{}\"\n", mock.url);
    configure(folder.path(), &entry("door", &door));
    // What a service has kept is not what the server says now.
    let service = Service::start(folder.path(), &[]).await;
    service.until_state("door", "ready").await;
    service.stop().await;
    let lint = ["lint", "--json", "--data", "data", "--allow", "no-description"];
    let report = run(folder.path(), &lint).await.json();
    assert_eq!((&report["tools"], &report["not_crawled"]), (&json!(1), &json!([])));
    let asked = door.count("tools/list");
    configure(folder.path(), &(entry("door", &door) + &entry("away", &away)));
    let ran = run(folder.path(), &lint).await;
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    assert!(ran.stderr.contains("away: its tools are missing here: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("HTTP 503"), "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&report["errors"], &report["tools"]), (&json!(0), &json!(1)));
    assert_eq!(report["not_crawled"], json!(["away"]));
    assert!(door.count("tools/list") > asked);
    let text = run(folder.path(), &["lint", "--data", "data", "--rule", "near-duplicate"]).await;
    assert_eq!(text.code, 1);
    assert!(text.stdout.contains("of 1 servers, 1 servers not crawled, "), "{}", text.stdout);

    // A search goes on with what there is, and says so.
    let found = run(folder.path(), &["search", "--json", "--data", "data", "open"]).await;
    assert!(found.stderr.contains("away: its tools are missing here: "), "{}", found.stderr);
    assert_eq!(found.json()["tools"][0]["id"], "door/open");
}

#[tokio::test]
async fn real_servers_are_looked_through() {
    let Some(path) = shared("catalogs/real-servers.jsonl.gz") else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    let file = std::fs::File::open(&path).unwrap();
    MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
    // All of them take long without optimisation.
    let some: Vec<&str> = text.lines().step_by(4).collect();
    std::fs::write(folder.path().join("some.jsonl"), some.join("\n")).unwrap();
    let report = run(folder.path(), &["lint", "--catalog", "some.jsonl", "--json"]).await;
    let report: Value = serde_json::from_str(&report.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let has = |rule: &str, tool: &str| {
        findings.iter().any(|finding| finding["rule"] == rule && finding["tool"] == tool)
    };
    assert!(!has("no-description", "npm-airtable-mcp-server/list_records"));
    // Most of what people really write is found by its own words.
    let by_rule = report["by_rule"].as_object().unwrap();
    for rule in ["no-description", "short-description", "undescribed-parameters"] {
        assert!(by_rule.contains_key(rule), "{by_rule:?}");
    }
    let tools = report["tools"].as_u64().unwrap();
    assert!(
        by_rule.get("unfindable").map_or(0, |count| count.as_u64().unwrap()) * 20 < tools,
        "{by_rule:?}"
    );
}
