//! Every tool of every server at one moment, immutable; an update makes a new catalog.
//!
//! Invariant: tools are ordered by [`ToolId`], ids are unique, and only a complete listing (or
//! the removal of a server from the configuration) ever takes tools away.

pub mod file;
pub mod names;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use crate::config::NameFilter;
use crate::tool::{ServerId, Tool, ToolId};
use names::ApiNames;

/// What a server says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerInfo {
    /// Its display title.
    pub title: Option<String>,
    /// Its description or instructions.
    pub description: Option<String>,
    /// The MCP protocol version that was spoken; remembered so that the next crawl starts there.
    pub protocol: Option<String>,
    /// It was reached over the event stream of 2024, which its version does not tell.
    pub event_stream: bool,
    /// How long it says that its listing holds: a hint.
    pub ttl: Option<Duration>,
    /// Its listing is for nobody but who we were then: a mark of that, not the credential.
    pub private_to: Option<String>,
}

impl ServerInfo {
    /// What is searched of both is the same, and so is who may see it.
    pub fn reads_as(&self, other: &Self) -> bool {
        let read = |info: &Self| -> (_, _, _) {
            (info.title.clone(), info.description.clone(), info.private_to.is_some())
        };
        read(self) == read(other)
    }
}

/// A server and its last complete listing.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Its id in the configuration.
    pub id: ServerId,
    /// What it says of itself.
    pub info: ServerInfo,
    /// Its tools, ordered by id.
    pub tools: Vec<Arc<Tool>>,
    /// When the listing was complete.
    pub crawled_at: SystemTime,
}

impl Server {
    /// The server after `listing`, sharing with `old` the tools that did not change.
    fn new(id: &ServerId, listing: &Listing, old: Option<&Self>) -> (Self, Diff) {
        let known: BTreeMap<&ToolId, &Arc<Tool>> =
            old.iter().flat_map(|server| &server.tools).map(|tool| (&tool.id, tool)).collect();
        let mut diff = Diff {
            server_changed: old.is_some_and(|old| !old.info.reads_as(&listing.info)),
            ..Diff::default()
        };
        let mut tools: BTreeMap<ToolId, Arc<Tool>> = BTreeMap::new();
        for tool in &listing.tools {
            if tools.contains_key(&tool.id) {
                continue;
            }
            let kept = match known.get(&tool.id) {
                Some(old) if old.hash == tool.hash => Arc::clone(old),
                Some(_) => {
                    diff.changed.push(tool.id.clone());
                    Arc::new(tool.clone())
                }
                None => {
                    diff.added.push(tool.id.clone());
                    Arc::new(tool.clone())
                }
            };
            tools.insert(tool.id.clone(), kept);
        }
        diff.removed = known.into_keys().filter(|id| !tools.contains_key(*id)).cloned().collect();
        diff.added.sort_unstable();
        diff.changed.sort_unstable();
        let server = Self {
            id: id.clone(),
            info: listing.info.clone(),
            tools: tools.into_values().collect(),
            crawled_at: listing.crawled_at,
        };
        (server, diff)
    }

    /// The server without the tools that are not wanted.
    fn narrowed(&self, names: &NameFilter) -> (Self, Diff) {
        let (kept, removed): (Vec<_>, Vec<_>) =
            self.tools.iter().cloned().partition(|tool| names.admits(&tool.name));
        let removed = removed.iter().map(|tool| tool.id.clone()).collect();
        (Self { tools: kept, ..self.clone() }, Diff { removed, ..Diff::default() })
    }
}

/// A complete listing: every page was read to its end.
#[derive(Debug, Clone)]
pub struct Listing {
    /// What the server says of itself.
    pub info: ServerInfo,
    /// Its tools in any order; of two with one name the first is kept.
    pub tools: Vec<Tool>,
    /// When the listing was complete.
    pub crawled_at: SystemTime,
    /// Tools that could not be kept, or were kept with a defect: one line each.
    pub defects: Vec<String>,
}

/// What became of a server.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// All its tools are known.
    Listed(Listing),
    /// The crawl failed or was cut short: what was known stays.
    Failed {
        /// Why, fit for an operator's eyes and free of secrets.
        error: String,
    },
    /// The server wants credentials (401 or 403): what was known stays.
    AuthRequired {
        /// Why, fit for an operator's eyes and free of secrets.
        error: String,
    },
    /// The last listing still holds: it was read again, and nothing of it changed.
    Confirmed {
        /// When it was read.
        at: SystemTime,
    },
    /// A crawl has begun.
    Connecting,
    /// The server is configured but switched off: its tools go.
    Disabled,
    /// The server left the configuration: its tools go.
    Removed,
    /// An operator has its crawls paused: what was known stays.
    Paused,
    /// No operator has approved the server yet: it has no tools.
    Pending,
    /// Fewer of its tools are wanted: the others go, whether it can be reached or not.
    Narrowed(NameFilter),
}

