//! One generation, and everything that its queries pass, held fast: for work that asks many queries and
//! must not be overtaken by a crawl in the middle.
//!
//! Invariant: nothing here waits for a lane or counts for a deadline, so it is for threads of its own;
//! what is answered is what the same query would get of this generation by [`Live::look_up`].

use std::sync::Arc;

use super::{Encoder, Live, Rerank, Status, stages};
use crate::embed::{Cost, EmbedError, Embedder, Reranker, Role, guarded};
use crate::index::Index;
use crate::search::learned::Learned;
use crate::search::needs::Parts;
use crate::search::{Arms, PartVectors, Query, Ranking};

/// What is held.
pub struct Pinned {
    /// The index, as the handle sees it that it was pinned by.
    pub index: Arc<Index>,
    /// What was told of it at that moment.
    pub status: Status,
    embedder: Option<Arc<dyn Embedder>>,
    reranker: Option<(Arc<Reranker>, usize)>,
    learned: Option<Arc<Learned>>,
}

impl Live {
    /// Holds fast what is published now.
    pub fn pin(&self) -> Pinned {
        let embedder = match &**self.0.encoder.load() {
            Encoder::Ready { embedder, .. } => Some(Arc::clone(embedder)),
            Encoder::Absent { .. } => None,
        };
        let reranker = match &**self.0.rerank.load() {
            Rerank::Ready { reranker, depth, .. } => Some((Arc::clone(reranker), *depth)),
            Rerank::Off | Rerank::Absent { .. } => None,
        };
        let (index, status, learned) = (self.index(), self.status(), self.learned());
        Pinned { index, status, embedder, reranker, learned }
    }
}

impl Pinned {
    /// Embedding waits for another machine, and takes no time of this one.
    pub fn waits_for_others(&self) -> bool {
        self.embedder.as_ref().is_some_and(|embedder| embedder.cost() == Cost::Remote)
    }

    /// The vectors of a query; none where it is ranked without.
    pub fn embed(&self, query: &Query) -> Result<Vec<PartVectors>, EmbedError> {
        match &self.embedder {
            Some(embedder) if query.arms != Arms::Lexical && self.index.dense.is_some() => {
                query.parts().iter().map(|parts| embed(&**embedder, parts)).collect()
            }
            _ => Ok(Vec::new()),
        }
    }

    /// What a query with these vectors ranks.
    pub fn rank(&self, query: &Query, vectors: &[PartVectors]) -> Result<Ranking, EmbedError> {
        let encoder = self.embedder.as_ref().map(|embedder| embedder.id());
        let learned = self.learned.as_deref().map(|learned| (learned, encoder));
        let reranker = self.reranker.as_ref().map(|(reranker, depth)| (&**reranker, *depth));
        stages::rank_now(&self.index, query, vectors, learned, reranker)
    }

    /// Something was learned from use that counts here.
    pub fn has_learned(&self) -> bool {
        self.learned.is_some()
    }
}

fn embed(embedder: &dyn Embedder, parts: &Parts<'_>) -> Result<PartVectors, EmbedError> {
    let texts: Vec<&str> = parts.texts().collect();
    let vectors = guarded(|| embedder.embed(Role::Query, &texts, None))?;
    let vectors = PartVectors::of(vectors.into_iter());
    vectors.ok_or_else(|| EmbedError::Encoder("no vector".into()))
}
