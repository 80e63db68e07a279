//! A catalog's vectors at 16 bits a number, in two halves: a scan reads the high bytes alone, and
//! both put in order what it found.
//!
//! Half the memory of f32, and an error of a cosine of a few millionths. Invariant: row `t` is
//! tool `t`'s, and the same vectors are the same rows on every machine; a tool without a vector
//! has a scale of zero, and no vector has.

use multiversion::multiversion;
use rayon::prelude::*;

use super::{LANES, kernel};
use crate::catalog::ToolIdx;
use crate::embed::cache::Vector;

/// What is added to a high byte so that it has no sign.
pub const MIDDLE: i16 = 128;
/// What a high byte is worth in low ones.
const HIGH: i32 = 256;
/// The largest number of a row: 127 high ones.
const LARGEST: f32 = 32_512.0;

/// Rows of one length.
#[derive(Debug)]
pub struct Rows {
    dims: usize,
    high: Vec<u8>,
    low: Vec<i8>,
    /// What a row's numbers are multiplied by.
    scales: Vec<f32>,
}

impl Rows {
    /// A row for each of `known`: the one that it names of `earlier`, else what `vector` gives of
    /// its tool; on rayon.
    pub fn fill(
        dims: usize,
        known: &[Option<ToolIdx>],
        earlier: Option<&Self>,
        vector: impl Fn(ToolIdx) -> Option<Vector> + Sync,
    ) -> Self {
        let mut rows = Self {
            dims,
            high: vec![0; dims * known.len()],
            low: vec![0; dims * known.len()],
            scales: vec![0.0; known.len()],
        };
        let halves = (rows.high.par_chunks_exact_mut(dims.max(1)))
            .zip(rows.low.par_chunks_exact_mut(dims.max(1)));
        let places = (0..known.len()).into_par_iter().zip(rows.scales.par_iter_mut());
        places.zip(halves).for_each(|((at, scale), (high, low))| {
            if let (Some(there), Some(earlier)) = (known[at], earlier) {
                let (its_high, its_low, its_scale) = earlier.row(there.as_usize());
                high.copy_from_slice(its_high);
                low.copy_from_slice(its_low);
                *scale = its_scale;
                return;
            }
            #[expect(clippy::cast_possible_truncation, reason = "a row is a tool's, of 2^32")]
            let vector = vector(ToolIdx(at as u32));
            if let Some(vector) = vector.filter(|vector| vector.len() == dims) {
                *scale = write(&vector, high, low);
            }
        });
        rows
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.scales.len()
    }

    /// The length of a row.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// The row is a vector's.
    pub fn has(&self, row: usize) -> bool {
        self.scales[row] > 0.0
    }

    /// The high bytes of a row, each with [`MIDDLE`] added to it.
    pub fn high(&self, row: usize) -> &[u8] {
        &self.high[row * self.dims..(row + 1) * self.dims]
    }

    /// Says that the high bytes of a row are read soon.
    pub fn ask(&self, row: usize) {
        kernel::prefetch(self.high(row));
    }

    /// Says that what the high bytes leave is read soon.
    pub fn ask_for_rest(&self, row: usize) {
        kernel::prefetch(self.halves(row).1);
    }

    /// What the numbers of a row are multiplied by.
    pub fn scale(&self, row: usize) -> f32 {
        self.scales[row]
    }

    /// How many bytes the high halves of all rows are.
    pub fn high_bytes(&self) -> usize {
        self.high.len()
    }

    /// The vector of a row.
    pub fn vector(&self, row: usize) -> Vec<f32> {
        let (high, low, scale) = self.row(row);
        high.iter().zip(low).map(|(high, low)| number(*high, *low) * scale).collect()
    }

    /// The dot products of `query`, which has their length, with four rows.
    pub fn dots(&self, query: &[f32], rows: [usize; 4]) -> [f32; 4] {
        let mut dots = dot_four(query, rows.map(|row| self.halves(row)));
        for (dot, row) in dots.iter_mut().zip(rows) {
            *dot *= self.scales[row];
        }
        dots
    }

    fn halves(&self, row: usize) -> (&[u8], &[i8]) {
        let range = row * self.dims..(row + 1) * self.dims;
        (&self.high[range.clone()], &self.low[range])
    }

    fn row(&self, row: usize) -> (&[u8], &[i8], f32) {
        let (high, low) = self.halves(row);
        (high, low, self.scales[row])
    }
}

