//! Calls that are passed on, whichever way they came: read, looked up in the caller's view, allowed,
//! checked, sent.
//!
//! Invariant: what a view does not show can't be called, and every call ends in one counted outcome.

pub mod arguments;
mod validate;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::http::StatusCode;
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use self::arguments::Asked;
use self::validate::Validators;
use super::limits::quota::{Purse, Spent};
use super::metrics;
use super::problem::Problem;
use super::trail::Trail;
use crate::audit;
use crate::crawl::Progress;
use crate::crawl::call::{Call, CallError, Caller, Input, Running};
use crate::live::Live;
use crate::search::{Arms, Query};
use crate::text::name_key;
use crate::tool::{Tool, ToolId};

/// Ids that a miss suggests.
const SUGGESTED: usize = 3;

/// What passes calls on; cheap to clone.
#[derive(Clone)]
pub struct Calls {
    live: Live,
    caller: Caller,
    validators: Validators,
    /// How many calls of each profile are under way.
    running: Arc<Mutex<BTreeMap<Arc<str>, Arc<AtomicUsize>>>>,
}

/// How a call came.
pub struct Way {
    /// What is kept of it, and where it came in.
    pub trail: (Trail, audit::Way),
    /// What goes with it where the caller can be asked back.
    pub input: Option<Input>,
    /// Who hears how far it has come.
    pub progress: Option<mpsc::Sender<Progress>>,
    /// What its caller may still spend, where that is bounded.
    pub purse: Option<Purse>,
}

impl Way {
    /// Of a caller who can't be asked back and hears of no progress.
    pub fn of(trail: Trail, way: audit::Way) -> Self {
        Self { trail: (trail, way), input: None, progress: None, purse: None }
    }
}

/// A call that was answered by its server.
pub struct Answered {
    /// What was called.
    pub tool: Arc<Tool>,
    /// The `result`, as it came.
    pub result: String,
}

