//! `toolscout serve`: the rooms put together, from configuration to listener.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::SocketAddr;
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use indicatif::MultiProgress;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::local::cached;
use super::reload::{self, Watch};
use super::{ServeArgs, log, manager, progress};
use crate::audit::Audit;
use crate::auth::Accounts;
use crate::catalog::ServerInfo;
use crate::config::{Config, EmbedConfig};
use crate::crawl::{self, Crawler, Wanted};
use crate::discover::follow::Follower;
use crate::embed::cache::VectorCache;
use crate::embed::lane::Lane;
use crate::embed::{self, Cost, EmbedError, Embedder, Fixed};
use crate::live::indexer::Indexer;
use crate::live::learner::Learner;
use crate::live::{Encoder, Live, Rerank};
use crate::roster::{Entries, Roster};
use crate::serve::admin::Admin;
use crate::serve::door::Door;
use crate::serve::health::Vitals;
use crate::serve::token::{AdminToken, TokenError};
use crate::serve::{Logins, Observer, Rooms};
use crate::telemetry::Telemetry;
use crate::tool::ServerId;
use crate::troubles::Troubles;
use crate::{demo, serve};

/// How long the crawler's children may take to end.
const STOP: Duration = Duration::from_secs(5);
/// Updates that may wait for the indexer.
const UPDATES: usize = 256;
/// Queries that are embedded at once where another machine does the work.
const REMOTE_LANES: usize = 16;

/// Runs the subcommand until Ctrl-C, SIGTERM or, with `--stdio`, the end of stdin.
pub fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let watch = Watch::new(args);
    // First: it says where traces go.
    let loaded = watch.load()?;
    let (telemetry, tracer) = Telemetry::prepare(&loaded.config.telemetry)?;
    let (lines, switches) = log::start_with(args.log_format, false, tracer);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = super::runtime()?;
    let served = runtime.block_on(async {
        let (config, troubles) = (loaded.config, Troubles::default());
        let audit = Audit::open(&config.audit, &config.data, troubles.clone())?;
        let _ = switches.set_share(config.telemetry.sample_queries);
        let access_log = config.telemetry.access_log;
        let observer = Observer { audit: audit.clone(), switches, access_log };
        let told = Told { observer, telemetry, troubles, lines };
        let served = run_until_stopped(args, watch, config, told).await;
        tokio::task::spawn_blocking(move || audit.settle(STOP)).await?;
        served
    });
    // Work on blocking threads (an encoder at a text, a build) has no one to answer to any more.
    runtime.shutdown_background();
    served.map(|()| ExitCode::SUCCESS)
}

/// What is told of the process, and to whom.
struct Told {
    observer: Observer,
    telemetry: Telemetry,
    troubles: Troubles,
    lines: MultiProgress,
}

async fn run_until_stopped(
    args: &ServeArgs,
    watch: Watch,
    config: Config,
    Told { observer, telemetry, troubles, lines }: Told,
) -> anyhow::Result<()> {
    serve::count();
    // First nothing new is taken, and only when what was open is answered, the rest ends: a call
    // under way needs its server's connection.
    let (shutdown, stop) = (CancellationToken::new(), CancellationToken::new());
    let vitals = Vitals { drain: args.drain, troubles, ..Vitals::default() };
    stop_on_signal(vitals.leaving.clone(), args.leave, shutdown.clone())?;
    let listener = if args.stdio { None } else { Some(listen(config.listen).await?) };
    let operators = match config.auth.admin_listen {
        Some(address) if !args.stdio => Some(listen(address).await?),
        _ => None,
    };
    let service = Service::start(&watch, config.clone(), &vitals.troubles, &stop).await?;
    let shown = tokio::spawn(progress::show(service.live.clone(), lines, stop.clone()));
    let live = match &args.profile {
        None => service.live.clone(),
        Some(name) => service.live.scoped(name).with_context(|| no_profile(name, &config))?,
    };
    let sent = CancellationToken::new();
    let (told, audit) = (service.live.clone(), observer.audit.clone());
    let sending = telemetry.run(move || serve::figures(&told, &audit), sent.clone());
    reload::follow(watch, service.roster.clone(), stop.clone())?;
    manager::stay_alive(stop.clone());
    match listener {
        None => {
            let rooms = Rooms {
                caller: service.crawler.caller(),
                mcp: config.mcp.clone(),
                observer,
                ..Rooms::from(live)
            };
            manager::ready("stdin");
            let served = serve::run_stdio(rooms, shutdown.clone()).await;
            stop.cancel();
            served?;
        }
        Some(listener) => {
            let address = listener.local_addr()?;
            let mut config = Config { listen: address, ..config };
            let token = admin_token(&config)?;
            let admin = token.is_some().then(|| service.admin());
            let door = Door::open(&config, token)?;
            let following = tokio::spawn(door.clone().follow(shutdown.clone()));
            let (scheme, mut apart) = (config.tls.scheme(), String::new());
            if let Some(operators) = &operators {
                let address = operators.local_addr()?;
                config.auth.admin_listen = Some(address);
                apart = format!(", administration on {scheme}://{address}");
            }
            writeln!(
                anstream::stdout(),
                "toolscout {} on {scheme}://{address} (MCP at /mcp, search at /v1/search?q={apart})",
                env!("CARGO_PKG_VERSION")
            )?;
            let logins = Logins::new(service.accounts.clone(), scheme, address);
            let (caller, mcp) = (service.crawler.caller(), config.mcp.clone());
            let rooms = Rooms { live, admin, logins, caller, mcp, vitals, door, observer };
            manager::ready(&address.to_string());
            let listeners = serve::Listeners { public: listener, operators };
            serve::run(listeners, rooms, &config, shutdown.clone()).await?;
            // When keys were used last is saved.
            let _ = tokio::time::timeout(STOP, following).await;
            stop.cancel();
        }
    }
    service.stopped().await;
    sent.cancel();
    let _ = tokio::time::timeout(STOP, sending).await;
    let _ = shown.await;
    Ok(())
}

