//! The body of a request to the Messages API: `mcp_servers`, and an `mcp_toolset` of `tools` for
//! each, which says what of it is enabled.
//!
//! Invariant: a tool is enabled by its own entry of `configs`, else by `default_config`, else it
//! is. `defer_loading` is about a model's context and means nothing here.

use serde_json::{Map, Value};

use super::super::error::{Place, Problem};
use super::super::raw::RawServer;
use super::Told;
use super::fields::Fields;

/// The servers, each with what its toolset allows.
pub(super) fn read(
    body: &Map<String, Value>,
    place: &Place,
    told: &mut Told<'_>,
) -> Vec<(String, Place, RawServer)> {
    let listed = body.get("mcp_servers").and_then(Value::as_array);
    let mut servers = Vec::new();
    for (position, value) in listed.into_iter().flatten().enumerate() {
        let at = place.at(&position.to_string());
        let Some(mut fields) = Fields::of(value, &at, told) else { continue };
        if let Some(kind) = fields.text(&["type"]).filter(|kind| kind != "url") {
            fields.error("type", Problem::UnknownType(kind));
        }
        let name = fields.text(&["name"]).unwrap_or_default();
        let raw = RawServer {
            url: fields.text(&["url"]),
            bearer_token: fields.text(&["authorization_token"]),
            // Until a toolset names it.
            enabled: Some(false),
            ..RawServer::default()
        };
        if !fields.is_wrong {
            servers.push((name, at, raw));
        }
    }
    let tools = body.get("tools").and_then(Value::as_array);
    let is_toolset =
        |tool: &&Value| tool.get("type").and_then(Value::as_str) == Some("mcp_toolset");
    let (mut named, mut broken) = (Vec::new(), Vec::new());
    for (position, value) in tools.into_iter().flatten().enumerate() {
        if !is_toolset(&value) {
            continue;
        }
        let at = place.sibling("tools").at(&position.to_string());
        let Some(mut fields) = Fields::of(value, &at, told) else { continue };
        let name = fields.text(&["mcp_server_name"]).unwrap_or_default();
        let Some((_, _, server)) = servers.iter_mut().find(|(id, ..)| *id == name) else {
            fields.error("mcp_server_name", Problem::NoServer(name));
            continue;
        };
        if named.contains(&name) {
            fields.error("mcp_server_name", Problem::SecondToolset(name.clone()));
            broken.push(name);
            continue;
        }
        apply(&mut fields, server);
        // What was meant to be allowed is not known.
        if fields.is_wrong {
            broken.push(name.clone());
        }
        named.push(name);
    }
    for (id, at, _) in servers.iter().filter(|(id, ..)| !named.contains(id)) {
        told.warnings.push(at.error(Problem::NoToolset(id.clone())));
    }
    servers.retain(|(id, ..)| !broken.contains(id));
    servers
}

/// Sets what a toolset allows and denies.
fn apply(fields: &mut Fields<'_, '_>, server: &mut RawServer) {
    let enabled_in = |config: &Map<String, Value>| match config.get("enabled") {
        None | Some(Value::Null) => Some(None),
        Some(Value::Bool(enabled)) => Some(Some(*enabled)),
        Some(_) => None,
    };
    let mut wrong = Vec::new();
    let by_default = match fields.table("default_config").map(enabled_in) {
        None | Some(Some(None)) => true,
        Some(Some(Some(enabled))) => enabled,
        Some(None) => {
            wrong.push("default_config");
            true
        }
    };
    let mut others = Vec::new();
    for (tool, config) in fields.table("configs").into_iter().flatten() {
        match config.as_object().and_then(enabled_in) {
            Some(Some(enabled)) if enabled != by_default => others.push(globset::escape(tool)),
            Some(_) => {}
            None => wrong.push("configs"),
        }
    }
    for key in wrong {
        let expected = "expected a table with a boolean `enabled`, found another value";
        fields.error(key, Problem::WrongType(expected.into()));
    }
    server.enabled = None;
    if by_default {
        server.deny = Some(others).filter(|names| !names.is_empty());
    } else {
        server.allow = Some(others);
    }
}
