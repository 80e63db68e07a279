//! Vectors by the content of the text they are of, in memory and on disk.
//!
//! The file is a log of records of one length (hash of the text, vector, checksum), only ever
//! appended to, so several processes may share it. Invariant: a vector that is given out was made
//! by this encoder for exactly this text in this role; a damaged record is passed over, never
//! believed.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::{EmbedError, Embedder, Role};
use crate::tool::ContentHash;

const HASH: usize = 32;
const CHECKSUM: usize = 8;

/// A vector, shared with the index.
pub type Vector = Arc<[f32]>;

/// The vectors of one encoder.
pub struct VectorCache {
    embedder: Arc<dyn Embedder>,
    vectors: RwLock<HashMap<ContentHash, Vector>>,
    file: Option<Mutex<File>>,
}

impl VectorCache {
    /// A cache that is gone with the process.
    pub fn in_memory(embedder: Arc<dyn Embedder>) -> Self {
        Self { embedder, vectors: RwLock::default(), file: None }
    }

    /// The cache in `folder`, with what earlier processes put there.
    pub fn open(embedder: Arc<dyn Embedder>, folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let path = folder.join(format!("vectors-{}-{}.bin", embedder.id(), embedder.dims()));
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let length = record_length(embedder.dims());
        let whole = bytes.len() / length * length;
        if whole < bytes.len() {
            // A process died while appending: what follows must start on a record.
            file.set_len(whole as u64)?;
        }
        let vectors = bytes.chunks_exact(length).filter_map(decode).collect();
        Ok(Self { embedder, vectors: RwLock::new(vectors), file: Some(Mutex::new(file)) })
    }

    /// The encoder whose vectors these are.
    pub fn embedder(&self) -> &Arc<dyn Embedder> {
        &self.embedder
    }

    /// The vector of the text with that key, if it is known.
    pub fn get(&self, key: &ContentHash) -> Option<Vector> {
        self.vectors.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// The vectors of `texts`, in order; what is not known is embedded now, in one batch. An
    /// encoder's failure is an error; a full disk is not: those vectors are then kept in memory
    /// alone, and `Kept` says so.
    pub fn embed(&self, role: Role, texts: &[&str]) -> Result<(Vec<Vector>, Kept), EmbedError> {
        let keys: Vec<ContentHash> = texts.iter().map(|text| key(role, text)).collect();
        let mut found: Vec<Option<Vector>> = keys.iter().map(|key| self.get(key)).collect();
        let missing: Vec<usize> = (0..texts.len()).filter(|at| found[*at].is_none()).collect();
        let mut kept = Kept::All;
        if !missing.is_empty() {
            let wanted: Vec<&str> = missing.iter().map(|at| texts[*at]).collect();
            let new = self.embedder.embed(role, &wanted, None)?;
            for (at, vector) in missing.into_iter().zip(new) {
                let vector: Vector = vector.into();
                if let Err(error) = self.append(&keys[at], &vector) {
                    kept = Kept::NotOnDisk(error);
                }
                let mut vectors = self.vectors.write().unwrap_or_else(PoisonError::into_inner);
                vectors.insert(keys[at], Arc::clone(&vector));
                found[at] = Some(vector);
            }
        }
        let vectors: Option<Vec<_>> = found.into_iter().collect();
        let vectors = vectors.ok_or_else(|| EmbedError::Encoder("too few vectors".into()))?;
        Ok((vectors, kept))
    }

    fn append(&self, hash: &ContentHash, vector: &[f32]) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let record = encode(hash, vector);
        file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&record)
    }
}

/// What became of new vectors.
#[derive(Debug)]
pub enum Kept {
    /// They are where the cache is kept.
    All,
    /// They are in memory alone.
    NotOnDisk(io::Error),
}

/// What the vector of `text` is kept by. Queries are apart from tools: many encoders tell them
/// apart.
pub fn key(role: Role, text: &str) -> ContentHash {
    match role {
        Role::Tool => ContentHash::of(text),
        // No text of a tool begins with a NUL character.
        Role::Query => ContentHash::of(&format!("\0query\0{text}")),
    }
}

