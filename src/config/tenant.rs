//! `[tenants.NAME]`.
//!
//! Invariant: a tenant has nothing in common with another but the process.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::load::Section;

/// `[tenants.NAME]`.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTenant {}

/// A tenant.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TenantConfig {}

/// Checks the section.
pub(super) fn resolve(
    raw: BTreeMap<String, RawTenant>,
    _section: &mut Section<'_>,
) -> BTreeMap<String, TenantConfig> {
    raw.into_keys().map(|name| (name, TenantConfig::default())).collect()
}

/// The section as it was resolved, for `config check`: nothing of it is secret.
pub(super) fn shown(tenants: &BTreeMap<String, TenantConfig>) -> BTreeMap<&str, RawTenant> {
    tenants.keys().map(|name| (name.as_str(), RawTenant {})).collect()
}
