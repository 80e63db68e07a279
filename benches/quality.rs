//! What a faster way would cost in answers: no times to compare between releases, but the figures
//! that settle which way is taken.
//!
//! `cargo bench --bench quality -- lexical`: the lexical index against tantivy on labelled sets,
//! as means and as paired differences of R@5 with their 95% interval, both given the same terms.
//! `-- graph`: the graph against the exact scan from 5k to 75k vectors: microseconds a query and
//! recall@10, at the depth of a search and at the graph's least breadth; minutes, since graphs
//! are built. Neither word: both.
//!
//! Not measured: the exact names and the dense arm that a search adds (`toolscout eval`), real
//! vectors (these are seeded clumps), and the graph under filters, where it is not used.

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

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use baseline::{Baseline, Shape};
use toolscout::catalog::{Catalog, ToolIdx};
use toolscout::eval::{self, LabelledQuery, Metric, read_queries};
use toolscout::index::dense::Dense;
use toolscout::index::lexical::Lexical;
use toolscout::search::fuse::DEPTH;

const SETS: [&str; 6] =
    ["livemcpbench", "real-servers", "sealtools", "metatool", "smithery-mcp", "stabletoolbench"];
const GRAPH_SIZES: [usize; 4] = [5_000, 28_000, 50_000, 75_000];
const GRAPH_QUERIES: usize = 200;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let asked = |name: &str| args.iter().any(|arg| arg == name);
    // `cargo test --benches` must not take minutes.
    if !asked("--bench") {
        return;
    }
    if !asked("graph") {
        lexical();
    }
    if !asked("lexical") {
        graph();
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
        let own = Lexical::build(&catalog);
        let own = run(&catalog, &queries, |query| {
            let found = own.rank(query, DEPTH, |_| true).0;
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

fn graph() {
    println!("vectors  build s   scan µs  graph µs  recall@10   (top 100 | top 42)");
    for size in GRAPH_SIZES {
        let (rows, queries) = corpus::vectors(size, GRAPH_QUERIES);
        let rows: Vec<_> = rows.into_iter().map(Some).collect();
        let exact = Dense::with_graph_from(rows.clone(), usize::MAX).expect("vectors");
        let start = Instant::now();
        let graph = Dense::with_graph_from(rows, 0).expect("vectors");
        let built = start.elapsed().as_secs_f64();
        // A search rescores three candidates a result: 42 is the most that the graph's least
        // breadth of 128 is enough for.
        for k in [DEPTH, 42] {
            let (scan_us, scanned) = search_all(&exact, &queries, k);
            let (graph_us, proposed) = search_all(&graph, &queries, k);
            let recall = recall(&proposed, &scanned);
            println!("{size:7} {built:8.1} {scan_us:9.0} {graph_us:9.0} {recall:10.4}   top {k}");
        }
    }
}

/// Microseconds a query, the best of three rounds, and what was found.
fn search_all(index: &Dense, queries: &[Vec<f32>], k: usize) -> (f64, Vec<Vec<ToolIdx>>) {
    let mut best = f64::INFINITY;
    let mut found = Vec::new();
    for _ in 0..3 {
        let start = Instant::now();
        let ranked: Vec<_> = queries
            .iter()
            .map(|query| black_box(index.search(query, k, false, |_| true)))
            .collect();
        best = best.min(start.elapsed().as_secs_f64() * 1e6 / queries.len() as f64);
        found = ranked
            .into_iter()
            .map(|list| list.into_iter().map(|ranked| ranked.tool).collect())
            .collect();
    }
    (best, found)
}

/// Share of the scan's first ten that the graph has among its first ten.
fn recall(found: &[Vec<ToolIdx>], wanted: &[Vec<ToolIdx>]) -> f64 {
    let hits: usize = found
        .iter()
        .zip(wanted)
        .map(|(found, wanted)| {
            let found = &found[..found.len().min(10)];
            wanted[..10].iter().filter(|tool| found.contains(tool)).count()
        })
        .sum();
    hits as f64 / (wanted.len() * 10) as f64
}
