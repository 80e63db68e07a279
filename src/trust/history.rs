//! What is known of every definition: since when, how often it changed, what is served of it and
//! what waits.
//!
//! Invariant: a book is a value; the one writer makes the next and readers keep theirs. Of tools
//! that are gone the newest [`MOST_GONE`] are remembered, so that one that comes back changed is
//! not taken for a new one.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use wincode::{SchemaRead, SchemaWrite};

use super::checks::Finding;
use super::earlier::Earliers;
use super::feed::{Feed, Part};
use super::policy::{Level, Rules};
use crate::tool::{ContentHash, ServerId};

/// Tools that are no more offered and yet remembered.
pub const MOST_GONE: usize = 20_000;

/// One definition of a tool.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Version {
    /// BLAKE3 of its bytes.
    pub hash: ContentHash,
    /// When it came, in milliseconds since 1970.
    pub since_ms: u64,
    /// The checks that it went through.
    pub checks: u32,
    /// How its description begins, as a hash; 0 where that says too little.
    pub said: u64,
    /// What they found.
    pub findings: Vec<Finding>,
}

/// Why a definition is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema, SchemaWrite, SchemaRead)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Its server is pinned, and nobody has approved it.
    Pinned,
    /// For what was found in it.
    Quarantined,
}

/// A definition that is offered and not served.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Held {
    /// Which.
    pub version: Version,
    /// Its own bytes.
    pub definition: String,
    /// Why it is not served.
    pub why: Why,
    /// What differs from the definition before, where that is known.
    pub parts: Vec<Part>,
    /// An operator has seen it and does not want it.
    pub rejected: bool,
}

/// The history of a tool.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Entry {
    /// When it was first offered, in milliseconds since 1970.
    pub first_seen_ms: u64,
    /// How often its definition changed since.
    pub changes: u32,
    /// The definition that may be served.
    pub served: Option<Version>,
    /// An operator approved that definition, whatever is found in it.
    pub approved: bool,
    /// The definition that waits.
    pub held: Option<Held>,
    /// When it was no longer offered, in milliseconds since 1970.
    pub gone_ms: Option<u64>,
}

impl Entry {
    /// A tool whose first definition is served.
    pub fn served(version: Version) -> Self {
        Self {
            first_seen_ms: version.since_ms,
            changes: 0,
            served: Some(version),
            approved: false,
            held: None,
            gone_ms: None,
        }
    }

    /// The entry once the tool is no longer offered. What waited was never served, so of it only
    /// the history is kept.
    #[must_use]
    pub fn left(&self, now_ms: u64) -> Self {
        Self { gone_ms: Some(now_ms), held: None, ..self.clone() }
    }

    /// The definition that the server offers, or offered last.
    pub fn offered(&self) -> Option<&Version> {
        self.held.as_ref().map(|held| &held.version).or(self.served.as_ref())
    }

    /// It waits for an operator's word.
    pub fn is_pending(&self) -> bool {
        self.gone_ms.is_none() && self.held.as_ref().is_some_and(|held| !held.rejected)
    }
}

/// What is known of a server's tools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerBook {
    /// By name.
    pub tools: BTreeMap<Arc<str>, Arc<Entry>>,
}

/// How many of a server's tools are what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Wait for approval, since the server is pinned.
    pub held: usize,
    /// Are not served for what was found in them.
    pub quarantined: usize,
    /// Have a finding above a note.
    pub suspicious: usize,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.held += other.held;
        self.quarantined += other.quarantined;
        self.suspicious += other.suspicious;
    }
}

/// What is known of all tools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Book {
    /// Every server that was ever listed to the end and is remembered.
    pub servers: BTreeMap<ServerId, Arc<ServerBook>>,
    /// Findings that come of what other servers offer, by server and name.
    pub shadows: BTreeMap<ServerId, Arc<BTreeMap<Arc<str>, Finding>>>,
    /// What happened.
    pub feed: Arc<Feed>,
    /// What was served before; in a file of its own.
    pub earlier: Arc<Earliers>,
}

impl Book {
    /// The history of a tool.
    pub fn entry(&self, server: &str, name: &str) -> Option<&Arc<Entry>> {
        self.servers.get(server)?.tools.get(name)
    }

