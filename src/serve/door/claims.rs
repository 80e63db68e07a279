//! What the claims of a token that counts make of its holder.
//!
//! Invariant: only what the configuration maps gives anything: a scope that is not named gives no
//! right, and where a profile or tenant is to be said and is not, nobody is let in.

use serde_json::{Map, Value};

use super::Denied;
use crate::access::caller::{Caller, Proof};
use crate::config::{IssuerConfig, Mapped};

/// Characters of a subject that are kept.
const LONGEST: usize = 200;

/// What was read of a token.
pub(super) type Claims = Map<String, Value>;

/// Whoever these claims are of.
pub(super) fn caller(issuer: &IssuerConfig, claims: &Claims) -> Result<Caller, Denied> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let named = ["sub", "client_id", "azp"].into_iter().find_map(text).unwrap_or("unnamed");
    let plain: String = named.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    // Subjects of two issuers may have the same name.
    let host = issuer.at.host_str().unwrap_or_default();
    let scopes = granted(claims).filter_map(|name| issuer.scopes.get(name).copied()).collect();
    Ok(Caller {
        name: format!("token:{plain}@{host}").into(),
        proof: Proof::Token,
        scopes,
        profile: place(issuer.profile.as_ref(), claims)?.map(Into::into),
        tenant: place(issuer.tenant.as_ref(), claims)?.map(Into::into),
        ..Caller::anonymous()
    })
}

/// `scope` as RFC 9068 has it, `scp` as others do.
fn granted(claims: &Claims) -> impl Iterator<Item = &str> {
    let values = ["scope", "scp"].into_iter().filter_map(|name| claims.get(name));
    values.flat_map(texts).flat_map(str::split_ascii_whitespace)
}

/// A text, or the texts of a list.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The profile or tenant that a claim says.
fn place(mapped: Option<&Mapped>, claims: &Claims) -> Result<Option<String>, Denied> {
    let Some(Mapped { claim, values }) = mapped else { return Ok(None) };
    let said = if let Some(pointer) = claim.strip_prefix('/') {
        let (first, rest) = pointer.split_once('/').unwrap_or((pointer, ""));
        let rest = if rest.is_empty() { String::new() } else { format!("/{rest}") };
        claims.get(first).and_then(|value| value.pointer(&rest))
    } else {
        claims.get(claim)
    };
    let said = said.map(texts).unwrap_or_default();
    let found: Vec<String> = if values.is_empty() {
        said.into_iter().map(str::to_owned).collect()
    } else {
        said.into_iter().filter_map(|value| values.get(value).cloned()).collect()
    };
    // Of several it is not for us to choose.
    match &found[..] {
        [one] => Ok(Some(one.clone())),
        _ => Err(Denied::Unplaced),
    }
}
