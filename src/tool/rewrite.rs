//! A definition with another name or description, and every other byte as it came.
//!
//! Invariant: the id stays, so whoever calls the tool by it reaches the one that it was.

use std::ops::Range;
use std::sync::OnceLock;

use serde_json::value::RawValue;

use super::{ContentHash, Members, Tool};

impl Tool {
    /// The tool under another name, or with another description; `None` where the definition can't
    /// be written so, which no tool that was parsed comes to.
    pub fn rewritten(&self, name: Option<&str>, description: Option<&str>) -> Option<Self> {
        let text = self.definition.get();
        let members = Members::of(&self.definition)?;
        let places = |key: &str| -> Vec<Range<usize>> {
            let named = members.0.iter().filter(|(name, _)| name == key);
            named.map(|(_, value)| place_in(text, value.get())).collect()
        };
        let names = places("name");
        let mut edits: Vec<(Range<usize>, String)> = Vec::new();
        if let Some(name) = name {
            let written = serde_json::to_string(name).ok()?;
            // Said twice, it is replaced twice: readers differ on which of them counts.
            edits.extend(names.iter().map(|place| (place.clone(), written.clone())));
        }
        if let Some(description) = description {
            let written = serde_json::to_string(description).ok()?;
            let said = places("description");
            if said.is_empty() {
                let after = names.last()?.end;
                edits.push((after..after, format!(",\"description\":{written}")));
            }
            edits.extend(said.into_iter().map(|place| (place, written.clone())));
        }
        // From the end on, so that what is before stays where it is.
        edits.sort_by_key(|(place, _)| std::cmp::Reverse((place.start, place.end)));
        let mut text = text.to_owned();
        for (place, written) in edits {
            text.replace_range(place, &written);
        }
        let hash = ContentHash::of(&text);
        Some(Self {
            id: self.id.clone(),
            server: self.server.clone(),
            name: name.map_or_else(|| self.name.clone(), Into::into),
            definition: RawValue::from_string(text).ok()?.into(),
            hash,
            plain: OnceLock::new(),
        })
    }

    /// Its name at its own server, whatever a view calls it.
    pub fn own_name(&self) -> &str {
        self.id.as_str().get(self.server.as_str().len() + 1..).unwrap_or(&self.name)
    }
}

/// Where `part`, a piece of `whole`, stands in it.
fn place_in(whole: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr() as usize - whole.as_ptr() as usize;
    start..start + part.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tool(definition: &str) -> Tool {
        Tool::parse(&"srv".into(), definition).unwrap()
    }

    #[test]
    fn nothing_else_changes_by_a_byte() {
        let odd = tool(
            r#"{ "z" :1e400,"name": "a/b" , "n":2.50,"inputSchema":{"name":"kept","description":"kept"}}"#,
        );
        let both = odd.rewritten(Some("new"), Some("say \"hi\"")).unwrap();
        assert_eq!(
            both.definition.get(),
            r#"{ "z" :1e400,"name": "new","description":"say \"hi\"" , "n":2.50,"inputSchema":{"name":"kept","description":"kept"}}"#
        );
        assert_eq!((both.id.as_str(), &*both.name, both.own_name()), ("srv/a/b", "new", "a/b"));
        assert_eq!(both.view().description.as_deref(), Some("say \"hi\""));
        assert_ne!(both.hash, odd.hash);
        assert_eq!(odd.rewritten(None, None).unwrap().definition.get(), odd.definition.get());
    }

    #[test]
    fn what_is_said_twice_is_replaced_twice() {
        let twice = tool(r#"{"description":"1","name":"a","name":"b","description":"2"}"#);
        let other = twice.rewritten(Some("c"), Some("d")).unwrap();
        let written = r#"{"description":"d","name":"c","name":"c","description":"d"}"#;
        assert_eq!(other.definition.get(), written);
    }

    proptest! {
        #[test]
        fn the_new_texts_are_read_back(
            before in "\\PC{0,9}", name in "\\PC{1,9}", description in "\\PC{0,30}", first: bool,
        ) {
            let own = serde_json::json!({"name": "x", "description": before, "title": before});
            let own = if first { own.to_string() } else { r#"{"name":"x"}"#.to_owned() };
            let other = tool(&own).rewritten(Some(&name), Some(&description)).unwrap();
            let read = Tool::parse(&"srv".into(), other.definition.get()).unwrap();
            prop_assert_eq!(&*read.name, &*name);
            prop_assert_eq!(read.view().description.unwrap(), description);
            prop_assert_eq!(&*other.name, &*name);
        }
    }
}
