//! Reads the configuration anew while it serves: on SIGHUP, and when one of its files changes.
//!
//! Invariant: a configuration that is wrong is told of once, and changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::ServeArgs;
use crate::config::{ConfigErrors, Loaded};
use crate::roster::{Reload, Roster, RosterError};

/// The files are looked at this often. Looking works where nothing announces a change: on network
/// and container volumes, and where a link is moved to another folder.
const LOOK: Duration = Duration::from_secs(2);

/// What changes when a file does; `None` where it is not there.
type Stamp = Option<(SystemTime, u64, u64)>;

/// The files of a configuration, as they were before it was read last. Clones watch the same.
#[derive(Clone)]
pub struct Watch {
    args: Arc<ServeArgs>,
    seen: Arc<Mutex<BTreeMap<PathBuf, Stamp>>>,
}

impl Watch {
    /// Nothing has been read yet.
    pub fn new(args: &ServeArgs) -> Self {
        Self { args: Arc::new(args.clone()), seen: Arc::default() }
    }

    /// Reads the configuration; what changes of its files from now on is a change.
    pub fn load(&self) -> Result<Loaded, ConfigErrors> {
        let named = self.args.sources.files();
        let mut files: BTreeSet<_> = self.seen().keys().chain(&named).cloned().collect();
        loop {
            let mut seen: BTreeMap<_, _> =
                files.iter().map(|path| (path.clone(), stamp(path))).collect();
            let loaded = self.args.load();
            if let Ok(loaded) = &loaded {
                let known = files.len();
                files.extend(loaded.files.iter().cloned());
                if files.len() > known {
                    // How these were before they were read is not known.
                    continue;
                }
                seen.retain(|path, _| named.contains(path) || loaded.files.contains(path));
            }
            *self.seen() = seen;
            return loaded;
        }
    }

    /// A file is not as it was.
    fn changed(&self) -> bool {
        self.seen().iter().any(|(path, seen)| stamp(path) != *seen)
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Stamp>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has `roster`, whose configuration is read by `watch`, follow its files until `shutdown`.
pub fn follow(watch: Watch, roster: Roster, shutdown: CancellationToken) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = hangup.recv() => {}
                () = tokio::time::sleep(LOOK) => {
                    if !watch.changed() {
                        continue;
                    }
                }
            }
            let roster = roster.clone();
            if let Ok(reloaded) = tokio::task::spawn_blocking(move || roster.reload()).await {
                tell(&reloaded);
            }
        }
    });
    Ok(())
}

fn tell(reloaded: &Result<Reload, RosterError>) {
    match reloaded {
        Ok(reload) => {
            for warning in &reload.warnings {
                tracing::warn!("{warning}");
            }
            for section in &reload.needs_restart {
                tracing::warn!("{section} changed: restart toolscout to have it take effect");
            }
            let Reload { added, removed, changed, unchanged, .. } = reload;
            tracing::info!(
                added = added.len(),
                removed = removed.len(),
                changed = changed.len(),
                unchanged,
                "read the configuration anew"
            );
        }
        Err(error) => tracing::error!("{error}"),
    }
}

fn stamp(path: &Path) -> Stamp {
    use std::os::unix::fs::MetadataExt;

    let meta = std::fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.len(), meta.ino()))
}
