//! Input schemas in smaller forms, and as model APIs take them.
//!
//! Invariant: what is kept keeps its own bytes and its order; nothing goes through a tree of
//! values, which would change numbers. What is not read as expected is left as it is.

use std::borrow::Cow;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::tool::Members;

/// A schema that admits any object.
const ANY: &str = r#"{"type":"object","properties":{}}"#;
/// What model APIs refuse at the top of a schema.
const REFUSED: [&str; 5] = ["anyOf", "oneOf", "allOf", "enum", "not"];
/// Keywords whose members are named by the author: those are no keywords.
const NAMED: [&str; 5] =
    ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];
/// Keywords whose values are data, not schemas.
const DATA: [&str; 4] = ["default", "const", "enum", "examples"];
/// The longest list of values that a signature keeps, in bytes.
const MAX_ENUM: usize = 120;

/// A JSON object as it is written.
pub(super) struct Object(String);

impl Object {
    pub fn new() -> Self {
        Self("{".to_owned())
    }

    /// Adds a member whose value is JSON already.
    pub fn raw(&mut self, key: &str, value: &str) {
        self.0.push_str(if self.0.len() > 1 { "," } else { "" });
        self.0.push_str(&quoted(key));
        self.0.push(':');
        self.0.push_str(value);
    }

    pub fn text(&mut self, key: &str, value: &str) {
        self.raw(key, &quoted(value));
    }

    pub fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// `text` as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A schema that model APIs take; its own bytes if nothing is amiss. They want an object with
/// `type` and `properties`, without [`REFUSED`] at the top, whose lists say what is in them; and
/// one tool that they refuse is a whole request refused. `without` are parameters to leave out.
pub(super) fn mended<'a>(schema: Option<&'a RawValue>, without: &[String]) -> Cow<'a, str> {
    // A number beyond all range, half a surrogate pair: no API reads that.
    let value = schema.and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
    let (Some(raw), Some(mut value)) = (schema, value.filter(Value::is_object)) else {
        return ANY.into();
    };
    let mut amiss = say_items(&mut value);
    if !without.is_empty() {
        amiss = true;
        // Indexing would put a null where there is nothing.
        if let Some(properties) = value.get_mut("properties").and_then(Value::as_object_mut) {
            properties.retain(|key, _| !without.contains(key));
        }
        if let Some(required) = value.get_mut("required").and_then(Value::as_array_mut) {
            required.retain(|key| !without.iter().any(|other| key == other));
        }
    }
    if amiss { topped(&value.to_string()).into_owned().into() } else { topped(raw.get()) }
}

/// The schema with what an API wants at the top, and without what it refuses there.
fn topped(schema: &str) -> Cow<'_, str> {
    let raw = serde_json::from_str::<&RawValue>(schema).ok();
    let Some(members) = raw.and_then(Members::of) else { return ANY.into() };
    let is_object = members.get("type").is_some_and(|kind| kind.get() == r#""object""#);
    let properties = members.get("properties").filter(|raw| Members::of(raw).is_some());
    let refused = |key: &str| REFUSED.contains(&key);
    if is_object && properties.is_some() && !members.0.iter().any(|(key, _)| refused(key)) {
        return schema.into();
    }
    let mut object = Object::new();
    object.raw("type", r#""object""#);
    object.raw("properties", properties.map_or("{}", RawValue::get));
    for (key, value) in members.0.iter().filter(|(key, _)| !refused(key)) {
        if key != "type" && key != "properties" {
            object.raw(key, value.get());
        }
    }
    object.end().into()
}

/// Has every list say what is in it (OpenAI refuses one that does not); true if one did not.
fn say_items(value: &mut Value) -> bool {
    let Value::Object(members) = value else {
        let items = value.as_array_mut().into_iter().flatten();
        return items.fold(false, |amiss, item| say_items(item) | amiss);
    };
    let is_list = match members.get("type") {
        Some(Value::String(kind)) => kind == "array",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "array"),
        _ => false,
    };
    let mut amiss = is_list && !members.contains_key("items");
    if amiss {
        members.insert("items".into(), Value::Object(serde_json::Map::new()));
    }
    for (key, inner) in members.iter_mut().filter(|(key, _)| !DATA.contains(&key.as_str())) {
        amiss |= match inner {
            Value::Object(schemas) if NAMED.contains(&key.as_str()) => {
                schemas.values_mut().fold(false, |amiss, schema| say_items(schema) | amiss)
            }
            inner => say_items(inner),
        };
    }
    amiss
}

