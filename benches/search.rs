//! What one search costs on one thread: each part of it, and the whole, from 500 to 100,000 tools.
//!
//! Read as a table: a group is a part, its names are kinds of query and sizes of catalog.
//!
//! | group | one iteration |
//! |---|---|
//! | `embed` | the vectors of a query, by the encoder in the binary |
//! | `lexical` | a query's terms, and the top 100 by BM25F |
//! | `lexical-tantivy` | the same terms and top 100 by tantivy, fields joined or apart |
//! | `dense-floor` | reading the bytes that the scan reads, and nothing else |
//! | `dense-exact` | the top 100 by vectors, from a scan of all rows |
//! | `dense` | the same as it is shipped: from the rows whose signs are like the query's |
//! | `dense-hnsw` | the same by `hnsw_rs`, about; up to 28k, since its build takes minutes |
//! | `fuse` | one ranking of both arms' lists |
//! | `select` | slots, cut and confidence of a ranking |
//! | `render` | an answer as JSON |
//! | `whole` | from the query and its vectors to the tools of the answer |
//! | `filtered` | the same among every hundredth server's tools alone |
//!
//! `plain` queries have 10 to 14 words and one clause; `mixed` are all kinds, half of them tasks
//! of several clauses that are each searched as well. Queries come in turn, so a time is a mean
//! over all of them, and what it reads is not in the nearest cache as it would be for one repeated.
//!
//! Not measured: HTTP and MCP (`benches/serve.rs`), the wait for a thread, other encoders
//! (`benches/embed.rs`), and how good the answers are (`toolscout eval`, `benches/quality.rs`).

#![expect(clippy::expect_used, reason = "a bench without its data has nothing to measure")]

#[path = "support/baseline.rs"]
mod baseline;
#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/graph.rs"]
mod graph;

use std::hint::black_box;
use std::time::Duration;

use baseline::{Baseline, Shape};
use corpus::{Asked, Corpus, Fixture, SIZES};
use criterion::{Criterion, Throughput};
use graph::Graph;
use toolscout::embed::{Embedder, Fixed, Role};
use toolscout::index::dense::Dense;
use toolscout::search::fuse::{self, DEPTH};
use toolscout::search::{self, Answer, Mode, Query};
use toolscout::serve;

const GROUPS: [&str; 12] = [
    "embed",
    "lexical",
    "lexical-tantivy",
    "dense-floor",
    "dense-exact",
    "dense",
    "dense-hnsw",
    "fuse",
    "select",
    "render",
    "whole",
    "filtered",
];
/// The largest catalog that a graph is built for here.
const GRAPH_UP_TO: usize = 28_000;

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let corpus = Corpus::load();
    for (name, size) in SIZES {
        if GROUPS.iter().any(|group| corpus::wanted(group, name)) {
            let fixture = Fixture::of(&corpus, corpus.sized(size));
            measure(&mut criterion, name, &fixture);
        }
    }
    criterion.final_summary();
}

/// Times `search` on the queries in turn.
fn in_turn<Q, R>(
    criterion: &mut Criterion,
    group: &str,
    name: &str,
    queries: &[Q],
    search: impl Fn(&Q) -> R,
) {
    let mut turn = queries.iter().cycle();
    let mut group = criterion.benchmark_group(group);
    group.bench_function(name, |bencher| {
        bencher.iter(|| turn.next().map(|query| search(black_box(query))));
    });
    group.finish();
}

