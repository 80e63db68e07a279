//! Vectors, searched in steps of one bit, eight, and 32 bits a number.
//!
//! A scan of bytes finds the best rows, and their f32 vectors put them in order. Of very many rows
//! only those are scanned that have the most signs as the query has. Invariant: vectors are unit
//! length, so a dot product is a cosine; the same vectors are ranked alike on every machine and in
//! every build; and of fewer than [`SIGNS_FROM`] rows the first ten are those of an f32 search (held
//! by a property test: a byte's error is far below what parts the tenth from the hundredth).

mod kernel;
mod signs;

use std::sync::Arc;

use multiversion::multiversion;

use self::signs::Signs;
use super::{Best, Ranked, top_k};
use crate::catalog::ToolIdx;

/// Rows scored at a time: they stay in the first-level cache for the next query.
const BLOCK: usize = 64;
/// What is added to an int8 number so that it is a byte.
const MIDDLE: i16 = 128;

/// From this many rows on their signs say which are scanned: all of them do not fit the nearest
/// caches any more (`cargo bench --bench quality -- dense`).
pub const SIGNS_FROM: usize = 4_096;
/// Of so many rows one is scanned then, …
const ONE_IN: usize = 16;
/// … and at least and at most so many: the nearest stand out more clearly, the more there are.
const SCANNED: (usize, usize) = (1_024, 4_096);

/// The vectors of one catalog.
#[derive(Debug)]
pub struct Dense {
    dims: usize,
    /// Which tool each row is of, ascending.
    tools: Vec<ToolIdx>,
    /// Rows of `dims` bytes.
    bytes: Vec<u8>,
    /// What a row's numbers are multiplied by.
    scales: Vec<f32>,
    /// The rows as they were embedded, shared with the vector cache.
    exact: Vec<Arc<[f32]>>,
    /// The rows' signs, if they are many.
    signs: Option<Signs>,
}

impl Dense {
    /// An index of the tools that have a vector; `None` if none has. `vectors` is in the order of
    /// the catalog, and all vectors have one length.
    pub fn build(vectors: Vec<Option<Arc<[f32]>>>) -> Option<Self> {
        Self::with_signs_from(vectors, SIGNS_FROM)
    }

    /// As [`Dense::build`], with the signs of `signs_from` rows and more.
    pub fn with_signs_from(vectors: Vec<Option<Arc<[f32]>>>, signs_from: usize) -> Option<Self> {
        let dims = vectors.iter().flatten().next()?.len();
        let (tools, exact): (Vec<ToolIdx>, Vec<Arc<[f32]>>) = (0_u32..)
            .map(ToolIdx)
            .zip(vectors)
            .filter_map(|(tool, vector)| Some((tool, vector?)))
            .filter(|(_, vector)| vector.len() == dims)
            .unzip();
        let mut bytes = vec![0; dims * exact.len()];
        let rows = bytes.chunks_exact_mut(dims.max(1));
        let scales = exact.iter().zip(rows).map(|(vector, row)| to_bytes(vector, row)).collect();
        let signs = (exact.len() >= signs_from).then(|| Signs::of(&exact));
        Some(Self { dims, tools, bytes, scales, exact, signs })
    }

    /// How many tools have a vector.
    pub fn len(&self) -> usize {
        self.tools.len()
    }

    /// No tool has a vector.
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// The vectors, in the order of their tools.
    pub fn vectors(&self) -> &[Arc<[f32]>] {
        &self.exact
    }

    /// How many bytes a search reads of every row.
    pub fn scanned_bytes(&self) -> usize {
        self.signs.as_ref().map_or(self.bytes.len(), Signs::bytes)
    }

