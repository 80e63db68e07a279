//! What is odd in a definition, found in its own bytes alone.
//!
//! Invariant: the same bytes give the same findings in every run of a release; [`VERSION`] grows
//! whenever other findings may come of some bytes.

pub mod hidden;
pub mod injection;
pub mod strings;

use std::ops::Range;

use schemars::JsonSchema;
use serde::Serialize;
use wincode::{SchemaRead, SchemaWrite};

use super::policy::Rule;
use crate::text::stuffing;
use crate::tool::{ContentHash, Tool};

/// Which checks these are.
pub const VERSION: u32 = 2;
/// Findings of one definition that are kept; of notes no more than this are ever held.
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
    /// Where, as a JSON pointer into the definition; of a very long one the beginning, which points
    /// at what the place is in.
    pub pointer: String,
    /// The place itself, with what can't be seen written out.
    pub excerpt: String,
}

/// What is found in a definition.
pub fn inspect(tool: &Tool) -> Vec<Finding> {
    let json = tool.definition.get();
    // Escapes may write anything.
    let writes = |escape| json.contains(escape);
    let is_plain = json.is_ascii() && !["\\u", "\\b", "\\f"].into_iter().any(writes);
    let may_order = !is_plain || injection::is_possible(json);
    let mut found: Vec<Finding> = Vec::new();
    strings::each(json, |string| {
        let mut find = |rule, note, what: &str, at: &Range<usize>| {
            // Of one kind of thing in many places the first. Definitions may be made to have very
            // many, each with a long pointer: what is not kept is not written out.
            let is_known = |f: &Finding| f.rule == rule && f.note == note && f.what == what;
            let alike = found.iter().filter(|finding| finding.note == note).count();
            if alike >= MOST_FINDINGS || found.iter().any(is_known) {
                return;
            }
            let (pointer, excerpt) = (string.pointer(), excerpt(&string.text, at));
            found.push(Finding { rule, note, what: what.into(), pointer, excerpt });
        };
        if may_order {
            for order in injection::find(&string.text, string.is_name()) {
                find(Rule::Injection, order.note, order.what, &order.at);
            }
        }
        if !is_plain {
            for hidden in hidden::find(&string.text) {
                find(Rule::HiddenText, hidden.note, &hidden.what, &hidden.at);
            }
        }
        if string.is_prose()
            && let Some(at) = stuffing::find(&string.text)
        {
            find(Rule::Stuffing, false, "says the same few words over and over", &at);
        }
    });
    worst(found)
}

/// The worst of them, in the order of the definition.
fn worst(mut found: Vec<Finding>) -> Vec<Finding> {
    if found.len() > MOST_FINDINGS {
        found.sort_by_key(|finding| finding.note);
        found.truncate(MOST_FINDINGS);
    }
    found
}

/// A piece of `text` around a place, with what can't be seen written out.
fn excerpt(text: &str, at: &Range<usize>) -> String {
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

/// How a tool's description begins, as a hash of its first words; 0 where it has only a few.
pub fn said(tool: &Tool) -> u64 {
    const FIRST: usize = 8;
    const LEAST: usize = 5;
    let view = tool.view();
    let description = view.description.as_deref().unwrap_or("");
    let words = description.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let first: Vec<String> = words.take(FIRST).map(str::to_lowercase).collect();
    if first.len() < LEAST {
        return 0;
    }
    let hash = ContentHash::of(&first.join(" "));
    hash.0.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)).max(1)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// `keys` nested under one name of `name` bytes, each a text with something hidden in it.
    fn hostile(name: usize, keys: usize) -> (Tool, serde_json::Value) {
        let members: Vec<String> = (0..keys)
            .map(|key| {
                let written: String = format!("{key:05}")
                    .chars()
                    .filter_map(|c| char::from_u32(0xE0000 + u32::from(c)))
                    .collect();
                format!(r#""{key}":"a{written}""#)
            })
            .collect();
        let (name, members) = ("n".repeat(name), members.join(","));
        let json = format!(r#"{{"name":"x","{name}":{{{members}}}}}"#);
        (Tool::parse(&"s".into(), &json).unwrap(), serde_json::from_str(&json).unwrap())
    }

    #[test]
    fn a_definition_made_to_be_found_fault_with_takes_little_memory() {
        // Each of these texts is another thing to tell, and the pointer to each has a megabyte:
        // all of them together would be 20 GB.
        let (tool, json) = hostile(1 << 20, 20_000);
        let found = inspect(&tool);
        assert_eq!(found.len(), MOST_FINDINGS);
        for finding in &found {
            assert!(finding.pointer.len() <= strings::MOST_POINTER, "{}", finding.pointer.len());
            assert!(json.pointer(&finding.pointer).is_some(), "{}", finding.pointer);
        }
        assert!(found[0].what.contains("00000") && found[7].what.contains("00007"), "{found:?}");
    }

    #[test]
    fn of_one_kind_of_thing_the_first_place_is_told() {
        let notes: Vec<String> = (0..20).map(|n| format!("\"a{n}\":\"\u{E000}\"")).collect();
        let notes = notes.join(",");
        let json = format!(r#"{{"name":"x",{notes},"y":"a\u202eb","z":"c\u202ed"}}"#);
        let found = inspect(&Tool::parse(&"s".into(), &json).unwrap());
        let rows: Vec<_> = found.iter().map(|f| (f.note, f.pointer.as_str())).collect();
        assert_eq!(rows, [(true, "/a0"), (false, "/y")]);
    }
}