/// Why a call was not answered by its server.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It can't be read.
    #[error("{0}")]
    Unread(String),
    /// Nothing has been crawled yet.
    #[error("the first crawl is under way: call again in a few seconds")]
    NotReady,
    /// No such tool.
    #[error("{0}")]
    NoTool(String),
    /// The arguments are not what the tool takes.
    #[error("the arguments do not fit the inputSchema of {id}: {}", .wrong.join("; "))]
    Arguments {
        /// The tool.
        id: ToolId,
        /// What is wrong, each with its place.
        wrong: Vec<String>,
    },
    /// The profile has as many calls under way as it may.
    #[error(
        "this profile has as many calls under way as it may have ({most}): call again when one has \
        ended"
    )]
    ProfileBusy {
        /// How many it may have.
        most: usize,
    },
    /// The caller has had all of its calls of the day.
    #[error(
        "the {} calls that may be made in a day (UTC) have been made: call again in {} minutes",
        .0.most, .0.resets.as_secs().div_ceil(60)
    )]
    Spent(Spent),
    /// The server asks back, and the caller can't be asked.
    #[error("{0} asks its caller for more before it goes on, which takes MCP 2026-07-28")]
    AsksBack(ToolId),
    /// It was tried, or is not allowed.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl Calls {
    /// Calls of what `live` shows.
    pub fn new(live: Live, caller: Caller) -> Self {
        Self { live, caller, validators: Validators::new(), running: Arc::default() }
    }

    /// The same for those who see what `live` shows.
    pub fn scoped(&self, live: Live) -> Self {
        Self { live, ..self.clone() }
    }

    /// Calls are passed on.
    pub fn are_on(&self) -> bool {
        self.caller.config().enabled
    }

    /// Resolves when that is no longer as `before`.
    pub async fn switched(&self, before: bool) {
        self.caller.switched(before).await;
    }

    /// Passes a call on; it is cancelled when this future is dropped.
    pub async fn pass_on(
        &self,
        asked: Result<Asked, Refused>,
        way: Way,
    ) -> Result<Answered, Refused> {
        let began = Instant::now();
        let counted = metrics::CallUnderWay::begin();
        let named = asked.as_ref().ok().map(|asked| (asked.id.as_str(), &asked.arguments));
        let kept = way.trail.0.begin_call(way.trail.1, &self.live, named);
        let answered = self.answer(asked, way).await;
        let outcome = match &answered {
            Ok(answered) if is_error(&answered.result) => "tool_error",
            Ok(_) => "answered",
            Err(refused) => refused.outcome(),
        };
        counted.ended(outcome, began.elapsed());
        kept.ended(outcome, answered.as_ref().ok().map(|answered| &answered.tool.id));
        // A call that failed says little of what was wanted.
        if let Ok(answered) = &answered
            && outcome == "answered"
        {
            self.live.note_use(&answered.tool.id);
        }
        answered
    }

    async fn answer(&self, asked: Result<Asked, Refused>, way: Way) -> Result<Answered, Refused> {
        // Who may call nothing learns nothing of what there is.
        if !self.are_on() {
            return Err(CallError::Off.into());
        }
        let asked = asked?;
        let tool = self.find(&asked.id).await?;
        self.caller.permits(&tool)?;
        let wrong = self.validators.check(&tool, &asked.arguments).await;
        if !wrong.is_empty() {
            return Err(Refused::Arguments { id: tool.id.clone(), wrong });
        }
        let _counted = self.begin()?;
        let Way { input, progress, purse, .. } = way;
        if let Some(purse) = purse {
            purse.spend().map_err(Refused::Spent)?;
        }
        let asks_back = input.is_none();
        let call = Call { tool, arguments: asked.arguments, input, progress };
        let result = self.caller.call(&call).await?;
        let tool = call.tool;
        if asks_back && wants_input(&result) {
            return Err(Refused::AsksBack(tool.id.clone()));
        }
        Ok(Answered { tool, result })
    }

    /// One more call of this profile, if it may have one.
    fn begin(&self) -> Result<Option<Running>, Refused> {
        let Some(profile) = self.live.profile() else { return Ok(None) };
        let Some(most) = profile.limits.concurrent_calls else { return Ok(None) };
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let count = running.entry(Arc::clone(&profile.name)).or_default();
        Running::within(count, most).map(Some).ok_or(Refused::ProfileBusy { most })
    }

    /// The tool of this id, or the only one of this name, in any spelling.
    pub async fn find(&self, given: &str) -> Result<Arc<Tool>, Refused> {
        if !self.live.is_ready() {
            return Err(Refused::NotReady);
        }
        let index = self.live.index();
        if let Some(tool) = index.catalog.find(given) {
            return Ok(Arc::clone(tool));
        }
        let key = name_key(given);
        let named = index.names.find(given).into_iter().map(|at| index.catalog.tool(at));
        let spelled = |tool: &&Arc<Tool>| {
            let of_server = name_key(&format!("{}{}", tool.server, tool.name));
            name_key(&tool.name) == key || of_server == key || name_key(tool.id.as_str()) == key
        };
        let same: Vec<_> = named.filter(spelled).collect();
        match &same[..] {
            [tool] => return Ok(Arc::clone(tool)),
            [] => {}
            several => {
                let ids = several.iter().take(10).map(|tool| tool.id.as_str());
                let ids = ids.collect::<Vec<_>>().join(", ");
                let told = format!("several tools are called {given:?}: give the id of one, {ids}");
                return Err(Refused::NoTool(told));
            }
        }
        let near = self.near(given).await;
        let suggested = if near.is_empty() {
            String::new()
        } else {
            format!(" (the nearest are {})", near.join(", "))
        };
        Err(Refused::NoTool(format!(
            "no tool has this id{suggested}: take an id from a search_tools result (server/name), or \
             search for the name"
        )))
    }

    async fn near(&self, given: &str) -> Vec<String> {
        let words: String = given.chars().take(200).collect();
        let query = Query {
            texts: vec![words.replace(['/', '_', '-', '.'], " ")],
            limit: Some(SUGGESTED),
            arms: Arms::Lexical,
            ..Query::default()
        };
        let answer = self.live.look_up(&query).await;
        let hits = answer.map(|answer| answer.hits).unwrap_or_default();
        hits.iter().map(|hit| hit.tool.id.to_string()).collect()
    }
}