/// Parameters whose names the Messages API refuses.
pub(super) fn odd_keys(schema: Option<&RawValue>) -> Vec<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let fits = |key: &str| (1..=64).contains(&key.len()) && key.chars().all(is_plain);
    let properties = schema.and_then(Members::of).and_then(|schema| schema.get("properties"));
    let keys = properties.and_then(Members::of).map_or(Vec::new(), |members| members.0);
    keys.into_iter().map(|(key, _)| key.into_owned()).filter(|key| !fits(key)).collect()
}

/// The schema without the descriptions that lie deeper than those of its parameters.
pub(super) fn flat(schema: &str) -> String {
    each_member(schema, |key, value| {
        Some(match key {
            "properties" => each_member(value, |_, param| {
                Some(each_member(param, |key, value| Some(keyword(key, value))))
            }),
            key => keyword(key, value),
        })
    })
}

/// The value of a keyword, without the descriptions inside it.
fn keyword(key: &str, value: &str) -> String {
    if DATA.contains(&key) {
        return value.to_owned();
    }
    if NAMED.contains(&key) {
        return each_member(value, |_, schema| Some(bare(schema)));
    }
    bare(value)
}

/// A schema, or a list of schemas, without any description.
fn bare(value: &str) -> String {
    if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(value) {
        let items: Vec<String> = items.iter().map(|item| bare(item.get())).collect();
        return format!("[{}]", items.join(","));
    }
    each_member(value, |key, value| {
        let described = key == "description" && value.starts_with('"');
        (!described).then(|| keyword(key, value))
    })
}

/// The object with each value replaced, or left out; anything but an object stays as it is.
fn each_member(object: &str, value: impl Fn(&str, &str) -> Option<String>) -> String {
    let raw = serde_json::from_str::<&RawValue>(object).ok();
    let Some(members) = raw.and_then(Members::of) else { return object.to_owned() };
    let mut written = Object::new();
    for (key, old) in &members.0 {
        if let Some(new) = value(key, old.get()) {
            written.raw(key, &new);
        }
    }
    written.end()
}

