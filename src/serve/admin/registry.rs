//! `/v1/admin/registries`, and the approval of their servers.
//!
//! Invariant: what is approved here is one server at one address, and only the token can do it.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};

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

/// What is approved.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproveServer {
    /// The address that was looked at: where the server is elsewhere by now, nothing is done.
    #[serde(default)]
    pub url: Option<String>,
}

/// `GET /v1/admin/registries`
pub(super) async fn list(State(admin): State<Admin>) -> Response {
    json(&Registries { registries: admin.follower.status() })
}

/// `POST /v1/admin/registries/servers/{id}/approve`
pub(super) async fn approve(
    State(admin): State<Admin>,
    path: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = body?;
    let asked: ApproveServer = if body.is_empty() {
        ApproveServer::default()
    } else {
        serde_json::from_slice(&body)
            .map_err(|error| Problem::invalid(format!("the body is no approval: {error}")))?
    };
    let work = move |follower: &Follower, id: &str| follower.approve(id, asked.url.as_deref());
    act(admin, path, "approved", work).await
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
        Err(error @ KeptError::Moved { .. }) => {
            Err(Problem::new(StatusCode::CONFLICT, "server-moved", error.to_string()))
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
