//! `[call]`, what an entry of a server says of it, and `[mcp]`.
//!
//! Invariant: nothing is called unless the file switches it on, and what only reads is all that is
//! called unless the file says more.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::error::{ConfigError, Place, Problem};
use super::raw::{RawCall, RawMcp};
use super::server::{Entry, duration};
use crate::tool::ServerId;

/// Which tools may be called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Allow {
    /// None.
    Off,
    /// Those that say of themselves that they only read (`readOnlyHint`).
    #[default]
    ReadOnly,
    /// All of them.
    All,
}

/// How tools are called through toolscout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallConfig {
    /// They are at all.
    pub enabled: bool,
    /// Which ones, where their server's entry does not say.
    pub allow: Allow,
    /// What entries of servers say.
    pub servers: BTreeMap<ServerId, Allow>,
    /// Time without a word from the server; progress begins it anew.
    pub timeout: Duration,
    /// Time for one call in all.
    pub max_timeout: Duration,
    /// A connection that was not used for this long is closed.
    pub idle: Duration,
    /// The largest result that is passed on.
    pub max_result_bytes: usize,
    /// Calls at once.
    pub max_concurrent: usize,
    /// Calls of one server at once.
    pub max_per_server: usize,
}

impl Default for CallConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            allow: Allow::default(),
            servers: BTreeMap::new(),
            timeout: Duration::from_mins(1),
            max_timeout: Duration::from_mins(10),
            idle: Duration::from_mins(5),
            max_result_bytes: 1 << 20,
            max_concurrent: 64,
            max_per_server: 16,
        }
    }
}

/// What toolscout offers over MCP beside its own tools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct McpConfig {
    /// Names and shapes of other tool searches that are served as well.
    pub aliases: Vec<Alias>,
    /// `tools/list` takes a `query`.
    pub list_query: bool,
}

/// Another tool search, whose tools are served under their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Alias {
    /// `x_amz_bedrock_agentcore_search`.
    AgentCore,
    /// `find_tool` and its `call_tool`.
    ToolHive,
    /// Its `search_tools` and `call_tool`.
    FastMcp,
}

fn allow(text: &str, place: &Place, errors: &mut Vec<ConfigError>) -> Option<Allow> {
    match text {
        "off" => Some(Allow::Off),
        "read_only" => Some(Allow::ReadOnly),
        "all" => Some(Allow::All),
        _ => {
            errors.push(place.error(Problem::OneOf("\"off\", \"read_only\" or \"all\"")));
            None
        }
    }
}

/// Both sections, and what entries say.
pub(super) fn resolve(
    raw: &RawCall,
    raw_mcp: &RawMcp,
    entries: &[Entry],
    place: &Place,
    errors: &mut Vec<ConfigError>,
) -> (CallConfig, McpConfig) {
    let mut config = general(raw, &place.at("call"), errors);
    for entry in entries {
        of_server(&mut config, entry, errors);
    }
    (config, mcp(raw_mcp, &place.at("mcp"), errors))
}

/// The general part, at `[call]`.
fn general(raw: &RawCall, place: &Place, errors: &mut Vec<ConfigError>) -> CallConfig {
    let usual = CallConfig::default();
    let allowed = raw.allow.as_deref().and_then(|text| allow(text, &place.at("allow"), errors));
    let mut time = |key: &str, text: Option<&str>, usual: Duration| {
        let parsed = text.map(|text| duration(text, Duration::from_secs(1)));
        parsed.unwrap_or(Ok(usual)).unwrap_or_else(|problem| {
            errors.push(place.at(key).error(problem));
            usual
        })
    };
    let timeout = time("timeout", raw.timeout.as_deref(), usual.timeout);
    let max_timeout = time("max_timeout", raw.max_timeout.as_deref(), usual.max_timeout);
    let idle = time("idle", raw.idle.as_deref(), usual.idle);
    if raw.timeout.is_some() && raw.max_timeout.is_some() && max_timeout < timeout {
        errors.push(place.at("max_timeout").error(Problem::ShorterThan("timeout")));
    }
    // What is said of one holds for the other, where nothing is said of that.
    let timeout = if raw.timeout.is_some() { timeout } else { timeout.min(max_timeout) };
    let mut count = |key: &str, value: Option<usize>, usual: usize| {
        if value == Some(0) {
            errors.push(place.at(key).error(Problem::TooSmall { least: "1" }));
        }
        value.unwrap_or(usual)
    };
    CallConfig {
        enabled: raw.enabled.unwrap_or(false),
        allow: allowed.unwrap_or_default(),
        servers: BTreeMap::new(),
        timeout,
        max_timeout: max_timeout.max(timeout),
        idle,
        max_result_bytes: count("max_result_bytes", raw.max_result_bytes, usual.max_result_bytes),
        max_concurrent: count("max_concurrent", raw.max_concurrent, usual.max_concurrent),
        max_per_server: count("max_per_server", raw.max_per_server, usual.max_per_server),
    }
}

/// Takes in what the entry of a server says.
fn of_server(config: &mut CallConfig, entry: &Entry, errors: &mut Vec<ConfigError>) {
    let Some(text) = &entry.raw.call else { return };
    let place = entry.place.at("call");
    if entry.raw.catalog.is_some() {
        errors.push(place.error(Problem::Misplaced("catalog")));
        return;
    }
    if let Some(allowed) = allow(text, &place, errors) {
        config.servers.insert(entry.id.as_str().into(), allowed);
    }
}

/// `[mcp]`.
fn mcp(raw: &RawMcp, place: &Place, errors: &mut Vec<ConfigError>) -> McpConfig {
    let mut aliases = Vec::new();
    for name in &raw.aliases {
        let alias = match name.as_str() {
            "agentcore" => Alias::AgentCore,
            "toolhive" => Alias::ToolHive,
            "fastmcp" => Alias::FastMcp,
            _ => {
                let known = "\"agentcore\", \"toolhive\" or \"fastmcp\"";
                errors.push(place.at("aliases").error(Problem::OneOf(known)));
                continue;
            }
        };
        if !aliases.contains(&alias) {
            aliases.push(alias);
        }
    }
    McpConfig { aliases, list_query: raw.list_query.unwrap_or(false) }
}
