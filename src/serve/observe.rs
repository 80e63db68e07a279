//! What happens around every request: an id, a log line, metrics, a time limit, and the writing
//! of problems.
//!
//! Invariant: every response carries `x-request-id`, every problem body the same id, and nothing
//! is kept by caches on the way unless its route says so.

use std::any::Any;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rmcp::service::{RequestContext, RoleServer};
use tracing::Instrument;

use super::limits::Seat;
use super::problem::Problem;
use super::trail::Trail;
use super::{headers, limits, metrics};
use crate::access::caller::{Caller, Peer};
use crate::activity::Activity;
use crate::audit::Audit;
use crate::telemetry::{self, Switches};

/// The header that carries a request's id.
pub const REQUEST_ID: &str = "x-request-id";

/// The longest id of a client's that is kept.
const MAX_ID: usize = 128;

/// What becomes of what is observed: goes with every request.
#[derive(Clone, Default)]
pub struct Observer {
    /// Where events are kept.
    pub audit: Audit,
    /// What can be switched while it runs.
    pub switches: Switches,
    /// A line in the log for each request.
    pub access_log: bool,
    /// Where those are counted that are not let in.
    pub activity: Option<Activity>,
}

/// The outermost middleware.
pub async fn observe(mut request: Request, next: Next) -> Response {
    let id = id_of(request.headers());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let method = request.method().clone();
    // Without its query, where what was asked and codes of logins stand.
    let path = request.uri().path().to_owned();
    let began = Instant::now();
    let span = tracing::info_span!("request", %id, %method, route);
    telemetry::join(&span, request.headers());
    let observer = request.extensions().get::<Observer>().cloned().unwrap_or_default();
    let address = request.extensions().get::<Peer>().map(|peer| peer.address);
    let trail = Trail::of_request(observer.audit, id.as_str().into(), address, span.clone());
    request.extensions_mut().insert(trail.clone());
    let ending = trail.begin(&method, &route, &path);
    let mut response = next.run(request).instrument(span.clone()).await;
    if let Some(caller) = response.extensions().get::<Caller>() {
        trail.note(caller);
    }
    let problem = response.extensions_mut().remove::<Problem>();
    if let Some(problem) = &problem {
        write_problem(&mut response, problem, &id);
    }
    // Those are counted, and told of by whoever refuses: under load a line each costs more than the
    // refusal, and hides all others.
    let is_shed = problem.is_some_and(|problem| problem.code == limits::OVERLOADED);
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    // All that is told here is told of this moment.
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    let took = began.elapsed();
    let status = response.status();
    metrics::count_request(&route, &method, status.as_u16(), took);
    ending.answered(status);
    let is_turned_away = is_shed || matches!(status.as_u16(), 401 | 403 | 429);
    if let Some(activity) = &observer.activity
        && is_turned_away
        && trail.is_counted(&route)
    {
        activity.note_turned_away();
    }
    span.in_scope(|| {
        if status.is_server_error() && !is_shed {
            tracing::warn!(status = status.as_u16(), ?took, "answered");
        } else if observer.access_log {
            tracing::info!(status = status.as_u16(), ?took, "answered");
        } else {
            tracing::debug!(status = status.as_u16(), ?took, "answered");
        }
    });
    response
}

/// The answer to a request that goes no further: with an id and counted, as all are, and no more.
pub fn refuse(method: &Method, headers: &HeaderMap, problem: &Problem) -> Response {
    let mut response = problem.status.into_response();
    let id = id_of(headers);
    write_problem(&mut response, problem, &id);
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers::add(headers);
    metrics::count_refused(method, problem.status.as_u16());
    response
}

/// The id that the client gave its request, if that can stand in a log as it is; else a new one.
fn id_of(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let plain = |id: &&str| {
        (1..=MAX_ID).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
    };
    given.filter(plain).map_or_else(|| format!("{:016x}", fastrand::u64(..)), str::to_owned)
}

fn write_problem(response: &mut Response, problem: &Problem, id: &str) {
    // Only strings and a number: this can't fail to be written.
    let body = serde_json::to_vec(&problem.body(id)).unwrap_or_default();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.remove(header::CONTENT_LENGTH);
    let usual = (problem.status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
    if let Some(seconds) = problem.retry_after.or(usual) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    *response.body_mut() = Body::from(body);
}

/// Goes with a request whose handler may lift the time limit, having one of its own, and give up the
/// seat, since it waits for somebody else.
#[derive(Clone, Default)]
pub struct Lifted(Arc<Lift>);

#[derive(Default)]
struct Lift {
    lifted: AtomicBool,
    seat: Mutex<Option<Arc<Seat>>>,
}

impl Lifted {
    /// There is no limit any more.
    pub fn lift(&self) {
        self.0.lifted.store(true, Ordering::SeqCst);
        self.leave();
    }

    /// That of a request over MCP.
    pub fn of_mcp(context: &RequestContext<RoleServer>) -> Self {
        let parts = context.extensions.get::<Parts>();
        parts.and_then(|parts| parts.extensions.get::<Self>()).cloned().unwrap_or_default()
    }

    /// Holds a seat until it is lifted, or what this returns is dropped.
    pub fn hold(&self, seat: Seat) -> impl Drop + use<> {
        *self.seat() = Some(Arc::new(seat));
        Leaves(self.clone())
    }

    /// The seat, if there is one, for work that goes on where nobody waits for it any more: it is not
    /// free before that has ended.
    pub fn held(&self) -> Option<Arc<Seat>> {
        self.seat().clone()
    }

    fn is_lifted(&self) -> bool {
        self.0.lifted.load(Ordering::SeqCst)
    }

    fn leave(&self) {
        // Apart from the lock: whoever is next gets it.
        let seat = self.seat().take();
        drop(seat);
    }

    fn seat(&self) -> std::sync::MutexGuard<'_, Option<Arc<Seat>>> {
        self.0.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Lifted {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

struct Leaves(Lifted);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// Gives up on a request that takes too long.
pub async fn limit_time(
    State(limit): State<Duration>,
    mut request: Request,
    next: Next,
) -> Response {
    let lifted = Lifted::default();
    request.extensions_mut().insert(lifted.clone());
    let mut answer = std::pin::pin!(next.run(request));
    match tokio::time::timeout(limit, &mut answer).await {
        Ok(answer) => answer,
        Err(_) if lifted.is_lifted() => answer.await,
        Err(_) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "timeout",
            "this took too long and was given up: try again",
        )
        .into_response(),
    }
}

/// The answer to a request whose handler panicked; the panic itself goes to the log.
#[expect(clippy::needless_pass_by_value, reason = "the signature tower-http asks for")]
pub fn on_panic(panic: Box<dyn Any + Send + 'static>) -> Response {
    let reason = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("unknown");
    tracing::error!(reason, "a handler panicked");
    Problem::internal().into_response()
}
