//! `[[auth.issuers]]`: authorization servers whose access tokens are taken.
//!
//! Invariant: only signatures that nobody but the issuer can make are taken, so no algorithm with a
//! shared secret and no "none" can be named.

use std::collections::BTreeMap;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use super::super::error::{Place, Problem};
use super::super::load::Section;
use super::super::server::duration;
use super::SCOPES;
use crate::access::caller::Scope;
use crate::auth::guard::is_loopback;

/// Those whose keys are public.
const ALGORITHMS: [(&str, Algorithm); 9] = [
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];
const KNOWN: &str = "\"RS256\", \"RS384\", \"RS512\", \"PS256\", \"PS384\", \"PS512\", \"ES256\", \
    \"ES384\" or \"EdDSA\"";

/// `[[auth.issuers]]`.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(in super::super) struct RawIssuer {
    pub url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithms: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leeway: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub scopes: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_claim: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub profiles: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_claim: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tenants: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub introspection: Option<RawIntrospection>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console: Option<RawConsole>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_private_addresses: Option<bool>,
}

/// `console` of one.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(in super::super) struct RawConsole {
    pub client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
}

/// `introspection` of one.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(in super::super) struct RawIntrospection {
    pub url: Option<String>,
    pub client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret_env: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<String>,
}

/// An authorization server whose access tokens are taken.
#[derive(Debug, Clone, PartialEq)]
pub struct IssuerConfig {
    /// What it calls itself, letter by letter as in `iss`.
    pub url: String,
    /// The same, to be asked.
    pub at: Url,
    /// Where its keys are; `None` is where its metadata say.
    pub jwks_url: Option<Url>,
    /// What `aud` has to name.
    pub audience: String,
    /// Signatures that are taken.
    pub algorithms: Vec<Algorithm>,
    /// How far its clock may be from ours.
    pub leeway: Duration,
    /// What its scopes mean here.
    pub scopes: BTreeMap<String, Scope>,
    /// Which profile its callers are kept to.
    pub profile: Option<Mapped>,
    /// Whose callers they are.
    pub tenant: Option<Mapped>,
    /// Where tokens that are no JWTs are asked about.
    pub introspection: Option<Introspection>,
    /// How people log in there from the console.
    pub console: Option<ConsoleLogin>,
    /// It may be at a private address.
    pub allow_private: bool,
}

/// How people log in there in their browser.
#[derive(Debug, Clone, PartialEq)]
pub struct ConsoleLogin {
    /// What the console is there: a client without a secret.
    pub client_id: String,
    /// What is asked for, by the names that it has there.
    pub scopes: Vec<String>,
}

/// A claim, and what its values mean here.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapped {
    /// The claim's name, or a JSON pointer to it.
    pub claim: String,
    /// By the claim's value; empty where values are taken as they are.
    pub values: BTreeMap<String, String>,
}

/// How tokens are asked about (RFC 7662).
#[derive(Debug, Clone)]
pub struct Introspection {
    /// The endpoint.
    pub url: Url,
    /// Who we are there.
    pub client_id: String,
    /// What shows it.
    pub client_secret: SecretString,
}

impl PartialEq for Introspection {
    fn eq(&self, other: &Self) -> bool {
        self.url == other.url
            && self.client_id == other.client_id
            && self.client_secret.expose_secret() == other.client_secret.expose_secret()
    }
}

impl IssuerConfig {
    /// What this scope is called there.
    pub fn name_of(&self, scope: Scope) -> Option<&str> {
        self.scopes.iter().find(|(_, ours)| **ours == scope).map(|(name, _)| name.as_str())
    }
}

/// A URL over HTTP, with nothing in it that is secret.
pub(super) fn web_url(text: &str) -> Result<Url, Problem> {
    let url = Url::parse(text).map_err(|error| Problem::Url(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Problem::Scheme(url.scheme().to_owned()));
    }
    if url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err(Problem::Url("it has a user or a fragment".into()));
    }
    Ok(url)
}

