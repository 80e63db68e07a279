//! The resolved configuration as text, for `toolscout config check`.
//!
//! Invariant: no header value, API key, environment value, URL user or query, and nothing that a variable
//! filled in, is shown.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use url::Url;

use super::audit::RawAudit;
use super::cluster::RawCluster;
use super::inbound::RawAuth;
use super::limits::RawLimits;
use super::profile::RawProfile;
use super::telemetry::RawTelemetry;
use super::tenant::RawTenant;
use super::tls::RawTls;
use super::{
    Alias, Allow, Auth, CallConfig, Config, EndpointConfig, Grant, Loaded, NameFilter, OAuthConfig,
    Proxy, RegistryConfig, ServerConfig, TokenKey, Transport, audit, cluster, inbound, limits,
    secret, telemetry, tenant, tls,
};
use crate::embed::IN_BINARY;
use crate::trust::policy::{Action, Rule, Rules};

pub(super) const MASK: &str = "****";

#[derive(Serialize)]
struct Shown<'a> {
    listen: String,
    allow_anonymous: bool,
    allowed_hosts: &'a [String],
    allowed_origins: &'a [String],
    data: String,
    crawl: ShownCrawl,
    trust: ShownTrust,
    call: ShownCall,
    mcp: ShownMcp<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    learn: Option<ShownLearn>,
    embed: ShownEmbed,
    rerank: Option<ShownRerank>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    registry: Vec<ShownRegistry>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    profiles: BTreeMap<&'a str, RawProfile>,
    token_key: &'static str,
    auth: RawAuth,
    limits: RawLimits,
    tls: RawTls,
    telemetry: RawTelemetry,
    audit: RawAudit,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<RawCluster>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tenants: BTreeMap<&'a str, RawTenant>,
    servers: BTreeMap<&'a str, ShownServer>,
}

#[derive(Serialize)]
struct ShownCrawl {
    concurrency: usize,
    max_pages: usize,
    max_tools: usize,
    max_bytes: usize,
}

#[derive(Serialize)]
struct ShownTrust {
    pin: bool,
    #[serde(flatten)]
    rules: BTreeMap<&'static str, Action>,
}

#[derive(Serialize)]
struct ShownCall {
    enabled: bool,
    allow: Allow,
    timeout: String,
    max_timeout: String,
    idle: String,
    max_result_bytes: usize,
    max_concurrent: usize,
    max_per_server: usize,
}

#[derive(Serialize)]
struct ShownMcp<'a> {
    aliases: &'a [Alias],
    list_query: bool,
}

#[derive(Serialize)]
struct ShownLearn {
    enabled: bool,
    half_life: String,
    max_events: usize,
}

#[derive(Serialize)]
struct ShownEmbed {
    enabled: bool,
    model: String,
    /// Where something wants it.
    runtime: Option<String>,
    threads: usize,
    deadline: String,
    endpoint: Option<ShownEndpoint>,
}

#[derive(Serialize)]
struct ShownEndpoint {
    url: String,
    model: String,
    api_key: Option<&'static str>,
    dimensions: usize,
    batch: usize,
    timeout: String,
    retries: usize,
    query_prefix: String,
    passage_prefix: String,
}

#[derive(Serialize)]
struct ShownRerank {
    model: String,
    depth: usize,
    deadline: String,
}

#[derive(Serialize)]
struct ShownRegistry {
    name: String,
    url: String,
    filter: Option<Vec<String>>,
    remotes: Vec<&'static str>,
    max: usize,
    approve: &'static str,
    refresh: String,
    allow_private_addresses: bool,
}

#[derive(Serialize, Default)]
struct ShownServer {
    enabled: bool,
    title: Option<String>,
    command: Option<String>,
    args: Option<Vec<String>>,
    cwd: Option<String>,
    url: Option<String>,
    catalog: Option<String>,
    catalog_servers: Option<String>,
    allow: Option<Vec<String>>,
    deny: Option<Vec<String>>,
    timeout: String,
    refresh: String,
    pin: Option<bool>,
    call: Option<Allow>,
    env: Option<BTreeMap<String, &'static str>>,
    headers: Option<BTreeMap<String, &'static str>>,
    oauth: Option<ShownOAuth>,
    proxy: Option<String>,
    ca_file: Option<String>,
    client_cert_file: Option<String>,
    client_key_file: Option<String>,
    trust: Option<BTreeMap<&'static str, Action>>,
}

/// What is not as it is by default.
#[derive(Serialize)]
struct ShownOAuth {
    grant: &'static str,
    client_id: Option<String>,
    client_secret: Option<&'static str>,
    client_metadata_url: Option<String>,
    scopes: Vec<String>,
    redirect_port: u16,
    allow_private_addresses: bool,
}

