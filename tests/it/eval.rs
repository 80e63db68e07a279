//! Scores equal those of a naive re-implementation and of the benchmarks' reference scorer.

use std::collections::{BTreeMap, HashSet};

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::Value;
use toolscout::eval::{
    EvalError, Interval, LabelledQuery, Metric, RunLine, compare, read_queries, read_run, report,
    score, write_run,
};

use crate::support::shared::{benchmarks, scorer};

fn query(id: &str, relevant: &[&str]) -> LabelledQuery {
    LabelledQuery {
        id: id.into(),
        query: id.into(),
        relevant: Some(relevant.iter().map(ToString::to_string).collect()),
        alternatives: BTreeMap::new(),
        category: None,
    }
}

fn run(lines: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
    lines
        .iter()
        .map(|(id, ranked)| ((*id).to_owned(), ranked.iter().map(ToString::to_string).collect()))
        .collect()
}

/// One metric, computed the long way: rank by rank, with every list spelled out.
fn naive(query: &LabelledQuery, ranked: &[String], metric: Metric) -> f64 {
    let relevant = query.relevant.clone().unwrap();
    let mut distinct: Vec<&String> = Vec::new();
    for tool in ranked {
        if !distinct.contains(&tool) {
            distinct.push(tool);
        }
    }
    distinct.truncate(100);
    let mut met = vec![false; relevant.len()];
    let mut gains = [0.0; 100];
    for (rank, tool) in distinct.iter().enumerate() {
        for (need, own) in relevant.iter().enumerate() {
            let fits = *tool == own
                || query.alternatives.get(own).is_some_and(|others| others.contains(tool));
            if fits && !met[need] {
                met[need] = true;
                gains[rank] = 1.0;
                break;
            }
        }
    }
    #[expect(clippy::cast_precision_loss)]
    let n = relevant.len() as f64;
    let sum = |k: usize| gains[..k].iter().sum::<f64>();
    let dcg = |gains: &[f64]| {
        (2_u32..).zip(gains).map(|(i, gain)| gain / f64::from(i).log2()).sum::<f64>()
    };
    let ndcg = |k: usize| dcg(&gains[..k]) / dcg(&vec![1.0; relevant.len().min(k)]);
    match metric {
        Metric::Recall1 => sum(1) / n,
        Metric::Recall5 => sum(5) / n,
        Metric::Recall10 => sum(10) / n,
        Metric::Ndcg5 => ndcg(5),
        Metric::Ndcg10 => ndcg(10),
        Metric::Mrr => (1_u32..)
            .zip(gains)
            .find(|(_, gain)| *gain > 0.0)
            .map_or(0.0, |(rank, _)| 1.0 / f64::from(rank)),
        Metric::Complete10 => f64::from(sum(10) >= n),
        Metric::Hit1 => sum(1).min(1.0),
        Metric::Hit5 => sum(5).min(1.0),
    }
}

proptest! {
    #[test]
    fn scores_equal_a_naive_count(
        relevant in vec(0_u8..12, 1..7),
        alternatives in btree_map(0_u8..12, vec(0_u8..16, 1..4), 0..6),
        head in vec(0_u8..16, 0..14),
        tail in vec(0_u8..140, 0..160),
    ) {
        let name = |id: &u8| format!("s/{id}");
        let ranked: Vec<String> = head.iter().chain(&tail).map(name).collect();
        let query = LabelledQuery {
            id: "q".into(),
            query: "q".into(),
            relevant: Some(relevant.iter().map(name).collect()),
            alternatives: alternatives
                .iter()
                .map(|(id, others)| (name(id), others.iter().map(name).collect()))
                .collect(),
            category: None,
        };
        let borrowed: Vec<&str> = ranked.iter().map(String::as_str).collect();
        let scores = score(&query, &borrowed);
        for metric in Metric::ALL {
            let naive = naive(&query, &ranked, metric);
            prop_assert!(
                (scores.get(metric) - naive).abs() < 1e-12,
                "{}: {} is not {naive}", metric.name(), scores.get(metric)
            );
        }
    }
}

#[test]
fn a_score_of_nothing_is_zero_and_not_less() {
    let scores = score(&query("q", &["a"]), &["b"]);
    for metric in Metric::ALL {
        assert!(scores.get(metric).is_sign_positive(), "{}", metric.name());
    }
}

