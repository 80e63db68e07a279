//! `/v1/admin/registries`, and the approval of their servers.
//!
//! Invariant: what is approved here is one server at one address, and only the token can do it.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::{Admin, Done};
use crate::discover::follow::{Followed, Follower, KeptError};
use crate::serve::http::json;
use crate::serve::problem::Problem;

/// The registries that are followed.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct Registries {
    /// How each of them does.
    registries: Vec<Followed>,
}

/// `GET /v1/admin/registries`
pub(super) async fn list(State(admin): State<Admin>) -> Response {
    json(&Registries { registries: admin.follower.status() })
}

/// `POST /v1/admin/registries/servers/{id}/approve`
pub(super) async fn approve(
    State(admin): State<Admin>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    act(admin, path, "approved", |follower, id| follower.approve(id).map(drop)).await
}

/// `POST /v1/admin/registries/servers/{id}/revoke`
pub(super) async fn revoke(
    State(admin): State<Admin>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    act(admin, path, "revoked", Follower::revoke).await
}

async fn act(
    admin: Admin,
    path: Result<Path<String>, PathRejection>,
    done: &'static str,
    work: impl FnOnce(&Follower, &str) -> Result<(), KeptError> + Send + 'static,
) -> Result<Response, Problem> {
    let Path(id) = path?;
    let server = id.clone();
    // It writes files.
    let worked = tokio::task::spawn_blocking(move || work(&admin.follower, &server)).await;
    match worked.map_err(|_| Problem::internal())? {
        Ok(()) => Ok(json(&Done { id, done })),
        Err(error @ KeptError::Unknown(_)) => {
            Err(Problem::new(StatusCode::NOT_FOUND, "unknown-server", error.to_string()))
        }
        Err(error) => {
            tracing::error!("{error}");
            Err(Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "not-kept",
                "the data folder can't be written, and nothing was changed: the log says why",
            ))
        }
    }
}
