//! The lines of an audit log as a chain: each holds the hash of the one before it, and its own.
//!
//! Invariant: a line's hash is of every byte before it, so nothing in a line can change, and no line
//! can go, come in between or change places, without a hash that does not fit. Without a key anybody
//! can compute hashes: then the chain shows accidents and clumsy hands, and whoever may write the file can
//! make another. With a key only its holder can.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::AuditError;

/// What follows the hashed part of a line.
const NAME: &str = ",\"hash\":\"";
const END: &str = "\"}";
const HEX: usize = 64;

/// What hashes are made with.
#[derive(Clone)]
pub struct Seal(Option<[u8; 32]>);

/// Where a chain has come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The number of the last line.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
}

impl Link {
    /// Before the first line.
    pub fn start() -> Self {
        Self { seq: 0, hash: "0".repeat(HEX) }
    }
}

/// What is wrong with a line, or with where it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The end of a line is missing.
    #[error("it is not written to its end")]
    Torn,
    /// It is no line of a chain.
    #[error("it is no line of an audit log")]
    Unread,
    /// Its hash is another.
    #[error("its hash does not fit it: it was changed, or sealed with another key")]
    Changed,
    /// It is not the next one.
    #[error("it does not follow the line before it: lines {0} to {1} are missing or moved")]
    Gap(u64, u64),
    /// It follows another line.
    #[error("it follows another line {0} than the one before it")]
    Replaced(u64),
    /// Lines are missing at the end.
    #[error("the log ends here, and {0} lines that were written after it are missing")]
    Cut(u64),
    /// Nothing says where the end should be.
    #[error(
        "the log ends here, and its head is gone: whether lines after it are missing can't be told"
    )]
    Unheaded,
    /// Lines are missing at the beginning.
    #[error("the log begins with line {0}, and nothing in it says that older files were let go")]
    Headless(u64),
}

/// What a line says of its place.
#[derive(Deserialize)]
struct Place {
    seq: u64,
    prev: String,
}

impl Seal {
    /// With the key in this file, or none.
    pub fn of(key_file: Option<&Path>) -> Result<Self, AuditError> {
        let Some(path) = key_file else { return Ok(Self(None)) };
        let key = std::fs::read(path)
            .map_err(|source| AuditError::Key { path: path.to_owned(), source })?;
        Ok(Self::with(key.trim_ascii()))
    }

    /// With this key.
    pub fn with(key: &[u8]) -> Self {
        Self(Some(blake3::derive_key("toolscout audit log, chain of lines", key)))
    }

    /// Without one.
    pub fn plain() -> Self {
        Self(None)
    }

    /// A key for something else, if there is one.
    pub(super) fn derived(&self, context: &str) -> Option<[u8; 32]> {
        self.0.map(|key| blake3::derive_key(context, &key))
    }

    fn hash(&self, text: &[u8]) -> String {
        let hash = match &self.0 {
            Some(key) => blake3::keyed_hash(key, text),
            None => blake3::hash(text),
        };
        hash.to_hex().to_string()
    }

    /// Seals an object as the line after `link`, which becomes that line.
    pub(super) fn close(&self, object: &str, link: &mut Link) -> String {
        let open = object.strip_suffix('}').unwrap_or(object);
        let comma = if open.ends_with('{') { "" } else { "," };
        let next = link.seq + 1;
        let mut text = format!("{open}{comma}\"seq\":{next},\"prev\":\"{}\"", link.hash);
        *link = Link { seq: next, hash: self.hash(text.as_bytes()) };
        text.push_str(NAME);
        text.push_str(&link.hash);
        text.push_str(END);
        text.push('\n');
        text
    }

    /// The place of a line (with the end of line), and the hash of the one before it.
    pub(super) fn open(&self, line: &[u8]) -> Result<(Link, String), Broken> {
        let line = line.strip_suffix(b"\n").ok_or(Broken::Torn)?;
        let hashed = line.len().checked_sub(NAME.len() + HEX + END.len()).ok_or(Broken::Unread)?;
        let (text, tail) = line.split_at(hashed);
        let hash =
            tail.strip_prefix(NAME.as_bytes()).and_then(|tail| tail.strip_suffix(END.as_bytes()));
        let hash = hash.ok_or(Broken::Unread)?;
        let ours = self.hash(text);
        if ours.as_bytes() != hash {
            return Err(Broken::Changed);
        }
        let place: Place = serde_json::from_slice(line).map_err(|_| Broken::Unread)?;
        Ok((Link { seq: place.seq, hash: ours }, place.prev))
    }

    /// As [`Seal::open`], of a line that follows `before`.
    pub(super) fn follow(&self, text: &[u8], before: &Link) -> Result<Link, Broken> {
        let (link, prev) = self.open(text)?;
        if link.seq != before.seq + 1 {
            let (first, last) = (before.seq + 1, link.seq.saturating_sub(1));
            return Err(Broken::Gap(first.min(last), first.max(last)));
        }
        if prev != before.hash {
            return Err(Broken::Replaced(before.seq));
        }
        Ok(link)
    }
}
