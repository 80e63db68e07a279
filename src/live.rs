//! The published generation and the state of every server: what a query reads.
//!
//! Invariant: one writer (the indexer), readers never lock, and a reader that holds a generation
//! keeps a consistent one to the end.

mod answers;
pub mod indexer;
pub mod learner;
mod look_up;
pub mod pictures;
pub mod pinned;
mod saver;
mod scoped;
pub mod stages;
pub mod trusted;
mod updates;
mod vectors;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};

use crate::access::profile::Profiles;
use crate::access::view::Views;
use crate::activity::Activity;
use crate::catalog::{Catalog, Server};
use crate::index::Index;
use crate::search::Mode;
use crate::tool::ServerId;
use crate::trust::decide::{Choice, DecisionError, Word};
use crate::trust::feed::Event;
use crate::trust::policy::Policy;

use self::answers::Answers;
use self::learner::Learner;
use self::look_up::both;
use self::pictures::Pictures;
use self::scoped::{Generation, States};
pub use self::stages::{Encoder, Rerank};
use self::trusted::{Known, Order};

/// What can be said of a server at the moment.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    /// Its tools are known and current.
    Ready,
    /// Its last crawl failed: the tools are those of the last good one.
    Stale,
    /// Its first crawl is under way.
    Connecting,
    /// It wants credentials.
    AuthRequired,
    /// It could not be crawled, and nothing is known of its tools.
    Failed,
    /// It is switched off in the configuration.
    Disabled,
    /// Its crawls are paused by an operator.
    Paused,
    /// An operator has not approved its definitions yet.
    PendingApproval,
}

/// A server as operators see it.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerStatus {
    /// Its state.
    pub state: ServerState,
    /// Its display title.
    pub title: Option<String>,
    /// The MCP version spoken.
    pub protocol: Option<String>,
    /// `stdio`, `http` or `file`.
    pub transport: &'static str,
    /// How many tools are known; `None` when unknown, which is not zero.
    pub tools: Option<usize>,
    /// How long it says that its listing holds.
    pub ttl: Option<Duration>,
    /// It shows others other tools than us.
    pub private: bool,
    /// When its last complete listing was read.
    pub crawled_at: Option<SystemTime>,
    /// When the next crawl is due.
    pub next_crawl: Option<Instant>,
    /// Why the last crawl failed.
    pub error: Option<String>,
    /// How many crawls failed since the start.
    pub failures: u64,
    /// Tools that were left out or are defective: a line each.
    pub defects: Vec<String>,
}

impl ServerStatus {
    /// The status of a server of which only its last listing is known.
    fn listed(server: &Server, state: ServerState, transport: &'static str) -> Self {
        Self {
            state,
            title: server.info.title.clone(),
            protocol: server.info.protocol.clone(),
            transport,
            tools: Some(server.tools.len()),
            ttl: server.info.ttl,
            private: server.info.private_to.is_some(),
            crawled_at: Some(server.crawled_at),
            next_crawl: None,
            error: None,
            failures: 0,
            defects: Vec::new(),
        }
    }
}

/// What `/v1/status` reports of the index.
#[derive(Debug, Clone)]
pub struct Status {
    /// Number of the published generation; 0 before the first.
    pub generation: u64,
    /// What a query would be answered with now.
    pub mode: Mode,
    /// Why that is not `hybrid`, or not reranked although it should be, and what mends it.
    pub reason: Option<String>,
    /// Id of the encoder, if there is one.
    pub encoder: Option<String>,
    /// Id of the reranker, if there is one.
    pub reranker: Option<String>,
    /// Tools that have a vector.
    pub embedded: usize,
    /// Tools in the catalog.
    pub total: usize,
    /// When this process began to serve.
    pub started: Instant,
    /// When this generation was published.
    pub published: Instant,
}

/// The live index; a cheap handle to what the indexer publishes: all of it, or what the profile of
/// this name shows, and whether its holder is kept to that.
#[derive(Clone)]
pub struct Live(Arc<Shared>, Option<Arc<str>>, bool);

struct Shared {
    published: ArcSwap<Generation>,
    servers: ArcSwap<States>,
    /// What is known of definitions; stored with the servers.
    known: ArcSwap<Known>,
    /// To the one writer.
    orders: OnceLock<mpsc::Sender<Order>>,
    generation: watch::Sender<u64>,
    /// How often what is published was told: a generation, or states of servers alone.
    told: watch::Sender<u64>,
    encoder: ArcSwap<Encoder>,
    rerank: ArcSwap<Rerank>,
    /// Another one whenever one of the above is; read before them, so that nothing made of the old
    /// is found with the new.
    answers: ArcSwap<Answers>,
    /// Why the last attempt to embed tools failed.
    trouble: ArcSwapOption<String>,
    /// What is learned from use, where that is switched on.
    learner: OnceLock<Learner>,
    /// Drawn of what is published, where somebody asked for it.
    pictures: Pictures,
    /// What is counted of searches and calls.
    activity: OnceLock<Activity>,
    started: Instant,
}

