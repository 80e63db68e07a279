//! Which servers there are: those of the configuration, those that operators added while it ran,
//! and those that registries know of.
//!
//! Invariant: the crawler learns of every change in the order in which it was made, a configuration
//! that is wrong changes nothing, and what an operator did outlives a restart.

mod kept;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use serde::Serialize;

use self::kept::Kept;
use crate::access::profile::Profiles;
use crate::auth::Accounts;
use crate::catalog::Server;
use crate::config::{
    AddedServer, Config, ConfigErrors, Defaults, Loaded, ServerConfig, TenantConfig,
};
use crate::crawl::{Change, Crawler, Hold, Wanted};
use crate::tool::{ServerId, Tool};
use crate::trust::policy::Policy;

/// Takes what changed; false where it could not.
type Told<T> = Box<dyn Fn(T) -> bool + Send + Sync>;

/// Takes the tenants of a configuration; gives a line for each that something is wrong with.
type Tenants = Box<dyn Fn(&BTreeMap<String, TenantConfig>) -> Vec<String> + Send + Sync>;

/// Reads the configuration anew, from the same files and flags.
pub type Reader = Box<dyn Fn() -> Result<Loaded, ConfigErrors> + Send + Sync>;

/// Why the servers could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum RosterError {
    /// There is no such entry.
    #[error("no server `{0}` is configured: GET /v1/servers lists them")]
    Unknown(ServerId),
    /// There is one already.
    #[error("a server `{0}` is there already: choose another id, or remove that one first")]
    Taken(ServerId),
    /// It came from the configuration, and only goes with it.
    #[error("`{0}` stands in the configuration: remove it there")]
    Configured(ServerId),
    /// The entry is no server.
    #[error("{0}")]
    Entry(ConfigErrors),
    /// The configuration is wrong; the one before it stays in force.
    #[error("the configuration is wrong, the one before it stays in force: {0}")]
    Configuration(ConfigErrors),
    /// It could not be written down, and so was not done.
    #[error("can't write {0}: {1}")]
    Kept(PathBuf, std::io::Error),
    /// What is written down can't be read.
    #[error("can't read {0}: {1}; move it away to start without what it keeps")]
    Unreadable(PathBuf, String),
}

/// A server that a registry knows of.
#[derive(Debug, Clone)]
pub struct Found {
    /// How it would be crawled.
    pub server: ServerConfig,
    /// An operator has approved it.
    pub approved: bool,
}

/// What a reload did.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Reload {
    /// Ids that are new.
    #[schemars(with = "Vec<String>")]
    pub added: Vec<ServerId>,
    /// Ids that are gone.
    #[schemars(with = "Vec<String>")]
    pub removed: Vec<ServerId>,
    /// Ids whose entry is another now: they were connected to anew.
    #[schemars(with = "Vec<String>")]
    pub changed: Vec<ServerId>,
    /// How many servers run on as they were.
    pub unchanged: usize,
    /// What else changed in the configuration, and takes a restart.
    pub needs_restart: Vec<&'static str>,
    /// What is legal, and yet may not be meant.
    pub warnings: Vec<String>,
}

/// The servers before anything is crawled.
pub struct Entries {
    config: Config,
    /// How servers are crawled that no file names, as it was last read; `config` has how it was at
    /// the start.
    defaults: Defaults,
    kept: Kept,
    /// By the name of the registry.
    found: BTreeMap<String, Vec<Found>>,
}

impl Entries {
    /// The servers of `config`, and what was kept in its data folder.
    pub fn open(config: Config) -> Result<Self, RosterError> {
        let kept = Kept::open(&config.data)?;
        let defaults = config.defaults.clone();
        Ok(Self { config, defaults, kept, found: BTreeMap::new() })
    }