/// What to say of a profile that is not there.
pub(super) fn no_profile(name: &str, config: &Config) -> String {
    let there: Vec<&str> = config.profiles.keys().map(|name| &**name).collect();
    if there.is_empty() {
        return format!("there is no profile {name:?}: add [profiles.{name}] to the configuration");
    }
    format!("there is no profile {name:?}: choose one of {}", there.join(", "))
}

/// Nothing can be changed over HTTP where no token can be kept.
fn admin_token(config: &Config) -> anyhow::Result<Option<AdminToken>> {
    match AdminToken::open(&config.data) {
        Ok(token) => Ok(Some(token)),
        Err(error @ TokenError::Io(..)) => {
            tracing::warn!("the admin API is off: {error}");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("can't listen on {address}: choose another address with --listen"))
}

/// The first signal drains, once `leave` is over; the second ends at once.
fn stop_on_signal(
    leaving: CancellationToken,
    leave: Duration,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        for _ in 0..2 {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if leaving.is_cancelled() {
                crawl::end_children();
                std::process::exit(130);
            }
            tracing::info!("stopping: open requests are answered first");
            manager::stopping();
            leaving.cancel();
            let shutdown = shutdown.clone();
            tokio::spawn(async move {
                tokio::time::sleep(leave).await;
                shutdown.cancel();
            });
        }
    });
    Ok(())
}

/// Everything that works behind the listener.
struct Service {
    live: Live,
    roster: Roster,
    follower: Follower,
    crawler: Crawler,
    accounts: Accounts,
    indexer: JoinHandle<()>,
    /// Where something is learned.
    learner: Option<JoinHandle<()>>,
}

impl Service {
    /// Serves from the snapshot if there is one, then crawls and embeds in the background.
    async fn start(
        watch: &Watch,
        mut config: Config,
        troubles: &Troubles,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let mut demo = Vec::new();
        if config.demo {
            demo = demo::start(&std::env::current_exe()?, shutdown.clone()).await?;
            config.servers.extend(demo.iter().cloned());
        }
        let accounts = Accounts::open(&config)?;
        let mut entries = Entries::open(config.clone())?;
        let follower = Follower::open(&config);
        for (registry, found) in follower.found() {
            entries.set_found(&registry, found);
        }
        let live = Live::new("the encoder is being loaded");
        let mut indexer = Indexer::telling(live.clone(), Some(config.snapshot_path()), troubles);
        indexer.use_trust(config.trust.clone(), config.trust_path()).await?;
        indexer.use_profiles(config.profiles.clone()).await;
        let threads = config.embed.threads;
        let (loaded, mut vectors) = oneshot::channel();
        let loading = load_encoder(config.clone(), live.clone(), loaded);
        if config.embed.is_in_binary() {
            // A moment's work, and no answer has to do without it.
            let _ = loading.await;
            if let Ok(cache) = vectors.try_recv() {
                indexer.use_vectors(cache, threads).await?;
            }
        }
        let mut learner = None;
        if let Some(rules) = config.learn {
            let learns = Learner::open(rules, config.learned_path()).await?;
            live.learn(learns.clone());
            learner = Some(tokio::spawn(learns.run(live.clone(), shutdown.clone())));
        }
        indexer.restore(entries.admits(), entries.shown_to_us(&accounts)).await;
        let (updates, received) = mpsc::channel(UPDATES);
        let wanted = entries.wanted();
        let known = known(&live, &wanted);
        if !live.is_ready() && !wanted.iter().any(Wanted::is_crawled) {
            indexer.publish_as_is().await;
        }
        let stop = shutdown.clone();
        let crawler = crawl::start_with(wanted, &config.crawl, &accounts, known, updates, stop);
        crawler.caller().configure(config.call.clone());
        tokio::spawn(crawl_after_logins(accounts.clone(), crawler.clone(), shutdown.clone()));
        let watch = watch.clone();
        let reader = Box::new(move || watch.load());
        let roster = Roster::new(entries, demo, crawler.clone(), reader);
        let judge = live.clone();
        roster.tell_policies(move |policy| judge.set_policy(policy));
        let shown = live.clone();
        roster.tell_profiles(move |profiles| shown.set_profiles(profiles));
        follower.start(&roster, shutdown);
        load_reranker(config, live.clone());
        let indexer = tokio::spawn(indexer.run(received, vectors, threads, shutdown.clone()));
        Ok(Self { live, roster, follower, crawler, accounts, indexer, learner })
    }

