//! What is kept of a registry between runs: `DATA/registry/NAME.json`, and the approvals in
//! `DATA/registry/NAME.approved`.
//!
//! Invariant: a file is replaced in one step; one that can't be read is set aside, never
//! overwritten.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::{Approvals, Candidate, Picked, State, pick};
use crate::config::RegistryConfig;

/// Where a registry is kept.
#[derive(Debug, Clone)]
pub struct Kept {
    config: RegistryConfig,
    state: PathBuf,
    approved: PathBuf,
}

/// Why an approval was not kept.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// No such server waits.
    #[error("no server {0:?} is listed by a registry that is followed: see `registry pending`")]
    Unknown(String),
    /// It is not where it was looked at.
    #[error("{id} is at {url} by now: look at that, and approve it there")]
    Moved {
        /// Its id.
        id: String,
        /// Where it is.
        url: String,
    },
    /// The data folder.
    #[error("can't keep it in {0}: {1}")]
    Io(PathBuf, io::Error),
}

impl Kept {
    /// The files of a registry in the data folder.
    pub fn new(data: &Path, config: &RegistryConfig) -> Self {
        let folder = data.join("registry");
        Self {
            config: config.clone(),
            state: folder.join(format!("{}.json", config.name)),
            approved: folder.join(format!("{}.approved", config.name)),
        }
    }

    /// Its configuration.
    pub fn config(&self) -> &RegistryConfig {
        &self.config
    }

    /// What was known at the end of the last run.
    pub fn state(&self) -> State {
        let text = match fs::read(&self.state) {
            Ok(text) => text,
            Err(error) => {
                if error.kind() != ErrorKind::NotFound {
                    tracing::warn!(file = %self.state.display(), %error, "can't be read");
                }
                return State::default();
            }
        };
        serde_json::from_slice(&text).unwrap_or_else(|error| {
            let aside = self.state.with_extension("json.damaged");
            let moved = fs::rename(&self.state, &aside).is_ok();
            tracing::warn!(file = %self.state.display(), %error, moved, "damaged, set aside");
            State::default()
        })
    }

    /// Keeps what is known.
    pub fn save(&self, state: &State) -> io::Result<()> {
        let folder = self.state.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let text = serde_json::to_string(state)?;
        crate::config::edit::write(&self.state, &text, 0o600)
    }

    /// What operators have approved. What can't be read is not approved.
    pub fn approvals(&self) -> Approvals {
        Approvals::read(&self.approved).unwrap_or_else(|error| {
            tracing::warn!(folder = %self.approved.display(), %error, "can't be read");
            Approvals::default()
        })
    }

    /// What changes when an approval does.
    pub(super) fn stamp(&self) -> Option<std::time::SystemTime> {
        fs::metadata(&self.approved).ok()?.modified().ok()
    }

    /// What is taken of what is kept.
    pub fn picked(&self) -> Picked {
        pick(&self.state(), &self.config, &self.approvals())
    }

    /// Approves a server where it is now; with `at` only if it is there.
    pub fn approve(&self, candidate: &Candidate, at: Option<&str>) -> Result<(), KeptError> {
        if at.is_some_and(|at| !candidate.is_at(at)) {
            let (id, url) = (candidate.id.clone(), candidate.url.clone());
            return Err(KeptError::Moved { id, url });
        }
        Approvals::add(&self.approved, &candidate.id, &candidate.url)
            .map_err(|error| KeptError::Io(self.approved.clone(), error))
    }

    /// Takes an approval back; false where there is none.
    pub fn revoke(&self, id: &str) -> Result<bool, KeptError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if !id.chars().all(plain) {
            return Ok(false);
        }
        Approvals::remove(&self.approved, id)
            .map_err(|error| KeptError::Io(self.approved.clone(), error))
    }
}
