//! Results on disk: `DATA/evals/runs/ID.run`, one a file, and its owner's alone, for they hold what
//! people ask.
//!
//! Invariant: a file is whole or not there; the oldest go when there are more than [`MOST_KEPT`], or they
//! take more than [`MOST_BYTES`].

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Head;
use super::result::Kept;
use crate::sealed::{self, Kind, SealedError};

const KIND: Kind = Kind { magic: *b"TSEVALS\0", version: 1 };
/// Results that are kept.
pub const MOST_KEPT: usize = 50;
/// And the room that they may take together.
const MOST_BYTES: u64 = 64 << 20;
const ENDING: &str = "run";

/// Where results are.
#[derive(Debug, Clone)]
pub struct History(PathBuf);

impl History {
    /// Of a data folder.
    pub fn of(data: &Path) -> Self {
        Self(data.join("evals/runs"))
    }

    fn path(&self, id: u64) -> PathBuf {
        self.0.join(id.to_string()).with_extension(ENDING)
    }

    fn ids(&self) -> Vec<u64> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let id = |path: PathBuf| {
            let is_run = path.extension().is_some_and(|ending| ending == ENDING);
            path.file_stem()?.to_str()?.parse().ok().filter(|_| is_run)
        };
        entries.filter_map(|entry| id(entry.path())).collect()
    }

    /// What each says of itself. One that can't be used is set aside with a warning.
    pub fn heads(&self) -> impl Iterator<Item = (u64, Head)> {
        self.ids().into_iter().filter_map(|id| match self.read(id) {
            Ok(kept) => Some((id, kept?.head)),
            Err(error) => {
                let is_lost = !matches!(error, SealedError::Io { .. });
                let aside = is_lost.then(|| sealed::set_aside(&self.path(id)));
                tracing::warn!("{error}: this result is left out of the history");
                if let Some(Err(error)) = aside {
                    tracing::warn!("{error}");
                }
                None
            }
        })
    }

    /// How many there are, or what is wrong with the first that can't be used; changes nothing.
    pub fn check(&self) -> Result<usize, SealedError> {
        let ids = self.ids();
        ids.iter().try_for_each(|id| self.read(*id).map(drop))?;
        Ok(ids.len())
    }

    pub(super) fn read(&self, id: u64) -> Result<Option<Kept>, SealedError> {
        let path = self.path(id);
        let Some(payload) = KIND.read(&path)? else { return Ok(None) };
        serde_json::from_slice(&payload).map(Some).map_err(|_| SealedError::undecodable(&path))
    }

    pub(super) fn keep(&self, kept: &Kept) -> Result<(), SealedError> {
        let path = self.path(kept.head.number());
        let io = |source| SealedError::Io { path: path.clone(), source };
        sealed::folder_of_owner(&self.0).map_err(io)?;
        let payload = serde_json::to_vec(kept).map_err(|error| io(error.into()))?;
        KIND.write(&path, &payload)
    }

    pub(super) fn remove(&self, id: u64) -> Result<(), SealedError> {
        match fs::remove_file(self.path(id)) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                Err(SealedError::Io { path: self.path(id), source })
            }
            _ => Ok(()),
        }
    }

    /// Lets the oldest of these go, as far as there are too many.
    pub(super) fn prune(&self, kept: &mut BTreeMap<u64, Head>) {
        let size = |id: &u64| fs::metadata(self.path(*id)).map_or(0, |found| found.len());
        let mut room = MOST_BYTES;
        let mut gone = Vec::new();
        for (at, id) in kept.keys().rev().enumerate() {
            let left = room.checked_sub(size(id));
            // The newest stays, however large.
            if at > 0 && (at >= MOST_KEPT || left.is_none()) {
                gone.push(*id);
            }
            room = left.unwrap_or(0);
        }
        for id in gone {
            match self.remove(id) {
                Ok(()) => drop(kept.remove(&id)),
                Err(error) => tracing::warn!("{error}: this result stays in the history"),
            }
        }
    }
}
