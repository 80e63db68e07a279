//! Which requests are let in: `Host`, `Origin` and content type, the same on every route.
//!
//! Invariant: a web page that was opened in a browser beside toolscout can't reach it. A page of
//! another site is stopped by its `Origin`; one that had its own name resolve to this machine
//! (DNS rebinding) by the name in `Host`.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use url::Url;

use super::problem::Problem;

/// The rules; cheap to clone.
#[derive(Debug, Clone)]
pub struct Guard(Arc<Rules>);

#[derive(Debug)]
struct Rules {
    /// `host` (any port) or `host:port`; `*` is any.
    hosts: Vec<String>,
    /// Normalised origins; `*` is any.
    origins: Vec<String>,
    /// Listening on every address: it is reached by any of them, and rebinding takes a name.
    any_address: bool,
}

impl Guard {
    /// Loopback, the address listened on, and what is named here.
    pub fn new(listen: SocketAddr, hosts: &[String], origins: &[String]) -> Self {
        let mut hosts: Vec<String> = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        hosts.push(listen.ip().to_string());
        let origins = origins.iter();
        Self(Arc::new(Rules {
            hosts,
            origins: origins
                .map(|origin| normal_origin(origin).unwrap_or_else(|| origin.clone()))
                .collect(),
            any_address: listen.ip().is_unspecified(),
        }))
    }

    /// Pages of this origin are let in, and may read the answers.
    pub fn allows_origin(&self, origin: &HeaderValue) -> bool {
        origin.to_str().is_ok_and(|text| self.0.allows_origin(text))
    }

    fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let host = self.check_host(uri, headers)?;
        self.check_origin(&host, headers)?;
        if matches!(*method, Method::POST | Method::PUT | Method::PATCH) && !is_json(headers) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not-json",
                "send the body as content-type: application/json",
            ));
        }
        Ok(())
    }

    fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<Authority, Problem> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => {
                host.to_str().ok().and_then(|host| Authority::from_str(host).ok())
            }
            (None, _) => uri.authority().cloned(),
            (Some(_), Some(_)) => None,
        };
        let Some(host) = host.filter(|host| !host.as_str().contains('@')) else {
            return Err(Problem::invalid("send one valid Host header"));
        };
        // An absolute request target names a host too, and wins over the header for some.
        let named = uri.authority().into_iter().chain([&host]);
        for authority in named {
            if !self.0.allows_host(authority) {
                return Err(Problem::new(
                    StatusCode::FORBIDDEN,
                    "host-not-allowed",
                    "this Host is not served here: an operator can add it to allowed_hosts",
                ));
            }
        }
        Ok(host)
    }

    fn check_origin(&self, host: &Authority, headers: &HeaderMap) -> Result<(), Problem> {
        let site = headers.get("sec-fetch-site");
        // Our own page, the console. Where browsers say so themselves, that has to agree: not the
        // page that somebody put in our place on the way, over plain http.
        let is_ours = |origin: &HeaderValue| {
            origin.to_str().is_ok_and(|origin| self.0.is_own_page(origin, host))
                && site.is_none_or(|site| site == "same-origin")
        };
        for origin in headers.get_all(header::ORIGIN) {
            if !self.allows_origin(origin) && !is_ours(origin) {
                return Err(Problem::new(
                    StatusCode::FORBIDDEN,
                    "origin-not-allowed",
                    "this Origin is not served here: an operator can add it to allowed_origins",
                ));
            }
        }
        // What a page only embeds (an image, a frame) names no origin, and must not pass for a
        // search of somebody's: it would be learned from. Who follows a link or logs in may come.
        let is = |name: &str, what: &[u8]| headers.get(name).is_some_and(|it| it == what);
        if !headers.contains_key(header::ORIGIN)
            && !self.0.origins.iter().any(|allowed| allowed == "*")
            && is("sec-fetch-site", b"cross-site")
            && !is("sec-fetch-dest", b"document")
        {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "origin-not-allowed",
                "pages of other sites can't embed what is served here",
            ));
        }
        Ok(())
    }
}

impl Rules {
    fn allows_host(&self, authority: &Authority) -> bool {
        self.hosts.iter().any(|allowed| allowed == "*") || self.knows_host(authority)
    }

    /// It is ours by its name, and not for any being let in.
    fn knows_host(&self, authority: &Authority) -> bool {
        let name = bare_host(authority.host());
        if is_loopback(&name) || (self.any_address && name.parse::<IpAddr>().is_ok()) {
            return true;
        }
        let with_port = authority.port_u16().map(|port| format!("{name}:{port}"));
        let mut hosts = self.hosts.iter();
        hosts.any(|allowed| bare_host(allowed) == name || Some(allowed) == with_port.as_ref())
    }

    /// A page that came from the host which it now asks. Whoever rebinds a name could say as much of
    /// theirs: so only where the name is known to be ours.
    fn is_own_page(&self, origin: &str, host: &Authority) -> bool {
        let own = origin.split_once("://").map(|(scheme, _)| format!("{scheme}://{host}"));
        let own = own.and_then(|own| normal_origin(&own));
        own.is_some() && own == normal_origin(origin) && self.knows_host(host)
    }

    fn allows_origin(&self, origin: &str) -> bool {
        if self.origins.iter().any(|allowed| allowed == "*") {
            return true;
        }
        let Some(normal) = normal_origin(origin) else {
            // `null`, which pages without an origin of their own send.
            return self.origins.iter().any(|allowed| allowed == origin);
        };
        let loopback = Url::parse(origin)
            .is_ok_and(|url| url.host_str().is_some_and(|host| is_loopback(&bare_host(host))));
        loopback || self.origins.contains(&normal)
    }
}

