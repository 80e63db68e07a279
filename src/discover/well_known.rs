//! From an address that somebody typed to the MCP servers behind it.
//!
//! The address itself is tried first; then the documents by which sites say where their servers
//! are; then the paths where servers usually are.
//!
//! Invariant: every address that was asked is in the report, with what came of it.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use serde::Serialize;
use url::{Host, Url};

use super::documents::{self, Document, Offer};
use super::entry::{self, Entry};
use super::fetch::{FetchError, Fetched, Fetcher};
use super::input::fixed;
use super::name::{of_host, of_name, tell_apart};
use super::one_line;
use super::probe::{self, BOUNDS, Certain, JSON, State};
use super::registry::shown;
use super::server::Remote;
use crate::auth::guard::is_loopback;
use crate::config::{NetworkConfig, RemoteKind};

/// Documents that are read, and servers that are asked, for one address.
const MOST: usize = 24;
/// Addresses that are asked at once.
const AT_ONCE: usize = 6;
const CARD: &str = "application/mcp-server-card+json, application/json;q=0.9";
const CATALOG: &str = "application/ai-catalog+json, application/json;q=0.9";
/// Documents of a site, with what they are asked for as.
const DOCUMENTS: [(&str, &str); 6] = [
    ("/.well-known/mcp", JSON),
    ("/.well-known/mcp.json", JSON),
    ("/.well-known/mcp/server-card.json", CARD),
    ("/.well-known/mcp/server-card", CARD),
    ("/.well-known/ai-catalog.json", CATALOG),
    ("/.well-known/mcp/catalog.json", CATALOG),
];
/// Where servers usually are.
const USUAL: [&str; 2] = ["/mcp", "/sse"];

/// What was asked, and what came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// `GET` or `MCP`.
    pub asked: &'static str,
    /// The address, without its query.
    pub address: String,
    /// What came of it.
    pub came: String,
}

/// A server that was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// The entry that the configuration would get.
    #[serde(flatten)]
    pub entry: Entry,
    /// Where it was found: an address.
    pub source: String,
    /// What it answered.
    #[serde(flatten)]
    pub state: State,
}

/// What came of an address.
#[derive(Debug, Default, Serialize)]
pub struct Search {
    /// The servers, the likeliest first.
    pub found: Vec<Found>,
    /// Everything that was asked.
    pub checked: Vec<Checked>,
}

/// The address that somebody means: `example.com` is `https://example.com`.
pub fn address(text: &str) -> Result<Url, String> {
    let text = text.trim();
    let parsed = if text.contains("://") {
        Url::parse(text)
    } else {
        Url::parse(&format!("https://{text}")).map(|mut url| {
            if is_loopback(&url) {
                // Can't fail: from one scheme with a host to another.
                let _ = url.set_scheme("http");
            }
            url
        })
    };
    let url = parsed.map_err(|error| format!("{text:?} is no address: {error}"))?;
    // Without a scheme, `mailto:x@y.test` would be a user of y.test.
    let is_mail = !text.contains("://") && !url.username().is_empty();
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() || is_mail {
        return Err(format!("{text:?} is no address over http:// or https://"));
    }
    Ok(url)
}

/// Finds the servers at `url`; what it leads to may be on a private network only if
/// `allow_private`.
pub async fn search(url: &Url, allow_private: bool) -> Result<Search, FetchError> {
    let mut url = url.clone();
    url.set_fragment(None);
    let search = Searching {
        fetcher: Fetcher::new(&url, &NetworkConfig::default(), allow_private)?,
        home: url.clone(),
    };
    let mut done = Search::default();
    let is_root = url.path() == "/" && url.query().is_none();

    let certain = if is_root { Certain::Shown } else { Certain::Typed };
    if let Some(found) = search.ask(offer(&url), &url, certain, &mut done.checked).await {
        done.found.push(found);
        return Ok(done);
    }
    let offers = search.offers(&mut done.checked).await;
    let asked = futures::stream::iter(offers.into_iter().map(async |(at, offer)| {
        let mut checked = Vec::new();
        (search.ask(offer, &at, Certain::Named, &mut checked).await, checked)
    }));
    let mut asked = asked.buffered(AT_ONCE);
    while let Some((found, checked)) = asked.next().await {
        done.found.extend(found);
        done.checked.extend(checked);
    }
    if done.found.is_empty() && is_root {
        for path in USUAL {
            let Ok(at) = url.join(path) else { continue };
            let found = search.ask(offer(&at), &at, Certain::Shown, &mut done.checked).await;
            done.found.extend(found);
            if !done.found.is_empty() {
                break;
            }
        }
    }
    tell_apart(done.found.iter_mut().map(|found| &mut found.entry.id));
    Ok(done)
}

struct Searching {
    fetcher: Fetcher,
    home: Url,
}

