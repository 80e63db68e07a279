//! The work of one evaluation: every query asked as it would be served, then scored.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use super::result::Kept;
use super::{Bench, Failure, Head, Job, Missed, Wanted};
use crate::catalog::Catalog;
use crate::embed::EmbedError;
use crate::eval::{self, AsServed, Asked, LabelledQuery, Outcome, Report};
use crate::live::Live;
use crate::live::pinned::Pinned;
use crate::search::{Arms, Mode, Query};

/// Failed queries of which all is told.
const MOST_FAILURES: usize = 500;
/// So much of a failed query is kept, in bytes: enough to ask it again, but for the longest.
const QUERY_BYTES: usize = 2_000;
/// And so much of every query, to recognise it by.
const TEXT_BYTES: usize = 160;

/// What comes of the job; or why nothing does.
pub(super) fn run(job: &Job, live: &Live, bench: &Bench) -> Result<Kept, String> {
    let (begun, at) = (Instant::now(), SystemTime::now());
    let pinned = live.pin();
    let mut asked = Vec::with_capacity(job.wanted.queries.len());
    for query in &job.wanted.queries {
        if job.is_stopped() {
            return Err("it was cancelled".into());
        }
        let answer = ask(&pinned, query, &job.wanted, bench);
        asked.push(answer.map_err(|error| format!("query {:?}: {error}", query.id))?);
        job.done.fetch_add(1, Ordering::SeqCst);
    }
    let mut kept = bench.work(|| summed_up(job, &pinned, asked));
    kept.head.at = humantime::format_rfc3339_seconds(at).to_string();
    kept.head.took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(kept)
}

fn ask(
    pinned: &Pinned,
    labelled: &LabelledQuery,
    wanted: &Wanted,
    bench: &Bench,
) -> Result<Asked, EmbedError> {
    let texts = vec![labelled.text().to_owned()];
    let query = Query { texts, limit: wanted.limit, arms: wanted.arms, ..Query::default() };
    // A slow endpoint keeps nobody else from the bench.
    let vectors = if pinned.waits_for_others() {
        pinned.embed(&query)
    } else {
        bench.work(|| pinned.embed(&query))
    }?;
    bench.work(|| {
        let ranking = pinned.rank(&query, &vectors)?;
        Ok(Asked::of(&pinned.index, &query, &vectors, &ranking))
    })
}

fn summed_up(job: &Job, pinned: &Pinned, asked: Vec<Asked>) -> Kept {
    let Job { wanted: Wanted { name, queries, limit, arms }, .. } = job;
    let (limit, arms) = (*limit, *arms);
    let catalog = &pinned.index.catalog;
    let failures: Vec<Failure> = queries
        .iter()
        .zip(&asked)
        .filter(|(query, asked)| query.is_scored() && !asked.answered.meets(query))
        .map(|(query, asked)| failure(catalog, query, asked))
        .collect();
    let (ranked, answered): (Vec<_>, Vec<_>) =
        asked.into_iter().map(|asked| (asked.ranked, asked.answered)).unzip();
    let as_served = AsServed::of(queries, &answered);
    let run: BTreeMap<String, Vec<String>> =
        queries.iter().map(|query| query.id.clone()).zip(ranked).collect();
    let Report { queries: scored, unscored, all, categories, .. } = eval::report(queries, &run);
    let scored_queries = || queries.iter().filter(|query| query.is_scored());
    let outcome = |query: &LabelledQuery| {
        let ranked = run.get(&query.id).into_iter().flatten().map(String::as_str);
        Outcome::of(query, &ranked.collect::<Vec<_>>())
    };
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
            file: fingerprint(queries.iter().map(|query| format!("{query:?}"))),
            queries: scored,
            unscored,
            failed: failures.len(),
            all,
            as_served,
        },
        categories,
        failures: failures.into_iter().take(MOST_FAILURES).collect(),
        outcomes: scored_queries().map(outcome).collect(),
        texts: scored_queries().map(|query| cut(&query.query, TEXT_BYTES)).collect(),
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
