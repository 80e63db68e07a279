//! Where a running toolscout is, for the commands that ask it.
//!
//! Invariant: only what stands in the way of that is an error; the rest of the configuration may be
//! as wrong as it likes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::check::Check;
use super::error::Problem;
use super::load::{Section, Sources, in_order, own_file};
use super::raw::RawConfig;
use super::tenant::RawTenant;
use super::{AuditConfig, ConfigErrors, Environment, RegistryConfig, audit, registry};

/// Where a service of this configuration listens.
pub fn service_address(
    sources: &Sources,
    environment: &Environment<'_>,
) -> Result<SocketAddr, ConfigErrors> {
    find("listen", sources, environment, |check, raw, _| check.listen(&raw, sources, environment))
}

/// Where it can be administered: there, or at the listener that operators have of their own.
pub fn admin_address(
    sources: &Sources,
    environment: &Environment<'_>,
) -> Result<SocketAddr, ConfigErrors> {
    let apart = find("auth", sources, environment, |check, raw, _| {
        let Some(text) = raw.auth.admin_listen else { return Some(None) };
        let parsed = text.parse().map_err(|_| Problem::Address(text));
        let place = check.place.at("auth").at("admin_listen");
        parsed.map(Some).map_err(|problem| check.errors.push(place.error(problem))).ok()
    });
    apart?.map_or_else(|| service_address(sources, environment), Ok)
}

/// It takes API keys.
pub fn takes_keys(sources: &Sources, environment: &Environment<'_>) -> Result<bool, ConfigErrors> {
    find("auth", sources, environment, |_, raw, _| Some(raw.auth.keys == Some(true)))
}

/// The profiles that it names, and the tenants with their configurations.
pub fn named_places(
    sources: &Sources,
    environment: &Environment<'_>,
) -> Result<Places, ConfigErrors> {
    find("profiles", sources, environment, |_, raw, base| {
        let file = |(name, raw): (String, RawTenant)| (name, raw.config.map(|at| base.join(at)));
        let tenants = raw.tenants.into_iter().map(file).collect();
        Some(Places { profiles: raw.profiles.into_keys().collect(), tenants })
    })
}

/// What a caller can be kept to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The names of profiles.
    pub profiles: BTreeSet<String>,
    /// Tenants by name, with the file of each where one is named.
    pub tenants: BTreeMap<String, Option<PathBuf>>,
}

/// The certificate that it listens with, if it speaks TLS.
pub fn service_certificate(
    sources: &Sources,
    environment: &Environment<'_>,
) -> Result<Option<PathBuf>, ConfigErrors> {
    find("tls", sources, environment, |_, raw, base| {
        Some(raw.tls.cert_file.map(|path| base.join(path)))
    })
}

/// Where it keeps what it keeps.
pub fn data_folder(
    sources: &Sources,
    environment: &Environment<'_>,
) -> Result<PathBuf, ConfigErrors> {
    if let Some(data) = &sources.data {
        return Ok(sources.folder.join(data));
    }
    find("data", sources, environment, |check, raw, base| {
        check.data(&raw, base, sources, environment)
    })
}

/// The registries that it follows.
pub fn followed_registries(
    sources: &Sources,
    environment: &Environment<'_>,
) -> Result<Vec<RegistryConfig>, ConfigErrors> {
    find("registry", sources, environment, |check, raw, _| {
        Some(registry::resolve(raw.registry, check.place, check.errors))
    })
}

/// What is kept of who did what, and where.
pub fn audit_config(
    sources: &Sources,
    environment: &Environment<'_>,
) -> Result<AuditConfig, ConfigErrors> {
    find("audit", sources, environment, |check, raw, base| {
        let mut section = Section {
            place: check.place,
            base,
            environment,
            errors: check.errors,
            warnings: &mut Vec::new(),
            files: &mut Vec::new(),
        };
        Some(audit::resolve(raw.audit, &mut section))
    })
}

/// What `take` makes of the file, where neither that key nor the file as a whole is wrong.
fn find<T>(
    key: &str,
    sources: &Sources,
    environment: &Environment<'_>,
    take: impl FnOnce(&mut Check<'_>, RawConfig, &Path) -> Option<T>,
) -> Result<T, ConfigErrors> {
    let mut errors = Vec::new();
    let (raw, place, base) =
        own_file(sources, environment, &mut Vec::new(), &mut Vec::new(), &mut errors);
    errors.retain(|error| error.key.is_empty() || error.key.split('.').next() == Some(key));
    let found = take(&mut Check { place: &place, errors: &mut errors }, raw, &base);
    found.filter(|_| errors.is_empty()).ok_or_else(|| in_order(errors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_for_has_to_be_right() {
        let folder = tempfile::tempdir().unwrap();
        let nothing = |_: &str| None;
        let said = |text: &str| Sources {
            folder: folder.path().to_owned(),
            text: Some(text.to_owned()),
            ..Sources::default()
        };
        let elsewhere = "data = 'kept'\nlisten = '127.0.0.1:9'\nodd = 1\n[servers.a]\ncomand = 'sh'\n\
                         [embed.endpoint]\napi_key_env = 'NOT_SET'\n[crawl]\ntimeout = 'soon'\n\
                         [[registry]]\nname = 'r'\nurl = 'https://r.test'";
        let sources = said(elsewhere);
        assert_eq!(data_folder(&sources, &nothing).unwrap(), folder.path().join("kept"));
        assert_eq!(service_address(&sources, &nothing).unwrap().port(), 9);
        assert_eq!(followed_registries(&sources, &nothing).unwrap()[0].name, "r");
        assert_eq!(admin_address(&sources, &nothing).unwrap().port(), 9);
        let apart =
            said("listen = '127.0.0.1:9'\n[auth]\nkeys = true\nadmin_listen = '127.0.0.1:8'");
        assert_eq!(admin_address(&apart, &nothing).unwrap().port(), 8);
        assert!(takes_keys(&apart, &nothing).unwrap() && !takes_keys(&sources, &nothing).unwrap());

        let places =
            named_places(&said("odd = 1\n[profiles.p]\n[tenants.t]\nconfig = 't.toml'"), &nothing);
        let Places { profiles, tenants } = places.unwrap();
        assert_eq!(
            (profiles, tenants["t"].clone()),
            (["p".into()].into(), Some(folder.path().join("t.toml")))
        );

        let wrong = said("listen = 'here'\ndata = 7\n[[registry]]\nname = 'r'");
        let told = [
            service_address(&wrong, &nothing).unwrap_err(),
            data_folder(&wrong, &nothing).unwrap_err(),
            followed_registries(&wrong, &nothing).unwrap_err(),
        ];
        for (ConfigErrors(errors), key) in told.iter().zip(["listen", "data", "registry.url"]) {
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert_eq!(errors[0].key, key);
        }
        // Of what is no TOML nothing is known, but nothing has to be.
        let garbage = said("[[[");
        assert!(service_address(&garbage, &nothing).is_err());
        assert!(data_folder(&garbage, &nothing).is_err());
        let told = Sources { data: Some("given".into()), ..garbage };
        assert_eq!(data_folder(&told, &nothing).unwrap(), folder.path().join("given"));
    }
}
