//! Answers in the shape that a host takes, and in as many tokens as it has room for.
//!
//! Invariant: `result` is exactly the shape that was asked for; what is told beside it (`ids`,
//! `reduced`, `tokens`) leads from there back to the tools.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use super::debug::Debug;
use super::http::json;
use super::observe::Lifted;
use super::problem::Problem;
use super::wire::{BatchAnswer, FoundTool, SearchAnswer};
use crate::access::profile::HostDefaults;
use crate::catalog::Catalog;
use crate::format::{self, Budget, Call, Family, Fitted, Format, Rung};
use crate::live::Live;
use crate::search::{Answer, Explain, Mode, Stale, Why};
use crate::tool::Tool;

/// How a host wants its tools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wants {
    /// The shape; without one the answer describes its tools.
    pub format: Option<Format>,
    /// The most tokens.
    pub token_budget: Option<usize>,
    /// Whose tokens.
    pub family: Option<Family>,
    /// The call that is answered.
    pub call: Call,
    /// What the stages took is told as well.
    pub debug: bool,
}

impl Wants {
    /// Refuses what can't be met by any answer.
    pub fn check(&self) -> Result<(), Problem> {
        match self.token_budget {
            Some(0) => Err(Problem::invalid("token_budget is 0, it must be 1 or more")),
            _ => Ok(()),
        }
    }

    /// With what the profile says where the request does not.
    #[must_use]
    pub fn or(self, defaults: &HostDefaults) -> Self {
        Self {
            format: self.format.or(defaults.format),
            token_budget: self.token_budget.or(defaults.token_budget),
            family: self.family.or(defaults.family),
            call: self.call,
            debug: self.debug,
        }
    }

    /// The same, by the profile that `live` is seen through.
    #[must_use]
    pub fn by_profile(self, live: &Live) -> Self {
        match live.profile() {
            Some(profile) => self.or(&profile.defaults),
            None => self,
        }
    }

    /// How many tokens there are, and whose.
    pub fn budget(&self) -> Option<Budget> {
        let told = || self.format.map(Format::family).unwrap_or_default();
        let family = self.family.unwrap_or_else(told);
        self.token_budget.map(|tokens| Budget { tokens, family })
    }
}

/// What an answer's tools take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Tokens {
    /// Tokens of all tools that could have been found, in the same shape, whole.
    pub baseline: usize,
    /// Tokens of the tools that are returned.
    pub returned: usize,
    /// The most that was asked for.
    pub budget: usize,
    /// Whose tokens.
    pub family: Family,
    /// Always: hosts and models wrap the tools in words of their own, and only one family's
    /// tokenizer is public.
    pub estimate: bool,
    /// Not even the shortest forms of all tools fit.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    pub over_budget: bool,
    /// What to do about that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
}

impl Tokens {
    /// What was fitted into `budget`.
    pub fn of(
        fitted: &Fitted,
        budget: Option<Budget>,
        catalog: &Catalog,
        format: Format,
    ) -> Option<Self> {
        let (Budget { tokens: budget, family }, returned) = (budget?, fitted.tokens?);
        let over_budget = returned > budget;
        let note = "not even the shortest forms fit: raise token_budget, or set a lower limit";
        Some(Self {
            baseline: format::baseline(catalog, format, family),
            returned,
            budget,
            family,
            estimate: true,
            over_budget,
            note: over_budget.then_some(note),
        })
    }
}

