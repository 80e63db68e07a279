//! How good a ranking is: labelled queries, the scores of a run, and how sure they are.
//!
//! Invariant: a score here is the score that the reference scorer of the benchmarks gives, and
//! nothing depends on the clock, on hash order or on unseeded chance. Pure and synchronous.

mod asked;
mod bootstrap;
mod files;
pub mod replay;
mod report;
mod served;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use asked::Asked;
pub use bootstrap::{Comparison, Interval, Moved, compare, compare_outcomes};
pub use files::{EvalError, RunLine, queries_of, read_queries, read_run, write_run};
pub use report::{GroupReport, Report, report, report_outcomes};
pub use served::{Answered, AsServed};

/// Ranks past this are not looked at.
pub const DEPTH: usize = 100;

/// A query, and the tools that a good answer holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelledQuery {
    /// Unique in its file.
    pub id: String,
    /// What is searched for.
    pub query: String,
    /// One tool id a need. `None` in a file without labels; empty where no tool fits: neither is
    /// scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relevant: Option<Vec<String>>,
    /// Other tools that meet the need as well.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub alternatives: BTreeMap<String, Vec<String>>,
    /// What kind of query it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
}

impl LabelledQuery {
    /// The tools that meet a need, a set a need; in the order of `relevant`.
    pub fn needs(&self) -> Vec<BTreeSet<&str>> {
        self.relevant
            .iter()
            .flatten()
            .map(|tool| {
                let others = self.alternatives.get(tool).into_iter().flatten();
                std::iter::once(tool).chain(others).map(String::as_str).collect()
            })
            .collect()
    }

    /// The tool meets one of its needs.
    pub fn is_met_by(&self, tool: &str) -> bool {
        self.needs().iter().any(|need| need.contains(tool))
    }

    /// It is labelled as having no tool that fits.
    pub fn fits_none(&self) -> bool {
        self.relevant.as_ref().is_some_and(Vec::is_empty)
    }

    /// It has at least one need, so a ranking of it can be scored.
    pub fn is_scored(&self) -> bool {
        self.relevant.as_ref().is_some_and(|needs| !needs.is_empty())
    }
}

/// The scores of one ranking, or the mean over many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Scores {
    /// Share of needs met at rank 1.
    #[serde(rename = "R@1")]
    pub recall_1: f64,
    /// Share of needs met in the top 5.
    #[serde(rename = "R@5")]
    pub recall_5: f64,
    /// Share of needs met in the top 10.
    #[serde(rename = "R@10")]
    pub recall_10: f64,
    /// NDCG in the top 5: one gain a need.
    #[serde(rename = "N@5")]
    pub ndcg_5: f64,
    /// NDCG in the top 10.
    #[serde(rename = "N@10")]
    pub ndcg_10: f64,
    /// 1 / rank of the first tool that meets a need.
    #[serde(rename = "MRR")]
    pub mrr: f64,
    /// Every need is met in the top 10.
    #[serde(rename = "C@10")]
    pub complete_10: f64,
    /// A need is met at rank 1.
    #[serde(rename = "H@1")]
    pub hit_1: f64,
    /// A need is met in the top 5.
    #[serde(rename = "H@5")]
    pub hit_5: f64,
}

/// One of the [`Scores`].
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[expect(missing_docs, reason = "named as the fields of Scores are, which say it")]
pub enum Metric {
    #[serde(rename = "R@1")]
    Recall1,
    #[serde(rename = "R@5")]
    Recall5,
    #[serde(rename = "R@10")]
    Recall10,
    #[serde(rename = "N@5")]
    Ndcg5,
    #[serde(rename = "N@10")]
    Ndcg10,
    #[serde(rename = "MRR")]
    Mrr,
    #[serde(rename = "C@10")]
    Complete10,
    #[serde(rename = "H@1")]
    Hit1,
    #[serde(rename = "H@5")]
    Hit5,
}

impl Metric {
    /// All of them, in the order of a report.
    pub const ALL: [Self; 9] = [
        Self::Recall1,
        Self::Recall5,
        Self::Recall10,
        Self::Ndcg5,
        Self::Ndcg10,
        Self::Mrr,
        Self::Complete10,
        Self::Hit1,
        Self::Hit5,
    ];

    /// Its short name, such as `R@5`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recall1 => "R@1",
            Self::Recall5 => "R@5",
            Self::Recall10 => "R@10",
            Self::Ndcg5 => "N@5",
            Self::Ndcg10 => "N@10",
            Self::Mrr => "MRR",
            Self::Complete10 => "C@10",
            Self::Hit1 => "H@1",
            Self::Hit5 => "H@5",
        }
    }
}

