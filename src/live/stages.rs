//! What a query passes besides the index: its encoder, and the reranker where there is one.
//!
//! Invariant: neither can keep a query longer than its deadline or make it fail; what is missing
//! is told in a reason.

use std::sync::Arc;
use std::time::Duration;

use crate::embed::lane::Lane;
use crate::embed::{Cost, EmbedError, Embedder, Reranker, Role};
use crate::index::Index;
use crate::search::{Query, Ranking};
use crate::text::fields;

/// The encoder, or why there is none.
pub enum Encoder {
    /// Queries are embedded here.
    Ready {
        /// What embeds them.
        embedder: Arc<dyn Embedder>,
        /// Where; `None` is the caller's thread.
        lane: Option<Lane>,
        /// Why it is not the one that is configured, if it is not.
        instead: Option<String>,
    },
    /// Every answer is lexical, for this reason.
    Absent {
        /// What is missing and what mends it.
        reason: String,
    },
}

impl Encoder {
    /// Queries are embedded by `embedder` on `threads` threads, unless it is quicker than a
    /// change of threads.
    pub fn start(
        embedder: Arc<dyn Embedder>,
        threads: usize,
        deadline: Duration,
    ) -> std::io::Result<Self> {
        let lane = match embedder.cost() {
            Cost::Instant => None,
            Cost::Core | Cost::Remote => Some(Lane::start("embed-query", threads, deadline)?),
        };
        Ok(Self::Ready { embedder, lane, instead: None })
    }

    /// Queries are embedded by `embedder`, an instant one, because the one that is configured
    /// can't for this `reason`.
    pub fn in_place(embedder: Arc<dyn Embedder>, reason: &impl std::fmt::Display) -> Self {
        Self::Ready { embedder, lane: None, instead: Some(in_place(reason)) }
    }

    /// Why it is not the one that is configured, if it is not.
    pub(super) fn instead(&self) -> Option<String> {
        match self {
            Self::Ready { instead, .. } => instead.clone(),
            Self::Absent { .. } => None,
        }
    }

    /// The vectors of `texts`, in order.
    pub(super) async fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, String> {
        let failed = |error| format!("the query could not be embedded: {error}");
        let (embedder, lane) = match self {
            Self::Absent { reason } => return Err(reason.clone()),
            Self::Ready { embedder, lane: None, .. } => {
                return embedder.embed(Role::Query, texts, None).map_err(failed);
            }
            Self::Ready { embedder, lane: Some(lane), .. } => (embedder, lane),
        };
        let batches = texts.chunks(embedder.batch().max(1)).map(async |batch| {
            let batch: Vec<String> = batch.iter().map(|text| (*text).to_owned()).collect();
            let embedder = Arc::clone(embedder);
            let embed = move |until| {
                let texts: Vec<&str> = batch.iter().map(String::as_str).collect();
                embedder.embed(Role::Query, &texts, Some(until))
            };
            lane.run(embed).await
        });
        let vectors = futures::future::try_join_all(batches).await.map_err(failed)?;
        Ok(vectors.into_iter().flatten().collect())
    }
}

/// What orders the best tools anew.
pub enum Rerank {
    /// Nothing is to.
    Off,
    /// A cross-encoder.
    Ready {
        /// The cross-encoder.
        reranker: Arc<Reranker>,
        /// How many of the best tools it reads.
        depth: usize,
        /// Where it works.
        lane: Lane,
    },
    /// There is to be one, and the order is that of the index for this reason.
    Absent {
        /// What is missing and what mends it.
        reason: String,
    },
}

impl Rerank {
    /// Orders the best of `ranking` anew, or says why it is as it was.
    pub(super) async fn reorder(
        &self,
        index: &Index,
        query: &Query,
        ranking: &mut Ranking,
    ) -> Result<(), String> {
        let (reranker, depth, lane) = match self {
            Self::Off => return Ok(()),
            Self::Absent { reason } => return Err(not_reranked(reason)),
            Self::Ready { reranker, depth, lane } => (Arc::clone(reranker), *depth, lane),
        };
        let (query, texts) = pairs(index, query, ranking, depth);
        let scores = lane.run(move |until| {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            reranker.score(&query, &texts, Some(until))
        });
        match scores.await {
            Ok(scores) => ranking.reorder(&scores),
            Err(error) => return Err(not_reranked(&error)),
        }
        Ok(())
    }
}

/// Orders the best `depth` of `ranking` anew on this thread, without a deadline.
pub fn reorder_now(
    reranker: &Reranker,
    depth: usize,
    index: &Index,
    query: &Query,
    ranking: &mut Ranking,
) -> Result<(), EmbedError> {
    let (query, texts) = pairs(index, query, ranking, depth);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    ranking.reorder(&reranker.score(&query, &texts, None)?);
    Ok(())
}

/// What a cross-encoder reads: all phrasings of the need, and the texts of the candidates.
fn pairs(index: &Index, query: &Query, ranking: &Ranking, depth: usize) -> (String, Vec<String>) {
    let text = |tool| fields::embedded(index.catalog.tool(tool), &index.catalog);
    (query.texts.join("\n"), ranking.candidates(depth).into_iter().map(text).collect())
}

/// Says that the encoder in the binary stands in for the configured one, for this `reason`.
pub fn in_place(reason: &impl std::fmt::Display) -> String {
    format!("the encoder in the binary answers: {reason}")
}

fn not_reranked(why: &impl std::fmt::Display) -> String {
    format!("not reranked: {why}")
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::thread::ThreadId;
    use std::time::Instant;

    use super::*;

    /// Notes each batch and the thread it came on.
    struct Noting {
        cost: Cost,
        seen: Mutex<Vec<(ThreadId, Vec<String>)>>,
    }

    impl Embedder for Noting {
        fn id(&self) -> &'static str {
            "noting"
        }
        fn dims(&self) -> usize {
            1
        }
        fn cost(&self) -> Cost {
            self.cost
        }
        fn batch(&self) -> usize {
            2
        }
        fn embed(
            &self,
            role: Role,
            texts: &[&str],
            _: Option<Instant>,
        ) -> Result<Vec<Vec<f32>>, EmbedError> {
            assert_eq!(role, Role::Query);
            let noted = texts.iter().map(|text| (*text).to_owned()).collect();
            self.seen.lock().unwrap().push((std::thread::current().id(), noted));
            Ok(texts.iter().map(|text| vec![text.parse().unwrap()]).collect())
        }
    }

    /// The batches of three texts, and whether each was embedded on the caller's thread.
    async fn batches(cost: Cost) -> Vec<(bool, usize)> {
        let noting = Arc::new(Noting { cost, seen: Mutex::default() });
        let encoder = Encoder::start(noting.clone(), 1, Duration::from_mins(1)).unwrap();
        assert_eq!(encoder.embed(&["1", "2", "3"]).await.unwrap(), [[1.0], [2.0], [3.0]]);
        let own = std::thread::current().id();
        let seen = noting.seen.lock().unwrap();
        seen.iter().map(|(thread, texts)| (*thread == own, texts.len())).collect()
    }

    #[tokio::test]
    async fn only_an_instant_encoder_works_on_the_callers_thread() {
        assert_eq!(batches(Cost::Instant).await, [(true, 3)]);
        assert_eq!(batches(Cost::Core).await, [(false, 2), (false, 1)]);
        assert_eq!(batches(Cost::Remote).await, [(false, 2), (false, 1)]);
    }
}
