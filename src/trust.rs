//! What comes in is looked at before it is served: its history, what changed, what is odd in it,
//! and whether an operator is to see it first.
//!
//! [`Trust`] stands between the crawl and the catalog. It takes listings and leaves in them what
//! may be served; all that it knows is in its [`Book`]. Synchronous, and no query comes here.
//!
//! Invariant: a definition is served only if its rules allow it or an operator approved these very
//! bytes; nothing is checked twice, and a listing that changes nothing changes no book.

pub mod checks;
pub mod decide;
pub mod earlier;
pub mod feed;
pub mod file;
pub mod history;
mod names;
pub mod parts;
pub mod policy;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use rayon::prelude::*;

use self::checks::Finding;
use self::earlier::Earlier;
use self::feed::{Event, EventKind, Part};
use self::history::{Book, Entry, ServerBook, Version};
use self::names::{Names, Seen};
use self::policy::{Policy, Rule};
use self::verdict::{Court, Offer, Serve};
use crate::catalog::{Catalog, Listing, Outcome, ServerUpdate};
use crate::config::NameFilter;
use crate::tool::{ContentHash, ServerId, Tool, ToolId};

/// So many new definitions are checked on this thread, one after the other.
const CHECK_ALONE: usize = 64;

/// Looks at what comes in.
#[derive(Debug, Default)]
pub struct Trust {
    policy: Policy,
    book: Book,
    names: Names,
}

/// Finds what was served under a name with this hash.
type Before<'a> = dyn Fn(&str, ContentHash) -> Option<Tool> + 'a;

impl Trust {
    /// Goes on with a book.
    pub fn new(policy: Policy, book: Book) -> Self {
        let mut trust = Self { policy, book, names: Names::default() };
        trust.read_names();
        trust
    }

