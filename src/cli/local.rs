//! An index in this process, for the commands that answer once and end.
//!
//! Invariant: it is built and searched by the functions that serve, with the same vectors.

use std::sync::Arc;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;

use crate::catalog::Catalog;
use crate::config::Config;
use crate::embed::cache::VectorCache;
use crate::embed::{self, EmbedError};
use crate::index::Index;
use crate::index::dense::Dense;
use crate::search::needs::Parts;
use crate::search::{self, Answer, Arms, Mode, PartVectors, Query};
use crate::text::fields;

/// An index, and the encoder of its queries.
pub struct Local {
    /// Complete: every tool has a vector if any has.
    pub index: Index,
    /// The vectors, or why there are none.
    pub vectors: Result<VectorCache, EmbedError>,
}

impl Local {
    /// An index of `catalog`; embeds what no earlier run has, with a bar on a terminal.
    pub fn build(catalog: Catalog, config: &Config, lexical_only: bool) -> anyhow::Result<Self> {
        let catalog = Arc::new(catalog);
        let mut index = Index::build(1, Arc::clone(&catalog));
        let sessions = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let vectors =
            if lexical_only { Err(EmbedError::Off) } else { open_cache(config, sessions) };
        if let Ok(cache) = &vectors {
            let texts: Vec<String> =
                catalog.tools().par_iter().map(|tool| fields::embedded(tool, &catalog)).collect();
            index.dense = Dense::build(embed_all(cache, &texts, "tools")?).map(Arc::new);
        }
        Ok(Self { index, vectors })
    }
}

impl Local {
    /// Answers as the service would.
    pub fn ask(&self, query: &Query) -> anyhow::Result<Answer> {
        let begun = Instant::now();
        query.check(|id| self.index.catalog.server(id.as_str()).is_some())?;
        let (vectors, reason) = match (&self.vectors, &self.index.dense) {
            (Ok(cache), Some(_)) => {
                let embed = |parts: Parts<'_>| {
                    let vectors = parts.texts().map(|text| cache.embedder().embed(text));
                    let vectors = vectors.collect::<Result<Vec<_>, _>>();
                    vectors.map(|vectors| PartVectors::of(vectors.into_iter()).unwrap_or_default())
                };
                let parts = query.parts().into_iter().map(embed);
                (parts.collect::<Result<Vec<_>, _>>()?, None)
            }
            (Ok(_), None) => (Vec::new(), Some("there is no tool to embed".to_owned())),
            (Err(EmbedError::Off), _) if query.arms == Arms::Lexical => {
                (Vec::new(), Some("the lexical arm was asked for".to_owned()))
            }
            (Err(error), _) => (Vec::new(), Some(error.to_string())),
        };
        let ranking = search::rank(&self.index, query, &vectors);
        let served = search::answer(&self.index, query, &vectors, &ranking);
        Ok(Answer {
            generation: self.index.generation,
            mode: Mode::of(query.arms, !vectors.is_empty()),
            reason,
            hits: served.hits,
            no_good_match: served.no_good_match,
            why: served.why,
            stale: Vec::new(),
            took_us: u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
        })
    }
}

/// The encoder with what it embedded before; on a disk that can't be written, only in memory.
pub fn open_cache(config: &Config, sessions: usize) -> Result<VectorCache, EmbedError> {
    let embedder = embed::load(&config.embed, &config.data, sessions)?;
    let folder = config.data.join("cache");
    Ok(VectorCache::open(Arc::clone(&embedder), &folder).unwrap_or_else(|error| {
        tracing::warn!(folder = %folder.display(), %error, "vectors can't be kept on disk");
        VectorCache::in_memory(embedder)
    }))
}

/// The vectors of `texts`, in order.
pub fn embed_all(
    cache: &VectorCache,
    texts: &[String],
    what: &'static str,
) -> Result<Vec<Option<Arc<[f32]>>>, EmbedError> {
    // Drawn on stderr, and only where that is a terminal.
    let bar = ProgressBar::new(texts.len() as u64).with_message(what);
    if let Ok(style) = ProgressStyle::with_template("embedding {msg} {pos}/{len} {wide_bar} {eta}")
    {
        bar.set_style(style);
    }
    let vectors = texts
        .par_iter()
        .map(|text| {
            let vector = cache.embed(text).map(|(vector, _)| Some(vector));
            bar.inc(1);
            vector
        })
        .collect();
    bar.finish_and_clear();
    vectors
}
