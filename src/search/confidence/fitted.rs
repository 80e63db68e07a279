//! Written by `scripts/fit_confidence.py`; fit again when an arm or the encoder changes.

/// Constant, cosine, root of the coverage, length, named.
pub const HYBRID: [f32; 5] = [-5.974, 5.681, 2.271, 0.143, 4.949];
/// The same where there is no vector.
pub const LEXICAL: [f32; 5] = [-6.604, 0.000, 6.268, 0.491, 4.260];
/// An answer of which no tool reaches this has no good match.
pub const NO_GOOD_MATCH: f32 = 0.036;
/// The same where there is no vector.
pub const NO_GOOD_MATCH_LEXICAL: f32 = 0.042;