    /// The best `k` tools for each of several unit vectors, among those that `keep` lets through.
    /// One pass over memory serves them all.
    pub fn search(
        &self,
        queries: &[&[f32]],
        k: usize,
        keep: impl Fn(ToolIdx) -> bool,
    ) -> Vec<Vec<Ranked>> {
        let scanned = self.scan(queries, k, keep);
        let rescore = |(query, found): (&&[f32], Vec<Ranked>)| {
            let mut rows: Vec<usize> =
                found.into_iter().map(|ranked| ranked.tool.as_usize()).collect();
            // In the order of memory.
            rows.sort_unstable();
            let scores = self.dots(&[query], &rows).into_iter().flatten();
            let exact = rows.iter().zip(scores);
            top_k(exact.map(|(row, score)| Ranked { tool: self.tools[*row], score }).collect(), k)
        };
        queries.iter().zip(scanned).map(rescore).collect()
    }

    /// The exact scores of tools for each of several unit vectors; `None` for a tool without one.
    pub fn scores(&self, queries: &[&[f32]], tools: &[ToolIdx]) -> Vec<Vec<Option<f32>>> {
        let found: Vec<Option<usize>> = tools.iter().map(|tool| self.row(*tool)).collect();
        let rows: Vec<usize> = found.iter().flatten().copied().collect();
        let scatter = |dots: Vec<f32>| {
            let mut dots = dots.into_iter();
            found.iter().map(|row| row.and_then(|_| dots.next())).collect()
        };
        self.dots(queries, &rows).into_iter().map(scatter).collect()
    }

    /// The row of a tool, if it has a vector.
    fn row(&self, tool: ToolIdx) -> Option<usize> {
        // Where every tool has a vector, a row stands at its tool's place.
        match self.tools.get(tool.as_usize()) {
            Some(there) if *there == tool => Some(tool.as_usize()),
            _ => self.tools.binary_search(&tool).ok(),
        }
    }

    /// The dot product of each query with each of `rows`; nothing for a query of another length.
    fn dots(&self, queries: &[&[f32]], rows: &[usize]) -> Vec<Vec<f32>> {
        let mut dots = vec![Vec::new(); queries.len()];
        for rows in rows.chunks(4) {
            // Four rows at a time, since memory answers several questions as fast as one.
            let four = std::array::from_fn(|at| &*self.exact[rows[at.min(rows.len() - 1)]]);
            for (query, dots) in queries.iter().zip(&mut dots) {
                if query.len() == self.dims {
                    dots.extend_from_slice(&dot_four(query, four)[..rows.len()]);
                }
            }
        }
        dots
    }

    /// The best `k` rows for each query by their bytes, as positions; none for a query of another
    /// length.
    fn scan(
        &self,
        queries: &[&[f32]],
        k: usize,
        keep: impl Fn(ToolIdx) -> bool,
    ) -> Vec<Vec<Ranked>> {
        let mut scans: Vec<Scan> = queries.iter().map(|query| Scan::of(query, k)).collect();
        if queries.iter().any(|query| query.len() != self.dims) {
            return vec![Vec::new(); queries.len()];
        }
        if let Some(signs) = &self.signs {
            let count = (self.len() / ONE_IN).clamp(SCANNED.0, SCANNED.1);
            let near = signs.nearest(queries, count, |row| keep(self.tools[row]));
            for (scan, rows) in scans.iter_mut().zip(near) {
                for rows in rows.chunks(BLOCK) {
                    scan.add(self, rows.len(), |at| rows[at], |_| true);
                }
            }
        } else {
            for start in (0..self.len()).step_by(BLOCK) {
                let tools = &self.tools[start..self.len().min(start + BLOCK)];
                if tools.iter().any(|tool| keep(*tool)) {
                    for scan in &mut scans {
                        scan.add(self, tools.len(), |at| start + at, |at| keep(tools[at]));
                    }
                }
            }
        }
        scans.into_iter().map(|scan| scan.best.ranked()).collect()
    }
}

/// One query's way through the rows.
struct Scan {
    query: Vec<i8>,
    /// What the rows' [`MIDDLE`] adds to each dot product.
    offset: i32,
    best: Best,
}

