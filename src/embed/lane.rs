//! Query embedding off the async runtime, bounded in queue and time.
//!
//! Invariant: a caller waits no longer than its deadline, and work whose caller has gone is
//! dropped, not done: a burst ends in lexical answers, not in a queue.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::{EmbedError, Embedder};

/// Queries that may wait, for each thread.
const WAITING: usize = 16;

struct Job {
    text: String,
    reply: oneshot::Sender<Result<Vec<f32>, EmbedError>>,
}

/// Threads that embed queries. They end when the lane is dropped.
pub struct Lane {
    jobs: SyncSender<Job>,
    deadline: Duration,
}

impl Lane {
    /// Starts `threads` threads on `embedder`.
    pub fn start(
        embedder: &Arc<dyn Embedder>,
        threads: usize,
        deadline: Duration,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel(WAITING * threads.max(1));
        let queue = Arc::new(Mutex::new(queue));
        for at in 0..threads.max(1) {
            let (queue, embedder) = (Arc::clone(&queue), Arc::clone(embedder));
            std::thread::Builder::new()
                .name(format!("embed-query-{at}"))
                .spawn(move || work(&queue, &*embedder))?;
        }
        Ok(Self { jobs, deadline })
    }

    /// The vector of `text`, or why there is none in time.
    pub async fn embed(&self, text: String) -> Result<Vec<f32>, EmbedError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.try_send(Job { text, reply }).map_err(|error| match error {
            TrySendError::Full(_) => EmbedError::Busy,
            TrySendError::Disconnected(_) => EmbedError::Encoder("its threads ended".into()),
        })?;
        match tokio::time::timeout(self.deadline, answer).await {
            Ok(Ok(vector)) => vector,
            Ok(Err(_)) => Err(EmbedError::Encoder("it panicked on this text".into())),
            Err(_) => Err(EmbedError::Deadline(self.deadline)),
        }
    }
}

fn work(queue: &Mutex<Receiver<Job>>, embedder: &dyn Embedder) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { text, reply }) = job else { return };
        if reply.is_closed() {
            continue;
        }
        // A panic inside the encoder must cost one answer, not the thread.
        let result =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| embedder.embed(&text)));
        if let Ok(result) = result {
            let _ = reply.send(result);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Embeds when it is let; panics on `panic`.
    struct Gate(Mutex<std::sync::mpsc::Receiver<()>>);
    impl Embedder for Gate {
        fn id(&self) -> &'static str {
            "gate"
        }
        fn dims(&self) -> usize {
            1
        }
        fn embed(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
            assert_ne!(text, "panic");
            let _ = self.0.lock().unwrap().recv();
            Ok(vec![1.0])
        }
    }

    fn lane(deadline: Duration) -> (Lane, std::sync::mpsc::Sender<()>) {
        let (let_through, gate) = std::sync::mpsc::channel();
        let embedder: Arc<dyn Embedder> = Arc::new(Gate(Mutex::new(gate)));
        (Lane::start(&embedder, 1, deadline).unwrap(), let_through)
    }

    #[tokio::test]
    async fn answers_in_time_or_says_that_it_did_not() {
        let (lane, let_through) = lane(Duration::from_millis(20));
        assert!(matches!(lane.embed("x".into()).await, Err(EmbedError::Deadline(_))));
        let_through.send(()).unwrap();
        let_through.send(()).unwrap();
        assert_eq!(lane.embed("y".into()).await.unwrap(), [1.0]);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let (lane, _gate) = lane(Duration::from_mins(1));
        let lane = Arc::new(lane);
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..=WAITING + 1 {
            let lane = Arc::clone(&lane);
            waiting.spawn(async move { lane.embed("x".into()).await });
        }
        // All but one of them can wait (one more while the thread holds its own).
        let refused = waiting.join_next().await.unwrap().unwrap();
        assert!(matches!(refused, Err(EmbedError::Busy)));
    }

    #[tokio::test]
    async fn a_panic_costs_one_answer() {
        let (lane, let_through) = lane(Duration::from_mins(1));
        assert!(matches!(lane.embed("panic".into()).await, Err(EmbedError::Encoder(_))));
        let_through.send(()).unwrap();
        assert!(lane.embed("x".into()).await.is_ok());
    }
}
