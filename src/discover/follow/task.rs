//! The task that follows a registry, and the handle on all of them.
//!
//! Invariant: a registry that is down, or talks nonsense, changes nothing of what is known; a
//! restart begins with what was known.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{Kept, KeptError, MOST_KNOWN, Picked, State, pick};
use crate::config::{Config, NetworkConfig, RegistryConfig};
use crate::discover::fetch::FetchError;
use crate::discover::registry::{Most, Registry, RegistryError, Wanted};
use crate::roster::{Found, Roster};

/// A registry is read as a whole this often: not all tell of everything that changed.
const WHOLE_EVERY: Duration = Duration::from_hours(24);
/// What was changed this long before the last change that is known is asked for again: a registry
/// may tell of changes late.
const OVERLAP: Duration = Duration::from_mins(5);
/// Approvals of other processes are looked for this often.
const LOOK: Duration = Duration::from_secs(2);
/// The first and the longest wait after a failure.
const FIRST_RETRY: Duration = Duration::from_secs(5);
const LAST_RETRY: Duration = Duration::from_mins(15);
const MOST: Most = Most { pages: 2_000, servers: MOST_KNOWN, bytes: 128 << 20 };

/// How a registry does.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Followed {
    /// Its name in the configuration.
    pub name: String,
    /// Its host.
    pub host: String,
    /// How many of its servers are taken.
    pub servers: usize,
    /// How many of those wait for approval.
    pub pending: usize,
    /// Which, and where they are.
    pub waiting: Vec<Waiting>,
    /// How many more there are than `max`.
    pub beyond_max: usize,
    /// How many want values first: `toolscout registry add NAME` writes them down.
    pub need_values: usize,
    /// Ids of servers that are no longer recommended, and why.
    #[schemars(with = "Vec<(String, String)>")]
    pub deprecated: Vec<(String, String)>,
    /// Seconds since it was last asked with success; absent before that.
    pub checked_age_s: Option<u64>,
    /// Why it could not be asked since then.
    pub error: Option<String>,
}

/// A server that waits for approval.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Waiting {
    /// Its id.
    pub id: String,
    /// Where it is now.
    pub url: String,
}

/// A handle on the registries that are followed; cheap to clone.
#[derive(Clone, Default)]
pub struct Follower(Arc<Vec<Arc<One>>>);

struct One {
    kept: Kept,
    network: NetworkConfig,
    /// An approval changed.
    approved: Notify,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    picked: Picked,
    checked: Option<SystemTime>,
    error: Option<String>,
}

impl Follower {
    /// The registries that are configured, as they were known at the end of the last run.
    pub fn open(config: &Config) -> Self {
        let network = &config.defaults.network;
        let one = |registry: &RegistryConfig| {
            let kept = Kept::new(&config.data, registry);
            let seen = Mutex::new(Seen { picked: kept.picked(), ..Seen::default() });
            Arc::new(One { kept, network: network.clone(), approved: Notify::new(), seen })
        };
        Self(Arc::new(config.registries.iter().map(one).collect()))
    }

    /// The servers that are known of each, by its name.
    pub fn found(&self) -> impl Iterator<Item = (String, Vec<Found>)> {
        self.0.iter().map(|one| (one.kept.config().name.clone(), one.found()))
    }

    /// Begins to follow them all until `shutdown`.
    pub fn start(&self, roster: &Roster, shutdown: &CancellationToken) {
        for one in self.0.iter() {
            let (one, roster, shutdown) = (Arc::clone(one), roster.clone(), shutdown.clone());
            let follow = async move {
                tokio::select! {
                    () = one.follow(&roster) => {}
                    () = shutdown.cancelled() => {}
                }
            };
            tokio::spawn(follow.in_current_span());
        }
    }

    /// How each of them does.
    pub fn status(&self) -> Vec<Followed> {
        self.0.iter().map(|one| one.status()).collect()
    }

    /// Approves a server, which is then connected to; with `at` only if it is there. It reads and
    /// writes files.
    pub fn approve(&self, id: &str, at: Option<&str>) -> Result<(), KeptError> {
        for one in self.0.iter() {
            let found = {
                let seen = one.seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.picked.servers.iter().find(|candidate| candidate.id == id).cloned()
            };
            if let Some(candidate) = found {
                one.kept.approve(&candidate, at)?;
                one.approved.notify_one();
                return Ok(());
            }
        }
        Err(KeptError::Unknown(id.to_owned()))
    }

    /// Takes an approval back. It writes files.
    pub fn revoke(&self, id: &str) -> Result<(), KeptError> {
        let mut taken = false;
        for one in self.0.iter() {
            if one.kept.revoke(id)? {
                taken = true;
                one.approved.notify_one();
            }
        }
        if taken { Ok(()) } else { Err(KeptError::Unknown(id.to_owned())) }
    }
}

