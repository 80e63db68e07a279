//! A call of a tool, and what it came to.
//!
//! Invariant: a result is written as the bytes that its server sent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The body of `POST /v1/call`: `id` and `arguments`, or one of the forms that models mistake them
/// for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct CallRequest(
    #[schemars(with = "CallSchema")] pub serde_json::Map<String, serde_json::Value>,
);

/// A call of a tool.
#[derive(JsonSchema)]
#[schemars(rename = "Call", deny_unknown_fields)]
#[expect(dead_code, reason = "a schema alone: a call is read in more forms than this one")]
struct CallSchema {
    /// The tool's id (`server/name`), or its name where that is the only one.
    id: String,
    /// Its arguments, by the inputSchema of its definition.
    #[schemars(default)]
    arguments: serde_json::Map<String, serde_json::Value>,
    /// The profile in whose view the tool is; without it any tool may be.
    #[schemars(default)]
    profile: Option<String>,
}

/// What a call came to at the tool's server.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CallAnswer<'a> {
    /// What was called.
    pub id: &'a str,
    /// The server that answered.
    pub server: &'a str,
    /// The result as it sent it, an error of the tool included (`isError`).
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub result: &'a RawValue,
}
