//! What was asked lately, and how that was answered: counts and times by five seconds, minutes and
//! hours, the last queries, and those that found nothing with what they were filtered by.
//!
//! Invariant: its size is bounded, whatever is asked; the text of a query is kept as the policy says
//! and in memory alone, so what is on disk are counts. Noting takes one short lock and waits for
//! nothing else; whoever reads takes no more of it than handles.

pub mod asked;
pub mod file;
pub mod series;
pub mod tally;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use self::asked::{Asked, Missed, MissedQuery, Policy, Recent};
use self::series::{Series, Slot};
use self::tally::Counts;
use crate::audit::Way;
use crate::config::Told;
use crate::sealed::{self, SealedError};
use crate::search::{Answer, Mode, Query};

/// How many of the best tools of a search are named.
const NAMED: usize = 3;
/// Different reasons for less than hybrid answers that are told apart.
const MOST_REASONS: usize = 16;
/// What the others are called.
const OTHER_REASONS: &str = "another reason";
/// Seconds that are told as "now".
const LATELY: u64 = 30;
/// Seconds of the finest slots.
const FINEST: u64 = 5;
/// Seconds of a day.
const DAY: u64 = 86_400;

/// How far back is looked, and how finely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Range {
    /// The last ten minutes, by five seconds.
    #[default]
    #[value(name = "10m")]
    Minutes,
    /// The last six hours, by minutes.
    #[value(name = "6h")]
    Hours,
    /// The last 14 days, by hours: kept over restarts.
    #[value(name = "14d")]
    Days,
}

impl Range {
    /// Seconds of a slot, and how many there are.
    pub fn slots(self) -> (u64, usize) {
        match self {
            Self::Minutes => (FINEST, 120),
            Self::Hours => (60, 360),
            Self::Days => (3_600, 336),
        }
    }
}

/// A search, as it is noted.
pub struct Search<'a> {
    /// What was asked.
    pub query: &'a Query,
    /// What was found; `None` where it was refused.
    pub answer: Option<&'a Answer>,
    /// Bytes of all definitions that could have been found.
    pub whole_bytes: u64,
    /// Which way it came.
    pub way: Way,
    /// Who asked, as the audit log names them.
    pub caller: Arc<str>,
    /// Through which profile.
    pub profile: Option<Arc<str>>,
}

/// What is counted; a cheap handle.
#[derive(Clone)]
pub struct Activity(Arc<Inner>);

struct Inner {
    policy: Policy,
    /// Where the hours are kept; without it nowhere.
    path: Option<PathBuf>,
    book: Mutex<Book>,
}

struct Book {
    series: [Series; 3],
    /// Since it was counted first.
    total: Counts,
    since: SystemTime,
    recent: Recent,
    missed: Missed,
    reasons: Vec<(Arc<str>, u64)>,
    /// Something was counted that is not on disk.
    changed: bool,
}

/// What can be told at a moment.
pub struct Reading {
    /// When it was read.
    pub now: SystemTime,
    /// Since when is counted.
    pub since: SystemTime,
    /// What is kept of queries.
    pub told: Told,
    /// Slots of the range in which there was anything, oldest first.
    pub slots: Vec<Arc<Slot>>,
    /// Searches lately.
    pub lately: u64,
    /// Over how many seconds, about half a minute.
    pub lately_s: u64,
    /// Of this day (UTC).
    pub today: Counts,
    /// Of all since then.
    pub total: Counts,
    /// Why answers were less than hybrid since the start, and how many.
    pub reasons: Vec<(Arc<str>, u64)>,
    /// The number of the last search.
    pub last: u64,
    /// The last queries, newest first.
    pub recent: Vec<Arc<Asked>>,
    /// Those that found nothing, by how often.
    pub missed: Vec<MissedQuery>,
}

impl Default for Activity {
    /// Counts in memory alone, and keeps queries without persons and secrets.
    fn default() -> Self {
        Self::counting(Told::Redact, None, None)
    }
}

impl Activity {
    /// Goes on with what is kept in this file. One that can't be read is set aside.
    pub fn open(path: PathBuf, told: Told) -> Self {
        let kept = file::load(&path).unwrap_or_else(|error| {
            let aside = sealed::set_aside(&path);
            let aside = aside.map_or_else(|error| error.to_string(), |at| at.display().to_string());
            tracing::warn!(aside, "activity is counted anew: {error}");
            None
        });
        Self::counting(told, Some(path), kept)
    }

    fn counting(told: Told, path: Option<PathBuf>, kept: Option<file::Kept>) -> Self {
        let series = [Range::Minutes, Range::Hours, Range::Days].map(|range| {
            let (width, most) = range.slots();
            Series::new(width, most)
        });
        let mut book = Book {
            series,
            total: Counts::default(),
            since: SystemTime::now(),
            recent: Recent::after_start(),
            missed: Missed::default(),
            reasons: Vec::new(),
            changed: false,
        };
        if let Some(kept) = kept {
            (book.total, book.since) = (kept.total, kept.since);
            book.series[2].restore(kept.hours);
        }
        Self(Arc::new(Inner { policy: Policy::new(told), path, book: Mutex::new(book) }))
    }

