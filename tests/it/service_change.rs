//! Readers while the tools change: every answer is of one generation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::support::mock_http::{Answer, MockHttp, Speaks};
use crate::support::service::{Service, catalog, configure, ids};

/// Two pages of one version; every complete listing is of the next.
fn versioned(version: usize, cursor: Option<&str>) -> String {
    let tools = |from: usize, to: usize| {
        let tools = (from..to).map(|n| {
            format!(r#"{{"name":"report_{n}","description":"Report of version {version}.","inputSchema":{{"type":"object"}}}}"#)
        });
        tools.collect::<Vec<_>>().join(",")
    };
    match cursor {
        None => format!(r#"{{"tools":[{}],"nextCursor":"{version}"}}"#, tools(0, 10)),
        Some(_) => format!(r#"{{"tools":[{}]}}"#, tools(10, 20)),
    }
}

fn version_of(tool: &Value) -> u64 {
    let description = tool["definition"]["description"].as_str().unwrap();
    let version = description.trim_end_matches('.').rsplit(' ').next();
    version.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_of_one_generation() {
    let listings = AtomicUsize::new(0);
    let mock = MockHttp::start(Speaks::Stateless, false, move |request| {
        let version = match &request.cursor {
            None => listings.fetch_add(1, Ordering::Relaxed),
            Some(cursor) => cursor.parse().unwrap(),
        };
        Answer::Result(versioned(version, request.cursor.as_deref()))
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let entry = format!("[servers.desk]\nurl = \"{}\"\nrefresh = \"1s\"", mock.url);
    configure(folder.path(), &entry);
    let service = Service::start(folder.path(), &[]).await;
    service.until_ready().await;
    service.until("somebody listens", async || mock.has_listener()).await;
    // The first change is announced, the later ones are found.
    mock.announce();

    let one_reader = async || {
        let mut versions: BTreeMap<u64, u64> = BTreeMap::new();
        while versions.len() < 5 {
            let (status, answer) = service.get("/v1/search?q=report&limit=50").await;
            assert_eq!(status, 200);
            let generation = answer["generation"].as_u64().unwrap();
            let tools = answer["tools"].as_array().unwrap();
            assert_eq!(tools.len(), 20);
            let seen: BTreeSet<u64> = tools.iter().map(version_of).collect();
            assert_eq!(seen.len(), 1, "generation {generation} mixes {seen:?}");
            let version = *seen.first().unwrap();
            let newest = versions.last_key_value();
            assert!(newest.is_none_or(|(newest, _)| *newest <= generation));
            let known = *versions.entry(generation).or_insert(version);
            assert_eq!(known, version, "generation {generation} changed");
        }
        versions
    };
    let readers = futures::future::join_all((0..8).map(|_| one_reader()));
    let read = tokio::time::timeout(crate::support::crawling::PATIENCE, readers).await;
    let mut all: BTreeMap<u64, u64> = BTreeMap::new();
    for (generation, version) in read.expect("too few generations").into_iter().flatten() {
        let known = *all.entry(generation).or_insert(version);
        assert_eq!(known, version, "readers disagree on generation {generation}");
    }
    let versions: Vec<u64> = all.into_values().collect();
    assert!(versions.is_sorted(), "{versions:?}");
    service.stop().await;
}

#[tokio::test]
async fn a_repeated_search_is_counted_until_the_tools_change() {
    let folder = tempfile::tempdir().unwrap();
    catalog(folder.path(), &[("house", "ring_bell", "Ring the bell")]);
    configure(folder.path(), "[servers.all]\ncatalog = \"catalog.jsonl\"\nrefresh = \"1s\"");
    let service = Service::start(folder.path(), &[]).await;
    service.until_ready().await;
    let repeated = async || service.metric("toolscout_repeated_searches_total").await;
    let first = service.search("ring").await;
    assert!(repeated().await < 0.5);
    let again = service.search("ring").await;
    assert_eq!(first["tools"], again["tools"]);
    assert!((repeated().await - 1.0).abs() < 0.5);

    catalog(folder.path(), &[("house", "ring_gong", "Ring the gong")]);
    let changed = async || ids(&service.search("ring").await) == ["house/ring_gong"];
    service.until("the gong is found", changed).await;
    service.stop().await;
}
