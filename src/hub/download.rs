//! Downloads: redirects followed by hand, bounded, hashed on the way.
//!
//! Invariant: a token is sent to the origin that it was given for, redirect or not; a file is
//! handed over whole or not at all.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use url::{Origin, Url};

use super::HubError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Without a byte for so long, a download is given up.
const READ_TIMEOUT: Duration = Duration::from_mins(1);
const MAX_REDIRECTS: usize = 5;
/// Bytes of a file.
const MAX_FILE: u64 = 1 << 30;
/// Bytes of what is read into memory: a page of an index, a model's small files.
const MAX_TEXT: usize = 64 << 20;
/// Further requests after one that failed and may yet succeed.
const RETRIES: usize = 2;
const FIRST_RETRY: Duration = Duration::from_millis(500);

/// Told of each file as it comes: its name, the bytes so far, and how many there will be.
pub type Watch<'a> = dyn Fn(&str, u64, Option<u64>) + Sync + 'a;

/// Fetches from one place and what it redirects to.
pub struct Client {
    http: reqwest::Client,
    token: Option<(Origin, HeaderValue)>,
    mirror: &'static str,
}

/// An answer, and what was said on the way to it.
pub(super) struct Answer {
    response: Response,
    /// Headers of the place that was asked, the latest of each: a hub says what the store that it
    /// points to does not.
    said: HeaderMap,
}

/// A file that came.
pub(super) struct Fetched {
    pub(super) sha256: String,
    said: HeaderMap,
}

impl Fetched {
    /// What the place that was asked said under this name.
    pub(super) fn said(&self, name: &str) -> Option<&str> {
        self.said.get(name)?.to_str().ok()
    }
}

struct Failed {
    error: HubError,
    again: bool,
}

impl From<HubError> for Failed {
    fn from(error: HubError) -> Self {
        Self { error, again: false }
    }
}

impl Client {
    /// A client whose messages name `mirror` as what chooses another place.
    pub fn new(mirror: &'static str) -> Result<Self, HubError> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("toolscout/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            // Followed by hand: reqwest would not show what the answer before one said.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| HubError::Asked(error.without_url().to_string()))?;
        Ok(Self { http, token: None, mirror })
    }

