//! Calls of tools a day, by caller.
//!
//! Invariant: a day is one of UTC; what was spent in it outlives a restart, save for the last few
//! seconds before the process is killed, since the file is written beside the calls and not in
//! them. The number of callers that are counted is bounded: beyond it new ones may not call.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::metrics::counter;
use axum::Extension;
use axum::response::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::Who;
use super::metrics::LIMITED;
use crate::access::caller::Proof;
use crate::access::keys::Book;
use crate::serve::door::Door;
use crate::serve::http::json;

const FILE: &str = "quotas.json";
const DAY: u64 = 86_400;
/// How often what was spent is written down.
const SAVE: Duration = Duration::from_secs(5);
/// The most callers that are counted in a day.
const MOST_CALLERS: usize = 100_000;

/// What callers have spent today; cheap to clone.
#[derive(Clone)]
pub struct Quotas(Arc<Inner>);

struct Inner {
    path: PathBuf,
    ledger: Mutex<Ledger>,
}

/// What is written down.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Ledger {
    /// Days since 1970.
    day: u64,
    /// Calls, by caller.
    spent: BTreeMap<String, u64>,
    #[serde(skip)]
    changed: bool,
}

/// There is nothing left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// How many calls a day it may have had.
    pub most: u64,
    /// Until the next day begins.
    pub resets: Duration,
}

impl Quotas {
    /// As they were when they were saved last in this folder.
    pub fn open(data: &Path) -> Self {
        let path = data.join(FILE);
        let ledger = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                let path = path.display();
                tracing::warn!(%error, "{path} can't be read: calls of today are counted anew");
                Ledger::default()
            }),
            Err(_) => Ledger::default(),
        };
        Self(Arc::new(Inner { path, ledger: Mutex::new(ledger) }))
    }

    /// Saves what changes, until `shutdown`.
    pub async fn follow(self, shutdown: CancellationToken) {
        while shutdown.run_until_cancelled(tokio::time::sleep(SAVE)).await.is_some() {
            self.save().await;
        }
    }

    /// Saves what has changed.
    pub async fn save(&self) {
        let ledger = {
            let mut ledger = self.lock();
            if !std::mem::take(&mut ledger.changed) {
                return;
            }
            ledger.clone()
        };
        let path = self.0.path.clone();
        let written = tokio::task::spawn_blocking(move || write(&path, &ledger)).await;
        if let Ok(Err(error)) = written {
            self.lock().changed = true;
            let path = self.0.path.display();
            tracing::warn!(%error, "{path} can't be written: a restart forgets calls of today");
        }
    }

    fn spend(&self, who: &str, most: u64, now: Duration) -> Result<(), Spent> {
        let mut ledger = self.today(now);
        let resets = Duration::from_secs(DAY - now.as_secs() % DAY);
        let is_full = ledger.spent.len() >= MOST_CALLERS && !ledger.spent.contains_key(who);
        let spent = ledger.spent.get(who).copied().unwrap_or(0);
        if spent >= most || is_full {
            counter!(LIMITED, "kind" => "quota").increment(1);
            return Err(Spent { most, resets });
        }
        ledger.spent.insert(who.to_owned(), spent + 1);
        ledger.changed = true;
        Ok(())
    }

    /// The ledger, new where a new day has begun. One that lies ahead was a wrong clock's.
    fn today(&self, now: Duration) -> MutexGuard<'_, Ledger> {
        let mut ledger = self.lock();
        let day = now.as_secs() / DAY;
        if ledger.day != day {
            let changed = !ledger.spent.is_empty();
            *ledger = Ledger { day, spent: BTreeMap::new(), changed };
        }
        ledger
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was spent today.
#[derive(Debug, Serialize, JsonSchema)]
pub struct QuotaList {
    /// Seconds until all of it begins anew.
    resets_s: u64,
    /// Calls by caller: `tenant:proof:name`, or `address:…` where nobody is asked.
    spent: BTreeMap<String, u64>,
    /// What the keys among these callers are called.
    names: BTreeMap<String, String>,
}

