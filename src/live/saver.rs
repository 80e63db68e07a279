//! Saves what is published, beside it: no generation waits for a disk.
//!
//! Invariant: catalogs are saved in the order they were published in; one that a newer one has
//! overtaken is passed over, the last never is.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::catalog::Catalog;
use crate::index::snapshot;
use crate::troubles::Troubles;

/// A generation's number and its catalog.
type Saved = (u64, Arc<Catalog>);

/// The name of what is saved, where something is wrong with it.
const PART: &str = "snapshot";

/// What could not be saved is tried again after this time, or with the next generation.
const AGAIN: Duration = Duration::from_mins(1);

/// The task that saves.
pub struct Saver {
    latest: watch::Sender<Saved>,
    task: JoinHandle<()>,
}

impl Saver {
    /// Starts it; it writes to `path`, and tells of it where that fails.
    pub fn start(path: PathBuf, troubles: Troubles) -> Self {
        let (latest, mut newest) = watch::channel(Saved::default());
        let task = tokio::spawn(async move {
            let mut failed = false;
            loop {
                tokio::select! {
                    changed = newest.changed() => if changed.is_err() { return },
                    () = tokio::time::sleep(AGAIN), if failed => {}
                }
                let (generation, catalog) = newest.borrow_and_update().clone();
                let path = path.clone();
                let save = move || snapshot::save(&path, generation, &catalog);
                let saved = tokio::task::spawn_blocking(save).await;
                failed = matches!(saved, Ok(Err(_)));
                match saved {
                    Ok(Err(error)) => {
                        let then = "a restart will have to crawl before it can serve";
                        tracing::warn!("{error}: {then}");
                        troubles.set(PART, format!("it can't be saved, the log says why: {then}"));
                    }
                    Ok(Ok(())) => troubles.clear(PART),
                    // The runtime ends.
                    Err(_) => {}
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

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_saved_is_told_of_and_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let (blocked, troubles) = (folder.path().join("folder"), Troubles::default());
        std::fs::write(&blocked, "").unwrap();
        let saver = Saver::start(blocked.join("catalog.snapshot"), troubles.clone());
        saver.save(1, Arc::default());
        while !troubles.all().contains_key(PART) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        std::fs::remove_file(&blocked).unwrap();
        while troubles.all().contains_key(PART) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(snapshot::load(&blocked.join("catalog.snapshot")).unwrap().is_some());
    }

    #[tokio::test]
    async fn the_last_of_many_is_what_is_saved() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.snapshot");
        let saver = Saver::start(path.clone(), Troubles::default());
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
