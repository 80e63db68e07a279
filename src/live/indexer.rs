//! The only writer: folds what the crawl reports into the catalog, builds, publishes, saves.
//!
//! Invariant: a generation is published only when a search could see the difference, in order,
//! and complete; a failed crawl changes a server's status and nothing else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::saver::Saver;
use super::trusted::{Gate, HistoryUnreadable, Known, Order};
use super::updates::{count, log, status};
use super::vectors::{self, Progress, VectorWorker};
use super::{Live, ServerState, ServerStatus};
use crate::access::profile::Profiles;
use crate::access::view;
use crate::catalog::{Catalog, Listing, Outcome, Server, ServerUpdate};
use crate::embed::Cost;
use crate::embed::cache::VectorCache;
use crate::index::Index;
use crate::index::snapshot;
use crate::memory::Making;
use crate::sealed::{self, SealedError};
use crate::tool::{ServerId, Tool};
use crate::troubles::Troubles;
use crate::trust::decide::{Choice, DecisionError, Word};
use crate::trust::feed::Event;
use crate::trust::policy::Policy;

/// Updates that come within this time of each other become one generation.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// A steady stream of updates is cut into generations after this time.
const DEBOUNCE_MOST: Duration = Duration::from_millis(500);

/// Folds, builds, publishes.
pub struct Indexer {
    live: Live,
    catalog: Arc<Catalog>,
    /// Told once the generation that they speak of is published.
    servers: BTreeMap<ServerId, ServerStatus>,
    /// Between what comes in and the catalog.
    gate: Gate,
    known: Arc<Known>,
    /// Whose views are published with each generation.
    profiles: Arc<Profiles>,
    orders: mpsc::Receiver<Order>,
    generation: u64,
    snapshot: Option<PathBuf>,
    saver: Option<Saver<(u64, Arc<Catalog>)>>,
    /// Hears where saving fails.
    troubles: Troubles,
    vectors: Option<Arc<VectorCache>>,
    /// Embeds in the background; absent where the encoder is instant.
    worker: Option<VectorWorker>,
    progress: mpsc::Receiver<Progress>,
    /// Kept so that `progress` stays open before there is a worker.
    report_progress: mpsc::Sender<Progress>,
}

impl Indexer {
    /// An indexer that publishes to `live` and saves each catalog to `snapshot`.
    ///
    /// # Panics
    ///
    /// With a `snapshot` outside a tokio runtime: a task of its own writes it.
    pub fn new(live: Live, snapshot: Option<PathBuf>) -> Self {
        Self::telling(live, snapshot, &Troubles::default())
    }

    /// As [`Indexer::new`]; `troubles` hears where saving fails.
    ///
    /// # Panics
    ///
    /// As [`Indexer::new`].
    pub fn telling(live: Live, snapshot: Option<PathBuf>, troubles: &Troubles) -> Self {
        let (report_progress, progress) = mpsc::channel(1);
        let (give_orders, orders) = mpsc::channel(16);
        // Of several writers, which only tests have, the first takes orders.
        let _ = live.0.orders.set(give_orders);
        let live = live.whole();
        let index = live.index();
        let profile = |(name, view): (&Arc<str>, &Arc<view::View>)| {
            (Arc::clone(name), Arc::clone(&view.profile))
        };
        Self {
            profiles: Arc::new(live.views().iter().map(profile).collect()),
            gate: Gate::default(),
            known: live.known(),
            orders,
            catalog: Arc::clone(&index.catalog),
            servers: BTreeMap::clone(&live.servers()),
            live,
            generation: index.generation,
            saver: snapshot.clone().map(|path| {
                let lost = "a restart will have to crawl before it can serve";
                let save = move |(generation, catalog): (u64, Arc<Catalog>)| {
                    snapshot::save(&path, generation, &catalog)
                };
                Saver::start("snapshot", lost, troubles.clone(), save)
            }),
            troubles: troubles.clone(),
            snapshot,
            vectors: None,
            worker: None,
            progress,
            report_progress,
        }
    }

