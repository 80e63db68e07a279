//! The core on fixed inputs, for counting its instructions: the gate of `scripts/count.sh`.
//!
//! Clocks say little on a shared machine; callgrind counts the instructions that a program
//! executes, and counts the same ones each time. Each part runs in [`measured`], alone, on the
//! seeded catalog of 5,000 tools and its queries, after a first time that is not counted. The
//! instructions are those of the AVX2 path.
//!
//! Not counted: waiting for memory, which most of a scan's time is, and everything beyond the
//! core. A change of the compiler may move the numbers by more than the gate allows: then
//! `scripts/count.sh --accept` writes the new ones, in a commit that does nothing else.

#![expect(clippy::expect_used, reason = "a bench without its data has nothing to measure")]

#[path = "support/corpus.rs"]
mod corpus;

use std::hint::black_box;

use corpus::{Asked, Corpus, Fixture};
use toolscout::activity::{Activity, Search};
use toolscout::audit::Way;
use toolscout::catalog::Catalog;
use toolscout::embed::{Embedder, Fixed, Role};
use toolscout::index::Index;
use toolscout::search::fuse::{self, DEPTH};
use toolscout::search::{self, Answer, Mode, Query};

fn main() {
    // Named on purpose: `cargo test --benches` runs nothing.
    let Some(wanted) = std::env::args().nth(1).filter(|arg| !arg.starts_with('-')) else { return };
    let corpus = Corpus::generated(5_000);
    let fixture = Fixture::of(&corpus, corpus.sized(5_000));
    let parts: [(&str, Part); 6] = [
        ("embed", embed),
        ("lexical", lexical),
        ("dense", dense),
        ("fuse", fuse_lists),
        ("whole", whole),
        ("filtered", filtered),
    ];
    for (_, part) in parts.into_iter().filter(|(name, _)| *name == wanted) {
        let run = || fixture.mixed.iter().take(20).for_each(|asked| part(&fixture, asked));
        run();
        measured(&run);
    }
    if wanted == "note" {
        let activity = Activity::default();
        let answers: Vec<_> = fixture
            .mixed
            .iter()
            .take(20)
            .map(|asked| (asked, answer(&fixture.index, asked)))
            .collect();
        let run = || answers.iter().for_each(|(asked, answer)| note(&activity, asked, answer));
        run();
        measured(&run);
    }
    if wanted == "update" {
        let index = &fixture.index;
        let tools = index.catalog.tools();
        let gone = tools[tools.len() / 2].id.clone();
        let catalog: Catalog = index.catalog.retain(|tool| tool.id != gone);
        let catalog = std::sync::Arc::new(catalog);
        let run = || drop(black_box(index.updated(2, catalog.clone())));
        run();
        measured(&run);
    }
}

/// A part of the core, asked one query.
type Part = fn(&Fixture, &Asked);

/// Callgrind counts what happens in here.
#[inline(never)]
fn measured(run: &dyn Fn()) {
    black_box(run)();
}

fn embed(_: &Fixture, asked: &Asked) {
    thread_local! {
        static ENCODER: Fixed = Fixed::in_binary().expect("the encoder in the binary");
    }
    ENCODER.with(|encoder| {
        let _ = black_box(encoder.embed(Role::Query, &[&asked.query.texts[0]], None));
    });
}

fn lexical(fixture: &Fixture, asked: &Asked) {
    let lexical = &fixture.index.lexical;
    black_box(lexical.rank(&lexical.asked(&asked.query.texts[0]), DEPTH, |_| true));
}

fn dense(fixture: &Fixture, asked: &Asked) {
    let dense = fixture.index.dense.as_ref().expect("vectors");
    black_box(dense.search(&[&asked.vectors[0].whole], DEPTH, |_| true));
}

fn fuse_lists(fixture: &Fixture, asked: &Asked) {
    let lists = fuse::rank_arms(&fixture.index, &asked.query, &asked.vectors, |_| true);
    black_box(fuse::fuse(&fixture.index, &lists, &asked.vectors));
}

fn whole(fixture: &Fixture, asked: &Asked) {
    rank(&fixture.index, &asked.query, asked);
}

fn filtered(fixture: &Fixture, asked: &Asked) {
    let servers = fixture.index.catalog.servers().step_by(100).map(|server| server.id.clone());
    let query = Query { servers: servers.collect(), ..asked.query.clone() };
    rank(&fixture.index, &query, asked);
}

fn answer(index: &Index, asked: &Asked) -> Answer {
    let ranking = search::rank(index, &asked.query, &asked.vectors);
    let served = search::answer(index, &asked.query, &asked.vectors, &ranking);
    Answer {
        generation: index.generation,
        mode: Mode::Hybrid,
        reason: None,
        hits: served.hits,
        no_good_match: served.no_good_match,
        why: None,
        stale: Vec::new(),
        took_us: 1_000,
        repeated: false,
        stages: None,
    }
}

/// What counting a search adds to it.
fn note(activity: &Activity, asked: &Asked, answer: &Answer) {
    activity.note_search(Search {
        query: &asked.query,
        answer: Some(answer),
        whole_bytes: 1,
        way: Way::Http,
        caller: "anonymous".into(),
        profile: None,
    });
}

fn rank(index: &Index, query: &Query, asked: &Asked) {
    let ranking = search::rank(index, query, &asked.vectors);
    black_box(search::answer(index, query, &asked.vectors, &ranking));
}
