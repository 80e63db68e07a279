//! `[audit]`.
//!
//! Invariant: nothing is written unless it is asked for.

use serde::{Deserialize, Serialize};

use super::load::Section;

/// `[audit]`.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAudit {}

/// What is kept of who did what.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AuditConfig {}

/// Checks the section.
pub(super) fn resolve(_raw: RawAudit, _section: &mut Section<'_>) -> AuditConfig {
    AuditConfig {}
}

/// The section as it was resolved, for `config check`: no secret is in it.
pub(super) fn shown(_config: &AuditConfig) -> RawAudit {
    RawAudit {}
}
