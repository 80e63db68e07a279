//! `[cluster]`.
//!
//! Invariant: without a `database_url` nothing is shared and no database is asked; a URL is a secret
//! and only shown without its password.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use super::error::Problem;
use super::expand::expand;
use super::load::Section;
use super::server::duration;

/// The shortest time after which a replica that says nothing is taken for dead.
const LEAST_LEASE: Duration = Duration::from_secs(1);
/// The shortest time between two looks.
const LEAST_POLL: Duration = Duration::from_millis(50);

/// `[cluster]`.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawCluster {
    pub database_url: Option<String>,
    pub read_url: Option<String>,
    pub ca_file: Option<String>,
    pub replica: Option<String>,
    pub lease: Option<String>,
    pub poll: Option<String>,
    pub listen: Option<bool>,
    pub connections: Option<usize>,
    pub timeout: Option<String>,
}

/// The database that replicas share.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// PostgreSQL 15 or newer, or a pooler before it.
    pub database: SecretString,
    /// Where followers read, such as a standby; `None` for the same.
    pub read: Option<SecretString>,
    /// Certificates to trust besides those of the system.
    pub ca_file: Option<PathBuf>,
    /// The name of this replica; `None` for one that is made at the start.
    pub replica: Option<String>,
    /// A replica that says nothing for so long loses its servers to others.
    pub lease: Duration,
    /// How often versions are looked at.
    pub poll: Duration,
    /// Notifications are listened to, which a pooler of transactions does not pass on.
    pub listen: bool,
    /// Connections to the database, at most.
    pub connections: usize,
    /// The longest statement, and the longest wait for a connection.
    pub timeout: Duration,
}

/// Checks the section.
pub(super) fn resolve(raw: RawCluster, section: &mut Section<'_>) -> Option<ClusterConfig> {
    let place = section.place.at("cluster");
    let mut url = |key: &str, text: Option<String>| {
        let found = parse(&expand(&text?, section.environment).map(|text| text.text));
        found.map_err(|problem| section.errors.push(place.at(key).error(problem))).ok()
    };
    let (database, read) = (url("database_url", raw.database_url), url("read_url", raw.read_url));
    let mut time = |key: &str, text: Option<String>, least, usual| {
        text.map_or(Ok(usual), |text| duration(&text, least)).unwrap_or_else(|problem| {
            section.errors.push(place.at(key).error(problem));
            usual
        })
    };
    let lease = time("lease", raw.lease, LEAST_LEASE, Duration::from_secs(15));
    let poll = time("poll", raw.poll, LEAST_POLL, Duration::from_secs(1));
    let timeout = time("timeout", raw.timeout, Duration::from_secs(1), Duration::from_secs(10));
    let connections = raw.connections.unwrap_or(4);
    if connections == 0 {
        section.errors.push(place.at("connections").error(Problem::OneOf("a number above 0")));
    }
    if raw.replica.as_ref().is_some_and(|name| name.trim().is_empty()) {
        section.errors.push(place.at("replica").error(Problem::OneOf("a name")));
    }
    Some(ClusterConfig {
        database: database?,
        read,
        ca_file: raw.ca_file.map(|path| section.base.join(path)),
        replica: raw.replica,
        lease,
        poll,
        listen: raw.listen.unwrap_or(true),
        connections,
        timeout,
    })
}

fn parse(text: &Result<String, Problem>) -> Result<SecretString, Problem> {
    let text = text.as_ref().map_err(Clone::clone)?;
    let url = Url::parse(text).map_err(|error| Problem::Url(error.to_string()))?;
    match url.scheme() {
        "postgres" | "postgresql" => Ok(text.as_str().into()),
        other => Err(Problem::NotPostgres(other.to_owned())),
    }
}

/// The section as it was resolved, for `config check`: no secret is in it.
pub(super) fn shown(config: &ClusterConfig) -> RawCluster {
    let bare = |url: &SecretString| {
        Url::parse(url.expose_secret()).ok().map(|url| super::show::bare(&url))
    };
    let time = |time| Some(humantime::format_duration(time).to_string());
    RawCluster {
        database_url: bare(&config.database),
        read_url: config.read.as_ref().and_then(bare),
        ca_file: config.ca_file.as_ref().map(|path| path.display().to_string()),
        replica: config.replica.clone(),
        lease: time(config.lease),
        poll: time(config.poll),
        listen: Some(config.listen),
        connections: Some(config.connections),
        timeout: time(config.timeout),
    }
}
