//! What a vector costs: `MiniLM` on one thread, for a short query, a long one, and a tool.
//!
//! Measured: one text from its letters to its unit vector, with nothing else running. Not
//! measured: loading the model, the queue before it (`embed::lane`), the cache of vectors, and
//! several texts at once. Skipped with a message where `scripts/fetch.sh` has not run.

#![expect(clippy::print_stderr, reason = "says why nothing is measured")]

#[path = "support/corpus.rs"]
mod corpus;

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use corpus::Corpus;
use criterion::Criterion;
use toolscout::config::EmbedConfig;
use toolscout::embed::{self, Embedder, Role, embed_one};
use toolscout::text::fields;

fn main() {
    let encoder = match embed::load(&EmbedConfig::default(), Path::new("index-data"), 1) {
        Ok(encoder) => encoder,
        Err(error) => {
            eprintln!("embed: skipped, {error}");
            return;
        }
    };
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(30)
        .measurement_time(Duration::from_secs(4))
        .configure_from_args();
    measure(&mut criterion, &*encoder);
    criterion.final_summary();
}

fn measure(criterion: &mut Criterion, encoder: &dyn Embedder) {
    let corpus = Corpus::load();
    let catalog = corpus.sized(101);
    let mut tools: Vec<String> =
        catalog.tools().iter().map(|tool| fields::embedded(tool, &catalog)).collect();
    tools.sort_by_key(String::len);
    let long = "the build of the release branch has been red since this morning and the last \
        change that went in was the new cache, so before I ask its author I would like to see \
        the log of the job that failed, the commits since the last green build, and whether \
        anybody has opened an issue about it already; "
        .repeat(4);
    let mut group = criterion.benchmark_group("embed");
    for (name, text) in [
        ("short-query", "merge a pull request"),
        ("long-query", &long),
        ("tool-of-median-length", &tools[tools.len() / 2]),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| embed_one(encoder, Role::Query, black_box(text), None));
        });
    }
    group.finish();
}
