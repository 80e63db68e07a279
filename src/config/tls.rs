//! `[tls]`.
//!
//! Invariant: a certificate without its key, or the other way round, is an error.

use serde::{Deserialize, Serialize};

use super::load::Section;

/// `[tls]`.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTls {}

/// The certificates that are listened with.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TlsConfig {}

/// Checks the section.
pub(super) fn resolve(_raw: RawTls, _section: &mut Section<'_>) -> TlsConfig {
    TlsConfig {}
}

/// The section as it was resolved, for `config check`: no secret is in it.
pub(super) fn shown(_config: &TlsConfig) -> RawTls {
    RawTls {}
}
