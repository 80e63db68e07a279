//! Vectors by the content of the text they are of, in memory and on disk.
//!
//! The file is a log of records of one length (hash of the text, vector, checksum), only ever
//! appended to, so several processes may share it. Invariant: a vector that is given out was made
//! by this encoder for exactly this text; a damaged record is passed over, never believed.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::{EmbedError, Embedder};
use crate::tool::ContentHash;

const HASH: usize = 32;
const CHECKSUM: usize = 8;

/// The vectors of one encoder.
pub struct VectorCache {
    embedder: Arc<dyn Embedder>,
    vectors: RwLock<HashMap<ContentHash, Arc<[f32]>>>,
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

    /// The vector of the text with that hash, if it is known.
    pub fn get(&self, hash: &ContentHash) -> Option<Arc<[f32]>> {
        self.vectors.read().unwrap_or_else(PoisonError::into_inner).get(hash).cloned()
    }

    /// The vector of `text`, embedded now unless it is known. An encoder's failure is an error; a
    /// full disk is not: the vector is then kept in memory alone, and `Kept` says so.
    pub fn embed(&self, text: &str) -> Result<(Arc<[f32]>, Kept), EmbedError> {
        let hash = ContentHash::of(text);
        if let Some(vector) = self.get(&hash) {
            return Ok((vector, Kept::Known));
        }
        let vector: Arc<[f32]> = self.embedder.embed(text)?.into();
        let kept = match self.append(&hash, &vector) {
            Ok(()) => Kept::Added,
            Err(error) => Kept::NotOnDisk(error),
        };
        let mut vectors = self.vectors.write().unwrap_or_else(PoisonError::into_inner);
        vectors.insert(hash, Arc::clone(&vector));
        Ok((vector, kept))
    }

    fn append(&self, hash: &ContentHash, vector: &[f32]) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let record = encode(hash, vector);
        file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&record)
    }
}

/// What became of a vector in the cache.
#[derive(Debug)]
pub enum Kept {
    /// It was there.
    Known,
    /// It is there now.
    Added,
    /// It is in memory alone.
    NotOnDisk(io::Error),
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

fn decode(record: &[u8]) -> Option<(ContentHash, Arc<[f32]>)> {
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
    use super::*;

    struct Lengths;
    impl Embedder for Lengths {
        fn id(&self) -> &'static str {
            "lengths"
        }
        fn dims(&self) -> usize {
            2
        }
        #[expect(clippy::cast_precision_loss, reason = "short texts")]
        fn embed(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
            Ok(vec![text.len() as f32, 1.0])
        }
    }

    #[test]
    fn keeps_over_restarts_and_passes_over_damage() {
        let folder = tempfile::tempdir().unwrap();
        let open = || VectorCache::open(Arc::new(Lengths), folder.path()).unwrap();
        let path = folder.path().join("vectors-lengths-2.bin");
        let cache = open();
        for text in ["a", "bb", "ccc"] {
            assert!(matches!(cache.embed(text).unwrap().1, Kept::Added));
        }
        assert!(matches!(cache.embed("bb").unwrap().1, Kept::Known));
        let mut bytes = fs::read(&path).unwrap();
        bytes[HASH] ^= 1; // the first record
        bytes.extend([1, 2, 3]); // the start of a record that was never finished
        fs::write(&path, &bytes).unwrap();

        let again = open();
        assert!(again.get(&ContentHash::of("a")).is_none());
        assert_eq!(*again.get(&ContentHash::of("ccc")).unwrap(), [3.0, 1.0]);
        again.embed("dddd").unwrap();
        assert_eq!(*open().get(&ContentHash::of("dddd")).unwrap(), [4.0, 1.0]);
    }
}