#[test]
fn the_hundred_and_first_place_counts_for_nothing() {
    let mut ranked: Vec<String> = (0..99).map(|i| format!("s/{i}")).collect();
    ranked.push("s/0".into());
    ranked.push("s/x".into());
    let q = query("q", &["s/x"]);
    let borrowed: Vec<&str> = ranked.iter().map(String::as_str).collect();
    assert!((score(&q, &borrowed).mrr - 0.01).abs() < 1e-12);
    let later: Vec<&str> = std::iter::once("s/y").chain(borrowed).collect();
    assert!(score(&q, &later).mrr.abs() < 1e-12);
}

/// Scores a shared benchmark with a run made up of right, wrong, repeated and missing answers.
#[test]
fn scores_equal_the_reference_scorer() {
    for (name, catalog) in [
        ("real-servers", "catalog.jsonl.gz"),
        ("livemcpbench", "catalog.jsonl"),
        ("smithery-mcp", "catalog.jsonl.gz"),
    ] {
        let folder = benchmarks().join(name);
        let queries = read_queries(&folder.join("queries.jsonl")).unwrap();
        let lines = made_up_run(&queries);
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("run.jsonl.gz");
        write_run(&path, &lines).unwrap();
        let Some(mut scorer) = scorer() else { return };
        let output = scorer
            .args([folder.join(catalog), folder.join("queries.jsonl"), path.clone()])
            .args(["--json", "--per-category"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let theirs: Value = serde_json::from_slice(&output.stdout).unwrap();
        let ours = report(&queries, &read_run(&path).unwrap());

        assert_eq!(theirs["queries"], ours.queries);
        assert_eq!(theirs["queries_without_run"], ours.queries_without_run);
        assert!(ours.queries_without_run > 0 && ours.all.metrics.recall_5 > 0.1);
        let groups = theirs["metrics"].as_object().unwrap();
        assert_eq!(groups.len(), ours.categories.len() + 1);
        for (group, theirs) in groups {
            let ours = if group == "all" { &ours.all } else { &ours.categories[group] };
            assert_eq!(theirs["n"], ours.n);
            for metric in Metric::ALL {
                let (theirs, ours) =
                    (theirs[metric.name()].as_f64().unwrap(), ours.metrics.get(metric));
                // The reference rounds to four places.
                assert!(
                    (theirs - ours).abs() < 6e-5,
                    "{name} {group} {}: {theirs} {ours}",
                    metric.name()
                );
            }
        }
    }
}

fn made_up_run(queries: &[LabelledQuery]) -> Vec<RunLine> {
    let mut rng = fastrand::Rng::with_seed(7);
    let pool: Vec<&String> = queries.iter().flat_map(|q| q.relevant.iter().flatten()).collect();
    let mut lines = Vec::new();
    for query in queries {
        if rng.u8(..10) == 0 {
            continue;
        }
        let mut ranked: Vec<String> =
            (0..rng.usize(..12)).map(|_| pool[rng.usize(..pool.len())].clone()).collect();
        let needs = query.relevant.iter().flatten();
        for tool in needs.chain(query.alternatives.values().flatten()) {
            if rng.u8(..3) > 0 {
                ranked.push(tool.clone());
            }
        }
        rng.shuffle(&mut ranked);
        let repeated: Vec<String> = ranked.iter().take(2).cloned().collect();
        ranked.extend(repeated);
        lines.push(RunLine { id: query.id.clone(), ranked });
    }
    lines
}

#[test]
fn queries_without_a_need_are_set_apart() {
    let mut unlabelled = query("u", &[]);
    unlabelled.relevant = None;
    let queries = [query("a", &["s/1"]), query("none", &[]), unlabelled];
    let report = report(&queries, &run(&[("none", &["s/1"])]));
    assert_eq!((report.queries, report.unscored, report.queries_without_run), (1, 2, 1));
    assert!(report.all.metrics.recall_10.abs() < 1e-12);
}

#[test]
fn a_report_reads_as_a_table_and_as_json() {
    let mut queries = [query("a", &["s/1"]), query("b", &["s/2"])];
    queries[0].category = Some("direct".into());
    let report = report(&queries, &run(&[("a", &["s/1"]), ("b", &["s/1"])]));
    let table = report.table().to_string();
    let row = |name: &str| {
        let line = table.lines().find(|line| line.contains(name)).unwrap();
        line.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("direct"), "direct 1 1.0000");
    assert_eq!(row("all"), "all 2 0.5000");
    assert_eq!(row("95%"), "95% 0.00-1.00 0.00-1.00");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["all"]["metrics"]["R@5"], 0.5);
    assert_eq!(json["all"]["intervals"]["R@5"]["high"], 1.0);
    assert_eq!(json["categories"]["direct"]["n"], 1);
}

#[test]
fn an_interval_is_the_same_each_time_and_holds_the_mean() {
    let values: Vec<f64> = (0..200).map(|i| f64::from(i % 5 == 0)).collect();
    let interval = Interval::of_mean(&values);
    assert_eq!(interval, Interval::of_mean(&values));
    // The standard error of a share of 0.2 over 200 is 0.0283; 1.96 of it on either side.
    assert!((interval.low - 0.145).abs() < 0.015, "{interval:?}");
    assert!((interval.high - 0.255).abs() < 0.015, "{interval:?}");
    assert_eq!(Interval::of_mean(&[]), Interval::default());
    let same = Interval::of_mean(&[0.25; 9]);
    assert!((same.low - 0.25).abs() < 1e-12 && (same.high - 0.25).abs() < 1e-12);
}

#[test]
fn a_comparison_names_what_moved() {
    let queries: Vec<LabelledQuery> =
        ["a", "b", "c", "d"].iter().map(|id| query(id, &["s/1"])).collect();
    let before = run(&[("a", &["s/1"]), ("b", &["s/2"]), ("c", &["s/2", "s/1"])]);
    let after = run(&[("a", &["s/1"]), ("b", &["s/1"]), ("c", &["s/1"]), ("d", &[])]);
    let comparison = compare(&queries, &before, &after, Metric::Mrr);
    assert_eq!(comparison.queries, 4);
    assert!((comparison.difference - 0.375).abs() < 1e-12);
    let moved: Vec<&str> = comparison.moved.iter().map(|m| m.id.as_str()).collect();
    assert_eq!(moved, ["b", "c"]);
    assert!(comparison.summary().starts_with("MRR +0.3750 ["));
    let same = compare(&queries, &after, &after, Metric::Mrr);
    assert!(same.moved.is_empty() && !same.interval.excludes_zero());
    assert!(Interval { low: 0.1, high: 0.2 }.excludes_zero());
}

#[test]
fn files_come_back_as_written_and_faults_name_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let lines = vec![
        RunLine { id: "q1".into(), ranked: vec!["a/b".into(), "ü/\"".into()] },
        RunLine { id: "q2".into(), ranked: Vec::new() },
    ];
    for name in ["run.jsonl", "run.jsonl.gz"] {
        let path = folder.path().join(name);
        write_run(&path, &lines).unwrap();
        let read = read_run(&path).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read["q1"], lines[0].ranked);
    }
    let first: HashSet<u8> =
        std::fs::read(folder.path().join("run.jsonl.gz")).unwrap()[..2].iter().copied().collect();
    assert_eq!(first, HashSet::from([0x1f, 0x8b]));

    let path = folder.path().join("queries.jsonl");
    std::fs::write(&path, "{\"id\":\"1\",\"query\":\"x\"}\n\n{\"id\":2}\n").unwrap();
    let error = read_queries(&path).unwrap_err();
    assert!(matches!(error, EvalError::Line { line: 3, .. }), "{error}");
    std::fs::write(&path, "{\"id\":\"1\",\"query\":\"x\"}\n{\"id\":\"1\",\"query\":\"y\"}\n")
        .unwrap();
    let error = read_queries(&path).unwrap_err();
    assert!(matches!(error, EvalError::DuplicateId { line: 2, .. }), "{error}");
    let missing = read_run(&folder.path().join("absent.jsonl")).unwrap_err();
    assert!(matches!(missing, EvalError::Io { .. }), "{missing}");
    assert!(missing.to_string().contains("absent.jsonl"), "{missing}");
}
