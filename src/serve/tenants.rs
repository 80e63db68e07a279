//! Whose toolscout a request is for.
//!
//! Invariant: what its caller showed decides that, and nothing else that stands in a request; the
//! operator alone may name a tenant. What is not a tenant's own is not there for its callers, and
//! nothing that they are told depends on what other tenants there are.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Extension;
use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use schemars::JsonSchema;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::Instrument;

use super::door::Need;
use super::http::json;
use super::oauth::{self, Logins};
use super::problem::Problem;
use super::trail::Trail;
use super::{Rooms, table};
use crate::access::caller::{Caller, Scope};
use crate::live::Live;
use crate::roster::Roster;

/// The header in which an operator names a tenant.
pub const TENANT: &str = "x-toolscout-tenant";

/// What is served of whom; a cheap handle.
#[derive(Clone, Default)]
pub struct Tenants(Arc<ArcSwap<BTreeMap<Arc<str>, Tenant>>>);

#[derive(Clone)]
enum Tenant {
    Starting,
    Failed(Arc<str>),
    Serving(Arc<Serving>),
}

/// What is there for the callers of a tenant, and nothing else.
struct Serving {
    /// By the path as it stands in the main router, which has read a request's path already.
    routes: HashMap<String, MethodRouter>,
    live: Live,
    logins: Arc<Logins>,
    roster: Option<Roster>,
}

impl Tenants {
    /// It is about to be served.
    pub fn begin(&self, name: &str) {
        self.set(name, &Tenant::Starting);
    }

    /// It can't be served, for a reason that operators are told.
    pub fn fail(&self, name: &str, reason: impl Into<Arc<str>>) {
        self.set(name, &Tenant::Failed(reason.into()));
    }

    /// Serves it from these rooms; `shutdown` ends its streams.
    pub fn serve(&self, name: &str, rooms: Rooms, shutdown: &CancellationToken) {
        let (live, logins) = (rooms.live.clone(), Arc::clone(&rooms.logins));
        let roster = rooms.admin.as_ref().map(|admin| admin.roster.clone());
        let one = |(path, route): (String, MethodRouter)| {
            // MCP takes every method itself.
            let is_mcp = path.ends_with("/mcp");
            let wrong = || async { Problem::wrong_method() };
            (path, if is_mcp { route } else { route.fallback(wrong) })
        };
        let routes = table(rooms, shutdown).into_iter().map(one).collect();
        self.set(name, &Tenant::Serving(Arc::new(Serving { routes, live, logins, roster })));
    }

    /// Serves only these from now on.
    pub fn keep(&self, keep: impl Fn(&str) -> bool) {
        self.0.rcu(|tenants| {
            let mut tenants = BTreeMap::clone(tenants);
            tenants.retain(|name, _| keep(name));
            tenants
        });
    }

    /// There are some.
    pub fn are_there(&self) -> bool {
        !self.0.load().is_empty()
    }

    /// The indexes of those that are served, by name.
    pub fn lives(&self) -> Vec<(Arc<str>, Live)> {
        let serving = |(name, tenant): (&Arc<str>, &Tenant)| match tenant {
            Tenant::Serving(serving) => Some((Arc::clone(name), serving.live.clone())),
            Tenant::Starting | Tenant::Failed(_) => None,
        };
        self.0.load().iter().filter_map(serving).collect()
    }

    /// Whose login a browser is about to begin or to end. It shows nobody's proof; what it has is a
    /// ticket or a state, which nobody can guess and which are one tenant's.
    fn of_login(&self, request: &Request) -> Option<Arc<str>> {
        let path = request.extensions().get::<MatchedPath>()?;
        if !oauth::PATHS.contains(&path.as_str()) {
            return None;
        }
        let query = request.uri().query()?;
        let knows = |(name, tenant): (&Arc<str>, &Tenant)| match tenant {
            Tenant::Serving(serving) if serving.logins.knows(query) => Some(Arc::clone(name)),
            _ => None,
        };
        self.0.load().iter().find_map(knows)
    }

    fn set(&self, name: &str, tenant: &Tenant) {
        self.0.rcu(|tenants| {
            let mut tenants = BTreeMap::clone(tenants);
            tenants.insert(name.into(), tenant.clone());
            tenants
        });
    }

    fn get(&self, name: &str) -> Option<Tenant> {
        self.0.load().get(name).cloned()
    }
}

