//! Written by `scripts/fit_confidence.py`; fit again when an arm or the encoder changes.

/// Constant, cosine, root of the coverage, length, named.
pub const HYBRID: [f32; 5] = [-6.419, 7.203, 0.978, 0.089, 4.878];
/// The same where there is no vector.
pub const LEXICAL: [f32; 5] = [-6.590, 0.000, 6.255, 0.489, 4.259];
/// An answer of which no tool reaches this has no good match.
pub const NO_GOOD_MATCH: f32 = 0.046;
/// The same where there is no vector.
pub const NO_GOOD_MATCH_LEXICAL: f32 = 0.043;
