//! Answers over MCP and HTTP from the live index.
//!
//! Invariant: every route, the unknown ones too, goes through the same layers: an id, the guard
//! ([`guard`]: Host, Origin, content type), leave for the pages it let in to read the answer, a
//! time limit, a bound on the body, the [`door`] that finds out who asks. A request reads one published generation and writes nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderName, Method, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get, post};
use axum::{Extension, Router};
use rmcp::ServiceExt;
use rmcp::service::ServerInitializeError;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use self::admin::Admin;
use self::call::Calls;
use self::door::{Door, Need, challenge};
use self::mcp::news::News;
use self::scope::Scoped;
use crate::access::caller::{self as access, Scope};
use crate::config::{Config, McpConfig};
use crate::crawl::call::Caller;
use crate::live::Live;

pub mod admin;
mod call;
mod conversation;
mod decide;
mod digest;
pub mod door;
mod formats;
mod guard;
mod http;
mod labelled;
mod learned;
mod listen;
mod lists;
mod manifest;
mod mcp;
mod metrics;
mod oauth;
mod observe;
mod openapi;
mod problem;
mod profiles;
mod raw;
mod reduce;
mod scope;
mod select;
mod tenants;
pub mod token;
mod trust;
mod wire;

pub use self::formats::{Wants, answer_body};
pub use self::oauth::Logins;
pub use self::tenants::{TENANT, Tenants};

/// The largest request body.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Time to a response's head. A search takes milliseconds; what takes this long is a caller that
/// sends its body drop by drop.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// What is counted.
const METRICS: &str = "/metrics";

/// How long a connection may wait for a request, and how long open ones may take to end once a
/// shutdown has begun.
const PATIENCE: listen::Patience =
    listen::Patience { head: Duration::from_mins(1), drain: Duration::from_secs(10) };

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
    /// Who may come in.
    pub door: Door,
}

impl From<Live> for Rooms {
    fn from(live: Live) -> Self {
        let (logins, caller) = (Logins::none(), Caller::none());
        let (mcp, tenants, door) = (McpConfig::default(), Tenants::default(), Door::default());
        Self { live, admin: None, logins, caller, mcp, tenants, door }
    }
}

/// Everything that is served over HTTP. `shutdown` ends the streams that would else stay open.
pub fn router(rooms: impl Into<Rooms>, config: &Config, shutdown: &CancellationToken) -> Router {
    routers(rooms.into(), config, shutdown).0
}

/// What the listener serves, and what that of operators does, where there is one: then what
/// administers is served there alone.
fn routers(
    rooms: Rooms,
    config: &Config,
    shutdown: &CancellationToken,
) -> (Router, Option<Router>) {
    metrics::install();
    let (door, tenants) = (rooms.door.clone(), rooms.tenants.clone());
    let metrics = (METRICS.to_owned(), get(tell_metrics).with_state(rooms.live.clone()));
    let mut all = vec![metrics];
    if rooms.admin.is_some() {
        let of_process = admin::of_process().into_iter();
        all.extend(of_process.map(|(path, route)| (path.to_owned(), route)));
    }
    all.extend(table(rooms, shutdown));
    let app = |listen, served: &dyn Fn(&str) -> bool| {
        let mut router = Router::new();
        for (path, route) in all.iter().filter(|(path, _)| served(path)) {
            router = router.route(path, route.clone());
        }
        let guard = guard::Guard::new(listen, &config.allowed_hosts, &config.allowed_origins);
        let router = router
            .layer(from_fn_with_state(tenants.clone(), tenants::dispatch))
            .layer((Extension(tenants.clone()), Extension(door.clone())));
        surround(router, guard, door.clone())
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
    let handler = mcp::McpHandler::stateless(live.clone(), calls.clone(), mcp);
    let of_live = routes(&handler, shutdown).into_iter();
    let of_live = of_live.map(|(path, route)| (path, route.with_state(live.clone())));
    let of_admin = admin.iter().flat_map(admin::table);
    of_live
        .chain(of_admin.map(|(path, route)| (path.to_owned(), route)))
        .map(|(path, route)| {
            (path, route.layer((Extension(Arc::clone(&logins)), Extension(calls.clone()))))
        })
        .collect()
}

fn surround<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    guard: guard::Guard,
    door: Door,
) -> Router<S> {
    router
        .fallback(|| async { problem::Problem::no_route() })
        .method_not_allowed_fallback(|| async { problem::Problem::wrong_method() })
        .layer(from_fn_with_state(door, door::admit))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(TIME_LIMIT, observe::limit_time))
        .layer(CatchPanicLayer::custom(observe::on_panic))
        // Streams of events are left as they are.
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .layer(cors(guard.clone()))
        .layer(from_fn_with_state(guard, guard::admit))
        .layer(from_fn(observe::observe))
}