impl Scan {
    /// The query's own scale is the same for every row and changes no order.
    fn of(query: &[f32], k: usize) -> Self {
        let largest = query.iter().fold(f32::MIN_POSITIVE, |largest, x| largest.max(x.abs()));
        let to_number = f32::from(kernel::LARGEST) / largest;
        #[expect(clippy::cast_possible_truncation, reason = "within the largest by the factor")]
        let query: Vec<i8> = query.iter().map(|x| (x * to_number).round() as i8).collect();
        let offset = query.iter().map(|number| i32::from(*number) * i32::from(MIDDLE)).sum();
        Self { query, offset, best: Best::above(k, f32::NEG_INFINITY) }
    }

    /// Shows it `count` rows, ascending; `row` gives the row at a place, and `keep` says whether
    /// its tool is wanted.
    fn add(
        &mut self,
        dense: &Dense,
        count: usize,
        row: impl Fn(usize) -> usize,
        keep: impl Fn(usize) -> bool,
    ) {
        let dims = dense.dims;
        let mut dots = [0; BLOCK];
        let bytes = |at| &dense.bytes[row(at) * dims..(row(at) + 1) * dims];
        kernel::dots(&self.query, bytes, &mut dots[..count]);
        let mut scores = [0.0; BLOCK];
        for (at, (score, dot)) in scores[..count].iter_mut().zip(dots).enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "a rough score; the rescore is exact")]
            let dot = (dot - self.offset) as f32;
            *score = dot * dense.scales[row(at)];
        }
        #[expect(clippy::cast_possible_truncation, reason = "a row is a tool's, of 2^32 at most")]
        let position = |at: u32| ToolIdx(row(at as usize) as u32);
        self.best.add_all(&scores[..count], position, |at| keep(at as usize));
    }
}

/// Writes `vector` to `bytes` and returns the scale that brings it back.
#[multiversion(targets("x86_64+avx2", "aarch64+neon"))]
fn to_bytes(vector: &[f32], bytes: &mut [u8]) -> f32 {
    let largest = vector.iter().fold(f32::MIN_POSITIVE, |largest, x| largest.max(x.abs()));
    let scale = largest / 127.0;
    for (byte, x) in bytes.iter_mut().zip(vector) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within 1..=255 by the scale"
        )]
        let number = ((x / scale).round() as i16 + MIDDLE) as u8;
        *byte = number;
    }
    scale
}

/// Sums that are added to in turn: a fixed order, so that a dot product is the same on every
/// machine, and as many as hide how long an addition takes.
const LANES: usize = 16;

/// The dot product.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    dot_four(a, [b, &[], &[], &[]])[0]
}

