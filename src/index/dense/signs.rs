//! One bit for each number of a vector: a small index that finds candidates among many rows.
//!
//! Vectors are turned by a fixed random rotation first, so that every bit tells as much as any
//! other; the share of equal bits then grows with the cosine (Charikar, "Similarity estimation
//! techniques from rounding algorithms", STOC 2002; that the rotation is what makes one bit a
//! number enough is the finding of `RaBitQ`, Gao and Long, SIGMOD 2024). A third of the bits says
//! which rows the others are read of.
//!
//! Invariant: the same rows give the same bits on every machine and in every build, whatever the
//! number of threads.

use std::cmp::Ordering;

use multiversion::multiversion;
use rayon::prelude::*;

use super::rows::Rows;
use super::{BLOCK, kernel};
use crate::catalog::ToolIdx;

/// Numbers in a block of the Hadamard transform, and bits in a word.
const WORD: usize = 64;
/// Rounds of the rotation: in each, every number meets the 63 others of its block, and after
/// three it has met all others.
const ROUNDS: usize = 3;

/// Words of a row that are read first. They are enough to leave out most rows, and reading them is
/// what takes the time.
const HEAD: usize = 2;
/// Of so many rows one is read to its end, …
const READ: usize = 16;
/// … and at least so many for each that is wanted, …
const READ_FOR_ONE: usize = 4;
/// … and so many in all.
const READ_ANYWAY: usize = 4_096;
/// Of so many blocks one tells how near the nearest are.
const SAMPLED: usize = 16;

/// The signs of a catalog's vectors.
#[derive(Debug)]
pub struct Signs {
    rows: usize,
    /// Words of a head and of a tail.
    words: (usize, usize),
    /// Blocks of [`BLOCK`] rows: the first word of each row, then the second of each.
    heads: Vec<u64>,
    /// The other words, row by row.
    tails: Vec<u64>,
    rotation: Rotation,
}

/// A row, and how many of its signs are not those of the query.
#[derive(Debug, Clone, Copy)]
struct Near {
    differ: u16,
    row: u32,
}

impl Signs {
    /// The signs of `rows`: those of the row of `earlier` that `known` names, else what its vector
    /// has; on rayon.
    pub fn fill(rows: &Rows, known: &[Option<ToolIdx>], earlier: Option<&Self>) -> Self {
        let rotation = Rotation::of(rows.dims());
        let signs_of = |row: usize| match (known[row], earlier) {
            (Some(there), Some(earlier)) => earlier.row(there.as_usize()),
            _ => rotation.signs_of(&rows.vector(row)),
        };
        let signs: Vec<Vec<u64>> = (0..rows.len()).into_par_iter().map(signs_of).collect();
        let head = rotation.words().min(HEAD);
        let mut heads = vec![0; rows.len().next_multiple_of(BLOCK) * head];
        let mut tails = Vec::with_capacity(rows.len() * (rotation.words() - head));
        for (row, signs) in signs.iter().enumerate() {
            for (word, signs) in signs[..head].iter().enumerate() {
                heads[(row / BLOCK * head + word) * BLOCK + row % BLOCK] = *signs;
            }
            tails.extend_from_slice(&signs[head..]);
        }
        let words = (head, rotation.words() - head);
        Self { rows: rows.len(), words, heads, tails, rotation }
    }

    /// How many bytes a search reads of all rows.
    pub fn bytes(&self) -> usize {
        self.heads.len() * size_of::<u64>()
    }