    /// Notes a search.
    pub fn note_search(&self, search: Search<'_>) {
        let at = SystemTime::now();
        let text = self.0.policy.keep(&search.query.texts);
        let mut book = self.lock();
        let Some(answer) = search.answer else {
            book.count(at, Counts { refused: 1, ..Counts::default() }, None);
            let number = book.recent.next();
            book.recent.add(Asked::refused(number, at, text, search));
            return;
        };
        let sent: usize = answer.hits.iter().map(|hit| hit.tool.definition.get().len()).sum();
        let counts = Counts {
            searches: 1,
            lexical: u64::from(answer.mode == Mode::Lexical),
            dense: u64::from(answer.mode == Mode::Dense),
            degraded: u64::from(answer.reason.is_some()),
            cached: u64::from(answer.repeated),
            empty: u64::from(answer.hits.is_empty()),
            no_good_match: u64::from(answer.no_good_match && !answer.hits.is_empty()),
            sent_bytes: sent as u64,
            whole_bytes: search.whole_bytes,
            ..Counts::default()
        };
        book.count(at, counts, Some(answer.took_us));
        if let Some(reason) = &answer.reason {
            book.count_reason(reason);
        }
        if (answer.hits.is_empty() || answer.no_good_match)
            && let Some(text) = &text
        {
            let filter = asked::filter_of(search.query);
            book.missed.add(text, &filter, answer.hits.is_empty(), at);
        }
        let number = book.recent.next();
        book.recent.add(Asked::answered(number, at, text, search, answer));
    }

    /// Notes a call that has ended.
    pub fn note_call(&self, is_answered: bool) {
        let failed_calls = u64::from(!is_answered);
        let counts = Counts { calls: 1, failed_calls, ..Counts::default() };
        self.lock().count(SystemTime::now(), counts, None);
    }

    /// Notes a request that was not let in.
    pub fn note_turned_away(&self) {
        let counts = Counts { turned_away: 1, ..Counts::default() };
        self.lock().count(SystemTime::now(), counts, None);
    }

    /// What there is to tell of this range, and of queries after that number.
    pub fn read(&self, range: Range, after: u64) -> Reading {
        let now = SystemTime::now();
        let (width, most) = range.slots();
        let first = (seconds(now) / width + 1).saturating_sub(most as u64) * width;
        let book = self.lock();
        let missed = book.missed.all();
        // Of whole slots.
        let lately = (seconds(now) + 1).saturating_sub(LATELY).next_multiple_of(FINEST);
        let reading = Reading {
            now,
            since: book.since,
            told: self.0.policy.told(),
            slots: book.series[range as usize].since(first),
            lately: book.sum(Range::Minutes, lately).searches,
            lately_s: seconds(now) + 1 - lately,
            today: book.sum(Range::Days, seconds(now) / DAY * DAY),
            total: book.total,
            reasons: book.reasons.clone(),
            last: book.recent.last(),
            recent: book.recent.after(after),
            missed: Vec::new(),
        };
        drop(book);
        Reading { missed: asked::merge(missed, &self.0.policy), ..reading }
    }

    /// How the text of a query is shown; redacts it where nobody has before.
    pub fn shown<'a>(&self, asked: &'a Asked) -> Option<&'a str> {
        Some(asked.text.as_ref()?.shown(&self.0.policy))
    }

    /// Writes the hours down, if there is anything new and a place for it.
    pub fn save(&self) -> Result<(), SealedError> {
        let Some(path) = &self.0.path else { return Ok(()) };
        let kept = {
            let mut book = self.lock();
            if !std::mem::take(&mut book.changed) {
                return Ok(());
            }
            file::Kept { since: book.since, total: book.total, hours: book.series[2].since(0) }
        };
        file::save(path, &kept).inspect_err(|_| self.lock().changed = true)
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn count(&mut self, at: SystemTime, counts: Counts, took_us: Option<u64>) {
        for series in &mut self.series {
            let tally = series.slot(seconds(at));
            tally.counts += counts;
            if let Some(took) = took_us {
                tally.latency.record(took);
            }
        }
        self.total += counts;
        self.changed = true;
    }

    /// What was counted since then.
    fn sum(&self, range: Range, since: u64) -> Counts {
        let slots = self.series[range as usize].since(since);
        slots.iter().fold(Counts::default(), |sum, slot| sum + slot.tally.counts)
    }

    fn count_reason(&mut self, reason: &str) {
        if let Some((_, count)) = self.reasons.iter_mut().find(|(known, _)| **known == *reason) {
            *count += 1;
        } else if self.reasons.len() < MOST_REASONS {
            self.reasons.push((reason.into(), 1));
        } else {
            self.reasons[MOST_REASONS - 1].0 = OTHER_REASONS.into();
            self.reasons[MOST_REASONS - 1].1 += 1;
        }
    }
}

/// Since 1970.
pub fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn time(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}