    /// What is known.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// What follows from what is found.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Other rules, from the next listing on.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    fn read_names(&mut self) {
        self.names = Names::of(&self.book);
        self.book.shadows = self.names.all();
    }

    /// Takes what an earlier run served into a book that knows nothing of it: of servers that are
    /// pinned, this is what is pinned. True where there was something.
    pub fn adopt(&mut self, catalog: &Catalog) -> bool {
        let mut adopted = false;
        let _kept = checks::injection::regexes();
        for server in catalog.servers() {
            if self.book.servers.contains_key(&server.id) {
                continue;
            }
            adopted = true;
            let at = millis(server.crawled_at);
            let tools: Vec<&Tool> = server.tools.iter().map(|tool| &**tool).collect();
            let entry = |(tool, findings): (&Arc<Tool>, Vec<Finding>)| {
                let version = Version {
                    hash: tool.hash,
                    since_ms: at,
                    checks: checks::VERSION,
                    said: checks::said(tool),
                    findings,
                };
                (Arc::clone(&tool.name), Arc::new(Entry::served(version)))
            };
            let tools = server.tools.iter().zip(inspect(&tools)).map(entry).collect();
            self.book.servers.insert(server.id.clone(), Arc::new(ServerBook { tools }));
        }
        if adopted {
            self.read_names();
        }
        adopted
    }

    /// Takes servers out that are no longer configured: no tool of theirs is in `catalog`, and
    /// `keep` lets through none that waits.
    pub fn forget_others(
        &mut self,
        catalog: &Catalog,
        keep: impl Fn(&Tool) -> bool,
        now: SystemTime,
    ) -> Vec<Arc<Event>> {
        let waits = |server: &ServerId, book: &ServerBook| {
            let mut held = book.tools.values().filter_map(|entry| entry.held.as_ref());
            held.any(|held| Tool::parse(server, &held.definition).is_ok_and(|tool| keep(&tool)))
        };
        let is_left = |server: &ServerId| {
            catalog.server(server.as_str()).is_none_or(|server| server.tools.is_empty())
        };
        let others: Vec<ServerId> = (self.book.servers.iter())
            .filter(|(server, book)| is_left(server) && !waits(server, book))
            .map(|(server, _)| server.clone())
            .collect();
        let mut events = Vec::new();
        for server in others {
            self.leave(&server, millis(now), &mut events);
        }
        self.tell(events)
    }

    /// A tool of an earlier run may be served before its server is crawled again.
    pub fn admits(&self, tool: &Tool) -> bool {
        let entry = self.book.entry(tool.server.as_str(), &tool.name);
        entry.is_none_or(|entry| entry.served.is_some())
    }

    /// Leaves in the listings of `batch` what may be served, and says what happened; `catalog` is
    /// what was served before.
    pub fn admit(
        &mut self,
        batch: &mut [ServerUpdate],
        catalog: &Catalog,
        now: SystemTime,
    ) -> Vec<Arc<Event>> {
        let now = millis(now);
        let mut events = Vec::new();
        let _kept = checks::injection::regexes();
        for at in 0..batch.len() {
            let (before, rest) = batch.split_at_mut(at);
            let Some(update) = rest.first_mut() else { continue };
            let server = &update.server;
            match &mut update.outcome {
                Outcome::Listed(listing) => {
                    let old = |name: &str, hash| served(before, catalog, server, name, hash);
                    self.list(server, listing, &old, now, &mut events);
                }
                Outcome::Removed | Outcome::Disabled | Outcome::Pending => {
                    self.leave(server, now, &mut events);
                }
                Outcome::Narrowed(names) => self.narrow(server, names, now, &mut events),
                _ => {}
            }
        }
        if !events.is_empty() {
            self.book.forget();
        }
        self.tell(events)
    }

    fn list(
        &mut self,
        server: &ServerId,
        listing: &mut Listing,
        old: &Before<'_>,
        now: u64,
        events: &mut Vec<Event>,
    ) {
        let rules = self.policy.of(server).clone();
        let known = self.book.servers.get(server).cloned();
        let court = Court { rules: &rules, is_first: known.is_none(), now };
        let known = known.unwrap_or_default();
        let is_back = known.tools.values().all(|entry| entry.gone_ms.is_some());
        let mut names = HashSet::with_capacity(listing.tools.len());
        listing.tools.retain(|tool| names.insert(Arc::clone(&tool.name)));
        let went: Vec<Arc<str>> = (known.tools.iter())
            .filter(|(name, entry)| entry.gone_ms.is_none() && !names.contains(*name))
            .map(|(name, _)| Arc::clone(name))
            .collect();
        let entries: Vec<Option<&Entry>> =
            listing.tools.iter().map(|tool| known.tools.get(&tool.name).map(|e| &**e)).collect();

        let mut findings = check(&listing.tools, &entries);
        self.look(server, &listing.tools, &entries, &went, now);
        let shadows = self.book.shadows.get(server).cloned().unwrap_or_default();

        let mut changed: Vec<(Arc<str>, Entry)> = Vec::new();
        let mut kept = Vec::with_capacity(listing.tools.len());
        let offered = std::mem::take(&mut listing.tools);
        for ((tool, entry), fresh) in offered.into_iter().zip(entries).zip(&mut findings) {
            let before = entry.and_then(|entry| entry.served.as_ref());
            let is_other = |version: &&Version| version.hash != tool.hash;
            let before = before.filter(is_other).and_then(|version| old(&tool.name, version.hash));
            let verdict = court.decide(Offer {
                tool: &tool,
                entry,
                fresh: fresh.take(),
                shadow: shadows.get(&tool.name),
                old: before.as_ref(),
            });
            for kind in &verdict.events {
                // One event for all of them.
                if *kind != EventKind::Added || !is_back {
                    let event = self::event(server, Some(&tool.id), *kind, now);
                    events.push(Event {
                        parts: verdict.parts.clone(),
                        old: verdict.before.map(|hash| hash.0),
                        new: Some(tool.hash.0),
                        rules: verdict.rules.clone(),
                        ..event
                    });
                }
            }
            if entry != Some(&verdict.entry) {
                changed.push((Arc::clone(&tool.name), verdict.entry));
            }
            if let Some(before) = before.as_ref().filter(|_| verdict.serve != Serve::Old) {
                self.keep_earlier(before, now);
            }
            match verdict.serve {
                Serve::New => kept.push(tool),
                Serve::Old => kept.extend(before),
                Serve::Nothing => {}
            }
        }
        listing.tools = kept;
        for name in went {
            let id = ToolId::join(server, &name);
            let entry = &known.tools[&name];
            let old = entry.offered().map(|version| version.hash.0);
            events.push(Event { old, ..event(server, Some(&id), EventKind::Removed, now) });
            changed.push((name, entry.left(now)));
        }
        if court.is_first || (is_back && !names.is_empty()) {
            let tools = Some(names.len() as u64);
            events.push(Event { tools, ..event(server, None, EventKind::ServerAdded, now) });
        }
        if court.is_first || !changed.is_empty() {
            drop(known);
            let book = Arc::make_mut(self.book.servers.entry(server.clone()).or_default());
            book.tools.extend(changed.into_iter().map(|(name, entry)| (name, Arc::new(entry))));
        }
    }

    /// Keeps a definition that was served until now.
    fn keep_earlier(&mut self, tool: &Tool, now: u64) {
        let definition = tool.definition.get().to_owned();
        let earlier = Earlier { hash: tool.hash, until_ms: now, definition };
        Arc::make_mut(&mut self.book.earlier).keep(&tool.id, earlier);
    }

    /// Keeps the names that can be confused up to date.
    fn look(
        &mut self,
        server: &ServerId,
        tools: &[Tool],
        entries: &[Option<&Entry>],
        went: &[Arc<str>],
        now: u64,
    ) {
        let mut touched: Vec<&Arc<str>> = went.iter().collect();
        for name in went {
            self.names.remove(server, name);
        }
        for (tool, entry) in tools.iter().zip(entries) {
            let offered = entry.filter(|entry| entry.gone_ms.is_none()).and_then(Entry::offered);
            if offered.is_none_or(|version| version.hash != tool.hash) {
                let first_seen = entry.map_or(now, |entry| entry.first_seen_ms);
                let seen = Seen { since_ms: first_seen, hash: tool.hash, said: checks::said(tool) };
                self.names.set(server, &tool.name, seen);
                touched.push(&tool.name);
            }
        }
        self.shade(server, &touched);
    }

    /// Works out anew what follows from these names having come or gone.
    fn shade(&mut self, server: &ServerId, touched: &[&Arc<str>]) {
        for name in touched {
            self.book.set_shadow(server, name, None);
        }
        for (server, name, finding) in self.names.findings(touched.iter().copied()) {
            self.book.set_shadow(&server, &name, finding);
        }
    }

    /// Fewer of a server's tools are wanted.
    fn narrow(&mut self, server: &ServerId, names: &NameFilter, now: u64, events: &mut Vec<Event>) {
        let Some(book) = self.book.servers.get_mut(server) else { return };
        let left: Vec<Arc<str>> = (book.tools.iter())
            .filter(|(name, entry)| entry.gone_ms.is_none() && !names.admits(name))
            .map(|(name, _)| Arc::clone(name))
            .collect();
        for name in &left {
            if let Some(entry) = Arc::make_mut(book).tools.get_mut(name) {
                let id = ToolId::join(server, name);
                let old = entry.offered().map(|version| version.hash.0);
                events.push(Event { old, ..event(server, Some(&id), EventKind::Removed, now) });
                *entry = Arc::new(entry.left(now));
            }
            self.names.remove(server, name);
        }
        self.shade(server, &left.iter().collect::<Vec<_>>());
    }

    /// A server is no longer configured, or switched off.
    fn leave(&mut self, server: &ServerId, now: u64, events: &mut Vec<Event>) {
        let Some(book) = self.book.servers.get_mut(server) else { return };
        let left: Vec<Arc<str>> = (book.tools.iter())
            .filter(|(_, entry)| entry.gone_ms.is_none())
            .map(|(name, _)| Arc::clone(name))
            .collect();
        if left.is_empty() {
            return;
        }
        for entry in Arc::make_mut(book).tools.values_mut() {
            if entry.gone_ms.is_none() {
                *entry = Arc::new(entry.left(now));
            }
        }
        for name in &left {
            self.names.remove(server, name);
        }
        self.shade(server, &left.iter().collect::<Vec<_>>());
        let tools = Some(left.len() as u64);
        events.push(Event { tools, ..event(server, None, EventKind::ServerRemoved, now) });
    }

    /// Gives events their numbers.
    fn tell(&mut self, events: Vec<Event>) -> Vec<Arc<Event>> {
        if events.is_empty() {
            return Vec::new();
        }
        let feed = Arc::make_mut(&mut self.book.feed);
        events.into_iter().map(|event| feed.push(event)).collect()
    }
}

