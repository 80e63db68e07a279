//! What is known of a login, here and on disk.
//!
//! Invariants: tokens are used from when they come, also where they can't be kept; the later login
//! stands, and of one login the later token, whoever got it; a refresh replaces the tokens of the
//! login that it was of, and no other's.

use std::sync::{Arc, PoisonError};

use super::Account;
use crate::auth::error::AuthError;
use crate::auth::manager::Keeper;
use crate::auth::record::{Record, Tokens, now};

impl Account {
    /// Takes over what another process wrote; true where that is another token.
    pub(in crate::auth) fn reload(&self) -> Result<bool, AuthError> {
        let found = self.vault.read(self.server.as_str())?;
        // Tokens of where the server was before go nowhere.
        Ok(self.adopt(found.filter(|record| record.url == self.url.as_str())))
    }

    /// As [`Account::reload`]; where nothing can be read, what is known here will do.
    pub(super) fn look(&self) -> bool {
        self.reload().unwrap_or_else(|error| {
            tracing::warn!(server = %self.server, %error, "the kept login can't be read");
            false
        })
    }

    fn adopt(&self, mut found: Option<Record>) -> bool {
        let mut state = self.state();
        if let (Some(_), Some(ours)) = (&state.unsaved, &state.record) {
            let Some(theirs) = found.as_mut().filter(|found| found.age() > ours.age()) else {
                return false;
            };
            let wants = ours.who == theirs.who && theirs.want(&ours.wanted);
            state.unsaved = wants.then(|| "not yet written".into());
        }
        let access = |record: &Option<Record>| {
            record.as_ref().and_then(|record| record.tokens.as_ref().map(|t| t.access.clone()))
        };
        let (before, after) = (access(&state.record), access(&found));
        state.record = found;
        if after != before {
            state.tried = None;
        }
        after.is_some() && after != before
    }

    /// Keeps new tokens: here first, then on disk.
    pub(in crate::auth) async fn keep(
        self: &Arc<Self>,
        tokens: Tokens,
        issuer: Option<String>,
        from: &Keeper,
    ) {
        if !self.take(tokens, issuer, from) {
            tracing::info!(server = %self.server, "the login that was refreshed is no more");
            return;
        }
        self.write(from.refreshes.is_some()).await;
        if from.refreshes.is_none() {
            self.news.tell(&self.server);
        }
    }

    fn take(&self, tokens: Tokens, issuer: Option<String>, from: &Keeper) -> bool {
        let mut state = self.state();
        let mut record = self.nothing();
        record.issuer = issuer;
        record.client = Some(from.client.clone());
        record.challenge.clone_from(&from.challenge);
        record.tokens = Some(tokens);
        let before = state.record.as_ref();
        match &from.refreshes {
            None => {
                record.who = format!("{:032x}", fastrand::u128(..));
                // Later than the one before, whatever has become of the clock.
                record.since = before.map_or(0, |before| before.since + 1).max(now());
            }
            Some(who) => {
                if before.map_or("", |before| &before.who) != who {
                    return false;
                }
                record.wanted = before.map(|before| before.wanted.clone()).unwrap_or_default();
                record.since = before.map_or(0, |before| before.since);
                record.turn = before.map_or(0, |before| before.turn + 1);
                record.who.clone_from(who);
            }
        }
        state.record = Some(record);
        state.unsaved = Some("not yet written".into());
        state.challenge = None;
        state.tried = None;
        true
    }

    /// The refresh token of this login is worth nothing any more. The access token may be: its
    /// server decides.
    pub(super) async fn end(self: &Arc<Self>, who: &str, why: &str) {
        tracing::warn!(server = %self.server, why, "the login has ended");
        {
            let mut state = self.state();
            let Some(record) = state.record.as_mut().filter(|record| record.who == who) else {
                return;
            };
            record.ended = Some(why.to_owned());
            if let Some(tokens) = &mut record.tokens {
                tokens.refresh = None;
            }
            state.unsaved = Some("not yet written".into());
        }
        self.write(true).await;
    }

    /// Writes what is not on disk yet.
    pub(super) async fn save(self: &Arc<Self>) {
        self.write(false).await;
    }

    /// Only a refresh `has_lock`, the one over all processes.
    async fn write(self: &Arc<Self>, has_lock: bool) {
        if self.state().unsaved.is_none() {
            return;
        }
        let account = Arc::clone(self);
        let written = tokio::task::spawn_blocking(move || account.write_now(has_lock));
        if let Ok(Some(error)) = written.await {
            let server = &self.server;
            tracing::error!(%server, error, "the token is in use, but not kept: free the disk, or a restart needs a new login");
        }
    }

    /// Why it can't be written. What is known by now counts, not what was when somebody asked.
    fn write_now(&self, has_lock: bool) -> Option<String> {
        // A folder that can't be written to has no other process that writes.
        let _other_processes =
            if has_lock { None } else { self.vault.lock(self.server.as_str()).ok() };
        let _other_threads = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.look() {
            self.news.tell(&self.server);
        }
        let record = {
            let state = self.state();
            match (&state.unsaved, &state.record) {
                (Some(_), Some(record)) => record.clone(),
                _ => return None,
            }
        };
        let error = self.vault.write(&record).err().map(|error| error.to_string());
        let mut state = self.state();
        if state.record.as_ref() == Some(&record) {
            state.unsaved.clone_from(&error);
        }
        error
    }
}
