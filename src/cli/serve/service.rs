//! Everything that works behind the listener for one configuration: the main one, or a tenant's.
//!
//! Invariant: two of them share what [`Shared`] is and nothing else; what it begins ends with its
//! `shutdown`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::shared::Shared;
use crate::activity::Activity;
use crate::auth::Accounts;
use crate::catalog::ServerInfo;
use crate::cluster::Member;
use crate::config::Config;
use crate::crawl::{self, Crawler, Wanted};
use crate::demo;
use crate::discover::follow::Follower;
use crate::live::Live;
use crate::live::indexer::Indexer;
use crate::live::learner::Learner;
use crate::quality::Evaluator;
use crate::roster::{Entries, Reader, Roster};
use crate::serve::admin::Admin;
use crate::tool::ServerId;
use crate::troubles::Troubles;

/// How long the crawler's children may take to end.
pub const STOP: Duration = Duration::from_secs(5);
/// Updates that may wait for the indexer.
const UPDATES: usize = 256;

/// A service; [`Service::stopped`] waits for its end.
pub struct Service {
    pub live: Live,
    pub roster: Roster,
    pub crawler: Crawler,
    pub accounts: Accounts,
    evaluator: Evaluator,
    follower: Follower,
    indexer: JoinHandle<()>,
    /// Where something is learned.
    learner: Option<JoinHandle<()>>,
}

impl Service {
    /// Serves from the snapshot if there is one, then crawls and embeds in the background. `reader`
    /// reads the configuration anew, `tenant` is "" for the process's own.
    pub async fn start(
        mut config: Config,
        reader: Reader,
        (shared, troubles, tenant): (&Shared, &Troubles, &str),
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let mut demo = Vec::new();
        if config.demo {
            demo = demo::start(&std::env::current_exe()?, shutdown.clone()).await?;
            config.servers.extend(demo.iter().cloned());
        }
        let accounts = Accounts::open(&config)?;
        let mut entries = Entries::open(config.clone())?;
        let follower = Follower::open(&config);
        for (registry, found) in follower.found() {
            entries.set_found(&registry, found);
        }
        let live = Live::new("the encoder is being loaded");
        let (counted, queries) = (config.activity_path(), shared.queries);
        let open = move || Activity::open(counted, queries);
        live.count_in(tokio::task::spawn_blocking(open).await?);
        let mut indexer = Indexer::telling(live.clone(), Some(config.snapshot_path()), troubles);
        indexer.use_trust(config.trust.clone(), config.trust_path()).await?;
        indexer.use_profiles(config.profiles.clone()).await;
        let threads = config.embed.threads;
        let (loaded, vectors) = oneshot::channel();
        if config.embed.is_in_binary() {
            // A moment's work, and no answer has to do without it.
            if let Some(cache) = shared.clone().encode(&live).await {
                indexer.use_vectors(cache, threads).await?;
            }
        } else {
            let (shared, live) = (shared.clone(), live.clone());
            let load = async move {
                if let Some(cache) = shared.encode(&live).await {
                    let _ = loaded.send(cache);
                }
            };
            tokio::spawn(load.in_current_span());
        }
        let mut learner = None;
        if let Some(rules) = config.learn {
            let learns = Learner::open(rules, config.learned_path()).await?;
            live.learn(learns.clone());
            let learn = learns.run(live.clone(), shutdown.clone());
            learner = Some(tokio::spawn(learn.in_current_span()));
        }
        indexer.restore(entries.admits(), entries.shown_to_us(&accounts)).await;
        let (updates, received) = mpsc::channel(UPDATES);
        let wanted = entries.wanted();
        let known = known(&live, &wanted);
        if !live.is_ready() && !wanted.iter().any(Wanted::is_crawled) {
            indexer.publish_as_is().await;
        }
        let member = shared.cluster.as_ref().map(|cluster| cluster.member(tenant));
        let leases = member.as_ref().map(Member::leases).unwrap_or_default();
        let bounds = (&config.crawl, (shared.turns.clone(), leases));
        let stop = shutdown.clone();
        let crawler = match member {
            None => crawl::start_with(wanted, bounds, &accounts, known, updates, stop),
            Some(member) => {
                let (report, reports) = mpsc::channel(UPDATES);
                let crawler =
                    crawl::start_with(wanted, bounds, &accounts, known, report, stop.clone());
                let run = member.run(crawler.clone(), reports, updates, stop);
                tokio::spawn(run.in_current_span());
                crawler
            }
        };
        crawler.caller().configure(config.call.clone());
        let logins = crawl_after_logins(accounts.clone(), crawler.clone(), shutdown.clone());
        tokio::spawn(logins.in_current_span());
        let roster = Roster::new(entries, demo, crawler.clone(), reader);
        let judge = live.clone();
        roster.tell_policies(move |policy| judge.set_policy(policy));
        let shown = live.clone();
        roster.tell_profiles(move |profiles| shown.set_profiles(profiles));
        follower.start(&roster, shutdown);
        shared.rerank(&live);
        let bench = shared.bench.clone();
        let evaluator = Evaluator::new(live.clone(), &config.data, config.demo, bench);
        let index = indexer.run(received, vectors, threads, shutdown.clone());
        let indexer = tokio::spawn(index.in_current_span());
        Ok(Self { live, roster, crawler, accounts, evaluator, follower, indexer, learner })
    }

    /// What operators may change.
    pub fn admin(&self) -> Admin {
        let (roster, live) = (self.roster.clone(), self.live.clone());
        let evaluator = self.evaluator.clone();
        Admin { roster, follower: self.follower.clone(), live, evaluator }
    }

    /// Waits until the children are gone, and tokens and what was published are saved.
    pub async fn stopped(self) {
        let evaluator = self.evaluator;
        let evaluated = tokio::task::spawn_blocking(move || {
            evaluator.close();
            evaluator.join();
        });
        if tokio::time::timeout(STOP, self.crawler.stopped()).await.is_err() {
            tracing::warn!("some servers did not end in {} s", STOP.as_secs());
        }
        self.accounts.settled(STOP).await;
        if tokio::time::timeout(STOP, evaluated).await.is_err() {
            tracing::warn!("an evaluation did not end in {} s", STOP.as_secs());
        }
        let _ = tokio::time::timeout(STOP, self.indexer).await;
        if let Some(learner) = self.learner {
            let _ = tokio::time::timeout(STOP, learner).await;
        }
    }
}

/// What is remembered of servers from before.
fn known(live: &Live, wanted: &[Wanted]) -> BTreeMap<ServerId, ServerInfo> {
    let catalog = live.catalog();
    let served = catalog.servers().map(|server| (server.id.clone(), server.info.clone()));
    let mut known: BTreeMap<_, _> = served.collect();
    // Of what a file lists all may be held: once the file is read it stays or goes with the rest.
    let entries: BTreeSet<_> = wanted.iter().map(|wanted| &wanted.server.id).collect();
    for (server, ..) in live.known().book.offered() {
        if !entries.contains(server) {
            known.entry(server.clone()).or_default();
        }
    }
    known
}

/// A server is crawled the moment that somebody has logged in, here or by `toolscout auth login`.
async fn crawl_after_logins(accounts: Accounts, crawler: Crawler, shutdown: CancellationToken) {
    loop {
        let changed = tokio::select! {
            changed = accounts.changed() => changed,
            () = shutdown.cancelled() => return,
        };
        for server in changed {
            tracing::info!(%server, "there is a new login");
            crawler.refresh(&server);
        }
    }
}
