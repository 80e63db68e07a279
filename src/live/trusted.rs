//! What the indexer does with [`Trust`]: asks it, keeps its book on disk, tells what happened.
//!
//! Invariant: books are saved in the order they were made in, and what an operator decided is on
//! disk before it is answered, or the answer says that it is not; a disk that can't be written costs
//! a warning, never a listing.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use metrics::counter;
use tokio::sync::oneshot;

use super::indexer::set_aside;
use super::saver::Saver;
use crate::access::profile::Profiles;
use crate::catalog::{Catalog, Diff, ServerUpdate};
use crate::memory::Making;
use crate::sealed::SealedError;
use crate::tool::{ServerId, Tool};
use crate::troubles::Troubles;
use crate::trust::decide::{Choice, Decided, DecisionError, Word};
use crate::trust::earlier::{self, Earliers};
use crate::trust::feed::{Event, EventKind, Feed};
use crate::trust::history::Book;
use crate::trust::policy::Policy;
use crate::trust::{Trust, file, millis};

/// Log lines that one batch of updates may take; all of it is in the feed.
const MOST_LINES: usize = 20;

/// What is known of definitions, and what follows from it.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// What is known.
    pub book: Book,
    /// What follows from what is found.
    pub policy: Policy,
}

/// What the one writer is asked to do beside taking listings.
pub enum Order {
    /// Decide on definitions that wait.
    Decide {
        /// What is decided.
        word: Word,
        /// Whose definitions.
        server: ServerId,
        /// Which; `None` is all that wait.
        choices: Option<Vec<Choice>>,
        /// Takes the answer.
        reply: oneshot::Sender<Result<Vec<Arc<Event>>, DecisionError>>,
    },
    /// Other rules, from the next listings on.
    Policy(Policy),
    /// Other views, at once.
    Profiles(Profiles),
}

/// The writer's own: the gate, and its book on disk. The default one knows nothing, and keeps
/// nothing on disk.
#[derive(Default)]
pub struct Gate {
    trust: Arc<Mutex<Trust>>,
    keeper: Option<Saver<Book>>,
}

/// What came of a batch of updates.
pub struct Admitted {
    /// With what may be served.
    pub batch: Vec<ServerUpdate>,
    /// The catalog after them.
    pub catalog: Catalog,
    /// What each changed of it.
    pub diffs: Vec<Diff>,
    /// What is known now, if that changed.
    pub known: Option<Known>,
}

/// There is a history of definitions, and it can't be read. Without it nothing would be pinned, and
/// the next one would take its place.
#[derive(Debug, thiserror::Error)]
#[error(
    "can't read the history of definitions {0}: run as the user that it belongs to, or move it \
     away to start without what was approved and held"
)]
pub struct HistoryUnreadable(SealedError);

impl Gate {
    /// Goes on with the book at `path`; `troubles` hears where it can't be saved. One that makes no sense is set aside with a warning.
    pub async fn open(
        policy: Policy,
        path: PathBuf,
        troubles: Troubles,
    ) -> Result<Self, HistoryUnreadable> {
        let from = path.clone();
        let loaded = tokio::task::spawn_blocking(move || match file::load(&from) {
            Ok(book) => {
                let earlier = Arc::new(load_earlier(&earlier::beside(&from)));
                Ok(Book { earlier, ..book.unwrap_or_default() })
            }
            Err(error) if may_be_there(&error) => Err(HistoryUnreadable(error)),
            Err(error) => {
                let then = "what was approved or held is known by the snapshot alone";
                set_aside(&from, &error, &format!("history of definitions {error}"), then);
                // Readers of the feed remember numbers of the lost one.
                let newest = match error {
                    SealedError::Io { .. } => 0,
                    _ => millis(SystemTime::now()),
                };
                Ok(Book { feed: Arc::new(Feed::after(newest)), ..Book::default() })
            }
        });
        let book = loaded.await.unwrap_or_else(|error| {
            let (path, source) = (path.clone(), io::Error::other(error));
            Err(HistoryUnreadable(SealedError::Io { path, source }))
        })?;
        Ok(Self {
            trust: Arc::new(Mutex::new(Trust::new(policy, book))),
            keeper: Some(keeper(path, troubles)),
        })
    }

