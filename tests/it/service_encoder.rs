//! The service without an encoder, with one, and with the vectors of an earlier run.

use std::path::Path;

use serde_json::Value;

use crate::support::service::{Service, catalog, encoder, ids, serve};

/// The wanted tool and the query share no word.
const WANTED: &str = "calendar/create_event";
const PARAPHRASE: &str = "find time to talk to my coworkers";

fn tools(folder: &Path) {
    catalog(
        folder,
        &[
            ("calendar", "create_event", "Schedule a meeting with colleagues"),
            ("files", "read_file", "Read the bytes of one path"),
            ("forge", "merge_branch", "Merge one git branch into another"),
            ("kitchen", "bake_bread", "Heat dough in the oven"),
            ("payments", "refund_charge", "Give money back to a buyer"),
            ("weather", "get_forecast", "Rain and sun of the coming days"),
        ],
    );
}

async fn start(folder: &Path, encoder: &[String]) -> Service {
    let mut args = vec!["--catalog", "catalog.jsonl"];
    args.extend(encoder.iter().map(String::as_str));
    let service = Service::start(folder, &args).await;
    service.until_ready().await;
    service
}

fn is_embedded(status: &Value) -> bool {
    status["mode"] == "hybrid" && status["embedded"] == status["total"]
}

#[tokio::test]
async fn without_a_model_it_serves_and_says_what_mends_it() {
    let folder = tempfile::tempdir().unwrap();
    tools(folder.path());
    let by_flag = serve(folder.path(), &["--catalog", "catalog.jsonl", "--model", "/nonexistent"]);
    let mut by_variable = serve(folder.path(), &["--catalog", "catalog.jsonl"]);
    by_variable.env("TOOLSCOUT_MODEL", "/nonexistent");
    let absent = serve(folder.path(), &["--catalog", "catalog.jsonl"]);
    for command in [by_flag, by_variable, absent] {
        let service = Service::of(command).await;
        service.until_ready().await;
        service.until_logged("scripts/fetch.sh").await;
        let status = service.status().await;
        assert_eq!(status["mode"], "lexical");
        assert_eq!((&status["embedded"], &status["total"]), (&0.into(), &6.into()));
        let answer = service.search("git branch").await;
        assert_eq!(ids(&answer)[0], "forge/merge_branch");
        assert_eq!(answer["mode"], "lexical");
        for told in [&status, &answer] {
            let reason = told["reason"].as_str().unwrap();
            assert!(reason.contains("scripts/fetch.sh"), "{reason}");
        }
        let answer = service.search(PARAPHRASE).await;
        assert!(!ids(&answer).iter().any(|id| id == WANTED), "{answer}");
        service.stop().await;
    }
}

#[tokio::test]
async fn with_a_model_it_finds_what_shares_no_word_and_embeds_once() {
    let Some(encoder) = encoder() else { return };
    let folder = tempfile::tempdir().unwrap();
    tools(folder.path());
    let service = start(folder.path(), &encoder).await;
    let embedded = async || is_embedded(&service.status().await);
    service.until("all is embedded", embedded).await;
    assert_eq!(service.log().matches("embedding").count(), 1);
    // The first texts after a start may take longer than a query waits.
    let found = async || {
        let answer = service.search(PARAPHRASE).await;
        answer["mode"] == "hybrid" && ids(&answer)[0] == WANTED
    };
    service.until("the paraphrase finds its tool", found).await;
    let status = service.status().await;
    assert_eq!(status.get("reason"), None, "{status}");
    assert!(status["encoder"].is_string(), "{status}");
    service.stop().await;

    let service = start(folder.path(), &encoder).await;
    let embedded = async || is_embedded(&service.status().await);
    service.until("all is embedded again", embedded).await;
    assert!(!service.log().contains("embedding"), "{}", service.log());
    service.stop().await;
}
