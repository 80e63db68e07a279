//! What the parts of an update and of a restart cost, from 500 to 100k tools.
//!
//! Measured: folding a new listing of one server into the catalog (`catalog-fold`), reading every
//! tool for the index (`documents`, on all threads), the lexical index of what was read
//! (`lexical-build`), an index after one tool changed (`index-update`), the dense index of a whole
//! catalog (`dense-build`), a view of half of the tools, made anew and after nothing changed of it
//! (`view-derive`, `view-again`), and the snapshot to and from a temporary folder (`snapshot-save`, which waits
//! until the disk has it, and `snapshot-load`, from warm file cache).
//!
//! Not measured: crawling, embedding (`benches/embed.rs`), the file of cached vectors, and all of
//! it together (`benches/update.rs`, `benches/startup.rs`). Vectors are random: any take as long.

#![expect(clippy::expect_used, reason = "a bench without its data has nothing to measure")]

#[path = "support/corpus.rs"]
mod corpus;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use corpus::{Corpus, SIZES};
use criterion::Criterion;
use toolscout::access::profile::{Profile, ToolGlobs};
use toolscout::access::view::View;
use toolscout::catalog::{Catalog, Listing, Outcome, ServerUpdate};
use toolscout::index::dense::Dense;
use toolscout::index::document::Documents;
use toolscout::index::lexical::Lexical;
use toolscout::index::{Index, snapshot};
use toolscout::tool::Tool;

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let corpus = Corpus::load();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("catalog.snapshot");
    for (name, size) in SIZES {
        let catalog = corpus.sized(size);
        let mut group = criterion.benchmark_group("catalog-fold");
        let update = one_changed(&catalog);
        group.bench_function(name, |b| b.iter(|| catalog.fold(black_box(&update))));
        group.finish();

        let mut group = criterion.benchmark_group("documents");
        group.bench_function(name, |b| b.iter(|| Documents::read(&catalog)));
        group.finish();

        let index = Index::build(1, Arc::clone(&catalog));
        let mut group = criterion.benchmark_group("lexical-build");
        group.bench_function(name, |b| {
            b.iter(|| Lexical::build(Arc::clone(&index.documents), None));
        });
        group.finish();

        let after = Arc::new(catalog.fold(&update).0);
        let mut group = criterion.benchmark_group("index-update");
        group.bench_function(name, |b| b.iter(|| index.updated(2, Arc::clone(&after))));
        group.finish();

        let mut group = criterion.benchmark_group("dense-build");
        let mut random = fastrand::Rng::with_seed(1);
        let mut row = || (0..384).map(|_| random.f32() - 0.5).collect();
        let rows: Vec<_> = (0..catalog.len()).map(|_| Some(row())).collect();
        group.bench_function(name, |b| {
            b.iter(|| Dense::build(&rows));
        });
        group.finish();

        let whole = Index { dense: Dense::build(&rows).map(Arc::new), ..index };
        let profile = half();
        let view = View::derive(&whole, &profile, None, |_, _| None);
        let mut group = criterion.benchmark_group("view-derive");
        group.bench_function(name, |b| {
            b.iter(|| View::derive(&whole, &profile, None, |_, _| None));
        });
        group.finish();

        let mut group = criterion.benchmark_group("view-again");
        group.bench_function(name, |b| {
            b.iter(|| View::derive(&whole, &profile, Some(&view), |_, _| None));
        });
        group.finish();

        let mut group = criterion.benchmark_group("snapshot-save");
        group.bench_function(name, |b| {
            b.iter(|| snapshot::save(&path, 1, &catalog).expect("a snapshot"));
        });
        group.finish();

        let mut group = criterion.benchmark_group("snapshot-load");
        group.bench_function(name, |b| {
            b.iter(|| snapshot::load(&path).expect("the snapshot"));
        });
        group.finish();
    }
    criterion.final_summary();
}

/// A profile that shows about half of the tools.
fn half() -> Arc<Profile> {
    let names = ToolGlobs::new(&["[a-l]*".to_owned()]).expect("a glob");
    Arc::new(Profile { allow: Some(names), ..Profile::default() })
}

/// The largest server again, one tool of it with another definition.
fn one_changed(catalog: &Catalog) -> ServerUpdate {
    let server = catalog.servers().max_by_key(|server| server.tools.len()).expect("a server");
    let mut tools: Vec<Tool> = server.tools.iter().map(|tool| Tool::clone(tool)).collect();
    let definition = format!("{{\"changed\":1,{}", &tools[0].definition.get()[1..]);
    tools[0] = Tool::parse(&server.id, &definition).expect("a tool with a name");
    let server = Arc::clone(server);
    ServerUpdate {
        server: server.id.clone(),
        transport: "http",
        outcome: Outcome::Listed(Listing {
            info: server.info.clone(),
            tools,
            crawled_at: SystemTime::UNIX_EPOCH,
            defects: Vec::new(),
        }),
        next_crawl: None,
    }
}
