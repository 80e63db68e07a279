//! How long a restart takes: from a snapshot to the first generation that answers by both arms.
//!
//! `cargo bench --bench startup` prints a table for 5k, 28k and 100k tools; `benches/million.rs`
//! has a million. Measured in this process, with the snapshot in the file cache of the system: the
//! snapshot and the history of definitions read and checked, every tool read for the index, vectors
//! made by the encoder in the binary, the index built and published. The first start has no history,
//! as after an upgrade from a version without: every definition is inspected.
//!
//! Not measured: a disk that has to seek, other encoders' cached vectors, and the first crawl.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a bench without its data has nothing to measure, and prints what it measured"
)]

#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/running.rs"]
mod running;

use std::time::{Duration, Instant};

use corpus::{Corpus, SIZES};
use toolscout::index::snapshot;

const TIMES: usize = 5;

fn main() {
    // `cargo test --benches` is not to take this long.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("catalog.snapshot");
    println!("  tools  definitions MB  ready, ms (best of {TIMES})  without history, ms");
    for (_, size) in SIZES.into_iter().filter(|(_, size)| *size > 1_000) {
        let catalog = Corpus::load().sized(size);
        snapshot::save(&path, 1, &catalog).expect("a snapshot");
        let bytes = catalog.tools().iter().map(|tool| tool.definition.get().len()).sum::<usize>();
        drop(catalog);
        let mut best = f64::INFINITY;
        let (mut tools, mut first) = (0, 0.0);
        for time in 0..=TIMES {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            let begun = Instant::now();
            let running = runtime.block_on(running::start(None, Some(path.clone())));
            let status = running.live.status();
            assert_eq!(status.embedded, status.total, "every tool has its vector");
            let took = begun.elapsed().as_secs_f64() * 1e3;
            if time == 0 {
                first = took;
                let book = path.with_extension("book");
                while !book.exists() {
                    std::thread::sleep(Duration::from_millis(10));
                }
            } else {
                best = best.min(took);
            }
            tools = status.total;
        }
        println!("{tools:7} {:15.1} {best:24.0} {first:21.0}", bytes as f64 / 1e6);
        let _ = std::fs::remove_file(path.with_extension("book"));
    }
}