impl Refused {
    /// For the metric.
    fn outcome(&self) -> &'static str {
        match self {
            Self::Unread(_) | Self::Arguments { .. } => "invalid_arguments",
            Self::NotReady => "not_ready",
            Self::NoTool(_) => "unknown_tool",
            Self::AsksBack(_) => "asks_back",
            Self::ProfileBusy { .. } => "busy",
            Self::Spent(_) => "quota_spent",
            Self::Call(error) => match error {
                CallError::Off
                | CallError::NoneAllowed
                | CallError::ServerOff(_)
                | CallError::NotReadOnly { .. } => "not_allowed",
                CallError::Busy { .. } | CallError::ServerBusy { .. } => "busy",
                CallError::Unavailable { .. } | CallError::Lost { .. } => "unavailable",
                CallError::Auth { .. } => "auth_required",
                CallError::Timeout { .. } => "timeout",
                CallError::Upstream { .. } => "upstream_error",
                CallError::TooLarge { .. } | CallError::Endless { .. } => "too_large",
            },
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let (status, code) = match &refused {
            Refused::Unread(_) => (StatusCode::BAD_REQUEST, "invalid-request"),
            Refused::NotReady => return Self::not_ready(),
            Refused::NoTool(_) => (StatusCode::NOT_FOUND, "unknown-tool"),
            Refused::Arguments { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "invalid-arguments"),
            Refused::AsksBack(_) => (StatusCode::NOT_IMPLEMENTED, "asks-back"),
            Refused::ProfileBusy { .. } => (StatusCode::TOO_MANY_REQUESTS, "busy"),
            Refused::Spent(Spent { resets, .. }) => {
                let told = refused.to_string();
                return Self::new(StatusCode::TOO_MANY_REQUESTS, "quota-spent", told)
                    .after(*resets);
            }
            Refused::Call(error) => match error {
                CallError::Off | CallError::NoneAllowed | CallError::ServerOff(_) => {
                    (StatusCode::FORBIDDEN, "calls-off")
                }
                CallError::NotReadOnly { .. } => (StatusCode::FORBIDDEN, "not-read-only"),
                CallError::Busy { .. } | CallError::ServerBusy { .. } => {
                    (StatusCode::TOO_MANY_REQUESTS, "busy")
                }
                CallError::Unavailable { .. } | CallError::Lost { .. } => {
                    (StatusCode::BAD_GATEWAY, "upstream-unavailable")
                }
                CallError::Auth { .. } => (StatusCode::BAD_GATEWAY, "auth-required"),
                CallError::Timeout { .. } => (StatusCode::GATEWAY_TIMEOUT, "upstream-timeout"),
                CallError::Upstream { .. } => (StatusCode::BAD_GATEWAY, "upstream-error"),
                CallError::TooLarge { .. } | CallError::Endless { .. } => {
                    (StatusCode::BAD_GATEWAY, "result-too-large")
                }
            },
        };
        Self::new(status, code, refused.to_string())
    }
}

/// The arguments of `call_tool`, from whichever way.
pub fn read(arguments: Option<Map<String, Value>>) -> Result<Asked, Refused> {
    arguments::read(arguments.unwrap_or_default()).map_err(Refused::Unread)
}

/// The result says that the tool failed.
fn is_error(result: &str) -> bool {
    member(result, "isError").is_some_and(|value| value == "true")
}

/// The result is a question back.
fn wants_input(result: &str) -> bool {
    // Read, not compared as written: the same word may come with escapes in it.
    let kind = member(result, "resultType").map(serde_json::from_str::<String>);
    kind.is_some_and(|kind| kind.is_ok_and(|kind| kind == "input_required"))
}

/// The text of a member of a result.
pub fn member<'a>(result: &'a str, name: &str) -> Option<&'a str> {
    let raw: &serde_json::value::RawValue = serde_json::from_str(result).ok()?;
    Some(crate::tool::Members::of(raw)?.get(name)?.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_back_is_known_however_it_is_written() {
        for asks in [
            r#"{"resultType":"input_required"}"#,
            r#"{"resultType":"input\u005frequired"}"#,
            r#"{"result\u0054ype" : "\u0069nput_required","n":1e400}"#,
            r#"{"resultType":"complete","resultType":"input_required"}"#,
        ] {
            assert!(wants_input(asks), "{asks}");
        }
        for says in [r#"{"resultType":"complete"}"#, r#"{"resultType":7}"#, "{}", "7"] {
            assert!(!wants_input(says), "{says}");
        }
    }
}
