//! Reads the configuration anew while it serves: on SIGHUP, and when one of its files changes.
//!
//! Invariant: a configuration that is wrong is told of once, and changes nothing.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::ServeArgs;
use crate::roster::{Reload, Roster, RosterError};

/// The files are looked at this often. Looking works where nothing announces a change: on network
/// and container volumes, and where a link is moved to another folder.
const LOOK: Duration = Duration::from_secs(2);

/// Follows the files that `args` name until `shutdown`.
pub fn follow(
    args: &ServeArgs,
    roster: Roster,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let files = args.sources.files();
    tokio::spawn(async move {
        let mut seen = stamps(&files);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = hangup.recv() => {}
                () = tokio::time::sleep(LOOK) => {
                    if stamps(&files) == seen {
                        continue;
                    }
                }
            }
            seen = stamps(&files);
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

/// What changes when a file does.
fn stamps(files: &[PathBuf]) -> Vec<Option<(SystemTime, u64, u64)>> {
    use std::os::unix::fs::MetadataExt;

    let stamp = |path: &Path| {
        let meta = std::fs::metadata(path).ok()?;
        Some((meta.modified().ok()?, meta.len(), meta.ino()))
    };
    files.iter().map(|path| stamp(path)).collect()
}