/// What the checks find in the definitions that are not known yet.
fn check(tools: &[Tool], entries: &[Option<&Entry>]) -> Vec<Option<Vec<Finding>>> {
    let is_known = |tool: &Tool, entry: &Entry| {
        let offered = entry.offered();
        offered.is_some_and(|v| v.hash == tool.hash && v.checks == checks::VERSION)
    };
    let fresh: Vec<bool> = tools
        .iter()
        .zip(entries)
        .map(|(tool, entry)| entry.is_none_or(|entry| !is_known(tool, entry)))
        .collect();
    let unknown: Vec<&Tool> =
        tools.iter().zip(&fresh).filter(|(_, fresh)| **fresh).map(|(tool, _)| tool).collect();
    let mut found = inspect(&unknown).into_iter();
    fresh.into_iter().map(|fresh| if fresh { found.next() } else { None }).collect()
}

/// What the checks find, tool by tool.
pub fn inspect(tools: &[&Tool]) -> Vec<Vec<Finding>> {
    let _kept = checks::injection::regexes();
    let one = |tool: &&Tool| checks::inspect(tool);
    if tools.len() <= CHECK_ALONE {
        tools.iter().map(one).collect()
    } else {
        tools.par_iter().map(one).collect()
    }
}

/// The tool of this name and hash that was served, by an earlier update of the batch or before it.
fn served(
    batch: &[ServerUpdate],
    catalog: &Catalog,
    server: &ServerId,
    name: &str,
    hash: ContentHash,
) -> Option<Tool> {
    let is_it = |tool: &&Tool| *tool.name == *name && tool.hash == hash;
    for update in batch.iter().rev().filter(|update| update.server == *server) {
        match &update.outcome {
            Outcome::Listed(listing) => return listing.tools.iter().find(is_it).cloned(),
            Outcome::Disabled | Outcome::Removed | Outcome::Pending => return None,
            // It may have been shown to somebody else.
            Outcome::Narrowed(names) if !names.admits(name) => return None,
            _ => {}
        }
    }
    let tools = &catalog.server(server.as_str())?.tools;
    let id = ToolId::join(server, name);
    let at = tools.binary_search_by(|tool| tool.id.cmp(&id)).ok()?;
    Some(&*tools[at]).filter(is_it).cloned()
}

fn event(server: &ServerId, tool: Option<&ToolId>, kind: EventKind, now: u64) -> Event {
    Event {
        number: 0,
        at_ms: now,
        server: server.to_string(),
        tool: tool.map(ToString::to_string),
        kind,
        parts: Vec::<Part>::new(),
        old: None,
        new: None,
        rules: Vec::<Rule>::new(),
        tools: None,
    }
}

/// Milliseconds since 1970.
pub fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Findings by server and name.
type Shadows = BTreeMap<ServerId, Arc<BTreeMap<Arc<str>, Finding>>>;
