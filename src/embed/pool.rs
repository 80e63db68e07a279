//! Sessions of one model, so that several threads can run it at once.
//!
//! Invariant: a session is used by one thread at a time.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use super::EmbedError;

/// At least one session.
pub(super) struct Pool<T> {
    sessions: Vec<Mutex<T>>,
    next: AtomicUsize,
}

impl<T> Pool<T> {
    /// A pool of `size` sessions that `open` makes.
    pub(super) fn new(
        size: usize,
        open: impl Fn() -> Result<T, EmbedError>,
    ) -> Result<Self, EmbedError> {
        let sessions: Result<_, _> = (0..size.max(1)).map(|_| open().map(Mutex::new)).collect();
        Ok(Self { sessions: sessions?, next: AtomicUsize::new(0) })
    }

    /// A session that is free, else the next in turn.
    pub(super) fn session(&self) -> MutexGuard<'_, T> {
        // A panic while it was held leaves a session as usable as before: it keeps no state.
        let free = |session| match Mutex::try_lock(session) {
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Poisoned(held)) => Some(held.into_inner()),
            Ok(free) => Some(free),
        };
        if let Some(free) = self.sessions.iter().find_map(free) {
            return free;
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.sessions.len();
        self.sessions[turn].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Loads the runtime, once a process. Without this first, a library that can't be loaded is a
/// panic later on.
pub(super) fn start_runtime(library: &Path) -> Result<(), EmbedError> {
    if !library.is_file() {
        return Err(EmbedError::NoRuntime(library.to_owned()));
    }
    ort::init_from(library).map(drop).map_err(|error| EmbedError::Load {
        what: "ONNX Runtime library",
        path: library.to_owned(),
        problem: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_takes_no_session_out_of_use() {
        let number = AtomicUsize::new(0);
        let pool = Pool::new(2, || Ok(number.fetch_add(1, Ordering::Relaxed))).unwrap();
        let panics = || {
            let session = pool.session();
            assert_ne!(*session, 0, "on purpose");
        };
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).is_err());
        let (first, second) = (pool.session(), pool.session());
        assert_eq!((*first, *second), (0, 1));
    }

    #[test]
    fn a_runtime_that_is_none_is_an_error_not_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("libonnxruntime.so");
        std::fs::write(&library, "").unwrap();
        assert!(matches!(start_runtime(&library), Err(EmbedError::Load { .. })));
        let absent = start_runtime(&folder.path().join("absent")).unwrap_err().to_string();
        assert!(absent.contains("toolscout model pull"), "{absent}");
    }
}
