//! Written by `scripts/fit_confidence.py`, which says on what it was fitted.

pub const HYBRID: [f32; 6] = [-4.0, 4.0, 3.0, 0.0, 0.5, 1.0];
pub const LEXICAL: [f32; 5] = [-3.0, 4.0, 0.0, 0.5, 1.0];
pub const NO_GOOD_MATCH: f32 = 0.2;
