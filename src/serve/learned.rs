//! Learning from use: feedback is taken in, and operators see and erase what was learned.
//!
//! Invariant: a caller can add to the evidence of its own scope and sees nothing of any; what was
//! asked is shown to those alone who hold the token.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::admin::Admin;
use super::http::{MAX_PAGE, PAGE, Params, json};
use super::problem::Problem;
use super::scope::{self, Scoped};
use super::trust::shown;
use crate::learn::book::Which;
use crate::learn::{LearnError, Outcome};
use crate::live::learner::Noted;
use crate::search::MAX_PHRASINGS;

/// What came of a tool after a query.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Feedback {
    /// What was searched for.
    #[serde(default)]
    pub query: Option<String>,
    /// Its phrasings, where there were several.
    #[serde(default)]
    #[schemars(length(max = MAX_PHRASINGS))]
    pub queries: Option<Vec<String>>,
    /// The id of the tool (`server/name`), or its name in the model API.
    pub tool: String,
    /// What came of it.
    #[serde(default)]
    pub outcome: Outcome,
    /// The profile that was searched, where the path or its query names none.
    #[serde(default)]
    pub profile: Option<String>,
}

/// That it was noted.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FeedbackTaken {
    /// The tool's id.
    pub tool: String,
    /// As what.
    pub noted: &'static str,
}

/// A page of what was learned.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LearnedPage {
    /// Ordered by scope, query and tool.
    pub evidence: Vec<LearnedEvidence>,
    /// How many there are in all.
    pub total: usize,
    /// Give it as `cursor` to get the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A tool that was chosen after a query, or was wrong.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LearnedEvidence {
    /// The profile that it counts in; empty where none is named.
    pub scope: String,
    /// What was asked, as it was asked.
    pub query: String,
    /// The tool's id.
    pub tool: String,
    /// What it counts now: a choice counts 1 and fades; below zero where the tool was wrong.
    pub weight: f32,
    /// How often it was noted.
    pub times: u32,
    /// When last.
    pub last: String,
}

/// What was erased.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Forgotten {
    /// How many pieces of evidence.
    pub forgotten: usize,
}

/// `POST /v1/feedback`
pub async fn feedback(
    Scoped(live): Scoped,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let Feedback { query, queries, tool, outcome, profile } = serde_json::from_slice(&body?)
        .map_err(|error| Problem::invalid(format!("the body is no feedback: {error}")))?;
    let texts = match (query, queries) {
        (Some(query), None) => vec![query],
        (None, Some(queries)) => queries,
        _ => {
            return Err(Problem::invalid(
                "give either query (a text) or queries (several phrasings of one need)",
            ));
        }
    };
    let live = scope::within(&live, profile.as_deref())?;
    let tool = live.feedback(&texts, &tool, outcome)?;
    let taken = FeedbackTaken { tool: tool.to_string(), noted: outcome.name() };
    Ok((StatusCode::ACCEPTED, json(&taken)).into_response())
}

/// `GET /v1/admin/learned`
pub async fn list(
    State(admin): State<Admin>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let params = Params::parse(query.as_deref(), &["scope", "tool", "query", "cursor", "limit"])?;
    let limit = params.number("limit")?.unwrap_or(PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::invalid(format!("limit is {limit}, it must be 1 to {MAX_PAGE}")));
    }
    let learner = admin.live.learner().ok_or(LearnError::Off)?;
    let all = learner.list(&which(&params)?);
    // A cursor is how many were told before: evidence that comes or goes meanwhile moves the rest.
    let start = params.number("cursor")?.unwrap_or(0).min(all.len());
    let total = all.len();
    let end = total.min(start + limit);
    let evidence = all.into_iter().skip(start).take(limit).map(LearnedEvidence::from).collect();
    let next_cursor = (end < total).then(|| end.to_string());
    Ok(json(&LearnedPage { evidence, total, next_cursor }))
}

/// `DELETE /v1/admin/learned`: what the parameters name, or all of it.
pub async fn forget(
    State(admin): State<Admin>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let params = Params::parse(query.as_deref(), &["scope", "tool", "query"])?;
    let learner = admin.live.learner().ok_or(LearnError::Off)?;
    let forgotten = learner.forget(&which(&params)?).await;
    tracing::info!(forgotten, "evidence of use was erased");
    Ok(json(&Forgotten { forgotten }))
}

fn which(params: &Params) -> Result<Which, Problem> {
    let one = |name| Ok::<_, Problem>(params.one(name)?.map(str::to_owned));
    // Queries are kept without the spaces around them.
    let query = one("query")?.map(|text| text.trim().to_owned());
    Ok(Which { scope: one("scope")?, tool: one("tool")?, query })
}

impl From<Noted> for LearnedEvidence {
    fn from(noted: Noted) -> Self {
        Self {
            scope: noted.scope,
            query: noted.query,
            tool: noted.tool,
            weight: noted.weight,
            times: noted.evidence.times,
            last: shown(noted.evidence.at),
        }
    }
}

impl From<LearnError> for Problem {
    fn from(error: LearnError) -> Self {
        let (status, code) = match error {
            LearnError::Query(error) => return error.into(),
            LearnError::UnknownTool(_) => return Self::no_tool(),
            LearnError::Off => (StatusCode::CONFLICT, "learning-off"),
            LearnError::TooLong(_) => (StatusCode::BAD_REQUEST, "query-too-long"),
            LearnError::TooMuch => (StatusCode::TOO_MANY_REQUESTS, "too-much-feedback"),
        };
        Self::new(status, code, error.to_string())
    }
}
