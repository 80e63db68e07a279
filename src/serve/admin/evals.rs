//! `/v1/admin/evals`: the search scored on labelled queries, in the background.
//!
//! Invariant: an operator sees what was evaluated for their own service alone; nothing is done on the
//! runtime's threads, of whole files and results no more than [`AT_ONCE`] are in memory, and no route waits
//! for an evaluation.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::super::http::{Params, json};
use super::super::problem::Problem;
use super::{Admin, Done};
use crate::eval::Metric;
use crate::quality::{Evaluator, MOST_BYTES, QualityError, QueryFile, Status, Wanted};
use crate::search::Arms;

/// Where evaluations begin.
pub const PATH: &str = "/v1/admin/evals";
/// The largest body there: a query file of the most bytes, with what JSON adds to it.
const MAX_BODY_BYTES: usize = MOST_BYTES + MOST_BYTES / 4;
/// Requests that read files and results at once, of all operators.
const AT_ONCE: usize = 2;
/// What a file without a name is called.
const NAMELESS: &str = "queries";

/// An evaluation that is to begin.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEval {
    /// The query file itself, as `toolscout eval` reads it: a JSON object a line.
    #[serde(default)]
    queries: Option<String>,
    /// In its place, the name of a file that is offered.
    #[serde(default)]
    file: Option<String>,
    /// What it is called; absent, as the file.
    #[serde(default)]
    name: Option<String>,
    /// How many tools an answer has; absent, as for a caller who names no limit.
    #[serde(default)]
    limit: Option<usize>,
    /// Which arms rank; absent, both.
    #[serde(default)]
    arms: Arms,
}

/// Every evaluation.
#[derive(Serialize, JsonSchema)]
pub struct EvalList {
    /// The newest first.
    evals: Vec<Status>,
}

/// What can be evaluated without sending it.
#[derive(Serialize, JsonSchema)]
pub struct QueryFileList {
    /// The demo's first, then by name.
    files: Vec<QueryFile>,
}

/// The largest body that is taken at a path, where it is not that of all.
pub fn most_bytes(path: &str) -> Option<usize> {
    (path == PATH).then_some(MAX_BODY_BYTES)
}

/// `POST /v1/admin/evals`, with a bound of its own on the body.
pub(super) fn create_route() -> MethodRouter<Admin> {
    post(create).layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
}

/// `GET /v1/admin/evals`
pub(super) async fn list(State(admin): State<Admin>) -> Result<Response, Problem> {
    let list = ask(admin, |evaluator| Ok(EvalList { evals: evaluator.list() })).await?;
    Ok(json(&list))
}

/// `GET /v1/admin/evals/files`
pub(super) async fn files(State(admin): State<Admin>) -> Result<Response, Problem> {
    let list = ask(admin, |evaluator| Ok(QueryFileList { files: evaluator.files() })).await?;
    Ok(json(&list))
}

/// `POST /v1/admin/evals`
async fn create(
    State(admin): State<Admin>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::larger_than(MAX_BODY_BYTES),
        _ => rejection.into(),
    })?;
    let begun = ask(admin, move |evaluator| {
        let new: NewEval = serde_json::from_slice(&body).map_err(|error| {
            Problem::invalid(format!("the body is no evaluation to begin: {error}"))
        })?;
        drop(body);
        let NewEval { queries, file, name, limit, arms } = new;
        let (usual, queries) = match (queries, file) {
            (Some(text), None) => {
                let name = name.as_deref().unwrap_or(NAMELESS);
                (NAMELESS.to_owned(), Evaluator::text(name, &text)?)
            }
            (None, Some(file)) => {
                let queries = evaluator.file(&file)?;
                (file, queries)
            }
            _ => {
                let told = "send queries, or name a file that is offered: one of both";
                return Err(Problem::invalid(told));
            }
        };
        let name = name.filter(|name| !name.trim().is_empty()).unwrap_or(usual);
        Ok(evaluator.begin(Wanted { name, queries, limit, arms })?)
    });
    Ok((StatusCode::ACCEPTED, json(&begun.await?)).into_response())
}

/// `GET /v1/admin/evals/{id}`
pub(super) async fn show(
    State(admin): State<Admin>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(id) = path?;
    Ok(json(&ask(admin, move |evaluator| Ok(evaluator.show(&id)?)).await?))
}

