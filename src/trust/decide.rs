//! An operator's word on definitions that wait.
//!
//! Invariant: all that was asked for is decided, or nothing; only a definition that still waits,
//! and is the one that was looked at, is.

use std::sync::Arc;
use std::time::SystemTime;

use super::feed::{Event, EventKind};
use super::{Trust, event, millis};
use crate::catalog::Catalog;
use crate::tool::{ContentHash, ServerId, Tool, ToolId};

/// What an operator says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Serve it.
    Approve,
    /// Do not serve it, and stop asking.
    Reject,
}

/// A definition that an operator decides on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The tool's name at its server.
    pub name: String,
    /// The definition that was looked at; `None` is whatever waits.
    pub hash: Option<ContentHash>,
}

/// Why nothing was decided, or not for long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecisionError {
    /// There is no such server in the book.
    #[error("nothing is known of a server {0:?}: GET /v1/servers lists them")]
    NoServer(String),
    /// Nothing of the tool waits.
    #[error("nothing of {0:?} waits for a decision: GET /v1/admin/pending lists what does")]
    NothingWaits(String),
    /// What waits is not what was looked at.
    #[error("another definition of {name:?} waits by now, {hash}: look at it first")]
    Changed {
        /// The tool's name.
        name: String,
        /// What waits.
        hash: String,
    },
    /// It is decided, and could not be written down.
    #[error(
        "it is decided and in force, but the data folder can't be written: until it can, a restart \
         would forget it; make room there"
    )]
    NotKept,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Decided {
    /// The tools that are to be served from now on.
    pub serve: Vec<Tool>,
    /// What happened.
    pub events: Vec<Arc<Event>>,
}

impl Trust {
    /// Decides on these definitions of a server; `None` is all that wait. What was rejected may
    /// still be approved by name. `catalog` is what is served until then.
    pub fn decide(
        &mut self,
        word: Word,
        server: &ServerId,
        choices: Option<&[Choice]>,
        catalog: &Catalog,
        now: SystemTime,
    ) -> Result<Decided, DecisionError> {
        let now = millis(now);
        let Some(book) = self.book.servers.get(server) else {
            return Err(DecisionError::NoServer(server.to_string()));
        };
        let all: Vec<Choice>;
        let choices = if let Some(choices) = choices {
            choices
        } else {
            let waiting = book.tools.iter().filter(|(_, entry)| entry.is_pending());
            all = waiting.map(|(name, _)| Choice { name: name.to_string(), hash: None }).collect();
            &all
        };
        let mut chosen = Vec::new();
        for Choice { name, hash } in choices {
            let found = book.tools.get_key_value(&**name);
            let waits = found.and_then(|(name, entry)| Some((name, entry, entry.held.as_ref()?)));
            let Some((name, entry, held)) = waits.filter(|(_, e, _)| e.gone_ms.is_none()) else {
                return Err(DecisionError::NothingWaits(name.clone()));
            };
            if hash.is_some_and(|hash| hash != held.version.hash) {
                let (name, hash) = (name.to_string(), held.version.hash.hex());
                return Err(DecisionError::Changed { name, hash });
            }
            chosen.push((Arc::clone(name), Arc::clone(entry), held.clone()));
        }
        let mut decided = Decided::default();
        let mut events = Vec::new();
        let book = Arc::make_mut(self.book.servers.entry(server.clone()).or_default());
        for (name, entry, held) in chosen {
            let kind = match word {
                Word::Approve => EventKind::Approved,
                Word::Reject => EventKind::Rejected,
            };
            let id = ToolId::join(server, &name);
            events.push(Event {
                parts: held.parts.clone(),
                old: entry.served.as_ref().map(|version| version.hash.0),
                new: Some(held.version.hash.0),
                ..event(server, Some(&id), kind, now)
            });
            let mut entry = Arc::unwrap_or_clone(entry);
            match word {
                Word::Approve => {
                    decided.serve.extend(Tool::parse(server, &held.definition));
                    entry.served = Some(held.version);
                    entry.approved = true;
                    entry.held = None;
                }
                Word::Reject => {
                    if let Some(held) = &mut entry.held {
                        held.rejected = true;
                    }
                }
            }
            book.tools.insert(name, Arc::new(entry));
        }
        for approved in &decided.serve {
            let before = catalog.get(approved.id.as_str());
            if let Some(before) = before.filter(|before| before.hash != approved.hash) {
                self.keep_earlier(before, now);
            }
        }
        decided.events = self.tell(events);
        Ok(decided)
    }
}
