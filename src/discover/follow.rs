//! Follows a registry: what it lists, in whatever order it tells of it, and what is taken of that.
//!
//! Invariant: the same entries in any order come to the same [`State`]; nothing that was deleted is
//! taken, nothing that starts a command, and nothing that wants a value of this machine.

mod approvals;
mod kept;
mod task;

use std::collections::BTreeMap;
use std::collections::btree_map;

use serde::{Deserialize, Serialize};
use url::Url;

pub use approvals::Approvals;
pub use kept::{Kept, KeptError};
pub use task::{Followed, Follower};

use super::entry::is_free_header;
use super::input::fixed;
use super::one_line;
use super::registry::{Listed, Status};
use super::server::Remote;
use crate::auth::guard::Policy;
use crate::config::{AddedServer, Approve, Defaults, RegistryConfig, ServerConfig};
use crate::roster;

/// Entries that are remembered of a registry.
pub const MOST_KNOWN: usize = 50_000;

/// What is known of a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// By name; deleted ones too, so that no older word brings them back.
    pub servers: BTreeMap<String, Listed>,
    /// The time of the last change that is known, in milliseconds since 1970; 0 where the registry
    /// tells no times.
    pub since: u64,
    /// When it was last read as a whole, in milliseconds since 1970.
    pub whole_at: u64,
    /// What it was asked for then: of something else nothing is known.
    pub asked: String,
}

/// What tells a later word from an earlier one.
fn rank(listed: &Listed) -> (u64, Status, &Option<String>, String) {
    // The last only makes the order total.
    let whole = serde_json::to_string(&listed.server).unwrap_or_default();
    (listed.updated, listed.status, &listed.server.version, whole)
}

impl State {
    /// Takes an entry, unless a later word on that server is known.
    pub fn fold(&mut self, listed: Listed) {
        if listed.superseded {
            return;
        }
        self.since = self.since.max(listed.updated);
        let full = self.servers.len() >= MOST_KNOWN;
        match self.servers.entry(listed.server.name.clone()) {
            btree_map::Entry::Occupied(mut known) => {
                if rank(known.get()) < rank(&listed) {
                    known.insert(trimmed(listed));
                }
            }
            btree_map::Entry::Vacant(_) if full => {}
            btree_map::Entry::Vacant(free) => {
                free.insert(trimmed(listed));
            }
        }
    }

    /// Those that are there, by name.
    pub fn present(&self) -> impl Iterator<Item = &Listed> {
        self.servers.values().filter(|listed| listed.status != Status::Deleted)
    }
}

/// Without what is never used of it.
fn trimmed(mut listed: Listed) -> Listed {
    listed.server.packages.clear();
    let line = |text: Option<String>, most| text.map(|text| one_line(&text, most));
    listed.server.title = line(listed.server.title, 100);
    listed.server.description = line(listed.server.description, 300);
    listed.message = line(listed.message, 300);
    listed
}

/// A server that may be taken of a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Its id here.
    pub id: String,
    /// Its name in the registry.
    pub name: String,
    /// Its title.
    pub title: Option<String>,
    /// What it does.
    pub description: Option<String>,
    /// Where it is.
    pub url: String,
    /// Headers of every request; none of them is a secret.
    pub headers: BTreeMap<String, String>,
    /// An operator has approved it, or all of the registry.
    pub approved: bool,
    /// It is no longer recommended, and why.
    pub deprecated: Option<String>,
}

/// What is taken of a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Picked {
    /// The servers.
    pub servers: Vec<Candidate>,
    /// Those beyond `max`.
    pub beyond: usize,
    /// Those that want values first, and have to be written down by somebody.
    pub wanting: usize,
}

/// An id of a registry's name. Namespaces have no underscore, so no two names share an id.
pub fn id_of(name: &str) -> String {
    name.replacen('/', "_", 1)
}

/// Picks what `config` asks for. What is approved comes first, then the names as they are sorted.
pub fn pick(state: &State, config: &RegistryConfig, approvals: &Approvals) -> Picked {
    let mut picked = Picked::default();
    for listed in state.present() {
        let name = &listed.server.name;
        if !config.filter.admits(name) {
            continue;
        }
        let usable: Vec<(&Remote, _)> = (listed.server.remotes.iter())
            .filter_map(|remote| Some((remote, remote.kind()?)))
            .filter(|(_, kind)| config.remotes.contains(kind))
            .collect();
        let plain = usable.iter().filter_map(|(remote, kind)| {
            let (url, headers) = as_it_is(remote)?;
            policy(config).check(&url).ok().map(|()| (kind, url, headers))
        });
        let Some((_, url, headers)) = plain.min_by_key(|(kind, ..)| **kind) else {
            picked.wanting += usize::from(!usable.is_empty());
            continue;
        };
        let id = id_of(name);
        let approved = config.approve == Approve::All || approvals.has(&id, url.as_str());
        let deprecated = (listed.status == Status::Deprecated)
            .then(|| listed.message.clone().unwrap_or_else(|| "no reason is given".into()));
        picked.servers.push(Candidate {
            id,
            name: name.clone(),
            title: listed.server.title.clone(),
            description: listed.server.description.clone(),
            url: url.into(),
            headers,
            approved,
            deprecated,
        });
    }
    if picked.servers.len() > config.max {
        // Stable, and so by name among each of both.
        picked.servers.sort_by_key(|candidate| !candidate.approved);
        picked.beyond = picked.servers.split_off(config.max).len();
    }
    picked
}

/// Where servers of a registry may be.
pub fn policy(config: &RegistryConfig) -> Policy {
    Policy::of(&config.url).allowing_private(config.allow_private)
}

/// Address and headers of a remote that wants no value of anybody. Nothing in them is ever looked
/// up in the environment: what looks as if it were meant to be is left out.
fn as_it_is(remote: &Remote) -> Option<(Url, BTreeMap<String, String>)> {
    let url = fixed(&remote.url, &remote.variables)?;
    let mut headers = BTreeMap::new();
    for header in &remote.headers {
        let value = header.input.value.as_ref().or(header.input.default.as_ref());
        match value {
            Some(value) => {
                let value = fixed(value, &header.variables)?;
                if !is_free_header(&header.name) || value.contains("${") {
                    return None;
                }
                headers.insert(header.name.clone(), value);
            }
            None if header.input.is_required => return None,
            None => {}
        }
    }
    let url = Url::parse(&url).ok().filter(|_| !url.contains("${") && !url.contains('{'))?;
    Some((url, headers))
}

impl Candidate {
    /// As the roster takes it; `None` where the configuration would not take it as an entry.
    pub fn found(&self, config: &RegistryConfig) -> Option<roster::Found> {
        let added = AddedServer {
            url: self.url.clone(),
            title: None,
            headers: self.headers.clone(),
            bearer_token: None,
            allow: None,
            deny: None,
            timeout: None,
            refresh: None,
        };
        // The roster knows how such servers are crawled.
        let server = added.resolve(&self.id.as_str().into(), &Defaults::default()).ok()?;
        let server = ServerConfig { guard: Some(policy(config)), ..server };
        Some(roster::Found { server, approved: self.approved })
    }
}

#[cfg(test)]
mod tests;
