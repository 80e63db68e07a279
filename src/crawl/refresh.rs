//! The life of one server's task: crawl, tell, wait, again.
//!
//! Invariant: the wait after a failure grows, and every wait is jittered, so that servers are
//! never asked in lockstep.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::lease::{Lease, Leases};
use super::session::Event;
use super::update;
use super::upstream::Upstream;
use crate::catalog::{Outcome, ServerInfo, ServerUpdate};
use crate::config::{NameFilter, ServerConfig};
use crate::tool::ServerId;

/// The first wait after a failure.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest wait after failures.
const LAST_RETRY: Duration = Duration::from_mins(5);
/// Announced changes are gathered for this long.
const DEBOUNCE: Duration = Duration::from_millis(500);
/// The same for a server that announces changes again and again.
const CHATTY_PAUSE: Duration = Duration::from_secs(5);
/// How long a child that starts holds others up.
const START_TIME: Duration = Duration::from_secs(5);
/// No listing is so short-lived that it is read more often.
const LEAST_INTERVAL: Duration = Duration::from_mins(1);
/// A server that asks for more patience than this is asked again all the same.
const MOST_PATIENCE: Duration = Duration::from_hours(1);
/// A connection that lasted this long was a good one. Some proxies cut every stream after a
/// minute or so: such a server is not crawled each time.
const SOUND: Duration = Duration::from_mins(10);

/// What the tasks of all servers share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) updates: mpsc::Sender<ServerUpdate>,
    pub(super) permits: Arc<Semaphore>,
    pub(super) shutdown: CancellationToken,
    pub(super) marks: Marks,
    pub(super) leases: Leases,
}

/// Whom the last listing of a server was for, by its mark; `None` for everybody.
#[derive(Clone, Default)]
pub(super) struct Marks(Arc<Mutex<BTreeMap<ServerId, Option<String>>>>);

impl Marks {
    pub(super) fn note(&self, server: &ServerId, info: &ServerInfo) {
        self.lock().insert(server.clone(), info.private_to.clone());
    }

