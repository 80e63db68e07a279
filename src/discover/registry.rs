//! Asks an MCP registry (`/v0.1/servers`).
//!
//! Invariant: what was taken of a listing counts only if it was read to its end; a listing is bounded
//! in pages, entries and bytes.

mod page;

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use url::Url;

pub use self::page::Page;
use self::page::entry;
use super::fetch::{Bounds, FetchError, Fetched, Fetcher};
use super::server::Server;
use crate::config::NetworkConfig;

/// The registry that is asked where none is named.
pub const DEFAULT_REGISTRY: &str = "https://registry.modelcontextprotocol.io";

/// Entries of a page that are asked for.
const PAGE: usize = 100;
const BOUNDS: Bounds = Bounds { bytes: 8 << 20, time: Duration::from_secs(30) };
/// Further requests after one that failed and may yet succeed.
const RETRIES: usize = 2;
const FIRST_RETRY: Duration = Duration::from_millis(300);
/// Names of defects that are kept.
const MAX_DEFECTS: usize = 20;
const JSON: &str = "application/json";
/// What may stand in a segment of a path as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_');

/// Why a registry gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// It could not be reached, or said too much.
    #[error("{at}: {source}")]
    Fetch {
        /// Host and path.
        at: String,
        /// Why.
        source: FetchError,
    },
    /// Another status than 200.
    #[error("{at} answered HTTP {status}{hint}")]
    Status {
        /// Host and path.
        at: String,
        /// The status.
        status: u16,
        /// What to do.
        hint: &'static str,
    },
    /// No list of servers.
    #[error("{at} is no MCP registry: {why}")]
    Form {
        /// Host and path.
        at: String,
        /// What is wrong.
        why: String,
    },
    /// A cursor came a second time.
    #[error("{0} gave a cursor again: its list has no end")]
    Loop(String),
    /// A list longer than is followed.
    #[error("{at} lists more than {most} {what}: narrow `search`, or raise it")]
    TooMany {
        /// Host and path.
        at: String,
        /// The limit.
        most: usize,
        /// Of what.
        what: &'static str,
    },
}

impl RegistryError {
    /// Another attempt may succeed.
    fn may_pass(&self) -> bool {
        match self {
            Self::Fetch { source, .. } => {
                matches!(source, FetchError::Unreachable(_) | FetchError::Timeout(_))
            }
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..),
            _ => false,
        }
    }
}

/// What has become of a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// To be used.
    #[default]
    Active,
    /// Still there, no longer recommended.
    Deprecated,
    /// Gone.
    Deleted,
}

impl Status {
    /// As registries write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deprecated => "deprecated",
            Self::Deleted => "deleted",
        }
    }
}

/// A server as a registry lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// What its publisher says.
    pub server: Server,
    /// What has become of it.
    pub status: Status,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When the registry last changed it, in milliseconds since 1970; 0 where it does not say.
    #[serde(default)]
    pub updated: u64,
    /// It is known that there is a later version.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub superseded: bool,
}

/// What is asked of a listing.
#[derive(Debug, Clone, Default)]
pub struct Wanted<'a> {
    /// Part of a name.
    pub search: Option<&'a str>,
    /// Changed since then; deleted ones are told as well.
    pub since: Option<SystemTime>,
}

/// The beginning of a listing.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Its entries, in the order they came.
    pub servers: Vec<Listed>,
    /// Entries that could not be read: a line each, the first few.
    pub defects: Vec<String>,
}

/// Bounds on a whole listing.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    /// Its pages.
    pub pages: usize,
    /// Its entries.
    pub servers: usize,
    /// The bytes of its pages.
    pub bytes: usize,
}

/// A registry.
#[derive(Clone)]
pub struct Registry {
    /// Up to and with the version of its API.
    base: Url,
    fetcher: Fetcher,
}

impl Registry {
    /// The registry at `base`, with or without `/v0.1` at its end.
    pub fn new(base: &Url, network: &NetworkConfig) -> Result<Self, FetchError> {
        let fetcher = Fetcher::new(base, network, false)?;
        let path = base.path().trim_end_matches('/');
        let last = path.rsplit('/').next().unwrap_or_default();
        let is_versioned =
            last.starts_with('v') && last[1..].starts_with(|c: char| c.is_ascii_digit());
        let path = if is_versioned { path.to_owned() } else { format!("{path}/v0.1") };
        let mut base = base.clone();
        base.set_path(&path);
        base.set_fragment(None);
        Ok(Self { base, fetcher })
    }

