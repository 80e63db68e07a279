//! The graph that the dense arm is measured against: HNSW (Malkov and Yashunin 2018) by `hnsw_rs`,
//! with the same exact rescore of what it proposes.

use std::sync::Arc;

use hnsw_rs::prelude::{Distance, Hnsw};
use toolscout::index::dense::dot;

const LINKS: usize = 16;
const EF_BUILD: usize = 200;
const LAYERS: usize = 16;
/// The breadth of a search, as a multiple of what is wanted.
const BREADTH: usize = 3;

/// One minus the cosine of unit vectors. The library's own (`DistDot`) adds one number at a time,
/// and panics where rounding takes the product of two equal vectors past 1.
struct Angular;

impl Distance<f32> for Angular {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        (1.0 - dot(a, b)).max(0.0)
    }
}

/// A navigable graph over unit vectors; a row is named by its position.
pub struct Graph(Hnsw<'static, f32, Angular>);

impl Graph {
    /// The graph of `rows`; inserts on rayon, so no two are the same.
    pub fn of(rows: &[Arc<[f32]>]) -> Self {
        let graph = Hnsw::new(LINKS, rows.len(), LAYERS, EF_BUILD, Angular);
        let numbered: Vec<(&[f32], usize)> =
            rows.iter().enumerate().map(|(at, row): (usize, &Arc<[f32]>)| (&**row, at)).collect();
        graph.parallel_insert_slice(&numbered);
        Self(graph)
    }

    /// About the best `k` rows for `query`.
    pub fn search(&self, query: &[f32], k: usize) -> Vec<usize> {
        let found = self.0.search(query, k, BREADTH * k);
        found.into_iter().map(|neighbour| neighbour.d_id).collect()
    }
}
