//! Evaluations in the background, and the history of what came of them.
//!
//! Invariant: a service works on one at a time and the process on one query at a time ([`Bench`]); one is
//! of one generation from its first query to its last. What is told as done is on disk; what waits, and
//! what is kept, is bounded in number and size. Nothing is begun once it is closed. Everything here may
//! read files: it is for threads that may wait.

mod bench;
mod compared;
mod files;
mod history;
mod result;
mod work;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::SystemTime;

use self::bench::Held;
use self::result::Kept;
use crate::eval::{EvalError, LabelledQuery, Metric};
use crate::live::Live;
use crate::sealed::SealedError;
use crate::search::{Arms, MAX_LIMIT};

pub use bench::Bench;
pub use compared::{Compared, Difference, MovedQuery, Verdict};
pub use files::{MOST_BYTES, QueryFile};
pub use history::{History, MOST_KEPT};
pub use result::{Failure, Head, Missed, Shown, State, Status};

/// Most queries of one evaluation.
pub const MOST_QUERIES: usize = 20_000;
/// Evaluations that may wait or be at work.
pub const MOST_OPEN: usize = 8;
/// Bytes of the queries that may wait behind the one at work.
const MOST_WAITING: usize = 32 << 20;
/// Failed evaluations that are still told of.
const MOST_FAILED: usize = 10;
/// A name is cut to so many characters.
const LONGEST_NAME: usize = 80;

/// Why an evaluation is not begun, or can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum QualityError {
    /// A query file can't be read.
    #[error(transparent)]
    Queries(#[from] EvalError),
    /// There is nothing in it.
    #[error(
        "{0}: there is no query in it: give one a line, as {{\"id\": …, \"query\": …, \"relevant\": […]}}"
    )]
    NoQuery(String),
    /// There is too much in it.
    #[error("{name}: {what}, and at most {most} are taken: split the file")]
    TooMuch {
        /// The file.
        name: String,
        /// How much of what there is.
        what: String,
        /// The most.
        most: usize,
    },
    /// No such file is offered.
    #[error("no query file {0:?}: GET /v1/admin/evals/files lists them")]
    NoFile(String),
    /// A file can't be read.
    #[error("the query file {0:?} can't be read")]
    Unread(String, #[source] std::io::Error),
    /// The limit is out of range.
    #[error("limit is {0}, it must be 1 to {MAX_LIMIT}")]
    Limit(usize),
    /// Nothing can be searched yet.
    #[error("nothing can be searched yet: try again when the first crawl is done")]
    NotReady,
    /// Too many wait.
    #[error("{MOST_OPEN} evaluations wait or are at work: wait for one, or cancel one")]
    Full,
    /// The queries of those that wait take too much.
    #[error(
        "there is no room for these queries beside those that wait: begin it again when one of them \
         is done, or cancel one"
    )]
    NoRoom,
    /// It is being stopped.
    #[error("this toolscout is being stopped: ask again after its restart")]
    Closed,
    /// There is no such evaluation.
    #[error("no evaluation {0:?}: GET /v1/admin/evals lists them")]
    Unknown(String),
    /// It has no result to compare.
    #[error("the evaluation {0} has no result: compare two that are done")]
    NotDone(String),
    /// The system gives no thread.
    #[error("no thread can be started: try again later")]
    NoThread(#[source] std::io::Error),
    /// The history can't be read or written.
    #[error(transparent)]
    Kept(#[from] SealedError),
}

/// What is to be evaluated.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// What it is called.
    pub name: String,
    /// With or without labels.
    pub queries: Vec<LabelledQuery>,
    /// How many tools an answer has, where it is not as for a caller who names no limit.
    pub limit: Option<usize>,
    /// Which arms rank.
    pub arms: Arms,
}

/// An evaluation that waits or is at work.
struct Job {
    id: u64,
    wanted: Wanted,
    done: AtomicUsize,
    stopped: AtomicBool,
    held: Held,
}

impl Job {
    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }
}

/// Evaluates for one service; a cheap handle.
#[derive(Clone)]
pub struct Evaluator(Arc<Inner>);

struct Inner {
    live: Live,
    bench: Bench,
    /// The demo's queries are offered.
    has_demo: bool,
    queries: PathBuf,
    history: History,
    /// Looked at with the board in hand.
    is_closed: AtomicBool,
    /// Made at the first use, which reads the history.
    board: OnceLock<Mutex<Board>>,
}

