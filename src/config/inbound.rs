//! `[auth]`.
//!
//! Invariant: who may ask is said here or nobody is asked; no secret is kept in the clear.

mod issuer;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use self::issuer::RawIssuer;
pub use self::issuer::{ConsoleLogin, Introspection, IssuerConfig, Mapped};
use super::Names;
use super::error::{Place, Problem};
use super::load::Section;
use crate::access::caller::{Scope, Scopes};

const SCOPES: &str = "\"search\", \"call\" or \"admin\"";

/// `[auth]`.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAuth {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_listen: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub issuers: Vec<RawIssuer>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<RawCertificate>,
}

/// `[[auth.certificates]]`.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawCertificate {
    pub name: Option<String>,
    pub scopes: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
}

/// Who may ask, and how they show it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AuthConfig {
    /// By API keys.
    pub keys: bool,
    /// What access tokens have to be for: the public URL of this service.
    pub resource: Option<String>,
    /// By access tokens of these authorization servers.
    pub issuers: Vec<IssuerConfig>,
    /// By client certificates; the first that fits says what its holder may do.
    pub certificates: Vec<CertificateConfig>,
    /// Where what administers is served, and there alone.
    pub admin_listen: Option<SocketAddr>,
}

/// What the holder of a client certificate may do.
#[derive(Debug, Clone, PartialEq)]
pub struct CertificateConfig {
    /// The name in the certificate, as a glob.
    pub name: Names,
    /// What it may do.
    pub scopes: Scopes,
    /// The only view that it sees.
    pub profile: Option<String>,
    /// Whose tools it sees.
    pub tenant: Option<String>,
}

impl AuthConfig {
    /// Whoever comes is asked who it is.
    pub fn asks(&self) -> bool {
        self.keys || !self.issuers.is_empty() || !self.certificates.is_empty()
    }

    /// The profiles and the tenants that are named here.
    pub(super) fn named(&self) -> (BTreeSet<&str>, BTreeSet<&str>) {
        let mapped = |pick: fn(&IssuerConfig) -> Option<&Mapped>| {
            (self.issuers.iter()).filter_map(pick).flat_map(|it| it.values.values())
        };
        let certificates = self.certificates.iter();
        let profiles = certificates.clone().filter_map(|it| it.profile.as_ref());
        let tenants = certificates.filter_map(|it| it.tenant.as_ref());
        let profiles = profiles.chain(mapped(|it| it.profile.as_ref()));
        let tenants = tenants.chain(mapped(|it| it.tenant.as_ref()));
        (profiles.map(String::as_str).collect(), tenants.map(String::as_str).collect())
    }
}

impl RawAuth {
    /// As [`AuthConfig::asks`], before anything is checked.
    pub(super) fn asks(&self) -> bool {
        self.keys == Some(true) || !self.issuers.is_empty() || !self.certificates.is_empty()
    }
}

/// Checks the section.
pub(super) fn resolve(raw: RawAuth, section: &mut Section<'_>) -> AuthConfig {
    let place = section.place.at("auth");
    let (asks, has_issuers) = (raw.asks(), !raw.issuers.is_empty());
    let mut wrong = |key: &str, problem| section.errors.push(place.at(key).error(problem));
    let resource = match raw.resource.as_deref().map(issuer::web_url) {
        None => {
            if has_issuers {
                wrong("resource", Problem::Needed);
            }
            None
        }
        Some(Ok(_)) => raw.resource,
        Some(Err(problem)) => {
            wrong("resource", problem);
            None
        }
    };
    let admin_listen = raw.admin_listen.and_then(|text| match text.parse::<SocketAddr>() {
        Err(_) => {
            wrong("admin_listen", Problem::Address(text));
            None
        }
        Ok(address) if !address.ip().is_loopback() && !asks => {
            wrong("admin_listen", Problem::NotLoopback(address));
            None
        }
        Ok(address) => Some(address),
    });
    let certificates = raw.certificates.into_iter();
    let certificates =
        certificates.filter_map(|raw| certificate(raw, &place.at("certificates"), section));
    let certificates = certificates.collect();
    let issuers = raw.issuers.into_iter();
    let issuers = issuers.filter_map(|raw| {
        let place = section.place.at("auth").at("issuers");
        issuer::resolve(raw, resource.as_deref(), &place, section)
    });
    let issuers: Vec<_> = issuers.collect();
    for (at, issuer) in issuers.iter().enumerate() {
        if issuers[..at].iter().any(|other| other.url == issuer.url) {
            let place = section.place.at("auth").at("issuers").at("url");
            section.errors.push(place.error(Problem::Twice(issuer.url.clone())));
        }
    }
    let keys = raw.keys.unwrap_or(false);
    AuthConfig { keys, resource, issuers, certificates, admin_listen }
}

fn certificate(
    raw: RawCertificate,
    place: &Place,
    section: &mut Section<'_>,
) -> Option<CertificateConfig> {
    let Some(name) = raw.name else {
        section.errors.push(place.at("name").error(Problem::Needed));
        return None;
    };
    let scopes = raw.scopes.unwrap_or_else(|| vec![Scope::Search.name().into()]);
    let scopes = scopes_of(&scopes, &place.at("scopes"), section);
    match Names::new(&[name]) {
        Ok(name) => {
            Some(CertificateConfig { name, scopes, profile: raw.profile, tenant: raw.tenant })
        }
        Err(globs) => {
            for glob in globs {
                section.errors.push(place.at("name").error(Problem::Glob(glob.to_string())));
            }
            None
        }
    }
}

fn scopes_of(names: &[String], place: &Place, section: &mut Section<'_>) -> Scopes {
    let known = names.iter().filter_map(|name| {
        let scope = Scope::of_name(name);
        if scope.is_none() {
            section.errors.push(place.error(Problem::OneOf(SCOPES)));
        }
        scope
    });
    known.collect()
}

/// What is named here has to be there.
pub(super) fn check_names(
    auth: &AuthConfig,
    place: &Place,
    (profiles, tenants): (impl Fn(&str) -> bool, impl Fn(&str) -> bool),
    errors: &mut Vec<super::ConfigError>,
) {
    let named = auth.named();
    for profile in named.0.into_iter().filter(|name| !profiles(name)) {
        errors.push(place.at("auth").error(Problem::NoProfile(profile.to_owned())));
    }
    for tenant in named.1.into_iter().filter(|name| !tenants(name)) {
        errors.push(place.at("auth").error(Problem::NoTenant(tenant.to_owned())));
    }
}

/// The section as it was resolved, for `config check`: no secret is in it. What is not said is left
/// out.
pub(super) fn shown(config: &AuthConfig) -> RawAuth {
    let names =
        |scopes: Scopes| scopes.iter().map(|scope| scope.name().to_owned()).collect::<Vec<_>>();
    RawAuth {
        keys: config.keys.then_some(true),
        resource: config.resource.clone(),
        admin_listen: config.admin_listen.map(|address| address.to_string()),
        issuers: config.issuers.iter().map(issuer::shown).collect(),
        certificates: (config.certificates.iter())
            .map(|certificate| RawCertificate {
                name: certificate.name.patterns().first().cloned(),
                scopes: Some(names(certificate.scopes)),
                profile: certificate.profile.clone(),
                tenant: certificate.tenant.clone(),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests;
