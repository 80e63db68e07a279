//! What all services of a process have together: the encoder, the reranker, turns to start children,
//! the bench of evaluations, the word on what is kept of queries, and the cluster.
//!
//! Invariant: it holds no credential, and nothing in it tells one service what another was asked.

use std::num::NonZero;
use std::sync::Arc;

use tokio::sync::watch;
use tracing::Instrument;

use super::super::local::cached;
use crate::cluster::Cluster;
use crate::config::{Config, EmbedConfig, Told};
use crate::crawl::Turns;
use crate::embed::cache::VectorCache;
use crate::embed::lane::Lane;
use crate::embed::{self, Cost, EmbedError, Embedder, Fixed};
use crate::live::{Encoder, Live, Rerank};
use crate::quality::Bench;

/// Queries that are embedded at once where another machine does the work.
const REMOTE_LANES: usize = 16;

/// Handles on what is shared; cheap to clone.
#[derive(Clone)]
pub struct Shared {
    /// `None` while it is being loaded.
    encoder: watch::Receiver<Option<Ready>>,
    rerank: watch::Receiver<Rerank>,
    /// How many children start at once, whosever they are.
    pub turns: Turns,
    /// Where evaluations rank.
    pub bench: Bench,
    /// What is kept of queries.
    pub queries: Told,
    /// Who else serves the same.
    pub cluster: Option<Cluster>,
}

/// An encoder that was loaded, or why it was not.
#[derive(Clone)]
struct Ready {
    encoder: Arc<Encoder>,
    cache: Option<Arc<VectorCache>>,
}

impl Shared {
    /// Loads the models of `config` without keeping anyone waiting.
    pub fn load(config: &Config, cluster: Option<Cluster>) -> Self {
        let turns = Turns::new(&config.crawl);
        let (encoder, rerank) = (load_encoder(config.clone()), load_reranker(config));
        let (bench, queries) = (Bench::default(), config.audit.queries);
        Self { encoder, rerank, turns, bench, queries, cluster }
    }

    /// Has `live` embed its queries as soon as the encoder is there; gives the vectors of its tools,
    /// where they can be made.
    pub async fn encode(mut self, live: &Live) -> Option<Arc<VectorCache>> {
        let ready = self.encoder.wait_for(Option::is_some).await.ok()?.clone()?;
        live.set_encoder(ready.encoder.beside());
        ready.cache
    }

    /// Has `live` order its best tools anew from when the reranker is there.
    pub fn rerank(&self, live: &Live) {
        let (mut rerank, live) = (self.rerank.clone(), live.clone());
        if matches!(*rerank.borrow(), Rerank::Off) {
            return;
        }
        let follow = async move {
            loop {
                let now = rerank.borrow_and_update().clone();
                live.set_rerank(now);
                if rerank.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::spawn(follow.in_current_span());
    }
}

/// Queries that are embedded or reranked at once on this machine.
fn lanes() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get).div_ceil(2)
}

/// Until it is loaded answers are lexical. Where the configured one does not load, the one in the
/// binary takes its place.
fn load_encoder(config: Config) -> watch::Receiver<Option<Ready>> {
    let (loaded, encoder) = watch::channel(None);
    tokio::task::spawn_blocking(move || {
        let ready = start_encoder(&config.embed).or_else(|error| {
            if matches!(error, EmbedError::Off) {
                return Err(error);
            }
            tracing::warn!("the encoder in the binary answers: {error}");
            let embedder: Arc<dyn Embedder> = Arc::new(Fixed::in_binary()?);
            Ok((Arc::clone(&embedder), Encoder::in_place(embedder, &error)))
        });
        loaded.send_replace(Some(match ready {
            Ok((embedder, encoder)) => {
                tracing::info!(encoder = embedder.id(), "encoder loaded");
                let cache = Some(Arc::new(cached(embedder, &config)));
                Ready { encoder: Arc::new(encoder), cache }
            }
            Err(error) => {
                tracing::warn!("answers are lexical: {error}");
                let encoder = Encoder::Absent { reason: error.to_string() };
                Ready { encoder: Arc::new(encoder), cache: None }
            }
        }));
    });
    encoder
}

/// The encoder that is configured, and where queries are embedded by it.
fn start_encoder(config: &EmbedConfig) -> Result<(Arc<dyn Embedder>, Encoder), EmbedError> {
    let embedder = embed::load(config, lanes() + config.threads)?;
    let threads = if embedder.cost() == Cost::Remote { REMOTE_LANES } else { lanes() };
    let encoder = Encoder::start(Arc::clone(&embedder), threads, config.deadline)
        .map_err(|error| EmbedError::Encoder(error.to_string()))?;
    Ok((embedder, encoder))
}

/// The reranker, if there is to be one.
fn load_reranker(config: &Config) -> watch::Receiver<Rerank> {
    let Some(rerank) = config.rerank.clone() else {
        return watch::channel(Rerank::Off).1;
    };
    let embed = config.embed.clone();
    let loading = Rerank::Absent { reason: "the reranker is being loaded".into() };
    let (loaded, reranker) = watch::channel(loading);
    tokio::task::spawn_blocking(move || {
        let ready = embed::load_reranker(&rerank, &embed, lanes());
        let ready = ready.and_then(|reranker| {
            let lane = Lane::start("rerank", lanes(), rerank.deadline)
                .map_err(|error| EmbedError::Encoder(error.to_string()))?;
            Ok((Arc::new(reranker), Arc::new(lane)))
        });
        loaded.send_replace(match ready {
            Ok((reranker, lane)) => {
                tracing::info!(reranker = reranker.id(), "reranker loaded");
                Rerank::Ready { reranker, depth: rerank.depth, lane }
            }
            Err(error) => {
                tracing::warn!("answers are not reranked: {error}");
                Rerank::Absent { reason: error.to_string() }
            }
        });
    });
    reranker
}