/// News of one server, sent by its crawl task.
#[derive(Debug, Clone)]
pub struct ServerUpdate {
    /// Which server.
    pub server: ServerId,
    /// `stdio`, `http` or `file`.
    pub transport: &'static str,
    /// What became of it.
    pub outcome: Outcome,
    /// When the next crawl is due, if one is; whatever becomes of the clock on the wall.
    pub next_crawl: Option<Instant>,
}

impl ServerUpdate {
    fn apply(&self, servers: &mut BTreeMap<ServerId, Arc<Server>>) -> Diff {
        match &self.outcome {
            Outcome::Listed(listing) => {
                let old = servers.get(&self.server).map(|server| &**server);
                let (server, diff) = Server::new(&self.server, listing, old);
                servers.insert(self.server.clone(), Arc::new(server));
                diff
            }
            Outcome::Confirmed { at } => {
                if let Some(server) = servers.get_mut(&self.server) {
                    *server = Arc::new(Server { crawled_at: *at, ..Server::clone(server) });
                }
                Diff::default()
            }
            Outcome::Disabled | Outcome::Removed | Outcome::Pending => {
                let removed = servers.remove(&self.server);
                let tools = removed.iter().flat_map(|server| &server.tools);
                Diff { removed: tools.map(|tool| tool.id.clone()).collect(), ..Diff::default() }
            }
            Outcome::Narrowed(names) => match servers.get_mut(&self.server) {
                Some(server) if !server.tools.iter().all(|tool| names.admits(&tool.name)) => {
                    let (narrowed, diff) = server.narrowed(names);
                    *server = Arc::new(narrowed);
                    diff
                }
                _ => Diff::default(),
            },
            Outcome::Failed { .. }
            | Outcome::AuthRequired { .. }
            | Outcome::Connecting
            | Outcome::Paused => Diff::default(),
        }
    }
}

/// What an update changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diff {
    /// Ids that are new.
    pub added: Vec<ToolId>,
    /// Ids that are gone.
    pub removed: Vec<ToolId>,
    /// Ids whose definition changed.
    pub changed: Vec<ToolId>,
    /// The server's title or description changed, and so does every search text of it.
    pub server_changed: bool,
}

impl Diff {
    /// Nothing that a search could see changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A position in one catalog; means nothing in another, so it is never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ToolIdx(pub u32);

impl ToolIdx {
    /// The position as an array index.
    pub fn as_usize(self) -> usize {
        self.0 as usize
    }
}

/// All tools of all servers.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    servers: BTreeMap<ServerId, Arc<Server>>,
    /// Ordered by id. A [`ToolIdx`] is a position here.
    tools: Vec<Arc<Tool>>,
    /// Made when they are first asked for.
    api_names: OnceLock<Arc<ApiNames>>,
}

impl Catalog {
    /// A catalog of these servers; a later one of the same id replaces an earlier one.
    pub fn from_servers(servers: impl IntoIterator<Item = Server>) -> Self {
        let servers =
            servers.into_iter().map(|server| (server.id.clone(), Arc::new(server))).collect();
        Self::assemble(servers)
    }

    /// A catalog of these listings.
    pub fn from_listings(listings: impl IntoIterator<Item = (ServerId, Listing)>) -> Self {
        Self::from_servers(
            listings.into_iter().map(|(id, listing)| Server::new(&id, &listing, None).0),
        )
    }

    /// The catalog after `update`, and what changed; only `Listed`, `Disabled` and `Removed`
    /// change anything.
    #[must_use]
    pub fn fold(&self, update: &ServerUpdate) -> (Self, Diff) {
        let (catalog, mut diffs) = self.fold_all(std::slice::from_ref(update));
        (catalog, diffs.pop().unwrap_or_default())
    }

    /// The catalog after `updates`, one after the other, and what each changed.
    #[must_use]
    pub fn fold_all(&self, updates: &[ServerUpdate]) -> (Self, Vec<Diff>) {
        let mut servers = self.servers.clone();
        let diffs: Vec<Diff> = updates.iter().map(|update| update.apply(&mut servers)).collect();
        if diffs.iter().all(Diff::is_empty) && servers.len() == self.servers.len() {
            // The listings may be newer all the same.
            let (tools, api_names) = (self.tools.clone(), self.api_names.clone());
            return (Self { servers, tools, api_names }, diffs);
        }
        (Self::assemble(servers), diffs)
    }

