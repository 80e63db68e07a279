//! `[auth]`.
//!
//! Invariant: who may ask is said here or nobody is asked; no secret is kept in the clear.

use serde::{Deserialize, Serialize};

use super::load::Section;

/// `[auth]`.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAuth {}

/// Who may ask, and how they show it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AuthConfig {}

/// Checks the section.
pub(super) fn resolve(_raw: RawAuth, _section: &mut Section<'_>) -> AuthConfig {
    AuthConfig {}
}

/// The section as it was resolved, for `config check`: no secret is in it.
pub(super) fn shown(_config: &AuthConfig) -> RawAuth {
    RawAuth {}
}
