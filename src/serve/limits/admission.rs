//! Who is refused before anything else is done for them, while there is more to do than can be done.
//!
//! A refusal at the end of the way to a seat costs as much as taking the request in. Once one was
//! needed, only as many requests are let in as can be seated within the target, and the rest are
//! told at the entrance: work that ends in a refusal takes the time of work that would not (receive
//! livelock; Mogul and Ramakrishnan, 1997). They are told at a pace, too: who is refused and asks
//! again at once would take what was saved.
//!
//! Invariant: who has nothing on the way is let in, however much others have; the others share what
//! there is room for. Nobody waits for a refusal longer than for a seat. When for as long as a request may wait nobody had to be refused, all are let
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
    /// The longest wait for a seat; as long nobody has to be refused before all are let in again.
    wait: Duration,
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
    /// When the last refusal is told.
    told: Instant,
}

/// The least room: what is seated between two looks at what came in.
const LEAST_ROOM: usize = 8;
/// Refusals that are told in the time in which one request is seated.
const REFUSALS: usize = 4;

impl Admission {
    /// All are let in at first.
    pub fn new(wait: Duration, target: Duration) -> Self {
        let state = State {
            on_the_way: HashMap::new(),
            pressed_until: None,
            seated: 0,
            since: Instant::now(),
            room: LEAST_ROOM,
            told: Instant::now(),
        };
        let state = Mutex::new(state);
        Self(Arc::new(Inner { wait, target, hasher: RandomState::new(), state }))
    }

    /// Lets a request in, or says after how long it is to be refused. `claimant` is whatever tells its
    /// sender apart.
    pub fn enter(&self, claimant: impl Hash) -> Result<Entered, Duration> {
        let claimant = self.0.hasher.hash_one(claimant);
        let mut state = self.0.lock();
        if let Some(until) = state.pressed_until {
            let own = state.on_the_way.get(&claimant).copied().unwrap_or(0);
            let claimants = state.on_the_way.len() + usize::from(own == 0);
            let now = Instant::now();
            if own > 0 && own >= state.room.div_ceil(claimants) {
                let Inner { wait, target, .. } = *self.0;
                state.pressed_until = Some(now + wait);
                let pace = target / u32::try_from(REFUSALS * state.room).unwrap_or(u32::MAX);
                state.told = (state.told + pace).max(now + target).min(now + wait);
                return Err(state.told - now);
            }
            if now >= until {
                state.pressed_until = None;
            }
        }
        *state.on_the_way.entry(claimant).or_default() += 1;
        drop(state);
        Ok(Entered(Arc::new(Pass { inner: Arc::clone(&self.0), claimant })))
    }

    /// A request that was let in had to be refused.
    pub fn press(&self) {
        self.0.lock().pressed_until = Some(Instant::now() + self.0.wait);
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

    const WAIT: Duration = Duration::from_secs(1);
    const TARGET: Duration = Duration::from_millis(50);

    fn crowd(admission: &Admission, claimant: &str, count: usize) -> Vec<Entered> {
        (0..count).filter_map(|_| admission.enter(claimant).ok()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn all_are_let_in_until_one_had_to_be_refused() {
        let admission = Admission::new(WAIT, TARGET);
        assert_eq!(crowd(&admission, "one", 1_000).len(), 1_000);
        let on_the_way = crowd(&admission, "one", 20);
        admission.press();
        assert!(admission.enter("one").is_err());
        drop(on_the_way);
        assert_eq!(crowd(&admission, "one", 1_000).len(), LEAST_ROOM);
    }

    #[tokio::test(start_paused = true)]
    async fn claimants_share_and_who_has_nothing_on_the_way_is_let_in() {
        let admission = Admission::new(WAIT, TARGET);
        admission.press();
        let greedy = crowd(&admission, "greedy", 1_000);
        assert_eq!(greedy.len(), LEAST_ROOM);
        let modest = crowd(&admission, "modest", 1_000);
        assert_eq!(modest.len(), LEAST_ROOM / 2);
        let many: Vec<_> = (0..100).filter_map(|number| admission.enter(number).ok()).collect();
        assert_eq!(many.len(), 100);
        // Those who took more than their share wait until it is no more than that.
        drop(many);
        assert!(admission.enter("greedy").is_err());
        drop(greedy);
        assert_eq!(crowd(&admission, "greedy", 1_000).len(), LEAST_ROOM / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_room_for_what_was_seated_within_the_target() {
        let admission = Admission::new(WAIT, TARGET);
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
        admission.press();
        assert_eq!(crowd(&admission, "one", 1_000).len(), LEAST_ROOM);
    }

    #[tokio::test(start_paused = true)]
    async fn when_nobody_had_to_be_refused_for_a_while_all_are_let_in() {
        let admission = Admission::new(WAIT, TARGET);
        admission.press();
        let on_the_way = crowd(&admission, "one", 1_000);
        tokio::time::advance(WAIT / 2).await;
        assert!(admission.enter("one").is_err());
        drop(on_the_way);
        tokio::time::advance(WAIT / 2).await;
        assert_eq!(crowd(&admission, "one", 1_000).len(), LEAST_ROOM);
        tokio::time::advance(WAIT).await;
        assert_eq!(crowd(&admission, "one", 1_000).len(), 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_are_told_at_a_pace_and_none_later_than_the_longest_wait() {
        let admission = Admission::new(WAIT, TARGET);
        admission.press();
        let _on_the_way = crowd(&admission, "one", LEAST_ROOM);
        let refused: Vec<_> = (0..1_000).map(|_| admission.enter("one").err().unwrap()).collect();
        assert_eq!(refused[0], TARGET);
        // Four for each of the eight that are seated within 50 ms.
        assert_eq!(refused[320], TARGET * 11);
        assert_eq!(refused[999], WAIT);
        // As soon as fewer come they are told as soon as at first.
        tokio::time::advance(WAIT * 2).await;
        admission.press();
        assert_eq!(admission.enter("one").err(), Some(TARGET));
    }
}
