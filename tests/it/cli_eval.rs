//! `toolscout eval` on the demo: the scores are the reference scorer's.

use std::path::Path;

use serde_json::Value;
use toolscout::eval::replay::teaches;
use toolscout::eval::{LabelledQuery, Metric};

use crate::support::service::{catalog, encoder, run};
use crate::support::shared::scorer;

/// The demo's catalog and its labelled queries in `folder`.
async fn demo(folder: &Path) -> String {
    let ran = run(folder, &["crawl", "--demo", "--out", "catalog.jsonl"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("index-data/demo/queries.jsonl");
    std::fs::read_to_string(queries).unwrap()
}

const BASE: [&str; 6] =
    ["eval", "--catalog", "catalog.jsonl", "--queries", "queries.jsonl", "--json"];

#[tokio::test]
async fn the_demo_scores_as_the_reference_scorer_says() {
    let folder = tempfile::tempdir().unwrap();
    let queries = demo(folder.path()).await;
    std::fs::write(folder.path().join("queries.jsonl"), &queries).unwrap();
    let args = [&BASE[..], &["--arm", "lexical", "--run", "run.jsonl"]].concat();
    let ours = run(folder.path(), &args).await.json();
    let count = |key: &str| ours[key].as_u64().unwrap();
    assert_eq!(count("queries") + count("unscored"), queries.lines().count() as u64);
    let ours_all = &ours["all"]["metrics"];
    assert!(ours_all["R@5"].as_f64().unwrap() > 0.5, "{ours}");
    let returned = ours["as_served"]["returned"].as_f64().unwrap();
    assert!((5.0..=10.0).contains(&returned), "{ours}");

    let Some(mut scorer) = scorer() else { return };
    // The reference can't read queries that no tool fits.
    let is_scored = |line: &&str| {
        let query: Value = serde_json::from_str(line).unwrap();
        query["relevant"].as_array().is_some_and(|needs| !needs.is_empty())
    };
    let with_needs: Vec<&str> = queries.lines().filter(is_scored).collect();
    assert_eq!(count("queries"), with_needs.len() as u64);
    std::fs::write(folder.path().join("queries.jsonl"), with_needs.join("\n")).unwrap();
    let output = scorer
        .current_dir(folder.path())
        .args(["catalog.jsonl", "queries.jsonl", "run.jsonl"])
        .args(["--json", "--strict-ids"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let theirs: Value = serde_json::from_slice(&output.stdout).unwrap();
    let metrics = theirs["metrics"]["all"].as_object().unwrap();
    for metric in Metric::ALL.map(Metric::name) {
        let theirs = metrics[metric].as_f64().unwrap();
        let ours = ours_all[metric].as_f64().unwrap();
        assert!((theirs - ours).abs() < 5e-4, "{metric}: {theirs} {ours}");
    }
}

/// What the demo scored when it was last measured, less two queries of each category: R@5 of words
/// alone, fused with the encoder in the binary, and fused with `MiniLM`. Ranking that gets worse is
/// found here in seconds; `scripts/eval.sh` says the rest.
const FLOORS: [(&str, [f64; 3]); 7] = [
    ("direct", [0.86, 0.91, 0.91]),
    ("disambiguate", [0.77, 0.90, 0.80]),
    ("multi", [0.74, 0.82, 0.81]),
    ("name", [0.99, 0.99, 0.99]),
    ("noisy", [0.37, 0.70, 0.54]),
    ("paraphrase", [0.13, 0.73, 0.69]),
    ("turn", [0.42, 0.42, 0.57]),
];

#[tokio::test]
async fn the_demo_ranks_no_worse_than_it_was_measured() {
    let folder = tempfile::tempdir().unwrap();
    let queries = demo(folder.path()).await;
    std::fs::write(folder.path().join("queries.jsonl"), &queries).unwrap();
    let minilm = encoder();
    let minilm: Vec<&str> = minilm.iter().flatten().map(String::as_str).collect();
    let arms = [&["--arm", "lexical"][..], &[], &minilm[..]];
    for (at, arm) in arms.into_iter().enumerate() {
        if at == 2 && minilm.is_empty() {
            return; // It was left out on purpose, and `encoder` has said so.
        }
        let scored = run(folder.path(), &[&BASE[..], arm].concat()).await.json();
        for (category, floors) in FLOORS {
            let recall = scored["categories"][category]["metrics"]["R@5"].as_f64().unwrap();
            assert!(recall >= floors[at], "{category}, {arm:?}: {recall}, not {}", floors[at]);
        }
    }
}

#[tokio::test]
async fn queries_without_labels_are_run_and_runs_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    catalog(
        folder.path(),
        &[
            ("house", "ring_bell", "Ring the bell of the front door"),
            ("house", "open_door", "Open the front door"),
        ],
    );
    let queries = [
        r#"{"id":"a","query":"ring a bell","relevant":["house/ring_bell"]}"#,
        r#"{"id":"b","query":"open sesame","relevant":["house/open_door"]}"#,
        r#"{"id":"c","query":"front door"}"#,
    ];
    std::fs::write(folder.path().join("queries.jsonl"), queries.join("\n")).unwrap();
    std::fs::write(folder.path().join("old.jsonl"), r#"{"id":"a","ranked":["house/open_door"]}"#)
        .unwrap();
    let lexical = ["--arm", "lexical", "--run", "run.jsonl", "--against", "old.jsonl"];
    let report = run(folder.path(), &[&BASE[..], &lexical].concat()).await.json();
    assert_eq!(report["unscored"], 1, "{report}");
    let moved = report["against"]["moved"].as_array().unwrap();
    assert_eq!(moved.len(), 2, "{report}");
    let table = run(folder.path(), &[&BASE[..5], &lexical].concat()).await;
    assert_eq!(table.code, 0, "{}", table.stderr);
    assert!(table.stdout.contains("1 queries without labels"), "{}", table.stdout);
    assert!(table.stdout.contains("against old.jsonl"), "{}", table.stdout);
    let ran = std::fs::read_to_string(folder.path().join("run.jsonl")).unwrap();
    assert_eq!(ran.lines().count(), 3, "{ran}");

    // The encoder in the binary is scored unless another is named, and never in its place.
    let scout = run(folder.path(), &BASE).await.json();
    assert!(scout["encoder"].as_str().unwrap().starts_with("scout-"), "{scout}");
    let absent = [&BASE[..], &["--model", "absent"]].concat();
    let refused = run(folder.path(), &absent).await;
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("toolscout model pull"), "{}", refused.stderr);
    let Some(encoder) = encoder() else { return };
    let encoder: Vec<&str> = encoder.iter().map(String::as_str).collect();
    let hybrid = run(folder.path(), &[&BASE[..], &encoder].concat()).await.json();
    assert!(hybrid["encoder"].as_str().unwrap().starts_with("minilm-"), "{hybrid}");
}

#[tokio::test]
async fn a_replay_teaches_half_of_the_queries_and_asks_the_others() {
    let folder = tempfile::tempdir().unwrap();
    catalog(
        folder.path(),
        &[
            ("house", "ring_bell", "Ring the bell of the front door"),
            ("house", "open_door", "Open the front door"),
            ("chat", "post_message", "Write a message into a channel"),
            ("kitchen", "boil_water", "Boil the water for a cup of tea"),
        ],
    );
    // What the door's tool is asked for here, its words do not say.
    let who = ["crew", "team", "folks", "neighbours", "guests", "parents", "children", "cousins"];
    let asked = who.iter().flat_map(|who| {
        [format!("let the {who} know about lunch"), format!("tell the {who} of the lunch")]
    });
    let asked: Vec<LabelledQuery> = (0..)
        .zip(asked)
        .map(|(number, query)| {
            let relevant = ["house/ring_bell"];
            let line = serde_json::json!({"id": format!("q{number}"), "query": query, "relevant": relevant});
            serde_json::from_value(line).unwrap()
        })
        .collect();
    let lines: Vec<String> =
        asked.iter().map(|query| serde_json::to_string(query).unwrap()).collect();
    std::fs::write(folder.path().join("queries.jsonl"), lines.join("\n")).unwrap();
    let replay = [&BASE[..], &["--replay"]].concat();
    let told = run(folder.path(), &replay).await.json();
    let taught = asked.iter().filter(|query| teaches(query)).count();
    assert_eq!(told["taught"], taught, "{told}");
    assert_eq!(told["queries"], asked.len() - taught, "{told}");
    let lessons = told["lessons"].as_array().unwrap();
    let named: Vec<&Value> = lessons.iter().map(|one| &one["lesson"]).collect();
    assert_eq!(named, ["right", "noisy", "pushed", "only_pushed"]);
    let first = |scores: &Value| scores["R@1"].as_f64().unwrap();
    assert!(first(&lessons[0]["with"]) > first(&told["without"]), "{told}");
    let by = first(&lessons[0]["with"]) - first(&told["without"]);
    assert!((lessons[0]["differences"]["R@1"]["mean"].as_f64().unwrap() - by).abs() < 1e-9);
    assert_eq!(run(folder.path(), &replay).await.json(), told, "it is the same each time");

    let table = run(folder.path(), &[&BASE[..5], &["--replay", "--arm", "lexical"]].concat()).await;
    assert_eq!(table.code, 0, "{}", table.stderr);
    assert!(table.stdout.contains("a tenth pushes one tool"), "{}", table.stdout);
    let both = run(folder.path(), &[&replay[..], &["--run", "run.jsonl"]].concat()).await;
    assert_eq!(both.code, 2, "a replay has no one run");
}
