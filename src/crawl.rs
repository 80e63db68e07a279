//! Reads the tools of every configured server, and goes on reading them as they change.
//!
//! Each server has a task of its own: a slow or dead one delays nobody. What a task learns leaves
//! as a [`ServerUpdate`]; rmcp's types stay in here.
//!
//! Invariant: a listing that was not read to its end is never reported as one.

mod authorized;
pub mod call;
mod client;
mod error;
mod files;
mod fleet;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod http;
mod http_error;
mod lease;
mod lines;
mod list;
mod news;
mod pending;
mod refresh;
mod session;
mod sse;
mod stdio;
mod tap;
mod upstream;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

pub use error::CrawlError;
pub use lease::Leases;
pub use pending::Progress;

use crate::auth::Accounts;
use crate::catalog::{Outcome, ServerInfo, ServerUpdate};
use crate::config::{CrawlConfig, ServerConfig, Transport};
use crate::tool::ServerId;
use call::Caller;
use files::{CatalogFile, Leftovers};
use fleet::Fleet;
use refresh::{Marks, Shared};
use upstream::Upstream;

/// A handle on the tasks that crawl.
#[derive(Clone)]
pub struct Crawler(Arc<Fleet>);

/// How many children start at once, over all crawlers that have a clone of it.
#[derive(Clone)]
pub struct Turns(Arc<Semaphore>);

impl Turns {
    /// As many as these limits say.
    pub fn new(limits: &CrawlConfig) -> Self {
        Self(Arc::new(Semaphore::new(limits.concurrency.max(1))))
    }
}

/// A server that is to be there.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The server.
    pub server: Arc<ServerConfig>,
    /// Why it is not crawled although it is switched on.
    pub hold: Option<Hold>,
}

/// Why a server is not crawled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// An operator paused it: its tools stay.
    Paused,
    /// No operator has approved it yet: it is not connected to.
    Pending,
}

/// What [`Crawler::apply`] changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Ids that are new.
    pub added: Vec<ServerId>,
    /// Ids that are gone.
    pub removed: Vec<ServerId>,
    /// Ids whose entry is another now: they are connected to anew.
    pub changed: Vec<ServerId>,
    /// How many run on as they were.
    pub unchanged: usize,
}

impl Crawler {
    /// Makes these the servers, in the place of those before. What is as it was runs on; what is
    /// another now is connected to anew, its tools staying until they are listed again; what is
    /// gone is reported as removed.
    pub fn apply(&self, wanted: Vec<Wanted>) -> Change {
        self.0.apply(wanted, BTreeMap::new(), None)
    }

    /// What calls tools at these servers, once it is told to ([`Caller::configure`]).
    pub fn caller(&self) -> Caller {
        self.0.caller().clone()
    }

    /// Has this server crawled now; false where no such server is crawled.
    pub fn refresh(&self, server: &ServerId) -> bool {
        self.0.triggers().fire(server)
    }

    /// A listing of this server with this in it may be served by us, whoever read it: it is for
    /// everybody, or for who we are to the server.
    pub fn is_shown(&self, server: &ServerId, info: &ServerInfo) -> bool {
        self.0.is_shown(server, info)
    }

    /// Resolves when, after the shutdown, every task has ended and every child was told to.
    pub async fn stopped(&self) {
        self.0.stopped().await;
    }
}

/// Kills every child, and what it started, without a word: for an end that waits for nothing.
pub fn end_children() {
    stdio::kill_all();
}

/// Resolves when no child of this process is left, whichever crawler started it.
pub async fn children_ended() {
    stdio::all_gone().await;
}

/// How to wake the task of a server.
#[derive(Clone, Default)]
struct Triggers(Arc<Mutex<BTreeMap<ServerId, Arc<Notify>>>>);

impl Triggers {
    fn add(&self, server: &ServerId, trigger: &Arc<Notify>) {
        self.lock().insert(server.clone(), Arc::clone(trigger));
    }

    fn remove(&self, server: &ServerId) {
        self.lock().remove(server);
    }