impl Loaded {
    /// The configuration as TOML, with secrets masked.
    pub fn shown(&self) -> Result<String, toml::ser::Error> {
        let Config {
            listen,
            allow_anonymous,
            allowed_hosts,
            allowed_origins,
            data,
            demo: _,
            servers,
            crawl,
            defaults: _,
            trust,
            call,
            mcp,
            learn,
            embed,
            rerank,
            registries,
            profiles,
            token_key,
            auth,
            tenants,
            limits,
            tls,
            telemetry,
            audit,
            cluster,
        } = &self.config;
        let path = |path: &std::path::PathBuf| path.display().to_string();
        toml::to_string(&Shown {
            listen: listen.to_string(),
            allow_anonymous: *allow_anonymous,
            allowed_hosts,
            allowed_origins,
            data: path(data),
            crawl: ShownCrawl {
                concurrency: crawl.concurrency,
                max_pages: crawl.max_pages,
                max_tools: crawl.max_tools,
                max_bytes: crawl.max_bytes,
            },
            trust: ShownTrust { pin: trust.general.pin, rules: rules(&trust.general) },
            call: shown_call(call),
            mcp: ShownMcp { aliases: &mcp.aliases, list_query: mcp.list_query },
            learn: learn.map(|rules| ShownLearn {
                enabled: true,
                half_life: time(rules.half_life),
                max_events: rules.max_events,
            }),
            embed: ShownEmbed {
                enabled: embed.enabled,
                model: embed.model.as_ref().map_or_else(|| IN_BINARY.to_owned(), path),
                runtime: (embed.model.is_some() || rerank.is_some()).then(|| path(&embed.runtime)),
                threads: embed.threads,
                deadline: time(embed.deadline),
                endpoint: embed.endpoint.as_ref().map(endpoint),
            },
            rerank: rerank.as_ref().map(|rerank| ShownRerank {
                model: path(&rerank.model),
                depth: rerank.depth,
                deadline: time(rerank.deadline),
            }),
            registry: registries.iter().map(registry).collect(),
            profiles: profiles
                .iter()
                .map(|(name, profile)| (&**name, (&**profile).into()))
                .collect(),
            token_key: match token_key {
                TokenKey::Given(_) => MASK,
                TokenKey::Keyring => "keyring, else file",
                TokenKey::File => "file",
            },
            auth: inbound::shown(auth),
            limits: limits::shown(limits),
            tls: tls::shown(tls),
            telemetry: telemetry::shown(telemetry),
            audit: audit::shown(audit),
            cluster: cluster.as_ref().map(cluster::shown),
            tenants: tenant::shown(tenants),
            servers: (servers.iter())
                .map(|server| (server.id.as_str(), self.server(server)))
                .collect(),
        })
    }

    fn server(&self, server: &ServerConfig) -> ShownServer {
        let NameFilter { allow, deny } = &server.names;
        let own = self.config.trust.servers.get(&server.id);
        let shown = ShownServer {
            enabled: server.enabled,
            title: server.title.clone(),
            allow: allow.as_ref().map(|names| names.patterns().to_vec()),
            deny: Some(deny.patterns().to_vec()).filter(|patterns| !patterns.is_empty()),
            timeout: time(server.timeout),
            refresh: time(server.refresh),
            oauth: match &server.auth {
                Auth::Headers => None,
                Auth::OAuth(config) if *config == OAuthConfig::default() => None,
                Auth::OAuth(config) => Some(self.oauth(config)),
            },
            pin: own.map(|own| own.pin),
            call: self.config.call.servers.get(&server.id).copied(),
            trust: own.map(rules),
            ..ShownServer::default()
        };
        match &server.transport {
            Transport::Stdio { command, args, env, cwd } => ShownServer {
                command: Some(self.hide(command)),
                args: Some(self.arguments(args)),
                cwd: cwd.as_ref().map(|cwd| cwd.display().to_string()),
                env: masked(env),
                ..shown
            },
            Transport::Http { url, headers } => {
                let path = |path: &std::path::PathBuf| path.display().to_string();
                let (network, client) = (&server.network, server.network.client.as_ref());
                ShownServer {
                    url: Some(self.hide(&bare(url))),
                    headers: masked(headers),
                    proxy: match &network.proxy {
                        Proxy::Environment => None,
                        Proxy::None => Some("none".into()),
                        Proxy::Through(url) => Some(self.hide(&bare(url))),
                    },
                    ca_file: network.ca.as_ref().map(path),
                    client_cert_file: client.map(|client| path(&client.certificate)),
                    client_key_file: client.and_then(|client| client.key.as_ref()).map(path),
                    ..shown
                }
            }
            Transport::Catalog { path, servers } => ShownServer {
                catalog: Some(path.display().to_string()),
                catalog_servers: servers.as_ref().map(|path| path.display().to_string()),
                ..shown
            },
        }
    }

