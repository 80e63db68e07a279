//! The answers that were given lately: an agent host asks the same again at every turn.
//!
//! Invariant: an answer is kept for one generation, profile and query, whole, and only where nothing
//! stood in for what is configured; so a kept answer is the one that would be made now. All are let
//! go when a generation, an encoder or a reranker takes the place of another: they hold its tools.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};

use crate::search::{Query, Served};

/// How much is kept, by an estimate of bytes.
const MOST_BYTES: u64 = 8 << 20;
/// What a hit takes beside its tool, which the catalog has.
const HIT_BYTES: usize = 128;

/// Generation, profile and query of each.
type Key = (u64, Option<Arc<str>>, Query);

/// The answers.
pub(super) struct Answers(Cache<Key, Served, Weight>);

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Served> for Weight {
    fn weight(&self, (_, _, query): &Key, served: &Served) -> u64 {
        let text: usize = query.texts.iter().map(String::len).sum();
        let shown = served.hits.iter().map(|hit| 1 + hit.duplicates.len()).sum::<usize>();
        // What was explained is long, and rarely asked for twice.
        let times = if query.explain || query.why.is_some() { 16 } else { 1 };
        ((text + times * HIT_BYTES * (1 + shown)) as u64).max(1)
    }
}

/// A key that is looked up.
struct Wanted<'a>(u64, Option<&'a Arc<str>>, &'a Query);

impl Hash for Wanted<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0, self.1, self.2).hash(state);
    }
}

impl Equivalent<Key> for Wanted<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.0 == key.0 && self.1 == key.1.as_ref() && *self.2 == key.2
    }
}

impl Answers {
    /// None yet.
    pub fn new() -> Self {
        Self(Cache::with_weighter(1_000, MOST_BYTES, Weight))
    }

    /// What `query` was answered with in this generation, for this profile.
    pub fn get(
        &self,
        generation: u64,
        profile: Option<&Arc<str>>,
        query: &Query,
    ) -> Option<Served> {
        self.0.get(&Wanted(generation, profile, query))
    }

    /// Keeps an answer.
    pub fn keep(
        &self,
        generation: u64,
        profile: Option<&Arc<str>>,
        query: &Query,
        served: &Served,
    ) {
        self.0.insert((generation, profile.cloned(), query.clone()), served.clone());
    }
}
