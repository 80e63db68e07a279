//! The tasks of all servers, and how they change while they run.
//!
//! Invariant: of one id at most one task crawls. The next one begins when the one before it has
//! let go of its connection, and what a task told of is told again or taken back by the next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};

use super::call::Caller;
use super::files::{self, Leftovers};
use super::refresh::{self, Shared};
use super::upstream::Upstream;
use super::{Change, Hold, Triggers, Wanted, update};
use crate::auth::Accounts;
use crate::catalog::{Outcome, ServerInfo, ServerUpdate};
use crate::config::{CrawlConfig, NameFilter, Transport};
use crate::tool::ServerId;

/// The servers whose state is for a task to tell of.
type Told = BTreeSet<ServerId>;

/// Every task, and what they share.
pub(super) struct Fleet {
    shared: Shared,
    limits: CrawlConfig,
    accounts: Accounts,
    triggers: Triggers,
    tasks: TaskTracker,
    caller: Caller,
    /// Whose servers they are, for the log.
    span: Span,
    slots: Mutex<BTreeMap<ServerId, Slot>>,
}

/// The last task begun for an id.
struct Slot {
    /// `None` where it only takes back what the one before it told.
    wanted: Option<Arc<Wanted>>,
    stop: CancellationToken,
    task: JoinHandle<Told>,
}

/// What a task begins with.
struct Begin {
    wanted: Option<Arc<Wanted>>,
    known: Option<ServerInfo>,
    left: Option<Arc<Leftovers>>,
    /// The tasks that take back what left in the same change.
    leaving: TaskTracker,
}

impl Fleet {
    pub(super) fn new(shared: Shared, limits: CrawlConfig, accounts: Accounts) -> Self {
        let tasks = TaskTracker::new();
        // It only counts: tasks may begin as long as it is waited for.
        tasks.close();
        let (triggers, slots) = (Triggers::default(), Mutex::default());
        let stop = shared.shutdown.clone();
        let caller = Caller::new(limits.clone(), accounts.clone(), stop, tasks.clone());
        let span = Span::current();
        Self { shared, limits, accounts, triggers, tasks, caller, span, slots }
    }

    pub(super) fn caller(&self) -> &Caller {
        &self.caller
    }

    pub(super) fn triggers(&self) -> &Triggers {
        &self.triggers
    }

    /// Resolves when every task has ended.
    pub(super) async fn stopped(&self) {
        self.tasks.wait().await;
    }

