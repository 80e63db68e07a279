//! Written by `scripts/fit_confidence.py`; fit again when an arm or the encoder changes.

/// Constant, cosine, root of the coverage, length, named.
pub const HYBRID: [f32; 5] = [-6.538, 4.971, 2.538, 0.689, 5.005];
/// The same where there is no vector.
pub const LEXICAL: [f32; 5] = [-8.556, 0.000, 7.504, 1.414, 4.338];
/// An answer of which no tool reaches this has no good match.
pub const NO_GOOD_MATCH: f32 = 0.042;
/// The same where there is no vector.
pub const NO_GOOD_MATCH_LEXICAL: f32 = 0.048;
