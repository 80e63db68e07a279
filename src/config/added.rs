//! A server that is added over the network while toolscout runs.
//!
//! Invariant: nothing in it starts a command or reads a file or a variable of this machine: a
//! request must not be able to have those run, or sent to a server of its choice.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ServerConfig;
use super::error::{ConfigErrors, Lines, Place};
use super::raw::RawServer;
use super::server::{Defaults, Entry, resolve};
use crate::tool::ServerId;

/// A server over HTTP, as an operator adds it.
#[derive(Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddedServer {
    /// Its MCP endpoint.
    pub url: String,
    /// Display title, instead of what the server says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Headers of every request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Sent as `Authorization: Bearer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer_token: Option<String>,
    /// Globs on tool names: only these are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<String>>,
    /// Globs on tool names: these are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deny: Option<Vec<String>>,
    /// Time for one whole crawl, as in "60s".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// Time between crawls, as in "15m".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<String>,
}

impl AddedServer {
    /// The server that this is under that id, crawled by `defaults` where it says nothing of it; or
    /// everything that is wrong with it.
    pub fn resolve(
        &self,
        id: &ServerId,
        defaults: &Defaults,
    ) -> Result<ServerConfig, ConfigErrors> {
        let added = self.clone();
        let raw = RawServer {
            url: Some(added.url),
            title: added.title,
            headers: Some(added.headers),
            bearer_token: added.bearer_token,
            allow: added.allow,
            deny: added.deny,
            timeout: added.timeout,
            refresh: added.refresh,
            ..RawServer::default()
        };
        let place = Place::new(format!("server {id}"), Lines::new());
        let (base, id) = (PathBuf::new(), id.to_string());
        let entry = Entry { id, place, base, raw, damaged: false };
        let nothing = |_: &str| None;
        let resolved = resolve(entry, defaults, &nothing, &mut Vec::new());
        resolved.map(|resolved| resolved.server).map_err(ConfigErrors)
    }
}
