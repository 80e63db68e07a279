//! `GET /v1/events`: what is published, told as it happens: generations, and servers' states.
//!
//! Invariant: a stream tells what its caller could ask for and nothing else, begins with all of it,
//! and says the same thing once; what happens faster than [`GAP`] is told together. Nothing is made
//! ahead of a reader, so a slow one costs no memory. There are only so many streams (`places`), and
//! none lasts longer than [`LASTS`]: by then whoever may no longer ask is gone.

mod changes;
mod places;

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Extension;
use axum::extract::RawQuery;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::changes::changes;
pub use self::places::Streams;
use super::door::Door;
use super::http::Params;
use super::limits::{Place, Who};
use super::oauth::Logins;
use super::problem::Problem;
use super::scope::{self, Scoped};
use super::wire::KnownServer;
use crate::access::caller::{Caller, Peer};
use crate::catalog::Catalog;
use crate::live::trusted::Known;
use crate::live::{Live, ServerState, ServerStatus};
use crate::tool::ServerId;

/// The shortest time between two events that are not told together.
const GAP: Duration = Duration::from_millis(500);
/// A stream without news says that it is still there this often.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A stream ends after this time; whoever still may opens the next.
const LASTS: Duration = Duration::from_mins(10);

/// The event `state`: how things are, before anything changes.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StateEvent<'a> {
    /// Number of the published generation; 0 before the first.
    pub generation: u64,
    /// Tools in the catalog.
    pub total: usize,
    /// Every configured server, ordered by id.
    pub servers: Vec<KnownServer<'a>>,
}

/// The event `generation`: another one is published.
#[derive(Debug, Serialize, JsonSchema)]
pub struct GenerationEvent<'a> {
    /// Its number.
    pub generation: u64,
    /// Tools in the catalog.
    pub total: usize,
    /// Tools that are new since what was told last.
    pub added: usize,
    /// Tools that are gone.
    pub removed: usize,
    /// Tools with another definition.
    pub changed: usize,
    /// Whose tools those are; absent where they are too many to be named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub servers: Option<Vec<&'a str>>,
}

/// The event `servers`: their states changed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ServersEvent<'a> {
    /// Those that are not as they were, ordered by id.
    pub servers: Vec<KnownServer<'a>>,
    /// Those that are no longer configured.
    pub gone: Vec<&'a str>,
}

/// What the data of an event is; its name says which.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "LiveEvent")]
pub enum AnyEvent<'a> {
    /// `state`
    State(StateEvent<'a>),
    /// `generation`
    Generation(GenerationEvent<'a>),
    /// `servers`
    Servers(ServersEvent<'a>),
}

/// Who may begin a login at a server without a proof, in a browser.
#[derive(Clone)]
pub struct Front {
    logins: Arc<Logins>,
    asks: bool,
}

impl Front {
    pub fn new(logins: &Arc<Logins>, door: &Door) -> Self {
        Self { logins: Arc::clone(logins), asks: door.asks() }
    }

    /// A server as the caller of `live` is told of it.
    pub fn shows<'a>(
        &self,
        live: &Live,
        known: &Known,
        id: &'a ServerId,
        status: &'a ServerStatus,
    ) -> KnownServer<'a> {
        let mut server = KnownServer::at(SystemTime::now(), id, status, known);
        // Where everybody is asked, an operator has one made that a browser needs no proof for.
        if server.state == ServerState::AuthRequired && live.scope().is_none() && !self.asks {
            server.login_url = self.logins.url(server.id).map(String::from);
        }
        server
    }
}

/// `GET /v1/events`
pub async fn follow(
    Scoped(live): Scoped,
    Extension(streams): Extension<Streams>,
    (Extension(logins), Extension(door)): (Extension<Arc<Logins>>, Extension<Door>),
    caller: Option<Extension<Caller>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Params::parse(query.as_deref(), &[scope::PROFILE])?;
    // Whoever reads answers to their end would wait for that of this one.
    let kinds = headers.get(header::ACCEPT).and_then(|kinds| kinds.to_str().ok());
    if !kinds.is_some_and(|kinds| kinds.contains("text/event-stream")) {
        let told = "this is a stream of server-sent events: ask with Accept: text/event-stream";
        return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, "not-acceptable", told));
    }
    let address = peer.map(|peer| peer.address);
    let place = streams.take(&Who::of(caller.as_deref(), address))?;
    let shutdown = streams.shutdown.clone();
    let front = Front::new(&logins, &door);
    let events = stream::unfold(Reader::new(live, front, (place, shutdown)), async |mut reader| {
        let event = reader.next().await?;
        Some((Ok::<_, Infallible>(event), reader))
    });
    let events = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    // Proxies that hold answers back until they are whole would hold this one for ever.
    Ok(([("x-accel-buffering", "no")], events).into_response())
}

