//! What becomes of one offered definition.
//!
//! Invariant: a verdict depends on the entry, the offer and the rules alone, so asking again with
//! the same gives the same, and an entry that is right already is left as it is.

use super::checks::{self, Finding};
use super::feed::{EventKind, Part};
use super::history::{Entry, Held, Version, Why};
use super::parts;
use super::policy::{Level, Rule, Rules};
use crate::tool::{ContentHash, Tool};

/// A definition that a server offers.
pub struct Offer<'a> {
    /// The definition.
    pub tool: &'a Tool,
    /// What was known of the tool.
    pub entry: Option<&'a Entry>,
    /// What the checks found, where they were made now.
    pub fresh: Option<Vec<Finding>>,
    /// What comes of other servers' tools.
    pub shadow: Option<&'a Finding>,
    /// The definition that was served so far, if there is one and it is another.
    pub old: Option<&'a Tool>,
}

/// Under which rules.
pub struct Court<'a> {
    /// Those of its server.
    pub rules: &'a Rules,
    /// Nothing was known of the server.
    pub is_first: bool,
    /// Milliseconds since 1970.
    pub now: u64,
}

/// What is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serve {
    /// What is offered.
    New,
    /// What was served before, if that is there.
    Old,
    /// Nothing.
    Nothing,
}

/// What becomes of it.
pub struct Verdict {
    /// The entry from now on.
    pub entry: Entry,
    /// What is served.
    pub serve: Serve,
    /// What happened, and what of the definition changed.
    pub events: Vec<EventKind>,
    /// See [`Held::parts`].
    pub parts: Vec<Part>,
    /// The rules that it broke, but for notes.
    pub rules: Vec<Rule>,
    /// The definition that was offered before, if that is another.
    pub before: Option<ContentHash>,
}

enum Ruling {
    Serve,
    Hold(Why),
}

impl Court<'_> {
    /// Decides.
    #[expect(clippy::too_many_lines, reason = "one decision, read from top to bottom")]
    pub fn decide(&self, offer: Offer<'_>) -> Verdict {
        let Offer { tool, entry, fresh, shadow, old } = offer;
        let is_fresh = fresh.is_some();
        let offered = entry.and_then(Entry::offered);
        let served = entry.and_then(|entry| entry.served.as_ref());
        let held = entry.and_then(|entry| entry.held.as_ref());
        let is = |version: &Version| version.hash == tool.hash;
        let version = match fresh {
            Some(findings) => Version {
                hash: tool.hash,
                since_ms: offered.filter(|v| is(v)).map_or(self.now, |v| v.since_ms),
                checks: checks::VERSION,
                said: checks::said(tool),
                findings,
            },
            // Not checked anew, so it is known.
            None => offered.cloned().unwrap_or(Version {
                hash: tool.hash,
                since_ms: self.now,
                checks: 0,
                said: 0,
                findings: Vec::new(),
            }),
        };
        let same_held = held.filter(|held| is(&held.version));
        let is_same_served = served.is_some_and(is);
        let before = offered.map(|version| version.hash).filter(|hash| *hash != tool.hash);
        let parts = match (same_held, old, held) {
            (Some(held), _, _) => held.parts.clone(),
            (None, Some(old), _) => parts::changed(&old.definition, &tool.definition),
            (None, None, Some(held)) => {
                serde_json::value::RawValue::from_string(held.definition.clone())
                    .map_or_else(|_| Vec::new(), |held| parts::changed(&held, &tool.definition))
            }
            (None, None, None) => Vec::new(),
        };
        let is_form = old.is_some() && parts == [Part::Form];
        let approved = entry.is_some_and(|entry| entry.approved) && (is_same_served || is_form);

        let levels = version.findings.iter().chain(shadow);
        let levels: Vec<(Level, Rule)> =
            levels.filter_map(|f| Some((self.rules.level(f.rule, f.note)?, f.rule))).collect();
        let quarantine = levels.iter().any(|(level, _)| *level == Level::Quarantine) && !approved;
        let ruling = match same_held {
            Some(held) if held.rejected => Ruling::Hold(held.why),
            _ if !is_same_served && !is_form && self.rules.pin && !self.is_first => {
                Ruling::Hold(Why::Pinned)
            }
            _ if quarantine => Ruling::Hold(Why::Quarantined),
            _ => Ruling::Serve,
        };

        let is_new = entry.is_none_or(|entry| entry.gone_ms.is_some());
        let mut events = Vec::new();
        match &ruling {
            // What comes back as another is no new tool: it changed while nobody looked.
            Ruling::Serve if is_new && before.is_none() => events.push(EventKind::Added),
            Ruling::Serve if held.is_some() && is_same_served => events.push(EventKind::Withdrawn),
            Ruling::Serve if before.is_some() => events.push(EventKind::Changed),
            Ruling::Serve if held.is_some() => events.push(EventKind::Released),
            Ruling::Hold(why) if is_new || same_held.is_none_or(|held| held.why != *why) => {
                events.push(match why {
                    Why::Pinned => EventKind::Held,
                    Why::Quarantined => EventKind::Quarantined,
                });
            }
            Ruling::Serve | Ruling::Hold(_) => {}
        }
        let broken: Vec<Rule> = levels
            .iter()
            .filter(|(level, _)| *level > Level::Note)
            .map(|(_, rule)| *rule)
            .collect();
        if is_fresh && !broken.is_empty() && !matches!(ruling, Ruling::Hold(Why::Quarantined)) {
            events.push(EventKind::Finding);
        }

        let mut next = Entry {
            first_seen_ms: entry.map_or(self.now, |entry| entry.first_seen_ms),
            changes: entry.map_or(0, |entry| entry.changes) + u32::from(before.is_some()),
            served: None,
            approved: false,
            held: None,
            gone_ms: None,
        };
        let serve = match ruling {
            Ruling::Serve => {
                next.served = Some(version);
                next.approved = approved;
                Serve::New
            }
            Ruling::Hold(why) => {
                let serve = match why {
                    Why::Pinned => Serve::Old,
                    // Who offers such a thing is not trusted with what was there before.
                    Why::Quarantined => Serve::Nothing,
                };
                if serve == Serve::Old {
                    next.served = served.cloned();
                    next.approved = entry.is_some_and(|entry| entry.approved);
                }
                next.held = Some(Held {
                    version,
                    definition: tool.definition.get().into(),
                    why,
                    parts: parts.clone(),
                    rejected: same_held.is_some_and(|held| held.rejected),
                });
                serve
            }
        };
        let mut rules = broken;
        rules.sort_unstable();
        rules.dedup();
        Verdict { entry: next, serve, events, parts, rules, before }
    }
}
