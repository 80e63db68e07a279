//! Vectors, searched exactly: an int8 scan picks candidates, the f32 vectors rescore them.
//!
//! Invariant: vectors are unit length, so a dot product is a cosine; a row's int8 score times its
//! scale approximates that cosine closely enough that rescoring [`OVERSAMPLE`] times `k`
//! candidates gives the exact top `k` (held by a property test).

use std::sync::Arc;

use multiversion::multiversion;

use super::graph::Graph;
use super::{Ranked, top_k};
use crate::catalog::ToolIdx;

/// Candidates rescored for each wanted result.
const OVERSAMPLE: usize = 3;
/// From this many vectors on a graph finds candidates faster than the scan (`benches/search.rs`).
pub const GRAPH_FROM: usize = 50_000;

/// The vectors of one catalog.
#[derive(Debug)]
pub struct Dense {
    dims: usize,
    /// Which tool each row is of, ascending.
    tools: Vec<ToolIdx>,
    /// Rows of `dims` int8 values.
    quantised: Vec<i8>,
    /// What a row's int8 values are multiplied by.
    scales: Vec<f32>,
    /// The rows as they were embedded, shared with the vector cache.
    exact: Vec<Arc<[f32]>>,
    graph: Option<Graph>,
}

impl Dense {
    /// An index of the tools that have a vector; `None` if none has. `vectors` is in the order of
    /// the catalog, and all vectors have one length.
    pub fn build(vectors: Vec<Option<Arc<[f32]>>>) -> Option<Self> {
        Self::with_graph_from(vectors, GRAPH_FROM)
    }

    /// As [`Dense::build`], with a graph from `graph_from` vectors on.
    pub fn with_graph_from(vectors: Vec<Option<Arc<[f32]>>>, graph_from: usize) -> Option<Self> {
        let dims = vectors.iter().flatten().next()?.len();
        let (tools, exact): (Vec<ToolIdx>, Vec<Arc<[f32]>>) = (0_u32..)
            .map(ToolIdx)
            .zip(vectors)
            .filter_map(|(tool, vector)| Some((tool, vector?)))
            .filter(|(_, vector)| vector.len() == dims)
            .unzip();
        let mut quantised = Vec::with_capacity(dims * exact.len());
        let scales = exact.iter().map(|vector| quantise(vector, &mut quantised)).collect();
        let graph = (exact.len() >= graph_from).then(|| Graph::build(&exact));
        Some(Self { dims, tools, quantised, scales, exact, graph })
    }

    /// How many tools have a vector.
    pub fn len(&self) -> usize {
        self.tools.len()
    }

    /// No tool has a vector.
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// The best `k` tools for a unit vector among those that `keep` lets through. `filtered` says
    /// that `keep` holds back some: a graph would lose its way then, so all rows are scanned.
    pub fn search(
        &self,
        query: &[f32],
        k: usize,
        filtered: bool,
        keep: impl Fn(ToolIdx) -> bool,
    ) -> Vec<Ranked> {
        if query.len() != self.dims {
            return Vec::new();
        }
        let rows = match &self.graph {
            Some(graph) if !filtered => graph.candidates(query, k * OVERSAMPLE),
            _ => self.scan(query, k * OVERSAMPLE, keep),
        };
        let rescored = rows
            .into_iter()
            .map(|row| Ranked { tool: self.tools[row], score: dot(query, &self.exact[row]) });
        top_k(rescored.collect(), k)
    }

    /// The exact score of one tool, if it has a vector.
    pub fn score(&self, query: &[f32], tool: ToolIdx) -> Option<f32> {
        let row = self.tools.binary_search(&tool).ok()?;
        Some(dot(query, &self.exact[row]))
    }

    fn scan(&self, query: &[f32], k: usize, keep: impl Fn(ToolIdx) -> bool) -> Vec<usize> {
        let mut quantised = Vec::with_capacity(self.dims);
        // The query's own scale is the same for every row and changes no order.
        quantise(query, &mut quantised);
        // Widened once here rather than once a row.
        let quantised: Vec<i16> = quantised.into_iter().map(i16::from).collect();
        let mut scores = vec![0.0; self.tools.len()];
        score_rows(&quantised, &self.quantised, &self.scales, &mut scores);
        let all = (0_u32..)
            .zip(scores)
            .zip(&self.tools)
            .filter(|(_, tool)| keep(**tool))
            .map(|((row, score), _)| Ranked { tool: ToolIdx(row), score });
        top_k(all.collect(), k).into_iter().map(|ranked| ranked.tool.as_usize()).collect()
    }
}