impl Scores {
    /// The value of one metric.
    pub fn get(&self, metric: Metric) -> f64 {
        match metric {
            Metric::Recall1 => self.recall_1,
            Metric::Recall5 => self.recall_5,
            Metric::Recall10 => self.recall_10,
            Metric::Ndcg5 => self.ndcg_5,
            Metric::Ndcg10 => self.ndcg_10,
            Metric::Mrr => self.mrr,
            Metric::Complete10 => self.complete_10,
            Metric::Hit1 => self.hit_1,
            Metric::Hit5 => self.hit_5,
        }
    }

    /// The mean of each metric; all zero when there is none to take it of.
    pub fn mean(all: &[Self]) -> Self {
        let mean = |field: fn(&Self) -> f64| {
            if all.is_empty() { 0.0 } else { all.iter().map(field).sum::<f64>() / count(all.len()) }
        };
        Self {
            recall_1: mean(|s| s.recall_1),
            recall_5: mean(|s| s.recall_5),
            recall_10: mean(|s| s.recall_10),
            ndcg_5: mean(|s| s.ndcg_5),
            ndcg_10: mean(|s| s.ndcg_10),
            mrr: mean(|s| s.mrr),
            complete_10: mean(|s| s.complete_10),
            hit_1: mean(|s| s.hit_1),
            hit_5: mean(|s| s.hit_5),
        }
    }
}

/// Scores one ranking, best first. An id that comes again is passed over. A query without needs
/// scores zero: leave it out of a mean ([`LabelledQuery::is_scored`]).
pub fn score(query: &LabelledQuery, ranked: &[&str]) -> Scores {
    Outcome::of(query, ranked).scores()
}

/// What became of the needs of one query: all that its scores are made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The query's id.
    pub id: String,
    /// How many needs it has.
    pub needs: usize,
    /// The ranks at which needs are met, ascending.
    pub met: Vec<usize>,
}

impl Outcome {
    /// Of one ranking, best first.
    pub fn of(query: &LabelledQuery, ranked: &[&str]) -> Self {
        let needs = query.needs();
        let met = ranks_met(&needs, ranked);
        Self { id: query.id.clone(), needs: needs.len(), met }
    }

    /// Its scores; zero without a need.
    pub fn scores(&self) -> Scores {
        if self.needs == 0 { Scores::default() } else { scores(&self.met, self.needs) }
    }
}

fn scores(met: &[usize], needs: usize) -> Scores {
    let within = |k: usize| count(met.iter().filter(|&&rank| rank <= k).count());
    let ndcg = |k: usize| {
        let gain = |rank: usize| 1.0 / count(rank + 1).log2();
        let won = met.iter().filter(|&&rank| rank <= k).map(|&rank| gain(rank));
        // The sum of none is -0.
        let won = won.fold(0.0, |sum, gain| sum + gain);
        let ideal: f64 = (1..=needs.min(k)).map(gain).sum();
        won / ideal
    };
    let all = count(needs);
    let yes = |condition: bool| if condition { 1.0 } else { 0.0 };
    Scores {
        recall_1: within(1) / all,
        recall_5: within(5) / all,
        recall_10: within(10) / all,
        ndcg_5: ndcg(5),
        ndcg_10: ndcg(10),
        mrr: met.first().map_or(0.0, |&first| 1.0 / count(first)),
        complete_10: yes(met.len() == needs && met.iter().all(|&rank| rank <= 10)),
        hit_1: yes(met.first() == Some(&1)),
        hit_5: yes(met.first().is_some_and(|&first| first <= 5)),
    }
}

/// The ranks at which needs are met, ascending: each tool meets the first open need that it can.
fn ranks_met(needs: &[BTreeSet<&str>], ranked: &[&str]) -> Vec<usize> {
    let mut open: Vec<&BTreeSet<&str>> = needs.iter().collect();
    let mut seen = BTreeSet::new();
    let mut met = Vec::new();
    let distinct = ranked.iter().filter(|tool| seen.insert(**tool));
    for (rank, tool) in (1..=DEPTH).zip(distinct) {
        if let Some(at) = open.iter().position(|need| need.contains(tool)) {
            open.remove(at);
            met.push(rank);
        }
    }
    met
}

#[expect(clippy::cast_precision_loss, reason = "counts of queries are far below 2^52")]
fn count(n: usize) -> f64 {
    n as f64
}
