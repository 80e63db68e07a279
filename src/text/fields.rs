//! The parts of a tool that are searched: its lexical fields, and the text that is embedded.
//!
//! Invariant: everything searched comes from the tool's definition and its server's title and
//! description; the same input gives the same text, since vectors are cached by it.

use std::borrow::Cow;
use std::fmt::Write;

use super::stuffing;
use crate::catalog::{Catalog, Server};
use crate::tool::{Tool, ToolView};

/// How many lexical fields there are.
pub const FIELDS: usize = 6;

/// The lexical fields' names, in the order of [`lexical`].
pub const FIELD_NAMES: [&str; FIELDS] =
    ["name", "title", "description", "params", "server", "server_description"];

/// How often a word of each field counts, in the same order. Said again it only makes the field
/// longer, so that nobody's rank is lifted by it. Of a server its id and its title count.
pub const COUNTED: [u8; FIELDS] = [1, 1, 1, 1, 3, 1];

/// The position of the description among them.
pub const DESCRIPTION: usize = 2;

/// The tool's lexical fields, in the order of [`FIELD_NAMES`]; `view` is the tool's own.
pub fn lexical<'a>(
    tool: &'a Tool,
    view: &'a ToolView<'_>,
    server: Option<&'a Server>,
) -> [Cow<'a, str>; FIELDS] {
    let mut params = String::new();
    for param in &view.params {
        let _ = write!(params, "{} {} ", param.name, param.description.as_deref().unwrap_or(""));
    }
    let info = server.map(|server| &server.info);
    let said = |text: Option<&'a String>| Cow::Borrowed(text.map_or("", String::as_str));
    let title = info.and_then(|info| info.title.as_deref()).unwrap_or("");
    [
        Cow::Borrowed(&*tool.name),
        Cow::Borrowed(view.title.as_deref().unwrap_or("")),
        Cow::Borrowed(view.description.as_deref().unwrap_or("")),
        Cow::Owned(params),
        Cow::Owned(format!("{} {title}", tool.server)),
        said(info.and_then(|info| info.description.as_ref())),
    ]
}

/// Characters of a description that are embedded: the encoder reads about a hundred words.
const EMBEDDED_DESCRIPTION: usize = 400;

/// The text that is embedded: `server: name. description Parameters: names`. A word of the
/// description counts once, so that saying it again lifts nobody; of a tool that is stuffed with
/// words only the server is embedded.
pub fn embedded(tool: &Tool, view: &ToolView<'_>, server: Option<&Server>) -> String {
    let server = server.and_then(|server| server.info.title.as_deref());
    let mut text = format!("{}: ", server.unwrap_or_else(|| tool.server.as_str()));
    let description = view.description.as_deref().unwrap_or("");
    if stuffing::find(description).is_some() {
        // Found by its words alone: among tools that are alike it is not to come first.
        return text;
    }
    let _ = write!(text, "{}. ", readable(view.title.as_deref().unwrap_or(&tool.name)));
    let description = stuffing::once(description);
    let end = description.char_indices().nth(EMBEDDED_DESCRIPTION);
    text.push_str(end.map_or(&description, |(end, _)| &description[..end]));
    if !view.params.is_empty() {
        text.push_str(" Parameters:");
        for param in view.params.iter().take(20) {
            let _ = write!(text, " {},", readable(&param.name));
        }
        text.pop();
    }
    text
}

/// As [`embedded`], for a tool of `catalog`.
pub fn embedded_in(catalog: &Catalog, tool: &Tool) -> String {
    let server = catalog.server(tool.server.as_str()).map(|server| &**server);
    embedded(tool, &tool.view(), server)
}

/// An identifier as words: `listMergeRequests` is `list merge requests`.
fn readable(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 8);
    let mut last = ' ';
    for c in name.chars() {
        if c.is_uppercase() && last.is_lowercase() {
            text.push(' ');
        }
        text.push(if matches!(c, '_' | '-' | '.' | '/') { ' ' } else { c });
        last = c;
    }
    text
}
