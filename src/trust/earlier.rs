//! Definitions that were served before the ones that are: what a change is compared with.
//!
//! Invariant: of each tool the newest [`MOST_EACH`], of all together no more than [`MOST_BYTES`]: those go
//! first that have not been served for the longest time, of the server that has the most, so that one that
//! changes all the time takes nothing from the others. Nothing is decided by them, so they are kept in a
//! file of their own and a damaged one costs nothing else.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wincode::{SchemaRead, SchemaWrite};

use crate::sealed::{Kind, SealedError};
use crate::tool::{ContentHash, ToolId};

/// Definitions that are kept of one tool.
pub const MOST_EACH: usize = 5;
/// What all together may take.
pub const MOST_BYTES: usize = 16 << 20;
/// What one takes beside its texts.
const BESIDE: usize = 256;

const KIND: Kind = Kind { magic: *b"TSEARLY\0", version: 1 };

/// A definition that was served.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Earlier {
    /// BLAKE3 of its bytes.
    pub hash: ContentHash,
    /// Until when it was served, in milliseconds since 1970.
    pub until_ms: u64,
    /// Its own bytes.
    pub definition: String,
}

/// All of them, by tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Earliers {
    /// The newest last.
    tools: BTreeMap<ToolId, Arc<Vec<Earlier>>>,
    bytes: usize,
}

#[derive(SchemaWrite, SchemaRead)]
struct SavedTool {
    id: String,
    earlier: Vec<Earlier>,
}

impl Earliers {
    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// Those of a tool, the newest last.
    pub fn of(&self, tool: &ToolId) -> &[Earlier] {
        self.tools.get(tool).map_or(&[], |earlier| earlier.as_slice())
    }

    /// Keeps what was served of a tool until now.
    pub fn keep(&mut self, tool: &ToolId, earlier: Earlier) {
        self.bytes += cost(tool, &earlier);
        let kept = Arc::make_mut(self.tools.entry(tool.clone()).or_default());
        kept.push(earlier);
        if kept.len() > MOST_EACH {
            self.bytes -= cost(tool, &kept.remove(0));
        }
        if self.bytes > MOST_BYTES {
            self.forget();
        }
    }

    /// Forgets the oldest of whoever has the most: a tenth at a time, so that this is not done for each
    /// that is kept.
    fn forget(&mut self) {
        let mut servers: BTreeMap<&str, Vec<(u64, &ToolId, usize)>> = BTreeMap::new();
        for (tool, kept) in &self.tools {
            let of = kept.iter().map(|it| (it.until_ms, tool, cost(tool, it)));
            servers.entry(server_of(tool)).or_default().extend(of);
        }
        let mut most = BinaryHeap::new();
        for (server, all) in &mut servers {
            // The oldest last. Of one tool they are in order, so its first ones are those that go.
            all.sort_by_key(|(until_ms, ..)| Reverse(*until_ms));
            most.push((all.iter().map(|(.., bytes)| bytes).sum::<usize>(), *server));
        }
        let mut gone: BTreeMap<ToolId, usize> = BTreeMap::new();
        while self.bytes > MOST_BYTES - MOST_BYTES / 10
            && let Some((has, server)) = most.pop()
            && let Some((_, tool, bytes)) = servers.get_mut(server).and_then(Vec::pop)
        {
            *gone.entry(tool.clone()).or_default() += 1;
            self.bytes -= bytes;
            most.push((has - bytes, server));
        }
        for (tool, count) in gone {
            if let Some(kept) = self.tools.get_mut(&tool) {
                Arc::make_mut(kept).drain(..count);
            }
        }
        self.tools.retain(|_, kept| !kept.is_empty());
    }

    fn count(&self) -> usize {
        let of_one = |(tool, kept): (&ToolId, &Arc<Vec<Earlier>>)| -> usize {
            kept.iter().map(|it| cost(tool, it)).sum()
        };
        self.tools.iter().map(of_one).sum()
    }
}

fn cost(tool: &ToolId, earlier: &Earlier) -> usize {
    earlier.definition.len() + tool.as_str().len() + BESIDE
}

/// Whose share of the room a tool's are: its server's, or that of all whose ids begin alike up to a `/`.
/// No server can be taken for one of another beginning, whatever it calls its tools.
fn server_of(tool: &ToolId) -> &str {
    tool.as_str().split('/').next().unwrap_or_default()
}