    /// What was found in one version of a tool, with its level by these rules.
    pub fn findings<'a>(
        &'a self,
        server: &str,
        name: &str,
        version: &'a Version,
        rules: &Rules,
    ) -> Vec<(Level, &'a Finding)> {
        let shadow = self.shadows.get(server).and_then(|shadows| shadows.get(name));
        let all = version.findings.iter().chain(shadow);
        all.filter_map(|finding| Some((rules.level(finding.rule, finding.note)?, finding)))
            .collect()
    }

    /// The findings that come of other servers' tools.
    #[cfg(test)]
    pub(super) fn shadows_found(&self) -> Vec<(&str, &str, &Finding)> {
        self.shadows
            .iter()
            .flat_map(|(server, found)| {
                found.iter().map(move |(name, finding)| (server.as_str(), &**name, finding))
            })
            .collect()
    }

    /// Notes what comes of other servers' tools.
    pub(super) fn set_shadow(
        &mut self,
        server: &ServerId,
        name: &Arc<str>,
        found: Option<Finding>,
    ) {
        if let Some(finding) = found {
            let shadows = self.shadows.entry(server.clone()).or_default();
            if shadows.get(name) != Some(&finding) {
                Arc::make_mut(shadows).insert(Arc::clone(name), finding);
            }
        } else if let Some(shadows) = self.shadows.get_mut(server)
            && shadows.contains_key(name)
        {
            Arc::make_mut(shadows).remove(name);
        }
    }

    /// A definition of the tool with this id waits, and nothing of it is served.
    pub fn is_held(&self, id: &str) -> bool {
        self.servers.iter().any(|(server, book)| {
            let name = id.strip_prefix(server.as_str()).and_then(|rest| rest.strip_prefix('/'));
            let entry = name.and_then(|name| book.tools.get(name));
            entry.is_some_and(|entry| entry.gone_ms.is_none() && entry.held.is_some())
        })
    }

    /// The tools that are offered now, by server and name.
    pub fn offered(&self) -> impl Iterator<Item = (&ServerId, &Arc<str>, &Arc<Entry>)> {
        self.servers
            .iter()
            .flat_map(|(id, book)| book.tools.iter().map(move |(name, entry)| (id, name, entry)))
            .filter(|(_, _, entry)| entry.gone_ms.is_none())
    }

    /// How many of a server's tools are what, by these rules.
    pub fn counts(&self, server: &str, rules: &Rules) -> Counts {
        let mut counts = Counts::default();
        let Some(book) = self.servers.get(server) else { return counts };
        for (name, entry) in book.tools.iter().filter(|(_, entry)| entry.gone_ms.is_none()) {
            match entry.held.as_ref().map(|held| held.why) {
                Some(Why::Pinned) => counts.held += 1,
                Some(Why::Quarantined) => counts.quarantined += 1,
                None => {}
            }
            let found = entry.offered().map(|version| self.findings(server, name, version, rules));
            let worst = found.into_iter().flatten().map(|(level, _)| level).max();
            counts.suspicious += usize::from(worst.is_some_and(|level| level > Level::Note));
        }
        counts
    }

    /// Forgets the tools that have been gone longest, where there are too many.
    pub fn forget(&mut self) {
        let gone = |entry: &Entry| entry.gone_ms;
        let mut times: Vec<u64> = self
            .servers
            .values()
            .flat_map(|book| book.tools.values())
            .filter_map(|entry| gone(entry))
            .collect();
        if times.len() <= MOST_GONE {
            return;
        }
        // A tenth at a time, so that this is not done for each tool that goes.
        let keep = MOST_GONE - MOST_GONE / 10;
        let cut = times.len() - keep;
        let (_, last, _) = times.select_nth_unstable(cut - 1);
        let last = *last;
        for book in self.servers.values_mut() {
            if book.tools.values().any(|entry| gone(entry).is_some_and(|at| at <= last)) {
                let tools = &mut Arc::make_mut(book).tools;
                tools.retain(|_, entry| gone(entry).is_none_or(|at| at > last));
            }
        }
        self.servers.retain(|_, book| !book.tools.is_empty());
    }
}
