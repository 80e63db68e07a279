//! One server entry: variables filled in, transport told, every value checked.
//!
//! Invariant: an entry becomes a [`ServerConfig`] only when nothing in it is wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::error::{ConfigError, Place, Problem};
use super::expand::expand;
use super::network::{self, Keys};
use super::raw::RawServer;
use super::{Auth, Environment, NameFilter, Names, NetworkConfig, ServerConfig, Transport};

mod credentials;

/// An entry and where it stands.
pub(super) struct Entry {
    pub id: String,
    pub place: Place,
    /// The folder that its relative paths start from.
    pub base: PathBuf,
    pub raw: RawServer,
    /// A key of it was left out for an error already told.
    pub damaged: bool,
}

/// What an entry becomes.
pub(super) struct Resolved {
    pub server: ServerConfig,
    /// The files that it was read from, besides the one that it stands in.
    pub files: Vec<PathBuf>,
}

/// What entries have that do not say otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// Time for one whole crawl.
    pub timeout: Duration,
    /// Time between crawls, before jitter.
    pub refresh: Duration,
    /// What lies on the way, where that is HTTP.
    pub network: NetworkConfig,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            timeout: Duration::from_mins(1),
            refresh: Duration::from_mins(15),
            network: NetworkConfig::default(),
        }
    }
}

/// Resolves an entry, or says everything that is wrong with it.
pub(super) fn resolve(
    entry: Entry,
    defaults: &Defaults,
    environment: &Environment<'_>,
    warnings: &mut Vec<ConfigError>,
) -> Result<Resolved, Vec<ConfigError>> {
    let Entry { id, place, base, mut raw, damaged } = entry;
    let mut errors = Vec::new();
    if id.trim().is_empty() || id.chars().any(char::is_control) {
        errors.push(place.error(Problem::Id));
    }
    let mut filled_in = Vec::new();
    for (key, text) in raw.strings() {
        match expand(text, environment) {
            Ok(expanded) => {
                if expanded.text.contains('\0') {
                    errors.push(place.at(key).error(Problem::Nul));
                }
                *text = expanded.text;
                filled_in.extend(expanded.filled_in);
            }
            Err(problem) => errors.push(place.at(key).error(problem)),
        }
    }
    if !errors.is_empty() {
        // Half-expanded values would only give errors that follow from these.
        return Err(errors);
    }
    let files = raw.files().map(|path| base.join(path)).collect();
    let mut check = Check { place: &place, base: &base, environment, errors: &mut errors };
    let allow = raw.allow.take().map(|globs| check.globs("allow", &globs));
    let deny = check.globs("deny", &raw.deny.take().unwrap_or_default());
    let timeout = check.time("timeout", raw.timeout.take(), defaults.timeout);
    let refresh = check.time("refresh", raw.refresh.take(), defaults.refresh);
    let (enabled, title) = (raw.enabled.unwrap_or(true), raw.title.take());
    let network = check.network(&mut raw, &defaults.network);
    let transport = check.transport(raw, damaged);
    match transport {
        Some((transport, auth)) if errors.is_empty() => {
            if enabled {
                warn(&place, &transport, environment, warnings);
            }
            let server = ServerConfig {
                id: id.into(),
                enabled,
                title,
                names: NameFilter { allow, deny },
                timeout,
                refresh,
                network,
                guard: None,
                transport,
                auth,
                filled_in: filled_in.into_iter().map(SecretString::from).collect(),
            };
            Ok(Resolved { server, files })
        }
        _ => Err(errors),
    }
}

/// Checks values, and gathers what is wrong with them.
struct Check<'a> {
    place: &'a Place,
    base: &'a Path,
    environment: &'a Environment<'a>,
    errors: &'a mut Vec<ConfigError>,
}