    /// Judges definitions by `policy`, and goes on with the history at `path`. Before
    /// [`Indexer::restore`].
    pub async fn use_trust(
        &mut self,
        policy: Policy,
        path: PathBuf,
    ) -> Result<(), HistoryUnreadable> {
        self.gate = Gate::open(policy, path, self.troubles.clone()).await?;
        self.known = Arc::new(self.gate.known());
        self.tell();
        Ok(())
    }

    /// Publishes views of these profiles from now on, in place of others.
    pub async fn use_profiles(&mut self, profiles: Profiles) {
        self.profiles = Arc::new(profiles);
        let whole = self.live.index();
        if self.live.is_ready() {
            self.publish(Some(whole)).await;
            return self.embed();
        }
        // There are profiles before there is a generation.
        let views = view::derive_all(&whole, &self.profiles, &view::Views::new(), |_, _| None);
        self.live.publish(Index::clone(&whole), views);
        self.tell();
    }

    /// Publishes what the snapshot has of the tools that `keep` lets through and of the servers
    /// that `ours` does (the configuration may have changed since); its servers are stale until they are crawled. A snapshot that
    /// can't be used is set aside with a warning.
    pub async fn restore(&mut self, keep: impl Fn(&Tool) -> bool, ours: impl Fn(&Server) -> bool) {
        let Some(path) = self.snapshot.clone() else {
            return;
        };
        let _making = Making::begin();
        let loaded = tokio::task::spawn_blocking(move || {
            snapshot::load(&path).inspect_err(|error| {
                set_aside(&path, &error.0, &error.to_string(), "starting empty and crawling");
            })
        });
        if let Ok(Ok(Some((generation, catalog)))) = loaded.await {
            // After the gate: a definition's history is one, whoever saw it.
            let catalog = self.gate.restore(&catalog, keep).retain_of(|server, _| ours(server));
            self.known = Arc::new(self.gate.known());
            tracing::info!(generation, tools = catalog.len(), "restored the snapshot");
            let status = |server| ServerStatus::listed(server, ServerState::Stale, "unknown");
            let servers = catalog.servers().map(|server| (server.id.clone(), status(server)));
            self.servers = servers.collect();
            self.generation = generation;
            self.catalog = Arc::new(catalog);
            // Of nothing that is still configured no host is to be answered: the crawl comes first.
            if self.catalog.is_empty() {
                self.tell();
            } else {
                self.publish(None).await;
            }
        }
    }

    /// Uses `cache` for vectors from now on.
    pub async fn use_vectors(
        &mut self,
        cache: Arc<VectorCache>,
        threads: usize,
    ) -> std::io::Result<()> {
        if cache.embedder().cost() != Cost::Instant {
            let worker = VectorWorker::start(cache.clone(), threads, self.report_progress.clone())?;
            self.worker = Some(worker);
        }
        self.vectors = Some(cache);
        self.embed();
        if !self.catalog.is_empty() {
            // Another encoder's vectors are none of this one's.
            let published = Index { dense: None, ..Index::clone(&self.live.index()) };
            self.publish(Some(Arc::new(published))).await;
        }
        Ok(())
    }

    /// Publishes what there is: where no server is crawled, nothing is all there is to find.
    pub async fn publish_as_is(&mut self) {
        self.publish(None).await;
    }

    /// Runs until `shutdown`, or until every sender of `updates` is gone, and returns when all that
    /// is published is saved. Vectors are used from when `vectors` gives them, with `threads`
    /// threads at work.
    pub async fn run(
        mut self,
        updates: mpsc::Receiver<ServerUpdate>,
        vectors: oneshot::Receiver<Arc<VectorCache>>,
        threads: usize,
        shutdown: CancellationToken,
    ) {
        self.index(updates, vectors, threads, shutdown).await;
        if let Some(saver) = self.saver {
            saver.finish().await;
        }
        self.gate.finish().await;
    }

