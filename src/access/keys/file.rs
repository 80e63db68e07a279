//! The keys on disk: `keys` of the data folder.
//!
//! Invariant: it is its owner's alone or nothing is read of it; a change is on disk before it
//! counts, and of two processes that change it at once none undoes the other's.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Book, Key, KeyError};
use crate::sealed::{self, Kind, SealedError};

const KIND: Kind = Kind { magic: *b"TSKEYS\0\0", version: 1 };

/// Why keys can't be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Others could read it.
    #[error("others than its owner can read {path}: `chmod 600` it", path = .0.display())]
    Open(PathBuf),
    /// It can't be read or written.
    #[error("API keys can't be read or kept: {0}")]
    Sealed(#[from] SealedError),
    /// The change itself is wrong.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Changes whenever the file does.
pub type Stamp = Option<(SystemTime, u64, u64)>;

/// Where the keys are.
#[derive(Debug, Clone)]
pub struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    /// Those of this data folder.
    pub fn of(data: &Path) -> Self {
        Self { path: data.join("keys").join("api.keys") }
    }

    /// All of them; none where there is no file.
    pub fn read(&self) -> Result<Book, KeyFileError> {
        let mode = fs::metadata(&self.path).map(|found| found.permissions().mode());
        if mode.is_ok_and(|mode| mode & 0o077 != 0) {
            return Err(KeyFileError::Open(self.path.clone()));
        }
        let Some(payload) = KIND.read(&self.path)? else { return Ok(Book::default()) };
        let keys: Vec<Key> =
            serde_json::from_slice(&payload).map_err(|_| SealedError::undecodable(&self.path))?;
        Ok(Book { keys: keys.into_iter().map(|key| (key.id.clone(), key)).collect() })
    }

    /// Changes them; the book as it is then.
    pub fn change<T>(
        &self,
        work: impl FnOnce(&mut Book) -> Result<T, KeyError>,
    ) -> Result<(T, Book), KeyFileError> {
        let _others_wait = self.lock().map_err(|source| self.io(source))?;
        let mut book = self.read()?;
        let done = work(&mut book)?;
        let keys: Vec<&Key> = book.keys().collect();
        let payload = serde_json::to_vec(&keys).map_err(|error| self.io(error.into()))?;
        // The file is made for its owner alone (it begins as a temporary one).
        KIND.write(&self.path, &payload)?;
        Ok((done, book))
    }

    /// Changes whenever they do.
    pub fn stamp(&self) -> Stamp {
        let found = fs::metadata(&self.path).ok()?;
        Some((found.modified().ok()?, found.len(), found.ino()))
    }

    /// Until the file is closed.
    fn lock(&self) -> io::Result<File> {
        let folder = self.path.with_file_name("");
        sealed::folder_of_owner(&folder)?;
        sealed::lock(&folder.join("lock"))
    }

    fn io(&self, source: io::Error) -> KeyFileError {
        SealedError::Io { path: self.path.clone(), source }.into()
    }
}
