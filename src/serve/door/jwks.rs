//! The keys that an issuer signs with.
//!
//! Invariant: whoever sends tokens can't have the issuer asked more than [`MOST`] times a minute,
//! whatever key they name; while the issuer is not reached the keys of before count, for a day.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use super::Denied;
use crate::config::{IssuerConfig, NetworkConfig};
use crate::discover::fetch::{Bounds, FetchError, Fetcher};

/// Times that an issuer is asked in one [`WINDOW`].
const MOST: u32 = 5;
const WINDOW: Duration = Duration::from_mins(1);
/// Older keys are asked for anew, beside the requests.
const FRESH: Duration = Duration::from_mins(10);
/// Older ones do not count.
const GOOD: Duration = Duration::from_hours(24);
const BOUNDS: Bounds = Bounds { bytes: 256 << 10, time: Duration::from_secs(5) };
/// Keys of one set.
const KEYS: usize = 100;
const JSON: &str = "application/json";

/// The keys of one issuer; cheap to clone.
#[derive(Clone)]
pub(super) struct Jwks(Arc<Source>);

struct Source {
    issuer: String,
    at: Url,
    jwks_url: Option<Url>,
    fetcher: Fetcher,
    known: ArcSwapOption<Set>,
    /// One asks at a time.
    tries: Mutex<Tries>,
}

struct Tries {
    since: Instant,
    count: u32,
    /// When the last one ended, with keys or without.
    ended: Option<Instant>,
}

struct Set {
    keys: Vec<Signer>,
    fetched: Instant,
}

struct Signer {
    kid: Option<String>,
    algorithm: Option<Algorithm>,
    key: DecodingKey,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
enum JwksError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("status {0}")]
    Status(u16),
    #[error("its metadata are not to be found, or are of another issuer")]
    Metadata,
    #[error("what it sends is no set of keys")]
    NoSet,
}

impl Set {
    /// The key of this id; of a token that names none, the only one that may be meant.
    fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&DecodingKey> {
        let mut fit = self.keys.iter().filter(|signer| {
            signer.key.family() == algorithm.family()
                && signer.algorithm.is_none_or(|own| own == algorithm)
                && kid.is_none_or(|kid| signer.kid.as_deref() == Some(kid))
        });
        let found = fit.next()?;
        (kid.is_some() || fit.next().is_none()).then_some(&found.key)
    }

    fn parse(body: &[u8]) -> Option<Self> {
        let document: Value = serde_json::from_slice(body).ok()?;
        let keys = document["keys"].as_array()?.iter().take(KEYS);
        // One that is not understood takes no other with it.
        let keys = keys.filter_map(|key| Signer::parse(serde_json::from_value(key.clone()).ok()?));
        Some(Self { keys: keys.collect(), fetched: Instant::now() })
    }
}

impl Signer {
    fn parse(jwk: Jwk) -> Option<Self> {
        if jwk.common.public_key_use.as_ref().is_some_and(|of| *of != PublicKeyUse::Signature) {
            return None;
        }
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        let algorithm = match jwk.common.key_algorithm {
            None => None,
            Some(named) => Some(named.to_string().parse().ok()?),
        };
        Some(Self { kid: jwk.common.key_id, algorithm, key })
    }
}

impl Jwks {
    pub(super) fn new(config: &IssuerConfig, network: &NetworkConfig) -> Result<Self, FetchError> {
        let home = config.jwks_url.as_ref().unwrap_or(&config.at);
        Ok(Self(Arc::new(Source {
            issuer: config.url.clone(),
            at: config.at.clone(),
            jwks_url: config.jwks_url.clone(),
            fetcher: Fetcher::new(home, network, config.allow_private)?,
            known: ArcSwapOption::empty(),
            tries: Mutex::new(Tries { since: Instant::now(), count: 0, ended: None }),
        })))
    }

    /// The key that a token says it is signed with.
    pub(super) async fn key(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<DecodingKey, Denied> {
        let known = self.0.known.load_full();
        if let Some(set) = &known
            && set.fetched.elapsed() < GOOD
            && let Some(key) = set.find(kid, algorithm)
        {
            if set.fetched.elapsed() >= FRESH {
                let (jwks, set) = (self.clone(), Arc::clone(set));
                tokio::spawn(async move { jwks.renew(Some(&set)).await });
            }
            return Ok(key.clone());
        }
        self.renew(known.as_ref()).await;
        let set = self.0.known.load_full().filter(|set| set.fetched.elapsed() < GOOD);
        let set = set.ok_or(Denied::Unavailable)?;
        set.find(kid, algorithm).cloned().ok_or(Denied::Wrong("unknown_signer"))
    }

    /// Asks for the keys, unless somebody else has since `seen` or meanwhile, or it was asked too
    /// often.
    async fn renew(&self, seen: Option<&Arc<Set>>) {
        let began = Instant::now();
        let mut tries = self.0.tries.lock().await;
        let newer = self.0.known.load_full();
        if newer.as_ref().map(Arc::as_ptr) != seen.map(Arc::as_ptr)
            || tries.ended.is_some_and(|ended| ended > began)
        {
            return;
        }
        if tries.since.elapsed() >= WINDOW {
            (tries.since, tries.count) = (Instant::now(), 0);
        }
        if tries.count >= MOST {
            return;
        }
        tries.count += 1;
        let fetched = self.0.fetch().await;
        tries.ended = Some(Instant::now());
        match fetched {
            Ok(set) => self.0.known.store(Some(Arc::new(set))),
            Err(error) => {
                let issuer = &self.0.issuer;
                tracing::warn!(issuer, "the keys of an authorization server are not had: {error}");
            }
        }
    }
}

impl Source {
    async fn fetch(&self) -> Result<Set, JwksError> {
        let url = match &self.jwks_url {
            Some(url) => url.clone(),
            None => self.discover().await?,
        };
        let fetched = self.fetcher.get(&url, JSON, BOUNDS).await?;
        if !fetched.status.is_success() {
            return Err(JwksError::Status(fetched.status.as_u16()));
        }
        Set::parse(&fetched.body).ok_or(JwksError::NoSet)
    }

    /// Where its metadata say that its keys are.
    async fn discover(&self) -> Result<Url, JwksError> {
        let path = self.at.path().trim_end_matches('/');
        let places = [
            format!("/.well-known/oauth-authorization-server{path}"),
            format!("{path}/.well-known/openid-configuration"),
        ];
        for place in places {
            let mut url = self.at.clone();
            url.set_path(&place);
            let fetched = self.fetcher.get(&url, JSON, BOUNDS).await?;
            if !fetched.status.is_success() {
                continue;
            }
            let document: Value = serde_json::from_slice(&fetched.body).unwrap_or_default();
            // Else it would vouch for somebody else.
            if document["issuer"].as_str() == Some(&self.issuer)
                && let Some(url) = document["jwks_uri"].as_str()
                && let Ok(url) = Url::parse(url)
            {
                return Ok(url);
            }
        }
        Err(JwksError::Metadata)
    }
}