    async fn index(
        &mut self,
        mut updates: mpsc::Receiver<ServerUpdate>,
        mut vectors: oneshot::Receiver<Arc<VectorCache>>,
        threads: usize,
        shutdown: CancellationToken,
    ) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                Ok(cache) = &mut vectors, if !vectors.is_terminated() => {
                    if let Err(error) = self.use_vectors(cache, threads).await {
                        tracing::error!(%error, "vectors can't be made: answers stay lexical");
                    }
                }
                update = updates.recv() => match update {
                    Some(update) => self.take(update, &mut updates).await,
                    // Where no server is switched on, nothing is all there is to find.
                    None if !self.live.is_ready() => return self.publish(None).await,
                    None => return,
                },
                Some(order) = self.orders.recv() => self.obey(order).await,
                Some(progress) = self.progress.recv() => {
                    self.live.set_trouble(progress.trouble);
                    if progress.added {
                        let index = self.live.index();
                        self.publish(Some(index)).await;
                    }
                }
            }
        }
    }

    /// Folds `update` and what comes close behind it, and publishes if anything changed.
    async fn take(&mut self, update: ServerUpdate, updates: &mut mpsc::Receiver<ServerUpdate>) {
        let mut batch = vec![update];
        let until = Instant::now() + DEBOUNCE_MOST;
        while Instant::now() < until {
            let wait = until.min(Instant::now() + DEBOUNCE);
            match tokio::time::timeout_at(wait, updates.recv()).await {
                Ok(Some(update)) => batch.push(update),
                Ok(None) | Err(_) => break,
            }
        }
        // A listing is judged by the rules that were set before it came.
        while let Ok(order) = self.orders.try_recv() {
            self.obey(order).await;
        }
        // The first complete listing makes the index ready even if it is empty.
        let listed = batch.iter().any(|update| matches!(update.outcome, Outcome::Listed(_)));
        let changed = self.fold(batch).await;
        if !changed && (self.live.is_ready() || !listed) {
            self.tell();
        } else {
            self.publish_tools().await;
        }
    }

    async fn publish_tools(&mut self) {
        self.publish(None).await;
        self.embed();
    }

    /// Has embedded in the background what is published, and what views make of it.
    fn embed(&self) {
        let Some(worker) = &self.worker else { return };
        let views = self.live.views();
        let rewritten = views.values().map(|view| Arc::new(view.rewritten(&self.catalog)));
        let rewritten = rewritten.filter(|catalog| !catalog.is_empty());
        worker.embed(std::iter::once(Arc::clone(&self.catalog)).chain(rewritten).collect());
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Policy(policy) => {
                self.known = Arc::new(self.gate.set_policy(policy));
                self.tell();
            }
            Order::Profiles(profiles) => self.use_profiles(profiles).await,
            Order::Decide { word, server, choices, reply } => {
                // Who asked may have gone.
                let _ = reply.send(self.decide(word, &server, choices.as_deref()).await);
            }
        }
    }

    /// Serves what an operator approved, at once.
    async fn decide(
        &mut self,
        word: Word,
        server: &ServerId,
        choices: Option<&[Choice]>,
    ) -> Result<Vec<Arc<Event>>, DecisionError> {
        let (decided, known, mut kept) =
            self.gate.decide(word, server, choices, &self.catalog).await?;
        self.known = Arc::new(known);
        let (catalog, changed) = with_tools(&self.catalog, server, &decided.serve);
        if changed {
            self.catalog = Arc::new(catalog);
            if let (Some(status), Some(listed)) =
                (self.servers.get_mut(server), self.catalog.server(server.as_str()))
            {
                status.tools = Some(listed.tools.len());
            }
            self.publish_tools().await;
            // Approved bytes are nowhere else: their server may offer others by now.
            if let Some(saver) = &self.saver {
                kept &= saver.saved().await;
            }
        } else {
            self.tell();
        }
        if kept { Ok(decided.events) } else { Err(DecisionError::NotKept) }
    }

    /// Takes the updates into the catalog and the servers' status; true if a search could tell.
    async fn fold(&mut self, batch: Vec<ServerUpdate>) -> bool {
        let Some(admitted) = self.gate.admit(batch, Arc::clone(&self.catalog)).await else {
            return false;
        };
        let diffs = admitted.diffs;
        self.catalog = Arc::new(admitted.catalog);
        if let Some(known) = admitted.known {
            self.known = Arc::new(known);
        }
        for (update, diff) in admitted.batch.iter().zip(&diffs) {
            log(update, diff);
            count(&update.outcome);
            if matches!(update.outcome, Outcome::Removed) {
                self.servers.remove(&update.server);
            } else {
                let status = status(update, self.servers.get(&update.server), &self.catalog);
                self.servers.insert(update.server.clone(), status);
            }
        }
        diffs.iter().any(|diff| !diff.is_empty())
    }

    /// Makes the servers' states visible: never before the tools that they speak of.
    fn tell(&self) {
        self.live.0.known.store(Arc::clone(&self.known));
        self.live.set_servers(self.servers.clone());
    }

    /// Builds and publishes the next generation with its views, and has it saved. `reuse` is the published one when
    /// only vectors are new. Nothing waits for an encoder that is not instant.
    async fn publish(&mut self, reuse: Option<Arc<Index>>) {
        let _making = Making::begin();
        self.generation += 1;
        let generation = self.generation;
        let catalog = Arc::clone(&self.catalog);
        let cache = self.vectors.clone();
        let (published, views) = (self.live.index(), self.live.views());
        let profiles = Arc::clone(&self.profiles);
        let begun = Instant::now();
        let built = tokio::task::spawn_blocking(move || {
            let earlier = reuse.as_ref().unwrap_or(&published);
            let mut index = match &reuse {
                Some(published) => Index { generation, ..Index::clone(published) },
                None => published.updated(generation, catalog),
            };
            let cache = cache.as_deref();
            let ready = cache.and_then(|cache| vectors::ready(&index, cache, earlier));
            index.dense = ready.map(Arc::new);
            let vector = |index: &Index, tool| vectors::of_tool(index, cache?, tool);
            let views = view::derive_all(&index, &profiles, &views, vector);
            (index, views)
        });
        match built.await {
            Ok((index, views)) => {
                tracing::info!(
                    generation,
                    tools = index.catalog.len(),
                    embedded = index.embedded(),
                    "published"
                );
                self.live.publish(index, views);
                metrics::histogram!("toolscout_index_build_seconds").record(begun.elapsed());
                self.tell();
                // Its number too: after a restart no number is given out twice.
                if let Some(saver) = &self.saver {
                    saver.save((generation, Arc::clone(&self.catalog)));
                }
            }
            Err(error) => tracing::error!(%error, "the index can't be built, the last one stays"),
        }
    }
}

