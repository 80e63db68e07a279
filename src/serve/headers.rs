//! What every answer tells browsers: that it is no page, belongs into no other page, and is what its
//! type says.
//!
//! Invariant: no answer goes without them, refusals included; a route that serves a page says what
//! that page may load, and its word stands.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use super::limits::OnTlsPort;

const ALL: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];
/// Half a year, and this host alone.
const HSTS: &str = "max-age=15552000";

/// The middleware; `hsts` where browsers are to be told to come back over TLS.
pub async fn tell(State(hsts): State<bool>, request: Request, next: Next) -> Response {
    let is_secure = hsts && request.extensions().get() == Some(&OnTlsPort::Secure);
    let is_named = is_secure && has_name(&request);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    add(headers);
    if is_named {
        let hsts = HeaderValue::from_static(HSTS);
        headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert(hsts);
    }
    response
}

/// Adds those of them that are not there.
pub fn add(headers: &mut HeaderMap) {
    for (name, value) in ALL {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// It was asked for by a name that is not this machine's for itself: what a browser remembers of
/// localhost holds for whatever else runs there.
fn has_name(request: &Request) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let name = host.map(|host| host.rsplit_once(':').map_or(host, |(name, _)| name));
    name.is_some_and(|name| !name.eq_ignore_ascii_case("localhost") && !name.starts_with('['))
}
