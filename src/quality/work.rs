//! The work of one evaluation: every query asked as it would be served, then scored.

use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant, SystemTime};

use super::result::Kept;
use super::{Bench, Failure, Head, Job, Missed, Wanted};
use crate::catalog::Catalog;
use crate::embed::EmbedError;
use crate::eval::{self, Answered, AsServed, Asked, LabelledQuery, Outcome, Report};
use crate::live::Live;
use crate::live::pinned::Pinned;
use crate::search::{Arms, Mode, PartVectors, Query};

/// Failed queries of which all is told.
const MOST_FAILURES: usize = 500;
/// So much of a failed query is kept, in bytes: enough to ask it again, but for the longest.
const QUERY_BYTES: usize = 2_000;
/// And so much of every query, to recognise it by.
const TEXT_BYTES: usize = 160;
/// Whoever waits for another machine looks this often whether to go on.
const LOOK: Duration = Duration::from_millis(100);
/// Why there is no result.
const CANCELLED: &str = "it was cancelled";

/// What is left of the queries that were asked.
#[derive(Default)]
struct Scored {
    answered: Vec<Answered>,
    /// Of each query that is scored.
    outcomes: Vec<Outcome>,
    /// The first of them.
    failures: Vec<Failure>,
    failed: usize,
}

/// What comes of the job; or why nothing does.
pub(super) fn run(job: &Job, live: &Live, bench: &Bench) -> Result<Kept, String> {
    let (begun, at) = (Instant::now(), SystemTime::now());
    let pinned = Arc::new(live.pin());
    let mut scored = Scored::default();
    for labelled in &job.wanted.queries {
        let failed = |error| format!("query {:?}: {error}", labelled.id);
        let texts = vec![labelled.text().to_owned()];
        let Wanted { limit, arms, .. } = job.wanted;
        let query = Arc::new(Query { texts, limit, arms, ..Query::default() });
        let vectors = embed(job, &pinned, &query, bench)?.map_err(failed)?;
        bench.work(|| {
            let ranking = pinned.rank(&query, &vectors).map_err(failed)?;
            let asked = Asked::of(&pinned.index, &query, &vectors, &ranking);
            scored.add(&pinned.index.catalog, labelled, asked);
            Ok::<_, String>(())
        })?;
        job.done.fetch_add(1, Ordering::SeqCst);
    }
    let mut kept = bench.work(|| summed_up(job, &pinned, scored));
    if job.is_stopped() {
        return Err(CANCELLED.into());
    }
    kept.head.at = humantime::format_rfc3339_seconds(at).to_string();
    kept.head.took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(kept)
}

/// The vectors of a query; or that nobody waits for them any more.
fn embed(
    job: &Job,
    pinned: &Arc<Pinned>,
    query: &Arc<Query>,
    bench: &Bench,
) -> Result<Result<Vec<PartVectors>, EmbedError>, String> {
    if job.is_stopped() {
        return Err(CANCELLED.into());
    }
    if !pinned.waits_for_others() {
        return Ok(bench.work(|| pinned.embed(query)));
    }
    // A slow endpoint keeps nobody else from the bench, and nobody from ending.
    let (answer, answered) = mpsc::channel();
    let (pinned, query) = (Arc::clone(pinned), Arc::clone(query));
    let thread = std::thread::Builder::new().name("evaluate-embed".into());
    let asking = thread.spawn(move || answer.send(pinned.embed(&query)));
    asking.map_err(|error| format!("no thread can be started: {error}"))?;
    loop {
        match answered.recv_timeout(LOOK) {
            Ok(vectors) => return Ok(vectors),
            Err(mpsc::RecvTimeoutError::Timeout) if !job.is_stopped() => {}
            Err(_) => return Err(CANCELLED.into()),
        }
    }
}