/// Where they are kept, beside the book at `path`.
pub fn beside(path: &Path) -> PathBuf {
    path.with_file_name("earlier.book")
}

/// Writes them, all or nothing.
pub fn save(path: &Path, earliers: &Earliers) -> Result<(), SealedError> {
    let saved: Vec<SavedTool> = (earliers.tools.iter())
        .map(|(id, kept)| SavedTool { id: id.to_string(), earlier: Vec::clone(kept) })
        .collect();
    let payload = wincode::config::serialize(&saved, super::file::limits())
        .map_err(|error| SealedError::Io { path: path.into(), source: io::Error::other(error) })?;
    KIND.write(path, &payload)
}

/// Reads what [`save`] wrote; `None` when there is no such file.
pub fn load(path: &Path) -> Result<Option<Earliers>, SealedError> {
    let Some(payload) = KIND.read(path)? else { return Ok(None) };
    let saved: Result<Vec<SavedTool>, _> =
        wincode::config::deserialize(&payload, super::file::limits());
    let saved = saved.map_err(|_| SealedError::undecodable(path))?;
    let tools = saved.into_iter().map(|tool| (ToolId::from(tool.id), Arc::new(tool.earlier)));
    let mut earliers = Earliers { tools: tools.collect(), bytes: 0 };
    earliers.bytes = earliers.count();
    Ok(Some(earliers))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn earlier(until_ms: u64, text: &str) -> Earlier {
        Earlier { hash: ContentHash::of(text), until_ms, definition: text.to_owned() }
    }

    proptest! {
        #[test]
        fn the_newest_of_each_tool_are_kept_and_read_back(
            steps in prop::collection::vec((0_usize..4, "[a-z]{0,9}"), 0..40),
        ) {
            let ids: Vec<ToolId> = (0..4).map(|at| ToolId::from(format!("mail/t{at}"))).collect();
            let mut earliers = Earliers::default();
            let mut naive = vec![VecDeque::new(); ids.len()];
            for (at, (tool, text)) in (0..).zip(&steps) {
                earliers.keep(&ids[*tool], earlier(at, text));
                naive[*tool].push_back(earlier(at, text));
                if naive[*tool].len() > MOST_EACH {
                    naive[*tool].pop_front();
                }
            }
            for (id, naive) in ids.iter().zip(&naive) {
                prop_assert_eq!(earliers.of(id), naive.iter().cloned().collect::<Vec<_>>());
            }
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("earlier.book");
            prop_assert!(load(&path).unwrap().is_none());
            save(&path, &earliers).unwrap();
            prop_assert_eq!(load(&path).unwrap().unwrap(), earliers);
        }
    }

    #[test]
    fn all_together_are_bounded_and_the_oldest_go() {
        let mut earliers = Earliers::default();
        let text = "x".repeat(MOST_BYTES / 100);
        for at in 0..150 {
            earliers.keep(&ToolId::from(format!("mail/t{at}")), earlier(at, &text));
            assert!(earliers.bytes <= MOST_BYTES, "{at}");
        }
        assert!(earliers.of(&ToolId::from("mail/t0")).is_empty());
        assert_eq!(earliers.of(&ToolId::from("mail/t149")).len(), 1);
        assert_eq!(earliers.bytes, earliers.count());
        assert!(earliers.tools.len() >= 90);
    }

    #[test]
    fn a_server_that_changes_all_the_time_takes_nothing_from_the_others() {
        let mut earliers = Earliers::default();
        let text = "x".repeat(MOST_BYTES / 100);
        for at in 0..20 {
            earliers.keep(&ToolId::from(format!("quiet/t{at}")), earlier(at, &text));
        }
        for at in 0..1_000 {
            // All at once, as a crawl finds them.
            let until_ms = 1_000 + at / 50;
            earliers.keep(&ToolId::from(format!("loud/t{at}")), earlier(until_ms, &text));
            assert!(earliers.bytes <= MOST_BYTES, "{at}");
        }
        let of =
            |server: &str| earliers.tools.keys().filter(|tool| server_of(tool) == server).count();
        assert_eq!(of("quiet"), 20);
        assert!(of("loud") >= 65, "{}", of("loud"));
        assert!(!earliers.of(&ToolId::from("loud/t999")).is_empty(), "the newest stay");
        assert_eq!(earliers.bytes, earliers.count());
    }
}
