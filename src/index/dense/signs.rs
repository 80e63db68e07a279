//! One bit for each number of a vector: a small index that finds candidates among many rows.
//!
//! Vectors are turned by a fixed random rotation first, so that every bit tells as much as any
//! other; the share of equal bits then grows with the cosine (Charikar, "Similarity estimation
//! techniques from rounding algorithms", STOC 2002; that the rotation is what makes one bit a
//! number enough is the finding of `RaBitQ`, Gao and Long, SIGMOD 2024). Invariant: the same rows
//! give the same bits on every machine and in every build, whatever the number of threads.

use std::sync::Arc;

use multiversion::multiversion;
use rayon::prelude::*;

use super::{BLOCK, Best};
use crate::catalog::ToolIdx;

/// Numbers in a block of the Hadamard transform, and bits in a word.
const WORD: usize = 64;
/// Rounds of the rotation: in each, every number meets the 63 others of its block, and after
/// three it has met all others.
const ROUNDS: usize = 3;

/// The signs of a catalog's vectors.
#[derive(Debug)]
pub struct Signs {
    rows: usize,
    /// Words in a row.
    words: usize,
    /// Blocks of [`BLOCK`] rows: the first word of each row, then the second of each, and so on.
    blocks: Vec<u64>,
    rotation: Rotation,
}

impl Signs {
    /// The signs of `rows`, all of one length; on rayon.
    pub fn of(rows: &[Arc<[f32]>]) -> Self {
        let rotation = Rotation::of(rows.first().map_or(0, |row| row.len()));
        let words = rotation.signs.len() / WORD / ROUNDS;
        let mut blocks = vec![0; rows.len().div_ceil(BLOCK) * BLOCK * words];
        let into = blocks.par_chunks_mut((BLOCK * words).max(1));
        into.zip(rows.par_chunks(BLOCK)).for_each(|(block, rows)| {
            for (at, row) in rows.iter().enumerate() {
                for (word, signs) in rotation.signs_of(row).into_iter().enumerate() {
                    block[word * BLOCK + at] = signs;
                }
            }
        });
        Self { rows: rows.len(), words, blocks, rotation }
    }

    /// How many bytes a search reads.
    pub fn bytes(&self) -> usize {
        self.blocks.len() * size_of::<u64>()
    }

    /// For each query the `count` rows with the most signs as it has, of those that `keep` lets
    /// through; ascending.
    pub fn nearest(
        &self,
        queries: &[&[f32]],
        count: usize,
        keep: impl Fn(usize) -> bool,
    ) -> Vec<Vec<usize>> {
        let signs: Vec<Vec<u64>> =
            queries.iter().map(|query| self.rotation.signs_of(query)).collect();
        let mut best: Vec<Best> =
            queries.iter().map(|_| Best::above(count, f32::NEG_INFINITY)).collect();
        let mut equal = [0.0; BLOCK];
        let blocks = self.blocks.chunks((BLOCK * self.words).max(1));
        for (start, block) in (0..self.rows).step_by(BLOCK).zip(blocks) {
            let here = BLOCK.min(self.rows - start);
            if !(start..start + here).any(&keep) {
                continue;
            }
            for (signs, best) in signs.iter().zip(&mut best) {
                count_equal(signs, block, &mut equal);
                #[expect(clippy::cast_possible_truncation, reason = "rows are tools, of 2^32")]
                let position = |at: u32| ToolIdx(start as u32 + at);
                best.add_all(&equal[..here], position, |at| keep(start + at as usize));
            }
        }
        let rows = |best: Best| {
            let mut rows: Vec<usize> =
                best.unordered().into_iter().map(|ranked| ranked.tool.as_usize()).collect();
            rows.sort_unstable();
            rows
        };
        best.into_iter().map(rows).collect()
    }
}