/// The parameters' names and types alone, and which are required.
pub(super) fn typed(schema: &str) -> String {
    let members = serde_json::from_str::<&RawValue>(schema).ok().and_then(Members::of);
    let get = |key| members.as_ref().and_then(|members| members.get(key));
    let mut properties = Object::new();
    for (name, param) in get("properties").and_then(Members::of).map_or(Vec::new(), |all| all.0) {
        let mut kept = Object::new();
        let param = Members::of(param).map_or(Vec::new(), |all| all.0);
        for (key, value) in param {
            let short = value.get().len() <= MAX_ENUM;
            if short && (key == "type" || key == "enum") {
                kept.raw(&key, value.get());
            } else if key == "items" {
                // Without them OpenAI refuses an array.
                kept.raw(&key, &items(value));
            }
        }
        properties.raw(&name, &kept.end());
    }
    let mut object = Object::new();
    object.raw("type", r#""object""#);
    object.raw("properties", &properties.end());
    if let Some(required) = get("required") {
        object.raw("required", required.get());
    }
    object.end()
}

/// The type of a list's items.
fn items(schema: &RawValue) -> String {
    let mut kept = Object::new();
    let kind = Members::of(schema).and_then(|schema| schema.get("type"));
    if let Some(kind) = kind.filter(|kind| kind.get().len() <= MAX_ENUM) {
        kept.raw("type", kind.get());
        if kind.get().contains(r#""array""#) {
            kept.raw("items", "{}");
        }
    }
    kept.end()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn a_sound_schema_keeps_its_bytes() {
        let sound = r#"{ "type":"object", "properties":{"n":{"maximum":123456789012345678901}} }"#;
        assert_eq!(mended(Some(&raw(sound)), &[]), sound);
    }

    #[test]
    fn what_an_api_refuses_is_mended() {
        for (broken, whole) in [
            ("true", json!({"type": "object", "properties": {}})),
            (r#"{"type":"object","x":1e400}"#, json!({"type": "object", "properties": {}})),
            (r#"{"type":"object"}"#, json!({"type": "object", "properties": {}})),
            (
                r#"{"type":["object","null"],"properties":{"a":{}},"anyOf":[{}],"required":["a"]}"#,
                json!({"type": "object", "properties": {"a": {}}, "required": ["a"]}),
            ),
            (
                r#"{"type":"object","properties":{"a":{"anyOf":[{"type":["array","null"]}],
                    "default":{"type":"array"}}}}"#,
                json!({"type": "object", "properties": {"a": {
                    "anyOf": [{"type": ["array", "null"], "items": {}}],
                    "default": {"type": "array"}}}}),
            ),
            (
                r#"{"type":"object","properties":{"a":{"type":"array","items":{"type":"array"}}}}"#,
                json!({"type": "object", "properties": {
                    "a": {"type": "array", "items": {"type": "array", "items": {}}}}}),
            ),
            (
                r#"{"type":"object","properties":{"examples":{"type":"array"}}}"#,
                json!({"type": "object",
                    "properties": {"examples": {"type": "array", "items": {}}}}),
            ),
        ] {
            let mended: Value = serde_json::from_str(&mended(Some(&raw(broken)), &[])).unwrap();
            assert_eq!(mended, whole, "{broken}");
        }
        assert_eq!(mended(None, &[]), ANY);
    }

    #[test]
    fn parameters_whose_names_an_api_refuses_are_left_out() {
        let schema = json!({"type": "object", "required": ["a", "b<"], "properties": {
            "a": {}, "b<": {}, "é": {}}});
        let schema = raw(&schema.to_string());
        let odd = odd_keys(Some(&schema));
        assert_eq!(odd, ["b<", "é"]);
        let mended: Value = serde_json::from_str(&mended(Some(&schema), &odd)).unwrap();
        let kept = json!({"type": "object", "required": ["a"], "properties": {"a": {}}});
        assert_eq!(mended, kept);
        let schema = raw(r#"{"type":"object","properties":{"b<":{}}}"#);
        let mended: Value = serde_json::from_str(&super::mended(Some(&schema), &odd)).unwrap();
        assert_eq!(mended, json!({"type": "object", "properties": {}}), "and no null");
    }

    #[test]
    fn only_descriptions_below_the_parameters_go() {
        let schema = json!({"type": "object", "description": "all", "properties": {
            "description": {"type": "object", "description": "kept", "default": {"description": "d"},
                "properties": {"description": {"type": "string", "description": "gone"}}},
            "list": {"description": "kept", "anyOf": [{"description": "gone", "const": {"description": "d"}}]},
        }, "$defs": {"description": {"description": "gone", "minimum": 1}}});
        let flat: Value = serde_json::from_str(&flat(&schema.to_string())).unwrap();
        assert_eq!(
            flat,
            json!({"type": "object", "description": "all", "properties": {
                "description": {"type": "object", "description": "kept", "default": {"description": "d"},
                    "properties": {"description": {"type": "string"}}},
                "list": {"description": "kept", "anyOf": [{"const": {"description": "d"}}]},
            }, "$defs": {"description": {"minimum": 1}}})
        );
    }

    #[test]
    fn types_and_short_lists_of_values_are_left_in_the_end() {
        let schema = json!({"type": "object", "required": ["a"], "properties": {
            "a": {"type": "string", "description": "x", "enum": ["p", "q"]},
            "b": {"anyOf": [{"type": "null"}]}, "c": true,
            "d": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
            "e": {"type": "array", "items": {"type": ["array", "null"], "items": {}}}}});
        let typed: Value = serde_json::from_str(&typed(&schema.to_string())).unwrap();
        assert_eq!(
            typed,
            json!({"type": "object", "required": ["a"], "properties": {
                "a": {"type": "string", "enum": ["p", "q"]}, "b": {}, "c": {},
                "d": {"type": "array", "items": {"type": "array", "items": {}}},
                "e": {"type": "array", "items": {"type": ["array", "null"], "items": {}}}}})
        );
    }
}
