//! Learning from use while it serves: takes notes, puts what follows from them in force, keeps them.
//!
//! Invariant: a request only ever writes a note; evidence is in force, and on disk, within about a
//! second of it, and after an erasure before that is answered. What one scope has learned is never
//! seen by another. Without evidence of its scope a search does what it does where nothing is learned.

mod uses;
mod vectors;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use metrics::counter;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::vectors::Vectors;
use super::Live;
use super::answers::Answers;
use super::indexer::set_aside;
use crate::learn::book::{Book, Evidence, Key, Which};
use crate::learn::recent::Recent;
use crate::learn::{LearnError, MAX_TEXT_BYTES, Outcome, Rules, file};
use crate::sealed::SealedError;
use crate::search::Query;
use crate::search::learned::{Learned, Taught};
use crate::tool::ToolId;

/// Notes that come within this time of each other are put in force together.
const DEBOUNCE: Duration = Duration::from_millis(500);
/// Evidence fades without anybody saying a word.
const FADES: Duration = Duration::from_hours(1);
/// After this time an encoder that was too busy is asked again.
const RETRY: Duration = Duration::from_secs(10);
/// Texts that one scope can note a second, …
const RATE: f32 = 5.0;
/// … and at once.
const BURST: f32 = 100.0;

/// The evidence, and what follows from it; a cheap handle.
#[derive(Clone)]
pub struct Learner(Arc<Inner>);

struct Inner {
    rules: Rules,
    path: PathBuf,
    notes: Mutex<Notes>,
    /// By scope; one without evidence has nothing here.
    learned: ArcSwap<BTreeMap<Arc<str>, Arc<Learned>>>,
    /// Number of the latest change.
    changed: watch::Sender<u64>,
    /// Of the latest that is in force and on disk.
    settled: watch::Sender<u64>,
}

#[derive(Default)]
struct Notes {
    book: Book,
    recent: Recent,
    paces: BTreeMap<String, Pace>,
}

/// How much a scope may still note.
struct Pace {
    left: f32,
    at: Instant,
}

/// A piece of evidence as operators see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Noted {
    /// Whose it is.
    pub scope: String,
    /// What was asked, as it was asked.
    pub query: String,
    /// The tool's id.
    pub tool: String,
    /// What it weighs now; below zero where the tool was wrong.
    pub weight: f32,
    /// How often it was noted, and when last.
    pub evidence: Evidence,
}

