//! Two results side by side: the difference of each score over the queries that both have, and how sure
//! it is.
//!
//! Invariant: a verdict other than `unclear` and `same` is given where the interval leaves zero out.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use super::Head;
use super::result::Kept;
use crate::eval::{Comparison, Interval, Metric, Outcome, compare_outcomes};

/// Queries that moved and are told.
const MOST_MOVED: usize = 100;

/// How a result differs from a baseline.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "EvalComparison")]
pub struct Compared {
    /// What is compared with.
    pub baseline: Head,
    /// What is compared.
    pub run: Head,
    /// Scored queries that both have, by their ids.
    pub queries: usize,
    /// Scored queries that the baseline alone has.
    pub only_baseline: usize,
    /// Scored queries that the run alone has.
    pub only_run: usize,
    /// Each metric.
    pub metrics: Vec<Difference>,
    /// By this one queries are told as moved.
    pub moved_by: Metric,
    /// The queries whose score changed most.
    pub moved: Vec<MovedQuery>,
}

/// How one score differs.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "EvalDifference")]
pub struct Difference {
    /// The metric.
    pub metric: Metric,
    /// Mean of the run minus mean of the baseline, over the queries that both have.
    pub difference: f64,
    /// Its 95% interval, resampled over pairs.
    pub interval: Interval,
    /// Queries whose score changed.
    pub moved: usize,
    /// What follows.
    pub verdict: Verdict,
}

/// What can be said of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "EvalVerdict")]
pub enum Verdict {
    /// Hardly chance.
    Better,
    /// Hardly chance.
    Worse,
    /// It may be chance.
    Unclear,
    /// No query's score changed.
    Same,
}

/// A query whose score changed.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "EvalMoved")]
pub struct MovedQuery {
    /// The query's id.
    pub id: String,
    /// The query, cut where it is long.
    pub query: String,
    /// Its score in the baseline.
    pub before: f64,
    /// Its score in the run.
    pub after: f64,
}

impl Compared {
    /// Of no use once `goes_on` said no.
    pub(super) fn of(
        baseline: Kept,
        run: &Kept,
        metric: Metric,
        goes_on: &dyn Fn() -> bool,
    ) -> Self {
        let ids = |of: &[Outcome]| of.iter().map(|one| one.id.clone()).collect::<BTreeSet<_>>();
        let (before, after) = (ids(&baseline.outcomes), ids(&run.outcomes));
        let compare = |metric| compare_outcomes(&baseline.outcomes, &run.outcomes, metric, goes_on);
        let all: Vec<Comparison> = Metric::ALL.into_iter().map(compare).collect();
        let ids = run.outcomes.iter().map(|one| &*one.id);
        let texts: BTreeMap<&str, &String> = ids.zip(&run.texts).collect();
        let moved = all.iter().filter(|one| one.metric == metric).flat_map(|one| &one.moved);
        let moved = moved.take(MOST_MOVED).map(|moved| MovedQuery {
            id: moved.id.clone(),
            query: texts.get(&*moved.id).map(|text| (*text).clone()).unwrap_or_default(),
            before: moved.before,
            after: moved.after,
        });
        Self {
            moved: moved.collect(),
            moved_by: metric,
            queries: before.intersection(&after).count(),
            only_baseline: before.difference(&after).count(),
            only_run: after.difference(&before).count(),
            metrics: all.iter().map(Difference::of).collect(),
            run: run.head.clone(),
            baseline: baseline.head,
        }
    }
}

impl Difference {
    fn of(comparison: &Comparison) -> Self {
        let Comparison { metric, difference, interval, moved, .. } = comparison;
        let verdict = match (moved.is_empty(), interval.excludes_zero()) {
            (true, _) => Verdict::Same,
            (false, false) => Verdict::Unclear,
            (false, true) if *difference > 0.0 => Verdict::Better,
            (false, true) => Verdict::Worse,
        };
        let (metric, difference, interval) = (*metric, *difference, *interval);
        Self { metric, difference, interval, moved: moved.len(), verdict }
    }
}
