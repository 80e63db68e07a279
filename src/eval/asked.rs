//! One labelled query, ranked and answered by the functions that serve.

use super::{Answered, DEPTH, LabelledQuery};
use crate::index::Index;
use crate::search::{self, Hit, MAX_QUERY_BYTES, PartVectors, Query, Ranking};

/// What a query came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// The first [`DEPTH`] tools.
    pub ranked: Vec<String>,
    /// What is served of them.
    pub answered: Answered,
}

impl Asked {
    /// What `index` answers to `query`, which it ranked like this with these vectors.
    pub fn of(index: &Index, query: &Query, vectors: &[PartVectors], ranking: &Ranking) -> Self {
        let served = search::answer(index, query, vectors, ranking);
        let slot = |hit: &Hit| {
            std::iter::once(&hit.tool.id).chain(&hit.duplicates).map(ToString::to_string).collect()
        };
        let ranked = ranking.ranked.iter().take(DEPTH);
        Self {
            ranked: ranked.map(|one| index.catalog.tool(one.tool).id.to_string()).collect(),
            answered: Answered {
                slots: served.hits.iter().map(slot).collect(),
                no_good_match: served.no_good_match,
            },
        }
    }
}

impl LabelledQuery {
    /// The query as it would be sent: no longer than what is read.
    pub fn text(&self) -> &str {
        &self.query[..self.query.floor_char_boundary(MAX_QUERY_BYTES)]
    }
}