    /// Makes these the servers: what is as it was runs on. `known` is what is remembered of
    /// servers from before; `left` may be in the catalog files among them.
    pub(super) fn apply(
        self: &Arc<Self>,
        wanted: Vec<Wanted>,
        mut known: BTreeMap<ServerId, ServerInfo>,
        left: Option<Leftovers>,
    ) -> Change {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| slot.wanted.is_some() || !slot.task.is_finished());
        self.caller.apply(&wanted);
        let left = left.map(Arc::new);
        let ids: BTreeSet<_> = wanted.iter().map(|wanted| wanted.server.id.clone()).collect();
        let mut change = Change::default();
        let gone = slots.iter().filter(|(id, slot)| slot.wanted.is_some() && !ids.contains(*id));
        let gone: Vec<_> = gone.map(|(id, _)| id.clone()).collect();
        let leaving = TaskTracker::new();
        leaving.close();
        let nothing = || Begin { wanted: None, known: None, left: None, leaving: leaving.clone() };
        for id in gone {
            let before = slots.remove(&id);
            slots.insert(id.clone(), self.begin(&id, before, nothing()));
            change.removed.push(id);
        }
        for wanted in wanted {
            let id = wanted.server.id.clone();
            match slots.get(&id).and_then(|slot| slot.wanted.as_deref()) {
                Some(now) if now.hold == wanted.hold && now.server.same_as(&wanted.server) => {
                    change.unchanged += 1;
                    continue;
                }
                Some(_) => change.changed.push(id.clone()),
                None => change.added.push(id.clone()),
            }
            let before = slots.remove(&id);
            let known = known.remove(&id);
            let wanted = Some(Arc::new(wanted));
            let begin = Begin { wanted, known, left: left.clone(), ..nothing() };
            slots.insert(id.clone(), self.begin(&id, before, begin));
        }
        change
    }

    /// Says that these are gone: they are left over from before, and nobody else will.
    pub(super) fn remove(self: &Arc<Self>, left: Told) {
        let fleet = Arc::clone(self);
        let take_back = async move {
            for id in left {
                fleet.take_back(&id, Told::from([id.clone()])).await;
            }
        };
        self.tasks.spawn(take_back.instrument(self.span.clone()));
    }

    fn begin(self: &Arc<Self>, id: &ServerId, before: Option<Slot>, begin: Begin) -> Slot {
        let stop = self.shared.shutdown.child_token();
        let wanted = begin.wanted.clone();
        let leaves = wanted.is_none().then(|| begin.leaving.token());
        let fleet = Arc::clone(self);
        let (id, stopped) = (id.clone(), stop.clone());
        let work = async move {
            let _leaves = leaves;
            let mut told = Told::new();
            if let Some(before) = before {
                before.stop.cancel();
                told = before.task.await.unwrap_or_default();
            }
            match &begin.wanted {
                None => fleet.take_back(&id, told).await,
                // Another one waits for this one's end already.
                Some(_) if stopped.is_cancelled() => told,
                Some(wanted) => {
                    let shared = Shared { shutdown: stopped, ..fleet.shared.clone() };
                    fleet.run(wanted, shared, told, &begin).await
                }
            }
        };
        let task = self.tasks.spawn(work.instrument(self.span.clone()));
        Slot { wanted, stop, task }
    }

    /// Says that these are gone, but for those that another entry stands for by now.
    async fn take_back(&self, id: &ServerId, told: Told) -> Told {
        for server in told {
            if server != *id && self.stands_for(&server) {
                continue;
            }
            self.triggers.remove(&server);
            let outcome = Outcome::Removed;
            let removed = ServerUpdate { server, transport: "none", outcome, next_crawl: None };
            if self.shared.updates.send(removed).await.is_err() {
                break;
            }
        }
        Told::new()
    }

    fn stands_for(&self, server: &ServerId) -> bool {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.get(server).is_some_and(|slot| slot.wanted.is_some())
    }

    /// A listing with this in it may be served by us: it is for everybody, or for who we are.
    pub(super) fn is_shown(&self, server: &ServerId, info: &ServerInfo) -> bool {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        match slots.get(server).and_then(|slot| slot.wanted.as_ref()) {
            Some(wanted) => wanted.server.was_shown(info, || self.accounts.who(&wanted.server)),
            None => info.private_to.is_none(),
        }
    }

    /// The work of one entry until it is stopped; what the next one has to know of.
    async fn run(&self, wanted: &Wanted, shared: Shared, mut told: Told, begin: &Begin) -> Told {
        let server = Arc::clone(&wanted.server);
        let is_file = matches!(server.transport, Transport::Catalog { .. });
        let idle = match wanted.hold {
            _ if !server.enabled => Some(Outcome::Disabled),
            Some(Hold::Paused) => Some(Outcome::Paused),
            Some(Hold::Pending) => Some(Outcome::Pending),
            None => None,
        };
        if let Some(outcome) = idle {
            if !is_file || told.is_empty() {
                told.insert(server.id.clone());
            }
            for id in &told {
                self.triggers.remove(id);
                let update = update(&server, id.clone(), outcome.clone(), None);
                let _ = shared.updates.send(update).await;
            }
            return told;
        }
        let refresh = Arc::new(Notify::new());
        if is_file {
            // A server that moves from an entry of its own to this file leaves before it comes.
            begin.leaving.wait().await;
            // Nothing is taken back before the file has been read.
            let mut left = told.clone();
            left.retain(|id| *id == server.id || !self.stands_for(id));
            let left = begin.left.clone().unwrap_or_else(|| Arc::new(Leftovers::new(left, 1)));
            let triggers = self.triggers.clone();
            triggers.add(&server.id, &refresh);
            let stands_for = |id: &ServerId| self.stands_for(id);
            let read = files::run(server, shared, refresh, triggers, left, &stands_for).await;
            return read.unwrap_or(told);
        }
        let is_told = told.remove(&server.id);
        self.take_back(&server.id, told).await;
        self.triggers.add(&server.id, &refresh);
        if is_told {
            // What is not wanted any more goes at once, also where the server is down.
            let who = self.accounts.who(&server);
            let names = if shared.marks.were_of_another(&server, &who) {
                NameFilter::nothing()
            } else {
                server.names.clone()
            };
            shared.tell(&server, Outcome::Narrowed(names), None).await;
        }
        if let Some(known) = &begin.known {
            shared.marks.note(&server.id, known);
        }
        let id = server.id.clone();
        let account = self.accounts.of(&server);
        let upstream = Upstream::new(server, account, &self.limits, begin.known.as_ref());
        refresh::run(upstream, shared, refresh, is_told || begin.known.is_some()).await;
        Told::from([id])
    }
}