    fn trust(&self) -> MutexGuard<'_, Trust> {
        self.trust.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known.
    pub fn known(&self) -> Known {
        known(&self.trust())
    }

    /// What of an earlier run's catalog may be served; `keep` says what is still configured.
    pub fn restore(&self, catalog: &Catalog, keep: impl Fn(&Tool) -> bool) -> Catalog {
        let mut trust = self.trust();
        let kept = catalog.retain(&keep);
        let adopted = trust.adopt(&kept);
        let events = trust.forget_others(&kept, keep, SystemTime::now());
        tell(&events, &[]);
        if let Some(keeper) = self.keeper.as_ref().filter(|_| adopted || !events.is_empty()) {
            keeper.save(trust.book().clone());
        }
        kept.retain(|tool| trust.admits(tool))
    }

    /// Looks at a batch and folds it into `catalog`, away from the runtime; `None` where that
    /// failed.
    pub async fn admit(
        &self,
        mut batch: Vec<ServerUpdate>,
        catalog: Arc<Catalog>,
    ) -> Option<Admitted> {
        let trust = Arc::clone(&self.trust);
        let admitted = tokio::task::spawn_blocking(move || {
            let _making = Making::begin();
            let mut trust = trust.lock().unwrap_or_else(PoisonError::into_inner);
            let events = trust.admit(&mut batch, &catalog, SystemTime::now());
            let (catalog, diffs) = catalog.fold_all(&batch);
            tell(&events, &batch);
            let known = (!events.is_empty()).then(|| known(&trust));
            Admitted { batch, catalog, diffs, known }
        });
        let admitted = admitted
            .await
            .inspect_err(|error| tracing::error!(%error, "a listing can't be taken in"))
            .ok()?;
        if let (Some(known), Some(keeper)) = (&admitted.known, &self.keeper) {
            keeper.save(known.book.clone());
        }
        Some(admitted)
    }

    /// Decides, and keeps what was decided; false where it is in force and could not be kept.
    /// `catalog` is what is served until then.
    pub async fn decide(
        &self,
        word: Word,
        server: &ServerId,
        choices: Option<&[Choice]>,
        catalog: &Catalog,
    ) -> Result<(Decided, Known, bool), DecisionError> {
        let (decided, known) = {
            let mut trust = self.trust();
            let decided = trust.decide(word, server, choices, catalog, SystemTime::now())?;
            (decided, known(&trust))
        };
        tell(&decided.events, &[]);
        let kept = match &self.keeper {
            Some(keeper) => {
                keeper.save(known.book.clone());
                keeper.saved().await
            }
            None => true,
        };
        Ok((decided, known, kept))
    }

    /// Other rules, from the next listings on.
    pub fn set_policy(&self, policy: Policy) -> Known {
        let mut trust = self.trust();
        trust.set_policy(policy);
        known(&trust)
    }

    /// Returns once everything is saved.
    pub async fn finish(self) {
        if let Some(keeper) = self.keeper {
            keeper.finish().await;
        }
    }
}

/// A file that can't be read is there, or could be: a data folder that is none has no files.
fn may_be_there(error: &SealedError) -> bool {
    match error {
        SealedError::Io { source, .. } => source.kind() != ErrorKind::NotADirectory,
        _ => false,
    }
}

fn known(trust: &Trust) -> Known {
    Known { book: trust.book().clone(), policy: trust.policy().clone() }
}

