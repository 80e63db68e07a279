//! What a call asks for, in the shapes that models send it in.
//!
//! Invariant: what can be read in one way only is read; everything else is told by what to send.

use serde_json::{Map, Value};

/// What says which tool; the first that is there counts.
const NAMES: [&str; 6] = ["id", "name", "tool", "tool_name", "toolName", "tool_id"];
/// What holds its arguments; the first that is there counts.
const ARGUMENTS: [&str; 5] = ["arguments", "parameters", "args", "input", "params"];
/// How it is said rightly.
const USAGE: &str = "call_tool takes id (a text: server/name) and arguments (an object)";

/// A call that was read.
#[derive(Debug, PartialEq)]
pub struct Asked {
    /// The tool's id or name, as it was given.
    pub id: String,
    /// Its arguments.
    pub arguments: Map<String, Value>,
}

/// Reads the arguments of `call_tool`.
pub fn read(mut given: Map<String, Value>) -> Result<Asked, String> {
    // A call of call_tool within one, or a call without its name.
    if name_of(&given).is_none_or(|(_, name)| name == "call_tool")
        && let Some((_, inner)) = arguments_of(&given)
        && name_of(&inner).is_some()
    {
        given = inner;
    }
    let Some((key, id)) = name_of(&given) else {
        return Err(format!("no tool is named: {USAGE}"));
    };
    let id = id.to_owned();
    given.remove(key);
    let mut arguments = match arguments_of(&given) {
        Some((key, arguments)) => {
            given.remove(key);
            if let Some(odd) = given.keys().next() {
                return Err(format!("{odd:?} stands beside the arguments: {USAGE}"));
            }
            arguments
        }
        // Absent, or written beside the id.
        None => match given.get("arguments") {
            Some(Value::Null) => Map::new(),
            Some(_) => return Err(format!("the arguments are no object: {USAGE}")),
            None => given,
        },
    };
    // The whole call once more, in its own arguments.
    if let Some((_, name)) = name_of(&arguments)
        && name == id
        && arguments.len() == 2
        && let Some((_, inner)) = arguments_of(&arguments)
    {
        arguments = inner;
    }
    Ok(Asked { id, arguments })
}

fn name_of(given: &Map<String, Value>) -> Option<(&'static str, &str)> {
    NAMES.iter().find_map(|key| Some((*key, given.get(*key)?.as_str()?)))
}

/// An object of arguments, or the text of one.
fn arguments_of(given: &Map<String, Value>) -> Option<(&'static str, Map<String, Value>)> {
    ARGUMENTS.iter().find_map(|key| match given.get(*key)? {
        Value::Object(arguments) => Some((*key, arguments.clone())),
        Value::String(text) if text.trim_start().starts_with('{') => {
            Some((*key, serde_json::from_str(text).ok()?))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_common_form_is_read() {
        let plain = ("s/t", json!({"a": 1}));
        for (given, (id, arguments)) in [
            (json!({"id": "s/t", "arguments": {"a": 1}}), plain.clone()),
            (json!({"id": "s/t", "parameters": {"a": 1}}), plain.clone()),
            (json!({"id": "s/t", "args": {"a": 1}}), plain.clone()),
            (json!({"id": "s/t", "input": {"a": 1}}), plain.clone()),
            (json!({"name": "s/t", "arguments": {"a": 1}}), plain.clone()),
            (json!({"tool": "s/t", "arguments": {"a": 1}}), plain.clone()),
            (json!({"tool_name": "s/t", "parameters": {"a": 1}}), plain.clone()),
            (json!({"id": "s/t", "arguments": "{\"a\": 1}"}), plain.clone()),
            (json!({"id": "s/t", "a": 1}), plain.clone()),
            (json!({"arguments": {"id": "s/t", "arguments": {"a": 1}}}), plain.clone()),
            (
                json!({"name": "call_tool", "arguments": {"id": "s/t", "args": {"a": 1}}}),
                plain.clone(),
            ),
            (json!({"name": "s/t", "arguments": {"name": "s/t", "arguments": {"a": 1}}}), plain),
            (json!({"id": "s/t"}), ("s/t", json!({}))),
            (json!({"id": "s/t", "arguments": null}), ("s/t", json!({}))),
            // A tool's own parameters of such names.
            (json!({"id": "s/t", "name": "Ann"}), ("s/t", json!({"name": "Ann"}))),
            (json!({"id": "s/t", "input": "text"}), ("s/t", json!({"input": "text"}))),
            (
                json!({"id": "s/t", "arguments": {"name": "Ann", "input": {}}}),
                ("s/t", json!({"name": "Ann", "input": {}})),
            ),
        ] {
            let read = read(given.as_object().unwrap().clone());
            let arguments = arguments.as_object().unwrap().clone();
            assert_eq!(read, Ok(Asked { id: id.into(), arguments }), "{given}");
        }
    }

    #[test]
    fn what_can_not_be_read_is_told() {
        for (given, told) in [
            (json!({}), "no tool is named"),
            (json!({"id": 7}), "no tool is named"),
            (json!({"arguments": {"a": 1}}), "no tool is named"),
            (json!({"id": "s/t", "arguments": [1]}), "no object"),
            (json!({"id": "s/t", "arguments": "{"}), "no object"),
            (json!({"id": "s/t", "arguments": {}, "b": 2}), "\"b\" stands beside"),
        ] {
            let error = read(given.as_object().unwrap().clone()).unwrap_err();
            assert!(error.contains(told) && error.contains(USAGE), "{given}: {error}");
        }
    }
}
