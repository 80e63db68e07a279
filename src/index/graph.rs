//! HNSW candidates for catalogs that are too large to scan (Malkov and Yashunin 2018, by
//! `hnsw_rs`).
//!
//! Invariant: only ever proposes candidates; the caller rescores them exactly. Parallel insertion
//! makes the graph differ from build to build, so rankings above the threshold may differ between
//! generations (never within one).

use std::sync::Arc;

use hnsw_rs::prelude::{Distance, Hnsw};

use super::dense::dot;

const LINKS: usize = 16;
const EF_BUILD: usize = 200;
const LAYERS: usize = 16;
/// The least breadth of a search. The dense arm asks for 300 candidates and so for more.
const EF_SEARCH: usize = 128;

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
    /// The graph of `rows`; inserts on rayon.
    pub fn build(rows: &[Arc<[f32]>]) -> Self {
        let graph = Hnsw::new(LINKS, rows.len(), LAYERS, EF_BUILD, Angular);
        let numbered: Vec<(&[f32], usize)> =
            rows.iter().enumerate().map(|(at, row)| (&**row, at)).collect();
        graph.parallel_insert_slice(&numbered);
        Self(graph)
    }

    /// About the best `k` rows for `query`, in no order.
    pub fn candidates(&self, query: &[f32], k: usize) -> Vec<usize> {
        let found = self.0.search(query, k, EF_SEARCH.max(k));
        found.into_iter().map(|neighbour| neighbour.d_id).collect()
    }
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph").field("rows", &self.0.get_nb_point()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::dense::tests::{exact_top, vectors};
    use super::*;

    #[test]
    fn finds_nearly_all_that_a_scan_finds() {
        let rows = vectors(3, 5_000, 64);
        let graph = Graph::build(&rows);
        let mut hits = 0;
        for query in vectors(4, 40, 64) {
            let found = graph.candidates(&query, 300);
            let wanted = exact_top(&rows, &query, 10);
            hits += wanted.iter().filter(|w| found.contains(&w.tool.as_usize())).count();
        }
        assert!(hits >= 380, "recall@10 is {hits}/400");
    }

    #[test]
    fn equal_vectors_are_no_panic() {
        let once = vectors(5, 200, 384);
        let rows: Vec<_> = once.iter().cycle().take(600).cloned().collect();
        let found = Graph::build(&rows).candidates(&once[7], 30);
        assert!(found.iter().any(|row| row % once.len() == 7));
    }
}