    /// The latest version of this server; `None` where the registry has none.
    pub async fn get(&self, name: &str) -> Result<Option<Listed>, RegistryError> {
        let name = utf8_percent_encode(name, SEGMENT);
        let url = self.url(&format!("/servers/{name}/versions/latest"));
        let fetched = match self.ask(&url).await {
            Err(RegistryError::Status { status: 404 | 410, .. }) => return Ok(None),
            other => other?,
        };
        let form = |why: String| RegistryError::Form { at: shown(&url), why };
        let text = std::str::from_utf8(&fetched.body).map_err(|_| form("not UTF-8".into()))?;
        let listed = entry(text).map_err(form)?;
        Ok(Some(listed))
    }

    /// Gives everything that is wanted to `take`, page by page; what was taken is all there is only
    /// if no error follows. The answer is what could not be read: a line each, the first few.
    pub async fn list(
        &self,
        wanted: &Wanted<'_>,
        most: Most,
        mut take: impl FnMut(Listed),
    ) -> Result<Vec<String>, RegistryError> {
        let too_many = |most, what| {
            let at = shown(&self.url("/servers"));
            RegistryError::TooMany { at, most, what }
        };
        let mut defects = Vec::new();
        let mut followed = HashSet::new();
        let mut cursor: Option<String> = None;
        let (mut servers, mut bytes) = (0, 0);
        for _ in 0..most.pages {
            let page = self.page(wanted, cursor.as_deref()).await?;
            servers += page.servers.len();
            bytes += page.bytes;
            if servers > most.servers {
                return Err(too_many(most.servers, "servers"));
            }
            if bytes > most.bytes {
                return Err(too_many(most.bytes, "bytes"));
            }
            page.servers.into_iter().for_each(&mut take);
            defects.extend(page.defects);
            defects.truncate(MAX_DEFECTS);
            let Some(next) = page.next else { return Ok(defects) };
            if !followed.insert(next.clone()) {
                return Err(RegistryError::Loop(shown(&self.url("/servers"))));
            }
            cursor = Some(next);
        }
        Err(too_many(most.pages, "pages"))
    }

    /// The first few of what is wanted.
    pub async fn first(&self, wanted: &Wanted<'_>, count: usize) -> Result<Listing, RegistryError> {
        let mut listing = Listing::default();
        let mut cursor: Option<String> = None;
        // Pages may be short, and may be empty.
        for _ in 0..=count.div_ceil(10) {
            let page = self.page(wanted, cursor.as_deref()).await?;
            listing.servers.extend(page.servers);
            listing.defects.extend(page.defects);
            cursor = page.next.filter(|next| cursor.as_ref() != Some(next));
            if cursor.is_none() || listing.servers.len() >= count {
                break;
            }
        }
        listing.servers.truncate(count);
        listing.defects.truncate(MAX_DEFECTS);
        Ok(listing)
    }

    /// One page of what is wanted.
    pub async fn page(
        &self,
        wanted: &Wanted<'_>,
        cursor: Option<&str>,
    ) -> Result<Page, RegistryError> {
        let mut url = self.url("/servers");
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("limit", &PAGE.to_string()).append_pair("version", "latest");
            for (name, value) in [("search", wanted.search), ("cursor", cursor)] {
                if let Some(value) = value {
                    query.append_pair(name, value);
                }
            }
            if let Some(since) = wanted.since {
                let since = humantime::format_rfc3339_millis(since).to_string();
                query.append_pair("updated_since", &since);
                query.append_pair("include_deleted", "true");
            }
        }
        let fetched = self.ask(&url).await?;
        Page::read(&fetched.body).map_err(|why| RegistryError::Form { at: shown(&url), why })
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path()));
        url
    }

    async fn ask(&self, url: &Url) -> Result<Fetched, RegistryError> {
        let mut wait = FIRST_RETRY;
        for _ in 0..RETRIES {
            match self.ask_once(url).await {
                Err(error) if error.may_pass() => {
                    tokio::time::sleep(wait.mul_f64(0.5 + fastrand::f64())).await;
                    wait *= 3;
                }
                other => return other,
            }
        }
        self.ask_once(url).await
    }

    async fn ask_once(&self, url: &Url) -> Result<Fetched, RegistryError> {
        let at = || shown(url);
        let fetched = self.fetcher.get(url, JSON, BOUNDS).await;
        let fetched = fetched.map_err(|source| RegistryError::Fetch { at: at(), source })?;
        let status = fetched.status.as_u16();
        let hint = match status {
            200 => return Ok(fetched),
            404 => ": is that the base URL of an MCP registry?",
            401 | 403 => ": it wants credentials",
            429 => ": try again later",
            _ => "",
        };
        Err(RegistryError::Status { at: at(), status, hint })
    }
}

/// Host and path: a query may hold what is nobody's business.
pub fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{port}{}", url.host_str().unwrap_or_default(), url.path())
}
