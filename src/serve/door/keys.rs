//! The API keys that count now.
//!
//! Invariant: who shows a key waits for no disk; a change made elsewhere counts within seconds; a
//! file that can't be read any more opens nothing that was closed: the keys of before stay.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use crate::access::caller::Caller;
use crate::access::keys::file::{KeyFile, KeyFileError, Stamp};
use crate::access::keys::{Book, KeyError, Refused, Seconds};

/// The file is looked at this often.
const LOOK: Duration = Duration::from_secs(2);
/// When a key was last used is known to this many seconds.
const ROUGHLY: Seconds = 600;
/// Looks between two savings of that.
const LOOKS: u32 = 30;

/// The keys.
pub struct Keys {
    file: KeyFile,
    book: ArcSwap<Book>,
    /// Of the file, as it was before it was read last.
    stamp: Mutex<Stamp>,
    /// When keys were last used, where that is not in the file yet.
    used: Mutex<BTreeMap<Arc<str>, Seconds>>,
}

/// Now, in seconds.
pub fn now() -> Seconds {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl Keys {
    /// Those of this data folder.
    pub fn open(data: &Path) -> Result<Self, KeyFileError> {
        let file = KeyFile::of(data);
        let (stamp, book) = (file.stamp(), file.read()?);
        let book = ArcSwap::from_pointee(book);
        Ok(Self { file, book, stamp: Mutex::new(stamp), used: Mutex::default() })
    }

    /// The keys as they are now.
    pub fn book(&self) -> Arc<Book> {
        self.book.load_full()
    }

    /// Whoever shows this key.
    pub fn find(&self, said: &str) -> Result<Caller, Refused> {
        let (book, now) = (self.book.load(), now());
        let key = book.find(said, now)?;
        if key.last_used.is_none_or(|last| last.saturating_add(ROUGHLY) <= now) {
            let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            used.insert(Arc::clone(&key.id), now);
        }
        Ok(key.caller())
    }

    /// Changes them, on disk and here.
    pub fn change<T>(
        &self,
        work: impl FnOnce(&mut Book) -> Result<T, KeyError>,
    ) -> Result<T, KeyFileError> {
        let (done, book) = self.file.change(work)?;
        // Of two changes the later one may come here first: the next look sets that right.
        self.book.store(Arc::new(book));
        Ok(done)
    }

    /// Looks at the file until `shutdown`, and saves when keys were used.
    pub async fn follow(self: Arc<Self>, shutdown: CancellationToken) {
        let mut looks = 0_u32;
        loop {
            let stopped = tokio::time::timeout(LOOK, shutdown.cancelled()).await.is_ok();
            looks = (looks + 1) % LOOKS;
            let (keys, saves) = (Arc::clone(&self), stopped || looks == 0);
            let looked = tokio::task::spawn_blocking(move || {
                keys.look();
                if saves {
                    keys.save_use();
                }
            });
            if looked.await.is_err() || stopped {
                return;
            }
        }
    }

    fn look(&self) {
        let mut seen = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = self.file.stamp();
        if *seen == stamp {
            return;
        }
        *seen = stamp;
        match self.file.read() {
            Ok(book) => self.book.store(Arc::new(book)),
            Err(error) => tracing::error!(%error, "the API keys of before are kept"),
        }
    }

    fn save_use(&self) {
        let used = std::mem::take(&mut *self.used.lock().unwrap_or_else(PoisonError::into_inner));
        if used.is_empty() {
            return;
        }
        let noted = self.change(|book| {
            for (id, at) in &used {
                book.note_use(id, *at);
            }
            Ok(())
        });
        if let Err(error) = noted {
            tracing::warn!(%error, "when API keys were used is not kept");
        }
    }
}
