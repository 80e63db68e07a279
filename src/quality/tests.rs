use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::catalog::Catalog;
use crate::eval::{self, Outcome};

fn kept(id: u64, outcomes: Vec<Outcome>) -> Kept {
    let all = eval::report(&[], &BTreeMap::new()).all;
    let text = String::new;
    let head = Head {
        id: id.to_string(),
        name: format!("run {id}"),
        at: text(),
        took_ms: 1,
        generation: 1,
        tools: 1,
        mode: crate::search::Mode::Lexical,
        reason: None,
        encoder: None,
        reranker: None,
        learned: false,
        arms: Arms::Hybrid,
        limit: None,
        version: text(),
        configuration: text(),
        catalog: text(),
        file: text(),
        queries: outcomes.len(),
        unscored: 0,
        failed: 0,
        all,
        as_served: eval::AsServed::default(),
    };
    let texts = outcomes.iter().map(|outcome| outcome.id.clone()).collect();
    Kept { head, categories: BTreeMap::new(), failures: Vec::new(), outcomes, texts }
}

#[test]
fn the_oldest_results_go_and_the_rest_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let history = History::of(folder.path());
    let mut heads = BTreeMap::new();
    for id in 1..=MOST_KEPT as u64 + 3 {
        let one = kept(id, Vec::new());
        history.keep(&one).unwrap();
        heads.insert(id, one.head);
        history.prune(&mut heads);
    }
    assert_eq!(heads.len(), MOST_KEPT);
    assert_eq!(heads.keys().next(), Some(&4));
    let read: BTreeMap<u64, Head> = history.heads().collect();
    assert_eq!(read, heads);
}

#[test]
fn results_that_take_too_much_room_together_leave_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let history = History::of(folder.path());
    // Some 25 MB each.
    let met: Vec<usize> = (1..=eval::DEPTH).collect();
    let line = |at: u64| Outcome { id: format!("{at:0200}"), needs: eval::DEPTH, met: met.clone() };
    let large: Vec<Outcome> = (0..35_000).map(line).collect();
    let mut heads = BTreeMap::new();
    for id in 1..=3 {
        let one = kept(id, large.clone());
        history.keep(&one).unwrap();
        heads.insert(id, one.head);
    }
    history.prune(&mut heads);
    assert_eq!(heads.keys().copied().collect::<Vec<_>>(), [2, 3]);
    assert_eq!(history.check().unwrap(), 2);
}

#[test]
fn a_damaged_result_is_set_aside_and_the_others_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let history = History::of(folder.path());
    for id in [1, 2] {
        history.keep(&kept(id, Vec::new())).unwrap();
    }
    let path = folder.path().join("evals/runs/1.run");
    std::fs::write(&path, "odd").unwrap();
    assert!(history.check().is_err());
    let ids: Vec<u64> = history.heads().map(|(id, _)| id).collect();
    assert_eq!(ids, [2]);
    assert!(!path.exists(), "it is kept for inspection under another name");
    assert_eq!(history.check().unwrap(), 1);
}

#[test]
fn only_plain_files_of_the_folder_are_offered() {
    let data = tempfile::tempdir().unwrap();
    let folder = files::folder(data.path());
    std::fs::create_dir_all(&folder).unwrap();
    let line = r#"{"id":"1","query":"ring"}"#;
    for name in ["b.jsonl", "a.jsonl", "notes.txt", "../secret.jsonl"] {
        std::fs::write(folder.join(name), line).unwrap();
    }
    std::os::unix::fs::symlink(folder.join("../secret.jsonl"), folder.join("link.jsonl")).unwrap();
    std::fs::create_dir(folder.join("folder.jsonl")).unwrap();
    let names = |has_demo| -> Vec<String> {
        files::list(&folder, has_demo).into_iter().map(|file| file.name).collect()
    };
    assert_eq!(names(false), ["a.jsonl", "b.jsonl"]);
    assert_eq!(names(true), ["demo", "a.jsonl", "b.jsonl"]);
    assert_eq!(files::read(&folder, false, "a.jsonl").unwrap().len(), 1);
    assert!(files::read(&folder, true, "demo").unwrap().len() > 100);
    for name in ["demo", "notes.txt", "link.jsonl", "folder.jsonl", "../secret.jsonl", ""] {
        let refused = files::read(&folder, false, name);
        assert!(matches!(refused, Err(QualityError::NoFile(_))), "{name}");
    }
}

