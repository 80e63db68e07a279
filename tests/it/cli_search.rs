//! `toolscout search`: the same answer wherever the tools come from, and clear words for what
//! can't be asked.

use std::path::Path;

use serde_json::Value;

use crate::support::service::{Service, catalog, configure, ids, run};

const QUERIES: [&str; 4] = [
    "refund a card payment",
    "create_event",
    "who is on call tonight",
    "move a file to another folder",
];

/// The tools of an answer without how long it took.
async fn search(folder: &Path, source: &[&str], query: &str) -> Value {
    let args = [&["search", "--json"][..], source, &["--", query]].concat();
    run(folder, &args).await.json()["tools"].clone()
}

#[tokio::test]
async fn every_source_of_the_demo_gives_the_same_answer() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let args = ["crawl", "--demo", "--out", "catalog.jsonl", "--out-servers", "servers.jsonl"];
    assert_eq!(run(folder, &args).await.code, 0);
    let service = Service::start(folder, &["--demo"]).await;
    let all_ready = async || service.status().await["servers"]["ready"] == 14;
    service.until("all ready", all_ready).await;
    for query in QUERIES {
        let demo = search(folder, &["--demo"], query).await;
        assert!(demo.as_array().unwrap().len() >= 5, "{demo}");
        let file = ["--catalog", "catalog.jsonl", "--servers", "servers.jsonl"];
        assert_eq!(search(folder, &file, query).await, demo);
        let running = search(folder, &["--url", &service.url], query).await;
        assert_eq!(running, demo);
    }
    service.stop().await;
}

#[tokio::test]
async fn a_snapshot_gives_what_the_service_gave() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let entries = |program: &str| {
        let entry = |name| {
            format!("[servers.{name}]\ncommand = {program:?}\nargs = [\"demo-server\", {name:?}]\n")
        };
        configure(folder, &["calendar", "mail", "payments"].map(entry).concat());
    };
    entries(env!("CARGO_BIN_EXE_toolscout"));
    let service = Service::start(folder, &[]).await;
    let all_ready = async || service.status().await["servers"]["ready"] == 3;
    service.until("all ready", all_ready).await;
    let mut answers = Vec::new();
    for query in QUERIES {
        answers.push(search(folder, &["--url", &service.url], query).await);
        // Crawled anew: this data folder has no snapshot.
        let fresh = search(folder, &["--data", "elsewhere"], query).await;
        assert_eq!(fresh, answers[answers.len() - 1]);
    }
    service.stop().await;
    // Nothing can be crawled any more.
    entries("false");
    for (query, answer) in QUERIES.iter().zip(&answers) {
        assert_eq!(search(folder, &["--data", "data"], query).await, *answer);
    }
}

fn bells(folder: &Path) {
    catalog(
        folder,
        &[
            ("house", "ring_bell", "Ring the bell of the front door"),
            ("house", "open_door", "Open the front door"),
            ("church", "ring_bells", "Pull every rope in the tower"),
        ],
    );
}

#[tokio::test]
async fn a_person_gets_a_table_and_a_program_gets_json() {
    let folder = tempfile::tempdir().unwrap();
    bells(folder.path());
    let base = ["search", "--catalog", "catalog.jsonl", "ring", "the", "bell"];
    let table = run(folder.path(), &base).await;
    assert_eq!(table.code, 0);
    assert!(table.stdout.starts_with(" 1. house/ring_bell "), "{}", table.stdout);
    assert!(table.stdout.contains("Ring the bell of the front door"));
    assert!(!table.stdout.contains('\x1b'), "no colour in a pipe");
    let explained = run(folder.path(), &[&base[..], &["--explain"]].concat()).await;
    assert!(explained.stdout.contains("lexical #1"), "{}", explained.stdout);
    assert!(!table.stdout.contains("lexical #1"), "{}", table.stdout);

    let answer = run(folder.path(), &[&base[..], &["--json", "--explain"]].concat()).await;
    let answer = answer.json();
    assert_eq!(ids(&answer)[0], "house/ring_bell");
    assert_eq!(answer["tools"][0]["explain"]["lexical"]["rank"], 1);
    assert_eq!(answer["tools"][0]["definition"]["inputSchema"]["type"], "object");
    let of = |server| [&base[..], &["--json", "--server", server]].concat();
    let answer = run(folder.path(), &of("church")).await.json();
    assert_eq!(ids(&answer), ["church/ring_bells"]);
    let limited = run(folder.path(), &[&base[..], &["--json", "--limit", "1"]].concat()).await;
    assert_eq!(ids(&limited.json()).len(), 1);
}

#[tokio::test]
async fn what_cant_be_asked_is_refused_alike_here_and_by_a_service() {
    let folder = tempfile::tempdir().unwrap();
    bells(folder.path());
    let service = Service::start(folder.path(), &["--catalog", "catalog.jsonl"]).await;
    service.until_ready().await;
    // One argument may not be longer than 128 KiB on Linux; a query may be many.
    let long = "bell ".repeat(20_000);
    for source in [["--catalog", "catalog.jsonl"], ["--url", &service.url]] {
        for (asked, said) in [
            (vec![""], "empty"),
            (vec![" \t\u{1}"], "empty"),
            (vec![&*long; 10], "shorten it"),
            (vec!["--server", "nowhere", "bell"], "nowhere"),
        ] {
            let args = [&["search"][..], &source, &asked].concat();
            let ran = run(folder.path(), &args).await;
            assert_eq!(ran.code, 1, "{source:?} {said}: {}", ran.stderr);
            assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
            assert!(ran.stderr.contains(said), "{source:?}: {}", ran.stderr);
            assert_eq!(ran.stdout, "");
        }
    }
    let url = service.url.clone();
    service.stop().await;
    let ran = run(folder.path(), &["search", "--url", &url, "bell"]).await;
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("no toolscout answers at"), "{}", ran.stderr);
    let ran = run(folder.path(), &["search", "--catalog", "none.jsonl", "bell"]).await;
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains("none.jsonl"), "{}", ran.stderr);
}

#[tokio::test]
async fn the_configurations_filters_hold_for_files_too() {
    let folder = tempfile::tempdir().unwrap();
    bells(folder.path());
    configure(folder.path(), "[servers.all]\ncatalog = \"catalog.jsonl\"\ndeny = [\"ring_bells\"]");
    let answer = run(folder.path(), &["search", "--json", "ring the bells"]).await;
    assert_eq!(ids(&answer.json()), ["house/ring_bell", "house/open_door"]);
    let service = Service::start(folder.path(), &[]).await;
    service.until_ready().await;
    let answer = service.search("ring the bells").await;
    assert_eq!(ids(&answer), ["house/ring_bell", "house/open_door"]);
    service.stop().await;
}