    /// For each query the `count` rows with the most signs as it has, of those that `keep` lets
    /// through and whose heads are near; ascending.
    pub fn nearest(
        &self,
        queries: &[&[f32]],
        count: usize,
        keep: impl Fn(usize) -> bool,
    ) -> Vec<Vec<usize>> {
        let signs: Vec<Vec<u64>> =
            queries.iter().map(|query| self.rotation.signs_of(query)).collect();
        let starts: Vec<usize> = (0..self.rows)
            .step_by(BLOCK)
            .filter(|start| (*start..self.rows.min(start + BLOCK)).any(&keep))
            .collect();
        let limits: Vec<u8> =
            signs.iter().map(|signs| self.limit(signs, count, &starts, &keep)).collect();
        let mut found: Vec<Vec<Near>> = vec![Vec::new(); queries.len()];
        for start in starts {
            for ((signs, limit), found) in signs.iter().zip(&limits).zip(&mut found) {
                let differ = self.differ(signs, start);
                for at in each_bit(within(&differ, *limit)) {
                    if start + at < self.rows && keep(start + at) {
                        #[expect(clippy::cast_possible_truncation, reason = "a row is a tool's")]
                        let row = (start + at) as u32;
                        found.push(Near { differ: differ[at].into(), row });
                    }
                }
            }
        }
        for (signs, found) in signs.iter().zip(&mut found) {
            read_tails(&signs[self.words.0..], &self.tails, found);
        }
        found.iter().map(|found| first(found, count)).collect()
    }

    /// How many signs of a head may not be those of the query, for enough rows to be read to
    /// their end.
    fn limit(
        &self,
        signs: &[u64],
        count: usize,
        starts: &[usize],
        keep: impl Fn(usize) -> bool,
    ) -> u8 {
        let mut sampled = [0_usize; 256];
        for start in starts.iter().step_by(SAMPLED) {
            for (row, differ) in (*start..self.rows).zip(self.differ(signs, *start)) {
                sampled[usize::from(differ)] += usize::from(keep(row));
            }
        }
        let all: usize = sampled.iter().sum();
        let enough = (all / READ).max(READ_ANYWAY.max(READ_FOR_ONE * count) / SAMPLED);
        reaching(&sampled, enough).and_then(|limit| u8::try_from(limit).ok()).unwrap_or(u8::MAX)
    }

    /// How many signs of each head of the block at `start` are not those of the query.
    fn differ(&self, signs: &[u64], start: usize) -> [u8; BLOCK] {
        let head = self.words.0;
        count_differing(&signs[..head], &self.heads[start * head..(start + BLOCK) * head])
    }

    /// The words of a row.
    fn row(&self, row: usize) -> Vec<u64> {
        let (head, tail) = self.words;
        let place = |word| (row / BLOCK * head + word) * BLOCK + row % BLOCK;
        let heads = (0..head).map(|word| self.heads[place(word)]);
        heads.chain(self.tails[row * tail..(row + 1) * tail].iter().copied()).collect()
    }
}

/// The least value that, with those below it, has been counted `enough` times.
fn reaching(counts: &[usize], enough: usize) -> Option<usize> {
    let mut so_far = 0;
    counts.iter().position(|count| {
        so_far += count;
        so_far >= enough
    })
}

/// The `count` rows that differ least, ascending; of those that differ alike the first.
fn first(found: &[Near], count: usize) -> Vec<usize> {
    let most = found.iter().map(|near| usize::from(near.differ)).max().unwrap_or(0);
    let mut counts = vec![0_usize; most + 1];
    for near in found {
        counts[usize::from(near.differ)] += 1;
    }
    let limit = reaching(&counts, count).unwrap_or(usize::MAX);
    let closer: usize = counts.iter().take(limit).sum();
    let mut at_limit = count.saturating_sub(closer);
    let wanted = |near: &&Near| match usize::from(near.differ).cmp(&limit) {
        Ordering::Less => true,
        Ordering::Equal if at_limit > 0 => {
            at_limit -= 1;
            true
        }
        _ => false,
    };
    found.iter().filter(wanted).map(|near| near.row as usize).collect()
}

fn each_bit(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = bits.trailing_zeros() as usize;
        bits &= bits.wrapping_sub(1);
        (at < WORD).then_some(at)
    })
}