/// `GET /v1/admin/quotas`
pub async fn list(
    Extension(quotas): Extension<Quotas>,
    Extension(door): Extension<Door>,
) -> Response {
    let now = now();
    let spent = quotas.today(now).spent.clone();
    let names = door.keys().map(|keys| names(&spent, &keys.book())).unwrap_or_default();
    json(&QuotaList { resets_s: DAY - now.as_secs() % DAY, spent, names })
}

/// The names of those that are keys of the book, by caller.
fn names(spent: &BTreeMap<String, u64>, book: &Book) -> BTreeMap<String, String> {
    let name = |who: &String| {
        let (_, id) = who.split_once(&format!(":{:?}:key:", Proof::Key))?;
        Some((who.clone(), book.get(id)?.name.clone()))
    };
    spent.keys().filter_map(name).collect()
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Replaces the file as a whole; it is readable by us alone.
fn write(path: &Path, ledger: &Ledger) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(&serde_json::to_vec(ledger)?)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// What one caller may still spend; goes with a request of it.
#[derive(Clone)]
pub struct Purse {
    quotas: Quotas,
    who: String,
    most: u64,
}

impl Purse {
    /// Of this caller, who may have `most` calls a day.
    pub fn of(quotas: &Quotas, who: &Who, most: u64) -> Self {
        let who = match who {
            Who::Address(address) => format!("address:{address}"),
            Who::Anybody => "anybody".into(),
            Who::Caller { tenant, proof, name } => {
                let tenant = tenant.as_deref().unwrap_or_default();
                format!("{tenant}:{proof:?}:{name}")
            }
        };
        Self { quotas: quotas.clone(), who, most }
    }

    /// One call.
    pub fn spend(&self) -> Result<(), Spent> {
        self.quotas.spend(&self.who, self.most, now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Duration = Duration::from_secs(20_000 * DAY + DAY / 2);

    #[tokio::test]
    async fn what_was_spent_outlives_a_restart_and_ends_with_the_day() {
        let folder = tempfile::tempdir().unwrap();
        let quotas = Quotas::open(folder.path());
        quotas.spend("ada", 2, NOON).unwrap();
        quotas.spend("ada", 2, NOON).unwrap();
        let spent = Spent { most: 2, resets: Duration::from_secs(DAY / 2) };
        assert_eq!(quotas.spend("ada", 2, NOON), Err(spent));
        quotas.spend("bob", 2, NOON).unwrap();
        quotas.save().await;

        let again = Quotas::open(folder.path());
        assert_eq!(again.spend("ada", 2, NOON), Err(spent));
        again.spend("bob", 2, NOON).unwrap();
        assert!(again.spend("bob", 2, NOON).is_err());
        again.spend("ada", 2, NOON + Duration::from_secs(DAY / 2)).unwrap();
        // Nothing has been saved of that, as if it had been killed.
        let killed = Quotas::open(folder.path());
        killed.spend("bob", 2, NOON).unwrap();
    }

    #[test]
    fn a_damaged_file_is_no_reason_not_to_start() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "{\"day\":").unwrap();
        Quotas::open(folder.path()).spend("ada", 1, NOON).unwrap();
    }

    #[test]
    fn names_of_two_kinds_or_tenants_are_two_callers() {
        let folder = tempfile::tempdir().unwrap();
        let quotas = Quotas::open(folder.path());
        let who = |tenant: Option<&str>, proof, name: &str| Who::Caller {
            tenant: tenant.map(Into::into),
            proof,
            name: name.into(),
        };
        let all = [
            who(None, Proof::Key, "ada"),
            who(None, Proof::Token, "ada"),
            who(Some("acme"), Proof::Key, "ada"),
            Who::Address([10, 0, 0, 1].into()),
        ];
        for who in &all {
            Purse::of(&quotas, who, 1).spend().unwrap();
            assert!(Purse::of(&quotas, who, 1).spend().is_err());
        }
        assert_eq!(quotas.today(now()).spent.len(), all.len());
    }
}
