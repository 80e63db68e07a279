//! Arguments against the schema of a tool, before its server sees them.
//!
//! Schemas are others' words: they may be wrong, or made to take for ever. Invariant: a schema that
//! can't be used refuses nothing, nothing is fetched for one, and none is read for longer than
//! [`PATIENCE`] by whoever waits.

use std::sync::Arc;
use std::time::Duration;

use jsonschema::{PatternOptions, Validator};
use quick_cache::sync::Cache;
use serde_json::{Map, Value};

use crate::tool::{ContentHash, Members, Tool};

/// Validators that are kept.
const KEPT: usize = 1_000;
/// The longest schema that is used.
const MAX_BYTES: usize = 256 << 10;
/// The most references in one.
const MAX_REFERENCES: usize = 512;
/// What a schema may come to when its references are followed at one place.
const MAX_COST: u64 = 20_000;
/// Most bytes of a compiled pattern.
const MAX_PATTERN: usize = 1 << 20;
/// How long is waited for a verdict.
const PATIENCE: Duration = Duration::from_secs(1);
/// Most mistakes that are told.
const MAX_TOLD: usize = 5;
/// The longest text of one.
const MAX_TEXT: usize = 300;

/// The validators of tools, by the hash of their definitions.
#[derive(Clone)]
pub struct Validators(Arc<Cache<ContentHash, Option<Arc<Validator>>>>);

impl Validators {
    /// None yet.
    pub fn new() -> Self {
        Self(Arc::new(Cache::new(KEPT)))
    }

    /// What is wrong with the arguments, as far as it can be told.
    pub async fn check(&self, tool: &Arc<Tool>, arguments: &Map<String, Value>) -> Vec<String> {
        let known = self.0.get(&tool.hash);
        if matches!(known, Some(None)) {
            return Vec::new();
        }
        let (tool, arguments) = (Arc::clone(tool), Value::Object(arguments.clone()));
        let (hash, id) = (tool.hash, tool.id.clone());
        let judged = tokio::task::spawn_blocking(move || {
            let validator = match known {
                Some(validator) => validator,
                None => compile(&tool).map(Arc::new),
            };
            let wrong = validator.as_deref().map(|validator| wrong(validator, &arguments));
            (validator, wrong.unwrap_or_default())
        });
        let Ok(Ok((validator, wrong))) = tokio::time::timeout(PATIENCE, judged).await else {
            tracing::warn!(tool = %id, "its inputSchema takes too long: arguments go unchecked");
            self.0.insert(hash, None);
            return Vec::new();
        };
        self.0.insert(hash, validator);
        wrong
    }
}

fn compile(tool: &Tool) -> Option<Validator> {
    let members = Members::of(&tool.definition)?;
    let text = members.get("inputSchema")?.get();
    let told = |why: &str| {
        tracing::info!(tool = %tool.id, why, "its inputSchema can't be used: arguments go unchecked");
    };
    if text.len() > MAX_BYTES {
        told("it is too long");
        return None;
    }
    let Ok(schema) = serde_json::from_str::<Value>(text) else {
        told("it is no JSON value that can be held");
        return None;
    };
    if !is_bounded(&schema) {
        told("its references come to too much");
        return None;
    }
    let patterns = PatternOptions::regex().size_limit(MAX_PATTERN).dfa_size_limit(MAX_PATTERN);
    let built = jsonschema::options().with_pattern_options(patterns).build(&schema);
    built.inspect_err(|error| told(&clip(&error.to_string()))).ok()
}

fn wrong(validator: &Validator, arguments: &Value) -> Vec<String> {
    let mistakes = validator.iter_errors(arguments).take(MAX_TOLD);
    let told = mistakes.map(|mistake| {
        let path = mistake.instance_path().to_string();
        let path = if path.is_empty() { "/".to_owned() } else { path };
        format!("{path}: {}", clip(&mistake.to_string()))
    });
    told.collect()
}

fn clip(text: &str) -> String {
    if text.chars().nth(MAX_TEXT).is_none() {
        return text.to_owned();
    }
    text.chars().take(MAX_TEXT).chain(['…']).collect()
}

/// Following the references of a schema comes to an end, and soon.
fn is_bounded(schema: &Value) -> bool {
    let mut left = MAX_COST;
    references(schema) <= MAX_REFERENCES
        && spend(schema, schema, &mut Vec::new(), &mut left)
        && places(schema).into_iter().all(|place| {
            let mut left = MAX_COST;
            spend(schema, place, &mut Vec::new(), &mut left)
        })
}

