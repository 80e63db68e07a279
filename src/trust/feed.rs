//! What happened to definitions, numbered and in order.
//!
//! Invariant: numbers only grow, over restarts too; the newest [`MOST_EVENTS`] are kept, and a
//! reader that asks for older ones is told so.

use std::collections::VecDeque;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use wincode::{SchemaRead, SchemaWrite};

use super::policy::Rule;

/// Events that are kept.
pub const MOST_EVENTS: usize = 10_000;

/// What happened.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    JsonSchema,
    SchemaWrite,
    SchemaRead,
)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The first complete listing of a server; `tools` says how many it offers.
    ServerAdded,
    /// A server is no longer configured, or switched off; `tools` says how many it offered.
    ServerRemoved,
    /// A server offers one tool more.
    Added,
    /// A tool is no longer offered.
    Removed,
    /// A tool is offered with another definition, and that is served.
    Changed,
    /// A new or changed definition waits for approval, since its server is pinned.
    Held,
    /// A definition is not served for what was found in it.
    Quarantined,
    /// The server offers again what is served: nothing waits any more.
    Withdrawn,
    /// Something was found in a definition.
    Finding,
    /// An operator approved a definition.
    Approved,
    /// An operator rejected a definition: it is not served.
    Rejected,
    /// A definition that waited is served, since the configuration no longer asks for approval.
    Released,
}

impl EventKind {
    /// Its name, as it is told.
    pub fn name(self) -> &'static str {
        match self {
            Self::ServerAdded => "server_added",
            Self::ServerRemoved => "server_removed",
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
            Self::Held => "held",
            Self::Quarantined => "quarantined",
            Self::Withdrawn => "withdrawn",
            Self::Finding => "finding",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Released => "released",
        }
    }
}

/// A part of a definition.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    JsonSchema,
    SchemaWrite,
    SchemaRead,
)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// `description`.
    Description,
    /// `inputSchema`.
    InputSchema,
    /// `outputSchema`.
    OutputSchema,
    /// `annotations`.
    Annotations,
    /// Anything else.
    Other,
    /// The order of members or the space between them, and nothing that is said.
    Form,
}

impl Part {
    /// Its name, as it is told.
    pub fn name(self) -> &'static str {
        match self {
            Self::Description => "description",
            Self::InputSchema => "input_schema",
            Self::OutputSchema => "output_schema",
            Self::Annotations => "annotations",
            Self::Other => "other",
            Self::Form => "form",
        }
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Event {
    /// Its number.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The server that it happened to.
    pub server: String,
    /// The tool's id, unless it happened to the server as a whole.
    pub tool: Option<String>,
    /// What happened.
    pub kind: EventKind,
    /// What of the definition changed, where that is known.
    pub parts: Vec<Part>,
    /// BLAKE3 of the definition before.
    pub old: Option<[u8; 32]>,
    /// BLAKE3 of the definition that it is about.
    pub new: Option<[u8; 32]>,
    /// The rules that it broke.
    pub rules: Vec<Rule>,
    /// How many tools, where it happened to the server as a whole.
    pub tools: Option<u64>,
}

/// The newest events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Feed {
    events: VecDeque<Arc<Event>>,
    /// The number of the newest event there ever was.
    newest: u64,
}

/// A part of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In order.
    pub events: Vec<Arc<Event>>,
    /// Ask on from here.
    pub next: u64,
    /// There are more already.
    pub more: bool,
    /// Some that should come before are not kept any more.
    pub gap: bool,
}

impl Feed {
    /// An empty feed whose numbers go on after `newest`.
    pub fn after(newest: u64) -> Self {
        Self { events: VecDeque::new(), newest }
    }

    /// A feed of these events, which are in order.
    pub fn of(events: Vec<Event>, newest: u64) -> Self {
        let newest = events.last().map_or(newest, |last| last.number.max(newest));
        Self { events: events.into_iter().map(Arc::new).collect(), newest }
    }

    /// Takes an event in and gives it its number.
    pub fn push(&mut self, mut event: Event) -> Arc<Event> {
        self.newest += 1;
        event.number = self.newest;
        let event = Arc::new(event);
        if self.events.len() == MOST_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(Arc::clone(&event));
        event
    }

    /// The number of the newest event, and of the oldest that is kept.
    pub fn range(&self) -> (u64, u64) {
        (self.newest, self.events.front().map_or(self.newest + 1, |first| first.number))
    }

    /// Every event that is kept, oldest first.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().map(|event| &**event)
    }

    /// Up to `limit` events after number `since` that `keep` lets through.
    pub fn page(&self, since: u64, limit: usize, keep: impl Fn(&Event) -> bool) -> Page {
        let (newest, oldest) = self.range();
        let start = self.events.partition_point(|event| event.number <= since);
        let mut rest = self.events.range(start..).filter(|event| keep(event));
        let events: Vec<Arc<Event>> = rest.by_ref().take(limit).cloned().collect();
        let more = rest.next().is_some();
        let last = events.last().map_or(newest, |last| last.number);
        // Nothing that is kept and after the last one is missed by going on from the newest.
        let next = if more { last } else { newest };
        Page { events, next, more, gap: since.saturating_add(1) < oldest }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(server: &str) -> Event {
        Event {
            number: 0,
            at_ms: 0,
            server: server.into(),
            tool: None,
            kind: EventKind::Added,
            parts: Vec::new(),
            old: None,
            new: None,
            rules: Vec::new(),
            tools: None,
        }
    }

    proptest! {
        #[test]
        fn pages_tell_every_event_once(
            servers in prop::collection::vec(prop::sample::select(vec!["a", "b"]), 0..40),
            limit in 1_usize..7,
        ) {
            let mut feed = Feed::after(5);
            for server in &servers {
                feed.push(event(server));
            }
            let (mut since, mut seen) = (5, Vec::new());
            loop {
                let page = feed.page(since, limit, |event| event.server == "a");
                prop_assert!(!page.gap && page.events.len() <= limit);
                seen.extend(page.events.iter().map(|event| event.number));
                since = page.next;
                if !page.more {
                    break;
                }
            }
            prop_assert_eq!(since, feed.range().0);
            let wanted: Vec<u64> = (6_u64..)
                .zip(&servers)
                .filter(|(_, server)| **server == "a")
                .map(|(number, _)| number)
                .collect();
            prop_assert_eq!(seen, wanted);
        }
    }

    #[test]
    fn the_oldest_go_and_a_reader_is_told() {
        let mut feed = Feed::default();
        for _ in 0..MOST_EVENTS + 3 {
            feed.push(event("a"));
        }
        assert_eq!(feed.range(), (MOST_EVENTS as u64 + 3, 4));
        assert!(feed.page(2, 5, |_| true).gap);
        let page = feed.page(3, 5, |_| true);
        assert!(!page.gap && page.more);
        assert_eq!(page.events[0].number, 4);
    }
}
