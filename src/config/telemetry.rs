//! `[telemetry]`.
//!
//! Invariant: nothing leaves the machine unless an endpoint is named.

use serde::{Deserialize, Serialize};

use super::load::Section;

/// `[telemetry]`.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTelemetry {}

/// What is told of requests, and where to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TelemetryConfig {}

/// Checks the section.
pub(super) fn resolve(_raw: RawTelemetry, _section: &mut Section<'_>) -> TelemetryConfig {
    TelemetryConfig {}
}

/// The section as it was resolved, for `config check`: no secret is in it.
pub(super) fn shown(_config: &TelemetryConfig) -> RawTelemetry {
    RawTelemetry {}
}
