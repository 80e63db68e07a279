//! `toolscout serve`: the rooms put together, from configuration to listener.

mod service;
mod shared;
mod tenants;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use indicatif::MultiProgress;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::service::{STOP, Service};
use self::shared::Shared;
use self::tenants::{Read, Tenancy};
use super::reload::{self, Watch};
use super::{ServeArgs, log, manager, progress};
use crate::audit::Audit;
use crate::cluster::Cluster;
use crate::config::Config;
use crate::serve::door::Door;
use crate::serve::health::Vitals;
use crate::serve::token::{AdminToken, TokenError};
use crate::serve::{Logins, Observer, Rooms, Tenants};
use crate::telemetry::Telemetry;
use crate::troubles::Troubles;
use crate::{crawl, serve};

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
    let config = loaded.config;
    // Who speaks on stdin is of no tenant.
    let tenants = if args.stdio { BTreeMap::new() } else { tenants::read_all(args, &config)? };
    let runtime = super::runtime()?;
    let served = runtime.block_on(async {
        let troubles = Troubles::default();
        let audit = Audit::open(&config.audit, &config.data, troubles.clone())?;
        let _ = switches.set_share(config.telemetry.sample_queries);
        let access_log = config.telemetry.access_log;
        let observer =
            Observer { audit: audit.clone(), switches, access_log, ..Observer::default() };
        let told = Told { observer, telemetry, troubles, lines };
        let served = run_until_stopped(args, watch, (config, tenants), told).await;
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
    (config, read): (Config, BTreeMap<String, Read>),
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
    let mut cluster = None;
    if let Some(with) = &config.cluster {
        cluster = Some(Cluster::join(with, &vitals.troubles, stop.clone())?);
    }
    let (cluster, taking_part) = cluster.unzip();
    let shared = Shared::load(&config, cluster);
    let with = (&shared, &vitals.troubles, "");
    let service = Service::start(config.clone(), watch.reader(), with, &stop).await?;
    let shown = tokio::spawn(progress::show(service.live.clone(), lines, stop.clone()));
    let live = match &args.profile {
        None => service.live.clone(),
        Some(name) => service.live.scoped(name).with_context(|| no_profile(name, &config))?,
    };
    let sent = CancellationToken::new();
    let tenants = Tenants::default();
    let (told, also, audit) = (service.live.clone(), tenants.clone(), observer.audit.clone());
    let sending = telemetry.run(move || serve::figures(&told, &also, &audit), sent.clone());
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
                "toolscout {} on {scheme}://{address} (console at /, MCP at /mcp, search at /v1/search?q=){apart}",
                env!("CARGO_PKG_VERSION")
            )?;
            let ends = (shutdown.clone(), stop.clone());
            let tenancy =
                Tenancy::new(args, &config, &shared, (&observer, &tenants), admin.is_some(), ends);
            tenancy.start(read);
            let also = tenancy.clone();
            service.roster.tell_tenants(move |tenants| also.apply(tenants));
            let logins = Logins::new(service.accounts.clone(), scheme, address);
            let (caller, mcp) = (service.crawler.caller(), config.mcp.clone());
            let rooms = Rooms { live, admin, logins, caller, mcp, tenants, vitals, door, observer };
            manager::ready(&address.to_string());
            let listeners = serve::Listeners { public: listener, operators };
            serve::run(listeners, rooms, &config, shutdown.clone()).await?;
            // When keys were used last is saved.
            let _ = tokio::time::timeout(STOP, following).await;
            stop.cancel();
            tenancy.stopped().await;
        }
    }
    service.stopped().await;
    let _ = tokio::time::timeout(STOP, crawl::children_ended()).await;
    if let Some(taking_part) = taking_part {
        let _ = tokio::time::timeout(STOP, taking_part).await;
    }
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
