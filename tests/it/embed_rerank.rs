//! The reranker: a real cross-encoder of a few words, off unless the configuration names it.

use std::path::Path;

use serde_json::Value;
use toolscout::config::{EmbedConfig, RerankConfig};
use toolscout::embed::{self, EmbedError, Reranker};

use crate::support::service::{Service, catalog, configure, ids, run, runtime, tiny};

fn load(folder: &Path) -> Result<Reranker, EmbedError> {
    let config = RerankConfig {
        model: folder.to_owned(),
        depth: 20,
        deadline: std::time::Duration::from_secs(20),
    };
    let runtime = runtime().unwrap_or_default();
    let embed = EmbedConfig { runtime, ..EmbedConfig::default() };
    embed::load_reranker(&config, &embed, 1)
}

#[test]
fn a_pair_is_scored_by_itself() {
    let Some(_) = runtime() else { return };
    let reranker = load(tiny("tiny-reranker", None).path()).unwrap();
    assert!(reranker.id().starts_with("reranker-"), "{}", reranker.id());
    let texts = ["open file", "schedule meeting", "a prized event"];
    let scores = reranker.score("arrange appointment", &texts, None).unwrap();
    assert!(scores[2] > scores[1] && scores[1] > scores[0], "{scores:?}");
    for (text, score) in texts.iter().zip(&scores) {
        assert_eq!(reranker.score("arrange appointment", &[text], None).unwrap(), [*score]);
    }
    let past = std::time::Instant::now();
    let late = reranker.score("x", &texts, Some(past));
    assert!(matches!(late, Err(EmbedError::Deadline(_))));
}

#[test]
fn an_encoder_is_no_reranker() {
    let Some(_) = runtime() else { return };
    let error = load(tiny("tiny-encoder", None).path()).err().unwrap();
    assert!(error.to_string().contains("logits"), "{error}");
}

/// Found by the words "git" and "branch", the best first without a reranker.
const TOOLS: [(&str, &str, &str); 4] = [
    ("forge", "merge_branch", "Merge one git branch into another git branch"),
    ("forge", "list", "List every git branch"),
    ("forge", "prune", "Remove each git branch that is prized by nobody any more at all"),
    ("files", "cat", "Read the bytes of one path"),
];

async fn start(folder: &Path, tools: &[(&str, &str, &str)], rerank: &str) -> Service {
    catalog(folder, tools);
    let text = format!(
        "[embed]\nenabled = false\nruntime = '{}'\n{rerank}\n\
         [servers.all]\ncatalog = 'catalog.jsonl'\n",
        runtime().unwrap().display()
    );
    configure(folder, &text);
    let service = Service::start(folder, &[]).await;
    service.until_ready().await;
    service
}

/// What is logged may come before what is done.
async fn until_loaded(service: &Service) {
    let loaded = async || service.status().await["reranker"].is_string();
    service.until("the reranker is loaded", loaded).await;
}

