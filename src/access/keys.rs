//! API keys: what is kept of each, and whose one is that somebody shows.
//!
//! Invariant: of a secret nothing is kept but its hash, and it is shown when it is made and never
//! again. A key counts until it is revoked or expires, an old secret of it until its overlap ends.
//!
//! The hash is a fast one: a secret has 256 random bits, so there is nothing to guess that a slow
//! hash would protect, and whoever asks waits for it on every request.

pub mod file;
pub mod secret;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::secret::{Hash, Secret};
use super::caller::{Allowance, Caller, Proof, Scope};

/// Keys at most, the revoked ones too.
pub const MOST: usize = 10_000;
/// The longest name of one.
const LONGEST: usize = 100;

/// How long a key may count: beyond that its end is no date that can be told.
const LONGEST_LIFE: Duration = Duration::from_hours(24 * 365 * 100);

/// Seconds since 1970.
pub type Seconds = u64;

/// What is kept of a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// Stands in the key itself, in logs and in lists.
    pub id: Arc<str>,
    /// What its maker calls it.
    pub name: String,
    /// What its holder may do.
    pub scopes: Vec<Scope>,
    /// The only view that its holder sees.
    pub profile: Option<Arc<str>>,
    /// Whose tools its holder sees.
    pub tenant: Option<Arc<str>>,
    /// How much its holder may do, where that is said.
    pub allowance: Allowance,
    /// When it was made.
    pub created: Seconds,
    /// From when on it does not count.
    pub expires: Option<Seconds>,
    /// When it was revoked.
    pub revoked: Option<Seconds>,
    /// When it was last used, roughly.
    pub last_used: Option<Seconds>,
    hash: Hash,
    /// Its secret of before, and until when that counts.
    old: Option<(Hash, Seconds)>,
}

/// A key that is to be made.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NewKey {
    /// What it is called.
    pub name: String,
    /// What its holder may do.
    pub scopes: Vec<Scope>,
    /// The only view that its holder sees.
    pub profile: Option<String>,
    /// Whose tools its holder sees.
    pub tenant: Option<String>,
    /// How much its holder may do.
    pub allowance: Allowance,
    /// How long it counts.
    pub lasts: Option<Duration>,
}

/// Why a key can't be made or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No name that can be shown.
    #[error("a key needs a name of 1 to {LONGEST} characters, without control characters")]
    Name,
    /// It could do nothing.
    #[error("a key needs a scope: search, call or admin")]
    Scopes,
    /// Who administers sees everything.
    #[error("a key with the scope admin sees everything: leave out the profile, or the scope")]
    LockedAdmin,
    /// No allowance that could be kept to.
    #[error("rate has to be a number above 0, burst and calls_per_day 1 or more")]
    Allowance,
    /// It would end too late.
    #[error(
        "a key counts for 100 years at most: leave its end out, and it counts until it is revoked"
    )]
    Lasts,
    /// No such key.
    #[error("there is no key {0:?}: `toolscout key list` has their ids")]
    Unknown(String),
    /// It does not count any more.
    #[error("the key {0:?} is revoked or has expired: make a new one")]
    Over(String),
    /// No more of them.
    #[error("there are {MOST} keys, which is the most")]
    Full,
    /// No random numbers.
    #[error("the system gives no random numbers")]
    NoRandom,
}

/// Why a key that was shown does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It is none, or none of ours, or its secret is wrong: nobody is told which.
    Unknown,
    /// It has expired, or an old secret of it has.
    Expired,
    /// It was revoked.
    Revoked,
}

/// All keys.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Book {
    keys: BTreeMap<Arc<str>, Key>,
}

impl Key {
    /// It counts now.
    pub fn counts(&self, now: Seconds) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|end| now < end)
    }

    /// What somebody who shows it is let in as.
    pub fn caller(&self) -> Caller {
        Caller {
            name: format!("key:{}", self.id).into(),
            proof: Proof::Key,
            scopes: self.scopes.iter().copied().collect(),
            profile: self.profile.clone(),
            tenant: self.tenant.clone(),
            allowance: self.allowance,
        }
    }
}