/// An answer, as it was asked for.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Body<'a> {
    /// The tools described.
    Plain(SearchAnswer<'a>),
    /// The tools in a format.
    Formatted(FormattedAnswer<'a>),
}

/// An answer in a format.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FormattedAnswer<'a> {
    /// The generation of the index that was searched.
    pub generation: u64,
    /// The arms that ranked.
    pub mode: Mode,
    /// Why that is not `hybrid` though it was not asked for, or not reranked although it should be, and
    /// what mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// The tools, best first, and what is told of them.
    #[serde(flatten)]
    pub shaped: Shaped<'a>,
    /// None of them is likely to be what is looked for.
    pub no_good_match: bool,
    /// How each tool came to its place, by id, when asked for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(default)]
    pub explain: BTreeMap<&'a str, &'a Explain>,
    /// Why one tool stands where it does, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'a Why>,
    /// Servers among them whose tools may be out of date.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schemars(default)]
    pub stale: &'a [Stale],
    /// What the stages took and found, when an operator asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debug: Option<Debug<'a>>,
}

/// Tools in a format.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Shaped<'a> {
    /// Exactly what the format says.
    #[schemars(with = "serde_json::Value")]
    pub result: Box<RawValue>,
    /// The ids of the tools, in the order of `result`.
    pub ids: Vec<&'a str>,
    /// What was left out of tools for the token budget, by id.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(default)]
    pub reduced: BTreeMap<&'a str, String>,
    /// What the result takes, where there is a budget.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
}

/// `tools` of `catalog`, best first, in `format`.
pub fn shape<'a>(
    catalog: &Catalog,
    tools: &[&'a Tool],
    format: Format,
    wants: &Wants,
) -> Shaped<'a> {
    let render = |at: usize, rung| format::piece(format, catalog, tools[at], rung);
    let join =
        |pieces: &[&str]| format::join(format, catalog, &wants.call, tools.iter().copied(), pieces);
    let budget = wants.budget();
    let fitted = format::fit(tools.len(), budget, render, join);
    let reduced = tools.iter().zip(&fitted.rungs);
    let reduced =
        reduced.filter_map(|(tool, rung)| Some((tool.id.as_str(), format::reduced(*rung)?)));
    Shaped {
        ids: format::flattened(format, tools.iter().copied())
            .into_iter()
            .map(|tool| tool.id.as_str())
            .collect(),
        reduced: reduced.collect(),
        tokens: Tokens::of(&fitted, budget, catalog, format),
        result: raw(fitted.text),
    }
}

/// An answer as it was asked for. `catalog` is the one that was searched.
pub fn body<'a>(answer: &'a Answer, catalog: &Catalog, wants: &Wants) -> Body<'a> {
    let Some(format) = wants.format else {
        return Body::Plain(plain(answer, catalog, wants));
    };
    let tools: Vec<&Tool> = answer.hits.iter().map(|hit| &*hit.tool).collect();
    let explained = answer.hits.iter();
    let explained = explained.filter_map(|hit| Some((hit.tool.id.as_str(), hit.explain.as_ref()?)));
    Body::Formatted(FormattedAnswer {
        generation: answer.generation,
        mode: answer.mode,
        reason: answer.reason.as_deref(),
        shaped: shape(catalog, &tools, format, wants),
        no_good_match: answer.no_good_match,
        explain: explained.collect(),
        why: answer.why.as_ref(),
        stale: &answer.stale,
        debug: wants.debug.then(|| Debug::of(answer)),
    })
}

fn plain<'a>(answer: &'a Answer, catalog: &Catalog, wants: &Wants) -> SearchAnswer<'a> {
    let debug = wants.debug.then(|| Debug::of(answer));
    let mut whole = SearchAnswer { debug, ..SearchAnswer::from(answer) };
    for (found, hit) in whole.tools.iter_mut().zip(&answer.hits) {
        let count = |_| format::size(catalog, &hit.tool, Format::Mcp);
        found.tokens = found.explain.map(count);
    }
    if wants.token_budget.is_none() {
        return whole;
    }
    let tool = |at: usize, rung: Rung| {
        let tool = &*answer.hits[at].tool;
        let found = whole.tools[at].clone();
        match format::reduced(rung) {
            None => found,
            reduced => FoundTool {
                definition: Cow::Owned(raw(format::definition(tool, rung, None).into_owned())),
                reduced,
                ..found
            },
        }
    };
    let budget = wants.budget();
    let fitted = fit_written(answer.hits.len(), budget, tool);
    let tools = fitted.rungs.iter().enumerate().map(|(at, rung)| tool(at, *rung)).collect();
    let tokens = Tokens::of(&fitted, budget, catalog, Format::Mcp);
    SearchAnswer { tools, tokens, ..whole }
}

