//! What every request passes on its way to a route.
//!
//! Invariant: the unknown routes pass the same: an id, the guard, leave for the pages that it let in
//! to read the answer, limits, a time limit, a bound on the body, the door, a seat among those at work.

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::door::{self, Door};
use super::limits::{self, Limits};
use super::{MAX_BODY_BYTES, guard, observe, problem, trail};

/// What pages may read of an answer beside what all may.
const EXPOSED: [HeaderName; 3] =
    [HeaderName::from_static(observe::REQUEST_ID), header::RETRY_AFTER, header::WWW_AUTHENTICATE];
/// What an answer differs by.
const VARIES_BY: &str = "origin, access-control-request-headers";

/// The routes within the layers.
pub(super) fn surround<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    guard: guard::Guard,
    door: Door,
    limits: &Limits,
) -> Router<S> {
    router
        .fallback(|| async { problem::Problem::no_route() })
        .method_not_allowed_fallback(|| async { problem::Problem::wrong_method() })
        .layer(from_fn_with_state(limits.clone(), limits::seat))
        .layer(from_fn(trail::know))
        .layer(from_fn_with_state(door, door::admit))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(limits.time(), observe::limit_time))
        .layer(CatchPanicLayer::custom(observe::on_panic))
        // Streams of events are left as they are.
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .layer(cors(guard.clone()))
        .layer(from_fn_with_state(guard.clone(), guard::admit))
        .layer(from_fn_with_state(limits.clone(), limits::admit))
        .layer(from_fn_with_state(guard, readable))
        .layer(from_fn(observe::observe))
}

/// Lets pages that the guard admits read the answers, and asks browsers for nothing more.
fn cors(guard: guard::Guard) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| guard.allows_origin(origin)))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(EXPOSED)
        .max_age(Duration::from_mins(10))
}

/// What is refused before the layer for pages of other origins is told to them as well.
async fn readable(State(guard): State<guard::Guard>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut answer = next.run(request).await;
    if !answer.headers().contains_key(header::VARY) {
        let_read(&guard, origin.as_ref(), answer.headers_mut());
    }
    answer
}

/// Lets the page that asked read the answer with these headers, if the guard lets it in: as [`cors`] does
/// with all that come that far.
pub(super) fn let_read(
    guard: &guard::Guard,
    origin: Option<&HeaderValue>,
    headers: &mut HeaderMap,
) {
    headers.insert(header::VARY, HeaderValue::from_static(VARIES_BY));
    let exposed = EXPOSED.map(|name| name.to_string()).join(",");
    if let Ok(exposed) = HeaderValue::try_from(exposed) {
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    if let Some(origin) = origin.filter(|origin| guard.allows_origin(origin)) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::{Request, StatusCode};
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    fn loopback() -> guard::Guard {
        guard::Guard::new(([127, 0, 0, 1], 0).into(), &[], &[])
    }

    #[tokio::test]
    async fn pages_may_read_a_refusal_as_they_may_read_an_answer() {
        let router = || {
            let router = Router::new().route("/a", get(async || "a"));
            surround(router, loopback(), Door::default(), &Limits::none())
        };
        for origin in [None, Some("http://localhost:3000"), Some("https://evil.example")] {
            let ask = async |path: String| {
                let mut request = Request::get(path).header("host", "localhost");
                if let Some(origin) = origin {
                    request = request.header("origin", origin);
                }
                let request = request.body(Body::empty()).unwrap();
                let answer = router().oneshot(request).await.unwrap();
                let headers: HeaderMap = (answer.headers().iter())
                    .filter(|(name, _)| name.as_str().starts_with("access-") || *name == "vary")
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect();
                (answer.status().as_u16(), headers)
            };
            let (status, usual) = ask("/a".into()).await;
            // Refused by the layer that knows no page.
            let (refused, told) = ask(format!("/a?{}", "x".repeat(60_000))).await;
            assert_eq!(refused, 414);
            let mut early = HeaderMap::new();
            let origin = origin.map(HeaderValue::from_static);
            let_read(&loopback(), origin.as_ref(), &mut early);
            assert_eq!(told, early);
            if status == 200 {
                assert_eq!(usual, early);
            }
            let is_ours = origin.is_some_and(|origin| origin == "http://localhost:3000");
            assert_eq!(told.contains_key("access-control-allow-origin"), is_ours);
        }
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
        let router = surround(
            Router::new().route("/fail", get(fail)),
            loopback(),
            Door::default(),
            &Limits::none(),
        );
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
}
