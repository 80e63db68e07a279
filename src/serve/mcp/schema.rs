//! Schemas of our own tools, their arguments and their results.
//!
//! Invariant: a schema stands alone, and says what is read and written.

use std::sync::Arc;

use rmcp::model::{CallToolResult, JsonObject, ToolAnnotations};
use rmcp::service::{RequestContext, RoleServer};
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::raw;

/// A schema that every client can read and no longer than it must be: nothing to look up
/// elsewhere, no formats of Rust's own, and no word of null (what is absent is left out, and a
/// null in the arguments is taken as absent).
pub(super) fn schema_of<T: JsonSchema>(mut settings: SchemaSettings) -> Arc<JsonObject> {
    settings.meta_schema = None;
    settings.inline_subschemas = true;
    let mut schema = settings
        .with_transform(RecursiveTransform(|schema: &mut Schema| {
            schema.remove("format");
            if schema.get("default").is_some_and(Value::is_null) {
                schema.remove("default");
            }
            if let Some(Value::Array(kinds)) = schema.get_mut("type") {
                kinds.retain(|kind| kind != "null");
                if let [kind] = &mut kinds[..] {
                    let kind = kind.take();
                    schema.insert("type".into(), kind);
                }
            }
        }))
        .into_generator()
        .into_root_schema_for::<T>();
    schema.remove("title");
    schema.remove("description");
    Arc::new(schema.as_object().cloned().unwrap_or_default())
}

pub(super) fn read_only() -> ToolAnnotations {
    ToolAnnotations::default().read_only(true).idempotent(true).open_world(false)
}

pub(super) fn read<T: DeserializeOwned>(
    arguments: Option<JsonObject>,
    usage: &str,
) -> Result<T, String> {
    serde_json::from_value(Value::Object(arguments.unwrap_or_default()))
        .map_err(|error| format!("the arguments can't be read: {error}; {usage}"))
}

pub(super) fn structured(
    result: &impl Serialize,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResult, String> {
    let failed = |error: serde_json::Error| {
        tracing::error!(%error, "a tool result could not be written as JSON");
        "toolscout failed on this call: its log has the reason".to_owned()
    };
    raw::result(serde_json::to_string(result).map_err(failed)?, context)
        .or_else(|text| serde_json::from_str(&text).map(CallToolResult::structured).map_err(failed))
}
