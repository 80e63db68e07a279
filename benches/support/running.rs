//! A live index on a catalog, kept by the writer that a service has.

#![allow(dead_code, reason = "every bench takes what it needs of this")]
#![expect(clippy::expect_used, reason = "a bench without its data has nothing to measure")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use toolscout::catalog::{Catalog, Listing, Outcome, ServerUpdate};
use toolscout::embed::cache::VectorCache;
use toolscout::embed::{Embedder, Fixed};
use toolscout::live::indexer::Indexer;
use toolscout::live::{Encoder, Live};
use toolscout::tool::{ServerId, Tool};
use toolscout::trust::policy::Policy;

/// The index, and where its writer takes updates.
pub struct Running {
    pub live: Live,
    pub updates: mpsc::Sender<ServerUpdate>,
}

/// Starts one on `catalog`, or on what `snapshot` has, with the encoder in the binary. The history
/// of definitions is kept beside the snapshot.
pub async fn start(catalog: Option<&Catalog>, snapshot: Option<PathBuf>) -> Running {
    let live = Live::new("no encoder yet");
    let history = snapshot.as_ref().map(|path| path.with_extension("book"));
    let mut indexer = Indexer::new(live.clone(), snapshot);
    if let Some(history) = history {
        indexer.use_trust(Policy::default(), history).await.expect("a history");
    }
    let encoder: Arc<dyn Embedder> = Arc::new(Fixed::in_binary().expect("the encoder"));
    let start = Encoder::start(encoder.clone(), 1, Duration::from_secs(1));
    live.set_encoder(start.expect("an encoder"));
    let cache = Arc::new(VectorCache::in_memory(encoder));
    indexer.use_vectors(cache, 1).await.expect("vectors");
    indexer.restore(|_| true, |_| true).await;
    let (updates, received) = mpsc::channel(10_000);
    let (_, vectors) = oneshot::channel();
    tokio::spawn(indexer.run(received, vectors, 1, CancellationToken::new()));
    if let Some(catalog) = catalog {
        let seen = live.status().generation;
        for server in catalog.servers() {
            let tools = server.tools.iter().map(|tool| Tool::clone(tool)).collect();
            let update = listed(&server.id, server.info.clone(), tools);
            updates.send(update).await.expect("the writer");
        }
        let mut generation = seen;
        while live.catalog().len() < catalog.len() {
            generation = live.changed(generation).await;
        }
    }
    Running { live, updates }
}

/// News of a server that has these tools.
pub fn listed(
    server: &ServerId,
    info: toolscout::catalog::ServerInfo,
    tools: Vec<Tool>,
) -> ServerUpdate {
    let listing = Listing { info, tools, crawled_at: SystemTime::UNIX_EPOCH, defects: Vec::new() };
    ServerUpdate {
        server: server.clone(),
        transport: "file",
        outcome: Outcome::Listed(listing),
        next_crawl: None,
    }
}
