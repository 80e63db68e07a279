//! How sure a mean is: resampling the queries with replacement.
//!
//! Invariant: seeded, so that the same scores give the same interval on every machine. It takes long, so
//! whoever no longer waits is asked after each draw: what comes once `goes_on` said no is of no use.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::report::outcome_of;
use super::{LabelledQuery, Metric, Outcome, Scores, count};

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
        Self::of_mean_while(values, &|| true)
    }

    fn of_mean_while(values: &[f64], goes_on: &dyn Fn() -> bool) -> Self {
        if values.is_empty() {
            return Self::default();
        }
        let mut rng = fastrand::Rng::with_seed(SEED);
        let mut means: Vec<f64> = (0..RESAMPLES)
            .take_while(|_| goes_on())
            .map(|_| {
                let sum: f64 = (0..values.len()).map(|_| values[rng.usize(..values.len())]).sum();
                sum / count(values.len())
            })
            .collect();
        if means.len() < RESAMPLES {
            return Self::default();
        }
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
            let of = |run| outcome_of(query, run).scores().get(metric);
            (query.id.as_str(), of(baseline), of(run))
        })
        .collect();
    of_pairs(&pairs, metric, &|| true)
}

/// The same of two runs of which the outcomes are left: over the queries that both have.
pub fn compare_outcomes(
    baseline: &[Outcome],
    run: &[Outcome],
    metric: Metric,
    goes_on: &dyn Fn() -> bool,
) -> Comparison {
    let before: BTreeMap<&str, &Outcome> =
        baseline.iter().map(|outcome| (&*outcome.id, outcome)).collect();
    let pairs: Vec<(&str, f64, f64)> = run
        .iter()
        .filter_map(|after| Some((&*after.id, *before.get(&*after.id)?, after)))
        .map(|(id, before, after)| (id, before.scores().get(metric), after.scores().get(metric)))
        .collect();
    of_pairs(&pairs, metric, goes_on)
}

/// Each query's id, its score in the baseline and in the run.
fn of_pairs(pairs: &[(&str, f64, f64)], metric: Metric, goes_on: &dyn Fn() -> bool) -> Comparison {
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
        interval: Interval::of_mean_while(&changes, goes_on),
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
pub(super) fn intervals(all: &[Scores], goes_on: &dyn Fn() -> bool) -> BTreeMap<Metric, Interval> {
    Metric::ALL
        .into_iter()
        .map(|metric| {
            let values: Vec<f64> = all.iter().map(|scores| scores.get(metric)).collect();
            (metric, Interval::of_mean_while(&values, goes_on))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn whoever_no_longer_waits_is_done_with_after_the_next_draw() {
        let values = vec![0.5; 10];
        let asked = Cell::new(0);
        let goes_on = || {
            asked.set(asked.get() + 1);
            asked.get() <= 3
        };
        assert_eq!(Interval::of_mean_while(&values, &goes_on), Interval::default());
        assert_eq!(asked.get(), 4);
        // All that is left is passed over as soon.
        let scores = vec![Scores::default(); 10];
        intervals(&scores, &goes_on);
        assert_eq!(asked.get(), 4 + Metric::ALL.len());
        assert!((Interval::of_mean(&values).low - 0.5).abs() < 1e-9);
    }
}
