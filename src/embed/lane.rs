//! Work on a query that does not belong on the async runtime, bounded in queue and time.
//!
//! Invariant: a caller waits no longer than its deadline, and work whose caller has gone is
//! dropped, not done: a burst ends in lexical answers, not in a queue.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::{Gauge, counter, gauge};
use tokio::sync::oneshot;

use super::{EmbedError, guarded};

/// Queries that may wait, for each thread.
const WAITING: usize = 16;

type Job = Box<dyn FnOnce() + Send>;

/// Threads that work on queries. They end when the lane is dropped.
pub struct Lane {
    name: String,
    jobs: SyncSender<Job>,
    deadline: Duration,
    /// Queries that wait for a thread.
    waiting: Gauge,
}

impl Lane {
    /// Starts `threads` threads, named after `name`.
    pub fn start(name: &str, threads: usize, deadline: Duration) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel(WAITING * threads.max(1));
        let queue = Arc::new(Mutex::new(queue));
        for at in 0..threads.max(1) {
            let queue = Arc::clone(&queue);
            std::thread::Builder::new()
                .name(format!("{name}-{at}"))
                .spawn(move || work_off(&queue))?;
        }
        let waiting = gauge!("toolscout_embed_queue_length", "lane" => name.to_owned());
        waiting.set(0.0);
        let lane = Self { name: name.to_owned(), jobs, deadline, waiting };
        for reason in ["busy", "deadline"] {
            lane.count(reason, 0);
        }
        Ok(lane)
    }

    /// Counts queries that were given up.
    fn count(&self, reason: &'static str, more: u64) {
        let name = self.name.clone();
        counter!("toolscout_embed_given_up_total", "lane" => name, "reason" => reason)
            .increment(more);
    }

    /// What `work` comes to, or why it does not in time. `work` is told when it is given up.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(Instant) -> Result<T, EmbedError> + Send + 'static,
    ) -> Result<T, EmbedError> {
        let (reply, answer) = oneshot::channel();
        let until = Instant::now() + self.deadline;
        let waiting = self.waiting.clone();
        waiting.increment(1.0);
        let job = move || {
            waiting.decrement(1.0);
            if !reply.is_closed() {
                let _ = reply.send(guarded(|| work(until)));
            }
        };
        self.jobs.try_send(Box::new(job)).map_err(|error| {
            self.waiting.decrement(1.0);
            self.count("busy", 1);
            match error {
                TrySendError::Full(_) => EmbedError::Busy,
                TrySendError::Disconnected(_) => EmbedError::Encoder("its threads ended".into()),
            }
        })?;
        match tokio::time::timeout_at(until.into(), answer).await {
            Ok(Ok(Err(EmbedError::Deadline(_)))) | Err(_) => {
                self.count("deadline", 1);
                Err(EmbedError::Deadline(self.deadline))
            }
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(EmbedError::Encoder("its threads ended".into())),
        }
    }
}

fn work_off(queue: &Mutex<Receiver<Job>>) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        job();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lane of one thread, and work that is done when it is let.
    fn lane(deadline: Duration) -> (Arc<Lane>, Gate, std::sync::mpsc::Sender<()>) {
        let (let_through, gate) = std::sync::mpsc::channel();
        let lane = Lane::start("test", 1, deadline).unwrap();
        (Arc::new(lane), Gate(Arc::new(Mutex::new(gate))), let_through)
    }

    #[derive(Clone)]
    struct Gate(Arc<Mutex<Receiver<()>>>);

    impl Gate {
        fn wait(self) -> impl FnOnce(Instant) -> Result<(), EmbedError> {
            move |_| {
                let _ = self.0.lock().unwrap().recv();
                Ok(())
            }
        }
    }

    #[tokio::test]
    async fn answers_in_time_or_says_that_it_did_not() {
        let (lane, gate, let_through) = lane(Duration::from_millis(20));
        let given_up = lane.run(gate.clone().wait()).await;
        assert!(matches!(given_up, Err(EmbedError::Deadline(_))));
        let_through.send(()).unwrap();
        let_through.send(()).unwrap();
        assert!(lane.run(gate.wait()).await.is_ok());
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let (lane, gate, _let_through) = lane(Duration::from_mins(1));
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..=WAITING + 1 {
            let (lane, gate) = (Arc::clone(&lane), gate.clone());
            waiting.spawn(async move { lane.run(gate.wait()).await });
        }
        // All but one of them can wait (one more while the thread holds its own).
        let refused = waiting.join_next().await.unwrap().unwrap();
        assert!(matches!(refused, Err(EmbedError::Busy)));
    }

    #[tokio::test]
    async fn a_panic_costs_one_answer() {
        let (lane, _, _) = lane(Duration::from_mins(1));
        let panics = lane.run(|_| -> Result<(), _> { panic!("on purpose") }).await;
        assert!(matches!(panics, Err(EmbedError::Panicked)));
        assert_eq!(lane.run(|_| Ok(1)).await.unwrap(), 1);
    }
}