    fn oauth(&self, config: &OAuthConfig) -> ShownOAuth {
        ShownOAuth {
            grant: match config.grant {
                Grant::AuthorizationCode => "authorization_code",
                Grant::ClientCredentials => "client_credentials",
            },
            client_id: config.client_id.as_deref().map(|id| self.hide(id)),
            client_secret: config.client_secret.as_ref().map(|_| MASK),
            client_metadata_url: config.client_metadata_url.as_ref().map(bare),
            scopes: config.scopes.iter().map(|scope| self.hide(scope)).collect(),
            redirect_port: config.redirect_port,
            allow_private_addresses: config.allow_private_addresses,
        }
    }

    /// `text` without what variables filled in.
    fn hide(&self, text: &str) -> String {
        self.filled_in
            .iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret.expose_secret(), MASK))
    }

    /// Arguments, without values whose names sound like secrets: `--token=x`, `--token x`,
    /// `--header "Authorization: x"`.
    fn arguments(&self, arguments: &[String]) -> Vec<String> {
        let mut after_secret = false;
        let mask = |argument: &String| {
            let (name, rest) = match argument.split_once(['=', ':']) {
                Some((name, _)) => (name, Some(&argument[name.len()..=name.len()])),
                None => (argument.as_str(), None),
            };
            let secret = sounds_secret(name);
            let masked = match rest {
                _ if after_secret => MASK.to_owned(),
                Some(separator) if secret => format!("{name}{separator}{MASK}"),
                _ => self.hide(argument),
            };
            after_secret = secret && rest.is_none() && argument.starts_with('-');
            masked
        };
        let mut plain = arguments.to_vec();
        // From the end on, so that what is before stays where it is.
        for (place, found) in secret::in_args(arguments).into_iter().rev() {
            plain[place].replace_range(found.range, MASK);
        }
        plain.iter().map(mask).collect()
    }
}

fn shown_call(call: &CallConfig) -> ShownCall {
    ShownCall {
        enabled: call.enabled,
        allow: call.allow,
        timeout: time(call.timeout),
        max_timeout: time(call.max_timeout),
        idle: time(call.idle),
        max_result_bytes: call.max_result_bytes,
        max_concurrent: call.max_concurrent,
        max_per_server: call.max_per_server,
    }
}

/// Every rule and what follows from it.
fn rules(rules: &Rules) -> BTreeMap<&'static str, Action> {
    Rule::ALL.iter().map(|rule| (rule.name(), rules.action(*rule))).collect()
}

fn endpoint(endpoint: &EndpointConfig) -> ShownEndpoint {
    ShownEndpoint {
        url: bare(&endpoint.url),
        model: endpoint.model.clone(),
        api_key: endpoint.api_key.as_ref().map(|_| MASK),
        dimensions: endpoint.dimensions,
        batch: endpoint.batch,
        timeout: time(endpoint.timeout),
        retries: endpoint.retries,
        query_prefix: endpoint.query_prefix.clone(),
        passage_prefix: endpoint.passage_prefix.clone(),
    }
}

fn registry(registry: &RegistryConfig) -> ShownRegistry {
    ShownRegistry {
        name: registry.name.clone(),
        url: bare(&registry.url),
        filter: registry.filter.allow.as_ref().map(|names| names.patterns().to_vec()),
        remotes: registry.remotes.iter().map(|kind| kind.name()).collect(),
        max: registry.max,
        approve: registry.approve.name(),
        refresh: time(registry.refresh),
        allow_private_addresses: registry.allow_private,
    }
}

fn sounds_secret(name: &str) -> bool {
    const WORDS: [&str; 5] = ["token", "key", "secret", "password", "authorization"];
    let name = name.to_lowercase();
    WORDS.iter().any(|word| name.contains(word))
}

fn time(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

fn masked(map: &[(String, SecretString)]) -> Option<BTreeMap<String, &'static str>> {
    let masked: BTreeMap<_, _> = map.iter().map(|(key, _)| (key.clone(), MASK)).collect();
    Some(masked).filter(|map| !map.is_empty())
}

/// A URL without its user, password, query values and fragment.
pub(super) fn bare(url: &Url) -> String {
    let mut url = url.clone();
    if !url.username().is_empty() || url.password().is_some() {
        // Can't fail: only URLs with a host, http and https, come here.
        let _ = url.set_password(None);
        let _ = url.set_username(MASK);
    }
    if url.query().is_some() {
        url.set_query(Some(MASK));
    }
    url.set_fragment(None);
    let mut shown = String::from(url);
    for found in secret::in_url(&shown).into_iter().rev() {
        shown.replace_range(found.range, MASK);
    }
    shown
}
