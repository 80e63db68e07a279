//! `/v1/admin`: what changes the servers while it runs.
//!
//! Invariant: the door lets nobody in here but those who administer, and no route takes an entry that starts a
//! command or names a file of this machine.

pub(super) mod evals;
pub mod keys;
pub(super) mod registry;

use std::sync::Arc;
use std::time::SystemTime;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use serde::Serialize;
use serde_json::Value;

use super::activity;
use super::decide;
use super::http::json;
use super::learned;
use super::oauth::Logins;
use super::problem::Problem;
use super::profiles;
use crate::config::AddedServer;
use crate::discover::follow::Follower;
use crate::live::Live;
use crate::quality::Evaluator;
use crate::roster::{Roster, RosterError};
use crate::tool::ServerId;

/// What the routes need.
#[derive(Clone)]
pub struct Admin {
    /// The servers.
    pub roster: Roster,
    /// The registries that are followed.
    pub follower: Follower,
    /// The index, whose writer decides on definitions.
    pub live: Live,
    /// What scores the search on labelled queries.
    pub evaluator: Evaluator,
}

/// A server to be added.
#[derive(schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct NewServer {
    /// Its id.
    pub id: String,
    /// How it is reached.
    #[schemars(flatten)]
    pub server: AddedServer,
}

/// That it was done.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct Done {
    /// The server's id.
    pub id: String,
    /// What was done, in a word.
    pub done: &'static str,
}

/// The configuration in force.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct ConfigStatus {
    /// Seconds since it was read.
    pub age_s: u64,
    /// Why a later one is not in force.
    pub error: Option<String>,
}

/// Every route, by its path.
pub(super) fn table(admin: &Admin) -> impl Iterator<Item = (&'static str, MethodRouter)> {
    routes().into_iter().map(|(path, route)| (path, route.with_state(admin.clone())))
}

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<Admin>)> {
    vec![
        ("/v1/admin/activity", get(activity::show)),
        ("/v1/admin/config", get(config)),
        ("/v1/admin/reload", post(reload)),
        ("/v1/admin/keys", get(keys::list).post(keys::create)),
        ("/v1/admin/keys/{id}", delete(keys::revoke)),
        ("/v1/admin/keys/{id}/rotate", post(keys::rotate)),
        ("/v1/admin/servers/{id}/login", post(login)),
        ("/v1/admin/servers", post(add)),
        ("/v1/admin/servers/{id}", delete(remove)),
        ("/v1/admin/servers/{id}/pause", post(pause)),
        ("/v1/admin/servers/{id}/resume", post(resume)),
        ("/v1/admin/servers/{id}/refresh", post(refresh)),
        ("/v1/admin/registries/servers/{id}/approve", post(registry::approve)),
        ("/v1/admin/registries/servers/{id}/revoke", post(registry::revoke)),
        ("/v1/admin/registries", get(registry::list)),
        ("/v1/admin/learned", get(learned::list).delete(learned::forget)),
        (evals::PATH, get(evals::list).merge(evals::create_route())),
        ("/v1/admin/evals/files", get(evals::files)),
        ("/v1/admin/evals/{id}", get(evals::show).delete(evals::remove)),
        ("/v1/admin/evals/{id}/compare", get(evals::compare)),
        ("/v1/admin/pending", get(decide::pending)),
        ("/v1/admin/profiles", get(profiles::list)),
        ("/v1/admin/servers/{id}/approve", post(decide::approve)),
        ("/v1/admin/servers/{id}/reject", post(decide::reject)),
    ]
}

/// `GET /v1/admin/config`
async fn config(State(admin): State<Admin>) -> Response {
    let loaded = admin.roster.loaded();
    let age = SystemTime::now().duration_since(loaded.at).unwrap_or_default();
    json(&ConfigStatus { age_s: age.as_secs(), error: loaded.error })
}