    fn fire(&self, server: &ServerId) -> bool {
        let trigger = self.lock().get(server).cloned();
        trigger.inspect(|trigger| trigger.notify_one()).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ServerId, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts one task a server; what they learn goes to `updates`. `known` is what is remembered of
/// servers from before: it spares them the `Connecting`, and names the protocol to begin with;
/// what is in it but not in `wanted` is reported as removed.
///
/// The tasks end when `shutdown` is cancelled; [`Crawler::stopped`] waits for that.
///
/// # Panics
///
/// Outside a tokio runtime.
pub fn start(
    wanted: Vec<Wanted>,
    limits: &CrawlConfig,
    known: BTreeMap<ServerId, ServerInfo>,
    updates: mpsc::Sender<ServerUpdate>,
    shutdown: CancellationToken,
) -> Crawler {
    let with = (Turns::new(limits), Leases::default());
    start_with(wanted, (limits, with), &Accounts::none(), known, updates, shutdown)
}

/// As [`start`], with the logins that servers want, turns that others may share, and what says
/// which servers are crawled here.
///
/// # Panics
///
/// Outside a tokio runtime.
pub fn start_with(
    wanted: Vec<Wanted>,
    (limits, (turns, leases)): (&CrawlConfig, (Turns, Leases)),
    accounts: &Accounts,
    mut known: BTreeMap<ServerId, ServerInfo>,
    updates: mpsc::Sender<ServerUpdate>,
    shutdown: CancellationToken,
) -> Crawler {
    // A child takes three open files, and many systems allow 1,024 to who does not ask for more.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let shared = Shared { updates, permits: turns.0, shutdown, marks: Marks::default(), leases };
    let ids: BTreeSet<_> = wanted.iter().map(|wanted| &wanted.server.id).collect();
    let left: BTreeSet<_> = known.keys().filter(|id| !ids.contains(id)).cloned().collect();
    known.retain(|id, _| ids.contains(id));
    let files = wanted.iter().filter(|wanted| wanted.reads_a_file()).count();
    let fleet = Arc::new(Fleet::new(shared, limits.clone(), accounts.clone()));
    if files == 0 {
        fleet.remove(left);
        fleet.apply(wanted, known, None);
    } else {
        fleet.apply(wanted, known, Some(Leftovers::new(left, files)));
    }
    Crawler(fleet)
}

impl Wanted {
    /// A server that is crawled if it is switched on.
    pub fn crawled(server: ServerConfig) -> Self {
        Self { server: Arc::new(server), hold: None }
    }

    /// It will be asked for its tools.
    pub fn is_crawled(&self) -> bool {
        self.server.enabled && self.hold.is_none()
    }

    /// It is a catalog file, and will be read.
    pub fn reads_a_file(&self) -> bool {
        self.is_crawled() && matches!(self.server.transport, Transport::Catalog { .. })
    }
}

/// One crawl of one server without any watching. A catalog file yields an update a server in it.
pub async fn crawl_once(
    server: &ServerConfig,
    limits: &CrawlConfig,
    known: Option<&ServerInfo>,
) -> Vec<ServerUpdate> {
    crawl_once_with(server, &Accounts::none(), limits, known).await
}

/// As [`crawl_once`], with the login that the server wants.
pub async fn crawl_once_with(
    server: &ServerConfig,
    accounts: &Accounts,
    limits: &CrawlConfig,
    known: Option<&ServerInfo>,
) -> Vec<ServerUpdate> {
    let server = Arc::new(server.clone());
    let news = match &server.transport {
        _ if !server.enabled => vec![(server.id.clone(), Outcome::Disabled)],
        Transport::Catalog { .. } => CatalogFile::new(Arc::clone(&server)).read().await,
        Transport::Stdio { .. } | Transport::Http { .. } => {
            let mut upstream =
                Upstream::new(Arc::clone(&server), accounts.of(&server), limits, known);
            let outcome = upstream.crawl(false).await;
            upstream.close().await;
            vec![(server.id.clone(), outcome)]
        }
    };
    news.into_iter().map(|(id, outcome)| update(&server, id, outcome, None)).collect()
}

fn update(
    source: &ServerConfig,
    server: ServerId,
    outcome: Outcome,
    wait: Option<Duration>,
) -> ServerUpdate {
    ServerUpdate {
        server,
        transport: match source.transport {
            Transport::Stdio { .. } => "stdio",
            Transport::Http { .. } => "http",
            Transport::Catalog { .. } => "file",
        },
        outcome,
        next_crawl: wait.map(|wait| Instant::now() + wait),
    }
}