/// `scheme://host[:port]` of a web origin, written one way.
fn normal_origin(origin: &str) -> Option<String> {
    let url = Url::parse(origin).ok()?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    plain.then(|| url.origin().ascii_serialization())
}

fn bare_host(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase()
}

fn is_loopback(name: &str) -> bool {
    name == "localhost"
        || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(kind), None) = (types.next(), types.next()) else {
        return false;
    };
    kind.to_str().is_ok_and(|kind| {
        kind.split(';')
            .next()
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    })
}

/// The middleware.
pub async fn admit(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match guard.check(request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(hosts: &[&str], origins: &[&str], any_address: bool) -> Guard {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let listen = if any_address { [0, 0, 0, 0] } else { [127, 0, 0, 1] };
        Guard::new((listen, 7420).into(), &owned(hosts), &owned(origins))
    }

    fn status(guard: &Guard, uri: &str, headers: &[(&'static str, &str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let uri: Uri = uri.parse().unwrap();
        match guard.check(&Method::GET, &uri, &map) {
            Ok(()) => 200,
            Err(problem) => problem.status.as_u16(),
        }
    }

    #[test]
    fn what_other_sites_embed_is_stopped_and_links_are_not() {
        let guard = guard(&[], &["https://app.example"], false);
        let ask = |site, dest, origin: &[_]| {
            let headers =
                [("host", "localhost"), ("sec-fetch-site", site), ("sec-fetch-dest", dest)];
            status(&guard, "/v1/search?q=x", &[&headers, origin].concat())
        };
        for dest in ["image", "iframe", "empty"] {
            assert_eq!(ask("cross-site", dest, &[]), 403, "{dest}");
            assert_eq!(ask("same-origin", dest, &[]), 200, "{dest}");
        }
        assert_eq!(ask("cross-site", "document", &[]), 200);
        assert_eq!(ask("cross-site", "empty", &[("origin", "https://app.example")]), 200);
    }

    #[test]
    fn loopback_is_served_under_any_port() {
        let guard = guard(&[], &[], false);
        for host in
            ["localhost", "LOCALHOST:1", "localhost.:80", "127.0.0.1:9", "127.8.8.8", "[::1]:7420"]
        {
            assert_eq!(status(&guard, "/", &[("host", host)]), 200, "{host}");
        }
    }

    #[test]
    fn a_name_that_was_not_allowed_is_refused_wherever_it_stands() {
        let guard = guard(&["tools.example", "other.example:81"], &[], false);
        let host = |host| status(&guard, "/", &[("host", host)]);
        assert_eq!(host("tools.example:7420"), 200);
        assert_eq!(host("other.example:81"), 200);
        assert_eq!(host("other.example"), 403);
        assert_eq!(host("evil.example"), 403);
        assert_eq!(host("localhost.evil.example"), 403);
        assert_eq!(host("10.0.0.1"), 403);
        assert_eq!(host("localhost@evil.example"), 400);
        assert_eq!(host("a b"), 400);
        assert_eq!(status(&guard, "/", &[]), 400);
        let twice = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(status(&guard, "/", &twice), 400);
        let absolute = "http://evil.example/";
        assert_eq!(status(&guard, absolute, &[("host", "localhost")]), 403);
    }

    #[test]
    fn listening_on_every_address_serves_any_address_but_no_name() {
        let guard = guard(&[], &[], true);
        assert_eq!(status(&guard, "/", &[("host", "10.0.0.1:7420")]), 200);
        assert_eq!(status(&guard, "/", &[("host", "evil.example")]), 403);
    }

    #[test]
    fn an_origin_is_its_scheme_host_and_port() {
        let guard = guard(&[], &["https://console.example"], false);
        let origin = |origin| status(&guard, "/", &[("host", "localhost"), ("origin", origin)]);
        assert_eq!(origin("https://console.example"), 200);
        assert_eq!(origin("https://console.example:443"), 200);
        assert_eq!(origin("http://localhost:3000"), 200);
        assert_eq!(origin("http://[::1]:3000"), 200);
        assert_eq!(origin("http://console.example"), 403);
        assert_eq!(origin("https://console.example:8443"), 403);
        assert_eq!(origin("https://console.example.evil.example"), 403);
        assert_eq!(origin("https://localhost@evil.example"), 403);
        assert_eq!(origin("null"), 403);
        assert_eq!(origin("file://"), 403);
    }

    #[test]
    fn our_own_page_may_ask_us_where_our_name_is_known() {
        let known = guard(&["tools.example"], &[], false);
        let page = |guard: &Guard, origin, more: &[_]| {
            let headers = [("host", "tools.example"), ("origin", origin)];
            status(guard, "/", &[&headers, more].concat())
        };
        assert_eq!(page(&known, "https://tools.example", &[]), 200);
        assert_eq!(page(&known, "https://tools.example:8443", &[]), 403);
        assert_eq!(page(&known, "https://www.tools.example", &[]), 403);
        let site = |site| page(&known, "http://tools.example", &[("sec-fetch-site", site)]);
        assert_eq!((site("same-origin"), site("same-site"), site("cross-site")), (200, 403, 403));
        // Any name is let in, and so whoever has theirs lead here.
        let open = guard(&["*"], &[], false);
        assert_eq!(page(&open, "https://tools.example", &[]), 403);
    }

    #[test]
    fn a_body_is_json() {
        let json = |kind: &str| {
            let mut headers = HeaderMap::new();
            headers.append("content-type", kind.parse().unwrap());
            is_json(&headers)
        };
        assert!(json("application/json"));
        assert!(json("Application/JSON; charset=utf-8"));
        assert!(!json("text/plain"));
        assert!(!json("application/json-seq"));
        assert!(!is_json(&HeaderMap::new()));
    }
}
