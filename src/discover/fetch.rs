//! Fetches documents that say where servers are.
//!
//! Invariant: what is read is bounded in bytes, in time and in redirects, and an address that a
//! document or a redirect names goes through the guard, unless it is of the origin that the
//! operator named.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use reqwest::{RequestBuilder, Response, StatusCode};
use url::{Origin, Url};

use crate::auth::guard::{Client, Policy, Redirects, Refused};
use crate::auth::{cause, innermost};
use crate::config::NetworkConfig;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_REDIRECTS: usize = 5;

/// What may be read of one document.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Its bytes, once unpacked.
    pub bytes: usize,
    /// The time for all of it, redirects included.
    pub time: Duration,
}

/// Why a document could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Nobody answers, or the answer broke off.
    #[error("no answer: {0}")]
    Unreachable(String),
    /// It took too long.
    #[error("no whole answer within {0:?}")]
    Timeout(Duration),
    /// It is too long.
    #[error("more than {0} bytes")]
    TooLong(usize),
    /// A redirect that is not followed.
    #[error("a redirect {0}")]
    Redirect(&'static str),
    /// An address that a remote document must not name.
    #[error("not asked: {0}")]
    Refused(String),
}

impl From<Refused> for FetchError {
    fn from(refused: Refused) -> Self {
        Self::Refused(match refused {
            Refused::Scheme(_) => "it is not https".into(),
            Refused::Address(_) => "it is not a public address".into(),
            Refused::Form => refused.to_string(),
        })
    }
}

/// Fetches what one address leads to.
#[derive(Debug, Clone)]
pub struct Fetcher {
    client: Client,
    policy: Policy,
    home: Origin,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Fetched {
    /// Where it was, after redirects.
    pub url: Url,
    /// Its status.
    pub status: StatusCode,
    /// Its media type, lower-case, without parameters.
    pub kind: String,
    /// What it says of credentials.
    pub challenges: Vec<String>,
    /// What came.
    pub body: Vec<u8>,
}

impl Fetcher {
    /// A fetcher that trusts the origin of `home`; others have to be public unless `allow_private`.
    pub fn new(
        home: &Url,
        network: &NetworkConfig,
        allow_private: bool,
    ) -> Result<Self, FetchError> {
        let policy = Policy::of(home).allowing_private(allow_private);
        let unusable = |(key, why)| FetchError::Unreachable(format!("`{key}`: {why}"));
        drop(network.client().map_err(unusable)?);
        // What was read a moment ago is read again; without it less is trusted, not more.
        let settings = || network.client().unwrap_or_default().connect_timeout(CONNECT_TIMEOUT);
        // Redirects are followed by hand: between origins, and each looked at.
        let client = Client::with(policy.clone(), Redirects::Stop, settings);
        let client = client.map_err(|error| failed(&error))?;
        Ok(Self { client, policy, home: home.origin() })
    }

    /// The document at `url`.
    pub async fn get(
        &self,
        url: &Url,
        accept: &str,
        bounds: Bounds,
    ) -> Result<Fetched, FetchError> {
        let fetched = async {
            let mut at = url.clone();
            for _ in 0..=MAX_REDIRECTS {
                let request = self.client.for_url(&at)?.get(at.clone()).header(ACCEPT, accept);
                let response = send(request).await?;
                if !response.status().is_redirection() {
                    return read(response, bounds.bytes).await;
                }
                at = target(&at, &response)?;
            }
            Err(FetchError::Redirect("too many: an endless loop, perhaps"))
        };
        within(bounds.time, fetched).await
    }

    /// What `url` answers to a POST of this JSON; redirects are not followed.
    pub async fn post(
        &self,
        url: &Url,
        headers: &[(&str, &str)],
        body: String,
        bounds: Bounds,
    ) -> Result<Fetched, FetchError> {
        let fetched = async {
            let request = self.client.for_url(url)?.post(url.clone()).body(body);
            let request = headers
                .iter()
                .fold(request, |request, (name, value)| request.header(*name, *value));
            read(send(request).await?, bounds.bytes).await
        };
        within(bounds.time, fetched).await
    }

    /// Where a server at this address may be; `None` for the origin that was named.
    pub fn guard(&self, url: &Url) -> Option<Policy> {
        (url.origin() != self.home).then(|| self.policy.clone())
    }
}

async fn within<T>(
    time: Duration,
    work: impl Future<Output = Result<T, FetchError>>,
) -> Result<T, FetchError> {
    tokio::time::timeout(time, work).await.unwrap_or(Err(FetchError::Timeout(time)))
}

async fn send(request: RequestBuilder) -> Result<Response, FetchError> {
    request.send().await.map_err(|error| failed(&error))
}

async fn read(mut response: Response, limit: usize) -> Result<Fetched, FetchError> {
    let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let kind = text(CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let challenges = response.headers().get_all(WWW_AUTHENTICATE).into_iter();
    let challenges = challenges.filter_map(|value| Some(value.to_str().ok()?.to_owned())).collect();
    let (url, status) = (response.url().clone(), response.status());
    let mut body = Vec::new();
    // An event stream has no end: its head is all that is wanted of it.
    while kind != "text/event-stream"
        && let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))?
    {
        if body.len() + chunk.len() > limit {
            return Err(FetchError::TooLong(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Fetched { url, status, kind, challenges, body })
}

/// Where a redirect points.
fn target(from: &Url, response: &Response) -> Result<Url, FetchError> {
    let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
    let to = location.and_then(|location| from.join(location).ok());
    let to = to.ok_or(FetchError::Redirect("that names no address"))?;
    match (from.scheme(), to.scheme()) {
        (_, "https") | ("http", "http") => Ok(to),
        _ => Err(FetchError::Redirect("away from https://")),
    }
}

/// Why a request failed.
fn failed(error: &reqwest::Error) -> FetchError {
    match innermost(error).downcast_ref::<Refused>() {
        Some(refused) => refused.clone().into(),
        None => FetchError::Unreachable(cause(error)),
    }
}
