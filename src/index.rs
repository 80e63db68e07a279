//! One generation of the index: a catalog and everything that finds tools in it.
//!
//! Invariant: immutable once built; all parts speak of the same catalog.

pub mod dense;
pub mod graph;
pub mod lexical;
pub mod names;
pub mod snapshot;
pub mod twins;

use std::sync::Arc;

use crate::catalog::{Catalog, ToolIdx};
use dense::Dense;
use lexical::Lexical;
use names::Names;
use twins::Twins;

/// A tool and its score in one arm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranked {
    /// The tool.
    pub tool: ToolIdx,
    /// The arm's own score; larger is better.
    pub score: f32,
}

impl Ranked {
    /// Better first; ties by tool id, which is the order of positions.
    pub fn order(&self, other: &Self) -> std::cmp::Ordering {
        other.score.total_cmp(&self.score).then(self.tool.cmp(&other.tool))
    }
}

/// The best `k` of `scored`, best first.
pub fn top_k(mut scored: Vec<Ranked>, k: usize) -> Vec<Ranked> {
    if k == 0 {
        return Vec::new();
    }
    if scored.len() > k {
        scored.select_nth_unstable_by(k - 1, Ranked::order);
        scored.truncate(k);
    }
    scored.sort_unstable_by(Ranked::order);
    scored
}

/// What can be searched.
#[derive(Debug, Clone)]
pub struct Index {
    /// Number of this generation; 0 is the empty one before the first.
    pub generation: u64,
    /// The tools.
    pub catalog: Arc<Catalog>,
    /// BM25F.
    pub lexical: Arc<Lexical>,
    /// Exact names.
    pub names: Arc<Names>,
    /// The same tool on several servers.
    pub twins: Arc<Twins>,
    /// Vectors of the tools that have one; `None` when none has.
    pub dense: Option<Arc<Dense>>,
}

impl Index {
    /// An index of `catalog` without vectors.
    pub fn build(generation: u64, catalog: Arc<Catalog>) -> Self {
        let (lexical, (names, twins)) = rayon::join(
            || Lexical::build(&catalog),
            || rayon::join(|| Names::build(&catalog), || Twins::build(&catalog)),
        );
        Self {
            generation,
            lexical: Arc::new(lexical),
            names: Arc::new(names),
            twins: Arc::new(twins),
            catalog,
            dense: None,
        }
    }

    /// How many tools have a vector.
    pub fn embedded(&self) -> usize {
        self.dense.as_ref().map_or(0, |dense| dense.len())
    }
}
