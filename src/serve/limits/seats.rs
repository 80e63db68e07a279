//! How many requests are worked on at once, and who of those that wait is next.
//!
//! Invariant: there are never more seats taken than there are; one that is free while somebody
//! waits is given to whoever's turn it is; and nobody waits longer than the bounds, which become
//! tighter while the queue does not empty (controlled delay, as in `CoDel`): then a request that
//! would be answered late is refused early, and those that are answered are answered soon.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::gauge;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Who;
use super::metrics::QUEUED;
use super::queue::{FairQueue, Queued};

/// The bounds of waiting.
#[derive(Debug, Clone, Copy)]
pub struct Waiting {
    /// Requests that may wait.
    pub most: usize,
    /// The same, of one caller.
    pub most_each: usize,
    /// For so long.
    pub wait: Duration,
    /// For so long, while the queue has not been empty for as long as `wait`.
    pub target: Duration,
}

/// Why somebody gets no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shed {
    /// Too many wait already.
    Full,
    /// It waited too long.
    Late,
}

/// The seats; cheap to clone.
#[derive(Clone)]
pub struct Seats(Arc<Inner>);

struct Inner {
    waiting: Waiting,
    room: Mutex<Room>,
}

struct Room {
    free: usize,
    queue: FairQueue<Who, Waiter>,
    /// When nobody waited last.
    emptied: Instant,
}

struct Waiter {
    since: Instant,
    turn: oneshot::Sender<Result<Seat, Shed>>,
}

impl Seats {
    /// So many, all free.
    pub fn new(count: usize, waiting: Waiting) -> Self {
        let queue = FairQueue::within(waiting.most, waiting.most_each);
        let room = Room { free: count, queue, emptied: Instant::now() };
        Self(Arc::new(Inner { waiting, room: Mutex::new(room) }))
    }

    /// There is one for whoever comes.
    pub fn are_free(&self) -> bool {
        let room = self.0.lock();
        room.free > 0 && room.queue.is_empty()
    }

    /// A seat, at once if one is free, else when it is this caller's turn.
    pub async fn take(&self, who: &Who) -> Result<Seat, Shed> {
        let (number, turn) = {
            let mut room = self.0.lock();
            if room.queue.is_empty() {
                room.emptied = Instant::now();
                if room.free > 0 {
                    room.free -= 1;
                    return Ok(Seat(Some(self.clone())));
                }
            }
            let (sender, turn) = oneshot::channel();
            let waiter = Waiter { since: Instant::now(), turn: sender };
            let queued = room.queue.push(who, waiter);
            let Queued { number, pushed_out } = queued.map_err(|_| Shed::Full)?;
            if let Some(out) = pushed_out {
                let _ = out.turn.send(Err(Shed::Full));
            }
            room.tell();
            (number, turn)
        };
        let _place = Place { seats: self, who, number };
        match tokio::time::timeout(self.0.waiting.wait, turn).await {
            Ok(Ok(turn)) => turn,
            _ => Err(Shed::Late),
        }
    }

    /// A seat is free: whoever's turn it is gets it.
    fn freed(&self) {
        let mut room = self.0.lock();
        loop {
            let now = Instant::now();
            let Some(next) = room.queue.pop() else {
                room.emptied = now;
                room.free += 1;
                break;
            };
            let Waiting { wait, target, .. } = self.0.waiting;
            let is_standing = now.duration_since(room.emptied) > wait;
            let bound = if is_standing { target } else { wait };
            if now.duration_since(next.since) > bound {
                let _ = next.turn.send(Err(Shed::Late));
                continue;
            }
            match next.turn.send(Ok(Seat(Some(self.clone())))) {
                Ok(()) => break,
                // Nobody waits there any more, and the seat must not come back here by itself.
                Err(Ok(mut seat)) => seat.0 = None,
                Err(Err(_)) => {}
            }
        }
        room.tell();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    #[expect(clippy::cast_precision_loss, reason = "the queue is far shorter than 2^52")]
    fn tell(&self) {
        gauge!(QUEUED).set(self.queue.len() as f64);
    }
}

/// A seat, until it is dropped.
pub struct Seat(Option<Seats>);

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(seats) = self.0.take() {
            seats.freed();
        }
    }
}

