//! Where evaluations rank: one thread for the whole process, which gives way to every other.
//!
//! Invariant: whatever is evaluated, for however many tenants, searching has lost one thread of the
//! lowest priority at most; queries of several evaluations take turns, and all that are held for them
//! together take no more than [`MOST_HELD`], or are those of one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use rayon::{ThreadPool, ThreadPoolBuilder};

/// As nice as a thread can be.
#[cfg(target_os = "linux")]
const NICEST: i32 = 19;

/// Bytes of the queries of all evaluations that wait or are at work.
const MOST_HELD: usize = 256 << 20;

/// That thread, started when there is work for it; clones share it.
#[derive(Clone, Default)]
pub struct Bench(Arc<Inner>);

#[derive(Default)]
struct Inner {
    pool: OnceLock<Option<ThreadPool>>,
    held: AtomicUsize,
}

/// Room for queries, until it is dropped.
pub(super) struct Held {
    bench: Bench,
    pub bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.bench.0.held.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

impl Bench {
    /// Room for so many bytes of queries, if there is so much, or nothing is held.
    pub(super) fn hold(&self, bytes: usize) -> Option<Held> {
        let more = |held| (held == 0 || held + bytes <= MOST_HELD).then_some(held + bytes);
        let held = self.0.held.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more);
        held.ok().map(|_| Held { bench: self.clone(), bytes })
    }

    /// What `work` comes to. Whoever asks waits for its turn.
    pub fn work<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match self.0.pool.get_or_init(start) {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }
}

/// Where the system gives no thread, work is done on the thread of whoever asks.
fn start() -> Option<ThreadPool> {
    let builder = ThreadPoolBuilder::new().num_threads(1).thread_name(|_| "evaluate-bench".into());
    let pool = builder.start_handler(|_| give_way()).build();
    pool.inspect_err(|error| tracing::warn!(%error, "evaluations have no thread apart")).ok()
}

/// On Linux a priority is a thread's own. Elsewhere it would be that of the process.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICEST) {
        tracing::debug!(%error, "evaluations have the priority of all threads");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_work_is_on_one_thread_which_is_another() {
        let bench = Bench::default();
        let thread = |bench: &Bench| bench.work(|| std::thread::current().id());
        assert_eq!(thread(&bench), thread(&bench.clone()));
        assert_ne!(thread(&bench), std::thread::current().id());
    }

    #[test]
    fn what_is_held_is_bounded_but_for_the_only_one() {
        let bench = Bench::default();
        let large = bench.hold(MOST_HELD * 2);
        assert!(large.is_some() && bench.clone().hold(1).is_none());
        drop(large);
        let half = bench.hold(MOST_HELD / 2).unwrap();
        let other = bench.hold(MOST_HELD / 2);
        assert!(other.is_some() && bench.hold(1).is_none());
        drop((half, other));
        assert_eq!(bench.0.held.load(Ordering::SeqCst), 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn that_thread_gives_way_and_no_other_does() {
        let priority = || rustix::process::getpriority_process(None).unwrap();
        let before = priority();
        assert_eq!(Bench::default().work(priority), NICEST);
        assert_eq!(priority(), before);
    }
}