/// How many signs of each row of a block are those of the query, less those that are not.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512vl+avx512vpopcntdq",
    "x86_64+avx2+popcnt",
    "aarch64+neon"
))]
fn count_equal(query: &[u64], block: &[u64], equal: &mut [f32; BLOCK]) {
    let mut other = [0_u64; BLOCK];
    for (query, words) in query.iter().zip(block.as_chunks::<BLOCK>().0) {
        for (other, word) in other.iter_mut().zip(words) {
            *other += u64::from((word ^ query).count_ones());
        }
    }
    for (equal, other) in equal.iter_mut().zip(other) {
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "small")]
        let other = other as u32 as f32;
        *equal = -other;
    }
}

/// A fixed random rotation: rounds of random signs, a Hadamard transform of blocks, and a shuffle
/// (as fast as the transform: no matrix).
#[derive(Debug)]
struct Rotation {
    /// 1 or -1 for each number in each round.
    signs: Vec<f32>,
}

impl Rotation {
    /// Of vectors of this length.
    fn of(dims: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(dims as u64);
        let padded = dims.next_multiple_of(WORD);
        let signs = (0..padded * ROUNDS).map(|_| if random.bool() { 1.0 } else { -1.0 });
        Self { signs: signs.collect() }
    }

    /// The signs of the rotated vector, the first number's in the lowest bit.
    fn signs_of(&self, vector: &[f32]) -> Vec<u64> {
        let padded = self.signs.len() / ROUNDS;
        let mut numbers = vector.to_vec();
        numbers.resize(padded, 0.0);
        let mut shuffled = vec![0.0; padded];
        for signs in self.signs.chunks_exact(padded.max(1)) {
            for (number, sign) in numbers.iter_mut().zip(signs) {
                *number *= sign;
            }
            let (blocks, _) = numbers.as_chunks_mut::<WORD>();
            blocks.iter_mut().for_each(hadamard);
            // Each block of the next round has numbers of all blocks of this one.
            let count = padded / WORD;
            for (at, number) in numbers.iter().enumerate() {
                shuffled[at % WORD * count + at / WORD] = *number;
            }
            std::mem::swap(&mut numbers, &mut shuffled);
        }
        let (blocks, _) = numbers.as_chunks::<WORD>();
        let word = |block: &[f32; WORD]| {
            block.iter().rev().fold(0, |word, number| word << 1 | u64::from(*number > 0.0))
        };
        blocks.iter().map(word).collect()
    }
}

/// The fast Walsh-Hadamard transform, unscaled.
fn hadamard(numbers: &mut [f32; WORD]) {
    let mut half = 1;
    while half < WORD {
        for pair in numbers.chunks_exact_mut(2 * half) {
            let (low, high) = pair.split_at_mut(half);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_rotation_keeps_opposites_and_the_count_is_that_of_a_loop(
            seed in any::<u64>(),
            dims in 1_usize..200,
            count in 1_usize..150,
        ) {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut vector = || -> Arc<[f32]> { (0..dims).map(|_| random.f32() - 0.5).collect() };
            let (query, rows): (_, Vec<_>) = (vector(), (0..count).map(|_| vector()).collect());
            let signs = Signs::of(&rows);
            let of = |row: &[f32]| signs.rotation.signs_of(row);
            let opposite: Vec<f32> = query.iter().map(|x| -x).collect();
            prop_assert!(of(&query).iter().zip(of(&opposite)).all(|(a, b)| *a == !b));

            let differ = |row: usize| -> u32 {
                of(&rows[row]).iter().zip(of(&query)).map(|(a, b)| (a ^ b).count_ones()).sum()
            };
            let mut wanted: Vec<usize> = (0..count).filter(|row| row % 4 != 1).collect();
            wanted.sort_by_key(|row| differ(*row));
            wanted.truncate(20);
            wanted.sort_unstable();
            let found = signs.nearest(&[&query], 20, |row| row % 4 != 1);
            prop_assert_eq!(&found[0], &wanted);
        }
    }
}