#[inline]
fn number(high: u8, low: i8) -> f32 {
    let number = (i32::from(high) - i32::from(MIDDLE)) * HIGH + i32::from(low);
    #[expect(clippy::cast_precision_loss, reason = "16 bits")]
    let number = number as f32;
    number
}

/// Writes `vector` to its row and returns the scale that brings it back.
#[multiversion(targets("x86_64+avx2", "aarch64+neon"))]
fn write(vector: &[f32], high: &mut [u8], low: &mut [i8]) -> f32 {
    let largest = vector.iter().fold(f32::MIN_POSITIVE, |largest, x| largest.max(x.abs()));
    for ((high, low), x) in high.iter_mut().zip(low).zip(vector) {
        #[expect(clippy::cast_possible_truncation, reason = "16 bits, by the largest")]
        let number = (x / largest * LARGEST).round() as i32;
        // The nearest, so that the high bytes alone lean to neither side.
        let nearest = (number + HIGH / 2).div_euclid(HIGH);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within ±127, and what is left within -128..=127"
        )]
        {
            *high = (nearest + i32::from(MIDDLE)) as u8;
            *low = (number - nearest * HIGH) as i8;
        }
    }
    largest / LARGEST
}

/// The dot products of `query` with four rows, before their scales.
#[multiversion(targets("x86_64+avx2", "aarch64+neon"))]
fn dot_four(query: &[f32], rows: [(&[u8], &[i8]); 4]) -> [f32; 4] {
    let (head, tail) = query.as_chunks::<LANES>();
    rows.map(|(high, low)| {
        let ((high, high_tail), (low, low_tail)) =
            (high.as_chunks::<LANES>(), low.as_chunks::<LANES>());
        let mut lanes = [0.0_f32; LANES];
        for ((query, high), low) in head.iter().zip(high).zip(low) {
            for lane in 0..LANES {
                lanes[lane] += query[lane] * number(high[lane], low[lane]);
            }
        }
        let rest = tail.iter().zip(high_tail).zip(low_tail);
        let rest: f32 = rest.map(|((x, high), low)| x * number(*high, *low)).sum();
        lanes.iter().sum::<f32>() + rest
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filled(vectors: &[Option<Vector>]) -> Rows {
        let dims = vectors.iter().flatten().next().map_or(0, |vector| vector.len());
        let known = vec![None; vectors.len()];
        Rows::fill(dims, &known, None, |tool| vectors[tool.as_usize()].clone())
    }

    proptest! {
        #[test]
        fn rows_are_the_vectors_to_16_bits(
            vectors in (1_usize..80).prop_flat_map(|dims| prop::collection::vec(
                prop::option::of(prop::collection::vec(-1.0_f32..1.0, dims)), 1..8)),
        ) {
            let vectors: Vec<Option<Vector>> =
                vectors.into_iter().map(|vector| vector.map(Into::into)).collect();
            let rows = filled(&vectors);
            for (at, vector) in vectors.iter().enumerate() {
                prop_assert_eq!(rows.has(at), vector.is_some());
                let Some(vector) = vector else { continue };
                let largest = vector.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
                for (there, x) in rows.vector(at).iter().zip(&**vector) {
                    prop_assert!((there - x).abs() <= largest / 60_000.0, "{there} is {x}");
                }
                for (byte, x) in rows.high(at).iter().zip(&**vector) {
                    let high = f32::from(i16::from(*byte) - MIDDLE) * 256.0 * rows.scale(at);
                    prop_assert!((high - x).abs() <= largest / 250.0, "{high} is {x}");
                }
                let dots = rows.dots(vector, [at; 4]);
                let naive: f64 = rows.vector(at).iter().zip(&**vector)
                    .map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                prop_assert!(dots.iter().all(|dot| (f64::from(*dot) - naive).abs() < 1e-4));
            }

            // Taken over from earlier ones, the other way round.
            let mut known: Vec<Option<ToolIdx>> =
                (0..).map(ToolIdx).take(vectors.len()).map(Some).collect();
            known.reverse();
            let turned = Rows::fill(rows.dims(), &known, Some(&rows), |_| unreachable!("known"));
            for at in 0..rows.len() {
                prop_assert_eq!(turned.row(at), rows.row(rows.len() - 1 - at));
            }
        }
    }

    #[test]
    fn the_largest_and_nothing_are_rows_too() {
        let rows = filled(&[Some([1.0, -1.0, 0.5].into()), Some([0.0; 3].into())]);
        assert_eq!(rows.vector(0), [1.0, -1.0, 0.5]);
        assert!(rows.has(1) && rows.vector(1) == [0.0; 3]);
    }
}
