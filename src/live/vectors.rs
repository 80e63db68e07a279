//! Embeds the tools of a catalog, and those that views rewrite, in the background: those of one
//! generation at a time.
//!
//! Invariant: a newer catalog takes the place of the one at work at the next text; what was
//! embedded is in the cache and is not done twice.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use rayon::prelude::*;
use tokio::sync::{mpsc, watch};
use tracing::Instrument;

use crate::catalog::{Catalog, ToolIdx};
use crate::embed::cache::{self, Kept, Vector, VectorCache};
use crate::embed::{Cost, EmbedError, Role, embed_one, guarded};
use crate::index::Index;
use crate::index::dense::Dense;
use crate::index::document::Document;
use crate::text::fields;

/// The wait before what failed is tried again, the first time; each later one is twice as long.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest such wait.
const LAST_RETRY: Duration = Duration::from_mins(5);
/// So many failures in a row end an attempt: the rest would fail too.
const ENOUGH: usize = 3;

/// What has come of the tools at work.
#[derive(Debug, Default)]
pub struct Progress {
    /// There are new vectors.
    pub added: bool,
    /// Why tools are without a vector, if they are.
    pub trouble: Option<String>,
}

/// The task that has tools embedded. It ends when this is dropped.
pub struct VectorWorker {
    catalogs: watch::Sender<Vec<Arc<Catalog>>>,
}

impl VectorWorker {
    /// Starts it on the threads of `cache`, `threads` if there are none yet; it tells what comes of it on `progress`.
    pub fn start(
        cache: Arc<VectorCache>,
        threads: usize,
        progress: mpsc::Sender<Progress>,
    ) -> std::io::Result<Self> {
        let (catalogs, mut wanted) = watch::channel(Vec::new());
        let pool = cache.threads(threads)?;
        let work = async move {
            let mut waits = waits();
            let mut wait = None;
            while wanted_again(&mut wanted, wait).await {
                let catalogs = Vec::clone(&wanted.borrow_and_update());
                let newer = wanted.clone();
                let (pool, cache) = (Arc::clone(&pool), Arc::clone(&cache));
                let (told, span) = (progress.clone(), tracing::Span::current());
                let embed = move || {
                    let superseded = || newer.has_changed().unwrap_or(true);
                    let work = || embed_all(&catalogs, &cache, &told, superseded);
                    // Whatever came apart in there: nobody else embeds these tools.
                    span.in_scope(|| guarded(|| Ok(pool.install(work)))).unwrap_or_else(|error| {
                        let trouble = Some(error.to_string());
                        let _ = told.blocking_send(Progress { added: false, trouble });
                        false
                    })
                };
                let done = tokio::task::spawn_blocking(embed).await.unwrap_or(false);
                if done {
                    waits = self::waits();
                }
                wait = if done { None } else { waits.next() };
            }
        };
        tokio::spawn(work.in_current_span());
        Ok(Self { catalogs })
    }

    /// Embeds what these catalogs need, instead of earlier ones.
    pub fn embed(&self, catalogs: Vec<Arc<Catalog>>) {
        self.catalogs.send_replace(catalogs);
    }
}

fn waits() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(FIRST_RETRY)
        .with_max_delay(LAST_RETRY)
        .with_factor(2.0)
        .with_jitter()
        .with_jitter_seed(fastrand::u64(..))
        .without_max_times()
        .build()
}

/// Waits for another catalog, or for `wait` to try the same once more; false when all is over.
async fn wanted_again<T>(wanted: &mut watch::Receiver<T>, wait: Option<Duration>) -> bool {
    match wait {
        None => wanted.changed().await.is_ok(),
        Some(wait) => {
            tokio::time::timeout(wait, wanted.changed()).await.map_or(true, |seen| seen.is_ok())
        }
    }
}

