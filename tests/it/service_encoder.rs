//! The service with the encoder in the binary, with another, and with the vectors of an earlier run.

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
async fn the_encoder_in_the_binary_serves_from_the_first_generation() {
    let folder = tempfile::tempdir().unwrap();
    tools(folder.path());
    for _ in ["cold", "from the snapshot"] {
        let service = start(folder.path(), &[]).await;
        let status = service.status().await;
        assert!(is_embedded(&status), "{status}");
        assert!(status["encoder"].as_str().unwrap().starts_with("scout-"), "{status}");
        assert_eq!(status.get("reason"), None, "{status}");
        let answer = service.search(PARAPHRASE).await;
        assert_eq!((&answer["mode"], &ids(&answer)[0][..]), (&"hybrid".into(), WANTED));
        assert!(!service.log().contains("embedded=0"), "{}", service.log());
        service.stop().await;
    }
}

#[tokio::test]
async fn it_takes_the_place_of_one_that_does_not_load_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    tools(folder.path());
    let by_flag = serve(folder.path(), &["--catalog", "catalog.jsonl", "--model", "/nonexistent"]);
    let mut by_variable = serve(folder.path(), &["--catalog", "catalog.jsonl"]);
    by_variable.env("TOOLSCOUT_MODEL", "absent");
    for command in [by_flag, by_variable] {
        let service = Service::of(command).await;
        service.until_ready().await;
        service.until_logged("toolscout model pull").await;
        let embedded = async || is_embedded(&service.status().await);
        service.until("all is embedded", embedded).await;
        let status = service.status().await;
        let answer = service.search(PARAPHRASE).await;
        assert_eq!((&answer["mode"], &ids(&answer)[0][..]), (&"hybrid".into(), WANTED));
        for told in [&status, &answer] {
            let reason = told["reason"].as_str().unwrap();
            assert!(reason.contains("the encoder in the binary answers: no embedding model in"));
        }
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