/// `POST /v1/admin/reload`
async fn reload(State(admin): State<Admin>) -> Result<Response, Problem> {
    // It reads files.
    let reloaded = tokio::task::spawn_blocking(move || admin.roster.reload()).await;
    Ok(json(&reloaded.map_err(|_| Problem::internal())??))
}

/// `POST /v1/admin/servers`
async fn add(
    State(admin): State<Admin>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let Some((id, server)) = new_server(&body?) else {
        // Not serde's own words: they could quote a value.
        return Err(Problem::invalid(
            "the body is no server: it needs id and url, and takes title, headers, bearer_token, \
             allow, deny, timeout and refresh",
        ));
    };
    let new = ServerId::from(id.as_str());
    change(admin, move |roster| roster.add(new, server)).await?;
    Ok((StatusCode::CREATED, json(&Done { id, done: "added" })).into_response())
}

/// [`NewServer`], whose entry refuses every key that it does not know: serde can't do both.
fn new_server(body: &[u8]) -> Option<(String, AddedServer)> {
    let mut entry: serde_json::Map<String, Value> = serde_json::from_slice(body).ok()?;
    let Some(Value::String(id)) = entry.remove("id") else {
        return None;
    };
    Some((id, serde_json::from_value(Value::Object(entry)).ok()?))
}

/// `DELETE /v1/admin/servers/{id}`
async fn remove(
    State(admin): State<Admin>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    act(admin, path, "removed", Roster::remove).await
}

/// `POST /v1/admin/servers/{id}/pause`
async fn pause(
    State(admin): State<Admin>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    act(admin, path, "paused", |roster, id| roster.pause(id, true)).await
}

/// `POST /v1/admin/servers/{id}/resume`
async fn resume(
    State(admin): State<Admin>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    act(admin, path, "resumed", |roster, id| roster.pause(id, false)).await
}

/// `POST /v1/admin/servers/{id}/refresh`
async fn refresh(
    State(admin): State<Admin>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(id) = path?;
    if admin.roster.refresh(&id.as_str().into())? {
        return Ok(json(&Done { id, done: "being crawled" }));
    }
    Err(Problem::new(
        StatusCode::CONFLICT,
        "not-crawled",
        "this server is switched off, paused or not approved: resume it first",
    ))
}

/// `POST /v1/admin/servers/{id}/login`
async fn login(
    Extension(logins): Extension<Arc<Logins>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(id) = path?;
    Ok(json(&logins.ticket(&id)?))
}

async fn act(
    admin: Admin,
    path: Result<Path<String>, PathRejection>,
    done: &'static str,
    work: impl FnOnce(&Roster, &ServerId) -> Result<(), RosterError> + Send + 'static,
) -> Result<Response, Problem> {
    let Path(id) = path?;
    let server = ServerId::from(id.as_str());
    change(admin, move |roster| work(roster, &server)).await?;
    Ok(json(&Done { id, done }))
}

/// A change is written to disk before it is in force.
async fn change(
    admin: Admin,
    work: impl FnOnce(&Roster) -> Result<(), RosterError> + Send + 'static,
) -> Result<(), Problem> {
    let worked = tokio::task::spawn_blocking(move || work(&admin.roster)).await;
    worked.map_err(|_| Problem::internal())?.map_err(Problem::from)
}

impl From<RosterError> for Problem {
    fn from(error: RosterError) -> Self {
        let (status, code) = match &error {
            RosterError::Unknown(_) => (StatusCode::NOT_FOUND, "unknown-server"),
            RosterError::Taken(_) => (StatusCode::CONFLICT, "server-exists"),
            RosterError::Configured(_) => (StatusCode::CONFLICT, "server-configured"),
            RosterError::Entry(_) => (StatusCode::BAD_REQUEST, "invalid-server"),
            RosterError::Configuration(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid-configuration")
            }
            RosterError::Kept(..) | RosterError::Unreadable(..) => {
                tracing::error!("{error}");
                return Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "not-kept",
                    "the data folder can't be written, and nothing was changed: the log says why",
                );
            }
        };
        Self::new(status, code, error.to_string())
    }
}