impl NewKey {
    fn check(&self) -> Result<(), KeyError> {
        let name = self.name.trim();
        let length = name.chars().count();
        if !(1..=LONGEST).contains(&length) || name.chars().any(char::is_control) {
            return Err(KeyError::Name);
        }
        if self.scopes.is_empty() {
            return Err(KeyError::Scopes);
        }
        if self.profile.is_some() && self.scopes.contains(&Scope::Admin) {
            return Err(KeyError::LockedAdmin);
        }
        if self.lasts.is_some_and(|lasts| lasts > LONGEST_LIFE) {
            return Err(KeyError::Lasts);
        }
        let Allowance { rate, burst, calls_per_day } = self.allowance;
        let sound = rate.is_none_or(|rate| rate.is_finite() && rate > 0.0)
            && burst != Some(0)
            && calls_per_day != Some(0);
        if sound { Ok(()) } else { Err(KeyError::Allowance) }
    }
}

impl Book {
    /// Makes a key.
    pub fn create(&mut self, new: NewKey, now: Seconds) -> Result<(&Key, Secret), KeyError> {
        new.check()?;
        if self.keys.len() >= MOST {
            return Err(KeyError::Full);
        }
        let secret = loop {
            let secret = Secret::random(None)?;
            if !self.keys.contains_key(secret.id()) {
                break secret;
            }
        };
        let mut scopes = new.scopes;
        scopes.sort_unstable();
        scopes.dedup();
        let id: Arc<str> = secret.id().into();
        let key = Key {
            id: Arc::clone(&id),
            name: new.name.trim().to_owned(),
            scopes,
            profile: new.profile.map(Into::into),
            tenant: new.tenant.map(Into::into),
            allowance: new.allowance,
            created: now,
            expires: new.lasts.map(|lasts| now.saturating_add(lasts.as_secs())),
            revoked: None,
            last_used: None,
            hash: secret.hash(),
            old: None,
        };
        Ok((self.keys.entry(id).or_insert(key), secret))
    }

    /// Gives a key another secret; the one that it had counts for `overlap` more, and one of before
    /// not at all.
    pub fn rotate(
        &mut self,
        id: &str,
        overlap: Duration,
        now: Seconds,
    ) -> Result<(&Key, Secret), KeyError> {
        let key = self.keys.get_mut(id).ok_or_else(|| KeyError::Unknown(id.to_owned()))?;
        if !key.counts(now) {
            return Err(KeyError::Over(id.to_owned()));
        }
        let secret = Secret::random(Some(id))?;
        let old = std::mem::replace(&mut key.hash, secret.hash());
        key.old = Some((old, now.saturating_add(overlap.as_secs())));
        Ok((key, secret))
    }

    /// Revokes a key, for good.
    pub fn revoke(&mut self, id: &str, now: Seconds) -> Result<&Key, KeyError> {
        let key = self.keys.get_mut(id).ok_or_else(|| KeyError::Unknown(id.to_owned()))?;
        key.revoked.get_or_insert(now);
        Ok(key)
    }

    /// The key that somebody shows. An unknown one takes as long as a wrong one.
    pub fn find(&self, said: &str, now: Seconds) -> Result<&Key, Refused> {
        let secret = Secret::parse(said).ok_or(Refused::Unknown)?;
        let hash = secret.hash();
        let key = self.keys.get(secret.id());
        // Hashes compare in constant time; what can't be right is compared with as well.
        let never = Hash::never();
        let now_is = hash == *key.map_or(&never, |key| &key.hash);
        let old = key.and_then(|key| key.old.as_ref());
        let was = hash == *old.map_or(&never, |(old, _)| old);
        let Some(key) = key.filter(|_| now_is || was) else { return Err(Refused::Unknown) };
        if key.revoked.is_some() {
            return Err(Refused::Revoked);
        }
        let in_time = now_is || old.is_some_and(|(_, end)| now < *end);
        if in_time && key.counts(now) { Ok(key) } else { Err(Refused::Expired) }
    }

    /// The key of this id.
    pub fn get(&self, id: &str) -> Option<&Key> {
        self.keys.get(id)
    }

    /// Every key, by id.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.values()
    }

    /// Notes when a key was last used.
    pub fn note_use(&mut self, id: &str, at: Seconds) {
        if let Some(key) = self.keys.get_mut(id) {
            key.last_used = key.last_used.max(Some(at));
        }
    }
}
