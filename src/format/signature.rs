//! A tool on one line: `server/name(param: type, other?: type) — what it does`.
//!
//! Invariant: one line of printable characters, whatever the definition holds.

use std::collections::BTreeSet;

use serde_json::value::RawValue;

use crate::tool::{Members, Tool};

/// The longest sentence.
pub const MAX_SENTENCE: usize = 160;
/// The longest type; a longer one is `any`.
const MAX_TYPE: usize = 80;

/// `server/name(param: type, …)`.
pub(super) fn call(tool: &Tool) -> String {
    let members = Members::of(&tool.definition);
    let schema = members.and_then(|tool| Members::of(tool.get("inputSchema")?));
    let get = |key| schema.as_ref().and_then(|schema| schema.get(key));
    let required: BTreeSet<String> =
        get("required").and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let params = get("properties").and_then(Members::of).map_or(Vec::new(), |all| all.0);
    let params: Vec<String> = params
        .into_iter()
        .map(|(name, schema)| {
            let optional = if required.contains(&*name) { "" } else { "?" };
            format!("{}{optional}: {}", on_one_line(&name), kind(schema))
        })
        .collect();
    format!("{}({})", on_one_line(tool.id.as_str()), params.join(", "))
}

/// The type of a parameter, in a word or two.
fn kind(schema: &RawValue) -> String {
    let kind = kind_within(schema, 4).filter(|kind| kind.len() <= MAX_TYPE);
    kind.unwrap_or_else(|| "any".to_owned())
}

/// `None` is any type.
fn kind_within(schema: &RawValue, depth: usize) -> Option<String> {
    let members = Members::of(schema).filter(|_| depth > 0)?;
    if let Some(values) = members.get("enum") {
        let values: Vec<&RawValue> = serde_json::from_str(values.get()).ok()?;
        let values: Vec<String> = values.iter().map(|value| on_one_line(value.get())).collect();
        let all = values.join("|");
        if !all.is_empty() && all.len() <= MAX_TYPE {
            return Some(all);
        }
    }
    let either = |kinds: Vec<String>| {
        let mut seen = BTreeSet::new();
        let kinds: Vec<String> =
            kinds.into_iter().filter(|kind| seen.insert(kind.clone())).collect();
        Some(kinds.join("|")).filter(|all| !all.is_empty())
    };
    if let Some(text) = members.text("type") {
        if text != "array" {
            return Some(on_one_line(&text));
        }
        let items = members.get("items").and_then(|items| kind_within(items, depth - 1));
        return Some(match items {
            Some(items) if items.contains('|') => format!("({items})[]"),
            Some(items) => format!("{items}[]"),
            None => "any[]".to_owned(),
        });
    }
    if let Some(kinds) = members.get("type") {
        let kinds: Vec<String> = serde_json::from_str(kinds.get()).ok()?;
        return either(kinds.iter().map(|kind| on_one_line(kind)).collect());
    }
    let branches = members.get("anyOf").or_else(|| members.get("oneOf"))?;
    let branches: Vec<&RawValue> = serde_json::from_str(branches.get()).ok()?;
    either(branches.into_iter().map(|one| kind_within(one, depth - 1)).collect::<Option<_>>()?)
}

/// The first sentence of a description, of at most so many characters.
pub fn sentence(description: &str, longest: usize) -> String {
    let line = on_one_line(description);
    let end = line.find(". ").map_or(line.len(), |at| at + 1);
    let sentence = &line[..end];
    match sentence.char_indices().nth(longest) {
        Some((at, _)) => format!("{}…", &sentence[..at]),
        None => sentence.to_owned(),
    }
}

fn on_one_line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_have_their_types_and_optional_ones_a_mark() {
        let definition = json!({"name": "x", "inputSchema": {"required": ["a", "c"], "properties": {
            "a": {"type": "string"},
            "b": {"type": ["integer", "null"]},
            "c": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "number"}]}},
            "d": {"enum": ["p", "q"]},
            "e": {"$ref": "#/$defs/x"},
            "f": true,
            "g": {"anyOf": [{"type": "array", "items": {"type": "object"}}, {"type": "null"}]},
        }}});
        let tool = Tool::parse(&"s/t".into(), &definition.to_string()).unwrap();
        // Members are in the order of the definition, here that of `json!`.
        assert_eq!(
            call(&tool),
            "s/t/x(a: string, b?: integer|null, c: (string|number)[], d?: \"p\"|\"q\", e?: any, \
             f?: any, g?: object[]|null)"
        );
        let bare = Tool::parse(&"s".into(), r#"{"name":"a\nb","inputSchema":7}"#).unwrap();
        assert_eq!(call(&bare), "s/a b()");
    }

    #[test]
    fn a_sentence_ends_where_the_first_one_does() {
        assert_eq!(sentence("Send\n mail. Then\tmore.", 99), "Send mail.");
        assert_eq!(sentence("no end\u{7}", 99), "no end");
        assert_eq!(sentence(&"é".repeat(9), 3), "ééé…");
    }
}
