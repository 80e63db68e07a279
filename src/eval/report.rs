//! The scores of a whole run, together and by category, as JSON and as a table.
//!
//! Invariant: a scored query without a line in the run counts as zero; one without needs counts
//! only in [`Report::unscored`].

use std::collections::BTreeMap;

use comfy_table::{Cell, CellAlignment, Table, presets};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bootstrap::intervals;
use super::{Interval, LabelledQuery, Metric, Outcome, Scores};

/// How good a run is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Queries that were scored.
    pub queries: usize,
    /// Queries without a need: no labels, or no tool fits.
    pub unscored: usize,
    /// Scored queries that the run has no line for.
    pub queries_without_run: usize,
    /// All scored queries.
    pub all: GroupReport,
    /// The scored queries of each category.
    pub categories: BTreeMap<String, GroupReport>,
}

/// The scores of some queries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GroupReport {
    /// How many queries.
    pub n: usize,
    /// Mean scores.
    pub metrics: Scores,
    /// 95% interval of each mean.
    pub intervals: BTreeMap<Metric, Interval>,
}

/// Scores a run: ranked tool ids by query id.
pub fn report(queries: &[LabelledQuery], run: &BTreeMap<String, Vec<String>>) -> Report {
    let scored = || queries.iter().filter(|query| query.is_scored());
    let outcomes: Vec<Outcome> = scored().map(|query| outcome_of(query, run)).collect();
    let queries_without_run = scored().filter(|query| !run.contains_key(&query.id)).count();
    Report { queries_without_run, ..report_outcomes(queries, &outcomes, &|| true) }
}

/// The same of a run of which the outcomes are left, one for each scored query and in their order. What
/// comes once `goes_on` said no is of no use.
pub fn report_outcomes(
    queries: &[LabelledQuery],
    outcomes: &[Outcome],
    goes_on: &dyn Fn() -> bool,
) -> Report {
    let scored = queries.iter().filter(|query| query.is_scored());
    let mut all = Vec::new();
    let mut categories: BTreeMap<String, Vec<Scores>> = BTreeMap::new();
    for (query, outcome) in scored.zip(outcomes) {
        let one = outcome.scores();
        all.push(one);
        if let Some(category) = query.category.as_ref().filter(|name| !name.is_empty()) {
            categories.entry(category.clone()).or_default().push(one);
        }
    }
    Report {
        queries: all.len(),
        unscored: queries.len() - all.len(),
        queries_without_run: 0,
        all: GroupReport::of(&all, goes_on),
        categories: categories
            .into_iter()
            .map(|(name, scores)| (name, GroupReport::of(&scores, goes_on)))
            .collect(),
    }
}

impl GroupReport {
    fn of(scores: &[Scores], goes_on: &dyn Fn() -> bool) -> Self {
        let intervals = intervals(scores, goes_on);
        Self { n: scores.len(), metrics: Scores::mean(scores), intervals }
    }
}

impl Report {
    /// A table: a row a category, then all, then the interval of all.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        let names = Metric::ALL.map(Metric::name);
        table.set_header(["", "n"].into_iter().chain(names).map(right));
        for (name, group) in &self.categories {
            table.add_row(row(name, group));
        }
        table.add_row(row("all", &self.all));
        let intervals = Metric::ALL.map(|metric| {
            let Interval { low, high } =
                self.all.intervals.get(&metric).copied().unwrap_or_default();
            right(format!("{low:.2}-{high:.2}"))
        });
        table.add_row([right("95%"), right("")].into_iter().chain(intervals));
        table
    }
}

fn row(name: &str, group: &GroupReport) -> Vec<Cell> {
    let values = Metric::ALL.map(|metric| right(format!("{:.4}", group.metrics.get(metric))));
    [Cell::new(name), right(group.n)].into_iter().chain(values).collect()
}

fn right(text: impl ToString) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

pub(super) fn outcome_of(query: &LabelledQuery, run: &BTreeMap<String, Vec<String>>) -> Outcome {
    let ranked: Vec<&str> = run.get(&query.id).into_iter().flatten().map(String::as_str).collect();
    Outcome::of(query, &ranked)
}