/// The vectors of the tools of `index`: those that `earlier` has of the same texts, and those that
/// are in the cache, or all from an instant encoder, which needs none.
pub fn ready(index: &Index, cache: &VectorCache, earlier: &Index) -> Option<Dense> {
    let embedder = cache.embedder();
    let (now, before) = (&index.documents.all, &earlier.documents.all);
    let same = |(place, document): (Option<ToolIdx>, &Arc<Document>)| {
        place.filter(|place| before[place.as_usize()].embedded == document.embedded)
    };
    let places = index.catalog.places_in(&earlier.catalog).into_iter();
    let known: Vec<Option<ToolIdx>> = places.zip(now).map(same).collect();
    let vector = |tool| of_tool(index, cache, tool);
    Dense::updated(embedder.dims(), &known, earlier.dense.as_deref(), vector)
}

/// The vector of a tool of `index`: from the cache, or from an instant encoder.
pub fn of_tool(index: &Index, cache: &VectorCache, tool: ToolIdx) -> Option<Vector> {
    let embedder = cache.embedder();
    if embedder.cost() != Cost::Instant {
        return cache.get(&index.documents.all[tool.as_usize()].embedded);
    }
    let text = fields::embedded_in(&index.catalog, index.catalog.tool(tool));
    embed_one(&**embedder, Role::Tool, &text, None).ok().map(Into::into)
}

/// Embeds what `catalogs` need; false when some of it should be tried again.
fn embed_all(
    catalogs: &[Arc<Catalog>],
    cache: &VectorCache,
    progress: &mpsc::Sender<Progress>,
    superseded: impl Fn() -> bool + Sync,
) -> bool {
    let of_one = |catalog: &Arc<Catalog>| -> Vec<String> {
        catalog.tools().par_iter().map(|tool| fields::embedded_in(catalog, tool)).collect()
    };
    let texts: Vec<String> = catalogs.iter().flat_map(of_one).collect();
    let missing: Vec<&str> = texts
        .iter()
        .map(String::as_str)
        .filter(|text| cache.get(&cache::key(Role::Tool, text)).is_none())
        .collect();
    if missing.is_empty() {
        let _ = progress.blocking_send(Progress::default());
        return true;
    }
    tracing::info!(tools = missing.len(), "embedding");
    let begun = Instant::now();
    let published = AtomicU32::new(0);
    let added = AtomicUsize::new(0);
    let in_a_row = AtomicUsize::new(0);
    let failure: Mutex<Option<EmbedError>> = Mutex::default();
    missing.par_chunks(cache.embedder().batch().max(1)).for_each(|batch| {
        if superseded() || in_a_row.load(Ordering::Relaxed) >= ENOUGH {
            return;
        }
        match cache.embed(Role::Tool, batch) {
            Ok((_, kept)) => {
                if let Kept::NotOnDisk(error) = kept
                    && added.load(Ordering::Relaxed) == 0
                {
                    tracing::warn!(%error, "vectors can't be kept on disk, only in memory");
                }
                added.fetch_add(batch.len(), Ordering::Relaxed);
                in_a_row.store(0, Ordering::Relaxed);
            }
            Err(error) => {
                // A text that a model can't take says nothing of the next one.
                if is_remote(&error) {
                    in_a_row.fetch_add(1, Ordering::Relaxed);
                }
                failure.lock().unwrap_or_else(PoisonError::into_inner).replace(error);
            }
        }
        // Published after 2, 4, 8, … seconds: a large catalog is not rebuilt over and over.
        let due = begun.elapsed().as_secs().checked_ilog2().unwrap_or(0);
        if published.fetch_max(due, Ordering::Relaxed) < due {
            let added = added.load(Ordering::Relaxed) > 0;
            let _ = progress.try_send(Progress { added, trouble: None });
        }
    });
    let added = added.into_inner();
    tracing::info!(tools = added, seconds = begun.elapsed().as_secs_f32(), "embedded");
    let failure = failure.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = &failure {
        let left = missing.len() - added;
        tracing::warn!(%error, tools = left, "not embedded: these compete by their words alone");
    }
    let done = !failure.as_ref().is_some_and(is_remote);
    let trouble = failure.map(|error| error.to_string());
    let _ = progress.blocking_send(Progress { added: added > 0, trouble });
    done
}

/// It may pass: another machine gave no answer.
fn is_remote(error: &EmbedError) -> bool {
    matches!(error, EmbedError::Endpoint(_) | EmbedError::Dimensions { .. })
}
