//! Access tokens of authorization servers.
//!
//! Invariant: a token counts that a configured issuer signed (or vouches for), with an algorithm
//! that is allowed, for this service, now; nothing that the token itself says chooses how it is
//! checked, but among what is configured.

use jsonwebtoken::{Validation, decode, decode_header, errors::ErrorKind};
use serde_json::Value;

use super::Denied;
use super::claims::{self, Claims};
use super::introspect::Introspector;
use super::jwks::Jwks;
use super::keys::now;
use crate::access::caller::Caller;
use crate::config::{IssuerConfig, NetworkConfig};
use crate::discover::fetch::FetchError;

/// The longest token that is looked at.
const LONGEST: usize = 16 << 10;

/// Whose tokens are taken.
#[derive(Default)]
pub(super) struct Tokens(Vec<Issuer>);

struct Issuer {
    config: IssuerConfig,
    jwks: Jwks,
    introspector: Option<Introspector>,
}

impl Tokens {
    pub(super) fn new(
        issuers: &[IssuerConfig],
        network: &NetworkConfig,
    ) -> Result<Self, FetchError> {
        let issuers = issuers.iter().map(|config| {
            let introspector = Introspector::new(config, network)?;
            Ok(Issuer { config: config.clone(), jwks: Jwks::new(config, network)?, introspector })
        });
        Ok(Self(issuers.collect::<Result<_, FetchError>>()?))
    }

    /// Whoever shows this token.
    pub(super) async fn caller(&self, token: &str) -> Result<Caller, Denied> {
        if token.is_empty() || token.len() > LONGEST {
            return Err(Denied::Wrong("no_token"));
        }
        if token.bytes().filter(|byte| *byte == b'.').count() == 2 {
            return self.signed(token).await;
        }
        for issuer in &self.0 {
            let Some(introspector) = &issuer.introspector else { continue };
            if let Some(claims) = introspector.claims(token).await? {
                check(&issuer.config, &claims)?;
                return claims::caller(&issuer.config, &claims);
            }
        }
        Err(Denied::Wrong("no_token"))
    }

    async fn signed(&self, token: &str) -> Result<Caller, Denied> {
        let header = decode_header(token).map_err(|_| Denied::Wrong("no_token"))?;
        let said: Claims = jsonwebtoken::dangerous::insecure_decode_claims(token)
            .map_err(|_| Denied::Wrong("no_token"))?;
        let iss = said.get("iss").and_then(Value::as_str);
        let issuer = self.0.iter().find(|issuer| Some(issuer.config.url.as_str()) == iss);
        let issuer = issuer.ok_or(Denied::Wrong("issuer"))?;
        if header.crit.is_some() || !issuer.config.algorithms.contains(&header.alg) {
            return Err(Denied::Wrong("algorithm"));
        }
        let key = issuer.jwks.key(header.kid.as_deref(), header.alg).await?;
        let mut rules = Validation::new(header.alg);
        rules.leeway = issuer.config.leeway.as_secs();
        rules.validate_nbf = true;
        rules.set_required_spec_claims(&["exp", "iss", "aud"]);
        rules.set_issuer(&[&issuer.config.url]);
        // A URL without a path is written with a slash or without.
        let audience = issuer.config.audience.trim_end_matches('/');
        rules.set_audience(&[audience, &format!("{audience}/")]);
        let token = decode::<Claims>(token, &key, &rules).map_err(|error| {
            Denied::Wrong(match error.kind() {
                ErrorKind::ExpiredSignature | ErrorKind::ImmatureSignature => "time",
                ErrorKind::InvalidAudience => "audience",
                ErrorKind::InvalidIssuer => "issuer",
                ErrorKind::InvalidSignature => "signature",
                _ => "no_token",
            })
        })?;
        claims::caller(&issuer.config, &token.claims)
    }
}

/// What the claims of a token have to be that its issuer was asked about.
fn check(issuer: &IssuerConfig, claims: &Claims) -> Result<(), Denied> {
    let leeway = issuer.leeway.as_secs();
    let time = |name: &str| claims.get(name).and_then(Value::as_u64);
    if time("exp").is_some_and(|end| end.saturating_add(leeway) <= now())
        || time("nbf").is_some_and(|begin| begin > now().saturating_add(leeway))
    {
        return Err(Denied::Wrong("time"));
    }
    if claims.get("iss").is_some_and(|iss| iss.as_str() != Some(&issuer.url)) {
        return Err(Denied::Wrong("issuer"));
    }
    let audience = issuer.audience.trim_end_matches('/');
    let is_ours =
        |aud: &Value| aud.as_str().is_some_and(|aud| aud.trim_end_matches('/') == audience);
    let ours = match claims.get("aud") {
        Some(Value::Array(all)) => all.iter().any(is_ours),
        Some(one) => is_ours(one),
        None => false,
    };
    if ours { Ok(()) } else { Err(Denied::Wrong("audience")) }
}
