//! What is counted of searches.
//!
//! Invariant: a search looks no metric up: all are registered once, since it takes hardly longer
//! than a look-up does.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Counter, Histogram, counter, describe_counter, describe_histogram, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};

use crate::search::{Answer, Mode};

const SEARCHES: &str = "toolscout_searches_total";
const DEGRADED: &str = "toolscout_degraded_searches_total";
const REPEATED: &str = "toolscout_repeated_searches_total";
const EMPTY: &str = "toolscout_empty_searches_total";
const NO_MATCH: &str = "toolscout_no_good_match_total";
const TIME: &str = "toolscout_search_duration_seconds";
const STAGE: &str = "toolscout_search_stage_seconds";
const HITS: &str = "toolscout_search_hits";

/// From 10 µs: an arm takes less than a search.
const STAGE_BUCKETS: [f64; 12] = [
    0.000_01, 0.000_025, 0.000_05, 0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.025, 0.1, 1.0,
];
const HIT_BUCKETS: [f64; 8] = [0.0, 1.0, 3.0, 5.0, 8.0, 10.0, 20.0, 50.0];

/// The metrics.
struct Searches {
    /// Of a mode: how many, and how long they took.
    hybrid: (Counter, Histogram),
    lexical: (Counter, Histogram),
    dense: (Counter, Histogram),
    degraded: Counter,
    repeated: Counter,
    empty: Counter,
    no_good_match: Counter,
    hits: Histogram,
    /// Of a stage: how long it took.
    stages: [Histogram; 5],
}

fn searches() -> &'static Searches {
    static SEARCHES_: OnceLock<Searches> = OnceLock::new();
    SEARCHES_.get_or_init(|| {
        let of = |mode: &'static str| {
            (counter!(SEARCHES, "mode" => mode), histogram!(TIME, "mode" => mode))
        };
        Searches {
            hybrid: of("hybrid"),
            lexical: of("lexical"),
            dense: of("dense"),
            degraded: counter!(DEGRADED),
            repeated: counter!(REPEATED),
            empty: counter!(EMPTY),
            no_good_match: counter!(NO_MATCH),
            hits: histogram!(HITS),
            stages: ["embed", "lexical", "dense", "fuse", "rerank"]
                .map(|stage| histogram!(STAGE, "stage" => stage)),
        }
    })
}

/// The buckets of what is counted here.
pub(super) fn set_buckets(builder: PrometheusBuilder) -> Result<PrometheusBuilder, BuildError> {
    builder
        .set_buckets_for_metric(Matcher::Full(STAGE.into()), &STAGE_BUCKETS)?
        .set_buckets_for_metric(Matcher::Full(HITS.into()), &HIT_BUCKETS)
}

/// Registers all of it, once there is a recorder.
pub(super) fn describe() {
    describe_counter!(SEARCHES, "Searches answered, by the arms that ranked");
    describe_counter!(DEGRADED, "Searches answered with less than hybrid ranking");
    describe_counter!(REPEATED, "Searches answered as before in the same generation");
    describe_counter!(EMPTY, "Searches that found no tool");
    describe_counter!(NO_MATCH, "Searches that found no tool that is likely to fit");
    describe_histogram!(TIME, "Seconds from query to ranking, by mode");
    describe_histogram!(STAGE, "Seconds that a stage of a search took");
    describe_histogram!(HITS, "Tools that a search found");
    searches();
}

/// Counts a search that was answered, by whichever way it came.
pub fn count_search(answer: &Answer) {
    let searches = searches();
    let (count, took) = match answer.mode {
        Mode::Hybrid => &searches.hybrid,
        Mode::Lexical => &searches.lexical,
        Mode::Dense => &searches.dense,
    };
    count.increment(1);
    took.record(Duration::from_micros(answer.took_us));
    if answer.reason.is_some() {
        searches.degraded.increment(1);
    }
    if answer.repeated {
        searches.repeated.increment(1);
    }
    if answer.hits.is_empty() {
        searches.empty.increment(1);
    }
    if answer.no_good_match {
        searches.no_good_match.increment(1);
    }
    // At most a few hundred.
    searches.hits.record(u32::try_from(answer.hits.len()).map_or(f64::INFINITY, f64::from));
    let Some(stages) = &answer.stages else { return };
    let [embed, lexical, dense, fuse, rerank] = &searches.stages;
    embed.record(stages.embed);
    lexical.record(stages.lexical);
    fuse.record(stages.fuse);
    if let Some(took) = stages.dense {
        dense.record(took);
    }
    if let Some(took) = stages.rerank {
        rerank.record(took);
    }
}
