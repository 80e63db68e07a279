//! One tool definition as its server sent it, and the parts of it that toolscout reads.
//!
//! Invariant: [`Tool::definition`] holds the bytes that came, unchanged. Everything else here is
//! derived from them, and reading them never fails for a tool that [`Tool::parse`] accepted.

pub mod hints;
mod rewrite;

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use wincode::{SchemaRead, SchemaWrite};

use self::hints::Hints;

/// The name a server has in the configuration. May hold `/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServerId(Arc<str>);

/// `server/name`: unique in a catalog. Built by joining and never split, since both parts may
/// hold `/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ToolId(Arc<str>);

macro_rules! string_id {
    ($id:ident) => {
        impl $id {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl From<&str> for $id {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }
        impl From<String> for $id {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
        impl std::borrow::Borrow<str> for $id {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}
string_id!(ServerId);
string_id!(ToolId);

impl ToolId {
    /// The id of the tool `name` of `server`.
    pub fn join(server: &ServerId, name: &str) -> Self {
        Self(format!("{server}/{name}").into())
    }
}

/// BLAKE3 of some text: equal hashes mean equal text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, SchemaWrite, SchemaRead)]
pub struct ContentHash(pub [u8; 32]);

impl ContentHash {
    /// The hash of `text`.
    pub fn of(text: &str) -> Self {
        Self(*blake3::hash(text.as_bytes()).as_bytes())
    }

    /// In 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }

    /// What [`ContentHash::hex`] wrote.
    pub fn from_hex(text: &str) -> Option<Self> {
        blake3::Hash::from_hex(text).ok().map(|hash| Self(*hash.as_bytes()))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex()[..16])
    }
}

/// Why a definition can't be a tool. The message names what is wrong, not where it came from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// The text is not JSON, or not an object.
    #[error("not a JSON object: {0}")]
    NotAnObject(String),
    /// There is no `name`, or it is not a non-empty string.
    #[error("no usable name")]
    NoName,
}

/// A tool of one server.
#[derive(Clone)]
pub struct Tool {
    /// `server/name`.
    pub id: ToolId,
    /// The server that offers it.
    pub server: ServerId,
    /// Its name at that server, or the one that a view gives it.
    pub name: Arc<str>,
    /// The definition's own bytes.
    pub definition: Arc<RawValue>,
    /// Hash of the definition.
    pub hash: ContentHash,
    /// What [`Tool::is_plain`] found out.
    plain: OnceLock<bool>,
}

impl Tool {
    /// Reads just enough of `definition` to name the tool; everything else may be odd.
    pub fn parse(server: &ServerId, definition: &str) -> Result<Self, ToolError> {
        let raw: Box<RawValue> = serde_json::from_str(definition)
            .map_err(|error| ToolError::NotAnObject(error.to_string()))?;
        Self::from_raw(server, raw)
    }

    /// As [`Tool::parse`], for a definition that is known to be JSON.
    pub fn from_raw(server: &ServerId, definition: Box<RawValue>) -> Result<Self, ToolError> {
        let members = Members::of(&definition)
            .ok_or_else(|| ToolError::NotAnObject("another JSON value".into()))?;
        let name: Arc<str> = match members.get("name").map(|raw| serde_json::from_str(raw.get())) {
            Some(Ok(name)) if !String::is_empty(&name) => name.into(),
            _ => return Err(ToolError::NoName),
        };
        Ok(Self {
            id: ToolId::join(server, &name),
            server: server.clone(),
            name,
            hash: ContentHash::of(definition.get()),
            definition: definition.into(),
            plain: OnceLock::new(),
        })
    }

    /// The readable parts of the definition; what is missing or odd reads as absent.
    pub fn view(&self) -> ToolView<'_> {
        let Some(members) = Members::of(&self.definition) else {
            return ToolView::default();
        };
        let annotations = members.get("annotations");
        let title = members
            .text("title")
            .or_else(|| Members::of(annotations?)?.text("title").filter(|title| !title.is_empty()));
        ToolView {
            title,
            description: members.text("description"),
            params: members.get("inputSchema").map(params).unwrap_or_default(),
            hints: annotations.map(Hints::of).unwrap_or_default(),
        }
    }

    /// JSON readers commonly take the definition: it has no number beyond all range, say.
    pub fn is_plain(&self) -> bool {
        *self.plain.get_or_init(|| serde_json::from_str::<Value>(self.definition.get()).is_ok())
    }

    /// What is wrong with the definition by the specification, though it is kept and served.
    pub fn defect(&self) -> Option<&'static str> {
        let members = Members::of(&self.definition)?;
        match members.get("inputSchema") {
            None => Some("no inputSchema"),
            Some(schema) if Members::of(schema).is_none() => Some("inputSchema is not an object"),
            Some(_) => None,
        }
    }
}

impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tool")
            .field("id", &self.id)
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Tool {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.hash == other.hash
    }
}

/// The parts of a definition that are searched. Borrowed where the JSON has no escapes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ToolView<'a> {
    /// `title`, or the older `annotations.title`.
    pub title: Option<Cow<'a, str>>,
    /// `description`.
    pub description: Option<Cow<'a, str>>,
    /// Top-level properties of `inputSchema`, in the order of the definition.
    pub params: Vec<Param<'a>>,
    /// What `annotations` say of its effects.
    pub hints: Hints,
}

/// One input parameter.
#[derive(Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// The property's name.
    pub name: Cow<'a, str>,
    /// The property's `description`.
    pub description: Option<Cow<'a, str>>,
}

fn params(schema: &RawValue) -> Vec<Param<'_>> {
    let properties = Members::of(schema).and_then(|schema| Members::of(schema.get("properties")?));
    let Some(properties) = properties else {
        return Vec::new();
    };
    properties
        .0
        .into_iter()
        .map(|(name, schema)| Param {
            name,
            description: Members::of(schema).and_then(|schema| schema.text("description")),
        })
        .collect()
}

/// A JSON object's members in order, values unread: an odd value spoils nothing but itself.
pub(crate) struct Members<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    pub fn of(raw: &'a RawValue) -> Option<Self> {
        serde_json::from_str(raw.get()).ok()
    }

    /// The last member of that name, as JSON readers commonly have it.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    pub fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        read_text(self.get(name)?)
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Text(key), value)) = map.next_entry()? {
                    members.push((key, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// A string that is borrowed where it can be (serde's `Cow` alone always owns).
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A JSON string; one that holds a lone surrogate is read as it is written, escapes and all,
/// so that the rest of its words can still be found.
fn read_text(raw: &RawValue) -> Option<Cow<'_, str>> {
    match serde_json::from_str::<Text<'_>>(raw.get()) {
        Ok(Text(text)) => Some(text),
        Err(_) => raw.get().strip_prefix('"')?.strip_suffix('"').map(Cow::Borrowed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(definition: &str) -> Result<Tool, ToolError> {
        Tool::parse(&"srv".into(), definition)
    }

    #[test]
    fn keeps_the_bytes_that_came() {
        let odd = r#"{ "b" :1e400,"name":"x",  "z":"\ud800","inputSchema":true}"#;
        assert_eq!(tool(odd).unwrap().definition.get(), odd);
    }

    #[test]
    fn reads_what_is_searched() {
        let tool = tool(
            r#"{"name":"a/b","annotations":{"title":"T"},"description":"say \"hi\"",
                "inputSchema":{"properties":{"q":{"description":"what"},"n":true}}}"#,
        )
        .unwrap();
        assert_eq!(tool.id.as_str(), "srv/a/b");
        let view = tool.view();
        assert_eq!(view.title.as_deref(), Some("T"));
        assert_eq!(view.description.as_deref(), Some("say \"hi\""));
        let params: Vec<_> =
            view.params.iter().map(|p| (&*p.name, p.description.as_deref())).collect();
        assert_eq!(params, [("q", Some("what")), ("n", None)]);
    }

    #[test]
    fn a_lone_surrogate_spoils_nothing_else() {
        let tool = tool(r#"{"name":"x","description":"send \ud83d mail"}"#).unwrap();
        assert!(tool.view().description.unwrap().contains("mail"));
    }

    #[test]
    fn refuses_what_has_no_name() {
        assert_eq!(tool(r#"{"name":""}"#).unwrap_err(), ToolError::NoName);
        assert_eq!(tool(r#"{"name":7}"#).unwrap_err(), ToolError::NoName);
        assert!(matches!(tool("[1]").unwrap_err(), ToolError::NotAnObject(_)));
        assert!(matches!(tool("{").unwrap_err(), ToolError::NotAnObject(_)));
    }

    #[test]
    fn names_defects_but_keeps_the_tool() {
        assert_eq!(tool(r#"{"name":"x"}"#).unwrap().defect(), Some("no inputSchema"));
        let tool = tool(r#"{"name":"x","inputSchema":null}"#).unwrap();
        assert_eq!(tool.defect(), Some("inputSchema is not an object"));
    }
}