#[test]
fn a_packed_file_is_read_up_to_what_is_taken() {
    use std::io::Write as _;
    let data = tempfile::tempdir().unwrap();
    let folder = files::folder(data.path());
    std::fs::create_dir_all(&folder).unwrap();
    let pack = |name: &str, text: &[u8]| {
        let file = std::fs::File::create(folder.join(name)).unwrap();
        let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        gzip.write_all(text).unwrap();
        gzip.finish().unwrap();
    };
    pack("good.jsonl.gz", b"{\"id\":\"1\",\"query\":\"ring\"}\n");
    pack("bomb.jsonl.gz", &vec![b'\n'; MOST_BYTES + 1]);
    assert_eq!(files::read(&folder, false, "good.jsonl.gz").unwrap().len(), 1);
    let refused = files::read(&folder, false, "bomb.jsonl.gz").unwrap_err();
    assert!(matches!(refused, QualityError::TooMuch { .. }), "{refused}");
}

#[test]
fn what_is_wrong_with_a_file_is_told_by_its_line() {
    let said = |text: &str| Evaluator::text("my.jsonl", text).unwrap_err().to_string();
    let good = r#"{"id":"1","query":"ring"}"#;
    assert_eq!(
        said(&format!("{good}\n\n{{\"id\":\"2\"}}")),
        "my.jsonl, line 3: missing field `query` (column 10)"
    );
    assert!(
        said(&format!("{good}\nring the bell")).starts_with("my.jsonl, line 2: expected value")
    );
    assert!(said(&format!("{good}\n{good}")).contains("line 2: the id \"1\" stands there twice"));
    assert!(said("\n \n").contains("there is no query in it"));
    let many = (0..=MOST_QUERIES).map(|at| format!(r#"{{"id":"{at}","query":"x"}}"#));
    let many = many.collect::<Vec<_>>().join("\n");
    assert!(said(&many).contains("20001 queries, and at most 20000"), "{}", said(&many));
    let broad = serde_json::json!({"id": "1", "query": "x", "relevant": vec!["a/b"; 201]});
    assert!(said(&broad.to_string()).contains("201 tools, and at most 200"), "{broad}");
}

#[test]
fn nothing_is_read_or_written_before_it_is_used() {
    let evaluator =
        Evaluator::new(Live::new("none"), Path::new("/nowhere"), false, Bench::default());
    evaluator.close();
    assert!(evaluator.list().is_empty());
    let wanted = || Wanted { name: "x".into(), ..Wanted::default() };
    assert!(matches!(evaluator.begin(wanted()), Err(QualityError::NotReady)));
    let limit = Some(MAX_LIMIT + 1);
    let refused = evaluator.begin(Wanted { limit, ..wanted() });
    assert!(matches!(refused, Err(QualityError::Limit(_))));
}

/// A service whose evaluations wait until they are let, and its data folder.
fn held_up() -> (Evaluator, Bench, std::sync::mpsc::Sender<()>, tempfile::TempDir) {
    let (live, bench) = (Live::from_catalog(Catalog::default()), Bench::default());
    let (let_through, gate) = std::sync::mpsc::channel::<()>();
    let (at_work, is_at_work) = std::sync::mpsc::channel();
    let busy = bench.clone();
    std::thread::spawn(move || {
        busy.work(move || {
            at_work.send(()).unwrap();
            gate.recv().is_err()
        })
    });
    is_at_work.recv().unwrap();
    let data = tempfile::tempdir().unwrap();
    let evaluator = Evaluator::new(live, data.path(), false, bench.clone());
    (evaluator, bench, let_through, data)
}

fn wanted(queries: usize, labels: usize) -> Wanted {
    let query = |at: usize| LabelledQuery {
        id: at.to_string(),
        query: "ring".into(),
        relevant: Some(vec!["a/b".into(); labels]),
        alternatives: BTreeMap::new(),
        category: None,
    };
    Wanted { name: "x".into(), queries: (0..queries).map(query).collect(), ..Wanted::default() }
}

#[test]
fn what_waits_takes_so_much_and_leaves_room_when_it_is_gone() {
    let (evaluator, _, _let_through, _data) = held_up();
    let large = || wanted(2_500, 200);
    // The one at work may be as large as a file may.
    let mut open = vec![evaluator.begin(large()).unwrap()];
    open.push(evaluator.begin(large()).unwrap());
    let refused = evaluator.begin(large());
    assert!(matches!(refused, Err(QualityError::NoRoom)), "{refused:?}");
    let small = evaluator.begin(wanted(1, 1)).unwrap();
    assert_eq!(evaluator.list().len(), 3, "nothing that waits is lost");
    evaluator.remove(&open[1].id).unwrap();
    evaluator.begin(large()).unwrap();
    assert!(evaluator.list().iter().any(|one| one.id == small.id));
    // Before what it waits for is let go.
    evaluator.close();
}

#[test]
fn once_it_is_closed_nothing_is_begun_and_what_was_at_work_ends() {
    let (evaluator, bench, let_through, _data) = held_up();
    evaluator.begin(wanted(MOST_QUERIES, 1)).unwrap();
    evaluator.begin(wanted(1, 1)).unwrap();
    evaluator.close();
    drop(let_through);
    evaluator.join();
    assert!(matches!(evaluator.begin(wanted(1, 1)), Err(QualityError::Closed)));
    assert!(evaluator.list().is_empty());
    assert!(bench.hold(usize::MAX).is_some(), "and nothing is held");
    // Nor where nobody had asked before.
    let (unused, ..) = held_up();
    unused.close();
    assert!(matches!(unused.begin(wanted(1, 1)), Err(QualityError::Closed)));
}

proptest! {
    /// What is left of two runs compares as the runs do.
    #[test]
    fn outcomes_compare_as_rankings_do(
        runs in prop::collection::vec(
            (prop::collection::vec(0..6_usize, 0..6), prop::collection::vec(0..6_usize, 0..6),
             prop::collection::vec(0..6_usize, 1..4)),
            1..12,
        ),
    ) {
        let tools = |ids: &[usize]| ids.iter().map(|id| format!("s/{id}")).collect::<Vec<_>>();
        let queries: Vec<LabelledQuery> = runs
            .iter()
            .enumerate()
            .map(|(at, (_, _, relevant))| LabelledQuery {
                id: at.to_string(),
                query: "x".into(),
                relevant: Some(tools(relevant)),
                alternatives: [("s/0".to_owned(), vec!["s/5".to_owned()])].into(),
                category: None,
            })
            .collect();
        let run = |second: bool| -> BTreeMap<String, Vec<String>> {
            let ranked = runs.iter().map(|(a, b, _)| tools(if second { b } else { a }));
            queries.iter().map(|query| query.id.clone()).zip(ranked).collect()
        };
        let (before, after) = (run(false), run(true));
        let outcomes = |run: &BTreeMap<String, Vec<String>>| -> Vec<Outcome> {
            let of = |query: &LabelledQuery| {
                let ranked: Vec<&str> = run[&query.id].iter().map(String::as_str).collect();
                let outcome = Outcome::of(query, &ranked);
                assert_eq!(outcome.scores(), eval::score(query, &ranked));
                outcome
            };
            queries.iter().map(of).collect()
        };
        let (baseline, run) = (kept(1, outcomes(&before)), kept(2, outcomes(&after)));
        let compared = Compared::of(baseline, &run, Metric::Mrr, &|| true);
        for (difference, metric) in compared.metrics.iter().zip(Metric::ALL) {
            let wanted = eval::compare(&queries, &before, &after, metric);
            prop_assert_eq!(difference.metric, metric);
            prop_assert!((difference.difference - wanted.difference).abs() < 1e-12);
            prop_assert_eq!(difference.interval, wanted.interval);
            prop_assert_eq!(difference.moved, wanted.moved.len());
        }
        let wanted = eval::compare(&queries, &before, &after, Metric::Mrr).moved;
        let wanted: Vec<String> = wanted.into_iter().map(|moved| moved.id).collect();
        let told: Vec<String> = compared.moved.into_iter().map(|moved| moved.id).collect();
        prop_assert_eq!(told, wanted);
    }
}