/// What a reader was told.
struct Reader {
    live: Live,
    front: Front,
    _place: Place,
    shutdown: CancellationToken,
    ends: Instant,
    /// See [`Live::told`]; 0 before anything was.
    seen: u64,
    /// Not before then is anything told.
    next: Instant,
    generation: u64,
    catalog: Arc<Catalog>,
    servers: Arc<BTreeMap<ServerId, ServerStatus>>,
    known: Arc<Known>,
    ready: VecDeque<Event>,
}

impl Reader {
    fn new(live: Live, front: Front, (place, shutdown): (Place, CancellationToken)) -> Self {
        // Before what it speaks of: what comes in between is told again, and nothing is missed.
        let seen = live.told();
        let (index, known, servers) = (live.index(), live.known(), live.servers());
        let state = StateEvent {
            generation: index.generation,
            total: index.catalog.len(),
            servers: servers
                .iter()
                .map(|(id, status)| front.shows(&live, &known, id, status))
                .collect(),
        };
        let ready = VecDeque::from([event("state", &AnyEvent::State(state))]);
        let (generation, catalog) = (index.generation, Arc::clone(&index.catalog));
        let now = Instant::now();
        let (ends, next) = (now + LASTS, now + GAP);
        Self {
            live,
            front,
            _place: place,
            shutdown,
            ends,
            seen,
            next,
            generation,
            catalog,
            servers,
            known,
            ready,
        }
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let next = self.next;
            let told = async {
                let seen = self.live.told_more(self.seen).await;
                tokio::time::sleep_until(next).await;
                seen
            };
            self.seen = tokio::select! {
                seen = told => seen,
                () = self.shutdown.cancelled() => return None,
                () = tokio::time::sleep_until(self.ends) => return None,
            };
            self.look();
            self.next = Instant::now() + GAP;
        }
    }

    /// Makes events of what is not as it was told.
    fn look(&mut self) {
        let index = self.live.index();
        if index.generation != self.generation {
            let event = self::event(
                "generation",
                &AnyEvent::Generation(changes(&self.catalog, &index.catalog, index.generation)),
            );
            self.ready.push_back(event);
            self.generation = index.generation;
            self.catalog = Arc::clone(&index.catalog);
        }
        let (known, servers) = (self.live.known(), self.live.servers());
        let is_other = |(id, status): &(&ServerId, &ServerStatus)| {
            self.servers.get(*id) != Some(*status) || !counts_alike(&self.known, &known, id)
        };
        let others = servers.iter().filter(is_other);
        let others: Vec<KnownServer<'_>> =
            others.map(|(id, status)| self.front.shows(&self.live, &known, id, status)).collect();
        let gone = self.servers.keys().filter(|id| !servers.contains_key(*id));
        let gone: Vec<&str> = gone.map(ServerId::as_str).collect();
        if !others.is_empty() || !gone.is_empty() {
            let told = AnyEvent::Servers(ServersEvent { servers: others, gone });
            self.ready.push_back(event("servers", &told));
        }
        (self.known, self.servers) = (known, servers);
    }
}

/// Nothing that is counted of a server's definitions is other than it was.
fn counts_alike(before: &Known, now: &Known, id: &ServerId) -> bool {
    fn same<T>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
        match (one, other) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }
    let (was, is) = (&before.book, &now.book);
    same(was.servers.get(id), is.servers.get(id))
        && same(was.shadows.get(id), is.shadows.get(id))
        && before.policy == now.policy
}

fn event(name: &str, data: &AnyEvent<'_>) -> Event {
    // Strings and numbers: writing them can't fail.
    Event::default().event(name).data(serde_json::to_string(data).unwrap_or_default())
}