pub(super) fn resolve(
    raw: RawIssuer,
    resource: Option<&str>,
    place: &Place,
    section: &mut Section<'_>,
) -> Option<IssuerConfig> {
    let mut wrong = |key: &str, problem| section.errors.push(place.at(key).error(problem));
    let Some(url) = raw.url else {
        wrong("url", Problem::Needed);
        return None;
    };
    let at = web_url(&url);
    if at.as_ref().is_ok_and(|at| at.scheme() == "http" && !is_loopback(at)) {
        section.warnings.push(place.at("url").error(Problem::PlainHttp));
    }
    let mut wrong = |key: &str, problem| section.errors.push(place.at(key).error(problem));
    let at = at.map_err(|problem| wrong("url", problem));
    let jwks_url = raw.jwks_url.as_deref().map(web_url).transpose();
    let jwks_url = jwks_url.map_err(|problem| wrong("jwks_url", problem));
    let algorithms =
        raw.algorithms.unwrap_or_else(|| vec!["RS256".into(), "ES256".into(), "EdDSA".into()]);
    let algorithms = algorithms.iter().filter_map(|name| {
        let found = ALGORITHMS.iter().find(|(known, _)| known == name);
        if found.is_none() {
            wrong("algorithms", Problem::OneOf(KNOWN));
        }
        found.map(|(_, algorithm)| *algorithm)
    });
    let algorithms: Vec<_> = algorithms.collect();
    let leeway = raw.leeway.as_deref().map(|text| duration(text, Duration::from_millis(1)));
    let leeway = leeway.unwrap_or(Ok(Duration::from_secs(30)));
    let leeway = leeway.map_err(|problem| wrong("leeway", problem));
    let mut scopes = BTreeMap::new();
    for (theirs, ours) in raw.scopes {
        match Scope::of_name(&ours) {
            Some(scope) => drop(scopes.insert(theirs, scope)),
            None => wrong("scopes", Problem::OneOf(SCOPES)),
        }
    }
    if scopes.is_empty() {
        scopes = Scope::ALL.into_iter().map(|scope| (scope.name().to_owned(), scope)).collect();
    }
    for (map, claim, key) in [
        (&raw.profiles, &raw.profile_claim, "profile_claim"),
        (&raw.tenants, &raw.tenant_claim, "tenant_claim"),
    ] {
        if !map.is_empty() && claim.is_none() {
            wrong(key, Problem::Needed);
        }
    }
    let allow_private = raw.allow_private_addresses.unwrap_or(false);
    let introspection =
        (raw.introspection).and_then(|raw| introspection(raw, &place.at("introspection"), section));
    let console = raw.console.and_then(|raw| {
        let Some(client_id) = raw.client_id else {
            section.errors.push(place.at("console").at("client_id").error(Problem::Needed));
            return None;
        };
        // As other clients are told to ask for.
        let usual = || {
            let usual = [Scope::Search, Scope::Call];
            let name = |scope| scopes.iter().find(|(_, ours)| **ours == scope);
            usual.into_iter().filter_map(name).map(|(theirs, _)| theirs.clone()).collect()
        };
        Some(ConsoleLogin { client_id, scopes: raw.scopes.unwrap_or_else(usual) })
    });
    let audience = raw.audience.or_else(|| resource.map(str::to_owned)).unwrap_or_default();
    let mapped = |claim: Option<String>, values| claim.map(|claim| Mapped { claim, values });
    Some(IssuerConfig {
        url,
        at: at.ok()?,
        jwks_url: jwks_url.ok()?,
        audience,
        algorithms,
        leeway: leeway.ok()?,
        scopes,
        profile: mapped(raw.profile_claim, raw.profiles),
        tenant: mapped(raw.tenant_claim, raw.tenants),
        introspection,
        console,
        allow_private,
    })
}

fn introspection(
    raw: RawIntrospection,
    place: &Place,
    section: &mut Section<'_>,
) -> Option<Introspection> {
    let mut wrong = |key: &str, problem| {
        section.errors.push(place.at(key).error(problem));
        None::<Introspection>
    };
    let Some(url) = raw.url else { return wrong("url", Problem::Needed) };
    let url = match web_url(&url) {
        Ok(url) => url,
        Err(problem) => return wrong("url", problem),
    };
    let Some(client_id) = raw.client_id else { return wrong("client_id", Problem::Needed) };
    let secret = match (raw.client_secret_env, raw.client_secret_file) {
        (Some(name), None) => match (section.environment)(&name).filter(|text| !text.is_empty()) {
            Some(secret) => secret,
            None => return wrong("client_secret_env", Problem::NotSet(name)),
        },
        (None, Some(file)) => {
            let path = section.base.join(&file);
            match std::fs::read_to_string(&path) {
                Ok(text) => {
                    section.files.push(path);
                    text.trim().to_owned()
                }
                Err(error) => {
                    let problem = Problem::Unreadable(format!("{file}: {error}"));
                    return wrong("client_secret_file", problem);
                }
            }
        }
        (Some(_), Some(_)) => return wrong("client_secret_file", Problem::KeyTwice),
        (None, None) => return wrong("client_secret_env", Problem::Needed),
    };
    Some(Introspection { url, client_id, client_secret: secret.into() })
}

/// For `config check`.
pub(super) fn shown(config: &IssuerConfig) -> RawIssuer {
    let name = |algorithm: &Algorithm| {
        ALGORITHMS.iter().find(|(_, known)| known == algorithm).map(|(name, _)| (*name).to_owned())
    };
    let claim = |mapped: &Option<Mapped>| mapped.as_ref().map(|it| it.claim.clone());
    let values =
        |mapped: &Option<Mapped>| mapped.as_ref().map(|it| it.values.clone()).unwrap_or_default();
    let scopes = config.scopes.iter();
    RawIssuer {
        url: Some(config.url.clone()),
        jwks_url: config.jwks_url.as_ref().map(ToString::to_string),
        audience: Some(config.audience.clone()),
        algorithms: Some(config.algorithms.iter().filter_map(name).collect()),
        leeway: Some(humantime::format_duration(config.leeway).to_string()),
        scopes: scopes.map(|(theirs, ours)| (theirs.clone(), ours.name().to_owned())).collect(),
        profile_claim: claim(&config.profile),
        profiles: values(&config.profile),
        tenant_claim: claim(&config.tenant),
        tenants: values(&config.tenant),
        introspection: config.introspection.as_ref().map(|it| RawIntrospection {
            url: Some(it.url.to_string()),
            client_id: Some(it.client_id.clone()),
            client_secret_env: Some("****".into()),
            client_secret_file: None,
        }),
        console: config.console.as_ref().map(|it| RawConsole {
            client_id: Some(it.client_id.clone()),
            scopes: Some(it.scopes.clone()),
        }),
        allow_private_addresses: config.allow_private.then_some(true),
    }
}
