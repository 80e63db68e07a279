//! What operators switch while it runs: what is logged, and which share of queries.
//!
//! Invariant: what was switched for a time goes back by itself; queries are logged without what
//! looks like a person's or a secret.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::redact;
use crate::search::Answer;

/// Sets the filter of the log.
type Set = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// Why nothing was switched.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// The log belongs to somebody else.
    #[error("the log of this process can't be switched")]
    NoLog,
    /// It is no filter.
    #[error("not a filter: {0}: write a level, or pairs as in \"info,toolscout::crawl=debug\"")]
    Filter(String),
    /// It is no share.
    #[error("sample_queries must be from 0 to 1")]
    Share,
}

/// The switches; cheap to clone.
#[derive(Clone, Default)]
pub struct Switches(Arc<Inner>);

#[derive(Default)]
struct Inner {
    set: Option<Set>,
    log: Mutex<Log>,
    /// The bits of the share of queries that are logged.
    share: AtomicU64,
}

#[derive(Default)]
struct Log {
    usual: String,
    now: String,
    /// When it goes back.
    until: Option<Instant>,
    /// How often it was switched.
    times: u64,
}

/// How they stand.
#[derive(Debug, Clone, PartialEq)]
pub struct SwitchesNow {
    /// What is logged.
    pub filter: String,
    /// What is logged unless it is switched.
    pub usual: String,
    /// When it goes back to that.
    pub reverts_in: Option<Duration>,
    /// The share of queries that are logged.
    pub sample_queries: f64,
}

impl Switches {
    /// Of a log that is set by `set`, and now is as usual.
    pub fn of_log(
        usual: &str,
        set: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        let log = Log { usual: usual.to_owned(), now: usual.to_owned(), ..Log::default() };
        let (set, log) = (Some(Box::new(set) as Set), Mutex::new(log));
        Self(Arc::new(Inner { set, log, share: AtomicU64::new(0) }))
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.0.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How they stand.
    pub fn now(&self) -> SwitchesNow {
        let log = self.lock();
        SwitchesNow {
            filter: log.now.clone(),
            usual: log.usual.clone(),
            reverts_in: log.until.map(|until| until.saturating_duration_since(Instant::now())),
            sample_queries: self.share(),
        }
    }

    fn share(&self) -> f64 {
        f64::from_bits(self.0.share.load(Ordering::Relaxed))
    }

    /// Has this share of queries logged.
    pub fn set_share(&self, share: f64) -> Result<(), SwitchError> {
        if !(0.0..=1.0).contains(&share) {
            return Err(SwitchError::Share);
        }
        self.0.share.store(share.to_bits(), Ordering::Relaxed);
        Ok(())
    }

    /// Logs by this filter, `None` as usual; for this long, or until it is switched again. In a tokio
    /// runtime, which brings it back.
    pub fn set_log(&self, filter: Option<&str>, time: Option<Duration>) -> Result<(), SwitchError> {
        let set = self.0.set.as_ref().ok_or(SwitchError::NoLog)?;
        let mut log = self.lock();
        let filter = filter.map_or_else(|| log.usual.clone(), str::to_owned);
        set(&filter).map_err(SwitchError::Filter)?;
        log.times += 1;
        let times = log.times;
        let back = time.filter(|_| filter != log.usual);
        log.until = back.map(|time| Instant::now() + time);
        log.now.clone_from(&filter);
        drop(log);
        tracing::info!(filter, "the log is switched");
        if let Some(time) = back {
            let switches = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(time).await;
                // Unless somebody has switched it since.
                if switches.lock().times == times {
                    let _ = switches.set_log(None, None);
                }
            });
        }
        Ok(())
    }

    /// Logs a query, if it is one of those that are.
    pub fn sample(&self, texts: &[String], answer: Option<&Answer>) {
        let share = self.share();
        if share <= 0.0 || fastrand::f64() >= share {
            return;
        }
        let query = redact::text(&texts.join(" | "));
        let tools = answer.map(|answer| {
            answer.hits.iter().take(5).map(|hit| hit.tool.id.as_str()).collect::<Vec<_>>()
        });
        tracing::info!(
            target: "toolscout::queries",
            query,
            best = tools.unwrap_or_default().join(" "),
            no_good_match = answer.map(|answer| answer.no_good_match),
            took_us = answer.map(|answer| answer.took_us),
            "asked"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_switched_for_a_time_goes_back_unless_somebody_switched_it_since() {
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let told = Arc::clone(&seen);
        let switches = Switches::of_log("info", move |filter| {
            if filter.contains('!') {
                return Err("a mark".into());
            }
            told.lock().unwrap().push(filter.to_owned());
            Ok(())
        });
        switches.set_log(Some("debug"), Some(Duration::from_mins(1))).unwrap();
        assert_eq!(switches.now().filter, "debug");
        tokio::time::sleep(Duration::from_mins(2)).await;
        assert_eq!(switches.now().filter, "info");
        switches.set_log(Some("debug"), Some(Duration::from_mins(1))).unwrap();
        switches.set_log(Some("trace"), None).unwrap();
        assert!(matches!(switches.set_log(Some("!"), None), Err(SwitchError::Filter(_))));
        tokio::time::sleep(Duration::from_mins(2)).await;
        assert_eq!(switches.now().filter, "trace");
        switches.set_log(None, None).unwrap();
        assert_eq!(*seen.lock().unwrap(), ["debug", "info", "debug", "trace", "info"]);
    }

    #[test]
    fn shares_are_from_none_to_all() {
        let switches = Switches::default();
        assert!(matches!(switches.set_log(None, None), Err(SwitchError::NoLog)));
        for wrong in [-0.1, 1.1, f64::NAN] {
            assert!(switches.set_share(wrong).is_err());
        }
        switches.set_share(0.5).unwrap();
        assert!((switches.now().sample_queries - 0.5).abs() < f64::EPSILON);
    }
}
