//! Tokens that say nothing themselves: their issuer is asked about each (RFC 7662).
//!
//! Invariant: an answer counts for a minute at most, and never beyond the token's own end; what is
//! remembered is bounded, and of a token only its hash is; only so many are asked about at once.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quick_cache::sync::Cache;
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::sync::Semaphore;
use url::form_urlencoded::byte_serialize;

use super::Denied;
use super::claims::Claims;
use super::keys::now;
use crate::config::{Introspection, IssuerConfig, NetworkConfig};
use crate::discover::fetch::{Bounds, FetchError, Fetcher};

const BOUNDS: Bounds = Bounds { bytes: 64 << 10, time: Duration::from_secs(5) };
/// Tokens that are remembered.
const MOST: usize = 10_000;
/// Tokens that are asked about at once.
const AT_ONCE: usize = 16;
/// How long the others wait for their turn.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a yes counts, and a no.
const YES: Duration = Duration::from_mins(1);
const NO: Duration = Duration::from_secs(10);

pub(super) struct Introspector {
    config: Introspection,
    fetcher: Fetcher,
    known: Cache<[u8; 32], Known>,
    turns: Semaphore,
}

#[derive(Clone)]
struct Known {
    until: Instant,
    claims: Option<Claims>,
}

impl Introspector {
    pub(super) fn new(
        issuer: &IssuerConfig,
        network: &NetworkConfig,
    ) -> Result<Option<Self>, FetchError> {
        let Some(config) = issuer.introspection.clone() else { return Ok(None) };
        let fetcher = Fetcher::new(&config.url, network, issuer.allow_private)?;
        let (known, turns) = (Cache::new(MOST), Semaphore::new(AT_ONCE));
        Ok(Some(Self { config, fetcher, known, turns }))
    }

    /// What the issuer says of this token; nothing where it does not count.
    pub(super) async fn claims(&self, token: &str) -> Result<Option<Claims>, Denied> {
        let name = *blake3::hash(token.as_bytes()).as_bytes();
        if let Some(known) = self.remembered(&name) {
            return Ok(known.claims);
        }
        // Many that ask at once wait for each other, for a moment.
        let turn = tokio::time::timeout(PATIENCE, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(Denied::Unavailable) };
        if let Some(known) = self.remembered(&name) {
            return Ok(known.claims);
        }
        let claims = self.ask(token).await.map_err(|error| {
            tracing::warn!("an introspection endpoint does not answer: {error}");
            Denied::Unavailable
        })?;
        let end = claims.as_ref().and_then(|claims| claims.get("exp")).and_then(Value::as_u64);
        let left = end.map_or(YES, |end| Duration::from_secs(end.saturating_sub(now())));
        // One that is over stays so.
        let counts = claims.is_some() && !left.is_zero();
        let lasts = if counts { YES.min(left) } else { NO };
        let known = Known { until: Instant::now() + lasts, claims };
        self.known.insert(name, known.clone());
        Ok(known.claims)
    }

    fn remembered(&self, name: &[u8; 32]) -> Option<Known> {
        self.known.get(name).filter(|known| Instant::now() < known.until)
    }

    async fn ask(&self, token: &str) -> Result<Option<Claims>, FetchError> {
        let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let (id, secret) = (&self.config.client_id, self.config.client_secret.expose_secret());
        let both = STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret)));
        let body = format!("token={}&token_type_hint=access_token", encoded(token));
        let basic = format!("Basic {both}");
        let headers = [
            ("authorization", basic.as_str()),
            ("content-type", "application/x-www-form-urlencoded"),
            ("accept", "application/json"),
        ];
        let answer = self.fetcher.post(&self.config.url, &headers, body, BOUNDS).await?;
        if !answer.status.is_success() {
            return Err(FetchError::Unreachable(format!("status {}", answer.status.as_u16())));
        }
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        Ok(match said {
            Value::Object(claims) if claims.get("active") == Some(&Value::Bool(true)) => {
                Some(claims)
            }
            _ => None,
        })
    }
}