    fn assemble(servers: BTreeMap<ServerId, Arc<Server>>) -> Self {
        let mut tools: Vec<Arc<Tool>> =
            servers.values().flat_map(|server| &server.tools).cloned().collect();
        // By joined id, which is not the order of (server, name): "a-b/x" sorts before "a/x".
        tools.sort_by(|a, b| a.id.cmp(&b.id));
        // Servers `a` and `a/b` may offer `b/c` and `c`, which join to one id: the first stays.
        tools.dedup_by(|later, first| later.id == first.id);
        Self { servers, tools, api_names: OnceLock::new() }
    }

    /// The servers of both; of one that is in both, this one's listing.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        let mut servers = other.servers.clone();
        servers.extend(self.servers.clone());
        Self::assemble(servers)
    }

    /// The catalog without the tools that `keep` does not let through, and without the servers
    /// that have none left.
    #[must_use]
    pub fn retain(&self, keep: impl Fn(&Tool) -> bool) -> Self {
        self.retain_of(|_, tool| keep(tool))
    }

    /// The same, for a `keep` that goes by the server as well.
    #[must_use]
    pub fn retain_of(&self, keep: impl Fn(&Server, &Tool) -> bool) -> Self {
        let whole = |server: &Server| {
            !server.tools.is_empty() && server.tools.iter().all(|tool| keep(server, tool))
        };
        if self.servers().all(|server| whole(server)) {
            return self.clone();
        }
        let servers = self.servers.values().map(|server| Server {
            tools: server.tools.iter().filter(|tool| keep(server, tool)).cloned().collect(),
            ..Server::clone(server)
        });
        Self::from_servers(servers.filter(|server| !server.tools.is_empty()))
    }

    /// Every tool, ordered by id.
    pub fn tools(&self) -> &[Arc<Tool>] {
        &self.tools
    }

    /// The tool at a position of this catalog.
    pub fn tool(&self, idx: ToolIdx) -> &Arc<Tool> {
        &self.tools[idx.as_usize()]
    }

    /// For each tool the position that its id has in `other`.
    pub fn places_in(&self, other: &Self) -> Vec<Option<ToolIdx>> {
        let mut others = (0..).map(ToolIdx).zip(&other.tools).peekable();
        let place = |tool: &Arc<Tool>| {
            while others.next_if(|(_, other)| other.id < tool.id).is_some() {}
            others.next_if(|(_, other)| other.id == tool.id).map(|(at, _)| at)
        };
        self.tools.iter().map(place).collect()
    }

    /// The tool of that id.
    pub fn get(&self, id: &str) -> Option<&Arc<Tool>> {
        self.position(id).map(|at| self.tool(at))
    }

    /// The position of the tool of that id.
    pub fn position(&self, id: &str) -> Option<ToolIdx> {
        let at = self.tools.binary_search_by(|tool| tool.id.as_str().cmp(id)).ok()?;
        u32::try_from(at).ok().map(ToolIdx)
    }

    /// The names by which model APIs know the tools.
    pub fn api_names(&self) -> &ApiNames {
        self.api_names.get_or_init(|| ApiNames::of(&self.tools).into())
    }

    /// The tool of that id, or of that name in a model API.
    pub fn find(&self, id: &str) -> Option<&Arc<Tool>> {
        self.get(id).or_else(|| Some(&self.tools[self.api_names().find(id)?]))
    }

    /// Every server that has been listed, ordered by id.
    pub fn servers(&self) -> impl Iterator<Item = &Arc<Server>> {
        self.servers.values()
    }

    /// The server of that id, if it has been listed.
    pub fn server(&self, id: &str) -> Option<&Arc<Server>> {
        self.servers.get(id)
    }

    /// Which tools are of these servers, by position.
    pub fn of_servers(&self, servers: &[ServerId]) -> Vec<bool> {
        let mut of_them = vec![false; self.tools.len()];
        for server in servers.iter().filter_map(|id| self.servers.get(id)) {
            let mut next = 0;
            for tool in &server.tools {
                // Tools of one server mostly stand together, in the same order.
                let is_next = self.tools.get(next).is_some_and(|other| other.id == tool.id);
                let found = if is_next {
                    Ok(next)
                } else {
                    self.tools.binary_search_by(|other| other.id.cmp(&tool.id))
                };
                let Ok(at) = found else { continue };
                // Of two tools with one id the catalog has the first.
                of_them[at] |= Arc::ptr_eq(&self.tools[at], tool);
                next = at + 1;
            }
        }
        of_them
    }

    /// How many tools there are.
    pub fn len(&self) -> usize {
        self.tools.len()
    }

    /// There is no tool.
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }
}

/// A listing of these tools, for tests.
#[cfg(test)]
pub(crate) fn listing_of(tools: impl IntoIterator<Item = Tool>) -> Listing {
    Listing {
        info: ServerInfo::default(),
        tools: tools.into_iter().collect(),
        crawled_at: SystemTime::UNIX_EPOCH,
        defects: Vec::new(),
    }
}
