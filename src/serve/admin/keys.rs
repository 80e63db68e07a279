//! `/v1/admin/keys`: API keys, made, replaced and revoked while it runs.
//!
//! Invariant: a secret is in the answer that made it and in no other; an operator of a tenant sees
//! and changes the keys of that tenant alone, and to them there are no others.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::door::Door;
use super::super::door::keys::{Keys, now};
use super::super::http::json;
use super::super::problem::Problem;
use super::Admin;
use crate::access::caller::{Allowance, Caller, Scope};
use crate::access::keys::file::KeyFileError;
use crate::access::keys::secret::Secret;
use crate::access::keys::{Book, Key, KeyError, NewKey, Seconds};

/// How long the secret of before counts beside a new one, where that is not said.
pub const OVERLAP: Duration = Duration::from_hours(24);

/// A key that is to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MakeKey {
    /// What it is called: its holder, or what it is for.
    name: String,
    /// What its holder may do; absent, search.
    #[serde(default)]
    scopes: Option<Vec<Scope>>,
    /// The only view that its holder sees.
    #[serde(default)]
    profile: Option<String>,
    /// Whose tools its holder sees.
    #[serde(default)]
    tenant: Option<String>,
    /// How much its holder may do, where that differs from what is configured.
    #[serde(default)]
    allowance: Allowance,
    /// How long it counts, as `90days`; absent, until it is revoked.
    #[serde(default)]
    expires_in: Option<String>,
}

/// How a secret is to be replaced.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateKey {
    /// How long the one of before counts beside it, as `1h`; absent, a day.
    #[serde(default)]
    overlap: Option<String>,
}

/// What is known of a key.
#[derive(Serialize, JsonSchema)]
pub struct KnownKey {
    pub(crate) id: Arc<str>,
    pub(crate) name: String,
    pub(crate) scopes: Vec<Scope>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) profile: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<Arc<str>>,
    pub(crate) allowance: Allowance,
    /// `active`, `expired` or `revoked`.
    pub(crate) state: &'static str,
    pub(crate) created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revoked: Option<String>,
    /// To ten minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_used: Option<String>,
}

/// Every key.
#[derive(Serialize, JsonSchema)]
pub struct KeyList {
    /// By id.
    pub(crate) keys: Vec<KnownKey>,
}

/// A key that was made, or has another secret.
#[derive(Serialize, JsonSchema)]
pub struct MadeKey {
    #[serde(flatten)]
    pub(crate) key: KnownKey,
    /// The key itself, as its holder sends it. It is not shown again.
    pub(crate) secret: String,
}

impl KnownKey {
    /// What is known of this one.
    pub fn of(key: &Key, now: Seconds) -> Self {
        let time = |at: Seconds| {
            humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(at)).to_string()
        };
        let state = match key.revoked {
            Some(_) => "revoked",
            None if key.counts(now) => "active",
            None => "expired",
        };
        Self {
            id: key.id.clone(),
            name: key.name.clone(),
            scopes: key.scopes.clone(),
            profile: key.profile.clone(),
            tenant: key.tenant.clone(),
            allowance: key.allowance,
            state,
            created: time(key.created),
            expires: key.expires.map(time),
            revoked: key.revoked.map(time),
            last_used: key.last_used.map(time),
        }
    }
}

impl MadeKey {
    /// This key with its new secret.
    pub fn of((key, secret): (&Key, Secret), now: Seconds) -> Self {
        Self { key: KnownKey::of(key, now), secret: secret.expose().to_owned() }
    }
}

