//! The HTTP client of a server: its headers, its proxy, whom it trusts and who it is.
//!
//! Invariant: it follows no redirect to another origin, since its headers may be credentials.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::error::{CrawlError, clip};
use crate::config::ServerConfig;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_REDIRECTS: usize = 5;

/// The client of one server: its headers are in it, and where it may be.
pub(super) fn client(
    server: &ServerConfig,
    url: &Url,
    headers: &[(String, SecretString)],
) -> Result<reqwest::Client, CrawlError> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let bad = || CrawlError::BadHeader(clip(name, 80));
        let key = HeaderName::try_from(name.as_str()).map_err(|_| bad())?;
        let mut value = HeaderValue::try_from(value.expose_secret()).map_err(|_| bad())?;
        value.set_sensitive(true);
        map.append(key, value);
    }
    let unusable = |(key, why)| CrawlError::Client(format!("`{key}`: {why}"));
    let mut builder = (server.network.client().map_err(unusable)?)
        .default_headers(map)
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(within_origin());
    if let Some(guard) = &server.guard {
        guard.check(url).map_err(|refused| CrawlError::Unreachable(refused.to_string()))?;
        builder = builder.dns_resolver(guard.resolver());
    }
    builder.build().map_err(|error| CrawlError::Client(error.without_url().to_string()))
}

/// Follows what keeps the method, the body and the origin: credentials go nowhere else.
fn within_origin() -> reqwest::redirect::Policy {
    reqwest::redirect::Policy::custom(|attempt| {
        let keeps_body = matches!(
            attempt.status(),
            StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
        );
        let same_origin = attempt
            .previous()
            .first()
            .is_some_and(|first| first.origin() == attempt.url().origin());
        if keeps_body && same_origin && attempt.previous().len() <= MAX_REDIRECTS {
            attempt.follow()
        } else {
            attempt.stop()
        }
    })
}