/// Lets pages that the guard admits read the answers, and asks browsers for nothing more.
fn cors(guard: guard::Guard) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| guard.allows_origin(origin)))
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([HeaderName::from_static(observe::REQUEST_ID), header::WWW_AUTHENTICATE])
        .max_age(Duration::from_mins(10))
}

fn routes(
    handler: &mcp::McpHandler,
    shutdown: &CancellationToken,
) -> Vec<(String, MethodRouter<Live>)> {
    let whole = [
        (oauth::PATHS[0], get(oauth::start)),
        (oauth::PATHS[1], get(oauth::callback)),
        ("/v1/changes", get(trust::changes)),
        ("/v1/findings", get(trust::findings)),
        ("/.well-known/mcp", get(manifest::manifest)),
        (challenge::METADATA, get(challenge::metadata)),
        (challenge::METADATA_BELOW, get(challenge::metadata_below)),
        ("/livez", get(livez)),
        ("/readyz", get(readyz)),
        ("/openapi.json", get(openapi::serve)),
    ];
    let mut routes: Vec<_> =
        whole.into_iter().map(|(path, route)| (path.to_owned(), route)).collect();
    for (path, route) in scoped_routes(handler, shutdown) {
        routes.push((format!("{}{path}", scope::PREFIX), route.clone()));
        routes.push((path.to_owned(), route));
    }
    routes
}

/// What is served of everything, and of each profile below its own path.
fn scoped_routes(
    handler: &mcp::McpHandler,
    shutdown: &CancellationToken,
) -> Vec<(&'static str, MethodRouter<Live>)> {
    vec![
        ("/v1/search", get(http::search_get).post(http::search_post)),
        ("/v1/select", post(select::select)),
        ("/v1/anthropic/tools", get(lists::anthropic)),
        ("/v1/openai/tools", get(lists::openai)),
        ("/v1/feedback", post(learned::feedback)),
        ("/v1/tools", get(http::tools)),
        ("/v1/tools/{*id}", get(http::tool)),
        ("/v1/servers", get(http::servers)),
        ("/v1/status", get(http::status)),
        ("/v1/call", post(http::call)),
        ("/mcp", mcp_route(handler, shutdown)),
        ("/mcp/server-card", get(manifest::server_card)),
    ]
}

/// MCP, and the stream of news of those who began with `initialize`. Of the whole it is one service;
/// that of a profile is made for each request.
fn mcp_route(handler: &mcp::McpHandler, shutdown: &CancellationToken) -> MethodRouter<Live> {
    let news = News::of(handler.clone(), shutdown.clone());
    let (whole, by_query) = (mcp_service(handler, shutdown), handler.lists_by_query());
    let (handler, shutdown) = (handler.clone(), shutdown.clone());
    let answer = async move |Scoped(live): Scoped, request: Request| {
        let may_call = may_call(request.extensions().get());
        let service = match live.scope() {
            None if may_call => whole,
            _ => mcp_service(&handler.scoped(live).calling(may_call), &shutdown),
        };
        service.handle(request).await.map(Body::new)
    };
    let mut route = any(answer).layer(from_fn(raw::put_in));
    if by_query {
        route = route.layer(from_fn(mcp::query::read));
    }
    let news = async move |Scoped(live): Scoped,
                           caller: Option<Extension<access::Caller>>,
                           headers: HeaderMap| {
        let may_call = may_call(caller.as_ref().map(|caller| &caller.0));
        news.of_view(live, may_call).open(&headers)
    };
    route.get(news)
}

/// Whoever was not asked may do what everybody may.
fn may_call(caller: Option<&access::Caller>) -> bool {
    caller.is_none_or(|caller| caller.scopes.has(Scope::Call))
}

/// MCP without sessions: any instance can answer any request, in one JSON body, or as a stream of
/// events where there is progress to tell of.
fn mcp_service(
    handler: &mcp::McpHandler,
    shutdown: &CancellationToken,
) -> StreamableHttpService<mcp::McpHandler, NeverSessionManager> {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(MAX_BODY_BYTES)
        .with_cancellation_token(shutdown.clone())
        // The guard has looked at both already, by the operator's rules.
        .disable_allowed_hosts()
        .disable_allowed_origins();
    let handler = handler.clone();
    StreamableHttpService::new(
        move || Ok(handler.clone()),
        Arc::new(NeverSessionManager::default()),
        config,
    )
}

async fn livez(State(live): State<Live>) -> Response {
    health(&live)
}

