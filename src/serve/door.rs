//! The door: who asks is found out here, before anything else of a request is read.
//!
//! Invariant: where anybody is asked, nothing but the routes that [`Need::of`] says are everybody's
//! is reached without a proof, and a route that is named nowhere wants the highest; what somebody
//! showed goes no further than this room, and a refusal does not tell what was wrong with it.

pub mod challenge;
mod claims;
mod introspect;
mod jwks;
pub mod keys;
mod tokens;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use metrics::{counter, describe_counter};
use tokio_util::sync::CancellationToken;

use self::challenge::Challenges;
use self::keys::Keys;
use self::tokens::Tokens;
use super::console;
use super::problem::Problem;
use super::token::AdminToken;
use crate::access::caller::{Caller, Peer, Proof, Scope};
use crate::access::keys::file::KeyFileError;
use crate::access::keys::{Refused, secret};
use crate::config::{CertificateConfig, Config};
use crate::discover::fetch::FetchError;

const FAILURES: &str = "toolscout_auth_failures_total";
/// Where an API key may stand besides `Authorization`.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Why there is no door.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The keys can't be read.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The network can't be used as it is configured.
    #[error("authorization servers can't be asked: {0}")]
    Network(#[from] FetchError),
}

/// Who may come in, and as what; cheap to clone.
#[derive(Clone)]
pub struct Door(Arc<Inside>);

#[derive(Default)]
struct Inside {
    asks: bool,
    operator: Option<AdminToken>,
    keys: Option<Arc<Keys>>,
    tokens: Tokens,
    certificates: Vec<CertificateConfig>,
    challenges: Challenges,
}

/// What a route wants of its callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing: it is told to everybody, or asks for a proof of its own.
    Nothing,
    /// This scope.
    Scope(Scope),
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// Nothing was shown.
    Missing,
    /// More than one thing was.
    Several,
    /// What was shown does not count; in a word, for the metrics.
    Wrong(&'static str),
    /// It counts, and belongs to no profile or tenant here.
    Unplaced,
    /// Whoever could tell is not reached.
    Unavailable,
}

impl Denied {
    fn reason(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Several => "several",
            Self::Wrong(reason) => reason,
            Self::Unplaced => "unplaced",
            Self::Unavailable => "unavailable",
        }
    }
}

impl From<Refused> for Denied {
    fn from(refused: Refused) -> Self {
        Self::Wrong(match refused {
            Refused::Unknown => "unknown_key",
            Refused::Expired => "expired_key",
            Refused::Revoked => "revoked_key",
        })
    }
}

/// Goes with a request: a handler that finds only then that more is wanted than its caller may.
#[derive(Clone, Default)]
pub struct StepUp(Arc<AtomicBool>);

