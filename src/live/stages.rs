//! What a query passes besides the index: its encoder, and the reranker where there is one.
//!
//! Invariant: neither can keep a query longer than its deadline or make it fail; what is missing
//! is told in a reason.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;

use crate::embed::lane::Lane;
use crate::embed::{Cost, EmbedError, Embedder, Reranker, Role, guarded};
use crate::index::Index;
use crate::search::learned::Learned;
use crate::search::{self, PartVectors, Query, Ranking};
use crate::text::fields;

/// The encoder, or why there is none.
pub enum Encoder {
    /// Queries are embedded here.
    Ready {
        /// What embeds them.
        embedder: Arc<dyn Embedder>,
        /// Where; `None` is the caller's thread.
        lane: Option<Queued>,
        /// Why it is not the one that is configured, if it is not.
        instead: Option<String>,
    },
    /// Every answer is lexical, for this reason.
    Absent {
        /// What is missing and what mends it.
        reason: String,
    },
}

/// How many vectors of queries are kept.
const KEPT: usize = 4_096;

/// Threads for an encoder that takes its time, and what they found lately.
pub struct Queued {
    lane: Arc<Lane>,
    /// A text that is asked again waits for nothing; shared, since batches end on their own.
    known: Arc<Cache<String, Vec<f32>>>,
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
            Cost::Core | Cost::Remote => Some(Queued {
                lane: Arc::new(Lane::start("embed-query", threads, deadline)?),
                known: Arc::new(Cache::new(KEPT)),
            }),
        };
        Ok(Self::Ready { embedder, lane, instead: None })
    }

    /// Queries are embedded by `embedder`, an instant one, because the one that is configured
    /// can't for this `reason`.
    pub fn in_place(embedder: Arc<dyn Embedder>, reason: &impl std::fmt::Display) -> Self {
        Self::Ready { embedder, lane: None, instead: Some(in_place(reason)) }
    }

    /// The same for another index. It works on the same threads and remembers queries of its own:
    /// how soon one is embedded tells nobody that somebody else has asked it.
    #[must_use]
    pub fn beside(&self) -> Self {
        match self {
            Self::Absent { reason } => Self::Absent { reason: reason.clone() },
            Self::Ready { embedder, lane, instead } => {
                let queued = |of: &Queued| {
                    let known = Arc::new(Cache::new(KEPT));
                    Queued { lane: Arc::clone(&of.lane), known }
                };
                let (embedder, lane) = (Arc::clone(embedder), lane.as_ref().map(queued));
                Self::Ready { embedder, lane, instead: instead.clone() }
            }
        }
    }

    /// Why it is not the one that is configured, if it is not.
    pub(super) fn instead(&self) -> Option<String> {
        match self {
            Self::Ready { instead, .. } => instead.clone(),
            Self::Absent { .. } => None,
        }
    }

    /// The id of what embeds.
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Self::Ready { embedder, .. } => Some(embedder.id()),
            Self::Absent { .. } => None,
        }
    }

    /// The vectors of `texts`, in order.
    pub(super) async fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, String> {
        let failed = |error| format!("the query could not be embedded: {error}");
        match self {
            Self::Absent { reason } => Err(reason.clone()),
            Self::Ready { embedder, lane: None, .. } => {
                guarded(|| embedder.embed(Role::Query, texts, None)).map_err(failed)
            }
            Self::Ready { embedder, lane: Some(queued), .. } => {
                queued.embed(embedder, texts).await.map_err(failed)
            }
        }
    }
}

impl Queued {
    async fn embed(
        &self,
        embedder: &Arc<dyn Embedder>,
        texts: &[&str],
    ) -> Result<Vec<Vec<f32>>, EmbedError> {
        let mut found: Vec<Option<Vec<f32>>> =
            texts.iter().map(|text| self.known.get(*text)).collect();
        let missing: Vec<&str> = texts
            .iter()
            .zip(&found)
            .filter(|(_, found)| found.is_none())
            .map(|(text, _)| *text)
            .collect();
        let batches = missing.chunks(embedder.batch().max(1)).map(async |batch| {
            let batch: Vec<String> = batch.iter().map(|text| (*text).to_owned()).collect();
            let (embedder, known) = (Arc::clone(embedder), Arc::clone(&self.known));
            let embed = move |until| {
                let texts: Vec<&str> = batch.iter().map(String::as_str).collect();
                let vectors = embedder.embed(Role::Query, &texts, Some(until))?;
                for (text, vector) in batch.into_iter().zip(&vectors) {
                    known.insert(text, vector.clone());
                }
                Ok(vectors)
            };
            self.lane.run(embed).await
        });
        let mut new = futures::future::try_join_all(batches).await?.into_iter().flatten();
        for found in found.iter_mut().filter(|found| found.is_none()) {
            *found = new.next();
        }
        found
            .into_iter()
            .collect::<Option<_>>()
            .ok_or_else(|| EmbedError::Encoder("too few vectors".into()))
    }
}

/// What orders the best tools anew; clones share its threads.
#[derive(Clone)]
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
        lane: Arc<Lane>,
    },
    /// There is to be one, and the order is that of the index for this reason.
    Absent {
        /// What is missing and what mends it.
        reason: String,
    },
}

impl Rerank {
    /// There is one that works.
    pub(super) fn is_on(&self) -> bool {
        matches!(self, Self::Ready { .. })
    }

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

/// What `index` ranks, on this thread and without a deadline: with what was learned and the encoder
/// that the vectors are of, and the best so many tools ordered anew where there is a reranker.
pub fn rank_now(
    index: &Index,
    query: &Query,
    vectors: &[PartVectors],
    learned: Option<(&Learned, Option<&str>)>,
    reranker: Option<(&Reranker, usize)>,
) -> Result<Ranking, EmbedError> {
    let mut ranking = search::rank_with(index, query, vectors, learned);
    if let Some((reranker, depth)) = reranker {
        let (query, texts) = pairs(index, query, &ranking, depth);
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        ranking.reorder(&reranker.score(&query, &texts, None)?);
    }
    Ok(ranking)
}

/// What a cross-encoder reads: all phrasings of the need, and the texts of the candidates.
fn pairs(index: &Index, query: &Query, ranking: &Ranking, depth: usize) -> (String, Vec<String>) {
    let text = |tool| fields::embedded_in(&index.catalog, index.catalog.tool(tool));
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
        if cost != Cost::Instant {
            // Known by now.
            assert_eq!(encoder.embed(&["3", "1"]).await.unwrap(), [[3.0], [1.0]]);
            assert_eq!(noting.seen.lock().unwrap().len(), 2);
        }
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
