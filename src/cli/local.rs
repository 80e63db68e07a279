//! An index in this process, for the commands that answer once and end.
//!
//! Invariant: it is built and searched by the functions that serve, with the same vectors.

use std::sync::Arc;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;

use crate::access::profile::Profile;
use crate::access::view::View;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::embed::cache::VectorCache;
use crate::embed::{self, Cost, EmbedError, Embedder, Fixed, Reranker, Role};
use crate::index::Index;
use crate::index::dense::Dense;
use crate::live::stages;
use crate::search::learned::Learned;
use crate::search::needs::Parts;
use crate::search::{self, Answer, Arms, Mode, PartVectors, Query, Ranking};
use crate::text::fields;

/// An index, and the encoder of its queries.
pub struct Local {
    /// Complete: every tool has a vector if any has.
    pub index: Index,
    /// The vectors, or why there are none.
    pub vectors: Result<VectorCache, EmbedError>,
    /// Why the encoder in the binary stands in for the configured one, if it does.
    pub instead: Option<EmbedError>,
    /// Orders the best so many tools anew.
    reranker: Option<(Reranker, usize)>,
    /// How many tools, where a query does not say.
    limit: Option<usize>,
}

impl Local {
    /// An index of `catalog`; embeds what no earlier run has, with a bar on a terminal.
    pub fn build(catalog: Catalog, config: &Config, lexical_only: bool) -> anyhow::Result<Self> {
        let catalog = Arc::new(catalog);
        let mut index = Index::build(1, Arc::clone(&catalog));
        let sessions = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut instead = None;
        let vectors =
            if lexical_only { Err(EmbedError::Off) } else { embed::load(&config.embed, sessions) };
        let vectors = match vectors {
            Err(EmbedError::Off) => Err(EmbedError::Off),
            Err(error) => {
                instead = Some(error);
                Fixed::in_binary().map(|embedder| cached(Arc::new(embedder), config))
            }
            Ok(embedder) => Ok(cached(embedder, config)),
        };
        if let Ok(cache) = &vectors {
            let texts: Vec<String> = catalog
                .tools()
                .par_iter()
                .map(|tool| fields::embedded_in(&catalog, tool))
                .collect();
            index.dense = Dense::build(&embed_all(cache, Role::Tool, &texts)?).map(Arc::new);
        }
        let load = |rerank| embed::load_reranker(rerank, &config.embed, sessions);
        let reranker = match &config.rerank {
            Some(rerank) => Some((load(rerank)?, rerank.depth)),
            None => None,
        };
        Ok(Self { index, vectors, instead, reranker, limit: None })
    }

    /// Sees from now on what `profile` shows, and nothing else.
    pub fn see(&mut self, profile: &Arc<Profile>) {
        let vector = |index: &Index, tool| {
            let text = fields::embedded_in(&index.catalog, index.catalog.tool(tool));
            let made = self.vectors.as_ref().ok()?.embed(Role::Tool, &[&text]);
            made.ok()?.0.into_iter().next()
        };
        let view = View::derive(&self.index, profile, None, vector);
        for warning in &view.warnings {
            tracing::warn!("profile {}: {warning}", profile.name);
        }
        self.limit = profile.defaults.limit;
        self.index = Index::clone(&view.index);
    }

    /// What the index ranks, with what was learned from use, reranked if that is wanted.
    pub fn rank(
        &self,
        query: &Query,
        vectors: &[PartVectors],
        learned: Option<&Learned>,
    ) -> Result<Ranking, EmbedError> {
        let encoder = self.vectors.as_ref().ok().map(|cache| cache.embedder().id());
        let learned = learned.map(|learned| (learned, encoder));
        let reranker = self.reranker.as_ref().map(|(reranker, depth)| (reranker, *depth));
        stages::rank_now(&self.index, query, vectors, learned, reranker)
    }

    /// Answers as the service would.
    pub fn ask(&self, query: &Query) -> anyhow::Result<Answer> {
        let begun = Instant::now();
        let query = &Query { limit: query.limit.or(self.limit), ..query.clone() };
        query.check(|id| self.index.catalog.server(id.as_str()).is_some())?;
        let (vectors, reason) = match (&self.vectors, &self.index.dense) {
            (Ok(cache), Some(_)) => {
                let embed = |parts: Parts<'_>| {
                    let texts: Vec<&str> = parts.texts().collect();
                    let vectors = cache.embedder().embed(Role::Query, &texts, None);
                    vectors.map(|vectors| PartVectors::of(vectors.into_iter()).unwrap_or_default())
                };
                let parts = query.parts().into_iter().map(embed);
                (parts.collect::<Result<Vec<_>, _>>()?, self.instead.as_ref().map(stages::in_place))
            }
            (Ok(_), None) => (Vec::new(), Some("there is no tool to embed".to_owned())),
            (Err(EmbedError::Off), _) if query.arms == Arms::Lexical => (Vec::new(), None),
            (Err(error), _) => (Vec::new(), Some(error.to_string())),
        };
        let ranking = self.rank(query, &vectors, None)?;
        let served = search::answer(&self.index, query, &vectors, &ranking);
        Ok(Answer {
            generation: self.index.generation,
            mode: Mode::of(query.arms, !vectors.is_empty()),
            reason,
            hits: served.hits,
            no_good_match: served.no_good_match,
            why: served.why,
            stale: Vec::new(),
            repeated: false,
            stages: Some(ranking.stages),
            took_us: u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
        })
    }
}

/// `embedder` with what it embedded before; on a disk that can't be written, only in memory. What
/// takes microseconds is not kept: reading it back would take as long.
pub fn cached(embedder: Arc<dyn Embedder>, config: &Config) -> VectorCache {
    if embedder.cost() == Cost::Instant {
        return VectorCache::in_memory(embedder);
    }
    let folder = config.data.join("cache");
    VectorCache::open(Arc::clone(&embedder), &folder).unwrap_or_else(|error| {
        tracing::warn!(folder = %folder.display(), %error, "vectors can't be kept on disk");
        VectorCache::in_memory(embedder)
    })
}

/// The vectors of `texts`, in order.
pub fn embed_all(
    cache: &VectorCache,
    role: Role,
    texts: &[String],
) -> Result<Vec<Option<Arc<[f32]>>>, EmbedError> {
    let what = if role == Role::Query { "queries" } else { "tools" };
    // Drawn on stderr, and only where that is a terminal.
    let bar = ProgressBar::new(texts.len() as u64).with_message(what);
    if let Ok(style) = ProgressStyle::with_template("embedding {msg} {pos}/{len} {wide_bar} {eta}")
    {
        bar.set_style(style);
    }
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let batches = texts.par_chunks(cache.embedder().batch().max(1)).map(|batch| {
        let (vectors, _) = cache.embed(role, batch)?;
        bar.inc(batch.len() as u64);
        Ok(vectors)
    });
    let vectors: Result<Vec<_>, EmbedError> = batches.collect();
    bar.finish_and_clear();
    Ok(vectors?.into_iter().flatten().map(Some).collect())
}