/// Appends `vector` as int8 to `out` and returns the scale that brings it back.
fn quantise(vector: &[f32], out: &mut Vec<i8>) -> f32 {
    let largest = vector.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    let scale = if largest > 0.0 { largest / 127.0 } else { 1.0 };
    #[expect(clippy::cast_possible_truncation, reason = "within -127..=127 by the scale")]
    out.extend(vector.iter().map(|x| (x / scale).round() as i8));
    scale
}

#[multiversion(targets("x86_64+avx512f+avx512bw", "x86_64+avx2", "aarch64+neon"))]
fn score_rows(query: &[i16], rows: &[i8], scales: &[f32], scores: &mut [f32]) {
    for ((row, scale), score) in rows.chunks_exact(query.len()).zip(scales).zip(scores) {
        let products = query.iter().zip(row).map(|(a, b)| i32::from(*a) * i32::from(*b));
        #[expect(clippy::cast_precision_loss, reason = "a rough score; the rescore is exact")]
        let sum = products.sum::<i32>() as f32;
        *score = sum * scale;
    }
}

/// The dot product, in a fixed order so that it is the same on every machine.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for lane in 0..8 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    let tail = a.len() / 8 * 8;
    lanes.iter().sum::<f32>() + a[tail..].iter().zip(&b[tail..]).map(|(a, b)| a * b).sum::<f32>()
}

/// Adds `weight` times the int8 numbers of `row` to `sum`.
#[multiversion(targets("x86_64+avx512f+avx512bw", "x86_64+avx2", "aarch64+neon"))]
pub fn add_scaled(row: &[u8], weight: f32, sum: &mut [f32]) {
    for (x, number) in sum.iter_mut().zip(row) {
        *x += weight * f32::from(number.cast_signed());
    }
}

/// Scales `vector` to unit length; a zero vector stays as it is.
pub fn normalise(vector: &mut [f32]) {
    let length = dot(vector, vector).sqrt();
    if length > 0.0 {
        for x in vector {
            *x /= length;
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Seeded unit vectors in clumps, as texts of a few subjects have them.
    pub fn vectors(seed: u64, count: usize, dims: usize) -> Vec<Arc<[f32]>> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut vector = |spread: f32, around: Option<&[f32]>| -> Vec<f32> {
            let mut v: Vec<f32> = (0..dims)
                .map(|at| around.map_or(0.0, |c| c[at]) + spread * (random.f32() * 2.0 - 1.0))
                .collect();
            normalise(&mut v);
            v
        };
        let centres: Vec<Vec<f32>> = (0..10).map(|_| vector(1.0, None)).collect();
        (0..count).map(|at| vector(0.15, Some(&centres[at % 10])).into()).collect()
    }

    pub fn recall(found: &[Ranked], wanted: &[Ranked]) -> f64 {
        let hits = found.iter().filter(|f| wanted.iter().any(|w| w.tool == f.tool)).count();
        f64::from(u32::try_from(hits).unwrap()) / f64::from(u32::try_from(wanted.len()).unwrap())
    }

    pub fn exact_top(rows: &[Arc<[f32]>], query: &[f32], k: usize) -> Vec<Ranked> {
        let scored = (0_u32..)
            .zip(rows)
            .map(|(tool, row)| Ranked { tool: ToolIdx(tool), score: dot(query, row) });
        top_k(scored.collect(), k)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn the_scan_finds_what_f32_finds(seed in any::<u64>(), count in 1_usize..2_000) {
            let rows = vectors(seed, count, 96);
            let dense = Dense::build(rows.iter().cloned().map(Some).collect()).unwrap();
            let query = &vectors(seed ^ 1, 1, 96)[0];
            let wanted = exact_top(&rows, query, 50);
            prop_assert!(recall(&dense.search(query, 50, false, |_| true), &wanted) >= 0.98);
        }
    }

    #[test]
    fn tools_without_a_vector_are_not_found_and_filters_hold() {
        let rows = vectors(7, 30, 64);
        let sparse =
            rows.iter().enumerate().map(|(at, row)| (at % 2 == 0).then(|| row.clone())).collect();
        let dense = Dense::build(sparse).unwrap();
        assert_eq!(dense.len(), 15);
        let found = dense.search(&rows[4], 30, true, |tool| tool.0 > 3);
        assert_eq!(found[0].tool, ToolIdx(4));
        assert!(found.iter().all(|ranked| ranked.tool.0 % 2 == 0 && ranked.tool.0 > 3));
        assert_eq!(found.len(), 13);
        assert!(dense.score(&rows[4], ToolIdx(5)).is_none());
    }

    #[test]
    fn nothing_to_index_is_no_index() {
        assert!(Dense::build(vec![None, None]).is_none());
    }
}
