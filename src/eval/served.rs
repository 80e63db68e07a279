//! What a client that names no limit gets: few tools, the same tool of several servers once.
//!
//! Invariant: a need counts as met when a tool that meets it is returned or is named beside one
//! that is: who asked is told of it either way.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LabelledQuery, count, ranks_met};

/// The answers to all scored queries, as they are served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AsServed {
    /// Mean share of needs met.
    pub recall: f64,
    /// Share of answers that meet every need.
    pub complete: f64,
    /// Mean number of tools returned, those named beside them not counted.
    pub returned: f64,
    /// `complete` for each tool returned.
    pub complete_per_tool: f64,
    /// Share of answers that say that nothing fits well, though something is labelled as fitting.
    pub no_good_match: f64,
    /// The same share of the queries that are labelled as having no tool; absent without such.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_good_match_of_none: Option<f64>,
}

/// One answer: the returned tools, each with those named beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answered {
    /// Best first; the first id of each is the tool that is returned.
    pub slots: Vec<Vec<String>>,
    /// It says that nothing fits well.
    pub no_good_match: bool,
}

impl Answered {
    /// Every need of `query` is met by a tool that is returned, or named beside one that is.
    pub fn meets(&self, query: &LabelledQuery) -> bool {
        let needs = query.needs();
        self.met(&needs) == needs.len()
    }

    /// How many of `needs` are met.
    fn met(&self, needs: &[BTreeSet<&str>]) -> usize {
        let ids: Vec<&str> = self.slots.iter().flatten().map(String::as_str).collect();
        ranks_met(needs, &ids).len()
    }
}

impl AsServed {
    /// The means over queries and their answers.
    pub fn of<'a>(answered: impl Iterator<Item = (&'a LabelledQuery, &'a Answered)>) -> Self {
        let (mut scored, mut none, mut flagged) = (0, 0, 0);
        let mut sum = Self::default();
        for (query, answer) in answered {
            if query.fits_none() {
                none += 1;
                flagged += usize::from(answer.no_good_match);
            }
            if !query.is_scored() {
                continue;
            }
            scored += 1;
            let needs = query.needs();
            let met = answer.met(&needs);
            sum.recall += count(met) / count(needs.len());
            sum.complete += if met == needs.len() { 1.0 } else { 0.0 };
            sum.returned += count(answer.slots.len());
            sum.no_good_match += if answer.no_good_match { 1.0 } else { 0.0 };
        }
        let all = count(scored.max(1));
        Self {
            recall: sum.recall / all,
            complete: sum.complete / all,
            returned: sum.returned / all,
            complete_per_tool: sum.complete / sum.returned.max(1.0),
            no_good_match: sum.no_good_match / all,
            no_good_match_of_none: (none > 0).then(|| count(flagged) / count(none)),
        }
    }

    /// In a sentence.
    pub fn summary(&self) -> String {
        let of_none = self
            .no_good_match_of_none
            .map(|share| format!(" and of {share:.4} of those that nothing fits"))
            .unwrap_or_default();
        format!(
            "as served: recall {:.4}, complete {:.4} with {:.2} tools ({:.4} a tool); no good \
             match said of {:.4}{of_none}",
            self.recall, self.complete, self.returned, self.complete_per_tool, self.no_good_match
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(relevant: &[&str]) -> LabelledQuery {
        let line = serde_json::json!({"id": "q", "query": "x", "relevant": relevant});
        serde_json::from_value(line).unwrap()
    }

    fn answered(slots: &[&[&str]], no_good_match: bool) -> Answered {
        let ids = |slot: &&[&str]| slot.iter().map(|id| (*id).to_owned()).collect();
        Answered { slots: slots.iter().map(ids).collect(), no_good_match }
    }

    #[test]
    fn a_tool_named_beside_another_meets_its_need_and_takes_no_slot() {
        let queries = [query(&["a", "b"]), query(&["c"]), query(&[])];
        let answers = [
            answered(&[&["x", "b"], &["a"], &["y"]], true),
            answered(&[&["z"]], false),
            answered(&[&["z"]], true),
        ];
        let served = AsServed::of(queries.iter().zip(&answers));
        assert_eq!((served.recall, served.complete, served.returned), (0.5, 0.5, 2.0));
        assert!((served.complete_per_tool - 0.25).abs() < 1e-9);
        assert_eq!((served.no_good_match, served.no_good_match_of_none), (0.5, Some(1.0)));
        assert_eq!(AsServed::of(std::iter::empty()), AsServed::default());
    }
}
