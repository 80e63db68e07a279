//! The configuration as written: every key optional, nothing checked but its type.
//!
//! Invariant: these structs name every key of `toolscout.toml`, and no others are accepted. They
//! hold secrets in the clear and so have no `Debug`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::audit::RawAudit;
use super::cluster::RawCluster;
use super::inbound::RawAuth;
use super::limits::RawLimits;
use super::profile::RawProfile;
use super::telemetry::RawTelemetry;
use super::tenant::RawTenant;
use super::tls::RawTls;

/// `toolscout.toml`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawConfig {
    pub listen: Option<String>,
    pub allow_anonymous: Option<bool>,
    pub allowed_hosts: Vec<String>,
    pub allowed_origins: Vec<String>,
    pub data: Option<String>,
    pub crawl: RawCrawl,
    pub trust: RawTrust,
    pub call: RawCall,
    pub mcp: RawMcp,
    pub learn: RawLearn,
    pub embed: RawEmbed,
    pub rerank: Option<RawRerank>,
    pub registry: Vec<RawRegistry>,
    pub profiles: BTreeMap<String, RawProfile>,
    pub token_key_file: Option<String>,
    pub token_keyring: Option<bool>,
    pub auth: RawAuth,
    pub limits: RawLimits,
    pub tls: RawTls,
    pub telemetry: RawTelemetry,
    pub audit: RawAudit,
    pub cluster: RawCluster,
    pub tenants: BTreeMap<String, RawTenant>,
    pub servers: BTreeMap<String, RawServer>,
}

/// `[crawl]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawCrawl {
    pub concurrency: Option<usize>,
    pub max_pages: Option<usize>,
    pub max_tools: Option<usize>,
    pub max_bytes: Option<usize>,
    pub timeout: Option<String>,
    pub refresh: Option<String>,
    pub proxy: Option<String>,
    pub ca_file: Option<String>,
    pub client_cert_file: Option<String>,
    pub client_key_file: Option<String>,
}

/// `[trust]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTrust {
    pub pin: Option<bool>,
    pub injection: Option<String>,
    pub hidden_text: Option<String>,
    pub stuffing: Option<String>,
    pub shadow: Option<String>,
    pub lookalike: Option<String>,
}

/// `[call]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawCall {
    pub enabled: Option<bool>,
    pub allow: Option<String>,
    pub timeout: Option<String>,
    pub max_timeout: Option<String>,
    pub idle: Option<String>,
    pub max_result_bytes: Option<usize>,
    pub max_concurrent: Option<usize>,
    pub max_per_server: Option<usize>,
}

/// `[mcp]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawMcp {
    pub aliases: Vec<String>,
    pub list_query: Option<bool>,
}

/// `[servers.ID.trust]`.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRules {
    pub injection: Option<String>,
    pub hidden_text: Option<String>,
    pub stuffing: Option<String>,
    pub shadow: Option<String>,
    pub lookalike: Option<String>,
}

/// `[learn]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLearn {
    pub enabled: Option<bool>,
    pub half_life: Option<String>,
    pub max_events: Option<usize>,
}

/// `[embed]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawEmbed {
    pub enabled: Option<bool>,
    pub model: Option<String>,
    pub runtime: Option<String>,
    pub threads: Option<usize>,
    pub deadline: Option<String>,
    pub endpoint: Option<RawEndpoint>,
}

/// `[embed.endpoint]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawEndpoint {
    pub url: Option<String>,
    pub model: Option<String>,
    pub api_key_env: Option<String>,
    pub api_key_file: Option<String>,
    pub dimensions: Option<usize>,
    pub batch: Option<usize>,
    pub timeout: Option<String>,
    pub retries: Option<usize>,
    pub query_prefix: Option<String>,
    pub passage_prefix: Option<String>,
}

/// `[rerank]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRerank {
    pub model: Option<String>,
    pub depth: Option<usize>,
    pub deadline: Option<String>,
}

/// `[[registry]]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRegistry {
    pub name: Option<String>,
    pub url: Option<String>,
    pub filter: Option<Vec<String>>,
    pub remotes: Option<Vec<String>>,
    pub max: Option<usize>,
    pub approve: Option<String>,
    pub refresh: Option<String>,
    pub allow_private_addresses: Option<bool>,
}

