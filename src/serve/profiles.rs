//! `GET /v1/admin/profiles`: what each profile shows at the moment.
//!
//! Invariant: under the token, since it tells of all of them.

use axum::extract::State;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;

use super::admin::Admin;
use super::http::json;
use crate::access::view::View;
use crate::format::{Family, Format};
use crate::tool::ToolId;

/// Every profile.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProfileList {
    /// The generation that they show.
    generation: u64,
    /// Ordered by name.
    profiles: Vec<KnownProfile>,
}

/// A profile, and what it comes to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct KnownProfile {
    /// Its name.
    name: String,
    /// Servers with a tool in it.
    servers: usize,
    /// Tools in it.
    tools: usize,
    /// Tools that have a vector.
    embedded: usize,
    /// Tools that every answer has.
    #[schemars(with = "Vec<String>")]
    pinned: Vec<ToolId>,
    /// How many tools, where a request does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
    /// The shape of answers, where a request does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format>,
    /// The tokens that the tools of an answer may take, where a request does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_budget: Option<usize>,
    /// The models whose tokens are counted, where a request does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<Family>,
    /// Tool calls at one time.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_concurrent_calls: Option<usize>,
    /// What it says that can't be done at the moment: a line each.
    warnings: Vec<String>,
}

impl From<&View> for KnownProfile {
    fn from(view: &View) -> Self {
        let (profile, catalog) = (&view.profile, &view.index.catalog);
        let pinned = view.index.emphasis.pinned.iter();
        let defaults = profile.defaults.clone();
        Self {
            name: profile.name.to_string(),
            servers: catalog.servers().filter(|server| !server.tools.is_empty()).count(),
            tools: catalog.len(),
            embedded: view.index.embedded(),
            pinned: pinned.map(|tool| catalog.tool(*tool).id.clone()).collect(),
            limit: defaults.limit,
            format: defaults.format,
            token_budget: defaults.token_budget,
            family: defaults.family,
            max_concurrent_calls: profile.limits.concurrent_calls,
            warnings: view.warnings.clone(),
        }
    }
}

/// `GET /v1/admin/profiles`
pub async fn list(State(admin): State<Admin>) -> Response {
    let generation = admin.live.status().generation;
    let views = admin.live.views();
    json(&ProfileList {
        generation,
        profiles: views.values().map(|view| (&**view).into()).collect(),
    })
}