/// A bit for each number that is `limit` at most.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2", "aarch64+neon"))]
fn within(numbers: &[u8; BLOCK], limit: u8) -> u64 {
    /// Brings the lowest bits of eight bytes side by side into the highest byte.
    const TOGETHER: u64 = 0x0102_0408_1020_4080;
    let bits = numbers.map(|number| u8::from(number <= limit));
    let (bytes, _) = bits.as_chunks::<8>();
    let byte = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes).wrapping_mul(TOGETHER) >> 56;
    bytes.iter().rev().fold(0, |bits, bytes| bits << 8 | byte(bytes))
}

/// How many signs of each head of a block are not those of the query.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512vl+avx512vpopcntdq",
    "x86_64+avx2+popcnt",
    "aarch64+neon"
))]
fn count_differing(query: &[u64], block: &[u64]) -> [u8; BLOCK] {
    let mut differ = [0_u64; BLOCK];
    for (query, words) in query.iter().zip(block.as_chunks::<BLOCK>().0) {
        for (differ, word) in differ.iter_mut().zip(words) {
            *differ += u64::from((word ^ query).count_ones());
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "a head has 128 bits")]
    let differ = differ.map(|differ| differ as u8);
    differ
}

/// Adds how many signs of the rows' tails are not those of the query.
#[multiversion(targets("x86_64+avx2+popcnt", "aarch64+neon"))]
fn read_tails(query: &[u64], tails: &[u64], found: &mut [Near]) {
    /// So many rows ahead memory is asked for one.
    const AHEAD: usize = 16;
    let tail = |near: &Near| &tails[near.row as usize * query.len()..][..query.len()];
    for at in 0..found.len() {
        if let Some(later) = found.get(at + AHEAD) {
            kernel::prefetch(tail(later));
        }
        let differ = query.iter().zip(tail(&found[at])).map(|(a, b)| (a ^ b).count_ones());
        #[expect(clippy::cast_possible_truncation, reason = "few bits")]
        let differ = differ.sum::<u32>() as u16;
        found[at].differ += differ;
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

    /// Words of a row.
    fn words(&self) -> usize {
        self.signs.len() / WORD / ROUNDS
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
    use crate::embed::cache::Vector;

    proptest! {
        #[test]
        fn a_rotation_keeps_opposites_and_the_count_is_that_of_a_loop(
            seed in any::<u64>(),
            dims in 1_usize..200,
            count in 1_usize..150,
        ) {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut vector = || -> Vector { (0..dims).map(|_| random.f32() - 0.5).collect() };
            let (query, vectors): (_, Vec<_>) = (vector(), (0..count).map(|_| vector()).collect());
            let unknown = vec![None; count];
            let rows = Rows::fill(dims, &unknown, None, |at| Some(vectors[at.as_usize()].clone()));
            let signs = Signs::fill(&rows, &unknown, None);
            let of = |row: &[f32]| signs.rotation.signs_of(row);
            let opposite: Vec<f32> = query.iter().map(|x| -x).collect();
            prop_assert!(of(&query).iter().zip(of(&opposite)).all(|(a, b)| *a == !b));

            let differ = |row: usize| -> u32 {
                of(&rows.vector(row)).iter().zip(of(&query)).map(|(a, b)| (a ^ b).count_ones()).sum()
            };
            let mut wanted: Vec<usize> = (0..count).filter(|row| row % 4 != 1).collect();
            wanted.sort_by_key(|row| differ(*row));
            wanted.truncate(20);
            wanted.sort_unstable();
            let found = signs.nearest(&[&query], 20, |row| row % 4 != 1);
            prop_assert_eq!(&found[0], &wanted);

            let same: Vec<Option<ToolIdx>> = (0..).map(ToolIdx).take(count).map(Some).collect();
            let again = Signs::fill(&rows, &same, Some(&signs));
            prop_assert_eq!((again.heads, again.tails), (signs.heads, signs.tails));
        }
    }
}