/// `[servers.ID]`.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawServer {
    pub title: Option<String>,
    pub enabled: Option<bool>,
    pub allow: Option<Vec<String>>,
    pub deny: Option<Vec<String>>,
    pub timeout: Option<String>,
    pub refresh: Option<String>,
    pub pin: Option<bool>,
    pub trust: Option<RawRules>,
    pub call: Option<String>,
    pub command: Option<String>,
    pub args: Option<Vec<String>>,
    pub env: Option<BTreeMap<String, String>>,
    pub env_file: Option<String>,
    pub cwd: Option<String>,
    pub url: Option<String>,
    pub headers: Option<BTreeMap<String, String>>,
    pub bearer_token: Option<String>,
    pub bearer_token_file: Option<String>,
    pub bearer_token_env: Option<String>,
    pub basic_user: Option<String>,
    pub basic_password: Option<String>,
    pub basic_password_file: Option<String>,
    pub basic_password_env: Option<String>,
    pub api_key: Option<String>,
    pub api_key_file: Option<String>,
    pub api_key_env: Option<String>,
    pub api_key_header: Option<String>,
    pub auth: Option<String>,
    pub oauth: Option<RawOAuth>,
    pub proxy: Option<String>,
    pub ca_file: Option<String>,
    pub client_cert_file: Option<String>,
    pub client_key_file: Option<String>,
    pub catalog: Option<String>,
    pub catalog_servers: Option<String>,
}

/// `[servers.ID.oauth]`.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawOAuth {
    pub grant: Option<String>,
    pub client_id: Option<String>,
    pub client_secret: Option<String>,
    pub client_secret_file: Option<String>,
    pub client_secret_env: Option<String>,
    pub client_metadata_url: Option<String>,
    pub scopes: Option<Vec<String>>,
    pub redirect_port: Option<u16>,
    pub allow_private_addresses: Option<bool>,
}

impl RawServer {
    /// Every string of the entry, with the key it stands under.
    pub(super) fn strings(&mut self) -> Vec<(&'static str, &mut String)> {
        let mut all: Vec<(&'static str, &mut String)> = Vec::new();
        let single = [
            ("title", &mut self.title),
            ("timeout", &mut self.timeout),
            ("refresh", &mut self.refresh),
            ("call", &mut self.call),
            ("command", &mut self.command),
            ("env_file", &mut self.env_file),
            ("cwd", &mut self.cwd),
            ("url", &mut self.url),
            ("bearer_token", &mut self.bearer_token),
            ("bearer_token_file", &mut self.bearer_token_file),
            ("bearer_token_env", &mut self.bearer_token_env),
            ("basic_user", &mut self.basic_user),
            ("basic_password", &mut self.basic_password),
            ("basic_password_file", &mut self.basic_password_file),
            ("basic_password_env", &mut self.basic_password_env),
            ("api_key", &mut self.api_key),
            ("api_key_file", &mut self.api_key_file),
            ("api_key_env", &mut self.api_key_env),
            ("api_key_header", &mut self.api_key_header),
            ("auth", &mut self.auth),
            ("proxy", &mut self.proxy),
            ("ca_file", &mut self.ca_file),
            ("client_cert_file", &mut self.client_cert_file),
            ("client_key_file", &mut self.client_key_file),
            ("catalog", &mut self.catalog),
            ("catalog_servers", &mut self.catalog_servers),
        ];
        for (key, value) in single {
            all.extend(value.as_mut().map(|text| (key, text)));
        }
        let lists =
            [("allow", &mut self.allow), ("deny", &mut self.deny), ("args", &mut self.args)];
        for (key, list) in lists {
            all.extend(list.iter_mut().flatten().map(|text| (key, text)));
        }
        if let Some(oauth) = &mut self.oauth {
            let single = [
                &mut oauth.grant,
                &mut oauth.client_id,
                &mut oauth.client_secret,
                &mut oauth.client_secret_file,
                &mut oauth.client_secret_env,
                &mut oauth.client_metadata_url,
            ];
            all.extend(single.into_iter().flatten().map(|text| ("oauth", text)));
            all.extend(oauth.scopes.iter_mut().flatten().map(|text| ("oauth", text)));
        }
        for (key, map) in [("env", &mut self.env), ("headers", &mut self.headers)] {
            all.extend(map.iter_mut().flatten().map(|(_, text)| (key, text)));
        }
        all
    }

    /// The files whose text is part of the entry.
    pub(super) fn files(&self) -> impl Iterator<Item = &String> {
        let oauth = self.oauth.as_ref().and_then(|oauth| oauth.client_secret_file.as_ref());
        let files = [
            &self.env_file,
            &self.bearer_token_file,
            &self.basic_password_file,
            &self.api_key_file,
            &self.ca_file,
            &self.client_cert_file,
            &self.client_key_file,
        ];
        files.into_iter().flatten().chain(oauth)
    }
}