impl Check<'_> {
    /// `key` may lead into a table: `oauth.grant`.
    fn error(&mut self, key: &str, problem: Problem) {
        let place = key.split('.').fold(self.place.clone(), |place, key| place.at(key));
        self.errors.push(place.error(problem));
    }

    fn transport(&mut self, raw: RawServer, damaged: bool) -> Option<(Transport, Auth)> {
        match (&raw.command, &raw.url, &raw.catalog) {
            (Some(_), None, None) => Some((self.stdio(raw), Auth::Headers)),
            (None, Some(_), None) => self.http(raw),
            (None, None, Some(_)) => Some((self.catalog(raw), Auth::Headers)),
            (None, None, None) => {
                if !damaged {
                    self.errors.push(self.place.error(Problem::NoTransport));
                }
                None
            }
            (command, url, catalog) => {
                let ways = [
                    ("`command`", command.is_some()),
                    ("`url`", url.is_some()),
                    ("`catalog`", catalog.is_some()),
                ];
                let given: Vec<_> = ways.iter().filter(|way| way.1).map(|way| way.0).collect();
                let problem = Problem::SeveralTransports(given.join(", "));
                self.errors.push(self.place.error(problem));
                None
            }
        }
    }

    fn stdio(&mut self, raw: RawServer) -> Transport {
        self.only("command", &raw);
        let command = raw.command.unwrap_or_default();
        if command.trim().is_empty() {
            self.error("command", Problem::Empty);
        }
        let mut env = raw.env_file.map(|file| self.env_file(&file)).unwrap_or_default();
        env.extend(raw.env.unwrap_or_default());
        for name in env.keys() {
            if name.is_empty() || name.contains(['=', '\0']) {
                let key = self.place.at("env").at(name);
                self.errors.push(key.error(Problem::EnvName));
            }
        }
        Transport::Stdio {
            command,
            args: raw.args.unwrap_or_default(),
            env: secret(env),
            cwd: raw.cwd.map(|cwd| self.base.join(cwd)),
        }
    }

    /// The variables of a file. Lines that can't be read are told by their number alone, since
    /// they may hold secrets.
    fn env_file(&mut self, shown: &str) -> BTreeMap<String, String> {
        let text = match std::fs::read_to_string(self.base.join(shown)) {
            Ok(text) => text,
            Err(error) => {
                self.error("env_file", Problem::Unreadable(format!("{shown}: {error}")));
                return BTreeMap::new();
            }
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let mut variables = BTreeMap::new();
        for pair in dotenvy::from_read_iter(text.as_bytes()) {
            match pair {
                Ok((name, value)) => {
                    variables.insert(name, value);
                }
                Err(error) => {
                    let bad = match &error {
                        dotenvy::Error::LineParse(bad, _) => bad.as_str(),
                        _ => "",
                    };
                    let before = text.find(bad).unwrap_or_default();
                    let line = super::error::line_at(text, before);
                    self.error("env_file", Problem::EnvFile { path: shown.into(), line });
                    break;
                }
            }
        }
        variables
    }

    fn http(&mut self, mut raw: RawServer) -> Option<(Transport, Auth)> {
        self.only("url", &raw);
        let url = self.url(&raw.url.take().unwrap_or_default());
        let mut headers = raw.headers.take().unwrap_or_default();
        let auth = self.credentials(&raw, &mut headers);
        let mut seen = Vec::new();
        for (name, value) in &headers {
            let key = self.place.at("headers").at(name);
            match HeaderName::try_from(name) {
                Err(_) => self.errors.push(key.error(Problem::HeaderName)),
                Ok(name) if seen.contains(&name) => {
                    self.errors.push(key.error(Problem::HeaderTwice));
                }
                Ok(name) => seen.push(name),
            }
            if HeaderValue::try_from(value).is_err() {
                self.errors.push(key.error(Problem::HeaderValue));
            }
        }
        Some((Transport::Http { url: url?, headers: secret(headers) }, auth))
    }

    /// Keys that mean nothing for other transports than HTTP.
    fn network(&mut self, raw: &mut RawServer, default: &NetworkConfig) -> NetworkConfig {
        let keys = Keys {
            proxy: raw.proxy.take(),
            ca_file: raw.ca_file.take(),
            client_cert_file: raw.client_cert_file.take(),
            client_key_file: raw.client_key_file.take(),
        };
        let other = raw.command.as_ref().map(|_| "command");
        let Some(other) = other.or_else(|| raw.catalog.as_ref().map(|_| "catalog")) else {
            return network::resolve(keys, default, (self.place, self.base), self.errors);
        };
        for (key, given) in keys.given() {
            if given {
                self.error(key, Problem::Misplaced(other));
            }
        }
        NetworkConfig::default()
    }

    fn catalog(&mut self, raw: RawServer) -> Transport {
        self.only("catalog", &raw);
        let path = self.file("catalog", &raw.catalog.unwrap_or_default());
        let servers = raw.catalog_servers.map(|servers| self.file("catalog_servers", &servers));
        Transport::Catalog { path, servers }
    }

    /// Keys of other transports are mistakes, not decoration.
    fn only(&mut self, transport: &'static str, raw: &RawServer) {
        let keys = [
            ("args", "command", raw.args.is_some()),
            ("env", "command", raw.env.is_some()),
            ("env_file", "command", raw.env_file.is_some()),
            ("cwd", "command", raw.cwd.is_some()),
            ("headers", "url", raw.headers.is_some()),
            ("bearer_token", "url", raw.bearer_token.is_some()),
            ("bearer_token_file", "url", raw.bearer_token_file.is_some()),
            ("bearer_token_env", "url", raw.bearer_token_env.is_some()),
            ("basic_user", "url", raw.basic_user.is_some()),
            ("basic_password", "url", raw.basic_password.is_some()),
            ("basic_password_file", "url", raw.basic_password_file.is_some()),
            ("basic_password_env", "url", raw.basic_password_env.is_some()),
            ("api_key", "url", raw.api_key.is_some()),
            ("api_key_file", "url", raw.api_key_file.is_some()),
            ("api_key_env", "url", raw.api_key_env.is_some()),
            ("api_key_header", "url", raw.api_key_header.is_some()),
            ("auth", "url", raw.auth.is_some()),
            ("oauth", "url", raw.oauth.is_some()),
            ("catalog_servers", "catalog", raw.catalog_servers.is_some()),
        ];
        for (key, home, given) in keys {
            if given && home != transport {
                self.error(key, Problem::Misplaced(transport));
            }
        }
    }

    fn url(&mut self, text: &str) -> Option<Url> {
        match Url::parse(text) {
            Err(error) => self.error("url", Problem::Url(error.to_string())),
            Ok(url) if !matches!(url.scheme(), "http" | "https") => {
                self.error("url", Problem::Scheme(url.scheme().into()));
            }
            Ok(url) => return Some(url),
        }
        None
    }

    fn file(&mut self, key: &str, path: &str) -> PathBuf {
        let path = self.base.join(path);
        if !path.is_file() {
            self.error(key, Problem::NoFile(path.display().to_string()));
        }
        path
    }

    fn globs(&mut self, key: &str, globs: &[String]) -> Names {
        Names::new(globs).unwrap_or_else(|wrong| {
            for error in wrong {
                self.error(key, Problem::Glob(error.to_string()));
            }
            Names::default()
        })
    }

    fn time(&mut self, key: &str, text: Option<String>, default: Duration) -> Duration {
        let Some(text) = text else { return default };
        duration(&text, Duration::from_secs(1)).unwrap_or_else(|problem| {
            self.error(key, problem);
            default
        })
    }
}

