//! Reads the tools of every configured server, and goes on reading them as they change.
//!
//! Each server has a task of its own: a slow or dead one delays nobody. What a task learns leaves
//! as a [`ServerUpdate`]; rmcp's types stay in here.
//!
//! Invariant: a listing that was not read to its end is never reported as one.

mod authorized;
mod error;
mod files;
mod http;
mod lines;
mod list;
mod refresh;
mod session;
mod sse;
mod stdio;
mod tap;
mod upstream;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use error::CrawlError;

use crate::auth::Accounts;
use crate::catalog::{Outcome, ServerInfo, ServerUpdate};
use crate::config::{Config, CrawlConfig, ServerConfig, Transport};
use crate::tool::ServerId;
use files::{CatalogFile, Leftovers};
use refresh::Shared;
use upstream::Upstream;

/// A handle on the tasks that crawl.
#[derive(Clone)]
pub struct Crawler {
    triggers: Triggers,
    tasks: TaskTracker,
}

impl Crawler {
    /// Has this server crawled now; false where no such server is crawled.
    pub fn refresh(&self, server: &ServerId) -> bool {
        let triggers = self.triggers.0.lock().unwrap_or_else(PoisonError::into_inner);
        match triggers.get(server) {
            Some(trigger) => {
                trigger.notify_one();
                true
            }
            None => false,
        }
    }

    /// Resolves when, after the shutdown, every task has ended and every child is gone.
    pub async fn stopped(&self) {
        self.tasks.wait().await;
    }
}

/// How to wake the task of a server.
#[derive(Clone, Default)]
struct Triggers(Arc<Mutex<BTreeMap<ServerId, Arc<Notify>>>>);

impl Triggers {
    fn add(&self, server: &ServerId, trigger: &Arc<Notify>) {
        let mut triggers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        triggers.insert(server.clone(), Arc::clone(trigger));
    }
}

/// Starts one task a server; what they learn goes to `updates`. `known` is what is remembered of
/// servers from before: it spares them the `Connecting`, and names the protocol to begin with;
/// what is in it but not in the configuration is reported as removed.
///
/// The tasks end when `shutdown` is cancelled; [`Crawler::stopped`] waits for that.
///
/// # Panics
///
/// Outside a tokio runtime.
pub fn start(
    config: &Config,
    known: BTreeMap<ServerId, ServerInfo>,
    updates: mpsc::Sender<ServerUpdate>,
    shutdown: CancellationToken,
) -> Crawler {
    start_with(config, &Accounts::none(), known, updates, shutdown)
}

/// As [`start`], with the logins that servers want.
///
/// # Panics
///
/// Outside a tokio runtime.
pub fn start_with(
    config: &Config,
    accounts: &Accounts,
    mut known: BTreeMap<ServerId, ServerInfo>,
    updates: mpsc::Sender<ServerUpdate>,
    shutdown: CancellationToken,
) -> Crawler {
    let crawler = Crawler { triggers: Triggers::default(), tasks: TaskTracker::new() };
    let shared = Shared {
        updates,
        permits: Arc::new(Semaphore::new(config.crawl.concurrency.max(1))),
        shutdown,
    };
    let mut files = Vec::new();
    let mut told = Vec::new();
    for server in &config.servers {
        let server = Arc::new(server.clone());
        let known = known.remove(&server.id);
        if !server.enabled {
            told.push(update(&server, server.id.clone(), Outcome::Disabled, None));
            continue;
        }
        let refresh = Arc::new(Notify::new());
        crawler.triggers.add(&server.id, &refresh);
        if matches!(server.transport, Transport::Catalog { .. }) {
            files.push((server, refresh));
            continue;
        }
        let account = accounts.of(&server);
        let upstream = Upstream::new(server, account, &config.crawl, known.as_ref());
        crawler.tasks.spawn(refresh::run(upstream, shared.clone(), refresh, known.is_some()));
    }
    let left: BTreeSet<_> = known.into_keys().collect();
    if files.is_empty() {
        told.extend(left.iter().map(|id| ServerUpdate {
            server: id.clone(),
            transport: "file",
            outcome: Outcome::Removed,
            next_crawl: None,
        }));
    }
    let leftovers = Arc::new(Leftovers::new(left, files.len()));
    for (server, refresh) in files {
        crawler.tasks.spawn(files::run(
            server,
            shared.clone(),
            refresh,
            crawler.triggers.clone(),
            Arc::clone(&leftovers),
        ));
    }
    crawler.tasks.spawn(async move {
        for update in told {
            if shared.updates.send(update).await.is_err() {
                return;
            }
        }
    });
    crawler.tasks.close();
    crawler
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
        next_crawl: wait.map(|wait| SystemTime::now() + wait),
    }
}
