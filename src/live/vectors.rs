//! Embeds the tools of a catalog in the background, at most one catalog at a time.
//!
//! Invariant: a newer catalog takes the place of the one at work at the next text; what was
//! embedded is in the cache and is not done twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rayon::prelude::*;
use tokio::sync::{mpsc, watch};

use crate::catalog::Catalog;
use crate::embed::EmbedError;
use crate::embed::cache::{Kept, VectorCache};
use crate::text::fields;
use crate::tool::ContentHash;

/// Time between two publications of what has been embedded so far.
const PUBLISH_EVERY: Duration = Duration::from_secs(2);

/// The thread that embeds. It ends when this is dropped.
pub struct VectorWorker {
    catalogs: watch::Sender<Arc<Catalog>>,
}

impl VectorWorker {
    /// Starts it with `threads` threads; `()` on `progress` says that there are new vectors.
    pub fn start(
        cache: Arc<VectorCache>,
        threads: usize,
        progress: mpsc::Sender<()>,
    ) -> std::io::Result<Self> {
        let (catalogs, mut wanted) = watch::channel(Arc::new(Catalog::default()));
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.max(1))
            .thread_name(|at| format!("embed-tool-{at}"))
            .build()
            .map_err(std::io::Error::other)?;
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new().name("embed-tools".into()).spawn(move || {
            while runtime.block_on(wanted.changed()).is_ok() {
                let catalog = Arc::clone(&wanted.borrow_and_update());
                let superseded = || wanted.has_changed().unwrap_or(true);
                pool.install(|| embed_all(&catalog, &cache, &progress, superseded));
            }
        })?;
        Ok(Self { catalogs })
    }

    /// Embeds what `catalog` needs, instead of an earlier one.
    pub fn embed(&self, catalog: Arc<Catalog>) {
        self.catalogs.send_replace(catalog);
    }
}

/// The vectors known for `catalog`, in its order.
pub fn known(catalog: &Catalog, cache: &VectorCache) -> Vec<Option<Arc<[f32]>>> {
    let text = |tool| ContentHash::of(&fields::embedded(tool, catalog));
    catalog.tools().par_iter().map(|tool| cache.get(&text(tool))).collect()
}

fn embed_all(
    catalog: &Catalog,
    cache: &VectorCache,
    progress: &mpsc::Sender<()>,
    superseded: impl Fn() -> bool + Sync,
) {
    let texts: Vec<String> =
        catalog.tools().par_iter().map(|tool| fields::embedded(tool, catalog)).collect();
    let missing: Vec<&String> =
        texts.iter().filter(|text| cache.get(&ContentHash::of(text)).is_none()).collect();
    if missing.is_empty() {
        return;
    }
    tracing::info!(tools = missing.len(), "embedding");
    let begun = Instant::now();
    let published = AtomicUsize::new(0);
    let failed = AtomicUsize::new(0);
    missing.par_iter().for_each(|text| {
        if superseded() {
            return;
        }
        match cache.embed(text) {
            Ok((_, Kept::NotOnDisk(error))) => {
                if failed.fetch_add(1, Ordering::Relaxed) == 0 {
                    tracing::warn!(%error, "vectors can't be kept on disk, only in memory");
                }
            }
            Ok(_) => {}
            Err(error) => report(&error, &failed),
        }
        let due = begun.elapsed().as_secs() / PUBLISH_EVERY.as_secs();
        let due = usize::try_from(due).unwrap_or(usize::MAX);
        if published.fetch_max(due, Ordering::Relaxed) < due {
            let _ = progress.try_send(());
        }
    });
    tracing::info!(tools = missing.len(), seconds = begun.elapsed().as_secs_f32(), "embedded");
    let _ = progress.blocking_send(());
}

fn report(error: &EmbedError, failed: &AtomicUsize) {
    if failed.fetch_add(1, Ordering::Relaxed) == 0 {
        tracing::warn!(%error, "a tool can't be embedded and competes by its words alone");
    }
}