    /// What was listed was for somebody else than this entry stands for with `who` logged in. Told
    /// once: it is to be forgotten then.
    pub(super) fn were_of_another(&self, server: &ServerConfig, who: &str) -> bool {
        let mut marks = self.lock();
        let mark = marks.get(&server.id).and_then(Option::as_deref);
        let of_another = mark.is_some_and(|mark| !server.is_marked(mark, who));
        if of_another {
            marks.remove(&server.id);
        }
        of_another
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ServerId, Option<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Crawls a server until shutdown.
pub(super) async fn run(
    mut upstream: Upstream,
    shared: Shared,
    refresh: Arc<Notify>,
    is_known: bool,
) {
    let shutdown = shared.shutdown.clone();
    // Before it is wanted: news of it that others have are told after that.
    if !is_known && !shared.tell(&upstream.server, Outcome::Connecting, None).await {
        return;
    }
    let mut lease = shared.leases.want(&upstream.server.id);
    tokio::select! {
        () = crawl_while_held(&mut upstream, &shared, &refresh, &mut lease) => {}
        () = shutdown.cancelled() => {}
    }
    upstream.close().await;
}

async fn crawl_while_held(
    upstream: &mut Upstream,
    shared: &Shared,
    refresh: &Notify,
    lease: &mut Lease,
) {
    loop {
        tokio::select! {
            () = lease.held() => {}
            () = refresh.notified() => {
                lease.ask();
                continue;
            }
        }
        tokio::select! {
            () = crawl_forever(upstream, shared, refresh) => return,
            () = lease.lost() => upstream.close().await,
        }
    }
}

async fn crawl_forever(upstream: &mut Upstream, shared: &Shared, refresh: &Notify) {
    let server = Arc::clone(&upstream.server);
    let interval = server.refresh;
    let mut retry = retries(interval);
    let mut last_change: Option<Instant> = None;
    loop {
        if shared.marks.were_of_another(&server, &upstream.who()) {
            let nothing = Outcome::Narrowed(NameFilter::nothing());
            if !shared.tell(&server, nothing, None).await {
                return;
            }
        }
        let outcome =
            shared.in_turn(upstream.starts_a_child(), Box::pin(upstream.crawl(true))).await;
        let listed = matches!(outcome, Outcome::Listed(_));
        let wait = if let Outcome::Listed(listing) = &outcome {
            let ttl = listing.info.ttl.filter(|_| !upstream.announces());
            jittered(hinted(interval, ttl))
        } else {
            let wait = retry.next().unwrap_or(LAST_RETRY);
            upstream.asked().map_or(wait, |asked| wait.max(asked_for(asked)))
        };
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
    /// Runs a crawl. Those that start a child do so a few at a time; one that keeps us waiting lets
    /// the next go ahead, and so does one that waits for the network from the start.
    async fn in_turn(&self, starts_a_child: bool, crawl: impl Future<Output = Outcome>) -> Outcome {
        let mut crawl = std::pin::pin!(crawl);
        if starts_a_child && let Ok(_permit) = self.permits.acquire().await {
            // Ended or not, the permit goes on.
            if let Ok(outcome) = tokio::time::timeout(START_TIME, &mut crawl).await {
                return outcome;
            }
        }
        crawl.await
    }

    /// Sends an update; false when nobody listens any more.
    pub(super) async fn tell(
        &self,
        server: &ServerConfig,
        outcome: Outcome,
        wait: Option<Duration>,
    ) -> bool {
        if let Outcome::Listed(listing) = &outcome {
            self.marks.note(&server.id, &listing.info);
        }
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

/// The time to the next crawl of a listing that holds for `ttl`: that is no more than a hint, and
/// servers that know none say zero.
fn hinted(interval: Duration, ttl: Option<Duration>) -> Duration {
    match ttl {
        Some(ttl) if !ttl.is_zero() => ttl.clamp(LEAST_INTERVAL.min(interval), interval),
        _ => interval,
    }
}

/// What a server asked for, within reason, and never all servers at the same moment.
fn asked_for(wait: Duration) -> Duration {
    wait.min(MOST_PATIENCE).mul_f64(1.0 + 0.1 * fastrand::f64())
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
    fn a_time_to_live_is_a_hint() {
        let interval = Duration::from_mins(15);
        let after = |seconds| hinted(interval, Some(Duration::from_secs(seconds)));
        assert_eq!(hinted(interval, None), interval);
        assert_eq!(after(0), interval);
        assert_eq!(after(1), LEAST_INTERVAL);
        assert_eq!(after(300), Duration::from_mins(5));
        assert_eq!(after(86_400), interval);
        let often = Duration::from_secs(2);
        assert_eq!(hinted(often, Some(Duration::from_secs(1))), often);
    }

    #[test]
    fn patience_has_an_end() {
        let asked = |seconds| asked_for(Duration::from_secs(seconds));
        assert!((7..8).contains(&asked(7).as_secs()));
        assert!((3_600..=3_960).contains(&asked(86_400).as_secs()));
    }

    fn shared(permits: usize) -> Shared {
        Shared {
            updates: mpsc::channel(1).0,
            permits: Arc::new(Semaphore::new(permits)),
            shutdown: CancellationToken::new(),
            marks: Marks::default(),
            leases: Leases::default(),
        }
    }

    /// The second at which each of these crawls began.
    async fn begins(shared: Shared, children: usize, takes: Duration) -> Vec<u64> {
        let from = Instant::now();
        let crawls = (0..children).map(|_| {
            shared.in_turn(true, async {
                tokio::time::sleep(Duration::ZERO).await;
                let begun = from.elapsed().as_secs();
                tokio::time::sleep(takes).await;
                Outcome::Failed { error: begun.to_string() }
            })
        });
        let outcomes = futures::future::join_all(crawls).await;
        let begun = outcomes.into_iter().map(|outcome| match outcome {
            Outcome::Failed { error } => error.parse().unwrap(),
            other => panic!("{other:?}"),
        });
        begun.collect()
    }

    #[tokio::test(start_paused = true)]
    async fn children_start_a_few_at_a_time_and_none_for_long() {
        assert_eq!(begins(shared(2), 6, Duration::from_secs(1)).await, [0, 0, 1, 1, 2, 2]);
        let hanging = begins(shared(2), 6, Duration::from_mins(1)).await;
        assert_eq!(hanging, [0, 0, 5, 5, 10, 10]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_network_is_waited_for_by_all_at_once() {
        let shared = shared(1);
        let hanging = shared.in_turn(false, std::future::pending());
        let done = async { Outcome::Disabled };
        let quick = futures::future::join(shared.in_turn(false, done), async {
            shared.in_turn(true, async { Outcome::Disabled }).await
        });
        tokio::select! {
            _ = hanging => panic!("it hangs"),
            _ = quick => {}
        }
    }

    #[test]
    fn intervals_are_spread() {
        let interval = Duration::from_secs(100);
        let waits: Vec<_> = (0..200).map(|_| jittered(interval)).collect();
        assert!(waits.iter().all(|wait| (90..=110).contains(&wait.as_secs())));
        assert!(waits.iter().any(|wait| wait != &waits[0]));
    }
}
