//! A tool that says nearly the same as another.
//!
//! Invariant: it is one of the caller's view.

use schemars::JsonSchema;
use serde::Serialize;

use crate::catalog::ToolIdx;
use crate::index::{Index, neighbours};

/// A near-duplicate.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NearTool {
    /// Its id.
    pub id: String,
    /// The share of words that both have in names, descriptions and parameters; 1 of the same tool
    /// on another server.
    pub share: f32,
}

impl NearTool {
    /// Those of the tool at this position, the likest first.
    pub fn of(index: &Index, tool: ToolIdx) -> Vec<Self> {
        let near = neighbours::near(index, tool).into_iter();
        let one = |it: crate::index::Ranked| Self {
            id: index.catalog.tool(it.tool).id.to_string(),
            share: it.score,
        };
        near.map(one).collect()
    }
}