    /// What operators may change.
    fn admin(&self) -> Admin {
        let (roster, follower, live) =
            (self.roster.clone(), self.follower.clone(), self.live.clone());
        Admin { roster, follower, live }
    }

    /// Waits until the children are gone, and tokens and what was published are saved.
    async fn stopped(self) {
        if tokio::time::timeout(STOP, self.crawler.stopped()).await.is_err() {
            tracing::warn!("some servers did not end in {} s", STOP.as_secs());
        }
        self.accounts.settled(STOP).await;
        let _ = tokio::time::timeout(STOP, self.indexer).await;
        if let Some(learner) = self.learner {
            let _ = tokio::time::timeout(STOP, learner).await;
        }
    }
}

/// What is remembered of servers from before.
fn known(live: &Live, wanted: &[Wanted]) -> BTreeMap<ServerId, ServerInfo> {
    let catalog = live.catalog();
    let served = catalog.servers().map(|server| (server.id.clone(), server.info.clone()));
    let mut known: BTreeMap<_, _> = served.collect();
    // Of what a file lists all may be held: once the file is read it stays or goes with the rest.
    let entries: BTreeSet<_> = wanted.iter().map(|wanted| &wanted.server.id).collect();
    for (server, ..) in live.known().book.offered() {
        if !entries.contains(server) {
            known.entry(server.clone()).or_default();
        }
    }
    known
}

/// A server is crawled the moment that somebody has logged in, here or by `toolscout auth login`.
async fn crawl_after_logins(accounts: Accounts, crawler: Crawler, shutdown: CancellationToken) {
    loop {
        let changed = tokio::select! {
            changed = accounts.changed() => changed,
            () = shutdown.cancelled() => return,
        };
        for server in changed {
            tracing::info!(%server, "there is a new login");
            crawler.refresh(&server);
        }
    }
}

/// Queries that are embedded or reranked at once on this machine.
fn lanes() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get).div_ceil(2)
}

/// Loads the encoder without keeping anyone waiting: until then answers are lexical. Where the
/// configured one does not load, the one in the binary takes its place.
fn load_encoder(
    config: Config,
    live: Live,
    loaded: oneshot::Sender<Arc<VectorCache>>,
) -> JoinHandle<()> {
    tokio::task::spawn_blocking(move || {
        let ready = start_encoder(&config.embed).or_else(|error| {
            if matches!(error, EmbedError::Off) {
                return Err(error);
            }
            tracing::warn!("the encoder in the binary answers: {error}");
            let embedder: Arc<dyn Embedder> = Arc::new(Fixed::in_binary()?);
            Ok((Arc::clone(&embedder), Encoder::in_place(embedder, &error)))
        });
        match ready {
            Ok((embedder, encoder)) => {
                tracing::info!(encoder = embedder.id(), "encoder loaded");
                let _ = loaded.send(Arc::new(cached(embedder, &config)));
                live.set_encoder(encoder);
            }
            Err(error) => {
                tracing::warn!("answers are lexical: {error}");
                live.set_encoder(Encoder::Absent { reason: error.to_string() });
            }
        }
    })
}

/// The encoder that is configured, and where queries are embedded by it.
fn start_encoder(config: &EmbedConfig) -> Result<(Arc<dyn Embedder>, Encoder), EmbedError> {
    let embedder = embed::load(config, lanes() + config.threads)?;
    let threads = if embedder.cost() == Cost::Remote { REMOTE_LANES } else { lanes() };
    let encoder = Encoder::start(Arc::clone(&embedder), threads, config.deadline)
        .map_err(|error| EmbedError::Encoder(error.to_string()))?;
    Ok((embedder, encoder))
}

/// Loads the reranker, if there is to be one, without keeping anyone waiting.
fn load_reranker(config: Config, live: Live) {
    let Some(rerank) = config.rerank else { return };
    live.set_rerank(Rerank::Absent { reason: "the reranker is being loaded".into() });
    tokio::task::spawn_blocking(move || {
        let ready = embed::load_reranker(&rerank, &config.embed, lanes());
        let ready = ready.and_then(|reranker| {
            let lane = Lane::start("rerank", lanes(), rerank.deadline)
                .map_err(|error| EmbedError::Encoder(error.to_string()))?;
            Ok((Arc::new(reranker), lane))
        });
        live.set_rerank(match ready {
            Ok((reranker, lane)) => {
                tracing::info!(reranker = reranker.id(), "reranker loaded");
                Rerank::Ready { reranker, depth: rerank.depth, lane }
            }
            Err(error) => {
                tracing::warn!("answers are not reranked: {error}");
                Rerank::Absent { reason: error.to_string() }
            }
        });
    });
}
