//! How this toolscout does, for what watches over it: `/livez`, `/readyz`, `/health`.
//!
//! Invariant: ready is whatever can answer a search, degraded or not, and does not mean to leave;
//! servers are counted, and named to those alone who may administer.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::http;
use super::problem::Problem;
use super::tenants;
use super::wire::state_name;
use crate::access::caller::Caller;
use crate::live::{Live, ServerState, ServerStatus};
use crate::roster::Roster;
use crate::tool::ServerId;
use crate::troubles::Troubles;

/// How long open requests may take to end, unless the operator says otherwise.
pub const DRAIN: Duration = Duration::from_secs(10);

/// Servers in these states are worth a word.
const ILL: [(ServerState, &str); 3] = [
    (ServerState::Stale, "not crawled of late: their tools are those of the last good crawl"),
    (ServerState::Failed, "not reached: their tools are missing"),
    (ServerState::AuthRequired, "waiting for credentials"),
];

/// What is told of the process beside its index, and how it ends.
#[derive(Debug, Clone)]
pub struct Vitals {
    /// What is wrong with it.
    pub troubles: Troubles,
    /// It is about to stop: it still answers, and is to be sent nothing new.
    pub leaving: CancellationToken,
    /// How long open requests may take to end then.
    pub drain: Duration,
}

impl Default for Vitals {
    fn default() -> Self {
        let (troubles, leaving) = (Troubles::default(), CancellationToken::new());
        Self { troubles, leaving, drain: DRAIN }
    }
}

/// What the routes go by.
#[derive(Clone)]
pub(super) struct Watched {
    pub(super) vitals: Vitals,
    /// Vectors are wanted: without them answers are less than they should be.
    pub(super) wants_vectors: bool,
    /// Knows whether the configuration could be read anew.
    pub(super) roster: Option<Roster>,
}

/// The answer of `/livez`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Alive {
    /// `ok`.
    status: &'static str,
    /// Number of the published generation; 0 before the first.
    generation: u64,
}

/// The answer of `/readyz`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Ready {
    /// `ok`, or `degraded` where something below is named.
    status: &'static str,
    /// Number of the published generation.
    generation: u64,
    /// What does not do as it should; searches are answered all the same.
    degraded: Vec<Degraded>,
}

/// Something that does not do as it should.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Degraded {
    /// `search`, `servers`, `configuration`, `snapshot`, …
    part: &'static str,
    /// What is wrong with it.
    why: String,
    /// The servers' ids, for operators who are of no tenant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    servers: Vec<String>,
}

/// The answer of `/health`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Health {
    /// `healthy` or `unhealthy`.
    status: &'static str,
    /// The version of toolscout.
    version: &'static str,
}

/// `GET /livez`
pub(super) async fn livez(State(live): State<Live>) -> Response {
    http::json(&Alive { status: "ok", generation: live.status().generation })
}

/// `GET /readyz`
pub(super) async fn readyz(
    State(live): State<Live>,
    Extension(watched): Extension<Watched>,
    caller: Option<Extension<Caller>>,
) -> Response {
    if watched.vitals.leaving.is_cancelled() {
        return Problem::draining().into_response();
    }
    if !live.is_ready() {
        return Problem::not_ready().into_response();
    }
    let may_know = tenants::is_operator(caller.as_deref());
    let degraded = watched.degraded(&live, may_know);
    let status = if degraded.is_empty() { "ok" } else { "degraded" };
    http::json(&Ready { status, generation: live.status().generation, degraded })
}

/// `GET /health`
pub(super) async fn health(
    State(live): State<Live>,
    Extension(watched): Extension<Watched>,
) -> Response {
    let well = live.is_ready() && !watched.vitals.leaving.is_cancelled();
    let (code, status) = if well {
        (StatusCode::OK, "healthy")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "unhealthy")
    };
    (code, http::json(&Health { status, version: env!("CARGO_PKG_VERSION") })).into_response()
}

impl Watched {
    fn degraded(&self, live: &Live, may_know: bool) -> Vec<Degraded> {
        let part = |part, why| Degraded { part, why, servers: Vec::new() };
        let mut degraded = Vec::new();
        if let Some(reason) = live.status().reason.filter(|_| self.wants_vectors) {
            degraded.push(part("search", reason));
        }
        degraded.extend(ill(&live.servers(), may_know));
        if self.roster.as_ref().is_some_and(|roster| roster.loaded().error.is_some()) {
            let why = "it could not be read anew, and the one before it is in force: the log and \
                GET /v1/admin/config say why";
            degraded.push(part("configuration", why.into()));
        }
        degraded.extend(self.vitals.troubles.all().into_iter().map(|(name, why)| part(name, why)));
        degraded
    }
}

fn ill(servers: &BTreeMap<ServerId, ServerStatus>, may_know: bool) -> Vec<Degraded> {
    let of_state = |(state, said): (ServerState, &str)| {
        let ids = servers.iter().filter(|(_, server)| server.state == state);
        let ids: Vec<String> = ids.map(|(id, _)| id.to_string()).collect();
        (!ids.is_empty()).then(|| Degraded {
            part: "servers",
            why: format!("{} {}: {said}", ids.len(), state_name(state)),
            servers: if may_know { ids } else { Vec::new() },
        })
    };
    ILL.into_iter().filter_map(of_state).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_counted_for_everyone_and_named_to_those_who_may_administer() {
        let status = |state| ServerStatus {
            state,
            title: None,
            protocol: None,
            transport: "http",
            tools: None,
            ttl: None,
            private: false,
            crawled_at: None,
            next_crawl: None,
            error: None,
            failures: 0,
            defects: Vec::new(),
        };
        let servers = [
            ("a", ServerState::Failed),
            ("b", ServerState::Ready),
            ("c", ServerState::Failed),
            ("d", ServerState::Stale),
        ];
        let servers = servers.map(|(id, state)| (ServerId::from(id), status(state))).into();
        let told = |may_know| -> Vec<(String, Vec<String>)> {
            let told = ill(&servers, may_know).into_iter();
            told.map(|one| (one.why[..4].to_owned(), one.servers)).collect()
        };
        let nobody = Vec::new;
        assert_eq!(told(false), [("1 st".into(), nobody()), ("2 fa".into(), nobody())]);
        let named =
            [("1 st".into(), vec!["d".into()]), ("2 fa".into(), vec!["a".into(), "c".into()])];
        assert_eq!(told(true), named);
    }
}