    /// Every server that is to be there, with why it is not crawled. The configuration comes
    /// first, then what operators added, then registries: of one id the first is taken.
    pub fn wanted(&self) -> Vec<Wanted> {
        let mut wanted: BTreeMap<ServerId, Wanted> = BTreeMap::new();
        let configured = self.config.servers.iter().cloned().map(|server| (server, true));
        let added = self.kept.servers(&self.defaults).map(|server| (server, true));
        // A registry does not say how its servers are crawled.
        let found = self.found.values().flatten().map(|Found { server, approved }| {
            let Defaults { timeout, refresh, network } = self.defaults.clone();
            (ServerConfig { timeout, refresh, network, ..server.clone() }, *approved)
        });
        for (server, approved) in configured.chain(added).chain(found) {
            let hold = match (approved, self.kept.is_paused(&server.id)) {
                (false, _) => Some(Hold::Pending),
                (true, true) => Some(Hold::Paused),
                (true, false) => None,
            };
            let id = server.id.clone();
            wanted.entry(id).or_insert_with(|| Wanted { server: Arc::new(server), hold });
        }
        wanted.into_values().collect()
    }

    /// Whether a tool that an earlier run knew may still be offered: its server is there and
    /// switched on, and the name is allowed. A server that is no entry may be in a catalog file:
    /// once all of them are read, the crawler says which are in none.
    pub fn admits(&self) -> impl Fn(&Tool) -> bool {
        let wanted = self.wanted();
        let names = |entry: &Wanted| entry.server.names.clone();
        let files: Vec<_> = wanted.iter().filter(|entry| entry.reads_a_file()).map(names).collect();
        let usable = |entry: &Wanted| entry.server.enabled && entry.hold != Some(Hold::Pending);
        let entries: HashMap<ServerId, _> = (wanted.iter())
            .map(|entry| (entry.server.id.clone(), usable(entry).then(|| names(entry))))
            .collect();
        move |tool| match entries.get(&tool.server) {
            Some(names) => names.as_ref().is_some_and(|names| names.admits(&tool.name)),
            None => files.iter().any(|names| names.admits(&tool.name)),
        }
    }

    /// Whether what an earlier run was shown may be served to whoever is served now.
    pub fn shown_to_us(&self, accounts: &Accounts) -> impl Fn(&Server) -> bool {
        let accounts = accounts.clone();
        let servers: HashMap<ServerId, _> = self
            .wanted()
            .into_iter()
            .map(|entry| (entry.server.id.clone(), entry.server))
            .collect();
        move |server| match servers.get(&server.id) {
            Some(entry) => entry.was_shown(&server.info, || accounts.who(entry)),
            // What a file lists is nobody's alone.
            None => server.info.private_to.is_none(),
        }
    }

    /// Makes these the servers that the registry of this name knows of.
    pub fn set_found(&mut self, registry: &str, found: Vec<Found>) {
        self.found.insert(registry.to_owned(), found);
    }

    fn has(&self, id: &ServerId) -> bool {
        self.wanted().iter().any(|wanted| wanted.server.id == *id)
    }
}

/// A handle on the servers; cheap to clone.
#[derive(Clone)]
pub struct Roster(Arc<Inner>);

struct Inner {
    crawler: Crawler,
    reader: Reader,
    /// Told when a reload finds other rules of trust; says whether it took them.
    policies: OnceLock<Told<Policy>>,
    /// The same of other profiles.
    profiles: OnceLock<Told<Profiles>>,
    /// Told of the tenants at each reload; says what is wrong with any.
    tenants: OnceLock<Tenants>,
    /// Those of the demo, which no file names.
    demo: Vec<ServerConfig>,
    state: Mutex<State>,
}

struct State {
    entries: Entries,
    loaded: LoadedAt,
}

/// The last look at the configuration.
#[derive(Debug, Clone)]
pub struct LoadedAt {
    /// When the configuration that is in force was read.
    pub at: SystemTime,
    /// Why a later one is not in force.
    pub error: Option<String>,
}

impl Roster {
    /// The servers that `crawler` was started with.
    pub fn new(
        entries: Entries,
        demo: Vec<ServerConfig>,
        crawler: Crawler,
        reader: Reader,
    ) -> Self {
        let loaded = LoadedAt { at: SystemTime::now(), error: None };
        let state = Mutex::new(State { entries, loaded });
        let (policies, profiles, tenants) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self(Arc::new(Inner { crawler, reader, policies, profiles, tenants, demo, state }))
    }

    /// Has `told` know when a reload finds other rules of trust. Where it answers that it could not
    /// take them, the next reload tells them again.
    pub fn tell_policies(&self, told: impl Fn(Policy) -> bool + Send + Sync + 'static) {
        let _ = self.0.policies.set(Box::new(told));
    }

