//! The book on disk.
//!
//! Invariant: [`load`] gives back what [`save`] was given, or an error; the file is its owner's
//! alone, for it holds what people asked.

use std::io;
use std::path::Path;
use std::sync::Arc;

use wincode::{SchemaRead, SchemaWrite};

use super::book::{Book, Evidence, Which};
use crate::sealed::{Kind, SealedError};

const KIND: Kind = Kind { magic: *b"TSLEARN\0", version: 1 };

#[derive(SchemaWrite, SchemaRead)]
struct Saved {
    scope: String,
    query: String,
    tool: String,
    evidence: Evidence,
}

/// Writes the book, all or nothing.
pub fn save(path: &Path, book: &Book) -> Result<(), SealedError> {
    let all = Which::default();
    let pieces = book.pieces(&all).map(|(scope, (query, tool), evidence)| Saved {
        scope: scope.to_owned(),
        query: query.to_string(),
        tool: tool.to_string(),
        evidence: *evidence,
    });
    let pieces: Vec<Saved> = pieces.collect();
    let payload = wincode::config::serialize(&pieces, limits())
        .map_err(|error| SealedError::Io { path: path.into(), source: io::Error::other(error) })?;
    // The file is made for its owner alone (it begins as a temporary one).
    KIND.write(path, &payload)
}

/// Reads what [`save`] wrote; `None` when there is no such file.
pub fn load(path: &Path) -> Result<Option<Book>, SealedError> {
    let Some(payload) = KIND.read(path)? else { return Ok(None) };
    let book = decode(&payload, limits()).ok_or_else(|| SealedError::undecodable(path))?;
    Ok(Some(book))
}

/// What a payload says, unless it makes no sense.
pub(crate) fn decode(payload: &[u8], limits: impl wincode::config::Config) -> Option<Book> {
    let saved: Vec<Saved> = wincode::config::deserialize(payload, limits).ok()?;
    let mut book = Book::default();
    for Saved { scope, query, tool, evidence } in saved {
        book.put(&Arc::from(scope), (query.into(), tool.into()), evidence);
    }
    Some(book)
}

/// As for the snapshot: the checksum has vouched for the lengths.
fn limits() -> impl wincode::config::Config {
    wincode::config::Configuration::default().disable_preallocation_size_limit()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::{Duration, SystemTime};

    use super::super::{Outcome, Rules};
    use super::*;

    #[test]
    fn what_was_saved_is_what_is_loaded_and_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("learned/evidence.book");
        assert!(load(&path).unwrap().is_none());
        let rules = Rules { half_life: Duration::from_hours(1), max_events: 100 };
        let mut book = Book::default();
        for (scope, query, outcome) in
            [("", "ring", Outcome::Chosen), ("team", "ring", Outcome::Wrong)]
        {
            book.note(&rules, scope, query, &"a/b".into(), outcome, SystemTime::now());
        }
        save(&path, &book).unwrap();
        assert_eq!(load(&path).unwrap(), Some(book));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(load(&path).is_err());
    }
}