/// A place in the queue; who goes leaves none behind.
struct Place<'a> {
    seats: &'a Seats,
    who: &'a Who,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut room = self.seats.0.lock();
        if room.queue.remove(self.who, self.number).is_some() {
            room.tell();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn waiting() -> Waiting {
        Waiting {
            most: 8,
            most_each: 4,
            wait: Duration::from_secs(1),
            target: Duration::from_millis(50),
        }
    }

    fn who(number: u8) -> Who {
        Who::Address([10, 0, 0, number].into())
    }

    fn length(seats: &Seats) -> usize {
        seats.0.lock().queue.len()
    }

    #[tokio::test(start_paused = true)]
    async fn seats_are_given_in_turn_and_come_back() {
        let seats = Seats::new(1, waiting());
        let first = seats.take(&who(1)).await.unwrap();
        let (greedy, modest) = (who(1), who(2));
        let mut second = Box::pin(seats.take(&greedy));
        let mut third = Box::pin(seats.take(&greedy));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        let mut other = Box::pin(seats.take(&modest));
        assert!(other.as_mut().now_or_never().is_none());
        drop(first);
        let second = second.await.unwrap();
        assert!(third.as_mut().now_or_never().is_none());
        drop(second);
        // The other caller is before the first one's next.
        let other = other.await.unwrap();
        assert!(third.as_mut().now_or_never().is_none());
        drop(other);
        drop(third.await.unwrap());
        assert_eq!((length(&seats), seats.0.lock().free), (0, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_leaves_no_place_and_takes_no_seat_along() {
        let seats = Seats::new(1, waiting());
        let first = seats.take(&who(1)).await.unwrap();
        let two = who(2);
        let mut gone = Box::pin(seats.take(&two));
        assert!(gone.as_mut().now_or_never().is_none());
        assert_eq!(length(&seats), 1);
        drop(gone);
        assert_eq!(length(&seats), 0);
        // Given a seat, and gone before it saw it.
        let mut gone = Box::pin(seats.take(&two));
        assert!(gone.as_mut().now_or_never().is_none());
        drop(first);
        drop(gone);
        assert_eq!(seats.0.lock().free, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_is_bounded_and_so_is_the_wait() {
        let seats = Seats::new(1, waiting());
        let _first = seats.take(&who(1)).await.unwrap();
        let one = who(1);
        let mut waiters: Vec<_> = (0..4).map(|_| Box::pin(seats.take(&one))).collect();
        for waiter in &mut waiters {
            assert!(waiter.as_mut().now_or_never().is_none());
        }
        assert_eq!(seats.take(&one).await.err(), Some(Shed::Full));
        for waiter in waiters {
            assert_eq!(waiter.await.err(), Some(Shed::Late));
        }
        assert_eq!(length(&seats), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_queue_stands_nobody_waits_past_the_target() {
        let seats = Seats::new(1, waiting());
        let mut held = Some(seats.take(&who(1)).await.unwrap());
        // A burst is served to its end, however long some wait.
        let (one, two) = (who(1), who(2));
        let mut burst: Vec<_> = (0..4).map(|_| Box::pin(seats.take(&one))).collect();
        for waiter in &mut burst {
            assert!(waiter.as_mut().now_or_never().is_none());
        }
        for waiter in burst {
            tokio::time::advance(Duration::from_millis(200)).await;
            drop(held.take());
            held = Some(waiter.await.unwrap());
        }
        // But a queue that has not been empty for a second is kept short.
        let mut late = Box::pin(seats.take(&two));
        assert!(late.as_mut().now_or_never().is_none());
        tokio::time::advance(Duration::from_millis(100)).await;
        let mut fresh = Box::pin(seats.take(&one));
        assert!(fresh.as_mut().now_or_never().is_none());
        seats.0.lock().emptied = Instant::now() - Duration::from_secs(2);
        drop(held.take());
        assert_eq!(late.await.err(), Some(Shed::Late));
        assert!(fresh.await.is_ok());
    }
}
