//! The book on disk, beside the snapshot.
//!
//! Invariant: [`load`] gives back what [`save`] was given, or an error; findings that come of other
//! servers' tools are worked out anew.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use wincode::{SchemaRead, SchemaWrite};

use super::feed::{Event, Feed};
use super::history::{Book, Entry, ServerBook};
use crate::sealed::{Kind, SealedError};
use crate::tool::ServerId;

const KIND: Kind = Kind { magic: *b"TSTRUST\0", version: 1 };

#[derive(SchemaWrite, SchemaRead)]
struct Saved {
    newest: u64,
    events: Vec<Event>,
    servers: Vec<SavedServer>,
}

#[derive(SchemaWrite, SchemaRead)]
struct SavedServer {
    id: String,
    tools: Vec<SavedTool>,
}

#[derive(SchemaWrite, SchemaRead)]
struct SavedTool {
    name: String,
    entry: Entry,
}

/// Writes the book, all or nothing.
pub fn save(path: &Path, book: &Book) -> Result<(), SealedError> {
    let server = |(id, book): (&ServerId, &Arc<ServerBook>)| SavedServer {
        id: id.to_string(),
        tools: book
            .tools
            .iter()
            .map(|(name, entry)| SavedTool { name: name.to_string(), entry: Entry::clone(entry) })
            .collect(),
    };
    let saved = Saved {
        newest: book.feed.range().0,
        events: book.feed.events().cloned().collect(),
        servers: book.servers.iter().map(server).collect(),
    };
    let payload = wincode::config::serialize(&saved, limits())
        .map_err(|error| SealedError::Io { path: path.into(), source: io::Error::other(error) })?;
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
    let saved: Saved = wincode::config::deserialize(payload, limits).ok()?;
    let server = |server: SavedServer| {
        let tools = server.tools.into_iter();
        let tools = tools.map(|tool| (tool.name.into(), Arc::new(tool.entry))).collect();
        (ServerId::from(server.id), Arc::new(ServerBook { tools }))
    };
    Some(Book {
        servers: saved.servers.into_iter().map(server).collect(),
        shadows: BTreeMap::new(),
        feed: Arc::new(Feed::of(saved.events, saved.newest)),
        earlier: Arc::default(),
    })
}

/// As for the snapshot: the checksum has vouched for the lengths.
pub(super) fn limits() -> impl wincode::config::Config {
    wincode::config::Configuration::default().disable_preallocation_size_limit()
}
