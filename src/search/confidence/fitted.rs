//! Written by `scripts/fit_confidence.py`; fit again when an arm or the encoder changes.

/// Constant, cosine, root of the coverage, length, named.
pub const HYBRID: [f32; 5] = [-6.662, 4.584, 3.063, 0.686, 4.873];
/// The same where there is no vector.
pub const LEXICAL: [f32; 5] = [-8.527, 0.000, 7.484, 1.400, 4.341];
/// An answer of which no tool reaches this has no good match.
pub const NO_GOOD_MATCH: f32 = 0.029;
/// The same where there is no vector.
pub const NO_GOOD_MATCH_LEXICAL: f32 = 0.037;
