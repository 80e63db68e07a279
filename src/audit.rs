//! The audit log: who searched and called what, with which outcome.
//!
//! Events are handed to one thread, which writes them as a chain of lines ([`chain`]). Invariant: no
//! request waits for it; what can't be taken or written is counted, and the chain tells how much of
//! it there was.

pub mod chain;
mod event;
mod log;
pub mod verify;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::counter;

pub use self::chain::Seal;
use self::event::Kept;
pub use self::event::{Action, Event, Way};
use self::log::Log;
pub use self::log::head_of;
use crate::config::AuditConfig;
use crate::troubles::Troubles;

/// Events that may wait for the disk.
const WAITING: usize = 8_192;
/// Bytes that those may have together.
const HELD: usize = 64 << 20;
/// Events that are written at once.
const AT_ONCE: usize = 256;
/// How long a line may be in the system's hands alone, and when a disk is tried again.
const SETTLE: Duration = Duration::from_secs(1);

/// Why there is no audit log.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// It can't be read or written.
    #[error("the audit log {path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process writes it.
    #[error(
        "the audit log {0} is written by another process: end that, or name another [audit] file"
    )]
    Taken(PathBuf),
    /// The key is gone or has become unusable.
    #[error("the key of the audit log, {path}: {source}", path = path.display())]
    Key {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// What events are handed to; cheap to clone.
#[derive(Clone, Default)]
pub struct Audit(Option<Arc<Handle>>);

struct Handle {
    /// The thread ends when this is gone, and everything in it is written.
    orders: SyncSender<Order>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    waiting: AtomicUsize,
    /// Bytes of the events that wait.
    held: AtomicUsize,
    /// Events that the chain has not told of yet.
    dropped: AtomicU64,
    trouble: Mutex<Option<String>>,
    /// Where the process tells what is wrong with it.
    troubles: Troubles,
}

enum Order {
    /// An event, and how many bytes it has.
    Keep(Box<Event>, usize),
    Settle(SyncSender<()>),
}

/// How the log does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Events that wait to be written.
    pub waiting: usize,
    /// Why nothing can be written at the moment.
    pub trouble: Option<String>,
}

impl Audit {
    /// Nothing is kept.
    pub fn off() -> Self {
        Self::default()
    }

    /// Opens the log and goes on with its chain; nothing is kept unless that is configured.
    pub fn open(config: &AuditConfig, data: &Path, troubles: Troubles) -> Result<Self, AuditError> {
        if !config.enabled {
            return Ok(Self::off());
        }
        let path = config.path(data);
        let io = |source| AuditError::Io { path: path.clone(), source };
        let seal = Seal::of(config.key_file.as_deref())?;
        let log = Log::open(&path, seal.clone(), config.max_bytes, config.keep)?;
        let kept = Kept::new(config, &path, &seal).map_err(io)?;
        let (orders, received) = sync_channel(WAITING);
        let shared = Arc::new(Shared { troubles, ..Shared::default() });
        let handle = Handle { orders, shared: Arc::clone(&shared) };
        let writer = Writer { log, kept, unsettled: false, settled: Instant::now() };
        std::thread::Builder::new()
            .name("audit".into())
            .spawn(move || writer.run(&received, &shared))
            .map_err(io)?;
        Ok(Self(Some(Arc::new(handle))))
    }

    /// Something is kept.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Keeps an event, which is only made where anything is kept.
    pub fn keep(&self, event: impl FnOnce() -> Event) {
        let Some(Handle { orders, shared }) = self.0.as_deref() else { return };
        let event = Box::new(event());
        let size = event.size();
        shared.waiting.fetch_add(1, Ordering::Relaxed);
        let fits = shared.held.fetch_add(size, Ordering::Relaxed) + size <= HELD;
        if !fits || orders.try_send(Order::Keep(event, size)).is_err() {
            shared.waiting.fetch_sub(1, Ordering::Relaxed);
            shared.held.fetch_sub(size, Ordering::Relaxed);
            shared.drop_events(1, "busy");
        }
    }

    /// How it does; `None` where nothing is kept.
    pub fn health(&self) -> Option<Health> {
        let shared = &self.0.as_ref()?.shared;
        let trouble = shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(Health { waiting: shared.waiting.load(Ordering::Relaxed), trouble })
    }

    /// Waits until all that was kept before is on disk, for this long at most.
    pub fn settle(&self, patience: Duration) {
        let Some(handle) = &self.0 else { return };
        let (done, waits) = sync_channel(1);
        if handle.orders.send(Order::Settle(done)).is_ok() {
            let _ = waits.recv_timeout(patience);
        }
    }
}

impl Shared {
    fn drop_events(&self, count: u64, reason: &'static str) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
        counter!("toolscout_audit_dropped_total", "reason" => reason).increment(count);
    }

    /// Tells the log once of a trouble that begins or ends.
    fn set_trouble(&self, trouble: Option<String>) {
        let mut now = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*now, &trouble) {
            (None, Some(why)) => {
                tracing::error!(
                    "the audit log can't be written, and requests go on without it: {why}"
                );
                let why = "it can't be written, and requests go on without it: the log says why";
                self.troubles.set("audit", why.to_owned());
            }
            (Some(_), None) => {
                tracing::info!("the audit log is written again");
                self.troubles.clear("audit");
            }
            _ => {}
        }
        *now = trouble;
    }
}

/// The thread that writes.
struct Writer {
    log: Log,
    kept: Kept,
    /// Something was written since the log was last on disk for certain.
    unsettled: bool,
    settled: Instant,
}

impl Writer {
    fn run(mut self, orders: &Receiver<Order>, shared: &Shared) {
        loop {
            let first = orders.recv_timeout(SETTLE);
            let (mut events, mut waiting_for) = (Vec::new(), Vec::new());
            match first {
                Ok(first) => {
                    for order in std::iter::once(first).chain(orders.try_iter().take(AT_ONCE)) {
                        match order {
                            Order::Keep(event, size) => {
                                shared.held.fetch_sub(size, Ordering::Relaxed);
                                events.push(*event);
                            }
                            Order::Settle(done) => waiting_for.push(done),
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            shared.waiting.fetch_sub(events.len(), Ordering::Relaxed);
            self.write(&events, shared);
            if !waiting_for.is_empty() || self.settled.elapsed() >= SETTLE {
                self.settle(shared);
            }
            for done in waiting_for {
                let _ = done.send(());
            }
        }
        let _ = self.log.settle();
    }

    /// Writes these events, and first how many are missing before them.
    fn write(&mut self, events: &[Event], shared: &Shared) {
        let missing = shared.dropped.load(Ordering::Relaxed);
        if events.is_empty() && missing == 0 {
            return;
        }
        let told = (missing > 0).then(|| Event::dropped(missing));
        let mut draft = self.log.draft();
        for event in told.iter().chain(events) {
            draft.add(&self.kept.of(event));
        }
        match self.log.append(draft) {
            Ok(()) => {
                shared.dropped.fetch_sub(missing, Ordering::Relaxed);
                counter!("toolscout_audit_events_total").increment(events.len() as u64);
                self.unsettled = true;
                shared.set_trouble(None);
            }
            Err(error) => {
                shared.drop_events(events.len() as u64, "disk");
                shared.set_trouble(Some(error.to_string()));
            }
        }
    }

    fn settle(&mut self, shared: &Shared) {
        self.settled = Instant::now();
        if std::mem::take(&mut self.unsettled)
            && let Err(error) = self.log.settle()
        {
            self.unsettled = true;
            shared.set_trouble(Some(error.to_string()));
        }
    }
}

#[cfg(test)]
mod tests;