impl Learner {
    /// Goes on with the evidence at `path`. What makes no sense there is set aside with a warning;
    /// what can't be read is an error, or the next evidence would take its place.
    pub async fn open(rules: Rules, path: PathBuf) -> Result<Self, SealedError> {
        let from = path.clone();
        let loaded = tokio::task::spawn_blocking(move || match file::load(&from) {
            Err(error @ SealedError::Io { .. }) => Err(error),
            Err(error) => {
                let said = format!("evidence of use {error}");
                set_aside(&from, &error, &said, "learning begins anew");
                Ok(Book::default())
            }
            Ok(book) => Ok(book.unwrap_or_default()),
        });
        let book = loaded.await.map_err(|error| SealedError::Io {
            path: path.clone(),
            source: std::io::Error::other(error),
        })??;
        Ok(Self(Arc::new(Inner {
            rules,
            path,
            notes: Mutex::new(Notes { book, ..Notes::default() }),
            learned: ArcSwap::default(),
            changed: watch::Sender::new(0),
            settled: watch::Sender::new(0),
        })))
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a scope has learned, if it has evidence.
    pub fn learned(&self, scope: &str) -> Option<Arc<Learned>> {
        self.0.learned.load().get(scope).cloned()
    }

    /// Notes what came of `tool` after a query of these texts. Whoever calls it has seen that the
    /// tool is there for the one who says so.
    pub fn note(
        &self,
        scope: &str,
        texts: &[String],
        tool: &ToolId,
        outcome: Outcome,
    ) -> Result<(), LearnError> {
        Query { texts: texts.to_vec(), ..Query::default() }.check(|_| true)?;
        if let Some(text) = texts.iter().find(|text| text.len() > MAX_TEXT_BYTES) {
            return Err(LearnError::TooLong(text.len()));
        }
        let mut notes = self.notes();
        if !notes.admit(scope, texts.len(), Instant::now()) {
            return Err(LearnError::TooMuch);
        }
        let now = SystemTime::now();
        for text in texts {
            notes.book.note(&self.0.rules, scope, text.trim(), tool, outcome, now);
        }
        drop(notes);
        counter!("toolscout_feedback_total", "outcome" => outcome.name()).increment(1);
        self.wake();
        Ok(())
    }

    /// Notes a search, for a call that may follow from it.
    pub fn note_search(&self, scope: &str, texts: &[String], found: Vec<ToolId>) {
        self.notes().recent.note(scope, texts, found, Instant::now());
    }

    /// Notes that `tool` was called; true if that follows from a search.
    pub fn note_use(&self, scope: &str, tool: &ToolId) -> bool {
        let texts = self.notes().recent.take(scope, tool, Instant::now());
        texts.is_some_and(|texts| self.note(scope, &texts, tool, Outcome::Chosen).is_ok())
    }

    /// How many pieces of evidence there are.
    pub fn count(&self) -> usize {
        self.notes().book.len()
    }

    /// The evidence, ordered by scope, query and tool.
    pub fn list(&self, which: &Which) -> Vec<Noted> {
        let now = SystemTime::now();
        let notes = self.notes();
        let one = |(scope, (query, tool), evidence): (&str, &Key, &Evidence)| Noted {
            scope: scope.to_owned(),
            query: query.to_string(),
            tool: tool.to_string(),
            weight: evidence.weight_at(now, self.0.rules.half_life),
            evidence: *evidence,
        };
        notes.book.pieces(which).map(one).collect()
    }

    /// Erases evidence, in force and on disk; gives how many pieces there were.
    pub async fn forget(&self, which: &Which) -> usize {
        let count = {
            let mut notes = self.notes();
            notes.recent.clear();
            notes.book.forget(which)
        };
        if count > 0 {
            self.wake();
            self.settled().await;
        }
        count
    }

    /// Waits until all that was noted so far is in force and on disk.
    pub async fn settled(&self) {
        let number = *self.0.changed.borrow();
        // The sender lives in `self`, so waiting can't fail.
        let _ = self.0.settled.subscribe().wait_for(|settled| *settled >= number).await;
    }

    /// Has what follows from the evidence made anew.
    pub(super) fn wake(&self) {
        self.0.changed.send_modify(|latest| *latest += 1);
    }

    /// Puts notes in force for `live` and keeps them, until `shutdown`.
    pub async fn run(self, live: Live, shutdown: CancellationToken) {
        let mut changed = self.0.changed.subscribe();
        let mut vectors = Vectors::default();
        let (mut saved, mut unsaved) = (0, false);
        while !shutdown.is_cancelled() {
            let number = *changed.borrow_and_update();
            let faded = self.notes().book.fade(&self.0.rules, SystemTime::now());
            let complete = self.publish(&live, &mut vectors).await;
            if unsaved || faded || number > saved {
                unsaved = !self.save().await;
                saved = number;
            }
            // What was erased is not, as long as the disk has it.
            if !unsaved {
                self.0.settled.send_replace(number);
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                _ = changed.changed() => {
                    let _ = tokio::time::timeout(DEBOUNCE, shutdown.cancelled()).await;
                }
                () = tokio::time::sleep(if complete && !unsaved { FADES } else { RETRY }) => {}
            }
        }
        if unsaved || *changed.borrow_and_update() > saved {
            self.save().await;
        }
        // Nobody waits for what is not going to come.
        self.0.settled.send_replace(u64::MAX);
    }

    /// Makes what follows from the evidence; false where the encoder could not give all vectors.
    async fn publish(&self, live: &Live, vectors: &mut Vectors) -> bool {
        let book = self.notes().book.clone();
        let encoder = live.0.encoder.load_full();
        let complete = vectors.update(&encoder, &book).await;
        let now = SystemTime::now();
        let half_life = self.0.rules.half_life;
        let taught: Vec<_> = book
            .scopes()
            .map(|(scope, pieces)| {
                let mut taught: Vec<Taught> = Vec::new();
                // Ordered by query, so what belongs to one stands together.
                for ((text, tool), evidence) in pieces {
                    let told = (tool.clone(), evidence.weight_at(now, half_life));
                    match taught.last_mut().filter(|last| last.text == *text) {
                        Some(last) => last.tools.push(told),
                        None => taught.push(Taught {
                            text: Arc::clone(text),
                            vector: vectors.known.get(text).cloned(),
                            tools: vec![told],
                        }),
                    }
                }
                (Arc::clone(scope), taught, vectors.space.clone())
            })
            .collect();
        let made = tokio::task::spawn_blocking(move || {
            let one = |(scope, taught, space)| (scope, Arc::new(Learned::of(taught, space)));
            taught.into_iter().map(one).collect::<BTreeMap<_, _>>()
        });
        match made.await {
            Ok(learned) => {
                self.0.learned.store(Arc::new(learned));
                live.0.answers.store(Arc::new(Answers::new()));
            }
            Err(error) => tracing::error!(%error, "what was learned can't be put in force"),
        }
        complete
    }

    /// Keeps the evidence on disk; false where that failed.
    async fn save(&self) -> bool {
        let (path, book) = (self.0.path.clone(), self.notes().book.clone());
        match tokio::task::spawn_blocking(move || file::save(&path, &book)).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::warn!(
                    "evidence of use {error}: a restart will not know what was learned last"
                );
                false
            }
            Err(error) => {
                tracing::error!(%error, "evidence of use was not saved");
                false
            }
        }
    }
}

impl Notes {
    /// A bucket of tokens for each scope.
    fn admit(&mut self, scope: &str, texts: usize, now: Instant) -> bool {
        let pace = self.paces.entry(scope.to_owned()).or_insert(Pace { left: BURST, at: now });
        let since = now.saturating_duration_since(pace.at).as_secs_f32();
        *pace = Pace { left: (pace.left + since * RATE).min(BURST), at: now };
        #[expect(clippy::cast_precision_loss, reason = "a few phrasings")]
        let wanted = texts as f32;
        let admitted = pace.left >= wanted;
        pace.left -= if admitted { wanted } else { 0.0 };
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_notes_so_much_at_once_and_so_much_a_second() {
        let mut notes = Notes::default();
        let start = Instant::now();
        let taken = |notes: &mut Notes, scope, at| {
            (0..1_000).take_while(|_| notes.admit(scope, 2, at)).count()
        };
        assert_eq!(taken(&mut notes, "a", start), 50);
        assert_eq!(taken(&mut notes, "b", start), 50, "another has its own");
        assert_eq!(taken(&mut notes, "a", start), 0);
        assert_eq!(taken(&mut notes, "a", start + Duration::from_secs(2)), 5);
        assert_eq!(taken(&mut notes, "a", start + Duration::from_hours(1)), 50);
    }
}