/// The dot product of `query` with each row.
#[multiversion(targets("x86_64+avx2", "aarch64+neon"))]
fn dot_four(query: &[f32], rows: [&[f32]; 4]) -> [f32; 4] {
    let (head, tail) = query.as_chunks::<LANES>();
    let whole = rows.iter().all(|row| row.len() == query.len());
    let mut lanes = [[0.0_f32; LANES]; 4];
    if whole {
        let (a, b) = (rows[0].as_chunks::<LANES>().0, rows[1].as_chunks::<LANES>().0);
        let (c, d) = (rows[2].as_chunks::<LANES>().0, rows[3].as_chunks::<LANES>().0);
        for ((((query, a), b), c), d) in head.iter().zip(a).zip(b).zip(c).zip(d) {
            for lane in 0..LANES {
                lanes[0][lane] += query[lane] * a[lane];
                lanes[1][lane] += query[lane] * b[lane];
                lanes[2][lane] += query[lane] * c[lane];
                lanes[3][lane] += query[lane] * d[lane];
            }
        }
    } else {
        for (row, lanes) in rows.iter().zip(&mut lanes) {
            for (query, row) in head.iter().zip(row.as_chunks::<LANES>().0) {
                for lane in 0..LANES {
                    lanes[lane] += query[lane] * row[lane];
                }
            }
        }
    }
    std::array::from_fn(|at| {
        let row = rows[at].get(query.len() - tail.len()..).unwrap_or_default();
        let rest: f32 = tail.iter().zip(row).map(|(a, b)| a * b).sum();
        lanes[at].iter().sum::<f32>() + rest
    })
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
        #[test]
        fn four_rows_at_a_time_are_as_one(seed in any::<u64>(), length in 0_usize..100) {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut row = || -> Vec<f32> { (0..length).map(|_| random.f32() - 0.5).collect() };
            let (query, rows) = (row(), [row(), row(), row(), row()]);
            let four = dot_four(&query, rows.each_ref().map(Vec::as_slice));
            for (row, found) in rows.iter().zip(four) {
                prop_assert_eq!(found.to_bits(), dot(&query, row).to_bits());
                let exact: f64 =
                    query.iter().zip(row).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                prop_assert!((f64::from(found) - exact).abs() < 1e-5);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn the_first_ten_are_those_of_f32(seed in any::<u64>(), count in 1_usize..2_000) {
            let rows = vectors(seed, count, 96);
            let dense = Dense::build(rows.iter().cloned().map(Some).collect()).unwrap();
            let query = &vectors(seed ^ 1, 1, 96)[0];
            let wanted = exact_top(&rows, query, 100);
            let found = dense.search(&[query, &rows[0]], 100, |_| true);
            prop_assert_eq!(&found[0][..10.min(count)], &wanted[..10.min(count)]);
            let half = 50.min(count);
            prop_assert!(recall(&found[0][..half], &wanted[..half]) >= 0.98);
            prop_assert_eq!(&found[1], &dense.search(&[&rows[0]], 100, |_| true)[0]);
            prop_assert!(dense.search(&[&[1.0]], 100, |_| true)[0].is_empty(), "of another length");
        }
    }

    #[test]
    fn signs_find_nearly_all_of_many() {
        let rows = vectors(3, 6_000, 100);
        let with = |from| Dense::with_signs_from(rows.iter().cloned().map(Some).collect(), from);
        let (exact, signed) = (with(usize::MAX).unwrap(), with(0).unwrap());
        let mut found = 0.0;
        for query in vectors(4, 40, 100) {
            let keep = |tool: ToolIdx| !tool.0.is_multiple_of(3);
            let [all, some] =
                [exact.search(&[&query], 10, |_| true), exact.search(&[&query], 10, keep)];
            found += recall(&signed.search(&[&query], 10, |_| true)[0], &all[0]);
            found += recall(&signed.search(&[&query], 10, keep)[0], &some[0]);
        }
        // Random vectors in clumps are the worst case; benches/million.rs has those of tools.
        assert!(found >= 72.0, "recall@10 is {}", found / 80.0);
        assert_eq!(
            signed.search(&[&rows[7]], 9, |_| true),
            with(0).unwrap().search(&[&rows[7]], 9, |_| true)
        );
    }

    #[test]
    fn tools_without_a_vector_are_not_found_and_filters_hold() {
        let rows = vectors(7, 30, 64);
        let sparse =
            rows.iter().enumerate().map(|(at, row)| (at % 2 == 0).then(|| row.clone())).collect();
        let dense = Dense::build(sparse).unwrap();
        assert_eq!(dense.len(), 15);
        let found = dense.search(&[&rows[4]], 30, |tool| tool.0 > 3).remove(0);
        assert_eq!(found[0].tool, ToolIdx(4));
        assert!(found.iter().all(|ranked| ranked.tool.0 % 2 == 0 && ranked.tool.0 > 3));
        assert_eq!(found.len(), 13);
        let scores = dense.scores(&[&rows[4], &[0.0]], &[ToolIdx(4), ToolIdx(5), ToolIdx(6)]);
        assert!((scores[0][0].unwrap() - 1.0).abs() < 1e-5 && scores[0][1].is_none());
        assert_eq!(scores[0][2], Some(dot(&rows[4], &rows[6])));
        assert_eq!(scores[1], [None; 3], "of another length");
    }

    #[test]
    fn nothing_to_index_is_no_index() {
        assert!(Dense::build(vec![None, None]).is_none());
    }
}
