//! What one search costs, part by part and whole, on one thread, at 1k, 5k and 28k tools.
//!
//! Measured: the lexical arm against tantivy (`lexical`, `lexical-tantivy`: the query's terms
//! split on the way, top 100), the dense arm as the exact int8 scan and as the graph
//! (`dense-exact`, `dense-hnsw`, top 100), fusion of both arms' lists (`fuse`), and
//! `search::rank` with `search::answer` on given vectors (`whole`). One iteration is one query;
//! the queries come in turn, so a time is a mean over all of them.
//!
//! Not measured: embedding the query (`benches/embed.rs`), HTTP, the wait for a thread, and how
//! good the answers are (`toolscout eval`; `benches/quality.rs` compares with tantivy and the
//! graph with the scan). Vectors are seeded clumps, not a model's: the scan's time does not
//! depend on them, the graph's does. The graph has no 28k here, since its build takes too long;
//! `benches/quality.rs` has it.

#![expect(clippy::expect_used, reason = "a bench without its data has nothing to measure")]

#[path = "support/baseline.rs"]
mod baseline;
#[path = "support/corpus.rs"]
mod corpus;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use baseline::{Baseline, Shape};
use corpus::{Corpus, SIZES};
use criterion::{BenchmarkGroup, Criterion, measurement::WallTime};
use toolscout::index::Index;
use toolscout::index::dense::Dense;
use toolscout::index::lexical::Lexical;
use toolscout::search::fuse::{self, DEPTH};
use toolscout::search::{self, PartVectors, Query};

/// The largest catalog that a graph is built for here.
const GRAPH_UP_TO: usize = 5_000;

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let corpus = Corpus::load();
    lexical(&mut criterion, &corpus);
    dense(&mut criterion, &corpus);
    whole(&mut criterion, &corpus);
    criterion.final_summary();
}

/// Times `search` on the queries in turn.
fn in_turn<Q, R>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    queries: &[Q],
    search: impl Fn(&Q) -> R,
) {
    let mut turn = queries.iter().cycle();
    group.bench_function(name, |bencher| {
        bencher.iter(|| turn.next().map(|query| search(black_box(query))));
    });
}

fn lexical(criterion: &mut Criterion, corpus: &Corpus) {
    let mut group = criterion.benchmark_group("lexical");
    for (name, size) in SIZES {
        let index = Lexical::build(&corpus.sized(size));
        in_turn(&mut group, name, &corpus.queries, |query| index.rank(query, DEPTH, |_| true));
    }
    group.finish();
    let mut group = criterion.benchmark_group("lexical-tantivy");
    for (shape, label) in [(Shape::Joined, "joined"), (Shape::Fields, "fields")] {
        for (name, size) in SIZES {
            let index = Baseline::build(&corpus.sized(size), shape);
            let name = format!("{label}/{name}");
            in_turn(&mut group, &name, &corpus.queries, |query| index.search(query, DEPTH));
        }
    }
    group.finish();
}

fn dense(criterion: &mut Criterion, corpus: &Corpus) {
    for (group, up_to, graph_from) in
        [("dense-exact", usize::MAX, usize::MAX), ("dense-hnsw", GRAPH_UP_TO, 0)]
    {
        let mut group = criterion.benchmark_group(group);
        for (name, size) in SIZES.into_iter().filter(|(_, size)| *size <= up_to) {
            let (rows, queries) = corpus::vectors(size, corpus.queries.len());
            let rows = rows.into_iter().map(Some).collect();
            let index = Dense::with_graph_from(rows, graph_from).expect("vectors");
            in_turn(&mut group, name, &queries, |query| {
                index.search(query, DEPTH, false, |_| true)
            });
        }
        group.finish();
    }
}

/// The seeded vector of a text stands for each of its pieces as well.
fn pieces(query: &Query, vector: Vec<f32>) -> PartVectors {
    let pieces = query.parts()[0].pieces.len();
    PartVectors { pieces: vec![vector.clone(); pieces], whole: vector }
}

fn whole(criterion: &mut Criterion, corpus: &Corpus) {
    for (name, size) in SIZES {
        let catalog = corpus.sized(size);
        let (rows, vectors) = corpus::vectors(catalog.len(), corpus.queries.len());
        let dense = Dense::with_graph_from(rows.into_iter().map(Some).collect(), usize::MAX);
        let index = Index { dense: dense.map(Arc::new), ..Index::build(1, catalog) };
        let queries: Vec<_> = corpus
            .queries
            .iter()
            .zip(vectors)
            .map(|(text, vector)| {
                let query = Query { texts: vec![text.clone()], ..Query::default() };
                let vectors = vec![pieces(&query, vector)];
                let lists = fuse::rank_arms(&index, &query, &vectors, |_| true);
                (query, vectors, lists)
            })
            .collect();
        let mut group = criterion.benchmark_group("fuse");
        in_turn(&mut group, name, &queries, |(_, vectors, lists)| {
            fuse::fuse(&index, lists, vectors)
        });
        group.finish();
        let mut group = criterion.benchmark_group("whole");
        in_turn(&mut group, name, &queries, |(query, vectors, _)| {
            let ranking = search::rank(&index, query, vectors);
            search::answer(&index, query, vectors, &ranking)
        });
        group.finish();
    }
}
