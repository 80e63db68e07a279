//! Reads the configuration anew while it serves: on SIGHUP, and when one of its files changes.
//!
//! Invariant: a configuration that is wrong is told of once, and changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::ServeArgs;
use crate::config::{Config, ConfigErrors, Loaded, TenantConfig};
use crate::roster::{Reader, Reload, Roster, RosterError};

/// The files are looked at this often. Looking works where nothing announces a change: on network
/// and container volumes, and where a link is moved to another folder.
const LOOK: Duration = Duration::from_secs(2);

/// What changes when a file does; `None` where it is not there.
type Stamp = Option<(SystemTime, u64, u64)>;

/// The files of a configuration, as they were before it was read last. Clones watch the same.
#[derive(Clone)]
pub struct Watch {
    read: Arc<dyn Fn() -> Result<Loaded, ConfigErrors> + Send + Sync>,
    /// Those that are looked at whether they are there or not.
    named: Arc<[PathBuf]>,
    seen: Arc<Mutex<BTreeMap<PathBuf, Stamp>>>,
}

impl Watch {
    /// Nothing has been read yet.
    pub fn new(args: &ServeArgs) -> Self {
        let (named, args) = (args.sources.files().into(), args.clone());
        Self { read: Arc::new(move || args.load()), named, seen: Arc::default() }
    }

    /// The same for a tenant of `main`.
    pub fn of_tenant(args: &ServeArgs, main: &Config, tenant: &TenantConfig) -> Self {
        let named = Arc::from([tenant.file.clone()]);
        let (args, main, tenant) = (args.sources.clone(), main.clone(), tenant.clone());
        let read = Arc::new(move || args.load_tenant(&main, &tenant));
        Self { read, named, seen: Arc::default() }
    }

    /// What has a roster read it.
    pub fn reader(&self) -> Reader {
        let watch = self.clone();
        Box::new(move || watch.load())
    }

    /// Reads the configuration; what changes of its files from now on is a change.
    pub fn load(&self) -> Result<Loaded, ConfigErrors> {
        let mut files: BTreeSet<_> = self.seen().keys().chain(&*self.named).cloned().collect();
        loop {
            let mut seen: BTreeMap<_, _> =
                files.iter().map(|path| (path.clone(), stamp(path))).collect();
            let loaded = (self.read)();
            if let Ok(loaded) = &loaded {
                let known = files.len();
                files.extend(loaded.files.iter().cloned());
                if files.len() > known {
                    // How these were before they were read is not known.
                    continue;
                }
                seen.retain(|path, _| self.named.contains(path) || loaded.files.contains(path));
            }
            *self.seen() = seen;
            return loaded;
        }
    }

    /// A file is not as it was.
    fn changed(&self) -> bool {
        self.seen().iter().any(|(path, seen)| stamp(path) != *seen)
    }

    /// Waits until a file is not as it was.
    async fn differs(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            if self.changed() {
                return;
            }
        }
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
                () = watch.differs() => {}
            }
            reload(&roster).await;
        }
    });
    Ok(())
}

/// As [`follow`], where the signal is for another: of a tenant, whom the main configuration tells.
pub fn follow_files(watch: Watch, roster: Roster, shutdown: CancellationToken) {
    let follow = async move {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = watch.differs() => reload(&roster).await,
            }
        }
    };
    tokio::spawn(follow.in_current_span());
}

async fn reload(roster: &Roster) {
    let roster = roster.clone();
    if let Ok(reloaded) = tokio::task::spawn_blocking(move || roster.reload()).await {
        tell(&reloaded);
    }
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
