//! What is published of one generation, and what a handle that is scoped to a profile sees of it.
//!
//! Invariant: the whole index and every view of it are swapped in together; a scoped handle never
//! falls back on the whole: where its profile is gone, it sees nothing.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

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
    /// When it was published.
    pub at: Instant,
}

impl Generation {
    pub fn new(whole: Index, views: Views) -> Self {
        let nothing = Arc::new(Index::build(whole.generation, Arc::default()));
        Self { whole: Arc::new(whole), views, nothing, at: Instant::now() }
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
        Some(Self(Arc::clone(&self.0), Some(Arc::clone(name)), self.2))
    }

    /// The same for somebody who is kept to that profile: for them there is no other.
    pub fn locked(&self, name: &str) -> Option<Self> {
        self.scoped(name).map(|scoped| Self(scoped.0, scoped.1, true))
    }

    /// Whoever holds it is kept to its profile.
    pub fn is_locked(&self) -> bool {
        self.2
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
        self.0.told.send_modify(|times| *times += 1);
    }

    /// The handle that sees everything.
    pub(super) fn whole(self) -> Self {
        Self(self.0, None, false)
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::access::profile::ToolGlobs;
    use crate::catalog::file;
    use crate::live::ServerState;
    use crate::search::{QueryError, Verdict};
    use crate::tool::ToolId;

    /// Two servers with tools, and two that have none to show yet; views by an `allow` and by names.
    fn live() -> Live {
        let mut lines = tempfile::NamedTempFile::new().unwrap();
        for server in ["door", "bell"] {
            writeln!(lines, r#"{{"server":"{server}","name":"ring","description":"x"}}"#).unwrap();
        }
        let catalog = Catalog::from_listings(file::read(lines.path(), None).unwrap());
        let allow = Some(ToolGlobs::new(&["door/*".to_owned()]).unwrap());
        let some = Profile { name: "some".into(), allow, ..Profile::default() };
        let globs = crate::config::Names::new(&["door".to_owned(), "lamp".to_owned()]).unwrap();
        let named = Profile { name: "named".into(), servers: Some(globs), ..Profile::default() };
        let profiles = [some, named].map(|it| (Arc::clone(&it.name), Arc::new(it)));
        let live = Live::from_catalog_with(catalog, &profiles.into());
        let mut servers = Servers::clone(&live.servers());
        let pattern = servers["door"].clone();
        for (id, state) in [("lamp", ServerState::Failed), ("safe", ServerState::AuthRequired)] {
            let tools = None;
            servers.insert(id.into(), ServerStatus { state, tools, ..pattern.clone() });
        }
        let defects = vec!["lock: no inputSchema".to_owned()];
        servers.insert("door".into(), ServerStatus { tools: Some(7), defects, ..pattern });
        live.set_servers(servers);
        live
    }

    #[tokio::test]
    async fn servers_and_what_is_said_of_them_are_those_of_the_view() {
        let live = live();
        let ids = |live: &Live| live.servers().keys().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(ids(&live), ["bell", "door", "lamp", "safe"]);
        let some = live.scoped("some").unwrap();
        let two = live.scoped("named").unwrap();
        assert_eq!(ids(&some), ["door"]);
        assert_eq!(ids(&two), ["door", "lamp"]);
        let door = some.servers()["door"].clone();
        assert_eq!((door.tools, door.defects), (Some(1), Vec::new()));
        assert_eq!(two.servers()["lamp"].tools, None);

        let why = async |live: &Live, id: &str| {
            let texts = vec!["ring".to_owned()];
            let query = Query { texts, why: Some(ToolId::from(id)), ..Query::default() };
            live.search(&query).await.unwrap().why.unwrap().verdict
        };
        assert_eq!(why(&live, "safe/open").await, Verdict::ServerUnavailable);
        assert_eq!(why(&some, "safe/open").await, Verdict::UnknownTool);
        assert_eq!(why(&two, "lamp/light").await, Verdict::ServerUnavailable);
        assert_eq!(why(&some, "lamp/light").await, Verdict::UnknownTool);
        let servers = vec!["bell".into()];
        let query = Query { texts: vec!["ring".into()], servers, ..Query::default() };
        assert!(live.search(&query).await.is_ok());
        let refused = some.search(&query).await.unwrap_err();
        assert_eq!(refused, QueryError::UnknownServer("bell".into()));
    }

    #[tokio::test]
    async fn a_handle_whose_profile_is_gone_sees_nothing() {
        let live = live();
        let some = live.scoped("some").unwrap();
        assert_eq!((some.catalog().len(), some.status().total), (1, 1));
        live.publish(Index::clone(&live.index()), Views::new());
        live.set_servers(Servers::clone(&live.servers()));
        assert!(live.scoped("some").is_none() && some.profile().is_none());
        assert_eq!((some.catalog().len(), some.status().total, some.servers().len()), (0, 0, 0));
        let query = Query { texts: vec!["ring".into()], ..Query::default() };
        assert!(some.search(&query).await.unwrap().hits.is_empty());
        assert_eq!(live.search(&query).await.unwrap().hits.len(), 2);
    }

    #[tokio::test]
    async fn kept_answers_are_those_of_the_profile() {
        let live = live();
        let query = Query { texts: vec!["ring".into()], ..Query::default() };
        // Without an encoder that is asked for, an answer is kept.
        let embedder = Arc::new(crate::embed::Fixed::in_binary().unwrap());
        let vector = |index: &Index, at| {
            let text = crate::text::fields::embedded_in(&index.catalog, index.catalog.tool(at));
            crate::embed::embed_one(&*embedder, crate::embed::Role::Tool, &text, None).ok()
        };
        let whole = live.index();
        let vectors: Vec<_> =
            (0..2).map(|at| vector(&whole, crate::catalog::ToolIdx(at)).map(Into::into)).collect();
        let dense = crate::index::dense::Dense::build(&vectors).map(Arc::new);
        let whole = Index { dense, ..Index::clone(&whole) };
        let profiles = live.views();
        let profiles = profiles.iter().map(|(name, view)| (name.clone(), view.profile.clone()));
        let views = view::derive_all(&whole, &profiles.collect(), &Views::new(), |_, _| None);
        live.publish(whole, views);
        let deadline = std::time::Duration::from_secs(1);
        live.set_encoder(crate::live::Encoder::start(embedder.clone(), 1, deadline).unwrap());
        let some = live.scoped("some").unwrap();
        for (live, count) in [(&live, 2), (&some, 1)] {
            for repeated in [false, true] {
                let answer = live.search(&query).await.unwrap();
                let named = answer.hits.iter().map(|hit| 1 + hit.duplicates.len()).sum::<usize>();
                assert_eq!((answer.repeated, named), (repeated, count));
            }
        }
    }
}