/// The earlier definitions of another run. Where they can't be read there are none: nothing is
/// decided by them.
fn load_earlier(path: &Path) -> Earliers {
    let loaded = earlier::load(path).inspect_err(|error| {
        let then = "changes are shown from now on";
        set_aside(path, error, &format!("earlier definitions {error}"), then);
    });
    loaded.ok().flatten().unwrap_or_default()
}

/// The history could not be written down.
#[derive(Debug, thiserror::Error)]
#[error("history of definitions {0}")]
struct HistoryUnsaved(SealedError);

/// Saves books at `path`, the newest always.
fn keeper(path: PathBuf, troubles: Troubles) -> Saver<Book> {
    let lost = "a restart will not know what happened since it was saved last";
    let (beside, on_disk) = (earlier::beside(&path), Mutex::<Option<Arc<Earliers>>>::default());
    Saver::start("history of definitions", lost, troubles, move |book: Book| {
        file::save(&path, &book).map_err(HistoryUnsaved)?;
        // They change far less often than the book, and are larger.
        let mut on_disk = on_disk.lock().unwrap_or_else(PoisonError::into_inner);
        if on_disk.as_ref().is_none_or(|kept| !Arc::ptr_eq(kept, &book.earlier)) {
            if !book.earlier.is_empty() {
                earlier::save(&beside, &book.earlier).map_err(HistoryUnsaved)?;
            }
            *on_disk = Some(book.earlier);
        }
        Ok::<_, HistoryUnsaved>(())
    })
}

/// Logs and counts what happened.
fn tell(events: &[Arc<Event>], batch: &[ServerUpdate]) {
    // One file may hold thousands of servers: they are counted as one.
    let of_file = |server: &str| {
        batch.iter().any(|update| update.transport == "file" && update.server.as_str() == server)
    };
    let mut lines = 0;
    for event in events {
        let kind = event.kind.name();
        let server = if of_file(&event.server) { "file" } else { event.server.as_str() };
        counter!("toolscout_tool_changes_total", "server" => server.to_owned(), "kind" => kind)
            .increment(1);
        lines += usize::from(is_logged(event.kind));
        if lines <= MOST_LINES {
            log(event);
        }
    }
    if lines > MOST_LINES {
        let more = lines - MOST_LINES;
        tracing::warn!("{more} more changes and findings: GET /v1/changes and /v1/findings");
    }
}

fn is_logged(kind: EventKind) -> bool {
    !matches!(
        kind,
        EventKind::Added | EventKind::Removed | EventKind::ServerAdded | EventKind::ServerRemoved
    )
}

fn log(event: &Event) {
    let tool = event.tool.as_deref().unwrap_or(&event.server);
    let parts: Vec<&str> = event.parts.iter().map(|part| part.name()).collect();
    let parts = parts.join(", ");
    let rules: Vec<&str> = event.rules.iter().map(|rule| rule.name()).collect();
    let rules = rules.join(", ");
    let found = if rules.is_empty() { String::new() } else { format!(" (found: {rules})") };
    match event.kind {
        // Of what comes back there is nothing to compare with.
        EventKind::Changed if parts.is_empty() => {
            tracing::warn!(tool, "came back with another definition{found}");
        }
        EventKind::Changed => tracing::warn!(tool, "the definition changed: {parts}{found}"),
        EventKind::Held => {
            tracing::warn!(tool, "held until approved{found}: toolscout trust show {tool}");
        }
        EventKind::Quarantined => {
            tracing::warn!(tool, "quarantined{found}: toolscout trust show {tool}");
        }
        EventKind::Finding => tracing::warn!(tool, "found: {rules} (GET /v1/findings)"),
        EventKind::Approved => tracing::info!(tool, "approved"),
        EventKind::Rejected => tracing::info!(tool, "rejected"),
        EventKind::Withdrawn => tracing::info!(tool, "offered as it is served again"),
        EventKind::Released => tracing::info!(tool, "no longer held"),
        EventKind::Added
        | EventKind::Removed
        | EventKind::ServerAdded
        | EventKind::ServerRemoved => {}
    }
}