fn record_length(dims: usize) -> usize {
    HASH + dims * 4 + CHECKSUM
}

fn encode(hash: &ContentHash, vector: &[f32]) -> Vec<u8> {
    let mut record = Vec::with_capacity(record_length(vector.len()));
    record.extend(hash.0);
    record.extend(vector.iter().flat_map(|x| x.to_le_bytes()));
    let checksum = blake3::hash(&record);
    record.extend(&checksum.as_bytes()[..CHECKSUM]);
    record
}

fn decode(record: &[u8]) -> Option<(ContentHash, Vector)> {
    let (content, checksum) = record.split_at(record.len() - CHECKSUM);
    if &blake3::hash(content).as_bytes()[..CHECKSUM] != checksum {
        return None;
    }
    let (hash, vector) = content.split_first_chunk::<HASH>()?;
    let (numbers, _) = vector.as_chunks::<4>();
    Some((ContentHash(*hash), numbers.iter().map(|x| f32::from_le_bytes(*x)).collect()))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::embed::Cost;

    /// Vectors of a text's length; notes every batch.
    #[derive(Default)]
    struct Lengths(Mutex<Vec<usize>>);
    impl Embedder for Lengths {
        fn id(&self) -> &'static str {
            "lengths"
        }
        fn dims(&self) -> usize {
            2
        }
        fn cost(&self) -> Cost {
            Cost::Instant
        }
        #[expect(clippy::cast_precision_loss, reason = "short texts")]
        fn embed(
            &self,
            role: Role,
            texts: &[&str],
            _: Option<Instant>,
        ) -> Result<Vec<Vec<f32>>, EmbedError> {
            self.0.lock().unwrap().push(texts.len());
            let role = if role == Role::Query { 2.0 } else { 1.0 };
            Ok(texts.iter().map(|text| vec![text.len() as f32, role]).collect())
        }
    }

    #[test]
    fn keeps_over_restarts_and_passes_over_damage() {
        let folder = tempfile::tempdir().unwrap();
        let open = || VectorCache::open(Arc::new(Lengths::default()), folder.path()).unwrap();
        let path = folder.path().join("vectors-lengths-2.bin");
        let cache = open();
        for text in ["a", "bb", "ccc"] {
            assert!(matches!(cache.embed(Role::Tool, &[text]).unwrap().1, Kept::All));
        }
        let mut bytes = fs::read(&path).unwrap();
        bytes[HASH] ^= 1; // the first record
        bytes.extend([1, 2, 3]); // the start of a record that was never finished
        fs::write(&path, &bytes).unwrap();

        let again = open();
        assert!(again.get(&key(Role::Tool, "a")).is_none());
        assert_eq!(*again.get(&key(Role::Tool, "ccc")).unwrap(), [3.0, 1.0]);
        again.embed(Role::Tool, &["dddd"]).unwrap();
        assert_eq!(*open().get(&key(Role::Tool, "dddd")).unwrap(), [4.0, 1.0]);
    }

    #[test]
    fn embeds_what_is_missing_in_one_batch_and_keeps_roles_apart() {
        let lengths = Arc::new(Lengths::default());
        let cache = VectorCache::in_memory(lengths.clone());
        cache.embed(Role::Tool, &["bb"]).unwrap();
        let (vectors, _) = cache.embed(Role::Tool, &["a", "bb", "ccc"]).unwrap();
        let lengths_of: Vec<f32> = vectors.iter().map(|vector| vector[0]).collect();
        assert_eq!(lengths_of, [1.0, 2.0, 3.0]);
        assert_eq!(*lengths.0.lock().unwrap(), [1, 2]);
        assert_eq!(*cache.embed(Role::Query, &["bb"]).unwrap().0[0], [2.0, 2.0]);
        assert_eq!(*cache.embed(Role::Tool, &["bb"]).unwrap().0[0], [2.0, 1.0]);
    }
}