/// `DELETE /v1/admin/evals/{id}`
pub(super) async fn remove(
    State(admin): State<Admin>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(id) = path?;
    let done = ask(admin, move |evaluator| {
        evaluator.remove(&id)?;
        Ok(Done { id, done: "removed" })
    });
    Ok(json(&done.await?))
}

/// `GET /v1/admin/evals/{id}/compare`
pub(super) async fn compare(
    State(admin): State<Admin>,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let Path(id) = path?;
    let params = Params::parse(query.as_deref(), &["baseline", "metric"])?;
    let baseline = params.one("baseline")?.map(str::to_owned);
    let baseline =
        baseline.ok_or_else(|| Problem::invalid("name what to compare with: ?baseline=ID"))?;
    let metric = match params.one("metric")? {
        None => Metric::Recall5,
        Some(name) => {
            Metric::ALL.into_iter().find(|metric| metric.name() == name).ok_or_else(|| {
                let known = Metric::ALL.map(Metric::name).join(", ");
                Problem::invalid(format!("metric must be one of {known}"))
            })?
        }
    };
    let compared = ask(admin, move |evaluator| Ok(evaluator.compare(&baseline, &id, metric)?));
    Ok(json(&compared.await?))
}

async fn ask<T: Send + 'static>(
    admin: Admin,
    ask: impl FnOnce(&Evaluator) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    in_turn(move || ask(&admin.evaluator)).await?
}

/// On a thread that may wait: files are read, and comparing takes its time.
async fn in_turn<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    static TURNS: Semaphore = Semaphore::const_new(AT_ONCE);
    let turn = TURNS.acquire().await;
    let work = move || {
        // Also where nobody waits for it any more.
        let _turn = turn;
        work()
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| Problem::internal())
}

impl From<QualityError> for Problem {
    fn from(error: QualityError) -> Self {
        let (status, code) = match &error {
            QualityError::Queries(_) | QualityError::NoQuery(_) => {
                (StatusCode::BAD_REQUEST, "invalid-queries")
            }
            QualityError::TooMuch { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too-many-queries"),
            QualityError::Limit(_) => (StatusCode::BAD_REQUEST, "limit-out-of-range"),
            QualityError::NoFile(_) => (StatusCode::NOT_FOUND, "unknown-file"),
            QualityError::Unknown(_) => (StatusCode::NOT_FOUND, "unknown-eval"),
            QualityError::NotDone(_) => (StatusCode::CONFLICT, "not-done"),
            QualityError::NotReady => (StatusCode::SERVICE_UNAVAILABLE, "not-ready"),
            QualityError::Full => (StatusCode::TOO_MANY_REQUESTS, "too-many-evals"),
            QualityError::NoRoom => (StatusCode::SERVICE_UNAVAILABLE, "no-room"),
            QualityError::Closed => return Self::draining(),
            QualityError::Unread(..) | QualityError::NoThread(_) | QualityError::Kept(_) => {
                tracing::error!("{error}");
                let told = "the data folder can't be read or written, or the system gives no thread: \
                            the log says which";
                return Self::new(StatusCode::INTERNAL_SERVER_ERROR, "not-kept", told);
            }
        };
        Self::new(status, code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn few_are_worked_on_at_once_also_where_nobody_waits_for_them() {
        let at_work = Arc::new(AtomicUsize::new(0));
        let (let_through, gate) = std::sync::mpsc::channel::<()>();
        let gate = Arc::new(std::sync::Mutex::new(gate));
        let begin = || {
            let (at_work, gate) = (Arc::clone(&at_work), Arc::clone(&gate));
            tokio::spawn(in_turn(move || {
                at_work.fetch_add(1, Ordering::SeqCst);
                let _ = gate.lock().unwrap().recv();
                at_work.fetch_sub(1, Ordering::SeqCst)
            }))
        };
        let first: Vec<_> = (0..AT_ONCE).map(|_| begin()).collect();
        while at_work.load(Ordering::SeqCst) < AT_ONCE {
            tokio::task::yield_now().await;
        }
        first.iter().for_each(tokio::task::JoinHandle::abort);
        let others: Vec<_> = (0..4).map(|_| begin()).collect();
        for _ in 0..AT_ONCE + others.len() {
            let_through.send(()).unwrap();
        }
        for other in others {
            let before = other.await.unwrap().unwrap();
            assert!((1..=AT_ONCE).contains(&before), "{before}");
        }
    }
}
