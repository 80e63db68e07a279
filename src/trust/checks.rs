//! What is odd in a definition, found in its own bytes alone.
//!
//! Invariant: the same bytes give the same findings in every run of a release; [`VERSION`] grows
//! whenever other findings may come of some bytes.

use schemars::JsonSchema;
use serde::Serialize;
use wincode::{SchemaRead, SchemaWrite};

use super::policy::Rule;
use crate::tool::Tool;

/// Which checks these are.
pub const VERSION: u32 = 1;
/// Findings of one definition that are kept.
const MOST_FINDINGS: usize = 8;

/// Something odd in a definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, SchemaWrite, SchemaRead)]
pub struct Finding {
    /// The rule that it breaks.
    pub rule: Rule,
    /// Worth knowing and mostly harmless: never a reason to hold the tool back.
    pub note: bool,
    /// What it is, as a sentence about the tool.
    pub what: String,
    /// Where, as a JSON pointer into the definition.
    pub pointer: String,
    /// The place itself, with what can't be seen written out.
    pub excerpt: String,
}

/// What is found in a definition.
pub fn inspect(tool: &Tool) -> Vec<Finding> {
    let mut found = Vec::new();
    let _ = tool;
    found.truncate(MOST_FINDINGS);
    found
}

/// Text with what can't be seen written out.
pub fn visible(text: &str) -> String {
    text.chars().flat_map(char::escape_default).collect()
}
