//! The shapes themselves: a tool in one of them, and the whole result.
//!
//! Invariant: what is written here is JSON, and what it is written from is the stored definition.
//! Model APIs get names, descriptions and schemas that they take; MCP gets what the server sent.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::schema::{self, Object, quoted};
use super::signature::{self, MAX_SENTENCE, sentence};
use super::{Format, Rung, definition};
use crate::catalog::{Catalog, names};
use crate::tool::{Members, ServerId, Tool};

/// Where a shape has no room for a word on what was left out, it stands behind the description.
const MARK: &str = "[reduced: see get_tool]";

/// The call that a result answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Call {
    /// The id of Anthropic's `tool_use` block.
    pub tool_use_id: Option<String>,
    /// The id of OpenAI's `tool_search_call`.
    pub call_id: Option<String>,
}

/// One tool of `catalog` in `format`.
pub fn piece(format: Format, catalog: &Catalog, tool: &Tool, rung: Rung) -> String {
    let name = || catalog.api_names().name(tool);
    let mut object = Object::new();
    match format {
        Format::Mcp => return definition(tool, rung, in_meta(tool, rung).as_deref()).into_owned(),
        Format::Names => return quoted(tool.id.as_str()),
        Format::Signatures => return quoted(&line(tool, rung)),
        Format::ToolReference => {
            object.text("type", "tool_reference");
            object.text("tool_name", &name());
        }
        Format::Anthropic => {
            let odd = schema::odd_keys(input_schema(tool));
            let mut description = described(tool, rung);
            if !odd.is_empty() {
                let names = odd.join(", ");
                description = format!("{description} (Not to be given here: {names}.)").into();
            }
            object.text("name", &name());
            object.text("description", &description);
            object.raw("input_schema", &parameters(tool, rung, &odd));
        }
        Format::Openai | Format::ToolSearchOutput => {
            object.text("type", "function");
            object.text("name", &name());
            object.text("description", &described(tool, rung));
            object.raw("parameters", &parameters(tool, rung, &[]));
            if format == Format::Openai {
                // The SDK's type wants a word on it, and hardly any tool's schema is a strict one.
                object.raw("strict", "false");
            } else {
                object.raw("defer_loading", "true");
            }
        }
    }
    object.end()
}

/// What a definition says of itself that is not whole: it does not hold its id.
fn in_meta(tool: &Tool, rung: Rung) -> Option<String> {
    let id = quoted(tool.id.as_str());
    rung.told().map(|told| format!("{told}: get_tool {{\"id\":{id}}} returns it whole"))
}

/// A tool that the Messages API loads only when it is referenced.
pub fn deferred(catalog: &Catalog, tool: &Tool) -> String {
    let mut text = piece(Format::Anthropic, catalog, tool, Rung::Full);
    text.pop();
    text + r#","defer_loading":true}"#
}

/// The whole result out of its pieces, which are in the order of `tools`.
pub fn join<'a, T: AsRef<str>>(
    format: Format,
    catalog: &Catalog,
    call: &Call,
    tools: impl IntoIterator<Item = &'a Tool>,
    pieces: &[T],
) -> String {
    let mut object = Object::new();
    match format {
        Format::ToolReference => {
            object.text("type", "tool_result");
            if let Some(id) = &call.tool_use_id {
                object.text("tool_use_id", id);
            }
            object.raw("content", &array(pieces));
        }
        Format::ToolSearchOutput => {
            object.text("type", "tool_search_output");
            if let Some(id) = &call.call_id {
                object.text("call_id", id);
            }
            object.text("execution", "client");
            object.text("status", "completed");
            object.raw("tools", &array(&namespaces(catalog, tools, pieces)));
        }
        _ => return array(pieces),
    }
    object.end()
}

fn array<T: AsRef<str>>(pieces: &[T]) -> String {
    let length: usize = pieces.iter().map(|piece| piece.as_ref().len() + 1).sum();
    let mut text = String::with_capacity(length + 2);
    text.push('[');
    for (at, piece) in pieces.iter().enumerate() {
        text.push_str(if at > 0 { "," } else { "" });
        text.push_str(piece.as_ref());
    }
    text.push(']');
    text
}

