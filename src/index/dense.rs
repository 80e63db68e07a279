//! Vectors, searched in steps of one bit, eight, and 16 bits a number.
//!
//! A scan of bytes finds the best rows, and their whole vectors put them in order. Of very many
//! rows only those are scanned that have the most signs as the query has. Invariant: vectors are
//! unit length, so a dot product is a cosine; the same vectors are ranked alike on every machine
//! and in every build; and of fewer than [`SIGNS_FROM`] rows the first ten are those of an f32
//! search (held by a property test: a byte's error is far below what parts the tenth from the
//! hundredth).

mod kernel;
mod rows;
mod signs;

use multiversion::multiversion;

use self::rows::{MIDDLE, Rows};
use self::signs::Signs;
use super::{Best, Ranked, top_k};
use crate::catalog::ToolIdx;
use crate::embed::cache::Vector;

/// Rows scored at a time: they stay in the first-level cache for the next query.
const BLOCK: usize = 64;

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
    rows: Rows,
    /// How many of the rows are a vector's.
    count: usize,
    /// The rows' signs, if they are many.
    signs: Option<Signs>,
}

impl Dense {
    /// An index of these vectors, in the order of the catalog's tools and of one length; `None` if
    /// there is none.
    pub fn build(vectors: &[Option<Vector>]) -> Option<Self> {
        Self::with_signs_from(vectors, SIGNS_FROM)
    }

    /// As [`Dense::build`], with the signs of `signs_from` rows and more.
    pub fn with_signs_from(vectors: &[Option<Vector>], signs_from: usize) -> Option<Self> {
        let dims = vectors.iter().flatten().next()?.len();
        let known = vec![None; vectors.len()];
        Self::of(dims, &known, None, signs_from, |tool| vectors[tool.as_usize()].clone())
    }

    /// An index of `known.len()` tools with vectors of `dims` numbers: each tool's is the one that
    /// the tool which it names has in `earlier`, else what `vector` gives; on rayon.
    pub fn updated(
        dims: usize,
        known: &[Option<ToolIdx>],
        earlier: Option<&Self>,
        vector: impl Fn(ToolIdx) -> Option<Vector> + Sync,
    ) -> Option<Self> {
        let earlier = earlier.filter(|earlier| earlier.rows.dims() == dims);
        Self::of(dims, known, earlier, SIGNS_FROM, vector)
    }

    fn of(
        dims: usize,
        known: &[Option<ToolIdx>],
        earlier: Option<&Self>,
        signs_from: usize,
        vector: impl Fn(ToolIdx) -> Option<Vector> + Sync,
    ) -> Option<Self> {
        // A tool that had no vector then may have one now.
        let had = |tool: ToolIdx| earlier.filter(|earlier| earlier.has(tool)).map(|_| tool);
        let known: Vec<Option<ToolIdx>> = known.iter().map(|tool| tool.and_then(had)).collect();
        let rows = Rows::fill(dims, &known, earlier.map(|earlier| &earlier.rows), vector);
        let count = (0..rows.len()).filter(|row| rows.has(*row)).count();
        let signs = (count >= signs_from.max(1)).then(|| {
            Signs::fill(&rows, &known, earlier.and_then(|earlier| earlier.signs.as_ref()))
        });
        (count > 0).then_some(Self { rows, count, signs })
    }

    /// The length of a vector.
    pub fn dims(&self) -> usize {
        self.rows.dims()
    }

    /// How many tools have a vector.
    pub fn len(&self) -> usize {
        self.count
    }

    /// No tool has a vector.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The tool has a vector.
    pub fn has(&self, tool: ToolIdx) -> bool {
        tool.as_usize() < self.rows.len() && self.rows.has(tool.as_usize())
    }

    /// The tool's vector, if it has one.
    pub fn vector(&self, tool: ToolIdx) -> Option<Vec<f32>> {
        self.has(tool).then(|| self.rows.vector(tool.as_usize()))
    }

