//! `/v1/admin/log`: what is logged, switched while it runs.
//!
//! Invariant: it is the whole process's, so whoever administers one tenant can't.

use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::http::json;
use super::observe::Observer;
use super::problem::Problem;
use super::trail::Trail;
use crate::telemetry::{SwitchError, SwitchesNow};

/// The longest filter.
const LONGEST: usize = 1_000;
/// The longest time that something is switched for: a week.
const LONGEST_TIME: u64 = 7 * 24 * 60 * 60;

/// What is to be switched; what is left out stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SwitchLog {
    /// What is logged from now on: a level, or pairs of a module and a level (`info`,
    /// `info,toolscout::crawl=debug`).
    #[serde(default)]
    filter: Option<String>,
    /// Back to what is logged usually.
    #[serde(default)]
    usual: bool,
    /// For this many seconds; without it until it is switched again.
    #[serde(default)]
    #[schemars(range(min = 1, max = LONGEST_TIME))]
    for_s: Option<u64>,
    /// The share of queries that are logged, redacted, 0 to 1.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    sample_queries: Option<f64>,
}

/// What is logged.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LogSwitches {
    /// What is logged now.
    filter: String,
    /// What is logged usually.
    usual: String,
    /// Seconds until it is so again.
    #[serde(skip_serializing_if = "Option::is_none")]
    reverts_in_s: Option<u64>,
    /// The share of queries that are logged.
    sample_queries: f64,
}

impl From<SwitchesNow> for LogSwitches {
    fn from(now: SwitchesNow) -> Self {
        Self {
            filter: now.filter,
            usual: now.usual,
            reverts_in_s: now.reverts_in.map(|time| time.as_secs()),
            sample_queries: now.sample_queries,
        }
    }
}

impl From<SwitchError> for Problem {
    fn from(error: SwitchError) -> Self {
        let (status, code) = match &error {
            SwitchError::NoLog => (StatusCode::CONFLICT, "no-log"),
            SwitchError::Filter(_) | SwitchError::Share => {
                (StatusCode::BAD_REQUEST, "invalid-request")
            }
        };
        Self::new(status, code, error.to_string())
    }
}

/// `GET /v1/admin/log`
pub async fn show(
    trail: Trail,
    Extension(observer): Extension<Observer>,
) -> Result<Response, Problem> {
    of_all(&trail)?;
    Ok(json(&LogSwitches::from(observer.switches.now())))
}

/// `PUT /v1/admin/log`
pub async fn switch(
    trail: Trail,
    Extension(observer): Extension<Observer>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    of_all(&trail)?;
    let asked: SwitchLog = serde_json::from_slice(&body?)
        .map_err(|error| Problem::invalid(format!("the body switches nothing: {error}")))?;
    let SwitchLog { filter, usual, for_s, sample_queries } = asked;
    if filter.is_some() && usual {
        return Err(Problem::invalid("give filter or usual, not both"));
    }
    if filter.as_ref().is_some_and(|filter| filter.len() > LONGEST) {
        return Err(Problem::invalid(format!("filter may have {LONGEST} bytes")));
    }
    if for_s.is_some_and(|seconds| !(1..=LONGEST_TIME).contains(&seconds)) {
        return Err(Problem::invalid(format!("for_s must be 1 to {LONGEST_TIME}")));
    }
    if let Some(share) = sample_queries {
        observer.switches.set_share(share)?;
    }
    if filter.is_some() || usual {
        observer.switches.set_log(filter.as_deref(), for_s.map(Duration::from_secs))?;
    }
    Ok(json(&LogSwitches::from(observer.switches.now())))
}

fn of_all(trail: &Trail) -> Result<(), Problem> {
    if trail.caller().tenant.is_none() {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "not-of-a-tenant",
        "this is the whole process's: ask whoever runs it",
    ))
}