async fn readyz(State(live): State<Live>) -> Response {
    if live.is_ready() { health(&live) } else { problem::Problem::not_ready().into_response() }
}

fn health(live: &Live) -> Response {
    http::json(&wire::Health { status: "ok", generation: live.status().generation })
}

/// Where there are tenants, what is counted of them is for operators alone.
async fn tell_metrics(
    State(live): State<Live>,
    Extension(tenants): Extension<Tenants>,
    caller: Option<Extension<crate::access::caller::Caller>>,
) -> Result<Response, problem::Problem> {
    if tenants.are_there() && !tenants::is_operator(caller.as_deref()) {
        return Err(problem::Problem::no_route());
    }
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], metrics::render(&live, &tenants)).into_response())
}

/// As [`run`], with a listener of its own for what administers.
pub async fn run_apart(
    (listener, operators): (TcpListener, TcpListener),
    rooms: impl Into<Rooms>,
    config: &Config,
    shutdown: CancellationToken,
) {
    let (app, administration) = routers(rooms.into(), config, &shutdown);
    let administration = administration.unwrap_or_default();
    tokio::join!(
        listen::serve(listener, app, PATIENCE, shutdown.clone()),
        listen::serve(operators, administration, PATIENCE, shutdown),
    );
}

/// Serves until `shutdown`, then lets open requests end, for at most ten seconds.
pub async fn run(
    listener: TcpListener,
    rooms: impl Into<Rooms>,
    config: &Config,
    shutdown: CancellationToken,
) {
    let app = router(rooms, config, &shutdown);
    listen::serve(listener, app, PATIENCE, shutdown).await;
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
    let Rooms { live, caller, mcp, .. } = rooms.into();
    let calls = Calls::new(live.clone(), caller);
    let input: Box<dyn AsyncRead + Send + Unpin> =
        if mcp.list_query { Box::new(mcp::query::read_lines(input)) } else { Box::new(input) };
    let handler = mcp::stdio::Lasting(mcp::McpHandler::lasting(live, calls, mcp));
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::body::to_bytes;
    use axum::http::{Request, StatusCode};
    use tower::ServiceExt as _;

    use super::*;

    fn loopback() -> guard::Guard {
        guard::Guard::new(([127, 0, 0, 1], 0).into(), &[], &[])
    }

    async fn ask(router: Router, path: &str) -> (StatusCode, serde_json::Value) {
        let request = Request::get(path).header("host", "localhost");
        let request = request.body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_that_tells_nothing_of_it() {
        async fn fail() {
            panic!("the password is hunter2");
        }
        let router = surround(Router::new().route("/fail", get(fail)), loopback(), Door::default());
        let (status, body) = ask(router, "/fail").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(body["type"], "urn:toolscout:problem:internal");
        assert!(!body.to_string().contains("hunter2"), "{body}");
    }

    #[tokio::test]
    async fn a_request_that_takes_too_long_is_given_up() {
        let limit = Duration::from_millis(5);
        let router = Router::new()
            .route("/wait", get(std::future::pending::<()>))
            .layer(from_fn_with_state(limit, observe::limit_time))
            .layer(from_fn(observe::observe));
        let (status, body) = ask(router, "/wait").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body["type"], "urn:toolscout:problem:timeout");
    }

    #[test]
    fn every_route_stands_in_the_openapi_document() {
        let live = Live::new("not crawled yet");
        let token = CancellationToken::new();
        let calls = Calls::new(live.clone(), Caller::none());
        let handler = mcp::McpHandler::stateless(live, calls, McpConfig::default());
        let open = routes(&handler, &token).into_iter().map(|(path, _)| path);
        let admin = admin::routes().into_iter().map(|(path, _)| path.to_owned());
        let of_process = admin::of_process().into_iter().map(|(path, _)| path.to_owned());
        let admin = admin.chain(of_process).chain([METRICS.to_owned()]);
        let routes: BTreeSet<String> =
            open.chain(admin).map(|path| path.replace("{*", "{")).collect();
        // Each of them is everybody's, or wants a scope that somebody chose.
        let administers = ["/metrics", "/v1/changes", "/v1/findings"];
        for path in &routes {
            let admin = administers.contains(&path.as_str()) || path.starts_with("/v1/admin/");
            let wildcard = path.replace("{id}", "{*id}").replace("{server}", "{*server}");
            let wildcard = wildcard.replace("{path}", "{*path}");
            assert_eq!(Need::of(&wildcard) == Need::Scope(Scope::Admin), admin, "{path}");
        }
        let document = openapi::document();
        let described: BTreeSet<String> =
            document["paths"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(routes, described);
    }
}