    /// How many bytes a search reads of every row.
    pub fn scanned_bytes(&self) -> usize {
        self.signs.as_ref().map_or(self.rows.high_bytes(), Signs::bytes)
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
            let mut tools: Vec<ToolIdx> = found.into_iter().map(|ranked| ranked.tool).collect();
            // In the order of memory.
            tools.sort_unstable();
            for tool in &tools {
                self.rows.ask_for_rest(tool.as_usize());
            }
            let scores = self.dots(&[query], &tools).into_iter().flatten();
            let exact = tools.iter().zip(scores);
            top_k(exact.map(|(tool, score)| Ranked { tool: *tool, score }).collect(), k)
        };
        queries.iter().zip(scanned).map(rescore).collect()
    }

    /// The exact scores of tools for each of several unit vectors; `None` for a tool without one.
    pub fn scores(&self, queries: &[&[f32]], tools: &[ToolIdx]) -> Vec<Vec<Option<f32>>> {
        let known: Vec<ToolIdx> = tools.iter().copied().filter(|tool| self.has(*tool)).collect();
        let scatter = |dots: Vec<f32>| {
            let mut dots = dots.into_iter();
            tools.iter().map(|tool| if self.has(*tool) { dots.next() } else { None }).collect()
        };
        self.dots(queries, &known).into_iter().map(scatter).collect()
    }

    /// The dot product of each query with each tool's vector; nothing for a query of another
    /// length.
    fn dots(&self, queries: &[&[f32]], tools: &[ToolIdx]) -> Vec<Vec<f32>> {
        let mut dots = vec![Vec::with_capacity(tools.len()); queries.len()];
        for tools in tools.chunks(4) {
            // Four rows at a time, since memory answers several questions as fast as one.
            let four = std::array::from_fn(|at| tools[at.min(tools.len() - 1)].as_usize());
            for (query, dots) in queries.iter().zip(&mut dots) {
                if query.len() == self.rows.dims() {
                    dots.extend_from_slice(&self.rows.dots(query, four)[..tools.len()]);
                }
            }
        }
        dots
    }

    /// The best `k` tools for each query by their high bytes; none for a query of another length.
    fn scan(
        &self,
        queries: &[&[f32]],
        k: usize,
        keep: impl Fn(ToolIdx) -> bool,
    ) -> Vec<Vec<Ranked>> {
        let mut scans: Vec<Scan> = queries.iter().map(|query| Scan::of(query, k)).collect();
        if queries.iter().any(|query| query.len() != self.rows.dims()) {
            return vec![Vec::new(); queries.len()];
        }
        let whole = self.count == self.rows.len();
        let keep = |row| keep(tool(row)) && (whole || self.rows.has(row));
        if let Some(signs) = &self.signs {
            let count = (self.count / ONE_IN).clamp(SCANNED.0, SCANNED.1);
            let near = signs.nearest(queries, count, keep);
            for (scan, rows) in scans.iter_mut().zip(near) {
                let mut next = rows.chunks(BLOCK);
                let mut ask =
                    || next.next().into_iter().flatten().for_each(|row| self.rows.ask(*row));
                ask();
                for rows in rows.chunks(BLOCK) {
                    ask();
                    scan.add(&self.rows, rows.len(), |at| rows[at], |_| true);
                }
            }
        } else {
            for start in (0..self.rows.len()).step_by(BLOCK) {
                let count = BLOCK.min(self.rows.len() - start);
                if (start..start + count).any(keep) {
                    for scan in &mut scans {
                        scan.add(&self.rows, count, |at| start + at, |at| keep(start + at));
                    }
                }
            }
        }
        scans.into_iter().map(|scan| scan.best.ranked()).collect()
    }
}

/// Whose row it is.
#[expect(clippy::cast_possible_truncation, reason = "a row is a tool's, of 2^32 at most")]
fn tool(row: usize) -> ToolIdx {
    ToolIdx(row as u32)
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
        rows: &Rows,
        count: usize,
        row: impl Fn(usize) -> usize,
        keep: impl Fn(usize) -> bool,
    ) {
        let mut dots = [0; BLOCK];
        kernel::dots(&self.query, |at| rows.high(row(at)), &mut dots[..count]);
        let mut scores = [0.0; BLOCK];
        for (at, (score, dot)) in scores[..count].iter_mut().zip(dots).enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "a rough score; the rescore is exact")]
            let dot = (dot - self.offset) as f32;
            *score = dot * rows.scale(row(at));
        }
        let position = |at: u32| tool(row(at as usize));
        self.best.add_all(&scores[..count], position, |at| keep(at as usize));
    }
}

/// Sums that are added to in turn: a fixed order, so that a dot product is the same on every
/// machine, and as many as hide how long an addition takes.
const LANES: usize = 16;

