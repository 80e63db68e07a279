//! What it costs when one server of 200 tools changes in a catalog of 28k: a table, not a gate.
//!
//! Measured: the time from the news of the change to the generation that has it, by the writer of
//! a service with its snapshot on disk; that includes the 50 ms for which it waits for more news.
//! All 200 definitions are others each time, and so are their vectors, which the encoder in the
//! binary makes on the way. Beside it the queries of one thread, as fast as it asks, while
//! nothing changes and while the changes follow each other without a pause: medians and 99th
//! percentiles of the whole search, embedding included.
//!
//! Not measured: the crawl, HTTP, and encoders that take longer (their vectors come in later
//! generations). With two cores the writer has one of its own; with one it would not.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench without its data has nothing to measure, and prints what it measured"
)]

#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/running.rs"]
mod running;

use std::time::{Duration, Instant};

use corpus::Corpus;
use running::Running;
use toolscout::catalog::ServerInfo;
use toolscout::live::Live;
use toolscout::search::Query;
use toolscout::tool::{ServerId, Tool};

const TOOLS: usize = 200;
const CHANGES: usize = 20;
const QUIET: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() {
    // `cargo test --benches` is not to take this long.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let corpus = Corpus::load();
    let catalog = corpus.sized(28_000);
    let folder = tempfile::tempdir().expect("a folder");
    let snapshot = folder.path().join("catalog.snapshot");
    let Running { live, updates } = running::start(Some(&catalog), Some(snapshot)).await;
    let queries = plain(&corpus);
    // The first change adds the server.
    let mut generation = live.status().generation;
    updates.send(changed(&corpus, 0)).await.expect("the writer");
    generation = live.changed(generation).await;

    let quiet = ask_for(&live, &queries, "quiet", || false, QUIET).await;
    let (done, mut is_done) = tokio::sync::oneshot::channel::<()>();
    let asking = tokio::spawn({
        let (live, queries) = (live.clone(), queries.clone());
        async move {
            ask_for(&live, &queries, "busy", || is_done.try_recv().is_ok(), Duration::MAX).await
        }
    });
    let mut published = Vec::new();
    for at in 1..=CHANGES {
        let update = changed(&corpus, at);
        let begun = Instant::now();
        updates.send(update).await.expect("the writer");
        generation = live.changed(generation).await;
        published.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    let _ = done.send(());
    let busy = asking.await.expect("queries");
    println!("{} tools, {TOOLS} of one server changed {CHANGES} times", live.status().total);
    println!("news to generation   median {:7.1} ms", percentile(&published, 50) / 1e3);
    println!("                     worst  {:7.1} ms", percentile(&published, 100) / 1e3);
    for (name, times) in [("quiet", &quiet), ("during changes", &busy)] {
        println!(
            "query, {name:14} median {:6.0} µs   p99 {:6.0} µs   ({} queries)",
            percentile(times, 50),
            percentile(times, 99),
            times.len()
        );
    }
    println!("ratio of medians     {:.2}", percentile(&busy, 50) / percentile(&quiet, 50));
}

fn plain(corpus: &Corpus) -> Vec<String> {
    corpus.queries.iter().filter(|text| text.split_whitespace().count() <= 14).cloned().collect()
}

/// Microseconds of each query, one after the other, each text another.
async fn ask_for(
    live: &Live,
    queries: &[String],
    mark: &str,
    mut done: impl FnMut() -> bool,
    longest: Duration,
) -> Vec<f64> {
    let begun = Instant::now();
    let mut times = Vec::new();
    while !done() && begun.elapsed() < longest {
        let text = format!("{} {mark} {}", queries[times.len() % queries.len()], times.len());
        let query = Query { texts: vec![text], ..Query::default() };
        let asked = Instant::now();
        live.search(&query).await.expect("an answer");
        times.push(asked.elapsed().as_secs_f64() * 1e6);
        tokio::task::yield_now().await;
    }
    times
}

/// A server of real tools whose definitions are all others at each `version`.
fn changed(corpus: &Corpus, version: usize) -> toolscout::catalog::ServerUpdate {
    let id = ServerId::from("the-server-that-changes");
    let whole = corpus.sized(28_000);
    let tools = whole.tools().iter().step_by(whole.len() / TOOLS).take(TOOLS).map(|tool| {
        let text = tool.view().description.unwrap_or_default().into_owned();
        let definition = serde_json::json!({
            "name": tool.name, "description": format!("{text} in version {version}")});
        Tool::parse(&id, &definition.to_string()).expect("a tool")
    });
    running::listed(&id, ServerInfo::default(), tools.collect())
}

fn percentile(times: &[f64], percent: usize) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}
