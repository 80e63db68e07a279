//! Where evaluations rank: one thread for the whole process, which gives way to every other.
//!
//! Invariant: whatever is evaluated, for however many tenants, searching has lost one thread of the
//! lowest priority at most; queries of several evaluations take turns.

use std::sync::{Arc, OnceLock};

use rayon::{ThreadPool, ThreadPoolBuilder};

/// As nice as a thread can be.
#[cfg(target_os = "linux")]
const NICEST: i32 = 19;

/// That thread, started when there is work for it; clones share it.
#[derive(Clone, Default)]
pub struct Bench(Arc<OnceLock<Option<ThreadPool>>>);

impl Bench {
    /// What `work` comes to. Whoever asks waits for its turn.
    pub fn work<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match self.0.get_or_init(start) {
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

    #[cfg(target_os = "linux")]
    #[test]
    fn that_thread_gives_way_and_no_other_does() {
        let priority = || rustix::process::getpriority_process(None).unwrap();
        let before = priority();
        assert_eq!(Bench::default().work(priority), NICEST);
        assert_eq!(priority(), before);
    }
}
