//! Saves what is published, beside it: no generation waits for a disk.
//!
//! Invariant: catalogs are saved in the order they were published in; one that a newer one has
//! overtaken is passed over, the last never is.

use std::path::PathBuf;
use std::sync::Arc;

use metrics::counter;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::catalog::Catalog;
use crate::index::snapshot;

/// A generation's number and its catalog.
type Saved = (u64, Arc<Catalog>);

/// The task that saves.
pub struct Saver {
    latest: watch::Sender<Saved>,
    task: JoinHandle<()>,
}

impl Saver {
    /// Starts it; it writes to `path`.
    pub fn start(path: PathBuf) -> Self {
        let (latest, mut newest) = watch::channel(Saved::default());
        let task = tokio::spawn(async move {
            while newest.changed().await.is_ok() {
                let (generation, catalog) = newest.borrow_and_update().clone();
                let path = path.clone();
                let save = move || snapshot::save(&path, generation, &catalog);
                let saved = tokio::task::spawn_blocking(save).await;
                let outcome = if matches!(saved, Ok(Ok(()))) { "saved" } else { "failed" };
                counter!("toolscout_snapshot_saves_total", "outcome" => outcome).increment(1);
                if let Ok(Err(error)) = saved {
                    tracing::warn!("{error}: a restart will have to crawl before it can serve");
                }
            }
        });
        Self { latest, task }
    }

    /// Saves `catalog` as soon as what is being saved now is done.
    pub fn save(&self, generation: u64, catalog: Arc<Catalog>) {
        self.latest.send_replace((generation, catalog));
    }

    /// Returns once everything is saved.
    pub async fn finish(self) {
        drop(self.latest);
        let _ = self.task.await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::catalog::{Listing, ServerInfo};
    use crate::tool::{ServerId, Tool};

    #[tokio::test]
    async fn the_last_of_many_is_what_is_saved() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.snapshot");
        let saver = Saver::start(path.clone());
        let server = ServerId::from("s");
        for generation in 1..=50 {
            let tool = Tool::parse(&server, &format!(r#"{{"name":"t{generation}"}}"#)).unwrap();
            let listing = Listing {
                info: ServerInfo::default(),
                tools: vec![tool],
                crawled_at: SystemTime::UNIX_EPOCH,
                defects: Vec::new(),
            };
            let catalog = Catalog::from_listings([(server.clone(), listing)]);
            saver.save(generation, Arc::new(catalog));
            tokio::task::yield_now().await;
        }
        saver.finish().await;
        let (generation, catalog) = snapshot::load(&path).unwrap().unwrap();
        assert_eq!((generation, catalog.tools()[0].id.as_str()), (50, "s/t50"));
    }
}