/// Fits an array of what `tool` gives.
pub fn fit_written<T: Serialize>(
    count: usize,
    budget: Option<Budget>,
    tool: impl Fn(usize, Rung) -> T,
) -> Fitted {
    // What is written holds nothing that JSON can't.
    let render = |at, rung| serde_json::to_string(&tool(at, rung)).unwrap_or_default();
    format::fit(count, budget, render, |pieces| format!("[{}]", pieces.join(",")))
}

/// Text that was written as JSON.
pub fn raw(text: String) -> Box<RawValue> {
    RawValue::from_string(text).unwrap_or_else(|error| {
        tracing::error!(%error, "a result was not written as JSON");
        RawValue::NULL.to_owned()
    })
}

/// Answers that are to be written.
pub enum Answers {
    /// One.
    One(Box<Answer>, Wants),
    /// To a batch.
    Batch(Vec<(Answer, Wants)>),
}

/// The response with these answers.
pub async fn respond(live: &Live, lifted: &Lifted, answers: Answers) -> Response {
    let catalog = live.catalog();
    let takes_time = |answer: &Answer, wants: &Wants| {
        let is_explained = answer.hits.first().is_some_and(|hit| hit.explain.is_some());
        is_explained || wants.token_budget.is_some() || wants.format.is_some()
    };
    let slow = match &answers {
        Answers::One(answer, wants) => takes_time(answer, wants),
        Answers::Batch(all) => all.iter().any(|(answer, wants)| takes_time(answer, wants)),
    };
    let write = move || match &answers {
        Answers::One(answer, wants) => json(&body(answer, &catalog, wants)),
        Answers::Batch(all) => {
            let answers = all.iter().map(|(answer, wants)| body(answer, &catalog, wants));
            json(&BatchAnswer { answers: answers.collect() })
        }
    };
    aside(lifted, slow, write).await.unwrap_or_else(Problem::into_response)
}

/// What `make` makes. Where tokens are counted (milliseconds, and a quarter of a second the first
/// time) or the names of a catalog are made, the threads that serve others don't wait for it; and whoever
/// hangs up leaves no work behind that has no seat.
pub async fn aside<T: Send + 'static>(
    lifted: &Lifted,
    slow: bool,
    make: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    if !slow {
        return Ok(make());
    }
    let seat = lifted.held();
    let make = move || {
        let _seat = seat;
        make()
    };
    tokio::task::spawn_blocking(make).await.map_err(|error| {
        tracing::error!(%error, "an answer could not be made");
        Problem::internal()
    })
}

/// An answer as `/v1/search` gives it.
pub fn answer_body(answer: &Answer, catalog: &Catalog, wants: &Wants) -> String {
    // Its parts are strings, numbers and JSON that was read as such: writing them can't fail.
    serde_json::to_string(&body(answer, catalog, wants)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::serve::limits::Limits;

    #[tokio::test]
    async fn work_aside_has_its_seat_to_its_end_also_where_the_client_is_gone() {
        let limits = Limits::none();
        let mut seats = limits.press().await;
        let lifted = Lifted::default();
        let request = lifted.hold(seats.pop().unwrap());
        let (let_through, gate) = std::sync::mpsc::channel::<()>();
        let work = aside(&lifted, true, move || gate.recv().is_ok());
        assert!(work.now_or_never().is_none(), "it has begun, and nobody waits for it any more");
        drop(request);
        assert!(!limits.has_seat());
        let_through.send(()).unwrap();
        while !limits.has_seat() {
            tokio::task::yield_now().await;
        }
    }
}