/// The catalog with these tools of a server, new or in place of those of the same names.
fn with_tools(catalog: &Catalog, server: &ServerId, tools: &[Tool]) -> (Catalog, bool) {
    if tools.is_empty() {
        return (Catalog::default(), false);
    }
    let known = catalog.server(server.as_str());
    let old = known.into_iter().flat_map(|server| &server.tools);
    let old = old.filter(|old| tools.iter().all(|tool| tool.id != old.id));
    let all = old.map(|tool| Tool::clone(tool)).chain(tools.iter().cloned()).collect();
    let listing = Listing {
        info: known.map(|server| server.info.clone()).unwrap_or_default(),
        tools: all,
        crawled_at: known.map_or_else(SystemTime::now, |server| server.crawled_at),
        defects: Vec::new(),
    };
    let update = ServerUpdate {
        server: server.clone(),
        transport: "",
        outcome: Outcome::Listed(listing),
        next_crawl: None,
    };
    let (catalog, diff) = catalog.fold(&update);
    (catalog, !diff.is_empty())
}

/// Says why there is nothing to go on with, and what follows; what could be read and is no good is
/// moved away.
pub(super) fn set_aside(path: &Path, error: &SealedError, said: &str, then: &str) {
    if matches!(error, SealedError::Io { .. }) {
        tracing::warn!("{said}; {then}");
        return;
    }
    match sealed::set_aside(path) {
        Ok(aside) => tracing::warn!("{said}; set aside as {}, {then}", aside.display()),
        Err(also) => tracing::warn!("{said}; and can't be set aside: {also}"),
    }
}
