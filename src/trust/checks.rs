//! What is odd in a definition, found in its own bytes alone.
//!
//! Invariant: the same bytes give the same findings in every run of a release; [`VERSION`] grows
//! whenever other findings may come of some bytes.

pub mod hidden;
pub mod strings;

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
    let json = tool.definition.get();
    let mut found: Vec<Finding> = Vec::new();
    // Escapes may write anything.
    if !json.is_ascii() || json.contains("\\u") {
        strings::each(json, |string| {
            for hidden in hidden::find(&string.text) {
                found.push(Finding {
                    rule: Rule::HiddenText,
                    note: hidden.note,
                    what: hidden.what,
                    pointer: string.pointer(),
                    excerpt: excerpt(&string.text, &hidden.at),
                });
            }
        });
    }
    worst(found)
}

/// The worst of them, in the order of the definition; of one kind of thing in many places the first.
fn worst(mut found: Vec<Finding>) -> Vec<Finding> {
    let mut seen = std::collections::HashSet::new();
    found.retain(|finding| seen.insert((finding.rule, finding.note, finding.what.clone())));
    if found.len() > MOST_FINDINGS {
        found.sort_by_key(|finding| finding.note);
        found.truncate(MOST_FINDINGS);
    }
    found
}

/// A piece of `text` around a place, with what can't be seen written out.
fn excerpt(text: &str, at: &std::ops::Range<usize>) -> String {
    const AROUND: usize = 40;
    const MOST: usize = 160;
    let start = text.floor_char_boundary(at.start.saturating_sub(AROUND));
    let end = text.ceil_char_boundary((at.end.min(at.start + MOST) + AROUND).min(text.len()));
    let mut shown = String::new();
    if start > 0 {
        shown.push('…');
    }
    shown += &visible(&text[start..end]);
    if end < text.len() {
        shown.push('…');
    }
    shown
}

/// Text with what can't be seen written out.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let is_odd =
            c.is_control() || hidden::is_unseen(c) || ('\u{E000}'..='\u{F8FF}').contains(&c);
        match c {
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            c if is_odd => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// The lines of a text, each as [`visible`] shows it.
pub fn visible_lines(text: &str) -> Vec<String> {
    text.lines().map(visible).collect()
}