fn reason(told: &Value) -> &str {
    told["reason"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn it_orders_the_best_anew_and_leaves_what_is_named() {
    let Some(_) = runtime() else { return };
    let folder = tempfile::tempdir().unwrap();
    let model = tiny("tiny-reranker", Some("name = 'tiny-ce'"));

    let service = start(folder.path(), &TOOLS, "").await;
    let fused = service.search("git branch").await;
    assert_eq!(ids(&fused)[..2], ["forge/merge_branch", "forge/list"], "{fused}");
    assert_eq!(service.status().await.get("reranker"), None);
    service.stop().await;

    let config = format!("[rerank]\nmodel = {:?}\ndeadline = '20s'", model.path());
    let service = start(folder.path(), &TOOLS, &config).await;
    until_loaded(&service).await;
    let status = service.status().await;
    assert!(status["reranker"].as_str().unwrap().starts_with("tiny-ce-"), "{status}");
    assert!(!reason(&status).contains("reranked"), "{status}");
    let answer = service.search("git branch").await;
    assert_eq!(ids(&answer)[0], "forge/prune", "{answer}");
    let (_, explained) = service.get("/v1/search?q=git+branch&explain=1").await;
    let reranked = |at: usize| explained["tools"][at]["explain"]["reranked"]["rank"].clone();
    assert_eq!([reranked(0), reranked(1)], [1, 2], "{explained}");
    assert!(!reason(&answer).contains("reranked"), "{answer}");
    let scores = |answer: &Value| -> Vec<f64> {
        let tools = answer["tools"].as_array().unwrap().iter();
        tools.map(|tool| tool["score"].as_f64().unwrap()).collect()
    };
    assert_eq!(scores(&answer), scores(&fused), "a place keeps its score");
    // The exact name stays first.
    assert_eq!(ids(&service.search("merge_branch").await)[0], "forge/merge_branch");
    service.stop().await;

    // What is beyond the depth is not read.
    let service = start(folder.path(), &TOOLS, &format!("{config}\ndepth = 2")).await;
    until_loaded(&service).await;
    assert_eq!(ids(&service.search("git branch").await)[2], "forge/prune");
    service.stop().await;

    // The commands that answer once do the same.
    configure(folder.path(), "[embed]\nenabled = false\n");
    let shown = model.path().display().to_string();
    let runtime = runtime().unwrap().display().to_string();
    let args = [
        "search",
        "git branch",
        "--catalog",
        "catalog.jsonl",
        "--json",
        "--runtime",
        &runtime,
        "--reranker",
        &shown,
    ];
    let answer = run(folder.path(), &args).await.json();
    assert_eq!(ids(&answer)[0], "forge/prune", "{answer}");
}

#[tokio::test]
async fn without_it_or_without_time_the_order_stays_and_says_so() {
    let Some(_) = runtime() else { return };
    let folder = tempfile::tempdir().unwrap();
    let empty = tempfile::tempdir().unwrap();
    let service =
        start(folder.path(), &TOOLS, &format!("[rerank]\nmodel = {:?}", empty.path())).await;
    let absent = async || reason(&service.status().await).contains("no reranker in");
    service.until("the reranker is known to be absent", absent).await;
    for told in [service.status().await, service.search("git branch").await] {
        assert!(reason(&told).contains("not reranked: no reranker in"), "{told}");
    }
    assert_eq!(ids(&service.search("git branch").await)[0], "forge/merge_branch");
    service.stop().await;

    // More work than fits into the least deadline there is.
    let names: Vec<String> = (0..200).map(|at| format!("branch_{at:03}")).collect();
    let many: Vec<_> =
        names.iter().map(|name| ("forge", name.as_str(), "Do this to a git branch")).collect();
    let model = tiny("tiny-reranker", None);
    let config = format!("[rerank]\nmodel = {:?}\ndeadline = '1ms'\ndepth = 200", model.path());
    let folder = tempfile::tempdir().unwrap();
    let service = start(folder.path(), &many, &config).await;
    until_loaded(&service).await;
    let answer = service.search(&"git branch ".repeat(1000)).await;
    assert!(reason(&answer).contains("not reranked: it took longer than 1 ms"), "{answer}");
    assert_eq!(ids(&answer)[0], "forge/branch_000");
    service.stop().await;
}

#[tokio::test]
async fn an_encoder_and_a_reranker_share_one_runtime() {
    let Some(runtime) = runtime() else { return };
    let folder = tempfile::tempdir().unwrap();
    let encoder = tiny("tiny-encoder", Some("name = 'tiny'\npooling = 'mean'"));
    let reranker = tiny("tiny-reranker", None);
    catalog(folder.path(), &TOOLS);
    let text = format!(
        "[embed]\nmodel = {:?}\nruntime = '{}'\ndeadline = '20s'\n\
         [rerank]\nmodel = {:?}\ndeadline = '20s'\n[servers.all]\ncatalog = 'catalog.jsonl'\n",
        encoder.path(),
        runtime.display(),
        reranker.path()
    );
    configure(folder.path(), &text);
    let service = Service::start(folder.path(), &[]).await;
    let embedded = async || {
        let status = service.status().await;
        status["mode"] == "hybrid" && status["reranker"].is_string()
    };
    service.until("both are loaded and all is embedded", embedded).await;
    let answer = service.search("git branch").await;
    assert_eq!((&answer["mode"], answer.get("reason")), (&"hybrid".into(), None));
    assert_eq!(ids(&answer)[0], "forge/prune", "{answer}");
    service.stop().await;
}
