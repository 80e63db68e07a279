//! How sure a mean is: resampling the queries with replacement.
//!
//! Invariant: seeded, so that the same scores give the same interval on every machine.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LabelledQuery, Metric, Outcome, Scores, count, report::scores_of};

/// How often the queries are drawn anew.
const RESAMPLES: usize = 1_000;
const SEED: u64 = 0x7001_5c00;

/// The middle 95% of the resampled means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// 2.5% lie below.
    pub low: f64,
    /// 2.5% lie above.
    pub high: f64,
}

impl Interval {
    /// The interval of the mean of `values`; zero when there are none.
    pub fn of_mean(values: &[f64]) -> Self {
        if values.is_empty() {
            return Self::default();
        }
        let mut rng = fastrand::Rng::with_seed(SEED);
        let mut means: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                let sum: f64 = (0..values.len()).map(|_| values[rng.usize(..values.len())]).sum();
                sum / count(values.len())
            })
            .collect();
        means.sort_unstable_by(f64::total_cmp);
        Self { low: means[RESAMPLES * 25 / 1000], high: means[RESAMPLES * 975 / 1000 - 1] }
    }

    /// Zero lies outside: a difference of that interval is hardly chance.
    pub fn excludes_zero(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

/// How a run differs from a baseline on the same queries.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Comparison {
    /// What was compared.
    pub metric: Metric,
    /// Queries scored.
    pub queries: usize,
    /// Mean of the run minus mean of the baseline.
    pub difference: f64,
    /// Its interval, resampled over pairs.
    pub interval: Interval,
    /// Queries whose score changed, the largest change first, ties by id.
    pub moved: Vec<Moved>,
}

/// A query whose score changed.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Moved {
    /// The query's id.
    pub id: String,
    /// Its score in the baseline.
    pub before: f64,
    /// Its score in the run.
    pub after: f64,
}

/// Compares `run` with `baseline` on one metric, query by query.
pub fn compare(
    queries: &[LabelledQuery],
    baseline: &BTreeMap<String, Vec<String>>,
    run: &BTreeMap<String, Vec<String>>,
    metric: Metric,
) -> Comparison {
    let pairs: Vec<(&str, f64, f64)> = queries
        .iter()
        .filter(|query| query.is_scored())
        .map(|query| {
            let of = |run| scores_of(query, run).get(metric);
            (query.id.as_str(), of(baseline), of(run))
        })
        .collect();
    of_pairs(&pairs, metric)
}

/// The same of two runs of which the outcomes are left: over the queries that both have.
pub fn compare_outcomes(baseline: &[Outcome], run: &[Outcome], metric: Metric) -> Comparison {
    let before: BTreeMap<&str, &Outcome> =
        baseline.iter().map(|outcome| (&*outcome.id, outcome)).collect();
    let pairs: Vec<(&str, f64, f64)> = run
        .iter()
        .filter_map(|after| Some((&*after.id, *before.get(&*after.id)?, after)))
        .map(|(id, before, after)| (id, before.scores().get(metric), after.scores().get(metric)))
        .collect();
    of_pairs(&pairs, metric)
}

/// Each query's id, its score in the baseline and in the run.
fn of_pairs(pairs: &[(&str, f64, f64)], metric: Metric) -> Comparison {
    let changes: Vec<f64> = pairs.iter().map(|(_, before, after)| after - before).collect();
    let mut moved: Vec<Moved> = pairs
        .iter()
        .filter(|(_, before, after)| before.total_cmp(after).is_ne())
        .map(|&(id, before, after)| Moved { id: id.into(), before, after })
        .collect();
    moved.sort_by(|a, b| {
        let size = |moved: &Moved| (moved.after - moved.before).abs();
        size(b).total_cmp(&size(a)).then_with(|| a.id.cmp(&b.id))
    });
    Comparison {
        metric,
        queries: pairs.len(),
        difference: if changes.is_empty() {
            0.0
        } else {
            changes.iter().sum::<f64>() / count(changes.len())
        },
        interval: Interval::of_mean(&changes),
        moved,
    }
}

impl Comparison {
    /// One line for a person.
    pub fn summary(&self) -> String {
        let Self { metric, queries, difference, interval: Interval { low, high }, moved } = self;
        let (metric, moved) = (metric.name(), moved.len());
        format!("{metric} {difference:+.4} [{low:+.4}, {high:+.4}], {moved} of {queries} moved")
    }
}

/// The interval of each metric.
pub(super) fn intervals(all: &[Scores]) -> BTreeMap<Metric, Interval> {
    Metric::ALL
        .into_iter()
        .map(|metric| {
            let values: Vec<f64> = all.iter().map(|scores| scores.get(metric)).collect();
            (metric, Interval::of_mean(&values))
        })
        .collect()
}
