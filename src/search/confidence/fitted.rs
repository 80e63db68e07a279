//! Written by `scripts/fit_confidence.py`; fit again when an arm or the encoder changes.

/// Constant, cosine, coverage, length, named.
pub const HYBRID: [f32; 5] = [-6.204, 5.923, 2.823, 0.520, 3.646];
/// The same where there is no vector.
pub const LEXICAL: [f32; 5] = [-6.024, 0.000, 7.078, 1.054, 2.916];
/// An answer of which no tool reaches this has no good match.
pub const NO_GOOD_MATCH: f32 = 0.034;
/// The same where there is no vector.
pub const NO_GOOD_MATCH_LEXICAL: f32 = 0.045;