/// A duration of `least` or more.
pub(super) fn duration(text: &str, least: Duration) -> Result<Duration, Problem> {
    let duration =
        humantime::parse_duration(text).map_err(|_| Problem::Duration(text.to_owned()))?;
    if duration < least {
        let least = if least.as_secs() > 0 { "1s" } else { "1ms" };
        return Err(Problem::TooSmall { least });
    }
    Ok(duration)
}

fn secret(map: BTreeMap<String, String>) -> Vec<(String, SecretString)> {
    map.into_iter().map(|(key, value)| (key, value.into())).collect()
}

/// What is legal, and yet may not be meant.
fn warn(
    place: &Place,
    transport: &Transport,
    environment: &Environment<'_>,
    warnings: &mut Vec<ConfigError>,
) {
    match transport {
        Transport::Stdio { command, env, cwd, .. } => {
            let own = env.iter().find(|(name, _)| name == "PATH");
            let path = own
                .map(|(_, value)| value.expose_secret().to_owned())
                .or_else(|| environment("PATH"));
            let from = cwd.clone().unwrap_or_else(|| ".".into());
            if which::which_in(command, path, from).is_err() {
                let problem = Problem::NoCommand(command.clone());
                warnings.push(place.at("command").error(problem));
            }
        }
        Transport::Http { url, headers } => {
            let credentials = url.password().is_some()
                || headers
                    .iter()
                    .any(|(name, _)| name.eq_ignore_ascii_case(AUTHORIZATION.as_str()));
            if url.scheme() == "http" && credentials && !is_loopback(url) {
                warnings.push(place.at("url").error(Problem::PlainHttp));
            }
        }
        Transport::Catalog { .. } => {}
    }
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
