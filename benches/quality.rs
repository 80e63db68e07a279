//! What a faster way would cost in answers: no times to compare between releases, but the figures
//! that settle which way is taken.
//!
//! `cargo bench --bench quality -- lexical`: the lexical index against tantivy on labelled sets,
//! as means and as paired differences of R@5 with their 95% interval, both given the same terms.
//! `-- dense`: the ways to the top 100 by vectors, from 5k to 100k tools: the scan of all rows, the
//! scan of those whose signs are like the query's, and a graph (`hnsw_rs`): microseconds a query,
//! recall@10 against the f32 vectors, and seconds to build; minutes, since graphs are built.
//! Neither word: both. A million tools: `benches/million.rs`.
//!
//! Not measured: the exact names and the dense arm that a search adds (`toolscout eval`), and
//! filters.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "prints a table of small counts, and without data there is none"
)]

#[path = "support/baseline.rs"]
mod baseline;
#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/graph.rs"]
mod graph;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use baseline::{Baseline, Shape};
use corpus::{Corpus, Fixture};
use graph::Graph;
use toolscout::catalog::{Catalog, ToolIdx};
use toolscout::embed::Fixed;
use toolscout::eval::{self, LabelledQuery, Metric, read_queries};
use toolscout::index::dense::{Dense, dot};
use toolscout::index::document::Documents;
use toolscout::index::lexical::Lexical;
use toolscout::search::fuse::DEPTH;

/// Sizes of the catalogs whose vectors are searched.
const SIZES: [usize; 3] = [5_000, 28_000, 100_000];
const SETS: [&str; 6] =
    ["livemcpbench", "real-servers", "sealtools", "metatool", "smithery-mcp", "stabletoolbench"];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let asked = |name: &str| args.iter().any(|arg| arg == name);
    // `cargo test --benches` must not take minutes.
    if !asked("--bench") {
        return;
    }
    if !asked("dense") {
        lexical();
    }
    if !asked("lexical") {
        dense();
    }
}

type Run = BTreeMap<String, Vec<String>>;

fn lexical() {
    println!(
        "set              lexical    R@1   R@5  R@10   N@5   MRR   R@5 less the lexical index's"
    );
    for set in SETS {
        let path = corpus::benchmarks().join(set).join("queries.jsonl");
        let Ok(queries) = read_queries(&path) else {
            println!("{set:16} skipped: no {}", path.display());
            continue;
        };
        let catalog = corpus::set_catalog(set);
        let own = Lexical::build(Arc::new(Documents::read(&catalog)), None);
        let own = run(&catalog, &queries, |query| {
            let found = own.rank(&own.asked(query), DEPTH, |_| true).0;
            found.into_iter().map(|ranked| ranked.tool).collect()
        });
        print_run(set, "own", &queries, &own, &own);
        for (shape, name) in [(Shape::Joined, "joined"), (Shape::Fields, "fields")] {
            let baseline = Baseline::build(&catalog, shape);
            let found = run(&catalog, &queries, |query| baseline.search(query, DEPTH));
            print_run(set, name, &queries, &found, &own);
        }
    }
}

fn run(catalog: &Catalog, queries: &[LabelledQuery], search: impl Fn(&str) -> Vec<ToolIdx>) -> Run {
    let ranked = |query: &LabelledQuery| {
        let found = search(&query.query).into_iter();
        let ids = found.map(|tool| catalog.tool(tool).id.to_string());
        (query.id.clone(), ids.collect())
    };
    queries.iter().map(ranked).collect()
}

fn print_run(set: &str, name: &str, queries: &[LabelledQuery], run: &Run, own: &Run) {
    let all = eval::report(queries, run).all.metrics;
    let less = eval::compare(queries, own, run, Metric::Recall5);
    println!(
        "{set:16} {name:8} {:5.3} {:5.3} {:5.3} {:5.3} {:5.3}   {}",
        all.recall_1,
        all.recall_5,
        all.recall_10,
        all.ndcg_5,
        all.mrr,
        less.summary()
    );
}

fn dense() {
    println!("   tools  way      build s  µs a query  recall@10");
    let corpus = Corpus::load();
    for size in SIZES {
        let fixture = Fixture::of(&corpus, corpus.sized(size));
        let queries: Vec<&[f32]> =
            fixture.mixed.iter().map(|asked| &*asked.vectors[0].whole).collect();
        let encoder = Fixed::in_binary().expect("the encoder in the binary");
        let vectors = corpus::vectors(&encoder, &fixture.index.catalog);
        let rows: Vec<_> = vectors.iter().flatten().cloned().collect();
        let wanted: Vec<Vec<usize>> = queries.iter().map(|query| exact(&rows, query)).collect();
        let table = |way: &str, built: Instant, search: &dyn Fn(&[f32]) -> Vec<usize>| {
            let built = built.elapsed().as_secs_f64();
            let (time, found) = search_all(&queries, search);
            let recall = recall(&found, &wanted);
            println!("{:8}  {way:7} {built:8.2} {time:11.0} {recall:10.4}", rows.len());
        };
        for (way, signs_from) in [("scan", usize::MAX), ("signs", 0)] {
            let begun = Instant::now();
            let dense = Dense::with_signs_from(&vectors, signs_from).expect("vectors");
            table(way, begun, &|query| {
                let found = dense.search(&[query], DEPTH, |_| true).remove(0);
                found.into_iter().map(|ranked| ranked.tool.as_usize()).collect()
            });
        }
        let begun = Instant::now();
        let graph = Graph::of(&rows);
        table("graph", begun, &|query| graph.search(query, DEPTH));
    }
}

/// The ten nearest by f32.
fn exact(rows: &[Arc<[f32]>], query: &[f32]) -> Vec<usize> {
    let mut scored: Vec<(f32, usize)> =
        rows.iter().enumerate().map(|(at, row)| (dot(query, row), at)).collect();
    scored.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    scored.into_iter().take(10).map(|(_, at)| at).collect()
}

/// Microseconds a query, the best of three rounds, and what was found.
fn search_all(queries: &[&[f32]], search: &dyn Fn(&[f32]) -> Vec<usize>) -> (f64, Vec<Vec<usize>>) {
    let mut best = f64::INFINITY;
    let mut found = Vec::new();
    for _ in 0..3 {
        let start = Instant::now();
        found = queries.iter().map(|query| black_box(search(query))).collect();
        best = best.min(start.elapsed().as_secs_f64() * 1e6 / queries.len() as f64);
    }
    (best, found)
}

/// Share of the ten nearest that were found among the first ten.
fn recall(found: &[Vec<usize>], wanted: &[Vec<usize>]) -> f64 {
    let hits = |(found, wanted): (&Vec<usize>, &Vec<usize>)| {
        let found = &found[..found.len().min(10)];
        wanted.iter().filter(|row| found.contains(row)).count()
    };
    found.iter().zip(wanted).map(hits).sum::<usize>() as f64 / (wanted.len() * 10) as f64
}