fn references(schema: &Value) -> usize {
    match schema {
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| usize::from(is_reference(key)) + references(value))
            .sum(),
        Value::Array(items) => items.iter().map(references).sum(),
        _ => 0,
    }
}

fn is_reference(key: &str) -> bool {
    matches!(key, "$ref" | "$dynamicRef" | "$recursiveRef")
}

/// The schemas that references of the document lead to.
fn places(document: &Value) -> Vec<&Value> {
    let kept = ["$defs", "definitions"].iter().filter_map(|key| document.get(*key)?.as_object());
    kept.flat_map(serde_json::Map::values).collect()
}

/// Takes from `left` what looking at one value with this schema comes to: itself, and all that
/// applies to the same value. False where that has no end.
fn spend<'a>(
    document: &'a Value,
    schema: &'a Value,
    within: &mut Vec<*const Value>,
    left: &mut u64,
) -> bool {
    let Value::Object(members) = schema else { return true };
    let this = std::ptr::from_ref(schema);
    if within.contains(&this) || *left == 0 {
        return false;
    }
    *left -= 1;
    within.push(this);
    let ends = members.iter().all(|(key, value)| match (key.as_str(), value) {
        (key, Value::String(to)) if is_reference(key) => {
            let target = match to.strip_prefix('#') {
                Some(pointer) => document.pointer(pointer),
                None => None,
            };
            target.is_none_or(|target| spend(document, target, within, left))
        }
        ("allOf" | "anyOf" | "oneOf", Value::Array(all)) => {
            all.iter().all(|one| spend(document, one, within, left))
        }
        ("not" | "if" | "then" | "else", one) => spend(document, one, within, left),
        ("dependentSchemas", Value::Object(all)) => {
            all.values().all(|one| spend(document, one, within, left))
        }
        _ => true,
    });
    within.pop();
    ends
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    async fn check(schema: &Value, arguments: &Value) -> Vec<String> {
        let definition = json!({"name": "t", "inputSchema": schema}).to_string();
        let tool = Arc::new(Tool::parse(&"s".into(), &definition).unwrap());
        let validators = Validators::new();
        let arguments = arguments.as_object().unwrap();
        let first = validators.check(&tool, arguments).await;
        assert_eq!(first, validators.check(&tool, arguments).await, "also when it is known");
        first
    }

    #[tokio::test]
    async fn mistakes_are_told_by_their_place() {
        let schema = json!({
            "type": "object", "required": ["to"],
            "properties": {
                "to": {"type": "string"},
                "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]+$"}},
            },
        });
        assert_eq!(check(&schema, &json!({"to": "x", "tags": ["a"]})).await, [""; 0]);
        let told = check(&schema, &json!({"tags": ["a", "B", 3]})).await.join("\n");
        for part in ["/: \"to\" is a required property", "/tags/1: ", "/tags/2: 3 is not of type"] {
            assert!(told.contains(part), "{told}");
        }
        let many: Vec<_> = (0..50).collect();
        assert_eq!(check(&schema, &json!({"to": "x", "tags": many})).await.len(), MAX_TOLD);
    }

    #[tokio::test]
    async fn a_schema_that_can_not_be_used_refuses_nothing() {
        let mut bomb = Map::new();
        for n in 0..40 {
            let next = json!({"$ref": format!("#/$defs/d{}", n + 1)});
            bomb.insert(format!("d{n}"), json!({"allOf": [next, next]}));
        }
        for schema in [
            json!(true),
            json!({"type": "nonsense"}),
            json!({"$ref": "https://example.com/schema.json"}),
            json!({"$ref": "file:///etc/passwd"}),
            json!({"$ref": "#/nowhere"}),
            json!({"$ref": "#"}),
            json!({"anyOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}}),
            json!({"properties": {"a": {"pattern": "(?<=a)b"}}}),
            json!({"$ref": "#/$defs/d0", "$defs": bomb}),
            json!({"description": "x".repeat(MAX_BYTES)}),
        ] {
            let told = check(&schema, &json!({"a": 1})).await;
            assert_eq!(told, [""; 0], "{}", clip(&schema.to_string()));
        }
    }

    #[test]
    fn a_schema_may_speak_of_itself_deeper_down() {
        let tree = json!({"properties": {"children": {"items": {"$ref": "#"}}}});
        assert!(is_bounded(&tree));
        assert!(!is_bounded(&json!({"allOf": [{"$ref": "#"}]})));
    }
}
