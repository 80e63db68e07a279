//! A catalog file as a source: it holds the listings of one or many servers.
//!
//! Invariant: a file that can't be read takes nothing away; a server that left a file that was
//! read is removed.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tokio::sync::Notify;

use super::refresh::{Shared, jittered, retries};
use super::{Triggers, update};
use crate::catalog::{Listing, Outcome, file};
use crate::config::{ServerConfig, Transport};
use crate::tool::ServerId;

type Listings = Vec<(ServerId, Listing)>;
/// When the files were modified last.
type Stamp = (Option<SystemTime>, Option<SystemTime>);

/// A catalog file, and what was last read of it.
pub(super) struct CatalogFile {
    config: Arc<ServerConfig>,
    stamp: Option<Stamp>,
    listings: Listings,
    failed: bool,
}

impl CatalogFile {
    pub(super) fn new(config: Arc<ServerConfig>) -> Self {
        Self { config, stamp: None, listings: Vec::new(), failed: false }
    }

    /// Reads the file if it changed; what is to be told of its servers.
    pub(super) async fn read(&mut self) -> Vec<(ServerId, Outcome)> {
        let config = Arc::clone(&self.config);
        let seen = self.stamp.take();
        let read = tokio::task::spawn_blocking(move || read(&config, seen)).await;
        let read = read.unwrap_or_else(|error| Err(format!("the catalog reader failed: {error}")));
        let mut news = Vec::new();
        match read {
            Ok((stamp, fresh)) => {
                self.stamp = Some(stamp);
                if let Some(fresh) = fresh {
                    let ids: BTreeSet<_> = fresh.iter().map(|(id, _)| id.clone()).collect();
                    let gone = std::mem::replace(&mut self.listings, fresh);
                    let gone = gone.into_iter().map(|(id, _)| id).filter(|id| !ids.contains(id));
                    news.extend(gone.map(|id| (id, Outcome::Removed)));
                    // The file itself was reported under its own id.
                    if std::mem::take(&mut self.failed) && !ids.contains(&self.config.id) {
                        news.push((self.config.id.clone(), Outcome::Removed));
                    }
                }
                let listed = self.listings.iter();
                news.extend(
                    listed.map(|(id, listing)| (id.clone(), Outcome::Listed(listing.clone()))),
                );
            }
            Err(error) => {
                let mut ids: Vec<_> = self.listings.iter().map(|(id, _)| id.clone()).collect();
                if ids.is_empty() {
                    self.failed = true;
                    ids.push(self.config.id.clone());
                }
                let failed = |id| (id, Outcome::Failed { error: error.clone() });
                news.extend(ids.into_iter().map(failed));
            }
        }
        news
    }

    fn ids(&self) -> impl Iterator<Item = &ServerId> {
        self.listings.iter().map(|(id, _)| id)
    }

    /// The servers that it spoke for; `None` before it was first read.
    fn told(self) -> Option<BTreeSet<ServerId>> {
        if self.failed {
            return Some(BTreeSet::from([self.config.id.clone()]));
        }
        let ids: BTreeSet<_> = self.ids().cloned().collect();
        (self.is_read() || !ids.is_empty()).then_some(ids)
    }

    fn is_read(&self) -> bool {
        self.stamp.is_some()
    }
}

/// Reads the file unless it is the one that was seen.
fn read(config: &ServerConfig, seen: Option<Stamp>) -> Result<(Stamp, Option<Listings>), String> {
    let Transport::Catalog { path, servers } = &config.transport else {
        return Err("not a catalog file".into());
    };
    let modified = |path: &Path| file::modified(path).ok();
    let stamp = (modified(path), servers.as_deref().and_then(modified));
    if seen == Some(stamp) {
        return Ok((stamp, None));
    }
    let mut listings = file::read(path, servers.as_deref()).map_err(|error| error.to_string())?;
    for (_, listing) in &mut listings {
        listing.tools.retain(|tool| config.names.admits(&tool.name));
    }
    Ok((stamp, Some(listings)))
}

/// Whether a server has an entry of its own.
pub(super) type StandsFor<'a> = dyn Fn(&ServerId) -> bool + Sync + 'a;

/// Reads a catalog file again and again until shutdown; the servers that it told of, once it has
/// read the file.
pub(super) async fn run(
    config: Arc<ServerConfig>,
    shared: Shared,
    refresh: Arc<Notify>,
    triggers: Triggers,
    leftovers: Arc<Leftovers>,
    stands_for: &StandsFor<'_>,
) -> Option<BTreeSet<ServerId>> {
    let shutdown = shared.shutdown.clone();
    let mut catalog = CatalogFile::new(config);
    tokio::select! {
        () = read_forever(&mut catalog, &shared, refresh, triggers, leftovers, stands_for) => {}
        () = shutdown.cancelled() => {}
    }
    catalog.told()
}

async fn read_forever(
    catalog: &mut CatalogFile,
    shared: &Shared,
    refresh: Arc<Notify>,
    triggers: Triggers,
    leftovers: Arc<Leftovers>,
    stands_for: &StandsFor<'_>,
) {
    let config = Arc::clone(&catalog.config);
    let mut retry = retries(config.refresh);
    let mut accounted = false;
    loop {
        let news = {
            let Ok(_permit) = shared.permits.acquire().await else {
                return;
            };
            catalog.read().await
        };
        let wait = if catalog.is_read() {
            retry = retries(config.refresh);
            jittered(config.refresh)
        } else {
            retry.next().unwrap_or(config.refresh)
        };
        for id in catalog.ids() {
            triggers.add(id, &refresh);
        }
        let mut updates: Vec<_> = news
            .into_iter()
            .map(|(id, outcome)| update(&config, id, outcome, Some(wait)))
            .collect();
        if catalog.is_read() && !std::mem::replace(&mut accounted, true) {
            let left = leftovers.account(catalog.ids());
            updates.extend(left.into_iter().map(|id| update(&config, id, Outcome::Removed, None)));
        }
        // What left the file may speak for itself by now.
        updates.retain(|update| {
            let is_gone = matches!(update.outcome, Outcome::Removed);
            !is_gone || update.server == config.id || !stands_for(&update.server)
        });
        for update in updates {
            if shared.updates.send(update).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = refresh.notified() => {}
        }
    }
}

/// Servers that are known from before but not configured: they may be in a catalog file. Once
/// every file has been read, the others are gone.
pub(super) struct Leftovers(Mutex<(BTreeSet<ServerId>, usize)>);

impl Leftovers {
    pub(super) fn new(ids: BTreeSet<ServerId>, files: usize) -> Self {
        Self(Mutex::new((ids, files)))
    }

    /// A file with these servers has been read; what is left if it was the last file.
    fn account<'a>(&self, ids: impl Iterator<Item = &'a ServerId>) -> BTreeSet<ServerId> {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for id in ids {
            left.0.remove(id);
        }
        left.1 = left.1.saturating_sub(1);
        if left.1 == 0 { std::mem::take(&mut left.0) } else { BTreeSet::new() }
    }
}
