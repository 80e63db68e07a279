//! Who is refused before anything else is done for them, while there is more to do than can be done.
//!
//! A refusal at the end of the way to a seat costs as much as taking the request in. Once one was
//! needed, only as many requests are let in as can be seated within the target, and the rest are
//! told at the entrance: work that ends in a refusal takes the time of work that would not (receive
//! livelock; Mogul and Ramakrishnan, 1997). They are told at a pace, too: who is refused and asks
//! again at once would take what was saved.
//!
//! Invariant: who has nothing on the way is let in, however much others have, and everybody is while
//! there is a seat to be had. Else addresses share what there is room for, and of an address those
//! whom what they show tells apart: that is not checked here, so whoever invents credentials takes
//! from their own address. Nobody waits for a refusal longer than for a seat. When for as long as a
//! request may wait nobody had to be refused, all are let in again.

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
    /// Requests of each claimant of each address.
    on_the_way: HashMap<u64, HashMap<u64, usize>>,
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

    /// Lets a request in, or says after how long it is to be refused. `shown` is whatever tells its
    /// sender from others of the `address`; `has_seat` says whether there is one to be had.
    pub fn enter(
        &self,
        address: impl Hash,
        shown: impl Hash,
        has_seat: impl FnOnce() -> bool,
    ) -> Result<Entered, Duration> {
        let hasher = &self.0.hasher;
        let claimant =
            Claimant { address: hasher.hash_one(address), shown: hasher.hash_one(shown) };
        let mut state = self.0.lock();
        if let Some(until) = state.pressed_until {
            let now = Instant::now();
            if state.has_share(claimant) && !has_seat() {
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
        state.add(claimant);
        drop(state);
        Ok(Entered(Arc::new(Pass { inner: Arc::clone(&self.0), claimant })))
    }

    /// Who was let in, and has left the way, is on it again.
    pub fn again(&self, claimant: Claimant) -> Entered {
        self.0.lock().add(claimant);
        Entered(Arc::new(Pass { inner: Arc::clone(&self.0), claimant }))
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

impl State {
    /// It has what it may have on the way, and something.
    fn has_share(&self, Claimant { address, shown }: Claimant) -> bool {
        let Some(neighbours) = self.on_the_way.get(&address) else { return false };
        let own = neighbours.get(&shown).copied().unwrap_or(0);
        let of_address = self.room.div_ceil(self.on_the_way.len());
        own > 0 && own >= of_address.div_ceil(neighbours.len())
    }

    fn add(&mut self, Claimant { address, shown }: Claimant) {
        *self.on_the_way.entry(address).or_default().entry(shown).or_default() += 1;
    }

    fn remove(&mut self, Claimant { address, shown }: Claimant) {
        let Some(neighbours) = self.on_the_way.get_mut(&address) else { return };
        if let Some(count) = neighbours.get_mut(&shown) {
            *count -= 1;
            if *count == 0 {
                neighbours.remove(&shown);
            }
        }
        if neighbours.is_empty() {
            self.on_the_way.remove(&address);
        }
    }
}

/// Whose request it is, as far as it is known at the entrance.
#[derive(Debug, Clone, Copy)]
pub struct Claimant {
    address: u64,
    shown: u64,
}

/// A request that was let in is on the way until all of these are dropped. It goes with the request.
#[derive(Clone)]
pub struct Entered(Arc<Pass>);

impl Entered {
    /// Whose it is.
    pub fn claimant(&self) -> Claimant {
        self.0.claimant
    }
}

struct Pass {
    inner: Arc<Inner>,
    claimant: Claimant,
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.inner.lock().remove(self.claimant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(1);
    const TARGET: Duration = Duration::from_millis(50);

    fn enter(admission: &Admission, claimant: &str) -> Result<Entered, Duration> {
        admission.enter("here", claimant, || false)
    }

    fn crowd(admission: &Admission, claimant: &str, count: usize) -> Vec<Entered> {
        (0..count).filter_map(|_| enter(admission, claimant).ok()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn all_are_let_in_until_one_had_to_be_refused() {
        let admission = Admission::new(WAIT, TARGET);
        assert_eq!(crowd(&admission, "one", 1_000).len(), 1_000);
        let on_the_way = crowd(&admission, "one", 20);
        admission.press();
        assert!(enter(&admission, "one").is_err());
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
        let many: Vec<_> =
            (0..100).filter_map(|number| enter(&admission, &number.to_string()).ok()).collect();
        assert_eq!(many.len(), 100);
        // Those who took more than their share wait until it is no more than that.
        drop(many);
        assert!(enter(&admission, "greedy").is_err());
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
        assert!(enter(&admission, "one").is_err());
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
        let refused: Vec<_> = (0..1_000).map(|_| enter(&admission, "one").err().unwrap()).collect();
        assert_eq!(refused[0], TARGET);
        // Four for each of the eight that are seated within 50 ms.
        assert_eq!(refused[320], TARGET * 11);
        assert_eq!(refused[999], WAIT);
        // As soon as fewer come they are told as soon as at first.
        tokio::time::advance(WAIT * 2).await;
        admission.press();
        assert_eq!(enter(&admission, "one").err(), Some(TARGET));
    }

    #[tokio::test(start_paused = true)]
    async fn credentials_that_somebody_invents_take_from_their_own_address() {
        let admission = Admission::new(WAIT, TARGET);
        admission.press();
        let invented: Vec<_> =
            (0..100).filter_map(|number| admission.enter("there", number, || false).ok()).collect();
        assert_eq!(invented.len(), 100);
        assert_eq!(crowd(&admission, "one", 1_000).len(), LEAST_ROOM / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn while_there_is_a_seat_to_be_had_all_are_let_in_and_it_does_not_go_on() {
        let admission = Admission::new(WAIT, TARGET);
        admission.press();
        let _on_the_way = crowd(&admission, "one", LEAST_ROOM);
        assert!(enter(&admission, "one").is_err());
        let in_time: Vec<_> =
            (0..100).filter_map(|_| admission.enter("here", "one", || true).ok()).collect();
        assert_eq!(in_time.len(), 100);
        tokio::time::advance(WAIT).await;
        assert!(admission.enter("here", "one", || true).is_ok());
        assert!(enter(&admission, "one").is_ok());
    }
}