    /// The same for other profiles.
    pub fn tell_profiles(&self, told: impl Fn(Profiles) -> bool + Send + Sync + 'static) {
        let _ = self.0.profiles.set(Box::new(told));
    }

    /// Has `told` know of the tenants at each reload, since theirs are configurations of their own.
    pub fn tell_tenants(
        &self,
        told: impl Fn(&BTreeMap<String, TenantConfig>) -> Vec<String> + Send + Sync + 'static,
    ) {
        let _ = self.0.tenants.set(Box::new(told));
    }

    /// Reads the configuration anew and applies what changed of its servers. It reads files.
    pub fn reload(&self) -> Result<Reload, RosterError> {
        // Held while it reads, so that an earlier reading never comes after a later one.
        let mut state = self.lock();
        let loaded = match (self.0.reader)() {
            Ok(loaded) => loaded,
            Err(errors) => {
                state.loaded.error = Some(errors.to_string());
                return Err(RosterError::Configuration(errors));
            }
        };
        let mut config = loaded.config;
        config.servers.extend(self.0.demo.iter().cloned());
        let needs_restart = state.entries.config.needs_restart(&config);
        state.entries.config.servers = config.servers;
        state.entries.defaults = config.defaults;
        if state.entries.config.trust != config.trust
            && let Some(told) = self.0.policies.get()
            && told(config.trust.clone())
        {
            state.entries.config.trust = config.trust;
        }
        if state.entries.config.profiles != config.profiles
            && let Some(told) = self.0.profiles.get()
            && told(config.profiles.clone())
        {
            state.entries.config.profiles = config.profiles;
        }
        self.0.crawler.caller().configure(config.call);
        state.loaded = LoadedAt { at: SystemTime::now(), error: None };
        let Change { added, removed, changed, unchanged } = self.apply(&state);
        let of_tenants = self.0.tenants.get().map(|told| told(&config.tenants));
        let warnings = loaded.warnings.iter().map(ToString::to_string);
        Ok(Reload {
            added,
            removed,
            changed,
            unchanged,
            needs_restart,
            warnings: warnings.chain(of_tenants.unwrap_or_default()).collect(),
        })
    }

    /// The last look at the configuration.
    pub fn loaded(&self) -> LoadedAt {
        self.lock().loaded.clone()
    }

    /// Has a server crawled now. `Ok(false)` where it is off, paused or pending.
    pub fn refresh(&self, id: &ServerId) -> Result<bool, RosterError> {
        // A catalog file's servers are no entries, and yet known to the crawler.
        match self.0.crawler.refresh(id) {
            false if !self.lock().entries.has(id) => Err(RosterError::Unknown(id.clone())),
            crawled => Ok(crawled),
        }
    }

    /// Stops a server's crawls, its tools staying, or lets them go on; it stays so after a restart.
    pub fn pause(&self, id: &ServerId, paused: bool) -> Result<(), RosterError> {
        let mut state = self.lock();
        if !state.entries.has(id) {
            return Err(RosterError::Unknown(id.clone()));
        }
        state.entries.kept.change(|kept| kept.pause(id, paused))?;
        self.apply(&state);
        Ok(())
    }

    /// Adds a server over HTTP; it is there after a restart as well.
    pub fn add(&self, id: ServerId, added: AddedServer) -> Result<(), RosterError> {
        let mut state = self.lock();
        if state.entries.has(&id) {
            return Err(RosterError::Taken(id));
        }
        state.entries.kept.add(id, added)?;
        self.apply(&state);
        Ok(())
    }

    /// Removes a server that was added with [`Roster::add`].
    pub fn remove(&self, id: &ServerId) -> Result<(), RosterError> {
        let mut state = self.lock();
        if !state.entries.kept.has(id) {
            let there = state.entries.has(id);
            let why = if there { RosterError::Configured } else { RosterError::Unknown };
            return Err(why(id.clone()));
        }
        state.entries.kept.change(|kept| kept.remove(id))?;
        self.apply(&state);
        Ok(())
    }

    /// Makes these the servers that the registry of this name knows of.
    pub fn set_found(&self, registry: &str, found: Vec<Found>) -> Change {
        let mut state = self.lock();
        state.entries.set_found(registry, found);
        self.apply(&state)
    }

    fn apply(&self, state: &State) -> Change {
        self.0.crawler.apply(state.entries.wanted())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
