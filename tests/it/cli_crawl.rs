//! `toolscout crawl`: the report, the exit code, and definitions that stay as they came.

use std::collections::BTreeSet;
use std::io::Read;

use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::support::app::ODD;
use crate::support::crawling::page;
use crate::support::mock_http::{MockHttp, Speaks};
use crate::support::service::{configure, ids, run};
use crate::support::shared::shared;

#[tokio::test]
async fn a_failing_server_is_reported_and_the_others_are_written() {
    let page = format!(r#"{{"tools":[{ODD},{}"#, &page(&["second"], None)[10..]);
    let good = MockHttp::pages(Speaks::Stateless, false, vec![(None, page)]).await;
    let bad = MockHttp::pages(Speaks::Nothing(503, None), false, Vec::new()).await;
    let closed = MockHttp::pages(Speaks::Nothing(401, None), false, Vec::new()).await;
    let folder = tempfile::tempdir().unwrap();
    let entry = |id: &str, mock: &MockHttp| format!("[servers.{id}]\nurl = \"{}\"\n", mock.url);
    let off = format!("{}enabled = false\n", entry("off", &bad));
    configure(folder.path(), &(entry("good", &good) + &off));
    let table = run(folder.path(), &["crawl"]).await;
    assert_eq!(table.code, 0, "{}", table.stderr);

    let all = [entry("good", &good), entry("bad", &bad), entry("closed", &closed), off];
    configure(folder.path(), &all.concat());
    let table = run(folder.path(), &["crawl"]).await;
    assert_eq!(table.code, 1, "{}", table.stderr);
    let row = |id: &str| {
        let row = table.stdout.lines().find(|line| line.trim().starts_with(id));
        row.unwrap_or_else(|| panic!("{}", table.stdout)).split_whitespace().collect::<Vec<_>>()
    };
    assert_eq!(row("good")[1..4], ["http", "ready", "2"]);
    assert_eq!(row("bad")[2..4], ["failed", "?"]);
    assert_eq!(row("closed")[2..4], ["auth_required", "?"]);
    assert_eq!(row("off")[1..3], ["disabled", "?"]);
    assert!(table.stdout.contains("2 tools of 1 servers"), "{}", table.stdout);

    let report = run(folder.path(), &["crawl", "--json", "--out", "catalog.jsonl"]).await;
    assert_eq!(report.code, 1);
    let report: serde_json::Value = serde_json::from_str(&report.stdout).unwrap();
    assert_eq!(report.as_array().unwrap().len(), 4);
    assert_eq!(report[2]["server"], "good");
    assert_eq!(report[2]["tools"], 2);
    assert!(report[0]["tools"].is_null() && report[0]["error"].is_string());
    let written = std::fs::read_to_string(folder.path().join("catalog.jsonl")).unwrap();
    assert_eq!(written.lines().count(), 2);
    assert!(written.contains(&format!(r#"{{"server":"good",{}"#, &ODD[1..])), "{written}");
    // Nothing was kept for later: `crawl` reports, `serve` keeps.
    let answer = ["search", "--catalog", "catalog.jsonl", "--json", "pigeon"];
    let answer = run(folder.path(), &answer).await;
    assert!(answer.stdout.contains(ODD), "{}", answer.stdout);
}

#[tokio::test]
async fn what_is_written_is_read_back_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    for out in ["one.jsonl", "one.jsonl.gz"] {
        let ran = run(folder.path(), &["crawl", "--demo", "--out", out]).await;
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let ran = ["crawl", "--catalog", out, "--out", "two.jsonl"];
        let ran = run(folder.path(), &ran).await;
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let read = |name| std::fs::read(folder.path().join(name)).unwrap();
        assert_eq!(read("two.jsonl"), read("one.jsonl"), "{out}");
        let answer = ["search", "--catalog", out, "--json", "refund a charge"];
        let answer = run(folder.path(), &answer).await.json();
        assert!(ids(&answer).iter().any(|id| id.starts_with("payments/")));
    }
    let nowhere = ["crawl", "--demo", "--out", "no/such/folder.jsonl"];
    let ran = run(folder.path(), &nowhere).await;
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("no/such/folder.jsonl"), "{}", ran.stderr);
}

/// One server a line, as a crawl of real servers recorded it.
#[derive(Deserialize)]
struct Recorded<'a> {
    server: String,
    #[serde(borrow)]
    tools: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[tokio::test]
async fn definitions_of_real_servers_stay_as_they_came() {
    let Some(path) = shared("catalogs/real-servers.jsonl.gz") else { return };
    let file = std::fs::File::open(&path).unwrap();
    let mut text = String::new();
    MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
    let mut ids = BTreeSet::new();
    let mut expected = BTreeSet::new();
    for line in text.lines() {
        let recorded: Recorded<'_> = serde_json::from_str(line).unwrap();
        let server = serde_json::to_string(&recorded.server).unwrap();
        for tool in recorded.tools {
            let Named { name } = serde_json::from_str(tool.get()).unwrap();
            // Of two with one name the first is kept.
            if ids.insert(format!("{}/{name}", recorded.server)) {
                expected.insert(format!(r#"{{"server":{server},{}"#, &tool.get()[1..]));
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = path.display().to_string();
    let ran = ["crawl", "--catalog", &path, "--out", "out.jsonl"];
    let ran = run(folder.path(), &ran).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let written = std::fs::read_to_string(folder.path().join("out.jsonl")).unwrap();
    let written: BTreeSet<String> = written.lines().map(str::to_owned).collect();
    assert!(written.len() > 1_000, "{}", written.len());
    assert_eq!(written.difference(&expected).next(), None);
    assert_eq!(expected.difference(&written).next(), None);
}