impl One {
    fn found(&self) -> Vec<Found> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let config = self.kept.config();
        seen.picked.servers.iter().filter_map(|candidate| candidate.found(config)).collect()
    }

    fn status(&self) -> Followed {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let config = self.kept.config();
        let servers = &seen.picked.servers;
        let waiting = servers.iter().filter(|candidate| !candidate.approved);
        let waiting: Vec<_> = waiting
            .map(|candidate| Waiting { id: candidate.id.clone(), url: candidate.url.clone() })
            .collect();
        let deprecated = servers
            .iter()
            .filter_map(|candidate| Some((candidate.id.clone(), candidate.deprecated.clone()?)));
        Followed {
            name: config.name.clone(),
            host: config.url.host_str().unwrap_or_default().to_owned(),
            servers: servers.len(),
            pending: waiting.len(),
            waiting,
            beyond_max: seen.picked.beyond,
            need_values: seen.picked.wanting,
            deprecated: deprecated.collect(),
            checked_age_s: seen.checked.map(|checked| {
                SystemTime::now().duration_since(checked).unwrap_or_default().as_secs()
            }),
            error: seen.error.clone(),
        }
    }

    async fn follow(&self, roster: &Roster) {
        let config = self.kept.config();
        let mut state = self.load().await;
        let mut failures = 0;
        // Nothing was told since this process began.
        let mut stamp = None;
        loop {
            let wait = match self.ask(&mut state).await {
                Ok(listing) => {
                    failures = 0;
                    self.told(&listing);
                    self.keep(&state).await;
                    stamp = Some(self.kept.stamp());
                    self.tell(&state, roster).await;
                    config.refresh
                }
                Err(error) => {
                    let retry = FIRST_RETRY * 2_u32.saturating_pow(failures);
                    failures = (failures + 1).min(16);
                    self.failed(&error);
                    retry.min(LAST_RETRY).min(config.refresh)
                }
            };
            let next = tokio::time::sleep(wait.mul_f64(0.9 + 0.2 * fastrand::f64()));
            tokio::pin!(next);
            loop {
                tokio::select! {
                    () = &mut next => break,
                    () = self.approved.notified() => {}
                    () = tokio::time::sleep(LOOK) => {
                        if Some(self.kept.stamp()) == stamp {
                            continue;
                        }
                    }
                }
                stamp = Some(self.kept.stamp());
                self.tell(&state, roster).await;
            }
        }
    }

    /// Asks for what changed, or for everything, and takes it only if it came to its end.
    async fn ask(&self, state: &mut State) -> Result<Vec<String>, RegistryError> {
        let config = self.kept.config();
        let registry =
            Registry::new(&config.url, &self.network).map_err(|source: FetchError| {
                RegistryError::Fetch { at: config.name.clone(), source }
            })?;
        let now = millis(SystemTime::now());
        let asked = config.url.to_string();
        let since = UNIX + Duration::from_millis(state.since);
        let is_old = now.saturating_sub(state.whole_at) > whole(WHOLE_EVERY)
            // A clock that was set back.
            || state.whole_at > now;
        let is_whole = is_old || state.since == 0 || state.asked != asked;
        let wanted = if is_whole {
            Wanted::default()
        } else {
            Wanted { search: None, since: since.checked_sub(OVERLAP) }
        };
        let mut next = if is_whole {
            State { asked, whole_at: now, ..State::default() }
        } else {
            state.clone()
        };
        let defects = registry.list(&wanted, MOST, |listed| next.fold(listed)).await?;
        // What a registry says of times to come must not keep us from asking about today.
        next.since = next.since.min(now);
        *state = next;
        Ok(defects)
    }

    fn told(&self, defects: &[String]) {
        let name = &self.kept.config().name;
        for defect in defects {
            tracing::debug!(registry = name, defect, "an entry was left out");
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.error.take().is_some() {
            tracing::info!(registry = name, "the registry answers again");
        }
        seen.checked = Some(SystemTime::now());
    }

    fn failed(&self, error: &RegistryError) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let error = error.to_string();
        if seen.error.as_ref() != Some(&error) {
            let name = &self.kept.config().name;
            tracing::warn!(registry = name, error, "what is known of the registry stays");
        }
        seen.error = Some(error);
    }

    async fn load(&self) -> State {
        let kept = self.kept.clone();
        tokio::task::spawn_blocking(move || kept.state()).await.unwrap_or_default()
    }

    async fn keep(&self, state: &State) {
        let (kept, state) = (self.kept.clone(), state.clone());
        let saved = tokio::task::spawn_blocking(move || kept.save(&state)).await;
        if let Ok(Err(error)) = saved {
            let name = &self.kept.config().name;
            tracing::warn!(registry = name, %error, "what is known can't be kept for a restart");
        }
    }

    /// Hands what is taken of what is known to the roster.
    async fn tell(&self, state: &State, roster: &Roster) {
        let kept = self.kept.clone();
        let approvals = tokio::task::spawn_blocking(move || kept.approvals()).await;
        let config = self.kept.config();
        let picked = pick(state, config, &approvals.unwrap_or_default());
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            for server in &picked.servers {
                let is_known =
                    seen.picked.servers.iter().any(|known| {
                        known.id == server.id && known.deprecated == server.deprecated
                    });
                if let (Some(why), false) = (&server.deprecated, is_known) {
                    tracing::warn!(server = server.id, why, "deprecated in its registry");
                }
            }
            seen.picked = picked;
        }
        // A reload may hold the roster while it reads files.
        let (roster, name, found) = (roster.clone(), config.name.clone(), self.found());
        let told = tokio::task::spawn_blocking(move || roster.set_found(&name, found)).await;
        let change = told.unwrap_or_default();
        let (added, removed) = (change.added.len(), change.removed.len());
        if added + removed + change.changed.len() > 0 {
            tracing::info!(registry = config.name, added, removed, "servers of the registry");
        }
    }
}

const UNIX: SystemTime = SystemTime::UNIX_EPOCH;

fn whole(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn millis(time: SystemTime) -> u64 {
    whole(time.duration_since(UNIX).unwrap_or_default())
}