impl Scored {
    fn add(&mut self, catalog: &Catalog, query: &LabelledQuery, asked: Asked) {
        if query.is_scored() {
            let ranked: Vec<&str> = asked.ranked.iter().map(String::as_str).collect();
            self.outcomes.push(Outcome::of(query, &ranked));
            if !asked.answered.meets(query) {
                self.failed += 1;
                if self.failures.len() < MOST_FAILURES {
                    self.failures.push(failure(catalog, query, &asked));
                }
            }
        }
        self.answered.push(asked.answered);
    }
}

/// Of no use where the job was stopped meanwhile.
fn summed_up(job: &Job, pinned: &Pinned, scored: Scored) -> Kept {
    let Job { wanted: Wanted { name, queries, limit, arms }, .. } = job;
    let (limit, arms) = (*limit, *arms);
    let catalog = &pinned.index.catalog;
    let goes_on = || !job.is_stopped();
    let Scored { answered, outcomes, failures, failed } = scored;
    let pairs = queries.iter().zip(&answered);
    let as_served = AsServed::of(pairs.take_while(|_| goes_on()));
    let Report { queries: scored, unscored, all, categories, .. } =
        eval::report_outcomes(queries, &outcomes, &goes_on);
    let scored_queries = queries.iter().filter(|query| query.is_scored());
    let lines = queries.iter().map(|query| format!("{query:?}"));
    let status = &pinned.status;
    let mode = Mode::of(arms, status.mode == Mode::Hybrid && arms != Arms::Lexical);
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let learned = pinned.has_learned();
    let (encoder, reranker) = (status.encoder.clone(), status.reranker.clone());
    let configuration =
        fingerprint([format!("{version} {mode:?} {encoder:?} {reranker:?} {learned} {limit:?}")]);
    Kept {
        head: Head {
            id: job.id.to_string(),
            name: name.clone(),
            at: String::new(),
            took_ms: 0,
            generation: pinned.index.generation,
            tools: catalog.len(),
            mode,
            reason: status.reason.clone(),
            encoder,
            reranker,
            learned,
            arms,
            limit,
            version,
            configuration,
            catalog: of_catalog(catalog),
            file: fingerprint(lines.take_while(|_| goes_on())),
            queries: scored,
            unscored,
            failed,
            all,
            as_served,
        },
        categories,
        failures,
        outcomes,
        texts: scored_queries.map(|query| cut(&query.query, TEXT_BYTES)).collect(),
    }
}

fn failure(catalog: &Catalog, query: &LabelledQuery, asked: &Asked) -> Failure {
    let mut open: Vec<_> = query.relevant.iter().flatten().zip(query.needs()).collect();
    // As it is scored: a tool meets one need.
    for tool in asked.answered.slots.iter().flatten() {
        if let Some(at) = open.iter().position(|(_, need)| need.contains(tool.as_str())) {
            open.remove(at);
        }
    }
    let missed = open.into_iter().map(|(tool, need)| Missed {
        tool: tool.clone(),
        rank: asked.ranked.iter().position(|tool| need.contains(tool.as_str())).map(|at| at + 1),
        known: catalog.position(tool).is_some(),
    });
    Failure {
        id: query.id.clone(),
        query: cut(query.text(), QUERY_BYTES),
        category: query.category.clone().filter(|name| !name.is_empty()),
        missed: missed.collect(),
        got: asked.answered.slots.iter().filter_map(|slot| slot.first().cloned()).collect(),
    }
}

fn cut(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes)].to_owned()
}

/// The same for the same lines, and for no others.
fn fingerprint(lines: impl IntoIterator<Item = String>) -> String {
    let mut hasher = blake3::Hasher::new();
    for line in lines {
        hasher.update(&(line.len() as u64).to_le_bytes());
        hasher.update(line.as_bytes());
    }
    short(&hasher)
}

fn of_catalog(catalog: &Catalog) -> String {
    let mut hasher = blake3::Hasher::new();
    for tool in catalog.tools() {
        hasher.update(&(tool.id.as_str().len() as u64).to_le_bytes());
        hasher.update(tool.id.as_str().as_bytes());
        hasher.update(&tool.hash.0);
    }
    short(&hasher)
}

fn short(hasher: &blake3::Hasher) -> String {
    hasher.finalize().to_hex()[..12].to_owned()
}
