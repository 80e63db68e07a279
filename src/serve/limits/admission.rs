//! Who is refused before anything else is done for them, while there is more to do than can be done.
//!
//! A refusal at the end of the way to a seat costs as much as taking the request in. Once one was
//! needed, only as many requests are let in as can be seated within the target, and the rest are
//! told at the entrance: work that ends in a refusal takes the time of work that would not (receive
//! livelock; Mogul and Ramakrishnan, 1997).
//!
//! Invariant: who has nothing on the way is let in, however much others have; the others share what
//! there is room for. When for as long as a request may wait nobody had to be refused, all are let
//! in again. What a claimant shows is not checked here: it is told apart by it, and no more.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What is let in, and who is on the way; cheap to clone.
#[derive(Clone)]
pub struct Admission(Arc<Inner>);

struct Inner {
    /// For how long there is no more to do than can be done, before all are let in.
    calm: Duration,
    /// Within what time a request that is let in is to be seated.
    target: Duration,
    hasher: RandomState,
    state: Mutex<State>,
}

struct State {
    on_the_way: HashMap<u64, usize>,
    /// Until then only a share is let in.
    pressed_until: Option<Instant>,
    /// Requests that got a seat since `since`, and within a target's time before that.
    seated: usize,
    since: Instant,
    room: usize,
}

/// The least room: what is seated between two looks at what came in.
const LEAST_ROOM: usize = 8;

impl Admission {
    /// All are let in at first.
    pub fn new(calm: Duration, target: Duration) -> Self {
        let state = State {
            on_the_way: HashMap::new(),
            pressed_until: None,
            seated: 0,
            since: Instant::now(),
            room: LEAST_ROOM,
        };
        let state = Mutex::new(state);
        Self(Arc::new(Inner { calm, target, hasher: RandomState::new(), state }))
    }

    /// Lets a request in, or not. `claimant` is whatever tells its sender apart.
    pub fn enter(&self, claimant: impl Hash) -> Option<Entered> {
        let claimant = self.0.hasher.hash_one(claimant);
        let mut state = self.0.lock();
        if let Some(until) = state.pressed_until {
            let own = state.on_the_way.get(&claimant).copied().unwrap_or(0);
            let claimants = state.on_the_way.len() + usize::from(own == 0);
            let now = Instant::now();
            if own > 0 && own >= state.room.div_ceil(claimants) {
                state.pressed_until = Some(now + self.0.calm);
                return None;
            }
            if now >= until {
                state.pressed_until = None;
            }
        }
        *state.on_the_way.entry(claimant).or_default() += 1;
        drop(state);
        Some(Entered(Arc::new(Pass { inner: Arc::clone(&self.0), claimant })))
    }

    /// A request that was let in had to be refused.
    pub fn press(&self) {
        self.0.lock().pressed_until = Some(Instant::now() + self.0.calm);
    }

    /// A request got a seat.
    pub fn seated(&self) {
        let mut state = self.0.lock();
        state.seated += 1;
        let (now, target) = (Instant::now(), self.0.target);
        let took = now.duration_since(state.since);
        if took >= target {
            // As many as in a target's time; what came in a longer one was all that there was.
            let parts = usize::try_from(took.as_nanos() / target.as_nanos().max(1));
            let room = state.seated / parts.unwrap_or(usize::MAX).max(1);
            state.room = room.max(LEAST_ROOM);
            (state.seated, state.since) = (0, now);
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that was let in is on the way until all of these are dropped. It goes with the request.
#[derive(Clone)]
pub struct Entered(#[expect(dead_code, reason = "it is there to be dropped")] Arc<Pass>);

struct Pass {
    inner: Arc<Inner>,
    claimant: u64,
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        let Some(count) = state.on_the_way.get_mut(&self.claimant) else { return };
        *count -= 1;
        if *count == 0 {
            state.on_the_way.remove(&self.claimant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Duration = Duration::from_secs(1);
    const TARGET: Duration = Duration::from_millis(50);

    fn crowd(admission: &Admission, claimant: &str, count: usize) -> Vec<Entered> {
        (0..count).filter_map(|_| admission.enter(claimant)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn all_are_let_in_until_one_had_to_be_refused() {
        let admission = Admission::new(CALM, TARGET);
        assert_eq!(crowd(&admission, "one", 1_000).len(), 1_000);
        let on_the_way = crowd(&admission, "one", 20);
        admission.press();
        assert!(admission.enter("one").is_none());
        drop(on_the_way);
        assert_eq!(crowd(&admission, "one", 1_000).len(), LEAST_ROOM);
    }

    #[tokio::test(start_paused = true)]
    async fn claimants_share_and_who_has_nothing_on_the_way_is_let_in() {
        let admission = Admission::new(CALM, TARGET);
        admission.press();
        let greedy = crowd(&admission, "greedy", 1_000);
        assert_eq!(greedy.len(), LEAST_ROOM);
        let modest = crowd(&admission, "modest", 1_000);
        assert_eq!(modest.len(), LEAST_ROOM / 2);
        let many: Vec<_> = (0..100).filter_map(|number| admission.enter(number)).collect();
        assert_eq!(many.len(), 100);
        // Those who took more than their share wait until it is no more than that.
        drop(many);
        assert!(admission.enter("greedy").is_none());
        drop(greedy);
        assert_eq!(crowd(&admission, "greedy", 1_000).len(), LEAST_ROOM / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_room_for_what_was_seated_within_the_target() {
        let admission = Admission::new(CALM, TARGET);
        admission.press();
        for _ in 0..100 {
            tokio::time::advance(Duration::from_millis(1)).await;
            admission.seated();
        }
        assert_eq!(crowd(&admission, "one", 1_000).len(), 50);
        for _ in 0..60 {
            tokio::time::advance(Duration::from_millis(100)).await;
            admission.seated();
        }
        assert_eq!(crowd(&admission, "one", 1_000).len(), LEAST_ROOM);
    }

    #[tokio::test(start_paused = true)]
    async fn when_nobody_had_to_be_refused_for_a_while_all_are_let_in() {
        let admission = Admission::new(CALM, TARGET);
        admission.press();
        let on_the_way = crowd(&admission, "one", 1_000);
        tokio::time::advance(CALM / 2).await;
        assert!(admission.enter("one").is_none());
        drop(on_the_way);
        tokio::time::advance(CALM / 2).await;
        assert_eq!(crowd(&admission, "one", 1_000).len(), LEAST_ROOM);
        tokio::time::advance(CALM).await;
        assert_eq!(crowd(&admission, "one", 1_000).len(), 1_000);
    }
}
