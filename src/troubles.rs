//! What is wrong with this process itself: told by whoever notices, read by whoever watches over it.
//!
//! Invariant: each part has one word, its latest, and none once it works again. A text is for those
//! who may ask how this toolscout does: it holds no secret and no path.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A handle on what is wrong; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Troubles(Arc<Mutex<BTreeMap<&'static str, String>>>);

impl Troubles {
    /// `part` does not work, and why.
    pub fn set(&self, part: &'static str, why: impl Into<String>) {
        self.lock().insert(part, why.into());
    }

    /// `part` works.
    pub fn clear(&self, part: &'static str) {
        self.lock().remove(part);
    }

    /// Everything that is wrong, by part.
    pub fn all(&self) -> BTreeMap<&'static str, String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