/// The dot product.
#[multiversion(targets("x86_64+avx2", "aarch64+neon"))]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut lanes = [0.0_f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_tail.iter().zip(b_tail).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f32>() + rest
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
    pub fn vectors(seed: u64, count: usize, dims: usize) -> Vec<Vector> {
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

    fn some(rows: &[Vector]) -> Vec<Option<Vector>> {
        rows.iter().cloned().map(Some).collect()
    }

    pub fn recall(found: &[Ranked], wanted: &[Ranked]) -> f64 {
        let hits = found.iter().filter(|f| wanted.iter().any(|w| w.tool == f.tool)).count();
        f64::from(u32::try_from(hits).unwrap()) / f64::from(u32::try_from(wanted.len()).unwrap())
    }

    pub fn exact_top(rows: &[Vector], query: &[f32], k: usize) -> Vec<Ranked> {
        let scored = (0_u32..)
            .zip(rows)
            .map(|(tool, row)| Ranked { tool: ToolIdx(tool), score: dot(query, row) });
        top_k(scored.collect(), k)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn the_first_ten_are_those_of_f32(seed in any::<u64>(), count in 1_usize..2_000) {
            let rows = vectors(seed, count, 96);
            let dense = Dense::build(&some(&rows)).unwrap();
            let query = &vectors(seed ^ 1, 1, 96)[0];
            let wanted = exact_top(&rows, query, 100);
            let found = dense.search(&[query, &rows[0]], 100, |_| true);
            for (found, wanted) in found[0].iter().zip(&wanted).take(10) {
                // The same tool, or one that is as near to some millionths.
                let real = dot(query, &rows[found.tool.as_usize()]);
                prop_assert!((real - wanted.score).abs() < 3e-5, "{found:?} for {wanted:?}");
                prop_assert!((real - found.score).abs() < 3e-5);
            }
            let half = 50.min(count);
            prop_assert!(recall(&found[0][..half], &wanted[..half]) >= 0.98);
            prop_assert_eq!(&found[1], &dense.search(&[&rows[0]], 100, |_| true)[0]);
            prop_assert!(dense.search(&[&[1.0]], 100, |_| true)[0].is_empty(), "of another length");
        }
    }

    #[test]
    fn signs_find_nearly_all_of_many() {
        let rows = vectors(3, 6_000, 100);
        let with = |from| Dense::with_signs_from(&some(&rows), from);
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
        let sparse: Vec<_> =
            rows.iter().enumerate().map(|(at, row)| (at % 2 == 0).then(|| row.clone())).collect();
        let dense = Dense::build(&sparse).unwrap();
        assert_eq!(dense.len(), 15);
        let found = dense.search(&[&rows[4]], 30, |tool| tool.0 > 3).remove(0);
        assert_eq!(found[0].tool, ToolIdx(4));
        assert!(found.iter().all(|ranked| ranked.tool.0 % 2 == 0 && ranked.tool.0 > 3));
        assert_eq!(found.len(), 13);
        let scores = dense.scores(&[&rows[4], &[0.0]], &[ToolIdx(4), ToolIdx(5), ToolIdx(6)]);
        assert!((scores[0][0].unwrap() - 1.0).abs() < 1e-5 && scores[0][1].is_none());
        assert!((scores[0][2].unwrap() - dot(&rows[4], &rows[6])).abs() < 1e-5);
        assert_eq!(scores[1], [None; 3], "of another length");
    }

    #[test]
    fn nothing_to_index_is_no_index() {
        assert!(Dense::build(&[None, None]).is_none());
    }

    #[test]
    fn an_update_is_as_building_anew() {
        let mut rows: Vec<Option<Vector>> = some(&vectors(9, 90, 64));
        rows[3] = None;
        let with = |rows: &[Option<Vector>]| Dense::with_signs_from(rows, 1).unwrap();
        let earlier = with(&rows);
        // The first ten go, the fourth of the rest is another, and one that had none has one.
        let known: Vec<Option<ToolIdx>> =
            (10..90).chain([3]).map(ToolIdx).map(|tool| (tool.0 != 13).then_some(tool)).collect();
        let new = vectors(10, 2, 64);
        rows[13] = Some(new[0].clone());
        rows.drain(..10);
        rows.push(Some(new[1].clone()));
        let vector = |tool: ToolIdx| match tool.0 {
            3 => Some(new[0].clone()),
            80 => Some(new[1].clone()),
            other => unreachable!("{other} is known"),
        };
        let updated = Dense::of(64, &known, Some(&earlier), 1, vector).unwrap();
        let anew = with(&rows);
        assert_eq!(updated.len(), 81);
        for query in vectors(11, 5, 64) {
            let find = |dense: &Dense| dense.search(&[&query], 100, |_| true);
            assert_eq!(find(&updated), find(&anew));
        }
    }
}