/// What there is.
struct Board {
    /// Oldest first; the first is the one at work.
    open: VecDeque<Arc<Job>>,
    failed: VecDeque<Status>,
    kept: BTreeMap<u64, Head>,
    /// There is a thread that works them off.
    is_manned: bool,
    /// The last one.
    thread: Option<JoinHandle<()>>,
    latest: u64,
}

impl Evaluator {
    /// Of a service with this data folder; nothing is read yet.
    pub fn new(live: Live, data: &Path, has_demo: bool, bench: Bench) -> Self {
        let (queries, history) = (files::folder(data), History::of(data));
        let (is_closed, board) = (AtomicBool::new(false), OnceLock::new());
        Self(Arc::new(Inner { live, bench, has_demo, queries, history, is_closed, board }))
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        let open = || {
            let kept: BTreeMap<u64, Head> =
                if self.is_closed() { BTreeMap::new() } else { self.0.history.heads().collect() };
            let latest = kept.keys().next_back().copied().unwrap_or_default();
            Mutex::new(Board {
                open: VecDeque::new(),
                failed: VecDeque::new(),
                kept,
                is_manned: false,
                thread: None,
                latest,
            })
        };
        self.0.board.get_or_init(open).lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed.load(Ordering::SeqCst)
    }

    /// The query files that are offered, by name.
    pub fn files(&self) -> Vec<QueryFile> {
        files::list(&self.0.queries, self.0.has_demo)
    }

    /// The queries of a file that is offered.
    pub fn file(&self, name: &str) -> Result<Vec<LabelledQuery>, QualityError> {
        files::read(&self.0.queries, self.0.has_demo, name)
    }

    /// The queries in a text; `name` is what errors call it.
    pub fn text(name: &str, text: &str) -> Result<Vec<LabelledQuery>, QualityError> {
        files::parse(name, text.as_bytes())
    }

