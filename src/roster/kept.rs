//! What operators did while it ran, kept in the data folder.
//!
//! Invariant: nothing is in force that is not written down; the file is whole at every moment, and
//! only its owner reads it, since it holds the headers that were given.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::RosterError;
use crate::config::{AddedServer, Defaults, ServerConfig};
use crate::sealed;
use crate::tool::ServerId;

/// What is written down.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Book {
    paused: BTreeSet<ServerId>,
    servers: BTreeMap<ServerId, AddedServer>,
}

impl Book {
    pub(super) fn pause(&mut self, id: &ServerId, paused: bool) {
        if paused {
            self.paused.insert(id.clone());
        } else {
            self.paused.remove(id);
        }
    }

    pub(super) fn remove(&mut self, id: &ServerId) {
        self.servers.remove(id);
        self.paused.remove(id);
    }
}

/// The file, and what it says.
pub(super) struct Kept {
    path: PathBuf,
    /// Each of its servers can be resolved.
    book: Book,
}

impl Kept {
    pub(super) fn open(data: &Path) -> Result<Self, RosterError> {
        let path = data.join("servers.json");
        let unreadable = |why: String| RosterError::Unreadable(path.clone(), why);
        let book: Book = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| {
                // Not serde's own words: they may quote a value.
                unreadable(format!("it is not what toolscout wrote (line {})", error.line()))
            })?,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                Book::default()
            }
            Err(error) => return Err(unreadable(error.to_string())),
        };
        for (id, added) in &book.servers {
            let resolved = added.resolve(id, &Defaults::default());
            resolved.map_err(|errors| unreadable(errors.to_string()))?;
        }
        Ok(Self { path, book })
    }

    /// The servers, crawled by `defaults` where they say nothing of it.
    pub(super) fn servers(&self, defaults: &Defaults) -> impl Iterator<Item = ServerConfig> {
        self.book.servers.iter().filter_map(|(id, added)| added.resolve(id, defaults).ok())
    }

    pub(super) fn has(&self, id: &ServerId) -> bool {
        self.book.servers.contains_key(id)
    }

    pub(super) fn is_paused(&self, id: &ServerId) -> bool {
        self.book.paused.contains(id)
    }

    pub(super) fn add(&mut self, id: ServerId, added: AddedServer) -> Result<(), RosterError> {
        added.resolve(&id, &Defaults::default()).map_err(RosterError::Entry)?;
        self.change(|book| drop(book.servers.insert(id, added)))
    }

    /// Writes the changed book down; what is in force changes only when that worked.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Book)) -> Result<(), RosterError> {
        let mut book = self.book.clone();
        change(&mut book);
        write(&self.path, &book).map_err(|error| RosterError::Kept(self.path.clone(), error))?;
        self.book = book;
        Ok(())
    }
}

/// A temporary file is its owner's alone, and stays so under its new name.
fn write(path: &Path, book: &Book) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = sealed::temporary(folder)?;
    serde_json::to_writer_pretty(&mut file, book)?;
    file.flush()?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn added(url: &str) -> AddedServer {
        serde_json::from_value(serde_json::json!({"url": url, "bearer_token": "s3cret-token"}))
            .unwrap()
    }

    #[test]
    fn what_was_done_is_there_after_a_restart_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut kept = Kept::open(folder.path()).unwrap();
        kept.add("a".into(), added("https://a.test/mcp")).unwrap();
        kept.add("b".into(), added("https://b.test/mcp")).unwrap();
        kept.change(|book| book.pause(&"b".into(), true)).unwrap();
        kept.change(|book| book.remove(&"a".into())).unwrap();
        let mode = std::fs::metadata(folder.path().join("servers.json")).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        let again = Kept::open(folder.path()).unwrap();
        let ids: Vec<_> = again.servers(&Defaults::default()).map(|server| server.id).collect();
        assert_eq!(ids, ["b".into()]);
        assert!(again.is_paused(&"b".into()) && !again.has(&"a".into()));
    }

    #[test]
    fn nothing_is_in_force_that_could_not_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut kept = Kept::open(folder.path()).unwrap();
        // A folder stands where the file should.
        std::fs::create_dir(folder.path().join("servers.json")).unwrap();
        assert!(kept.add("a".into(), added("https://a.test/mcp")).is_err());
        assert!(!kept.has(&"a".into()));
    }

    #[test]
    fn a_variable_or_a_wrong_address_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut kept = Kept::open(folder.path()).unwrap();
        for url in ["https://${HOST}/mcp", "file:///etc/passwd", "not an address"] {
            let refused = kept.add("a".into(), added(url)).unwrap_err();
            assert!(matches!(refused, RosterError::Entry(_)), "{refused}");
        }
        std::fs::write(folder.path().join("servers.json"), r#"{"servers": "s3cret"}"#).unwrap();
        let refused = Kept::open(folder.path()).err().unwrap().to_string();
        assert!(!refused.contains("s3cret"), "{refused}");
    }
}
