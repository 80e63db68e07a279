//! The life of one server's task: crawl, tell, wait, again.
//!
//! Invariant: the wait after a failure grows, and every wait is jittered, so that servers are
//! never asked in lockstep.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::session::Event;
use super::update;
use super::upstream::Upstream;
use crate::catalog::{Outcome, ServerUpdate};
use crate::config::ServerConfig;

/// The first wait after a failure.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest wait after failures.
const LAST_RETRY: Duration = Duration::from_mins(5);
/// Announced changes are gathered for this long.
const DEBOUNCE: Duration = Duration::from_millis(500);
/// The same for a server that announces changes again and again.
const CHATTY_PAUSE: Duration = Duration::from_secs(5);
/// A connection that lasted this long was a good one. Some proxies cut every stream after a
/// minute or so: such a server is not crawled each time.
const SOUND: Duration = Duration::from_mins(10);

/// What the tasks of all servers share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) updates: mpsc::Sender<ServerUpdate>,
    pub(super) permits: Arc<Semaphore>,
    pub(super) shutdown: CancellationToken,
}

/// Crawls a server until shutdown.
pub(super) async fn run(
    mut upstream: Upstream,
    shared: Shared,
    refresh: Arc<Notify>,
    is_known: bool,
) {
    let shutdown = shared.shutdown.clone();
    tokio::select! {
        () = crawl_forever(&mut upstream, &shared, &refresh, is_known) => {}
        () = shutdown.cancelled() => {}
    }
    upstream.close().await;
}

async fn crawl_forever(upstream: &mut Upstream, shared: &Shared, refresh: &Notify, is_known: bool) {
    let server = Arc::clone(&upstream.server);
    let interval = server.refresh;
    let mut retry = retries(interval);
    let mut last_change: Option<Instant> = None;
    if !is_known && !shared.tell(&server, Outcome::Connecting, None).await {
        return;
    }
    loop {
        let outcome = {
            let Ok(_permit) = shared.permits.acquire().await else {
                return;
            };
            upstream.crawl(true).await
        };
        let listed = matches!(outcome, Outcome::Listed(_));
        let wait = if listed { jittered(interval) } else { retry.next().unwrap_or(LAST_RETRY) };
        let since = Instant::now();
        if !shared.tell(&server, outcome, Some(wait)).await {
            return;
        }
        let event = tokio::select! {
            () = tokio::time::sleep(wait) => None,
            () = refresh.notified() => None,
            event = upstream.event() => Some(event),
        };
        if listed && (event.is_none() || since.elapsed() > SOUND) {
            retry = retries(interval);
        }
        let pause = match event {
            None => continue,
            Some(Event::Changed) => {
                let before = last_change.replace(Instant::now());
                match before {
                    Some(before) if before.elapsed() < CHATTY_PAUSE * 2 => CHATTY_PAUSE,
                    _ => DEBOUNCE,
                }
            }
            Some(Event::Ended) => {
                tracing::info!(server = %server.id, "the connection ended");
                upstream.close().await;
                retry.next().unwrap_or(LAST_RETRY)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = refresh.notified() => {}
        }
        upstream.settle();
    }
}

impl Shared {
    /// Sends an update; false when nobody listens any more.
    pub(super) async fn tell(
        &self,
        server: &ServerConfig,
        outcome: Outcome,
        wait: Option<Duration>,
    ) -> bool {
        let update = update(server, server.id.clone(), outcome, wait);
        self.updates.send(update).await.is_ok()
    }
}

/// Growing waits with jitter, never longer than the interval between crawls that succeed.
pub(super) fn retries(interval: Duration) -> ExponentialBackoff {
    let longest = interval.min(LAST_RETRY);
    ExponentialBuilder::new()
        .with_min_delay(FIRST_RETRY.min(longest))
        .with_max_delay(longest)
        .with_factor(2.0)
        .with_jitter()
        .with_jitter_seed(fastrand::u64(..))
        .without_max_times()
        .build()
}

/// `interval`, give or take a tenth.
pub(super) fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.9 + 0.2 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_are_bounded() {
        let interval = Duration::from_mins(1);
        let waits: Vec<_> = retries(interval).take(12).collect();
        assert!(waits[0] >= FIRST_RETRY && waits[4] > waits[0]);
        // The jitter comes on top.
        assert!(waits.iter().all(|wait| *wait <= interval * 2));
        assert!(waits[11] >= interval);
        assert_eq!(waits.len(), 12);
    }

    #[test]
    fn intervals_are_spread() {
        let interval = Duration::from_secs(100);
        let waits: Vec<_> = (0..200).map(|_| jittered(interval)).collect();
        assert!(waits.iter().all(|wait| (90..=110).contains(&wait.as_secs())));
        assert!(waits.iter().any(|wait| wait != &waits[0]));
    }
}
