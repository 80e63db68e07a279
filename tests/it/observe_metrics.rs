//! What the dashboard and the alert rules of `deploy/` ask for is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use regex::Regex;
use serde_json::{Value, json};

use crate::support::mock_http::{Answer, MockHttp, Speaks};
use crate::support::service::{Service, configure};

/// Labels that Prometheus itself adds.
const ADDED: [&str; 3] = ["instance", "job", "le"];

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Every expression of both files, with where it stands.
fn expressions() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/toolscout.json")).unwrap();
    let mut all = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap().to_owned();
        for target in panel["targets"].as_array().unwrap() {
            all.push((title.clone(), target["expr"].as_str().unwrap().to_owned()));
        }
    }
    let rules: Value = serde_saphyr::from_str(&read("deploy/prometheus/alerts.yaml")).unwrap();
    for rule in rules["groups"][0]["rules"].as_array().unwrap() {
        let name = rule["alert"].as_str().unwrap().to_owned();
        for text in ["summary", "runbook"] {
            assert!(rule["annotations"][text].is_string(), "{name} has no {text}");
        }
        assert!(rule["labels"]["severity"].is_string(), "{name}");
        all.push((name, rule["expr"].as_str().unwrap().to_owned()));
    }
    all
}

/// The labels of every metric of a text in Prometheus' format, and the help of each.
fn told(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let line = Regex::new(r"^([a-z_]+)(?:\{(.*)\})? ").unwrap();
    let label = Regex::new(r#"([a-z_]+)="(?:[^"\\]|\\.)*""#).unwrap();
    let mut told: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for found in text.lines().filter_map(|text| line.captures(text)) {
        let labels = found.get(2).map_or("", |labels| labels.as_str());
        let labels = label.captures_iter(labels).map(|label| label[1].to_owned());
        told.entry(found[1].to_owned()).or_default().extend(labels);
    }
    told
}

#[tokio::test]
async fn every_metric_that_is_asked_for_is_told() {
    let mock = MockHttp::start(Speaks::Stateless, false, |request| {
        Answer::Result(match request.method.as_str() {
            "tools/list" => json!({"tools": [{
                "name": "send", "description": "Send a letter", "inputSchema": {"type": "object"},
            }]})
            .to_string(),
            _ => r#"{"content":[]}"#.to_owned(),
        })
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "[audit]\nenabled = true\n[learn]\nenabled = true\n[call]\nenabled = true\nallow = 'all'\n\
         [servers.post]\nurl = '{}'\n[servers.gone]\nurl = 'http://127.0.0.1:1/mcp'",
        mock.url
    );
    configure(folder.path(), &config);
    let service = Service::start(folder.path(), &[]).await;
    service.until_state("post", "ready").await;
    service.until_state("gone", "failed").await;
    service.search("send a letter").await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = async |path: &str, body: Value| {
        http.post(format!("{}{path}", service.url)).json(&body).send().await.unwrap().status()
    };
    assert_eq!(post("/v1/call", json!({"id": "post/send"})).await, 200);
    let feedback = json!({"query": "send a letter", "tool": "post/send"});
    assert!(post("/v1/feedback", feedback).await.is_success());
    let text = http.get(format!("{}/metrics", service.url)).send().await.unwrap();
    let text = text.text().await.unwrap();
    let told = told(&text);

    let metric = Regex::new(r"\b(?:toolscout|process)_[a-z_]+").unwrap();
    let matched = Regex::new(r#"([a-z_]+)\s*(?:=~|!~|!=|=)\s*""#).unwrap();
    let grouped = Regex::new(r"\bby \(([a-z_, ]+)\)").unwrap();
    let mut asked = 0;
    for (place, expression) in expressions() {
        let mut labels = BTreeSet::new();
        for found in metric.find_iter(&expression) {
            let name = found.as_str();
            let known = told.get(name);
            labels.extend(
                known.unwrap_or_else(|| panic!("{place}: there is no {name} in\n{text}")).clone(),
            );
            asked += 1;
        }
        let named = matched.captures_iter(&expression).map(|found| found[1].to_owned());
        let lists = grouped.captures_iter(&expression).map(|found| found[1].to_owned());
        let lists: Vec<String> = lists.collect();
        let lists = lists.iter().flat_map(|list| list.split(',')).map(|one| one.trim().to_owned());
        for label in named.chain(lists) {
            let known = labels.contains(&label) || ADDED.contains(&label.as_str());
            assert!(known, "{place}: nothing in {expression} has a label {label}");
        }
        for (open, close) in ["()", "{}", "[]"].map(|pair| (&pair[..1], &pair[1..])) {
            let (opened, closed) =
                (expression.matches(open).count(), expression.matches(close).count());
            assert_eq!(opened, closed, "{place}: {expression}");
        }
    }
    assert!(asked > 60, "{asked}");
    // What is told is also explained.
    for name in told.keys() {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| {
            let base = name.strip_suffix(end)?;
            text.contains(&format!("# TYPE {base} histogram")).then_some(base)
        });
        let base = base.unwrap_or(name);
        assert!(text.contains(&format!("# HELP {base} ")), "{base} has no help");
    }
    // A server's failures are its own.
    assert!(text.contains("toolscout_server_crawl_failures_total{server=\"gone\"}"), "{text}");
    service.stop().await;
}
