//! The services of tenants, beside the main one.
//!
//! Invariant: what goes wrong with one is told of and changes nothing for the others; of one tenant
//! at most one service has its folder.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::super::ServeArgs;
use super::super::reload::{self, Watch};
use super::service::Service;
use super::shared::Shared;
use crate::config::{Config, ConfigErrors, Loaded, TenantConfig};
use crate::roster::Roster;
use crate::serve::{Logins, Observer, Rooms, Tenants, keep_activity};
use crate::troubles::Troubles;

/// Tenants that start at once: each reads its snapshot and builds an index.
const AT_ONCE: usize = 4;

/// The services of tenants; cheap to clone.
#[derive(Clone)]
pub struct Tenancy(Arc<Inner>);

struct Inner {
    args: ServeArgs,
    /// As the process was started with it.
    main: Config,
    shared: Shared,
    /// Of the process: what is kept of callers says whose they are.
    observer: Observer,
    /// They can be administered over HTTP.
    administered: bool,
    served: Tenants,
    turns: Arc<Semaphore>,
    /// When nothing new is taken, and when the rest ends.
    ends: (CancellationToken, CancellationToken),
    /// Reloads come from threads that are not the runtime's.
    runtime: Handle,
    running: Mutex<BTreeMap<String, Running>>,
}

/// The service of a tenant, from when it begins to start.
struct Running {
    config: TenantConfig,
    /// There once it has started.
    roster: Arc<OnceLock<Roster>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// It is served, or is about to be.
    fn is_there(&self) -> bool {
        !self.stop.is_cancelled() && !self.task.is_finished()
    }
}

/// A configuration that was read, and what reads it anew.
pub struct Read {
    config: TenantConfig,
    watch: Watch,
    loaded: Loaded,
}

/// Reads the configurations of all tenants that are switched on, or tells what is wrong with any.
pub fn read_all(args: &ServeArgs, main: &Config) -> Result<BTreeMap<String, Read>, ConfigErrors> {
    let mut errors = Vec::new();
    let mut all = BTreeMap::new();
    for (name, tenant) in main.tenants.iter().filter(|(_, tenant)| tenant.enabled) {
        match read(args, main, tenant) {
            Ok(read) => {
                all.insert(name.clone(), read);
            }
            Err(ConfigErrors(found)) => errors.extend(found),
        }
    }
    if errors.is_empty() { Ok(all) } else { Err(ConfigErrors(errors)) }
}

fn read(args: &ServeArgs, main: &Config, tenant: &TenantConfig) -> Result<Read, ConfigErrors> {
    let watch = Watch::of_tenant(args, main, tenant);
    let loaded = watch.load()?;
    Ok(Read { config: tenant.clone(), watch, loaded })
}

