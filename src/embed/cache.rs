//! Vectors by the content of the text they are of, on disk, so that nothing is embedded twice.
//!
//! The file is a log of records of one length (hash of the text, vector, checksum), only ever
//! appended to, so several processes may share it; in memory are the places of the records alone,
//! since the index has the vectors. Invariant: a vector that is given out was made by this encoder
//! for exactly this text in this role; a damaged record is passed over, never believed.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::{EmbedError, Embedder, Role, guarded};
use crate::tool::ContentHash;

const HASH: usize = 32;
const CHECKSUM: usize = 8;

/// The vector of a text.
pub type Vector = Arc<[f32]>;

/// The vectors of one encoder.
pub struct VectorCache {
    embedder: Arc<dyn Embedder>,
    places: RwLock<HashMap<ContentHash, Place>>,
    log: Option<Log>,
    /// What embeds tools in the background, for all who share the vectors.
    threads: Mutex<Option<Arc<ThreadPool>>>,
}

/// Where a vector is.
#[derive(Clone)]
enum Place {
    /// In the file: the record of this number.
    Record(u32),
    /// Here, since the file could not take it or there is none.
    Memory(Vector),
}

impl VectorCache {
    /// A cache that is gone with the process.
    pub fn in_memory(embedder: Arc<dyn Embedder>) -> Self {
        Self { embedder, places: RwLock::default(), log: None, threads: Mutex::default() }
    }

    /// The cache in `folder`, with what earlier processes put there.
    pub fn open(embedder: Arc<dyn Embedder>, folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let path = folder.join(format!("vectors-{}-{}.bin", embedder.id(), embedder.dims()));
        let (log, hashes) = Log::open(&path, record_length(embedder.dims()))?;
        // Of two with one hash the later is read: it is there because the earlier was no good.
        let places = (0..).zip(hashes).map(|(number, hash)| (hash, Place::Record(number)));
        let (places, log) = (RwLock::new(places.collect()), Some(log));
        Ok(Self { embedder, places, log, threads: Mutex::default() })
    }

    /// The threads that embed tools for all who share this cache: `count` of them, if they are not
    /// there yet.
    pub fn threads(&self, count: usize) -> io::Result<Arc<ThreadPool>> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(threads) = &*threads {
            return Ok(Arc::clone(threads));
        }
        let pool = ThreadPoolBuilder::new()
            .num_threads(count.max(1))
            .thread_name(|at| format!("embed-tool-{at}"))
            .build();
        let pool = Arc::new(pool.map_err(io::Error::other)?);
        Ok(Arc::clone(threads.insert(pool)))
    }

    /// The encoder whose vectors these are.
    pub fn embedder(&self) -> &Arc<dyn Embedder> {
        &self.embedder
    }

    /// The vector of the text with that key, if it is known.
    pub fn get(&self, key: &ContentHash) -> Option<Vector> {
        let place = self.places.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        match place? {
            Place::Memory(vector) => Some(vector),
            Place::Record(number) => {
                let (hash, vector) = decode(&self.log.as_ref()?.read(number).ok()?)?;
                (hash == *key).then_some(vector)
            }
        }
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
            let new = guarded(|| self.embedder.embed(role, &wanted, None))?;
            for (at, vector) in missing.into_iter().zip(new) {
                let vector: Vector = vector.into();
                let place = self.append(&keys[at], &vector).unwrap_or_else(|error| {
                    kept = Kept::NotOnDisk(error);
                    None
                });
                let place = place.map_or_else(|| Place::Memory(Arc::clone(&vector)), Place::Record);
                let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
                places.insert(keys[at], place);
                found[at] = Some(vector);
            }
        }
        let vectors: Option<Vec<_>> = found.into_iter().collect();
        let vectors = vectors.ok_or_else(|| EmbedError::Encoder("too few vectors".into()))?;
        Ok((vectors, kept))
    }

    fn append(&self, hash: &ContentHash, vector: &[f32]) -> io::Result<Option<u32>> {
        self.log.as_ref().map_or(Ok(None), |log| log.append(&encode(hash, vector)))
    }
}

/// A file of records of one length.
struct Log {
    file: Mutex<File>,
    /// The same file, which reading at a place needs no turn for.
    reader: File,
    length: usize,
}

impl Log {
    /// Opens or makes it, and gives the hashes that its records begin with.
    fn open(path: &Path, length: usize) -> io::Result<(Self, Vec<ContentHash>)> {
        let file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        let bytes = file.metadata()?.len();
        let whole = bytes / length as u64;
        if whole * (length as u64) < bytes {
            // A process died while appending: what follows must start on a record.
            file.set_len(whole * length as u64)?;
        }
        let reader = File::open(path)?;
        let mut records = BufReader::with_capacity(1 << 20, &reader);
        let rest = i64::try_from(length - HASH).unwrap_or(i64::MAX);
        let mut hashes = Vec::with_capacity(usize::try_from(whole).unwrap_or_default());
        for _ in 0..whole {
            let mut hash = [0; HASH];
            records.read_exact(&mut hash)?;
            records.seek_relative(rest)?;
            hashes.push(ContentHash(hash));
        }
        Ok((Self { file: Mutex::new(file), reader, length }, hashes))
    }

    fn read(&self, number: u32) -> io::Result<Vec<u8>> {
        let mut record = vec![0; self.length];
        self.reader.read_exact_at(&mut record, u64::from(number) * self.length as u64)?;
        Ok(record)
    }

    /// The number of the new record; none where another process left its own unfinished, and the
    /// numbers are beside the records until the file is opened again.
    fn append(&self, record: &[u8]) -> io::Result<Option<u32>> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(record)?;
        let start = file.stream_position()? - record.len() as u64;
        let aligned = start.is_multiple_of(self.length as u64);
        Ok(u32::try_from(start / self.length as u64).ok().filter(|_| aligned))
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
        let other = open();
        for text in ["dddd", "a"] {
            again.embed(Role::Tool, &[text]).unwrap();
            other.embed(Role::Tool, &[&format!("{text}-")]).unwrap();
        }
        for cache in [&again, &open()] {
            assert_eq!(*cache.get(&key(Role::Tool, "dddd")).unwrap(), [4.0, 1.0]);
            assert_eq!(*cache.get(&key(Role::Tool, "a")).unwrap(), [1.0, 1.0]);
        }
        assert_eq!(*other.get(&key(Role::Tool, "a-")).unwrap(), [2.0, 1.0]);
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
