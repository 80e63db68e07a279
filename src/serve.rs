//! Answers over MCP and HTTP from the live index.
//!
//! Invariant: every route goes through the same [`layers`]; a request reads one published generation
//! and writes nothing.

use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use axum::routing::MethodRouter;
use axum::{Extension, Router};
use rmcp::ServiceExt;
use rmcp::service::ServerInitializeError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::admin::Admin;
use self::call::Calls;
use self::door::{Door, Need};
use self::health::Vitals;
use self::limits::Limits;
use self::listen::Reception;
use crate::access::caller::Scope;
use crate::config::{Config, McpConfig};
use crate::crawl::call::Caller;
use crate::live::Live;

mod activity;
pub mod admin;
mod call;
mod console;
mod conversation;
mod debug;
mod decide;
mod digest;
pub mod door;
mod events;
mod formats;
mod guard;
mod headers;
pub mod health;
mod held;
mod http;
mod labelled;
mod layers;
mod learned;
mod limits;
mod listen;
mod lists;
mod manifest;
mod map;
mod mcp;
mod me;
mod metrics;
mod oauth;
mod observe;
mod openapi;
mod problem;
mod profiles;
mod raw;
mod reduce;
mod routes;
mod rows;
mod scope;
mod select;
mod switches;
mod tenants;
pub mod token;
mod trail;
mod trust;
mod wire;

pub use self::activity::keep as keep_activity;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::call::arguments::read as read_arguments;
pub use self::formats::{Wants, answer_body};
pub use self::listen::TlsError;
pub use self::metrics::render as figures;
pub use self::oauth::Logins;
pub use self::observe::Observer;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::reduce::{MAX_BYTES, reduce};
pub use self::tenants::{TENANT, Tenants};