fn measure(criterion: &mut Criterion, size: &str, fixture: &Fixture) {
    let Fixture { index, plain, mixed } = fixture;
    let dense = index.dense.as_ref().expect("vectors");
    let encoder = Fixed::in_binary().expect("the encoder in the binary");
    let kinds = || [("plain", plain), ("mixed", mixed)];
    if size == "500" {
        for (kind, queries) in kinds() {
            in_turn(criterion, "embed", kind, queries, |asked| {
                let parts = asked.query.parts();
                let texts: Vec<&str> = parts[0].texts().collect();
                encoder.embed(Role::Query, &texts, None)
            });
        }
    }
    for (kind, queries) in kinds() {
        in_turn(criterion, "lexical", &format!("{kind}/{size}"), queries, |asked| {
            let terms = index.lexical.asked(&asked.query.texts[0]);
            index.lexical.rank(&terms, DEPTH, |_| true)
        });
    }
    if corpus::wanted("lexical-tantivy", size) {
        for (shape, label) in [(Shape::Joined, "joined"), (Shape::Fields, "fields")] {
            let baseline = Baseline::build(&index.catalog, shape);
            in_turn(criterion, "lexical-tantivy", &format!("{label}/{size}"), plain, |asked| {
                baseline.search(&asked.query.texts[0], DEPTH)
            });
        }
    }
    let vectors = corpus::vectors(&encoder, &index.catalog);
    let exact = Dense::with_signs_from(&vectors, usize::MAX).expect("vectors");
    let bytes = vec![7_u8; exact.scanned_bytes()];
    let mut group = criterion.benchmark_group("dense-floor");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function(size, |bencher| bencher.iter(|| corpus::read_all(black_box(&bytes))));
    group.finish();
    for (group, dense) in [("dense-exact", &exact), ("dense", &**dense)] {
        in_turn(criterion, group, size, plain, |asked| {
            dense.search(&[&asked.vectors[0].whole], DEPTH, |_| true)
        });
    }
    if index.catalog.len() <= GRAPH_UP_TO && corpus::wanted("dense-hnsw", size) {
        let vectors: Vec<_> = vectors.into_iter().flatten().collect();
        let graph = Graph::of(&vectors);
        in_turn(criterion, "dense-hnsw", size, plain, |asked| {
            graph.search(&asked.vectors[0].whole, DEPTH)
        });
    }
    let servers: Vec<_> =
        index.catalog.servers().step_by(100).map(|server| server.id.clone()).collect();
    in_turn(criterion, "filtered", size, plain, |asked| {
        let query = Query { servers: servers.clone(), ..asked.query.clone() };
        let ranking = search::rank(index, &query, &asked.vectors);
        search::answer(index, &query, &asked.vectors, &ranking)
    });
    for (kind, queries) in kinds() {
        stages(criterion, &format!("{kind}/{size}"), fixture, queries);
    }
}

/// What comes after the arms, and all of it together.
fn stages(criterion: &mut Criterion, name: &str, fixture: &Fixture, queries: &[Asked]) {
    let index = &fixture.index;
    if corpus::wanted("fuse", name)
        || corpus::wanted("select", name)
        || corpus::wanted("render", name)
    {
        let lists: Vec<_> = queries
            .iter()
            .map(|asked| (asked, fuse::rank_arms(index, &asked.query, &asked.vectors, |_| true)))
            .collect();
        in_turn(criterion, "fuse", name, &lists, |(asked, lists)| {
            fuse::fuse(index, lists, &asked.vectors)
        });
        let rankings: Vec<_> = queries
            .iter()
            .map(|asked| (asked, search::rank(index, &asked.query, &asked.vectors)))
            .collect();
        in_turn(criterion, "select", name, &rankings, |(asked, ranking)| {
            search::answer(index, &asked.query, &asked.vectors, ranking)
        });
        let answers: Vec<_> = rankings
            .iter()
            .map(|(asked, ranking)| {
                let served = search::answer(index, &asked.query, &asked.vectors, ranking);
                Answer {
                    generation: 1,
                    mode: Mode::Hybrid,
                    reason: None,
                    took_us: 1_000,
                    hits: served.hits,
                    no_good_match: served.no_good_match,
                    why: None,
                    stale: Vec::new(),
                    repeated: false,
                    stages: None,
                }
            })
            .collect();
        let wants = serve::Wants::default();
        in_turn(criterion, "render", name, &answers, |answer| {
            serve::answer_body(answer, &index.catalog, &wants)
        });
    }
    in_turn(criterion, "whole", name, queries, |asked| {
        let ranking = search::rank(index, &asked.query, &asked.vectors);
        search::answer(index, &asked.query, &asked.vectors, &ranking)
    });
}
