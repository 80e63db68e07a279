//! Arguments against the schema of a tool, before its server sees them.
//!
//! Schemas and arguments are others' words: they may be wrong, or made to take for ever. Invariant: a
//! schema that can't be used refuses nothing, nothing is fetched for one, none is read for longer than
//! [`PATIENCE`] by whoever waits, and what checking takes is bounded before it begins: where a schema
//! speaks of itself, a few hundred bytes of arguments can else come to more than any memory holds.

use std::sync::Arc;
use std::time::Duration;

use jsonschema::{PatternOptions, Validator};
use quick_cache::sync::Cache;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use crate::tool::{ContentHash, Members, Tool};

/// Validators that are kept.
const KEPT: usize = 1_000;
/// The longest schema that is used.
const MAX_BYTES: usize = 256 << 10;
/// The most references in one.
const MAX_REFERENCES: usize = 512;
/// What a schema may come to when its references are followed at one place.
const MAX_COST: u64 = 20_000;
/// How many schemas may be looked at for all values in one call's arguments.
const MAX_STEPS: u64 = 200_000;
/// How deep that may go: arguments are at most 128 deep.
const MAX_DEPTH: u32 = 400;
/// Checks at one time.
const AT_ONCE: usize = 4;
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
pub struct Validators {
    kept: Arc<Cache<ContentHash, Option<Arc<Compiled>>>>,
    /// Held until a check ends, also where nobody waits for it any more.
    turns: Arc<Semaphore>,
}

struct Compiled {
    schema: Value,
    validator: Validator,
}

impl Validators {
    /// None yet.
    pub fn new() -> Self {
        Self { kept: Arc::new(Cache::new(KEPT)), turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// What is wrong with the arguments, as far as it can be told.
    pub async fn check(&self, tool: &Arc<Tool>, arguments: &Map<String, Value>) -> Vec<String> {
        let known = self.kept.get(&tool.hash);
        if matches!(known, Some(None)) {
            return Vec::new();
        }
        let (tool, arguments) = (Arc::clone(tool), Value::Object(arguments.clone()));
        let (hash, id) = (tool.hash, tool.id.clone());
        let (turns, kept) = (Arc::clone(&self.turns), Arc::clone(&self.kept));
        let judged = async move {
            let turn = turns.acquire_owned().await;
            let judge = move || {
                let _turn = turn;
                // Kept also where nobody waits for it any more.
                let compiled = known.unwrap_or_else(|| {
                    let compiled = compile(&tool).map(Arc::new);
                    kept.insert(hash, compiled.clone());
                    compiled
                });
                compiled.map(|compiled| compiled.wrong(&tool, &arguments)).unwrap_or_default()
            };
            tokio::task::spawn_blocking(judge).await
        };
        let Ok(Ok(wrong)) = tokio::time::timeout(PATIENCE, judged).await else {
            tracing::warn!(tool = %id, "checking takes too long: arguments go unchecked");
            return Vec::new();
        };
        wrong
    }
}

fn compile(tool: &Tool) -> Option<Compiled> {
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
    let validator = built.inspect_err(|error| told(&clip(&error.to_string()))).ok()?;
    Some(Compiled { schema, validator })
}

impl Compiled {
    fn wrong(&self, tool: &Tool, arguments: &Value) -> Vec<String> {
        let mut left = Left { steps: MAX_STEPS, depth: MAX_DEPTH };
        if !walk(&self.schema, &self.schema, arguments, &mut left) {
            tracing::info!(tool = %tool.id, "checking comes to too much: arguments go unchecked");
            return Vec::new();
        }
        let mistakes = self.validator.iter_errors(arguments).take(MAX_TOLD);
        let told = mistakes.map(|mistake| {
            let path = mistake.instance_path().to_string();
            let path = if path.is_empty() { "/".to_owned() } else { path };
            format!("{path}: {}", clip(&mistake.to_string()))
        });
        told.collect()
    }
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
        && !has_inner_base(schema)
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

/// A part of it is a document of its own, by whose place references are read.
fn has_inner_base(schema: &Value) -> bool {
    let has_base = |part: &Value| ["$id", "id"].iter().any(|key| part[*key].is_string());
    match schema {
        Value::Object(members) => {
            members.values().any(|part| has_base(part) || has_inner_base(part))
        }
        Value::Array(items) => items.iter().any(|part| has_base(part) || has_inner_base(part)),
        _ => false,
    }
}

/// Where a reference leads; only what a pointer into the document says can be followed here.
fn target<'a>(document: &'a Value, to: &str) -> Option<&'a Value> {
    document.pointer(to.strip_prefix('#')?)
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
            target(document, to).is_some_and(|target| spend(document, target, within, left))
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

struct Left {
    steps: u64,
    depth: u32,
}

/// Takes from `left` one for each schema that is looked at for each value. False where that is not
/// enough, or a reference can't be followed here.
fn walk(document: &Value, schema: &Value, value: &Value, left: &mut Left) -> bool {
    let Value::Object(members) = schema else { return true };
    if left.steps == 0 || left.depth == 0 {
        return false;
    }
    left.steps -= 1;
    left.depth -= 1;
    // What is left over is found by looking at all the others once more.
    let times = 1 + members.keys().filter(|key| key.starts_with("unevaluated")).count();
    let ends = (0..times).all(|_| {
        members.iter().all(|(key, part)| match (key.as_str(), part, value) {
            (key, Value::String(to), _) if is_reference(key) => {
                target(document, to).is_some_and(|target| walk(document, target, value, left))
            }
            ("allOf" | "anyOf" | "oneOf", Value::Array(all), _) => {
                all.iter().all(|one| walk(document, one, value, left))
            }
            ("not" | "if" | "then" | "else", one, _) => walk(document, one, value, left),
            ("dependentSchemas" | "dependencies", Value::Object(all), _) => {
                all.values().all(|one| walk(document, one, value, left))
            }
            ("properties", Value::Object(all), Value::Object(values)) => {
                let mut both = all.iter().filter_map(|(key, one)| Some((one, values.get(key)?)));
                both.all(|(one, value)| walk(document, one, value, left))
            }
            ("patternProperties", Value::Object(all), Value::Object(values)) => all
                .values()
                .all(|one| values.values().all(|value| walk(document, one, value, left))),
            (
                "additionalProperties" | "unevaluatedProperties" | "propertyNames",
                one,
                Value::Object(values),
            ) => values.values().all(|value| walk(document, one, value, left)),
            ("items" | "prefixItems", Value::Array(all), Value::Array(values)) => {
                all.iter().zip(values).all(|(one, value)| walk(document, one, value, left))
            }
            (
                "items" | "additionalItems" | "contains" | "unevaluatedItems",
                one,
                Value::Array(values),
            ) => values.iter().all(|value| walk(document, one, value, left)),
            _ => true,
        })
    });
    left.depth += 1;
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
            json!({"properties": {"a": {"$ref": "#/properties/a"}}}),
            json!({"properties": {"a": {"$ref": "#/%24defs/d0"}}, "$defs": bomb}),
            json!({"description": "x".repeat(MAX_BYTES)}),
        ] {
            let told = check(&schema, &json!({"a": 1})).await;
            assert_eq!(told, [""; 0], "{}", clip(&schema.to_string()));
        }
    }