/// The largest request body.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Why the stdio server ended early.
#[derive(Debug, thiserror::Error)]
pub enum StdioError {
    /// The client did not open the conversation as MCP asks.
    #[error("the client on stdin did not begin as MCP asks: {0}")]
    Start(String),
    /// The task that served it was lost.
    #[error("the MCP conversation on stdin broke off")]
    Lost(#[source] tokio::task::JoinError),
}

/// What is served from.
pub struct Rooms {
    /// The index.
    pub live: Live,
    /// What can be changed while it runs; without it nothing can.
    pub admin: Option<Admin>,
    /// Logins at upstreams, begun in a browser.
    pub logins: Arc<Logins>,
    /// What calls tools at their servers.
    pub caller: Caller,
    /// What is offered over MCP beside our own tools.
    pub mcp: McpConfig,
    /// Those who are served beside them, each from rooms of its own.
    pub tenants: Tenants,
    /// How the process does, and how it ends.
    pub vitals: Vitals,
    /// Who may come in.
    pub door: Door,
    /// What becomes of what is observed.
    pub observer: Observer,
}

impl From<Live> for Rooms {
    fn from(live: Live) -> Self {
        let (logins, caller) = (Logins::none(), Caller::none());
        let (mcp, tenants) = (McpConfig::default(), Tenants::default());
        let (vitals, door, observer) = (Vitals::default(), Door::default(), Observer::default());
        Self { live, admin: None, logins, caller, mcp, tenants, vitals, door, observer }
    }
}

/// Counts from now on: what is counted before nobody is told.
pub fn count() {
    metrics::install();
}

/// Everything that is served over HTTP. `shutdown` ends the streams that would else stay open.
pub fn router(rooms: impl Into<Rooms>, config: &Config, shutdown: &CancellationToken) -> Router {
    routers(rooms.into(), config, &Limits::new(config), shutdown).0
}

/// What the listener serves, and what that of operators does, where there is one: then what
/// administers is served there alone.
fn routers(
    rooms: Rooms,
    config: &Config,
    limits: &Limits,
    shutdown: &CancellationToken,
) -> (Router, Option<Router>) {
    metrics::install();
    let (door, tenants) = (rooms.door.clone(), rooms.tenants.clone());
    let activity = Some(rooms.live.activity().clone());
    let observer = Observer { activity, ..rooms.observer.clone() };
    let watched = health::Watched {
        vitals: rooms.vitals.clone(),
        wants_vectors: config.embed.enabled,
        roster: rooms.admin.as_ref().map(|admin| admin.roster.clone()),
    };
    let hsts = config.tls.0.as_ref().is_some_and(|certificates| certificates.hsts);
    let mut all = routes::of_process(&rooms);
    all.extend(table(rooms, shutdown));
    let app = |listen, served: &dyn Fn(&str) -> bool| {
        let mut router = Router::new();
        for (path, route) in all.iter().filter(|(path, _)| served(path)) {
            router = router.route(path, route.clone());
        }
        for (path, route) in console::routes(&config.auth) {
            router = router.route(path, route);
        }
        let guard = guard::Guard::new(listen, &config.allowed_hosts, &config.allowed_origins);
        let router = router
            .layer(from_fn_with_state(tenants.clone(), tenants::dispatch))
            .layer((Extension(tenants.clone()), Extension(watched.clone())))
            .layer((Extension(door.clone()), Extension(limits.quotas().clone())));
        layers::surround(router, guard, door.clone(), limits)
            .layer(from_fn_with_state(hsts, headers::tell))
            .layer(Extension(observer.clone()))
    };
    let Some(apart) = config.auth.admin_listen else {
        return (app(config.listen, &|_| true), None);
    };
    let is_open = |path: &str| Need::of(path) != Need::Scope(Scope::Admin);
    (app(config.listen, &is_open), Some(app(apart, &|_| true)))
}

/// Every route of one index, by its path: what the main configuration and each tenant have alike.
fn table(rooms: Rooms, shutdown: &CancellationToken) -> Vec<(String, MethodRouter)> {
    let Rooms { live, admin, logins, caller, mcp, .. } = rooms;
    let calls = Calls::new(live.clone(), caller);
    let handler = mcp::McpHandler::stateless(live.clone(), calls.clone(), mcp).until(shutdown);
    let of_live = routes::all(&handler, shutdown).into_iter();
    let of_live = of_live.map(|(path, route)| (path, route.with_state(live.clone())));
    let of_admin = admin.iter().flat_map(admin::table);
    of_live
        .chain(of_admin.map(|(path, route)| (path.to_owned(), route)))
        .map(|(path, route)| {
            (path, route.layer((Extension(Arc::clone(&logins)), Extension(calls.clone()))))
        })
        .collect()
}

/// Where is listened.
pub struct Listeners {
    /// For everybody.
    pub public: TcpListener,
    /// For those who administer, where they have one of their own.
    pub operators: Option<TcpListener>,
}

impl From<TcpListener> for Listeners {
    fn from(public: TcpListener) -> Self {
        Self { public, operators: None }
    }
}

/// Serves until `shutdown`, then lets open requests end, for as long as [`Vitals::drain`] says. An
/// error is one of the certificates that it was to listen with.
pub async fn run(
    listeners: impl Into<Listeners>,
    rooms: impl Into<Rooms>,
    config: &Config,
    shutdown: CancellationToken,
) -> Result<(), TlsError> {
    let (Listeners { public, operators }, rooms) = (listeners.into(), rooms.into());
    let limits = Limits::new(config);
    let reception = Reception::new(config, limits.clone(), rooms.vitals.drain)?;
    tokio::spawn(reception.clone().follow(shutdown.clone()));
    let quotas = limits.quotas().clone();
    let saving = tokio::spawn(quotas.clone().follow(shutdown.clone()));
    // To the end of the last request.
    let counting = CancellationToken::new();
    let counted = tokio::spawn(keep_activity(rooms.live.clone(), counting.clone()));
    let (app, administration) = routers(rooms, config, &limits, &shutdown);
    let administer = async {
        if let Some((listener, app)) = operators.zip(administration) {
            listen::serve(listener, app, reception.beside(), shutdown.clone()).await;
        }
    };
    tokio::join!(listen::serve(public, app, reception.clone(), shutdown.clone()), administer);
    counting.cancel();
    let _ = counted.await;
    // Two that save at once could leave the older of the two.
    let _ = saving.await;
    quotas.save().await;
    Ok(())
}

/// Serves one MCP client on stdin and stdout until it leaves or `shutdown`.
pub async fn run_stdio(
    rooms: impl Into<Rooms>,
    shutdown: CancellationToken,
) -> Result<(), StdioError> {
    let (input, output) = rmcp::transport::stdio();
    run_stream(rooms, input, output, shutdown).await
}

/// As [`run_stdio`], on any pair of streams.
pub async fn run_stream(
    rooms: impl Into<Rooms>,
    input: impl AsyncRead + Send + Unpin + 'static,
    output: impl AsyncWrite + Send + Unpin + 'static,
    shutdown: CancellationToken,
) -> Result<(), StdioError> {
    metrics::install();
    let Rooms { live, caller, mcp, observer, .. } = rooms.into();
    let calls = Calls::new(live.clone(), caller);
    let input: Box<dyn AsyncRead + Send + Unpin> =
        if mcp.list_query { Box::new(mcp::query::read_lines(input)) } else { Box::new(input) };
    let handler = mcp::stdio::Lasting(mcp::McpHandler::lasting(live, calls, mcp, observer.audit));
    // Large, and awaited once: callers need not carry it.
    match Box::pin(handler.serve_with_ct((input, output), shutdown)).await {
        Ok(service) => service.waiting().await.map(drop).map_err(StdioError::Lost),
        // Left before it said anything, or told to stop: nothing went wrong.
        Err(ServerInitializeError::ConnectionClosed(_) | ServerInitializeError::Cancelled) => {
            Ok(())
        }
        Err(error) => Err(StdioError::Start(error.to_string())),
    }
}
