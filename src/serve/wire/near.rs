//! What a tool is shown with when more is asked for: the tools that say nearly the same, and what
//! makes it hard to find or to use.
//!
//! Invariant: all of it follows from the tools of the caller's view.

use schemars::JsonSchema;
use serde::Serialize;

use crate::catalog::ToolIdx;
use crate::index::{Index, neighbours};
use crate::lint::{Finding, Level, Rule};

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

/// Something that makes a tool hard to find or to use.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Lint {
    /// The rule that it breaks.
    pub rule: Rule,
    /// How bad that is.
    pub level: Level,
    /// What was found, in words.
    pub what: String,
}

impl From<Finding> for Lint {
    fn from(finding: Finding) -> Self {
        Self { rule: finding.rule, level: finding.level, what: finding.message }
    }
}