    /// Has it evaluated as soon as those before it are.
    pub fn begin(&self, mut wanted: Wanted) -> Result<Status, QualityError> {
        if let Some(limit) = wanted.limit.filter(|limit| !(1..=MAX_LIMIT).contains(limit)) {
            return Err(QualityError::Limit(limit));
        }
        if !self.0.live.is_ready() {
            return Err(QualityError::NotReady);
        }
        wanted.name = wanted.name.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
        let bytes = wanted.queries.iter().map(files::bytes_of).sum();
        let mut board = self.board();
        if self.is_closed() {
            return Err(QualityError::Closed);
        }
        if board.open.len() >= MOST_OPEN {
            return Err(QualityError::Full);
        }
        let waiting: usize = board.open.iter().skip(1).map(|job| job.held.bytes).sum();
        let has_room = board.open.is_empty() || waiting + bytes <= MOST_WAITING;
        let held = has_room.then(|| self.0.bench.hold(bytes)).flatten();
        let held = held.ok_or(QualityError::NoRoom)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let id = u64::try_from(now.as_millis()).unwrap_or_default().max(board.latest + 1);
        if !board.is_manned {
            let evaluator = self.clone();
            let thread = std::thread::Builder::new().name("evaluate".into());
            let started = thread.spawn(move || evaluator.work_off());
            board.thread = Some(started.map_err(QualityError::NoThread)?);
            board.is_manned = true;
        }
        board.latest = id;
        let (done, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
        let job = Arc::new(Job { id, wanted, done, stopped, held });
        board.open.push_back(Arc::clone(&job));
        Ok(Status::open(&job, board.open.len() == 1))
    }

    /// All of them, the newest first.
    pub fn list(&self) -> Vec<Status> {
        let board = self.board();
        let open = board.open.iter().enumerate().map(|(at, job)| Status::open(job, at == 0));
        let kept = board.kept.values().map(|head| Status::done(head.clone()));
        let mut all: Vec<Status> = open.chain(board.failed.iter().cloned()).chain(kept).collect();
        // Their ids are times, all of one length.
        all.sort_by(|a, b| b.id.cmp(&a.id));
        all
    }

    fn status(&self, id: &str) -> Result<Status, QualityError> {
        let found = self.list().into_iter().find(|status| status.id == id);
        found.ok_or_else(|| QualityError::Unknown(id.to_owned()))
    }

    fn kept(&self, head: &Head) -> Result<Kept, QualityError> {
        let kept = self.0.history.read(head.number())?;
        // Forgotten in this moment.
        kept.ok_or_else(|| QualityError::Unknown(head.id.clone()))
    }

    /// One, with all that came of it.
    pub fn show(&self, id: &str) -> Result<Shown, QualityError> {
        let status = self.status(id)?;
        let Some(head) = &status.head else {
            return Ok(Shown { status, categories: BTreeMap::new(), failures: Vec::new() });
        };
        let Kept { categories, failures, .. } = self.kept(head)?;
        Ok(Shown { status, categories, failures })
    }

    /// Cancels one that is not done, or forgets one that is.
    pub fn remove(&self, id: &str) -> Result<(), QualityError> {
        let number: u64 = id.parse().map_err(|_| QualityError::Unknown(id.to_owned()))?;
        let mut board = self.board();
        if let Some(job) = board.open.iter().find(|job| job.id == number) {
            job.stopped.store(true, Ordering::SeqCst);
            board.open.retain(|job| job.id != number);
            return Ok(());
        }
        if let Some(at) = board.failed.iter().position(|status| status.id == id) {
            board.failed.remove(at);
            return Ok(());
        }
        if board.kept.contains_key(&number) {
            self.0.history.remove(number)?;
            board.kept.remove(&number);
            return Ok(());
        }
        Err(QualityError::Unknown(id.to_owned()))
    }

    /// How `run` differs from `baseline`; the queries that moved are those by `metric`.
    pub fn compare(
        &self,
        baseline: &str,
        run: &str,
        metric: Metric,
    ) -> Result<Compared, QualityError> {
        let read = |id: &str| {
            let head = self.status(id)?.head;
            self.kept(&head.ok_or_else(|| QualityError::NotDone(id.to_owned()))?)
        };
        let (before, after) = (read(baseline)?, read(run)?);
        let goes_on = || !self.is_closed();
        let compared = self.0.bench.work(|| Compared::of(before, &after, metric, &goes_on));
        if goes_on() { Ok(compared) } else { Err(QualityError::Closed) }
    }

    /// Takes nothing any more, and gives up what is not done.
    pub fn close(&self) {
        // Before the board is made: one that was never used has no history to read for that.
        self.0.is_closed.store(true, Ordering::SeqCst);
        for job in self.board().open.drain(..) {
            job.stopped.store(true, Ordering::SeqCst);
        }
    }

    /// Waits for the end of what was at work when it was closed: not longer than for a step of it.
    pub fn join(&self) {
        let thread = self.board().thread.take();
        // What comes apart in there is in the log.
        let _ = thread.map(JoinHandle::join);
    }

    /// What the thread does: one after the other, until none is left.
    fn work_off(&self) {
        loop {
            let next = {
                let mut board = self.board();
                let next = board.open.front().cloned();
                board.is_manned = next.is_some();
                next
            };
            let Some(job) = next else { return };
            let ended = self.work(&job);
            let mut board = self.board();
            board.open.retain(|open| open.id != job.id);
            match ended {
                // It was cancelled too late to be given up, and in time to be believed.
                Ok(_) | Err(_) if job.is_stopped() => {
                    let _ = self.0.history.remove(job.id);
                }
                Ok(head) => {
                    tracing::info!(queries = head.queries, took_ms = head.took_ms, "evaluated");
                    board.kept.insert(job.id, head);
                    self.0.history.prune(&mut board.kept);
                }
                Err(error) => {
                    tracing::warn!("an evaluation failed: {error}");
                    board.failed.push_back(Status::failed(&job, error));
                    if board.failed.len() > MOST_FAILED {
                        board.failed.pop_front();
                    }
                }
            }
        }
    }

    /// What comes of one, on disk; or why nothing does.
    fn work(&self, job: &Job) -> Result<Head, String> {
        let work = || work::run(job, &self.0.live, &self.0.bench);
        // Whatever came apart in there, the next one is worked on.
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        let kept = worked.unwrap_or_else(|_| Err("it came apart, the log says where".into()))?;
        self.0.history.keep(&kept).map_err(|error| {
            tracing::error!("{error}");
            "its result could not be kept in the data folder, the log says why".to_owned()
        })?;
        Ok(kept.head)
    }
}

#[cfg(test)]
mod tests;