    /// The same with a token for `home` and no other origin.
    pub fn with_token(mut self, home: &Url, token: &SecretString) -> Result<Self, HubError> {
        let asked = |problem: &str| HubError::Asked(format!("HF_TOKEN {problem}"));
        let host = home.host_str().unwrap_or_default();
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        let is_local = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
        if home.scheme() != "https" && !is_local {
            return Err(asked(
                "would travel unencrypted: use an https:// HF_ENDPOINT, or unset it",
            ));
        }
        let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret().trim()))
            .map_err(|_| asked("holds characters that a header can't carry"))?;
        value.set_sensitive(true);
        self.token = Some((home.origin(), value));
        Ok(self)
    }

    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// The text at `url` and its final address; `None` where nothing is.
    pub(super) async fn text(&self, url: &Url, accept: &str) -> Result<Option<Text>, HubError> {
        self.retried(async || {
            let Some(answer) = self.ask(Method::GET, url, accept).await? else { return Ok(None) };
            let Answer { mut response, said } = answer;
            let address = response.url().clone();
            let mut bytes = Vec::new();
            while let Some(chunk) =
                response.chunk().await.map_err(|error| self.failed(url, &error))?
            {
                if bytes.len() + chunk.len() > MAX_TEXT {
                    let limit = MAX_TEXT as u64;
                    return Err(HubError::TooLong { from: shown(url), limit }.into());
                }
                bytes.extend_from_slice(&chunk);
            }
            Ok(Some(Text { address, bytes, said }))
        })
        .await
    }

    /// True where there is a file at `url`.
    pub(super) async fn has(&self, url: &Url) -> Result<bool, HubError> {
        self.retried(async || Ok(self.ask(Method::HEAD, url, "*/*").await?.is_some())).await
    }

    /// Puts what is at `url` into the file `to`; `None` where nothing is.
    pub(super) async fn file(
        &self,
        url: &Url,
        to: &Path,
        watch: &Watch<'_>,
    ) -> Result<Option<Fetched>, HubError> {
        let io = |source| HubError::Io { path: to.to_owned(), source };
        let too_long = || HubError::TooLong { from: shown(url), limit: MAX_FILE };
        let name = url.path_segments().and_then(Iterator::last).unwrap_or_default();
        self.retried(async || {
            let Some(answer) = self.ask(Method::GET, url, "*/*").await? else { return Ok(None) };
            let Answer { mut response, said } = answer;
            let total = response.content_length();
            if total.is_some_and(|total| total > MAX_FILE) {
                return Err(too_long().into());
            }
            let mut file = File::create(to).map_err(io)?;
            let mut hasher = Sha256::new();
            let mut bytes = 0;
            watch(name, bytes, total);
            while let Some(chunk) =
                response.chunk().await.map_err(|error| self.failed(url, &error))?
            {
                bytes += chunk.len() as u64;
                if bytes > MAX_FILE {
                    return Err(too_long().into());
                }
                hasher.update(&chunk);
                file.write_all(&chunk).map_err(io)?;
                watch(name, bytes, total);
            }
            Ok(Some(Fetched { sha256: hex(&hasher.finalize()), said }))
        })
        .await
    }

    async fn retried<T>(
        &self,
        attempt: impl AsyncFn() -> Result<T, Failed>,
    ) -> Result<T, HubError> {
        let waits = ExponentialBuilder::new().with_min_delay(FIRST_RETRY).with_max_times(RETRIES);
        let mut waits = waits.build();
        loop {
            let Failed { error, again } = match attempt().await {
                Ok(done) => return Ok(done),
                Err(failed) => failed,
            };
            let Some(wait) = waits.next().filter(|_| again) else { return Err(error) };
            tokio::time::sleep(wait).await;
        }
    }

    /// The answer, wherever it is; `None` for 404 and 410.
    async fn ask(&self, method: Method, url: &Url, accept: &str) -> Result<Option<Answer>, Failed> {
        let mut at = url.clone();
        let mut said = HeaderMap::new();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.http.request(method.clone(), at.clone()).header(ACCEPT, accept);
            if let Some((home, value)) = &self.token
                && at.origin() == *home
            {
                request = request.header(AUTHORIZATION, value.clone());
            }
            let response = request.send().await.map_err(|error| self.failed(&at, &error))?;
            if at.origin() == url.origin() {
                said.extend(response.headers().clone());
            }
            let status = response.status();
            if status.is_success() {
                return Ok(Some(Answer { response, said }));
            }
            if matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) {
                return match code(response.headers()) {
                    // The one kind of absence that names what is wrong: the rest is wrong, too.
                    code @ Some("RevisionNotFound" | "RepoNotFound") => {
                        let code = code.map(str::to_owned);
                        Err(HubError::Status { from: shown(url), status: 404, code }.into())
                    }
                    _ => Ok(None),
                };
            }
            if !status.is_redirection() {
                let again = status.is_server_error()
                    || matches!(
                        status,
                        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
                    );
                let code = code(response.headers()).map(str::to_owned);
                let status = status.as_u16();
                return Err(Failed {
                    error: HubError::Status { from: shown(&at), status, code },
                    again,
                });
            }
            at = target(&at, response.headers())?;
        }
        Err(HubError::Redirect { from: shown(url), problem: "too many redirects" }.into())
    }

    fn failed(&self, url: &Url, error: &reqwest::Error) -> Failed {
        let problem = innermost(error);
        let error = HubError::Unreachable { from: shown(url), problem, mirror: self.mirror };
        Failed { error, again: true }
    }
}

/// What was at an address, which is not the one that was asked for where that redirected.
pub(super) struct Text {
    pub(super) address: Url,
    pub(super) bytes: Vec<u8>,
    said: HeaderMap,
}

impl Text {
    /// What the place that was asked said under this name.
    pub(super) fn said(&self, name: &str) -> Option<&str> {
        self.said.get(name)?.to_str().ok()
    }
}

/// Where a redirect points.
fn target(from: &Url, headers: &HeaderMap) -> Result<Url, HubError> {
    let problem = |problem| HubError::Redirect { from: shown(from), problem };
    let location = headers.get(LOCATION).and_then(|location| location.to_str().ok());
    let to = location.and_then(|location| from.join(location).ok());
    let to = to.ok_or_else(|| problem("it names no address"))?;
    match (from.scheme(), to.scheme()) {
        (_, "https") | ("http", "http") => Ok(to),
        ("https", "http") => Err(problem("from https:// to http://")),
        _ => Err(problem("to another scheme than http:// and https://")),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// What the hub calls the matter.
fn code(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-error-code")?.to_str().ok()
}

/// Host and path: the rest of a URL may be a secret.
pub(super) fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{port}{}", url.host_str().unwrap_or_default(), url.path())
}

/// The cause of an error: the outer ones name the whole URL.
fn innermost(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".into();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if cause.is::<reqwest::Error>() { "the request failed".into() } else { cause.to_string() }
}
