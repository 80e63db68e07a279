//! A million tools: what a catalog of that size costs in time and memory. A table, not a gate.
//!
//! `scripts/million.sh` runs it. The catalog is the joined benchmark sets and 36 copies of them
//! with other names and every third word of a description exchanged; the first run makes it (half
//! a minute) and keeps it as a snapshot in `target/million/`. Then, on one thread: the start from
//! that snapshot until both arms answer (on all threads), the median query in each part, the
//! recall of the dense arm against all vectors, and the floor: the time it takes to read the
//! bytes that a dense search reads, and nothing else.
//!
//! Not measured: a disk that has to seek (the snapshot is in the file cache), HTTP, and real
//! catalogs of that size, which have fewer near-copies than this one.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "prints a table of what it measured, and without data there is none"
)]

#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/running.rs"]
mod running;

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use corpus::{Asked, Corpus, Fixture};
use toolscout::catalog::ToolIdx;
use toolscout::index::snapshot;
use toolscout::search::{self, fuse::DEPTH};

const TOOLS: usize = 1_000_000;

fn main() {
    // `cargo test --benches` is not to take this long.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let corpus = Corpus::load();
    let path = Path::new("target/million/catalog.snapshot");
    if !path.exists() {
        snapshot::save(path, 1, &corpus.sized(TOOLS)).expect("a snapshot");
    }
    let size = path.metadata().expect("the snapshot").len();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let begun = Instant::now();
    let running = runtime.block_on(running::start(None, Some(path.to_owned())));
    let index = running.live.index();
    println!("tools                    {:10}", index.catalog.len());
    println!("snapshot, MB             {:10.0}", size as f64 / 1e6);
    println!("start to hybrid, s       {:10.1}", begun.elapsed().as_secs_f64());
    println!("resident, MB             {:10.0}", resident_mb());

    // The queries of another fixture, since this one is the service's.
    let Fixture { plain, mixed, .. } = Fixture::of(&corpus, corpus.sized(500));
    let dense = index.dense.as_ref().expect("vectors");
    let bytes = vec![7_u8; dense.scanned_bytes()];
    let floor: Vec<f64> = (0..15).map(|_| time(|| corpus::read_all(black_box(&bytes)))).collect();
    println!("floor of dense, ms       {:10.2}", median(floor));
    each("lexical", &plain, |asked| {
        let asked = index.lexical.asked(&asked.query.texts[0]);
        black_box(index.lexical.rank(&asked, DEPTH, |_| true));
    });
    each("dense", &plain, |asked| {
        black_box(dense.search(&[&asked.vectors[0].whole], DEPTH, |_| true));
    });
    for (name, queries) in [("whole, one clause", &plain), ("whole, all kinds", &mixed)] {
        each(name, queries, |asked| {
            let ranking = search::rank(&index, &asked.query, &asked.vectors);
            black_box(search::answer(&index, &asked.query, &asked.vectors, &ranking));
        });
    }
    let tools: Vec<ToolIdx> = (0..).map(ToolIdx).take(index.catalog.len()).collect();
    let recalls: Vec<f64> = mixed
        .iter()
        .map(|asked| {
            let query = &*asked.vectors[0].whole;
            let found = dense.search(&[query], DEPTH, |_| true).remove(0);
            // Equal vectors are equally near.
            let mut all = dense.scores(&[query], &tools).remove(0);
            all.sort_unstable_by(|a, b| b.partial_cmp(a).expect("numbers"));
            let hits = found.iter().take(10).filter(|ranked| Some(ranked.score) >= all[9]).count();
            hits as f64 / 10.0
        })
        .collect();
    let recall = recalls.iter().sum::<f64>() / recalls.len() as f64;
    println!("dense recall@10          {recall:10.4}");
}

fn each(name: &str, queries: &[Asked], search: impl Fn(&Asked)) {
    let times = queries.iter().map(|asked| time(|| search(asked))).collect();
    println!("{name:17} ms     {:10.2}", median(times));
}

/// Milliseconds.
fn time<R>(run: impl FnOnce() -> R) -> f64 {
    let begun = Instant::now();
    black_box(run());
    begun.elapsed().as_secs_f64() * 1e3
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kb.unwrap_or(f64::NAN) / 1e3
}
