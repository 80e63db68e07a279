//! A definition in its own shape, whole or less.
//!
//! Invariant: a whole one is the bytes that are stored; a smaller one keeps its name, and the
//! bytes of every part that it keeps.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::Rung;
use super::schema::{self, Object, quoted};
use super::signature::{MAX_SENTENCE, sentence};
use crate::tool::{Members, Tool};

/// Where in `_meta` a reduced definition says so.
const META: &str = "toolscout/reduced";

/// The definition at `rung`. With `said` that stands in its `_meta`.
pub fn definition<'a>(tool: &'a Tool, rung: Rung, said: Option<&str>) -> Cow<'a, str> {
    if rung == Rung::Full {
        return tool.definition.get().into();
    }
    // It was read as an object before.
    let members = Members::of(&tool.definition).map_or(Vec::new(), |members| members.0);
    let mut form = Object::new();
    if rung <= Rung::Flat {
        for (key, value) in &members {
            match &**key {
                "outputSchema" => {}
                "_meta" if said.is_some() => {}
                "inputSchema" if rung == Rung::Flat => form.raw(key, &schema::flat(value.get())),
                key => form.raw(key, value.get()),
            }
        }
    } else {
        form.text("name", &tool.name);
        let view = tool.view();
        if let Some(text) = view.description.filter(|_| rung < Rung::Name) {
            form.text("description", &sentence(&text, MAX_SENTENCE));
        }
        let members = Members(members.clone());
        match rung {
            Rung::Signature => {
                let schema = members.get("inputSchema").map_or("", RawValue::get);
                form.raw("inputSchema", &schema::typed(schema));
            }
            _ => form.raw("inputSchema", r#"{"type":"object"}"#),
        }
    }
    if let Some(said) = said {
        let mut meta = Object::new();
        let own = members.iter().rev().find(|(key, _)| key == "_meta" && rung <= Rung::Flat);
        for (key, value) in
            own.and_then(|(_, own)| Members::of(own)).map_or(Vec::new(), |own| own.0)
        {
            meta.raw(&key, value.get());
        }
        meta.raw(META, &quoted(said));
        form.raw("_meta", &meta.end());
    }
    form.end().into()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn tool() -> Tool {
        let text = r#"{"name":"x","description":"Does x. And more.","annotations":{"n":1e400},
            "inputSchema":{"type":"object","properties":{"a":{"type":"array","description":"kept",
            "items":{"description":"gone"}}}},"outputSchema":{"type":"object"},"_meta":{"own":1}}"#;
        Tool::parse(&"s".into(), text).unwrap()
    }

    fn value(text: &str) -> Value {
        serde_json::from_str(&text.replace("1e400", "1")).unwrap()
    }

    #[test]
    fn each_rung_leaves_out_what_it_says() {
        let tool = tool();
        assert_eq!(definition(&tool, Rung::Full, None), tool.definition.get());
        let mut whole = value(tool.definition.get());
        let members = whole.as_object_mut().unwrap();
        members.remove("outputSchema");
        let no_output = definition(&tool, Rung::NoOutput, None);
        assert!(no_output.contains("1e400"), "bytes are kept");
        assert_eq!(value(&no_output), whole);
        whole["inputSchema"]["properties"]["a"]["items"] = json!({});
        assert_eq!(value(&definition(&tool, Rung::Flat, None)), whole);
        let typed = json!({"type": "object", "properties": {"a": {"type": "array", "items": {}}}});
        let any = json!({"type": "object"});
        for (rung, form) in [
            (Rung::Signature, json!({"name": "x", "description": "Does x.", "inputSchema": typed})),
            (Rung::Sentence, json!({"name": "x", "description": "Does x.", "inputSchema": any})),
            (Rung::Name, json!({"name": "x", "inputSchema": any})),
        ] {
            assert_eq!(value(&definition(&tool, rung, None)), form);
        }
    }

    #[test]
    fn what_is_said_stands_beside_the_tools_own_meta() {
        let said = value(&definition(&tool(), Rung::NoOutput, Some("less")))["_meta"].clone();
        assert_eq!(said, json!({"own": 1, "toolscout/reduced": "less"}));
        let said = value(&definition(&tool(), Rung::Name, Some("less")))["_meta"].clone();
        assert_eq!(said, json!({"toolscout/reduced": "less"}));
    }
}