impl Live {
    /// An empty index that has no encoder yet.
    pub fn new(reason: &str) -> Self {
        let nothing = Generation::new(Index::build(0, Arc::default()), Views::new());
        let shared = Shared {
            published: ArcSwap::from_pointee(nothing),
            servers: ArcSwap::default(),
            known: ArcSwap::default(),
            orders: OnceLock::new(),
            generation: watch::Sender::new(0),
            told: watch::Sender::new(0),
            encoder: ArcSwap::from_pointee(Encoder::Absent { reason: reason.into() }),
            rerank: ArcSwap::from_pointee(Rerank::Off),
            answers: ArcSwap::from_pointee(Answers::new()),
            trouble: ArcSwapOption::empty(),
            learner: OnceLock::new(),
            pictures: Pictures::default(),
            activity: OnceLock::new(),
            started: Instant::now(),
        };
        Self(Arc::new(shared), None, false)
    }

    /// A first generation of `catalog` without an encoder, every server ready.
    pub fn from_catalog(catalog: Catalog) -> Self {
        let live = Self::new("this index was made without an encoder");
        let status = |server| ServerStatus::listed(server, ServerState::Ready, "file");
        let servers = catalog.servers().map(|server| (server.id.clone(), status(server)));
        live.set_servers(servers.collect());
        live.publish(Index::build(1, Arc::new(catalog)), Views::new());
        live
    }

    /// Makes `index` and its views what every query from now on sees. For the indexer alone.
    fn publish(&self, index: Index, views: Views) {
        let generation = index.generation;
        self.0.published.store(Arc::new(Generation::new(index, views)));
        self.0.answers.store(Arc::new(Answers::new()));
        self.0.generation.send_replace(generation);
    }

    /// Sets the encoder of queries.
    pub fn set_encoder(&self, encoder: Encoder) {
        self.0.encoder.store(Arc::new(encoder));
        self.0.answers.store(Arc::new(Answers::new()));
        // The kept queries want vectors of this one.
        if let Some(learner) = self.learner() {
            learner.wake();
        }
    }

    /// Sets what orders the best tools anew.
    pub fn set_rerank(&self, rerank: Rerank) {
        self.0.rerank.store(Arc::new(rerank));
        self.0.answers.store(Arc::new(Answers::new()));
    }

    /// Sets why tools can't be embedded at the moment. For the indexer alone.
    fn set_trouble(&self, trouble: Option<String>) {
        self.0.trouble.store(trouble.map(Arc::new));
    }

    /// Has searches and calls counted there, unless they are counted already.
    pub fn count_in(&self, activity: Activity) {
        let _ = self.0.activity.set(activity);
    }

    /// Where searches and calls are counted, whatever of the index this handle sees.
    pub fn activity(&self) -> &Activity {
        self.0.activity.get_or_init(Activity::default)
    }

