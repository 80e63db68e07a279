//! `GET /v1/me`: as whom somebody was let in, so that a page can tell them, and offer nothing that they
//! would be refused.
//!
//! Invariant: it tells its caller of the caller alone, and the same whether there are tenants or not.

use axum::Extension;
use axum::extract::RawQuery;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;

use super::http::{Params, json};
use super::problem::Problem;
use crate::access::caller::{Caller, Proof, Scope};

/// Who asks.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Me {
    /// As in logs: a key's id, a token's subject, a certificate's name; `null` of nobody in particular.
    name: Option<String>,
    /// What they may do.
    scopes: Vec<Scope>,
    /// The only view that they see.
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
}

/// `GET /v1/me`
pub async fn me(
    caller: Option<Extension<Caller>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Params::parse(query.as_deref(), &[])?;
    let caller = caller.map_or_else(Caller::anonymous, |caller| caller.0);
    Ok(json(&Me {
        name: (caller.proof != Proof::None).then(|| caller.name.to_string()),
        scopes: caller.scopes.iter().collect(),
        profile: caller.profile.map(|profile| profile.to_string()),
    }))
}
