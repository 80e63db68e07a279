//! What is published of one generation, and what a handle that is scoped to a profile sees of it.
//!
//! Invariant: the whole index and every view of it are swapped in together; a scoped handle never
//! falls back on the whole: where its profile is gone, it sees nothing.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Live, ServerStatus};
use crate::access::profile::{Profile, Profiles};
use crate::access::view::{self, View, Views};
use crate::catalog::Catalog;
use crate::index::Index;
use crate::search::Query;
use crate::tool::ServerId;

/// The state of every server, ordered by id.
pub(super) type Servers = BTreeMap<ServerId, ServerStatus>;

/// One generation.
pub(super) struct Generation {
    pub whole: Arc<Index>,
    pub views: Views,
    /// What a profile that is gone sees.
    nothing: Arc<Index>,
}

impl Generation {
    pub fn new(whole: Index, views: Views) -> Self {
        let nothing = Arc::new(Index::build(whole.generation, Arc::default()));
        Self { whole: Arc::new(whole), views, nothing }
    }

    fn index(&self, profile: Option<&str>) -> &Arc<Index> {
        match profile {
            None => &self.whole,
            Some(name) => self.views.get(name).map_or(&self.nothing, |view| &view.index),
        }
    }
}

/// The state of servers, as each profile sees it.
#[derive(Default)]
pub(super) struct States {
    whole: Arc<Servers>,
    views: BTreeMap<Arc<str>, Arc<Servers>>,
}

impl States {
    pub fn new(whole: Servers, views: &Views) -> Self {
        let of_view = |(name, view): (&Arc<str>, &Arc<View>)| {
            let there = whole.iter().filter(|(id, _)| view.has_server(id));
            let seen = there.map(|(id, status)| (id.clone(), seen(id, status, view)));
            (Arc::clone(name), Arc::new(seen.collect()))
        };
        let views = views.iter().map(of_view).collect();
        Self { whole: Arc::new(whole), views }
    }
}

/// A server as a view shows it: with the tools that are in the view alone.
fn seen(id: &ServerId, status: &ServerStatus, view: &View) -> ServerStatus {
    let of_view = view.index.catalog.server(id.as_str());
    ServerStatus {
        tools: status.tools.map(|_| of_view.map_or(0, |server| server.tools.len())),
        // They may name others.
        defects: Vec::new(),
        ..status.clone()
    }
}

impl Live {
    /// As [`Live::from_catalog`], with views of it.
    pub fn from_catalog_with(catalog: Catalog, profiles: &Profiles) -> Self {
        let live = Self::from_catalog(catalog);
        let whole = Index::clone(&live.index());
        let views = view::derive_all(&whole, profiles, &Views::new(), |_, _| None);
        live.publish(whole, views);
        live.set_servers(Servers::clone(&live.servers()));
        live
    }

    /// A handle that sees what the profile of this name shows, and nothing else; `None` where there
    /// is no such profile.
    pub fn scoped(&self, name: &str) -> Option<Self> {
        let published = self.0.published.load();
        let (name, _) = published.views.get_key_value(name)?;
        Some(Self(Arc::clone(&self.0), Some(Arc::clone(name))))
    }

    /// The profile that this handle is scoped to, as it is now; `None` where it sees everything, or
    /// where the profile is gone.
    pub fn profile(&self) -> Option<Arc<Profile>> {
        let published = self.0.published.load();
        let view = published.views.get(self.1.as_deref()?)?;
        Some(Arc::clone(&view.profile))
    }

    /// The name of the profile that this handle is scoped to; `None` where it sees everything.
    pub fn scope(&self) -> Option<&str> {
        self.1.as_deref()
    }

    /// Every view, by the names of their profiles: for operators.
    pub fn views(&self) -> Views {
        self.0.published.load().views.clone()
    }

    /// What there is to search for this handle.
    pub fn index(&self) -> Arc<Index> {
        Arc::clone(self.0.published.load().index(self.1.as_deref()))
    }

    /// Every configured server, ordered by id.
    pub fn servers(&self) -> Arc<Servers> {
        let states = self.0.servers.load();
        match &self.1 {
            None => Arc::clone(&states.whole),
            Some(name) => states.views.get(name).cloned().unwrap_or_default(),
        }
    }

    /// Makes the states of servers visible. For the indexer alone.
    pub(super) fn set_servers(&self, servers: Servers) {
        let states = States::new(servers, &self.0.published.load().views);
        self.0.servers.store(Arc::new(states));
    }

    /// The handle that sees everything.
    pub(super) fn whole(&self) -> Self {
        Self(Arc::clone(&self.0), None)
    }

    /// The query with what the profile says where the query does not.
    pub(super) fn by_profile<'q>(&self, query: &'q Query) -> Cow<'q, Query> {
        match self.profile().and_then(|profile| profile.defaults.limit) {
            Some(limit) if query.limit.is_none() => {
                Cow::Owned(Query { limit: Some(limit), ..query.clone() })
            }
            _ => Cow::Borrowed(query),
        }
    }
}
