//! `[tenants.NAME]`: those who share the process, each with a configuration of its own.
//!
//! Invariant: a tenant has nothing in common with another but the process: no folder, no key, and no
//! variable that is not named for it. What belongs to the process is refused in a tenant's file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::{ConfigError, ConfigErrors, Place, Problem};
use super::load::{Loaded, Section, Sources, load};
use super::{Config, CrawlConfig, Environment, Names, TokenKey};

/// The longest name: that of a label in DNS.
const LONGEST: usize = 63;
/// Where tenants keep what they keep, below the data folder.
const FOLDER: &str = "tenants";
/// What is said once for the whole process.
const OF_PROCESS: [&[&str]; 15] = [
    &["listen"],
    &["allow_anonymous"],
    &["allowed_hosts"],
    &["allowed_origins"],
    &["data"],
    &["crawl", "concurrency"],
    &["embed"],
    &["rerank"],
    &["auth"],
    &["limits"],
    &["tls"],
    &["telemetry"],
    &["audit"],
    &["cluster"],
    &["tenants"],
];

/// `[tenants.NAME]`.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTenant {
    pub config: Option<String>,
    pub enabled: Option<bool>,
    pub data: Option<String>,
    pub variables: Option<Vec<String>>,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantConfig {
    /// It is served.
    pub enabled: bool,
    /// Its own configuration.
    pub file: PathBuf,
    /// Where its snapshot, logins and history are.
    pub data: PathBuf,
    /// The variables that its file may fill in.
    pub variables: Names,
}

/// Checks the section; `data` is the folder of the process.
pub(super) fn resolve(
    raw: BTreeMap<String, RawTenant>,
    data: Option<&Path>,
    section: &mut Section<'_>,
) -> BTreeMap<String, TenantConfig> {
    let place = section.place.at("tenants");
    let (base, errors) = (section.base, &mut *section.errors);
    let mut taken: BTreeSet<PathBuf> = data.map(Path::to_owned).into_iter().collect();
    let mut tenants = BTreeMap::new();
    for (name, raw) in raw {
        let place = place.at(&name);
        let plain = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-');
        if name.is_empty() || name.len() > LONGEST || !name.chars().all(plain) {
            errors.push(place.error(Problem::TenantName));
            continue;
        }
        let variables = Names::new(&raw.variables.unwrap_or_default()).unwrap_or_else(|wrong| {
            let place = place.at("variables");
            errors.extend(wrong.iter().map(|glob| place.error(Problem::Glob(glob.to_string()))));
            Names::default()
        });
        let Some(file) = raw.config.filter(|file| !file.is_empty()) else {
            errors.push(place.at("config").error(Problem::Needed));
            continue;
        };
        let own = raw.data.map(|path| base.join(path));
        // Without a data folder there is an error already.
        let own = own.or_else(|| Some(data?.join(FOLDER).join(&name))).unwrap_or_default();
        if !taken.insert(own.clone()) && data.is_some() {
            errors.push(place.at("data").error(Problem::FolderTwice));
        }
        let (enabled, file) = (raw.enabled.unwrap_or(true), base.join(file));
        tenants.insert(name, TenantConfig { enabled, file, data: own, variables });
    }
    tenants
}

/// The section as it was resolved, for `config check`: nothing of it is secret.
pub(super) fn shown(tenants: &BTreeMap<String, TenantConfig>) -> BTreeMap<&str, RawTenant> {
    let one = |tenant: &TenantConfig| RawTenant {
        config: Some(tenant.file.display().to_string()),
        enabled: Some(tenant.enabled),
        data: Some(tenant.data.display().to_string()),
        variables: Some(tenant.variables.patterns().to_vec()),
    };
    tenants.iter().map(|(name, tenant)| (name.as_str(), one(tenant))).collect()
}

/// What a tenant's file says of what belongs to the process.
pub(super) fn refuse_of_process(place: &Place, errors: &mut Vec<ConfigError>) {
    for path in OF_PROCESS {
        let key = path.iter().fold(place.clone(), |place, key| place.at(key));
        if key.is_written() {
            errors.push(key.error(Problem::OfProcess));
        }
    }
}

/// Reads the configuration of a tenant of `main`, which came of `sources`.
pub fn load_tenant(
    tenant: &TenantConfig,
    main: &Config,
    sources: &Sources,
    environment: &Environment<'_>,
) -> Result<Loaded, ConfigErrors> {
    // Commands are looked for where those of everybody are.
    let sees = |name: &str| name == "PATH" || tenant.variables.matches(name);
    let of_tenant = |name: &str| environment(name).filter(|_| sees(name));
    let file = tenant.file.strip_prefix(&sources.folder).unwrap_or(&tenant.file);
    let sources = Sources {
        folder: sources.folder.clone(),
        config: Some(file.to_owned()),
        data: Some(tenant.data.clone()),
        of_tenant: true,
        ..Sources::default()
    };
    let loaded = load(&sources, &of_tenant).map_err(|ConfigErrors(mut errors)| {
        for error in &mut errors {
            if let Problem::Unset(name) | Problem::NotSet(name) = &error.problem
                && environment(name).is_some()
            {
                error.problem = Problem::NotOfTenant(name.clone());
            }
        }
        ConfigErrors(errors)
    })?;
    let Loaded { config, .. } = loaded;
    let token_key = match config.token_key {
        TokenKey::Keyring => main.token_key.clone(),
        own => own,
    };
    let config = Config {
        listen: main.listen,
        allow_anonymous: main.allow_anonymous,
        allowed_hosts: main.allowed_hosts.clone(),
        allowed_origins: main.allowed_origins.clone(),
        crawl: CrawlConfig { concurrency: main.crawl.concurrency, ..config.crawl },
        embed: main.embed.clone(),
        rerank: main.rerank.clone(),
        auth: main.auth.clone(),
        limits: main.limits.clone(),
        tls: main.tls.clone(),
        telemetry: main.telemetry.clone(),
        audit: main.audit.clone(),
        cluster: main.cluster.clone(),
        token_key,
        ..config
    };
    Ok(Loaded { config, ..loaded })
}
