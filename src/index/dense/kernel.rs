//! Dot products of a query with many rows of bytes: the inner loop of the scan.
//!
//! Invariant: integer arithmetic that can't overflow, so every way to compute it gives the same
//! numbers on every machine (a property test compares them). The scan takes hardly longer than
//! reading the same bytes and nothing else, and the loop that the compiler makes of the scalar
//! twin longer than both (`benches/search.rs`, `dense-exact` and `dense-floor`).
#![expect(unsafe_code, reason = "AVX2 is there only on some machines, which is asked at run time")]

/// The largest number of a query: two products with a byte of a row must fit in 16 bits, since
/// AVX2 adds them up there.
pub const LARGEST: i8 = 63;

/// Writes the dot products of `query` with rows to `dots`, in order; `row` gives the row of each
/// place. Query numbers are within ±[`LARGEST`]; a row has as many bytes as the query numbers.
pub fn dots<'a>(query: &[i8], row: impl Fn(usize) -> &'a [u8], dots: &mut [i32]) {
    debug_assert!(query.iter().all(|number| number.unsigned_abs() <= LARGEST.unsigned_abs()));
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has AVX2.
        return unsafe { avx2(query, row, dots) };
    }
    scalar(query, row, dots);
}

/// Asks memory for a row that is soon to be read: rows that stand apart are otherwise waited for
/// one after the other.
#[inline]
pub fn prefetch<T>(row: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for line in row.chunks(64 / size_of::<T>()) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 has SSE, and a prefetch reads nothing that a program can see.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
}

/// The same in plain code.
pub fn scalar<'a>(query: &[i8], row: impl Fn(usize) -> &'a [u8], dots: &mut [i32]) {
    for (at, dot) in dots.iter_mut().enumerate() {
        *dot = plain(query, row(at));
    }
}

#[inline]
fn plain(query: &[i8], row: &[u8]) -> i32 {
    query.iter().zip(row).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2<'a>(query: &[i8], row: impl Fn(usize) -> &'a [u8], dots: &mut [i32]) {
    use std::arch::x86_64::{
        __m128i, __m256i, _mm_add_epi32, _mm_storeu_si128, _mm256_add_epi32,
        _mm256_castsi256_si128, _mm256_extracti128_si256, _mm256_hadd_epi32, _mm256_loadu_si256,
        _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_set1_epi16, _mm256_setzero_si256,
    };
    const BYTES: usize = 32;
    /// Rows at a time: what is read of the query serves them all, and so does the last addition.
    const ROWS: usize = 4;

    // In-line, since the rows' closure makes a copy of this function where it is called from.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn load<T>(bytes: &[T; BYTES]) -> __m256i {
        const { assert!(size_of::<T>() == 1) };
        // SAFETY: there are 32 bytes, which an unaligned load may read.
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn add(sum: __m256i, query: __m256i, row: &[u8; BYTES]) -> __m256i {
        let products = _mm256_maddubs_epi16(load(row), query);
        _mm256_add_epi32(sum, _mm256_madd_epi16(products, _mm256_set1_epi16(1)))
    }

    let (head, tail) = query.as_chunks::<BYTES>();
    let (fours, rest) = dots.as_chunks_mut::<ROWS>();
    let alone = fours.len() * ROWS;
    for (four, dots) in fours.iter_mut().enumerate() {
        let rows =
            [row(four * ROWS), row(four * ROWS + 1), row(four * ROWS + 2), row(four * ROWS + 3)];
        let (a, b) = (rows[0].as_chunks::<BYTES>().0, rows[1].as_chunks::<BYTES>().0);
        let (c, d) = (rows[2].as_chunks::<BYTES>().0, rows[3].as_chunks::<BYTES>().0);
        let mut sums = [_mm256_setzero_si256(); ROWS];
        for ((((query, a), b), c), d) in head.iter().zip(a).zip(b).zip(c).zip(d) {
            let query = load(query);
            sums = [
                add(sums[0], query, a),
                add(sums[1], query, b),
                add(sums[2], query, c),
                add(sums[3], query, d),
            ];
        }
        let sum = _mm256_hadd_epi32(
            _mm256_hadd_epi32(sums[0], sums[1]),
            _mm256_hadd_epi32(sums[2], sums[3]),
        );
        let sum = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
        #[expect(clippy::cast_ptr_alignment, reason = "the store is one for unaligned places")]
        // SAFETY: `dots` are four numbers of 32 bits, which an unaligned store may write.
        unsafe {
            _mm_storeu_si128(dots.as_mut_ptr().cast::<__m128i>(), sum);
        }
        if !tail.is_empty() {
            for (at, dot) in dots.iter_mut().enumerate() {
                *dot += plain(tail, rows[at].as_chunks::<BYTES>().1);
            }
        }
    }
    scalar(query, |at| row(alone + at), rest);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_way_gives_the_same_numbers(seed in any::<u64>(), length in 1_usize..130, count in 0_usize..10) {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut query: Vec<i8> = (0..length).map(|_| random.i8(-LARGEST..=LARGEST)).collect();
            let mut rows: Vec<u8> = (0..length * count).map(|_| random.u8(..)).collect();
            if seed % 2 == 0 {
                // The largest products that there are.
                query.fill(LARGEST);
                rows.fill(u8::MAX);
            }
            let (mut fast, mut twin) = (vec![0; count], vec![0; count]);
            let row = |at: usize| &rows[at * length..(at + 1) * length];
            dots(&query, row, &mut fast);
            scalar(&query, row, &mut twin);
            prop_assert_eq!(&fast, &twin);
            let product = |(a, b): (&i8, &u8)| i64::from(*a) * i64::from(*b);
            let naive = |row: &[u8]| query.iter().zip(row).map(product).sum::<i64>();
            let wanted: Vec<i64> = rows.chunks(length).map(naive).collect();
            prop_assert_eq!(twin.into_iter().map(i64::from).collect::<Vec<_>>(), wanted);
        }
    }
}