impl StepUp {
    /// The scope to call tools is wanted.
    pub fn to_call(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Need {
    /// What the route of this path wants.
    pub fn of(path: &str) -> Self {
        let of_all = path.strip_prefix(super::scope::PREFIX).unwrap_or(path);
        match of_all {
            "/livez"
            | "/readyz"
            | "/health"
            | "/.well-known/mcp"
            | challenge::METADATA
            | challenge::METADATA_BELOW
            | "/oauth/start/{*server}"
            | "/oauth/callback"
            | console::FILES
            | console::SETTINGS => Self::Nothing,
            page if console::PAGES.contains(&page) => Self::Nothing,
            "/v1/call" => Self::Scope(Scope::Call),
            "/v1/search"
            | "/v1/select"
            | "/v1/anthropic/tools"
            | "/v1/openai/tools"
            | "/v1/feedback"
            | "/v1/tools"
            | "/v1/tools/{*id}"
            | "/v1/servers"
            | "/v1/map"
            | "/v1/map/query"
            | "/v1/status"
            | "/v1/me"
            | "/v1/events"
            | "/mcp"
            | "/mcp/server-card"
            | "/openapi.json" => Self::Scope(Scope::Search),
            _ => Self::Scope(Scope::Admin),
        }
    }
}

impl Default for Door {
    /// Everybody comes in, and nobody administers.
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl Door {
    /// The door that is configured; `operator` is the token of those who run this toolscout.
    pub fn open(config: &Config, operator: Option<AdminToken>) -> Result<Self, DoorError> {
        describe_counter!(FAILURES, "Requests that were not let in, by reason");
        let auth = &config.auth;
        let keys = if auth.keys { Some(Arc::new(Keys::open(&config.data)?)) } else { None };
        Ok(Self(Arc::new(Inside {
            asks: auth.asks(),
            operator,
            keys,
            tokens: Tokens::new(&auth.issuers, &config.defaults.network)?,
            certificates: auth.certificates.clone(),
            challenges: Challenges::new(auth),
        })))
    }

    /// Keeps up with what happens to the keys on disk, until `shutdown`.
    pub async fn follow(self, shutdown: CancellationToken) {
        if let Some(keys) = &self.0.keys {
            Arc::clone(keys).follow(shutdown).await;
        }
    }

    /// Whoever comes is asked who it is.
    pub fn asks(&self) -> bool {
        self.0.asks
    }

    /// The API keys, where they are taken.
    pub fn keys(&self) -> Option<&Arc<Keys>> {
        self.0.keys.as_ref()
    }

    /// What is told to those who are not let in.
    pub fn challenges(&self) -> &Challenges {
        &self.0.challenges
    }

    /// Who asks.
    async fn caller(
        &self,
        headers: &HeaderMap,
        peer: Option<&Peer>,
        need: Need,
    ) -> Result<Caller, Denied> {
        let said = credential(headers)?;
        let is_operator = |said: &str| self.0.operator.as_ref().is_some_and(|token| token.is(said));
        let caller = match said {
            Some(said) if is_operator(said) => Caller::operator(),
            _ if !self.0.asks => Caller::anonymous(),
            Some(said) if said.starts_with(secret::PREFIX) => match &self.0.keys {
                Some(keys) => keys.find(said)?,
                None => return Err(Denied::Wrong("unknown_key")),
            },
            // What is told to everybody waits for no authorization server, and has none asked.
            Some(_) if need == Need::Nothing => return Err(Denied::Missing),
            Some(said) => self.0.tokens.caller(said).await?,
            None => self.certified(peer)?,
        };
        Ok(narrowed(caller))
    }

    /// Whoever the certificate of a connection names.
    fn certified(&self, peer: Option<&Peer>) -> Result<Caller, Denied> {
        let Some(name) = peer.and_then(|peer| peer.certificate.as_deref()) else {
            return Err(Denied::Missing);
        };
        let rule = self.0.certificates.iter().find(|rule| rule.name.matches(name));
        let rule = rule.ok_or(Denied::Wrong("unknown_certificate"))?;
        Ok(Caller {
            name: format!("certificate:{name}").into(),
            proof: Proof::Certificate,
            scopes: rule.scopes,
            profile: rule.profile.as_deref().map(Into::into),
            tenant: rule.tenant.as_deref().map(Into::into),
            ..Caller::anonymous()
        })
    }

    /// The refusal of somebody who did not show who it is.
    fn refuse(&self, denied: Denied, wanted: Scope) -> Response {
        counter!(FAILURES, "reason" => denied.reason()).increment(1);
        tracing::debug!(reason = denied.reason(), "not let in");
        match denied {
            Denied::Several => {
                return Problem::invalid("show one credential: a bearer token or an API key")
                    .into_response();
            }
            Denied::Unplaced => {
                return Problem::new(
                    StatusCode::FORBIDDEN,
                    "no-place",
                    "who you are is known, but not which profile or tenant you belong to: ask \
                     whoever runs this toolscout",
                )
                .into_response();
            }
            Denied::Unavailable => {
                return Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "issuer-unreachable",
                    "the token can't be checked at the moment: try again",
                )
                .into_response();
            }
            Denied::Missing | Denied::Wrong(_) => {}
        }
        let detail = if !self.0.asks {
            "send the token of the data folder's admin.token as `Authorization: Bearer …`"
        } else if denied == Denied::Missing {
            "show who you are: an API key or an access token as `Authorization: Bearer …`, or a \
             client certificate"
        } else {
            "this credential does not count here: it is unknown, or not for this service, or has \
             expired or been revoked"
        };
        let refused = Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail);
        let error = (self.0.asks && denied != Denied::Missing).then_some("invalid_token");
        self.0.challenges.put_on(refused.into_response(), error, [wanted].into_iter().collect())
    }

    /// The refusal of somebody who may not do this.
    fn forbid(&self, caller: &Caller, wanted: Scope) -> Response {
        counter!(FAILURES, "reason" => "scope").increment(1);
        let detail = format!("this wants the scope `{}`, which you do not have", wanted.name());
        let refused = Problem::new(StatusCode::FORBIDDEN, "insufficient-scope", detail);
        // A client asks for a new token with exactly these.
        let scopes = caller.scopes.iter().chain([wanted]).collect();
        let error = Some("insufficient_scope");
        let mut response = self.0.challenges.put_on(refused.into_response(), error, scopes);
        // For those who note who it was.
        response.extensions_mut().insert(caller.clone());
        response
    }
}

/// Whoever is kept to one view can't administer all. Whether its tenant is there is found out behind
/// the door (`tenants`).
fn narrowed(mut caller: Caller) -> Caller {
    if caller.profile.is_some() {
        caller.scopes = caller.scopes.iter().filter(|it| *it != Scope::Admin).collect();
    }
    caller
}

/// The middleware.
pub async fn admit(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    // Of a path that nothing is served at nobody hears before they are known.
    let need = path.map_or(Need::Scope(Scope::Search), |path| Need::of(path.as_str()));
    let is_admin = path.is_some_and(|path| path.as_str().starts_with("/v1/admin/"));
    let peer = request.extensions().get::<Peer>().cloned();
    let caller = match door.caller(request.headers(), peer.as_ref(), need).await {
        Ok(caller) => caller,
        Err(_) if need == Need::Nothing => Caller::nobody(),
        // It would be the token that administers, or is nothing to us.
        Err(Denied::Several) if !door.0.asks => Caller::anonymous(),
        Err(denied) => {
            let Need::Scope(wanted) = need else { return Problem::internal().into_response() };
            return door.refuse(denied, wanted);
        }
    };
    // Where nobody is asked everything is open but what changes things.
    if let Need::Scope(wanted) = need
        && (door.0.asks || is_admin)
        && !caller.scopes.has(wanted)
    {
        return if caller.proof == Proof::None {
            door.refuse(Denied::Missing, wanted)
        } else {
            door.forbid(&caller, wanted)
        };
    }
    let step_up = StepUp::default();
    request.extensions_mut().insert(step_up.clone());
    request.extensions_mut().insert(caller.clone());
    let mut response = next.run(request).await;
    if step_up.0.load(Ordering::SeqCst) {
        response = door.forbid(&caller, Scope::Call);
    }
    // For those who note who it was.
    response.extensions_mut().insert(caller);
    response
}

/// What somebody shows in the headers.
fn credential(headers: &HeaderMap) -> Result<Option<&str>, Denied> {
    let mut found = None;
    for value in headers.get_all(header::AUTHORIZATION) {
        let said = value.to_str().ok().and_then(|value| value.split_once(' '));
        let token = said.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let token = token.map_or("", |(_, token)| token.trim());
        if found.replace(token).is_some() {
            return Err(Denied::Several);
        }
    }
    for value in headers.get_all(API_KEY) {
        if found.replace(value.to_str().unwrap_or_default().trim()).is_some() {
            return Err(Denied::Several);
        }
    }
    Ok(found)
}
