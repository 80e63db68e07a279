//! How a query is answered from what is published.
//!
//! Invariant: everything is read once, at the beginning, so an answer is of one generation; what
//! each stage took is told of every answer that was made, and of none that was kept.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Instant, SystemTime};

use tracing::{Instrument, debug_span};

use super::answers::Answers;
use super::{Encoder, Live, ServerState, ServerStatus};
use crate::index::Index;
use crate::search::needs::Parts;
use crate::search::{
    self, Answer, Arms, Hit, Mode, PartVectors, Query, QueryError, Served, Stages, Stale, Verdict,
    Why,
};
use crate::tool::ServerId;

/// What a query came to.
struct Made {
    served: Served,
    mode: Mode,
    /// Why that is less than it should be.
    reason: Option<String>,
    stages: Stages,
}

impl Live {
    /// Answers a query; past the embedding deadline lexically, and says so. What a caller asks goes
    /// by [`Live::search`].
    pub async fn look_up(&self, query: &Query) -> Result<Answer, QueryError> {
        let begun = Instant::now();
        let answers = self.0.answers.load_full();
        let index = self.index();
        let servers = self.servers();
        let query = &*self.by_profile(query);
        query
            .check(|id| servers.contains_key(id) || index.catalog.server(id.as_str()).is_some())?;
        let encoder = self.0.encoder.load_full();
        let known = answers.get(index.generation, self.1.as_ref(), query);
        let repeated = known.is_some();
        let (made, stages) = if let Some(served) = known {
            let mode = Mode::of(query.arms, query.arms != Arms::Lexical);
            (Made { served, mode, reason: None, stages: Stages::default() }, None)
        } else {
            let made = self.make(&answers, &encoder, &index, query).await;
            let stages = made.stages;
            (made, Some(stages))
        };
        let Made { served, mode, reason, .. } = made;
        let hits = served.hits;
        Ok(Answer {
            generation: index.generation,
            mode,
            reason: both(encoder.instead(), reason),
            stale: stale(&servers, &hits),
            hits,
            no_good_match: served.no_good_match,
            why: served.why.map(|why| self.why_unserved(&servers, why)),
            took_us: u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
            repeated,
            stages,
        })
    }

    /// The answer to a query that was checked.
    async fn make(
        &self,
        answers: &Answers,
        encoder: &Encoder,
        index: &Index,
        query: &Query,
    ) -> Made {
        let begun = Instant::now();
        let embedding = self.embed(encoder, index, query).instrument(debug_span!("embed"));
        let (vectors, why_lexical) = match embedding.await {
            Ok(vectors) => (vectors, None),
            Err(reason) => (Vec::new(), Some(reason)),
        };
        let embed = begun.elapsed();
        let learned = self.learned();
        let learned = learned.as_deref().map(|learned| (learned, encoder.id()));
        let mut ranking =
            debug_span!("rank").in_scope(|| search::rank_with(index, query, &vectors, learned));
        let rerank = self.0.rerank.load_full();
        let begun = Instant::now();
        let reordering =
            rerank.reorder(index, query, &mut ranking).instrument(debug_span!("rerank"));
        let unranked = reordering.await.err();
        let reranked = begun.elapsed();
        let served = search::answer(index, query, &vectors, &ranking);
        let reason = both(why_lexical, unranked);
        if reason.is_none() {
            answers.keep(index.generation, self.1.as_ref(), query, &served);
        }
        Made {
            served,
            mode: Mode::of(query.arms, !vectors.is_empty()),
            reason,
            stages: Stages { embed, rerank: rerank.is_on().then_some(reranked), ..ranking.stages },
        }
    }

    /// The vectors of the query's texts, or why the answer is to be lexical.
    async fn embed(
        &self,
        encoder: &Encoder,
        index: &Index,
        query: &Query,
    ) -> Result<Vec<PartVectors>, String> {
        if query.arms == Arms::Lexical {
            return Ok(Vec::new());
        }
        if matches!(encoder, Encoder::Ready { .. }) && index.dense.is_none() {
            return Err(self.no_vector_yet());
        }
        let embed = async |parts: Parts<'_>| {
            let whole = [parts.whole];
            let (whole, pieces) =
                futures::join!(encoder.embed(&whole), encoder.embed(&parts.pieces));
            // An encoder too busy for the pieces still leaves the whole text.
            let whole = whole?.into_iter().next().unwrap_or_default();
            Ok(PartVectors { whole, pieces: pieces.unwrap_or_default() })
        };
        futures::future::try_join_all(query.parts().into_iter().map(embed)).await
    }

    /// What is known of a tool that is not in the catalog; of what is held back a profile knows
    /// nothing.
    fn why_unserved(&self, servers: &BTreeMap<ServerId, ServerStatus>, mut why: Why) -> Why {
        if why.verdict != Verdict::UnknownTool {
            return why;
        }
        if self.known().book.is_held(why.id.as_str()) {
            why.verdict = Verdict::Held;
            why.because = "its definition is held back until an operator approves it: GET \
                           /v1/findings may say why"
                .into();
            return why;
        }
        why_unavailable(servers, why)
    }

    pub(super) fn no_vector_yet(&self) -> String {
        match &*self.0.trouble.load() {
            None => NO_VECTOR_YET.into(),
            Some(trouble) => format!("no tool has a vector yet: {trouble}"),
        }
    }
}

/// Two reasons, as far as there are any.
pub(super) fn both(first: Option<String>, second: Option<String>) -> Option<String> {
    match (first, second) {
        (Some(first), Some(second)) => Some(format!("{first}; {second}")),
        (first, second) => first.or(second),
    }
}

const NO_VECTOR_YET: &str = "no tool has a vector yet: they are being embedded in the background";

/// What is known of the server of a tool that is not in the catalog.
fn why_unavailable(servers: &BTreeMap<ServerId, ServerStatus>, mut why: Why) -> Why {
    let of_server = |id: &ServerId| {
        why.id.as_str().strip_prefix(id.as_str()).is_some_and(|rest| rest.starts_with('/'))
    };
    let server =
        servers.iter().filter(|(id, _)| of_server(id)).max_by_key(|(id, _)| id.as_str().len());
    let Some((id, status)) = server else { return why };
    let state = match status.state {
        ServerState::Ready | ServerState::Stale => return why,
        ServerState::Connecting => "is being crawled for the first time",
        ServerState::AuthRequired => "wants credentials",
        ServerState::Failed => "could not be crawled",
        ServerState::Disabled => "is switched off in the configuration",
        ServerState::Paused => "is paused by an operator",
        ServerState::PendingApproval => "has definitions that no operator has approved yet",
    };
    why.verdict = Verdict::ServerUnavailable;
    why.because = format!("its server {id} {state}: GET /v1/servers has more");
    why
}

/// The servers among the hits whose last crawl failed, ordered by id.
fn stale(servers: &BTreeMap<ServerId, ServerStatus>, hits: &[Hit]) -> Vec<Stale> {
    let hit: BTreeSet<&ServerId> = hits.iter().map(|hit| &hit.tool.server).collect();
    let now = SystemTime::now();
    hit.into_iter()
        .filter_map(|id| Some((id, servers.get(id)?)))
        .filter(|(_, status)| status.state != ServerState::Ready)
        .map(|(id, status)| Stale {
            server: id.clone(),
            age_s: status
                .crawled_at
                .and_then(|then| now.duration_since(then).ok())
                .unwrap_or_default()
                .as_secs(),
        })
        .collect()
}
