//! A smaller form of a definition that is too large to hand to a model among others.
//!
//! Invariant: what is reduced is at most [`MAX_BYTES`] long and keeps the tool's name and the
//! start of its description; it is still a tool definition, and `get_tool` has the whole one.

use serde_json::{Map, Value, json};

/// The longest definition in a search result. Of 3,817 definitions of real servers 99 % are
/// shorter and 30 longer, up to 85 KB: ten of those would fill a model's context.
pub const MAX_BYTES: usize = 16 * 1024;

/// How deep input schemas may go, from the first try to the last. At 3 a parameter has its type
/// and description left, at 2 its name.
const DEPTHS: [usize; 5] = [9, 7, 5, 3, 2];
/// The longest description of a parameter, once schemas are cut.
const MAX_PARAM_TEXT: usize = 300;
/// The longest description of the tool, once schemas are cut.
const MAX_TEXT: usize = 4_000;
/// The longest description where nothing else fits beside it. Written as JSON a byte may take six.
const LAST_TEXT: usize = 1_000;
/// The longest list of plain values that is kept where the depth ends.
const MAX_LIST: usize = 16;

/// The first form of `definition` that fits, and what was left out of it; `None` if it fits whole.
pub fn reduce(definition: &Map<String, Value>) -> Option<(Map<String, Value>, &'static str)> {
    if fits(definition) {
        return None;
    }
    let mut form = definition.clone();
    form.remove("outputSchema");
    if fits(&form) {
        return Some((form, "outputSchema is left out"));
    }
    form.retain(|key, _| {
        matches!(key.as_str(), "name" | "title" | "description" | "annotations" | "inputSchema")
    });
    if fits(&form) {
        return Some((form, "all but inputSchema and annotations is left out"));
    }
    cut_text(&mut form, MAX_TEXT);
    let schema = form.remove("inputSchema").unwrap_or_default();
    for depth in DEPTHS {
        let mut form = form.clone();
        form.insert("inputSchema".into(), prune(&schema, depth));
        if fits(&form) {
            return Some((form, "outputSchema and deep parts of inputSchema are left out"));
        }
    }
    Some((
        bare(definition.get("name"), definition.get("description")),
        "inputSchema and outputSchema are left out",
    ))
}

/// The least form: a name and the start of a description, with a schema that admits anything.
pub fn bare(name: Option<&Value>, description: Option<&Value>) -> Map<String, Value> {
    let mut form = Map::new();
    form.insert("name".into(), name.cloned().unwrap_or_default());
    if let Some(text) = description.and_then(Value::as_str) {
        form.insert("description".into(), start_of(text, LAST_TEXT).into());
    }
    form.insert("inputSchema".into(), json!({"type": "object"}));
    form
}

fn fits(definition: &Map<String, Value>) -> bool {
    serde_json::to_string(definition).is_ok_and(|text| text.len() <= MAX_BYTES)
}

/// `schema` down to `depth`, with shorter descriptions. Below that an object is left empty (a
/// schema that admits anything) and a list of schemas goes, since an empty one would admit nothing.
fn prune(schema: &Value, depth: usize) -> Value {
    let Value::Object(members) = schema else {
        return schema.clone();
    };
    let mut kept = Map::new();
    if depth > 0 {
        for (key, value) in members {
            let value = match value {
                Value::Array(items)
                    if depth == 1
                        && (items.len() > MAX_LIST || items.iter().any(Value::is_object)) =>
                {
                    continue;
                }
                Value::Array(items) => items.iter().map(|item| prune(item, depth - 1)).collect(),
                value => prune(value, depth - 1),
            };
            kept.insert(key.clone(), value);
        }
    }
    cut_text(&mut kept, MAX_PARAM_TEXT);
    Value::Object(kept)
}

fn cut_text(members: &mut Map<String, Value>, max: usize) {
    if let Some(Value::String(text)) = members.get_mut("description") {
        *text = start_of(text, max);
    }
}

