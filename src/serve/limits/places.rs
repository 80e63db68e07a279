//! Places that callers have.
//!
//! Invariant: a place counts for its caller until it is dropped, and of a caller who has none nothing is
//! kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Who;

/// Those that are taken; cheap to clone.
#[derive(Clone, Default)]
pub struct Places(Arc<Mutex<HashMap<Who, usize>>>);

impl Places {
    /// One more for this caller, if that may be with so many of its own and so many in all.
    pub fn take(&self, who: &Who, may: impl FnOnce(usize, usize) -> bool) -> Option<Place> {
        let mut taken = self.lock();
        let (own, all) = (taken.get(who).copied().unwrap_or(0), taken.values().sum());
        if !may(own, all) {
            return None;
        }
        taken.insert(who.clone(), own + 1);
        Some(Place { places: self.clone(), who: who.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Who, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of them.
pub struct Place {
    places: Places,
    who: Who,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        if let Some(own) = taken.get_mut(&self.who) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_for_each_and_in_all_until_they_are_given_back() {
        let (places, one, two) =
            (Places::default(), Who::Anybody, Who::Address([192, 0, 2, 1].into()));
        let first = places.take(&one, |own, all| (own, all) == (0, 0));
        let second = places.take(&one, |own, all| (own, all) == (1, 1));
        let other = places.take(&two, |own, all| (own, all) == (0, 2));
        assert!(first.is_some() && second.is_some() && other.is_some());
        assert!(places.take(&one, |_, _| false).is_none());
        drop((first, other));
        assert!(places.take(&two, |own, all| (own, all) == (0, 1)).is_some());
        drop(second);
        assert!(places.lock().is_empty());
    }
}