    #[tokio::test]
    async fn arguments_that_come_to_too_much_go_unchecked_and_others_are_still_checked() {
        let branch =
            |op: &str| json!({"properties": {"f": {"$ref": "#/$defs/d"}, "op": {"const": op}}});
        let all = [branch("and"), branch("or"), branch("not")];
        let schema =
            json!({"properties": {"f": {"$ref": "#/$defs/d"}}, "$defs": {"d": {"anyOf": all}}});
        let nested = |depth| (0..depth).fold(json!({"op": "?"}), |inner, _| json!({ "f": inner }));
        let definition = json!({"name": "t", "inputSchema": schema}).to_string();
        let tool = Arc::new(Tool::parse(&"s".into(), &definition).unwrap());
        let validators = Validators::new();
        for (depth, wrong) in [(3, 1), (60, 0), (3, 1)] {
            let told = validators.check(&tool, nested(depth).as_object().unwrap()).await;
            assert_eq!(told.len(), wrong, "{depth}: {told:?}");
        }
    }

    #[test]
    fn references_that_can_not_be_followed_here_make_no_schema_bounded() {
        for to in ["#a", "#/%24defs/a", "x#/$defs/a"] {
            let part = json!({"$anchor": "a", "allOf": [{"$ref": to}, {"$ref": to}]});
            assert!(!is_bounded(&json!({"$id": "x", "$ref": to, "$defs": {"a": part}})), "{to}");
        }
        let inner = json!({"$id": "y", "$ref": "#/$defs/b", "$defs": {"b": {"$ref": "#/$defs/b"}}});
        assert!(!is_bounded(&json!({"$ref": "#/$defs/a", "$defs": {"a": inner, "b": true}})));
        assert!(is_bounded(&json!({"$id": "x", "properties": {"id": {"type": "string"}}})));
    }

    #[test]
    fn a_schema_may_speak_of_itself_deeper_down() {
        let tree = json!({"properties": {"children": {"items": {"$ref": "#"}}}});
        assert!(is_bounded(&tree));
        assert!(!is_bounded(&json!({"allOf": [{"$ref": "#"}]})));
    }
}
