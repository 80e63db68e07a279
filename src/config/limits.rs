//! `[limits]`.
//!
//! Invariant: every bound has a default that holds without a word in the file.

use serde::{Deserialize, Serialize};

use super::load::Section;

/// `[limits]`.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLimits {}

/// How much is served, to whom, how fast.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LimitsConfig {}

/// Checks the section.
pub(super) fn resolve(_raw: RawLimits, _section: &mut Section<'_>) -> LimitsConfig {
    LimitsConfig {}
}

/// The section as it was resolved, for `config check`: no secret is in it.
pub(super) fn shown(_config: &LimitsConfig) -> RawLimits {
    RawLimits {}
}
