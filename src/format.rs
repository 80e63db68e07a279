//! Tools as hosts and model APIs take them, in as many tokens as there is room for.
//!
//! Invariant: all of it is pure. The same tools, format and budget give the same text; every tool
//! stands in it, under a name that the API takes and that leads back to one tool
//! ([`crate::catalog::names`]); and a tool that is not whole says so.

mod definition;
mod ladder;
mod schema;
mod shape;
pub mod signature;
pub mod tokens;

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalog::Catalog;
use crate::tool::{ContentHash, Tool};

pub use self::definition::definition;
pub use self::ladder::{Budget, Fitted, Rung, fit};
pub use self::shape::{Call, deferred, flattened, join, namespaces, piece};
pub use self::tokens::Family;

/// The shape of a result.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Format {
    /// An array of definitions, as in `tools/list`.
    Mcp,
    /// An array of tools for the Anthropic Messages API.
    Anthropic,
    /// An array of functions for the OpenAI Responses API.
    Openai,
    /// A `tool_result` block of `tool_reference`s: the answer to a custom search tool (Anthropic).
    ToolReference,
    /// A `tool_search_output` item: the answer to a `tool_search_call` (OpenAI).
    ToolSearchOutput,
    /// An array of ids.
    Names,
    /// An array of lines: `server/name(param: type, …) — what it does`.
    Signatures,
}

impl Format {
    /// The model family that takes it, where that can be told.
    pub fn family(self) -> Family {
        match self {
            Self::Anthropic | Self::ToolReference => Family::Anthropic,
            _ => Family::Openai,
        }
    }
}

/// Tools whose tokens are counted to tell those of a whole catalog.
const SAMPLE: usize = 256;

/// How many tokens all tools of `catalog` would be in `format`, as this family counts them. Of a
/// large one it is told from every so-manieth tool, by the length of the definitions.
pub fn baseline(catalog: &Catalog, format: Format, family: Family) -> usize {
    let tools = catalog.tools();
    let step = tools.len().div_ceil(SAMPLE).max(1);
    let (mut tokens, mut bytes) = (0, 0);
    for tool in tools.iter().step_by(step) {
        tokens += size(catalog, tool, format);
        bytes += tool.definition.get().len();
    }
    let all: usize = tools.iter().map(|tool| tool.definition.get().len()).sum();
    let scaled = if step == 1 { tokens } else { scale(tokens, all, bytes) };
    family.tokens(scaled)
}

/// How many tokens of o200k a tool of `catalog` is in `format`, whole.
pub fn size(catalog: &Catalog, tool: &Tool, format: Format) -> usize {
    // By content, so that the next generation counts only what it has anew.
    let key = format!("{format:?} {} {:?}", tool.id, tool.hash);
    tokens::count_as(ContentHash::of(&key), || piece(format, catalog, tool, Rung::Full))
}

/// `count · all / part`.
fn scale(count: usize, all: usize, part: usize) -> usize {
    let scaled = count as u128 * all as u128 / (part as u128).max(1);
    usize::try_from(scaled).unwrap_or(usize::MAX)
}

/// What stands beside the id of a tool that is not whole.
pub fn reduced(rung: Rung) -> Option<String> {
    rung.told().map(|told| format!("{told}: get_tool returns it whole"))
}

#[cfg(test)]
mod tests;