impl Searching {
    /// What the documents offer, and those that they refer to: one offer an address.
    async fn offers(&self, checked: &mut Vec<Checked>) -> Vec<(Url, Offer)> {
        let mut first: Vec<(Url, &str)> = Vec::new();
        if self.home.path() != "/" {
            first.push((self.home.clone(), JSON));
            let mut card = self.home.clone();
            card.set_query(None);
            card.set_path(&format!("{}/server-card", card.path().trim_end_matches('/')));
            first.push((card, CARD));
        }
        first.extend(
            DOCUMENTS.iter().filter_map(|(path, as_)| Some((self.home.join(path).ok()?, *as_))),
        );
        let mut offers = Vec::new();
        let mut known = BTreeSet::new();
        let mut seen: BTreeSet<Url> = first.iter().map(|(url, _)| url.clone()).collect();
        let mut level: Vec<_> = first.into_iter().map(|(url, as_)| (url, as_, None)).collect();
        // Catalogs may refer to catalogs, and those to cards.
        for _ in 0..3 {
            let read = futures::stream::iter(level.into_iter().map(async |(url, as_, name)| {
                (self.fetcher.get(&url, as_, BOUNDS).await, url, name)
            }));
            let read: Vec<_> = read.buffered(AT_ONCE).collect().await;
            level = Vec::new();
            for (fetched, url, name) in read {
                let (document, came) = told(fetched);
                checked.push(Checked { asked: "GET", address: shown(&url), came });
                let Some((at, document)) = document else { continue };
                for offer in document.offers {
                    if offers.len() < MOST && known.insert(offer.remote.url.clone()) {
                        let name: Option<String> = offer.name.clone().or_else(|| name.clone());
                        offers.push((at.clone(), Offer { name, ..offer }));
                    }
                }
                for (link, name) in document.links {
                    if seen.len() < MOST + DOCUMENTS.len() && seen.insert(link.clone()) {
                        level.push((link, CARD, name));
                    }
                }
            }
        }
        offers
    }

    /// Asks the server that is offered; `None` where there is none.
    async fn ask(
        &self,
        offer: Offer,
        source: &Url,
        certain: Certain,
        checked: &mut Vec<Checked>,
    ) -> Option<Found> {
        let Offer { name, title, remote, auth } = offer;
        let mut tell = |address: String, came: String| {
            checked.push(Checked { asked: "MCP", address, came });
        };
        let (state, server_title) = match plain(&remote) {
            None => {
                tell(one_line(&remote.url, 200), State::NeedsValues.said());
                (State::NeedsValues, None)
            }
            Some((url, headers)) => {
                let asked = probe::ask(&self.fetcher, (&url, headers), auth, certain).await;
                tell(shown(&url), one_line(&asked.0.said(), 120));
                asked
            }
        };
        if matches!(state, State::Failed { .. }) && certain != Certain::Named {
            return None;
        }
        let is_local =
            is_loopback(&self.home) || !matches!(self.home.host(), Some(Host::Domain(_)));
        let host = (!is_local).then(|| of_host(&self.home)).flatten();
        let id = name.as_deref().and_then(of_name).or(host);
        let id = id.or_else(|| server_title.as_deref().and_then(of_name));
        let id = id.unwrap_or_else(|| "server".into());
        match entry::of_remote(&id, title.as_deref(), &remote) {
            Ok(mut entry) => {
                probe::wants(&mut entry, &state);
                Some(Found { entry, source: shown(source), state })
            }
            Err(error) => {
                tell(one_line(&remote.url, 200), format!("not usable: {error}"));
                None
            }
        }
    }
}

/// A document, or why there is none.
fn told(fetched: Result<Fetched, FetchError>) -> (Option<(Url, Document)>, String) {
    let fetched = match fetched {
        Ok(fetched) if fetched.status.is_success() => fetched,
        Ok(fetched) => return (None, format!("HTTP {}", fetched.status.as_u16())),
        Err(error) => return (None, error.to_string()),
    };
    match documents::read(&fetched.url, &fetched.body) {
        None => {
            let kind = if fetched.kind.is_empty() { "something" } else { &fetched.kind };
            (None, format!("{}, not about MCP servers", one_line(kind, 60)))
        }
        Some(document) => {
            let count = document.offers.len() + document.links.len();
            let servers = if count == 1 { "1 server" } else { &format!("{count} servers") };
            let came = format!("{}: {servers}", document.kind);
            (Some((fetched.url, document)), came)
        }
    }
}

/// A remote as it can be asked without anybody's values.
fn plain(remote: &Remote) -> Option<(Url, Vec<(String, String)>)> {
    let url = Url::parse(&fixed(&remote.url, &remote.variables)?).ok()?;
    let headers = remote.headers.iter().filter(|header| entry::is_free_header(&header.name));
    let headers = headers.filter_map(|header| {
        let value = header.input.value.as_ref().or(header.input.default.as_ref())?;
        Some((header.name.clone(), fixed(value, &header.variables)?))
    });
    Some((url, headers.collect()))
}

/// An address of which nothing is known.
fn offer(url: &Url) -> Offer {
    let remote = Remote {
        r#type: RemoteKind::StreamableHttp.name().into(),
        url: url.to_string(),
        headers: Vec::new(),
        variables: BTreeMap::new(),
    };
    Offer { name: None, title: None, remote, auth: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_meant() {
        let read = |text: &str| address(text).map(String::from);
        assert_eq!(read("example.com").unwrap(), "https://example.com/");
        assert_eq!(read("example.com:8443/mcp").unwrap(), "https://example.com:8443/mcp");
        assert_eq!(read(" localhost:7420 ").unwrap(), "http://localhost:7420/");
        assert_eq!(read("127.0.0.1:1/x?y=1").unwrap(), "http://127.0.0.1:1/x?y=1");
        assert_eq!(read("http://example.com").unwrap(), "http://example.com/");
        for odd in ["", "ftp://x.test", "file:///etc/passwd", "a b", "mailto:x@y.test"] {
            assert!(address(odd).is_err(), "{odd}");
        }
    }
}
