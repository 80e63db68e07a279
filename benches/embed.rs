//! What a vector costs on one thread, for a short query, a long one, and a tool: the encoder in
//! the binary, and `MiniLM`.
//!
//! Measured: one text from its letters to its unit vector, with nothing else running. Not
//! measured: loading the model, the queue before it (`embed::lane`), the cache of vectors, and
//! several texts at once. `MiniLM` is left out, with a message, unless `toolscout model pull
//! minilm` has fetched it.

#![expect(clippy::print_stderr, reason = "says what is not measured")]

#[path = "support/corpus.rs"]
mod corpus;

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use corpus::Corpus;
use criterion::{Criterion, Throughput};
use toolscout::config::EmbedConfig;
use toolscout::embed::{self, Embedder, RUNTIME, Role, embed_one, models_in};
use toolscout::text::fields;

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(30)
        .measurement_time(Duration::from_secs(4))
        .configure_from_args();
    let models = models_in(Path::new("index-data"));
    let minilm = EmbedConfig {
        model: Some(models.join("minilm")),
        runtime: models.join(RUNTIME),
        ..EmbedConfig::default()
    };
    for (name, config) in [("embed", EmbedConfig::default()), ("embed-minilm", minilm)] {
        match embed::load(&config, 1) {
            Ok(encoder) => measure(&mut criterion, name, &*encoder),
            Err(error) => eprintln!("{name}: left out, {error}"),
        }
    }
    criterion.final_summary();
}

fn measure(criterion: &mut Criterion, name: &str, encoder: &dyn Embedder) {
    let corpus = Corpus::load();
    let catalog = corpus.sized(101);
    let mut tools: Vec<String> =
        catalog.tools().iter().map(|tool| fields::embedded_in(&catalog, tool)).collect();
    tools.sort_by_key(String::len);
    let long = "the build of the release branch has been red since this morning and the last \
        change that went in was the new cache, so before I ask its author I would like to see \
        the log of the job that failed, the commits since the last green build, and whether \
        anybody has opened an issue about it already; "
        .repeat(4);
    let mut group = criterion.benchmark_group(name);
    for (text_name, text) in [
        ("4-word-query", "merge a pull request"),
        ("12-word-query", "show me which pull requests are still waiting for my review today"),
        ("long-query", &long),
        ("tool-of-median-length", &tools[tools.len() / 2]),
    ] {
        group.bench_function(text_name, |b| {
            b.iter(|| embed_one(encoder, Role::Query, black_box(text), None));
        });
    }
    // Bulk: how many tools a core embeds in a second.
    let texts: Vec<&str> = tools.iter().map(String::as_str).collect();
    group.throughput(Throughput::Elements(texts.len() as u64)).sample_size(10);
    group.bench_function("all-tools", |b| {
        b.iter(|| encoder.embed(Role::Tool, black_box(&texts), None));
    });
    group.finish();
}