/// `GET /v1/admin/keys`
pub async fn list(
    Extension(door): Extension<Door>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Problem> {
    let (book, now) = (keys_of(&door)?.book(), now());
    let keys = book.keys().filter(|key| is_his(&caller, key));
    Ok(json(&KeyList { keys: keys.map(|key| KnownKey::of(key, now)).collect() }))
}

/// `POST /v1/admin/keys`
pub async fn create(
    State(admin): State<Admin>,
    Extension(door): Extension<Door>,
    Extension(caller): Extension<Caller>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let asked: MakeKey = serde_json::from_slice(&body?)
        .map_err(|error| Problem::invalid(format!("the body is no key to be made: {error}")))?;
    let lasts = asked.expires_in.as_deref().map(|text| duration("expires_in", text)).transpose()?;
    if let Some(profile) = &asked.profile
        && admin.live.scoped(profile).is_none()
    {
        return Err(Problem::invalid(format!("there is no profile {profile:?}")));
    }
    let tenant = match (&caller.tenant, asked.tenant) {
        (None, asked) => asked,
        (Some(own), Some(asked)) if **own != *asked => {
            return Err(Problem::invalid(format!("there is no tenant {asked:?}")));
        }
        (Some(own), _) => Some(own.to_string()),
    };
    // What a tenant's callers may do is the process's to say: they share it with others.
    if caller.tenant.is_some() && asked.allowance != Allowance::default() {
        return Err(Problem::invalid(
            "how much a key may do is set by operators of no tenant: leave allowance out",
        ));
    }
    let new = NewKey {
        name: asked.name,
        scopes: asked.scopes.unwrap_or_else(|| vec![Scope::Search]),
        profile: asked.profile,
        tenant,
        allowance: asked.allowance,
        lasts,
    };
    let now = now();
    let made = change(&door, move |book| book.create(new, now).map(|made| MadeKey::of(made, now)));
    let made = made.await?;
    tracing::info!(key = &*made.key.id, by = &*caller.name, "an API key was made");
    Ok((StatusCode::CREATED, json(&made)).into_response())
}

/// `POST /v1/admin/keys/{id}/rotate`
pub async fn rotate(
    Extension(door): Extension<Door>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let (Path(id), body) = (path?, body?);
    let asked: RotateKey = if body.is_empty() {
        RotateKey::default()
    } else {
        serde_json::from_slice(&body)
            .map_err(|error| Problem::invalid(format!("the body says no overlap: {error}")))?
    };
    let overlap = asked.overlap.as_deref().map(|text| duration("overlap", text)).transpose()?;
    let (now, by) = (now(), caller.name.clone());
    let made = change(&door, move |book| {
        seen(book, &caller, &id)?;
        let made = book.rotate(&id, overlap.unwrap_or(OVERLAP), now);
        made.map(|made| MadeKey::of(made, now))
    });
    let made = made.await?;
    tracing::info!(key = &*made.key.id, by = &*by, "an API key has a new secret");
    Ok(json(&made))
}

/// `DELETE /v1/admin/keys/{id}`
pub async fn revoke(
    Extension(door): Extension<Door>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(id) = path?;
    let (now, by) = (now(), caller.name.clone());
    let revoked = change(&door, move |book| {
        seen(book, &caller, &id)?;
        book.revoke(&id, now).map(|key| KnownKey::of(key, now))
    });
    let revoked = revoked.await?;
    tracing::info!(key = &*revoked.id, by = &*by, "an API key was revoked");
    Ok(json(&revoked))
}

fn is_his(caller: &Caller, key: &Key) -> bool {
    caller.tenant.is_none() || caller.tenant == key.tenant
}

/// A key of another tenant is none.
fn seen(book: &Book, caller: &Caller, id: &str) -> Result<(), KeyError> {
    let there = book.get(id).is_some_and(|key| is_his(caller, key));
    if there { Ok(()) } else { Err(KeyError::Unknown(id.to_owned())) }
}

fn keys_of(door: &Door) -> Result<&Arc<Keys>, Problem> {
    door.keys().ok_or_else(|| {
        Problem::new(
            StatusCode::CONFLICT,
            "keys-off",
            "API keys are not taken here: set keys = true in [auth], and start anew",
        )
    })
}

/// A change is on disk before it is in force.
async fn change<T: Send + 'static>(
    door: &Door,
    work: impl FnOnce(&mut Book) -> Result<T, KeyError> + Send + 'static,
) -> Result<T, Problem> {
    let keys = Arc::clone(keys_of(door)?);
    let changed = tokio::task::spawn_blocking(move || keys.change(work)).await;
    changed.map_err(|_| Problem::internal())?.map_err(Problem::from)
}

fn duration(key: &str, text: &str) -> Result<Duration, Problem> {
    humantime::parse_duration(text)
        .map_err(|_| Problem::invalid(format!("{key} is a number and a unit, as in \"90days\"")))
}

impl From<KeyFileError> for Problem {
    fn from(error: KeyFileError) -> Self {
        let (status, code) = match &error {
            KeyFileError::Key(KeyError::Unknown(_)) => (StatusCode::NOT_FOUND, "unknown-key"),
            KeyFileError::Key(KeyError::Over(_) | KeyError::Full) => {
                (StatusCode::CONFLICT, "key-over")
            }
            KeyFileError::Key(_) => (StatusCode::BAD_REQUEST, "invalid-key"),
            KeyFileError::Open(_) | KeyFileError::Sealed(_) => {
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