    /// The catalog of the published generation.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.index().catalog)
    }

    /// What is known of definitions: their history, what was found in them, what waits. That is for
    /// operators: who sees what a profile shows sees nothing of it, since it speaks of all tools.
    pub fn known(&self) -> Arc<Known> {
        if self.scope().is_some() { Arc::default() } else { self.0.known.load_full() }
    }

    /// Has the one writer decide on definitions of a server that wait; `None` is all of them.
    /// Answers once what follows is published and on disk; `None` where there is no writer.
    pub async fn decide(
        &self,
        word: Word,
        server: ServerId,
        choices: Option<Vec<Choice>>,
    ) -> Option<Result<Vec<Arc<Event>>, DecisionError>> {
        let (reply, decided) = oneshot::channel();
        let order = Order::Decide { word, server, choices, reply };
        self.0.orders.get()?.send(order).await.ok()?;
        decided.await.ok()
    }

    /// Has definitions judged by other rules, from the next listings on; false where the one writer
    /// is too busy to be told.
    pub fn set_policy(&self, policy: Policy) -> bool {
        self.order(Order::Policy(policy), "[trust]")
    }

    /// Has the views of these profiles published, in place of others; false as above.
    pub fn set_profiles(&self, profiles: Profiles) -> bool {
        self.order(Order::Profiles(profiles), "[profiles]")
    }

    fn order(&self, order: Order, section: &str) -> bool {
        let sent = self.0.orders.get().map(|orders| orders.try_send(order));
        let told = matches!(sent, Some(Ok(())));
        if !told {
            tracing::warn!("{section} is as before: reload once more, or restart");
        }
        told
    }

    /// The index as a whole.
    pub fn status(&self) -> Status {
        let index = self.index();
        let encoder = self.0.encoder.load();
        let instead = encoder.instead();
        let (encoder, why_lexical) = match &**encoder {
            Encoder::Absent { reason } => (None, Some(reason.clone())),
            Encoder::Ready { embedder, .. } => {
                let none_yet = index.dense.is_none().then(|| self.no_vector_yet());
                (Some(embedder.id().to_owned()), none_yet)
            }
        };
        let mode = if why_lexical.is_none() { Mode::Hybrid } else { Mode::Lexical };
        let (reranker, unranked) = match &**self.0.rerank.load() {
            Rerank::Off => (None, None),
            Rerank::Ready { reranker, .. } => (Some(reranker.id().to_owned()), None),
            Rerank::Absent { reason } => (None, Some(format!("not reranked: {reason}"))),
        };
        Status {
            generation: index.generation,
            mode,
            reason: both(both(instead, why_lexical), unranked),
            encoder,
            reranker,
            embedded: index.embedded(),
            total: index.catalog.len(),
            started: self.0.started,
            published: self.0.published.load().at,
        }
    }

    /// True from the first generation on.
    pub fn is_ready(&self) -> bool {
        self.0.published.load().whole.generation > 0
    }

    /// Resolves when a generation newer than `seen` is published, with its number; whether anything
    /// changed of what this handle sees is another question.
    pub async fn changed(&self, seen: u64) -> u64 {
        let mut generation = self.0.generation.subscribe();
        // The sender lives in `self`, so waiting can't fail.
        generation.wait_for(|published| *published > seen).await.map_or(seen, |number| *number)
    }

    /// How often something was published, generations and states of servers.
    pub fn told(&self) -> u64 {
        *self.0.told.borrow()
    }

    /// Resolves when more was published than `seen` times, with how often it was; whether anything
    /// changed of what this handle sees is another question.
    pub async fn told_more(&self, seen: u64) -> u64 {
        let mut told = self.0.told.subscribe();
        // As above.
        told.wait_for(|times| *times > seen).await.map_or(seen, |times| *times)
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::catalog::{Listing, ServerInfo};
    use crate::embed::{Embedder, Fixed, Role};
    use crate::index::dense::Dense;
    use crate::search::Query;
    use crate::text::fields;
    use crate::tool::Tool;

    fn generation(number: u64, description: &str) -> Index {
        let server = ServerId::from("mail");
        let definition = serde_json::json!({"name": "send", "description": description});
        let listing = Listing {
            info: ServerInfo::default(),
            tools: vec![Tool::parse(&server, &definition.to_string()).unwrap()],
            crawled_at: SystemTime::UNIX_EPOCH,
            defects: Vec::new(),
        };
        let index = Index::build(number, Arc::new(Catalog::from_listings([(server, listing)])));
        let text = fields::embedded_in(&index.catalog, &index.catalog.tools()[0]);
        let vectors = Fixed::in_binary().unwrap().embed(Role::Tool, &[&text], None).unwrap();
        let dense = Dense::build(&[Some(vectors[0].as_slice().into())]);
        Index { dense: dense.map(Arc::new), ..index }
    }

    fn encoder() -> Encoder {
        Encoder::start(Arc::new(Fixed::in_binary().unwrap()), 1, Duration::from_secs(1)).unwrap()
    }

    #[tokio::test]
    async fn a_query_asked_again_gets_the_same_answer_until_something_changes() {
        let live = Live::new("no encoder yet");
        live.publish(generation(1, "Send a letter"), Views::new());
        let query = Query { texts: vec!["send".into()], ..Query::default() };
        let ask = async || {
            let answer = live.search(&query).await.unwrap();
            let definition = answer.hits[0].tool.definition.get().to_owned();
            (answer.repeated, answer.mode, definition.contains("letter"))
        };
        // What a missing encoder makes of it is not kept.
        assert_eq!(ask().await, (false, Mode::Lexical, true));
        assert_eq!(ask().await, (false, Mode::Lexical, true));
        live.set_encoder(encoder());
        assert_eq!(ask().await, (false, Mode::Hybrid, true));
        assert_eq!(ask().await, (true, Mode::Hybrid, true));
        live.publish(generation(2, "Send a parcel"), Views::new());
        assert_eq!(ask().await, (false, Mode::Hybrid, false));
        assert_eq!(ask().await, (true, Mode::Hybrid, false));
        live.set_rerank(Rerank::Off);
        assert_eq!(ask().await, (false, Mode::Hybrid, false));
    }
}