/// At most `max` bytes of `text`, and a mark where more follows.
fn start_of(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(max)])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reduced(definition: &Value) -> (Value, &'static str) {
        let (form, left_out) = reduce(definition.as_object().unwrap()).unwrap();
        assert!(fits(&form));
        (form.into(), left_out)
    }

    #[test]
    fn what_fits_stays_whole() {
        let small = json!({"name": "x", "outputSchema": {"type": "object"}});
        assert!(reduce(small.as_object().unwrap()).is_none());
    }

    #[test]
    fn the_output_schema_goes_first_and_nothing_with_it() {
        let mut tool = json!({"name": "x", "_meta": {"a": 1}, "inputSchema": {"type": "object"},
            "outputSchema": {"description": "y".repeat(MAX_BYTES)}});
        let (form, left_out) = reduced(&tool);
        tool.as_object_mut().unwrap().remove("outputSchema");
        assert_eq!((form, left_out), (tool, "outputSchema is left out"));
    }

    #[test]
    fn a_deep_input_schema_keeps_its_parameters_names_types_and_descriptions() {
        let deep =
            |n: usize| json!({"type": "object", "properties": {"p": {"enum": vec!["v"; n]}}});
        let tool = json!({"name": "x", "description": "does x", "inputSchema": {
        "type": "object", "required": ["to"], "properties": {
            "to": {"type": ["string", "null"], "description": "d".repeat(1_000)},
            "how": {"anyOf": vec![deep(15); 500]},
        }}});
        let (form, left_out) = reduced(&tool);
        assert!(left_out.contains("deep parts"), "{left_out}");
        let schema = &form["inputSchema"];
        assert_eq!(form["description"], "does x");
        assert_eq!(schema["required"], json!(["to"]));
        assert_eq!(schema["properties"]["to"]["type"], json!(["string", "null"]));
        let description = schema["properties"]["to"]["description"].as_str().unwrap();
        assert_eq!(description.chars().filter(|c| *c == 'd').count(), MAX_PARAM_TEXT);
        assert_eq!(schema["properties"]["how"], json!({}));
    }

    #[test]
    fn with_too_many_parameters_the_name_and_description_are_left() {
        let properties: Map<_, _> = (0..5_000).map(|n| (format!("p{n}"), json!({}))).collect();
        let tool = json!({"name": "x", "description": "\u{1}".repeat(9_000),
            "inputSchema": {"properties": properties}});
        let (form, _) = reduced(&tool);
        assert_eq!(form["name"], "x");
        assert!(form["description"].as_str().unwrap().starts_with("\u{1}\u{1}"));
    }

    /// JSON of any shape, some of it large.
    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            ("\\PC{0,9}", 1..3_000_usize).prop_map(|(text, n)| text.repeat(n).into()),
        ];
        let key = || prop_oneof![Just("description".to_owned()), "[a-z]{1,4}"];
        leaf.prop_recursive(6, 64, 8, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::btree_map(key(), inner, 0..8)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn whatever_comes_fits_and_keeps_its_name_and_the_start_of_its_description(
            name in "\\PC{1,200}",
            text in "\\PC{0,50}",
            times in 0..1_000_usize,
            schemas in (any_json(), any_json(), any_json()),
        ) {
            let text = text.repeat(times);
            let tool = json!({"name": name, "description": text, "inputSchema": schemas.0,
                "outputSchema": schemas.1, "icons": schemas.2});
            if let Some((form, _)) = reduce(tool.as_object().unwrap()) {
                prop_assert!(fits(&form));
                prop_assert_eq!(&form["name"], &tool["name"]);
                let start = form["description"].as_str().unwrap();
                let start = start.strip_suffix('…').unwrap_or(start);
                prop_assert!(text.starts_with(start));
                prop_assert!(start.len() >= text.len().min(LAST_TEXT - 4));
                prop_assert!(form.contains_key("inputSchema"));
            } else {
                prop_assert!(fits(tool.as_object().unwrap()));
            }
        }
    }
}
