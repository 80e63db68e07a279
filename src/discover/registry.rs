//! Asks an MCP registry (`/v0.1/servers`).
//!
//! Invariant: a listing that is handed over was read to its end; one malformed entry is named and
//! left out, and takes no other with it.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use url::Url;

use super::fetch::{Bounds, FetchError, Fetched, Fetcher};
use super::one_line;
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
const OFFICIAL: &str = "io.modelcontextprotocol.registry/official";
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

/// A listing that was read to its end.
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

    /// Everything that is wanted, page by page to the end.
    pub async fn list(&self, wanted: &Wanted<'_>, most: Most) -> Result<Listing, RegistryError> {
        let mut listing = Listing::default();
        let mut followed = HashSet::new();
        let mut cursor: Option<String> = None;
        for _ in 0..most.pages {
            let page = self.page(wanted, cursor.as_deref()).await?;
            let at = || shown(&self.url("/servers"));
            listing.servers.extend(page.servers);
            listing.defects.extend(page.defects);
            listing.defects.truncate(MAX_DEFECTS);
            if listing.servers.len() > most.servers {
                let most = most.servers;
                return Err(RegistryError::TooMany { at: at(), most, what: "servers" });
            }
            let Some(next) = page.next else { return Ok(listing) };
            if !followed.insert(next.clone()) {
                return Err(RegistryError::Loop(at()));
            }
            cursor = Some(next);
        }
        let at = shown(&self.url("/servers"));
        Err(RegistryError::TooMany { at, most: most.pages, what: "pages" })
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

/// One page of a listing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// Its entries.
    pub servers: Vec<Listed>,
    /// Entries that could not be read: a line each.
    pub defects: Vec<String>,
    /// Where the next one begins; `None` at the end.
    pub next: Option<String>,
}

#[derive(Deserialize)]
struct RawPage<'a> {
    #[serde(borrow)]
    servers: Option<Vec<&'a RawValue>>,
    #[serde(default)]
    metadata: Option<RawMetadata>,
}

#[derive(Deserialize)]
struct RawMetadata {
    #[serde(rename = "nextCursor", default)]
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct RawListed {
    server: Server,
    #[serde(rename = "_meta", default)]
    meta: Option<serde_json::Map<String, serde_json::Value>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RawOfficial {
    status: Option<String>,
    status_message: Option<String>,
    updated_at: Option<String>,
    published_at: Option<String>,
    status_changed_at: Option<String>,
    is_latest: Option<bool>,
}

impl Page {
    fn read(body: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(body).map_err(|_| "not UTF-8".to_owned())?;
        let raw: RawPage<'_> =
            serde_json::from_str(text).map_err(|error| one_line(&error.to_string(), 160))?;
        let Some(entries) = raw.servers else { return Err("there is no `servers` list".into()) };
        let mut page = Self::default();
        for raw in entries {
            match entry(raw.get()) {
                Ok(listed) => page.servers.push(listed),
                Err(defect) => page.defects.push(defect),
            }
        }
        let next = raw.metadata.and_then(|metadata| metadata.next_cursor);
        page.next = next.filter(|next| !next.is_empty());
        Ok(page)
    }
}

/// One entry, or what is wrong with it.
fn entry(text: &str) -> Result<Listed, String> {
    let raw: RawListed = serde_json::from_str(text).map_err(|error| {
        let name = serde_json::from_str::<serde_json::Value>(text).ok();
        let name = name.as_ref().and_then(|entry| entry["server"]["name"].as_str());
        let name = name.map_or("an entry".to_owned(), |name| one_line(name, 100));
        format!("{name}: {}", one_line(&error.to_string(), 160))
    })?;
    if !raw.server.is_named() {
        return Err(format!("{:?} is not a server's name", one_line(&raw.server.name, 100)));
    }
    let official = raw.meta.and_then(|mut meta| meta.remove(OFFICIAL)).unwrap_or_default();
    let official = RawOfficial::deserialize(official).unwrap_or_default();
    let status = match official.status.as_deref() {
        None | Some("active") => Status::Active,
        Some("deleted") => Status::Deleted,
        // Whatever else a registry may say, it is not that all is well.
        Some(_) => Status::Deprecated,
    };
    let times = [official.updated_at, official.status_changed_at, official.published_at];
    let updated = times.iter().flatten().filter_map(|time| millis(time)).max().unwrap_or(0);
    Ok(Listed {
        server: raw.server,
        status,
        message: official.status_message.filter(|message| !message.is_empty()),
        updated,
        superseded: official.is_latest == Some(false),
    })
}

/// Milliseconds since 1970 of an RFC 3339 time.
fn millis(time: &str) -> Option<u64> {
    let (local, offset) = if let Some(local) = time.strip_suffix(['Z', 'z']) {
        (local, 0)
    } else {
        let at = time.len().checked_sub(6).filter(|at| time.is_char_boundary(*at))?;
        let (local, offset) = time.split_at(at);
        let sign = if offset.starts_with('-') { -1 } else { 1 };
        let (hours, minutes) = offset.get(1..)?.split_once(':')?;
        let minutes = u32::from(hours.parse::<u16>().ok()?) * 60 + minutes.parse::<u32>().ok()?;
        (local, sign * i64::from(minutes) * 60)
    };
    let time = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    let millis = time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_millis();
    u64::try_from(i64::try_from(millis).ok()? - offset * 1000).ok()
}

/// Host and path: a query may hold what is nobody's business.
pub fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{port}{}", url.host_str().unwrap_or_default(), url.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_and_without_an_offset_are_the_same_moment() {
        assert_eq!(millis("1970-01-01T00:00:01.5Z"), Some(1500));
        assert_eq!(
            millis("2026-07-28T12:00:00.123456789Z"),
            millis("2026-07-28T14:00:00.123456789+02:00")
        );
        assert_eq!(millis("2026-07-28T12:00:00Z"), millis("2026-07-28T11:30:00-00:30"));
        for odd in ["", "yesterday", "2026-07-28", "é+02:00", "1960-01-01T00:00:00Z"] {
            assert_eq!(millis(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_malformed_entry_takes_no_other_with_it() {
        let body = br#"{"servers":[
            {"server":{"name":"a/one","version":"1"},"_meta":{"io.modelcontextprotocol.registry/official":
                {"status":"deprecated","statusMessage":"use two","updatedAt":"2026-01-01T00:00:00Z","isLatest":true}}},
            {"server":{"name":"a/two","remotes":"none"}},
            {"server":{"name":"no slash"}},
            7,
            {"server":{"name":"a/three"},"_meta":null}],
            "metadata":{"nextCursor":"","count":5}}"#;
        let page = Page::read(body).unwrap();
        let names: Vec<_> = page.servers.iter().map(|listed| listed.server.name.as_str()).collect();
        assert_eq!(names, ["a/one", "a/three"]);
        assert_eq!(page.servers[0].status, Status::Deprecated);
        assert_eq!(page.servers[0].message.as_deref(), Some("use two"));
        assert_eq!(page.servers[1].status, Status::Active);
        assert_eq!(page.defects.len(), 3);
        assert!(page.defects[0].starts_with("a/two: "), "{:?}", page.defects);
        assert_eq!(page.next, None);
        assert!(Page::read(b"{}").is_err() && Page::read(b"[]").is_err());
    }
}
