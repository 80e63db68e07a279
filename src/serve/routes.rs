//! Which path is answered by what.
//!
//! Invariant: every route stands in the OpenAPI document, and wants a scope that somebody chose.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get, post};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio_util::sync::CancellationToken;

use super::door::challenge;
use super::events::{self, Streams};
use super::limits::quota;
use super::mcp::news::News;
use super::problem::Problem;
use super::scope::{self, Scoped};
use super::{
    MAX_BODY_BYTES, Observer, Rooms, Tenants, health, http, learned, lists, manifest, map, mcp, me,
    metrics, oauth, openapi, raw, select, switches, tenants, trust,
};
use crate::access::caller::{Caller, Scope};
use crate::live::Live;

/// Everything that is served of an index.
pub(super) fn all(
    handler: &mcp::McpHandler,
    shutdown: &CancellationToken,
) -> Vec<(String, MethodRouter<Live>)> {
    let whole = [
        (oauth::PATHS[0], get(oauth::start)),
        (oauth::PATHS[1], get(oauth::callback)),
        ("/v1/me", get(me::me)),
        ("/v1/changes", get(trust::changes)),
        ("/v1/findings", get(trust::findings)),
        ("/.well-known/mcp", get(manifest::manifest)),
        (challenge::METADATA, get(challenge::metadata)),
        (challenge::METADATA_BELOW, get(challenge::metadata)),
        ("/livez", get(health::livez)),
        ("/readyz", get(health::readyz)),
        ("/health", get(health::health)),
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

/// What is served of the process, to those who are of no tenant.
pub(super) fn of_process(rooms: &Rooms) -> Vec<(String, MethodRouter)> {
    let metrics = ("/metrics", get(tell_metrics).with_state(rooms.live.clone()));
    let administers = [
        ("/v1/admin/log", get(switches::show).put(switches::switch)),
        ("/v1/admin/quotas", get(quota::list)),
        ("/v1/admin/tenants", get(tenants::list)),
    ];
    let administers = administers.into_iter().filter(|_| rooms.admin.is_some());
    [metrics].into_iter().chain(administers).map(|(path, route)| (path.to_owned(), route)).collect()
}

/// What is served of everything, and of each profile below its own path.
fn scoped_routes(
    handler: &mcp::McpHandler,
    shutdown: &CancellationToken,
) -> Vec<(&'static str, MethodRouter<Live>)> {
    let streams = Streams::until(shutdown.clone());
    vec![
        ("/v1/events", get(events::follow).layer(Extension(streams))),
        ("/v1/search", get(http::search_get).post(http::search_post)),
        ("/v1/select", post(select::select)),
        ("/v1/anthropic/tools", get(lists::anthropic)),
        ("/v1/openai/tools", get(lists::openai)),
        ("/v1/feedback", post(learned::feedback)),
        ("/v1/tools", get(http::tools)),
        ("/v1/tools/{*id}", get(http::tool)),
        ("/v1/servers", get(http::servers)),
        ("/v1/map", get(map::map)),
        ("/v1/map/query", get(map::place)),
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
    let (whole, by_query) = (mcp_service(handler), handler.lists_by_query());
    let handler = handler.clone();
    let answer = async move |Scoped(live): Scoped, request: Request| {
        let may_call = may_call(request.extensions().get());
        let service = match live.scope() {
            None if may_call => whole,
            _ => mcp_service(&handler.scoped(live).calling(may_call)),
        };
        mcp::refused::told(service.handle(request).await.map(Body::new)).await
    };
    let mut route = any(answer).layer(from_fn(raw::put_in));
    if by_query {
        route = route.layer(from_fn(mcp::query::read));
    }
    let news =
        async move |Scoped(live): Scoped, caller: Option<Extension<Caller>>, headers: HeaderMap| {
            let may_call = may_call(caller.as_ref().map(|caller| &caller.0));
            news.of_view(live, may_call).open(&headers)
        };
    route.get(news)
}

/// Whoever was not asked may do what everybody may.
fn may_call(caller: Option<&Caller>) -> bool {
    caller.is_none_or(|caller| caller.scopes.has(Scope::Call))
}

/// MCP without sessions: any instance can answer any request, in one JSON body, or as a stream of
/// events where there is progress to tell of. The SDK is told of no shutdown: it would cut requests
/// off that there is still time to answer.
fn mcp_service(
    handler: &mcp::McpHandler,
) -> StreamableHttpService<mcp::McpHandler, NeverSessionManager> {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(MAX_BODY_BYTES)
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

/// Where there are tenants, what is counted of them is for operators alone.
async fn tell_metrics(
    State(live): State<Live>,
    Extension(tenants): Extension<Tenants>,
    Extension(observer): Extension<Observer>,
    caller: Option<Extension<Caller>>,
) -> Result<Response, Problem> {
    if tenants.are_there() && !tenants::is_operator(caller.as_deref()) {
        return Err(Problem::no_route());
    }
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], metrics::render(&live, &tenants, &observer.audit))
        .into_response())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::McpConfig;
    use crate::crawl::call::Caller as Proxy;
    use crate::serve::call::Calls;
    use crate::serve::door::Need;
    use crate::serve::{admin, console, openapi};

    #[test]
    fn every_route_stands_in_the_openapi_document() {
        let live = Live::new("not crawled yet");
        let token = CancellationToken::new();
        let calls = Calls::new(live.clone(), Proxy::none());
        let handler = mcp::McpHandler::stateless(live, calls, McpConfig::default());
        let open = all(&handler, &token).into_iter().map(|(path, _)| path);
        let admin = admin::routes().into_iter().map(|(path, _)| path.to_owned());
        let of_process = ["/metrics", "/v1/admin/log", "/v1/admin/quotas", "/v1/admin/tenants"];
        let of_process = of_process.into_iter().chain([console::SETTINGS]).map(str::to_owned);
        let routes: BTreeSet<String> =
            open.chain(admin).chain(of_process).map(|path| path.replace("{*", "{")).collect();
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