/// The layer that leaves the requests of a tenant's callers to that tenant's routes. Behind the door.
pub async fn dispatch(State(tenants): State<Tenants>, request: Request, next: Next) -> Response {
    match whose(&tenants, &request) {
        Err(problem) => problem.into_response(),
        Ok(None) => next.run(request).await,
        Ok(Some((name, by_operator))) => {
            let span = tracing::info_span!("of", tenant = &*name);
            answer(&tenants, &name, by_operator, request, next).instrument(span).await
        }
    }
}

/// The tenant that a request is for, and whether an operator says so.
fn whose(tenants: &Tenants, request: &Request) -> Result<Option<(Arc<str>, bool)>, Problem> {
    let caller = request.extensions().get::<Caller>();
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    // What everybody is told is the same for everybody.
    if path.is_some_and(|path| Need::of(path) == Need::Nothing && !oauth::PATHS.contains(&path)) {
        return Ok(None);
    }
    if let Some(tenant) = caller.and_then(|caller| caller.tenant.as_ref()) {
        return Ok(Some((Arc::clone(tenant), false)));
    }
    let mut named = request.headers().get_all(TENANT).iter();
    match (named.next(), named.next()) {
        (Some(name), None) if is_operator(caller) => {
            let name = name.to_str().map_err(|_| unknown())?;
            Ok(Some((name.into(), true)))
        }
        (Some(_), Some(_)) if is_operator(caller) => {
            Err(Problem::invalid("two tenants are named: name one"))
        }
        _ => Ok(tenants.of_login(request).map(|name| (name, false))),
    }
}

async fn answer(
    tenants: &Tenants,
    name: &Arc<str>,
    by_operator: bool,
    mut request: Request,
    next: Next,
) -> Response {
    let serving = match tenants.get(name) {
        Some(Tenant::Serving(serving)) => serving,
        Some(Tenant::Starting) => return Problem::not_ready().into_response(),
        Some(Tenant::Failed(_)) => return unavailable().into_response(),
        None if by_operator => return unknown().into_response(),
        None => return nobody().into_response(),
    };
    let path = request.extensions().get::<MatchedPath>();
    // Where there is no such path it is the same for all.
    let Some(path) = path else { return next.run(request).await };
    let Some(route) = serving.routes.get(path.as_str()).cloned() else {
        return Problem::no_route().into_response();
    };
    if let Some(trail) = request.extensions().get::<Trail>() {
        trail.note_tenant(name);
    }
    if by_operator && let Some(caller) = request.extensions_mut().get_mut::<Caller>() {
        caller.tenant = Some(Arc::clone(name));
    }
    match route.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// What belongs to the process is for operators: who has the right to administer, and is of no
/// tenant.
pub fn is_operator(caller: Option<&Caller>) -> bool {
    caller.is_some_and(|caller| caller.tenant.is_none() && caller.scopes.has(Scope::Admin))
}

fn unknown() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "unknown-tenant",
        "no tenant of this name is served: GET /v1/admin/tenants lists them",
    )
}

/// The same words whether it never was or was switched off.
fn nobody() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "not-served",
        "what was shown is good for nothing that is served here: ask whoever runs this toolscout",
    )
}

fn unavailable() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "not-available",
        "this can't be served at the moment: ask whoever runs this toolscout",
    )
}

/// Every tenant.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TenantList {
    /// Ordered by name.
    pub tenants: Vec<KnownTenant>,
}

/// A tenant.
#[derive(Debug, Serialize, JsonSchema)]
pub struct KnownTenant {
    /// Its name.
    pub name: String,
    /// `starting`, `serving` or `failed`.
    pub state: &'static str,
    /// Why it is not served, or why its latest configuration is not in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The generation of its index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// How many servers it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub servers: Option<usize>,
    /// How many tools it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<usize>,
}

/// `GET /v1/admin/tenants`
pub async fn list(Extension(tenants): Extension<Tenants>) -> Response {
    let one = |(name, tenant): (&Arc<str>, &Tenant)| {
        let known = |state, error| KnownTenant {
            name: name.to_string(),
            state,
            error,
            generation: None,
            servers: None,
            tools: None,
        };
        match tenant {
            Tenant::Starting => known("starting", None),
            Tenant::Failed(why) => known("failed", Some(why.to_string())),
            Tenant::Serving(serving) => {
                let status = serving.live.status();
                let error = serving.roster.as_ref().and_then(|roster| roster.loaded().error);
                KnownTenant {
                    generation: Some(status.generation),
                    servers: Some(serving.live.servers().len()),
                    tools: Some(status.total),
                    ..known("serving", error)
                }
            }
        }
    };
    json(&TenantList { tenants: tenants.0.load().iter().map(one).collect() })
}