/// A namespace a server, in the order of their first tools.
pub fn namespaces<'a, T: AsRef<str>>(
    catalog: &Catalog,
    tools: impl IntoIterator<Item = &'a Tool>,
    pieces: &[T],
) -> Vec<String> {
    let groups = grouped(tools.into_iter().zip(pieces), |(tool, _)| &tool.server);
    let namespace = |(server, group): (&ServerId, Vec<(&Tool, &T)>)| {
        let pieces: Vec<&str> = group.iter().map(|(_, piece)| (*piece).as_ref()).collect();
        let mut object = Object::new();
        object.text("type", "namespace");
        object.text("name", &names::namespace(server.as_str()));
        object.text("description", &about(catalog, server));
        object.raw("tools", &array(&pieces));
        object.end()
    };
    groups.into_iter().map(namespace).collect()
}

/// The tools in the order in which a result of this format has them.
pub fn flattened<'a>(format: Format, tools: impl IntoIterator<Item = &'a Tool>) -> Vec<&'a Tool> {
    if format != Format::ToolSearchOutput {
        return tools.into_iter().collect();
    }
    let groups = grouped(tools.into_iter(), |tool| &tool.server);
    groups.into_iter().flat_map(|(_, tools)| tools).collect()
}

/// The items of each server together, servers in the order of their first.
fn grouped<'a, T>(
    items: impl Iterator<Item = T>,
    server: impl Fn(&T) -> &'a ServerId,
) -> Vec<(&'a ServerId, Vec<T>)> {
    let mut groups: indexmap::IndexMap<&ServerId, Vec<T>> = indexmap::IndexMap::new();
    for item in items {
        groups.entry(server(&item)).or_default().push(item);
    }
    groups.into_iter().collect()
}

/// What a namespace is about, as its server says.
fn about(catalog: &Catalog, server: &ServerId) -> String {
    let info = catalog.server(server.as_str()).map(|server| &server.info);
    let title = info.and_then(|info| info.title.as_deref()).unwrap_or(server.as_str());
    let title = sentence(title, MAX_SENTENCE);
    match info.and_then(|info| info.description.as_deref()) {
        Some(text) => format!("{title}: {}", sentence(text, MAX_SENTENCE)),
        None => format!("Tools of {title}"),
    }
}

/// The description, or else the title.
fn about_tool(tool: &Tool) -> Option<Cow<'_, str>> {
    let view = tool.view();
    view.description.filter(|text| !text.trim().is_empty()).or(view.title)
}

/// The description as model APIs get it; they take none that is null.
fn described(tool: &Tool, rung: Rung) -> Cow<'_, str> {
    let text = about_tool(tool).unwrap_or(Cow::Borrowed(&tool.name));
    match rung {
        // No API is sent an outputSchema: this is whole.
        Rung::Full | Rung::NoOutput => text,
        Rung::Flat => format!("{text} {MARK}").into(),
        Rung::Signature | Rung::Sentence => {
            format!("{} {MARK}", sentence(&text, MAX_SENTENCE)).into()
        }
        Rung::Name => MARK.into(),
    }
}

fn input_schema(tool: &Tool) -> Option<&RawValue> {
    Members::of(&tool.definition).and_then(|members| members.get("inputSchema"))
}

fn parameters<'a>(tool: &'a Tool, rung: Rung, without: &[String]) -> Cow<'a, str> {
    let whole = || schema::mended(input_schema(tool), without);
    match rung {
        Rung::Full | Rung::NoOutput => whole(),
        Rung::Flat => schema::flat(&whole()).into(),
        Rung::Signature => schema::typed(&whole()).into(),
        Rung::Sentence | Rung::Name => schema::mended(None, &[]),
    }
}

fn line(tool: &Tool, rung: Rung) -> String {
    let about = sentence(&about_tool(tool).unwrap_or_default(), MAX_SENTENCE);
    let about = if about.is_empty() { about } else { format!(" — {about}") };
    match rung {
        Rung::Full | Rung::NoOutput | Rung::Flat | Rung::Signature => {
            signature::call(tool) + &about
        }
        Rung::Sentence => format!("{}{about} {MARK}", tool.id),
        Rung::Name => format!("{} {MARK}", tool.id),
    }
}
