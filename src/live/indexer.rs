//! The only writer: folds what the crawl reports into the catalog, builds, publishes, saves.
//!
//! Invariant: a generation is published only when a search could see the difference, in order,
//! and complete; a failed crawl changes a server's status and nothing else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::saver::Saver;
use super::vectors::{self, Progress, VectorWorker};
use super::{Live, ServerState, ServerStatus};
use crate::catalog::{Catalog, Diff, Outcome, ServerUpdate};
use crate::embed::Cost;
use crate::embed::cache::VectorCache;
use crate::index::Index;
use crate::index::snapshot::{self, SnapshotError};
use crate::tool::{ServerId, Tool};

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
    generation: u64,
    snapshot: Option<PathBuf>,
    saver: Option<Saver>,
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
        let (report_progress, progress) = mpsc::channel(1);
        let index = live.index();
        Self {
            catalog: Arc::clone(&index.catalog),
            servers: BTreeMap::clone(&live.servers()),
            live,
            generation: index.generation,
            saver: snapshot.clone().map(Saver::start),
            snapshot,
            vectors: None,
            worker: None,
            progress,
            report_progress,
        }
    }

    /// Publishes what the snapshot has of the tools that `keep` lets through (the configuration
    /// may have changed since); its servers are stale until they are crawled. A snapshot that
    /// can't be used is set aside with a warning.
    pub async fn restore(&mut self, keep: impl Fn(&Tool) -> bool) {
        let Some(path) = self.snapshot.clone() else {
            return;
        };
        let loaded = tokio::task::spawn_blocking(move || {
            snapshot::load(&path).inspect_err(|error| set_aside(&path, error))
        });
        if let Ok(Ok(Some((generation, catalog)))) = loaded.await {
            let catalog = catalog.retain(keep);
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
            worker.embed(Arc::clone(&self.catalog));
            self.worker = Some(worker);
        }
        self.vectors = Some(cache);
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
        let changed = self.fold(&batch);
        // The first complete listing makes the index ready even if it is empty.
        let listed = batch.iter().any(|update| matches!(update.outcome, Outcome::Listed(_)));
        if !changed && (self.live.is_ready() || !listed) {
            self.tell();
        } else {
            self.publish(None).await;
            if let Some(worker) = &self.worker {
                worker.embed(Arc::clone(&self.catalog));
            }
        }
    }

    /// Takes the updates into the catalog and the servers' status; true if a search could tell.
    fn fold(&mut self, batch: &[ServerUpdate]) -> bool {
        let (catalog, diffs) = self.catalog.fold_all(batch);
        self.catalog = Arc::new(catalog);
        for (update, diff) in batch.iter().zip(&diffs) {
            log(update, diff);
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
        self.live.0.servers.store(Arc::new(self.servers.clone()));
    }

    /// Builds and publishes the next generation, and has it saved. `reuse` is the published one when
    /// only vectors are new. Nothing waits for an encoder that is not instant.
    async fn publish(&mut self, reuse: Option<Arc<Index>>) {
        self.generation += 1;
        let generation = self.generation;
        let catalog = Arc::clone(&self.catalog);
        let cache = self.vectors.clone();
        let published = self.live.index();
        let built = tokio::task::spawn_blocking(move || {
            let earlier = reuse.as_ref().unwrap_or(&published);
            let mut index = match &reuse {
                Some(published) => Index { generation, ..Index::clone(published) },
                None => published.updated(generation, catalog),
            };
            index.dense =
                cache.and_then(|cache| vectors::ready(&index, &cache, earlier)).map(Arc::new);
            index
        });
        match built.await {
            Ok(index) => {
                tracing::info!(
                    generation,
                    tools = index.catalog.len(),
                    embedded = index.embedded(),
                    "published"
                );
                self.live.publish(index);
                self.tell();
                // Its number too: after a restart no number is given out twice.
                if let Some(saver) = &self.saver {
                    saver.save(generation, Arc::clone(&self.catalog));
                }
            }
            Err(error) => tracing::error!(%error, "the index can't be built, the last one stays"),
        }
    }
}

fn log(update: &ServerUpdate, diff: &Diff) {
    let server = &update.server;
    match &update.outcome {
        Outcome::Failed { error } | Outcome::AuthRequired { error } => {
            tracing::warn!(%server, "{error}");
        }
        // One file may hold thousands of servers.
        _ if diff.is_empty() || update.transport == "file" => {}
        _ => tracing::info!(
            %server,
            added = diff.added.len(),
            removed = diff.removed.len(),
            changed = diff.changed.len(),
            "tools changed"
        ),
    }
}

/// Says why there is nothing to start from; what could be read and is no good is moved away.
fn set_aside(path: &Path, error: &SnapshotError) {
    if matches!(error, SnapshotError::Io { .. }) {
        tracing::warn!("{error}; starting empty and crawling");
        return;
    }
    match snapshot::set_aside(path) {
        Ok(aside) => {
            tracing::warn!(
                "{error}; set aside as {}, starting empty and crawling",
                aside.display()
            );
        }
        Err(also) => tracing::warn!("{error}; and can't be set aside: {also}"),
    }
}

/// The server's status after `update`; `catalog` has been updated already.
fn status(update: &ServerUpdate, old: Option<&ServerStatus>, catalog: &Catalog) -> ServerStatus {
    let listed = catalog.server(update.server.as_str());
    let known = |good, bad| if listed.is_some() { good } else { bad };
    let (state, error) = match &update.outcome {
        Outcome::Listed(_) => (ServerState::Ready, None),
        Outcome::Failed { error } => {
            (known(ServerState::Stale, ServerState::Failed), Some(error.clone()))
        }
        Outcome::AuthRequired { error } => (ServerState::AuthRequired, Some(error.clone())),
        Outcome::Connecting => (known(ServerState::Stale, ServerState::Connecting), None),
        Outcome::Disabled | Outcome::Removed => (ServerState::Disabled, None),
        Outcome::Paused => (ServerState::Paused, None),
        Outcome::Pending => (ServerState::PendingApproval, None),
        Outcome::Narrowed(_) => (
            old.map_or(known(ServerState::Stale, ServerState::Connecting), |old| old.state),
            old.and_then(|old| old.error.clone()),
        ),
    };
    let defects = match &update.outcome {
        Outcome::Listed(listing) => listing.defects.clone(),
        _ => old.map(|old| old.defects.clone()).unwrap_or_default(),
    };
    ServerStatus {
        state,
        title: listed
            .and_then(|server| server.info.title.clone())
            .or_else(|| old.and_then(|old| old.title.clone())),
        protocol: listed.and_then(|server| server.info.protocol.clone()),
        transport: update.transport,
        tools: listed.map(|server| server.tools.len()),
        crawled_at: listed.map(|server| server.crawled_at),
        next_crawl: update.next_crawl,
        error,
        defects,
    }
}