impl Tenancy {
    /// None yet.
    pub fn new(
        args: &ServeArgs,
        main: &Config,
        shared: &Shared,
        (observer, served): (&Observer, &Tenants),
        administered: bool,
        ends: (CancellationToken, CancellationToken),
    ) -> Self {
        Self(Arc::new(Inner {
            args: args.clone(),
            main: main.clone(),
            shared: shared.clone(),
            observer: observer.clone(),
            administered,
            served: served.clone(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            ends,
            runtime: Handle::current(),
            running: Mutex::default(),
        }))
    }

    /// Starts these.
    pub fn start(&self, tenants: BTreeMap<String, Read>) {
        let mut running = self.lock();
        for (name, read) in tenants {
            let begun = self.begin(&name, read, None);
            running.insert(name, begun);
        }
    }

    /// Makes these the tenants: those that are new are started, those that are gone are stopped, and
    /// the others read their own configuration anew. What went wrong, a line each. It reads files.
    pub fn apply(&self, tenants: &BTreeMap<String, TenantConfig>) -> Vec<String> {
        let mut running = self.lock();
        let mut told = Vec::new();
        let gone = |name: &str| tenants.get(name).is_none_or(|tenant| !tenant.enabled);
        for (name, left) in running.iter().filter(|(name, _)| gone(name)) {
            if !left.stop.is_cancelled() {
                tracing::info!(tenant = name, "is no longer served");
            }
            left.stop.cancel();
        }
        self.0.served.keep(|name| !gone(name));
        for (name, tenant) in tenants.iter().filter(|(_, tenant)| tenant.enabled) {
            let now = running.get(name);
            if let Some(now) = now.filter(|now| now.config == *tenant && now.is_there()) {
                // One that is about to start has just read it.
                told.extend(now.roster.get().into_iter().flat_map(|roster| reread(name, roster)));
                continue;
            }
            match read(&self.0.args, &self.0.main, tenant) {
                Ok(read) => {
                    let before = running.remove(name);
                    let begun = self.begin(name, read, before);
                    running.insert(name.clone(), begun);
                }
                Err(errors) => {
                    let why = format!("its configuration is wrong: {errors}");
                    told.push(format!("tenant {name}: {why}"));
                    // One that is served goes on as it was.
                    if !now.is_some_and(Running::is_there) {
                        self.0.served.fail(name, why);
                    }
                }
            }
        }
        told
    }

    /// Starts one as soon as `before`, which has the same name, has ended.
    fn begin(&self, name: &str, read: Read, before: Option<Running>) -> Running {
        let Read { config, watch, loaded } = read;
        for warning in &loaded.warnings {
            tracing::warn!(tenant = name, "{warning}");
        }
        let (stop, roster) = (self.0.ends.1.child_token(), Arc::<OnceLock<Roster>>::default());
        self.0.served.begin(name);
        let run = {
            let (tenancy, name) = (self.clone(), name.to_owned());
            let (stop, roster) = (stop.clone(), Arc::clone(&roster));
            async move {
                if let Some(before) = before {
                    before.stop.cancel();
                    let _ = before.task.await;
                }
                tenancy.run(&name, (watch, loaded.config), &roster, stop).await;
            }
        };
        let span = tracing::info_span!("of", tenant = name);
        let task = self.0.runtime.spawn(run.instrument(span));
        Running { config, roster, stop, task }
    }

    async fn run(
        &self,
        name: &str,
        (watch, config): (Watch, Config),
        roster: &OnceLock<Roster>,
        stop: CancellationToken,
    ) {
        let turn = self.0.turns.acquire().await;
        if stop.is_cancelled() {
            return;
        }
        let (mcp, data) = (config.mcp.clone(), config.data.clone());
        let reader = watch.reader();
        let started = match crate::sealed::folder_of_owner(&data) {
            // Whoever watches over the process hears of no tenant.
            Ok(()) => {
                let with = (&self.0.shared, &Troubles::default(), name);
                Service::start(config, reader, with, &stop).await
            }
            Err(error) => Err(anyhow::Error::new(error).context(data.display().to_string())),
        };
        drop(turn);
        let service = match started {
            Ok(service) => service,
            Err(error) => {
                tracing::error!("can't be served: {error:#}");
                let _turn = self.lock();
                if !stop.is_cancelled() {
                    self.0.served.fail(name, format!("{error:#}"));
                }
                // What had begun ends.
                stop.cancel();
                return;
            }
        };
        let _ = roster.set(service.roster.clone());
        let rooms = Rooms {
            admin: self.0.administered.then(|| service.admin()),
            logins: Logins::new(
                service.accounts.clone(),
                self.0.main.tls.scheme(),
                self.0.main.listen,
            ),
            caller: service.crawler.caller(),
            mcp,
            observer: self.0.observer.clone(),
            ..Rooms::from(service.live.clone())
        };
        let streams = self.0.ends.0.child_token();
        {
            // Whoever has it stopped does that in turn with this.
            let _turn = self.lock();
            if !stop.is_cancelled() {
                self.0.served.serve(name, rooms, &streams);
            }
        }
        reload::follow_files(watch, service.roster.clone(), stop.clone());
        let counted = keep_activity(service.live.clone(), stop.clone());
        let counted = tokio::spawn(counted.in_current_span());
        stop.cancelled().await;
        streams.cancel();
        let _ = counted.await;
        service.stopped().await;
    }

    /// Waits until all have ended, after the shutdown.
    pub async fn stopped(&self) {
        let running = std::mem::take(&mut *self.lock());
        for (_, one) in running {
            let _ = one.task.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has a tenant's configuration read anew; what is to be told of it.
fn reread(name: &str, roster: &Roster) -> Vec<String> {
    let mut lines = match roster.reload() {
        Err(error) => vec![error.to_string()],
        Ok(reload) => {
            let restart = reload.needs_restart.iter();
            let restart = restart.map(|section| format!("{section} changed: restart toolscout"));
            restart.chain(reload.warnings).collect()
        }
    };
    for line in &mut lines {
        *line = format!("tenant {name}: {line}");
    }
    lines
}
