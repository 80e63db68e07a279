//! Reads the server lists of MCP clients: `mcpServers`, or `servers` as VS Code writes it.
//!
//! Invariant: unknown keys are tolerated, since these are other people's files; a known key with
//! a value of the wrong type is not.

use std::collections::BTreeMap;

use jsonc_parser::ast::{Object, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions};
use serde::Deserialize;

use super::error::{ConfigError, Lines, Place, Problem, line_at};
use super::file::typed;
use super::raw::RawServer;

/// An entry, with the keys that client applications give it.
#[derive(Deserialize)]
struct ClientServer {
    r#type: Option<String>,
    command: Option<String>,
    args: Option<Vec<String>>,
    env: Option<BTreeMap<String, Scalar>>,
    cwd: Option<String>,
    #[serde(alias = "httpUrl", alias = "serverUrl")]
    url: Option<String>,
    headers: Option<BTreeMap<String, Scalar>>,
    #[serde(default)]
    disabled: bool,
}

/// What clients take as the value of a variable.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Number(serde_json::Number),
    Switch(bool),
}

impl From<Scalar> for String {
    fn from(scalar: Scalar) -> Self {
        match scalar {
            Scalar::Text(text) => text,
            Scalar::Number(number) => number.to_string(),
            Scalar::Switch(switch) => switch.to_string(),
        }
    }
}

/// Reads `text`, the file shown as `file`: every entry that could be read.
pub(super) fn read(
    file: &str,
    text: &str,
    errors: &mut Vec<ConfigError>,
) -> Vec<(String, Place, RawServer)> {
    let options = ParseOptions { allow_comments: true, allow_trailing_commas: true, ..strict() };
    let parsed = jsonc_parser::parse_to_ast(text, &CollectOptions::default(), &options);
    let tree = match &parsed {
        Ok(tree) => tree.value.as_ref().and_then(Value::as_object),
        Err(error) => {
            errors.push(ConfigError {
                line: Some(error.line_display()),
                ..Place::new(file, Lines::new()).error(Problem::Syntax(error.kind().to_string()))
            });
            return Vec::new();
        }
    };
    let mut lines = Lines::new();
    if let Some(tree) = tree {
        note_lines(text, tree, &mut Vec::new(), &mut lines);
    }
    let place = Place::new(file, lines);
    let listed =
        ["mcpServers", "servers"].into_iter().find_map(|key| Some((key, tree?.get_object(key)?)));
    let Some((key, servers)) = listed else {
        errors.push(place.error(Problem::NoServers));
        return Vec::new();
    };
    let mut entries = Vec::new();
    for entry in &servers.properties {
        let id = entry.name.as_str();
        let at = place.at(key).at(id);
        let own_text = &text[entry.value.range().start..entry.value.range().end];
        match jsonc_parser::parse_to_serde_value::<ClientServer>(own_text, &options) {
            Ok(server) => {
                if let Some(raw) = server.into_raw(&at, errors) {
                    entries.push((id.to_owned(), at, raw));
                }
            }
            Err(error) => {
                let offset = entry.value.range().start + error.range().start;
                let encloses =
                    |range: jsonc_parser::common::Range| (range.start..range.end).contains(&offset);
                let wrong = (entry.value.as_object().into_iter())
                    .flat_map(|object| &object.properties)
                    .find(|property| encloses(property.range));
                let key = wrong.map_or(at.clone(), |property| at.at(property.name.as_str()));
                errors.push(key.error(typed(&error.kind().to_string())));
            }
        }
    }
    entries
}

/// JSON and nothing else.
fn strict() -> ParseOptions {
    ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

fn note_lines(text: &str, object: &Object<'_>, path: &mut Vec<String>, lines: &mut Lines) {
    for property in &object.properties {
        path.push(property.name.as_str().to_owned());
        lines.insert(path.clone(), line_at(text, property.range.start));
        if let Value::Object(below) = &property.value {
            note_lines(text, below, path, lines);
        }
        path.pop();
    }
}

impl ClientServer {
    /// The entry as our own file would have it; `None` when its type can't be served.
    fn into_raw(mut self, at: &Place, errors: &mut Vec<ConfigError>) -> Option<RawServer> {
        match self.r#type.as_deref() {
            None => {}
            // Some clients keep the keys of both; the type says which of them count.
            Some("stdio") => self.url = None,
            // The crawl finds out which of the two a server speaks.
            Some("http" | "streamable-http" | "streamable_http" | "streamableHttp" | "sse") => {
                self.command = None;
            }
            Some(other) => {
                let problem = Problem::UnknownType(other.to_owned());
                errors.push(at.at("type").error(problem));
                return None;
            }
        }
        let (stdio, http) = (self.command.is_some(), self.url.is_some());
        let scalars = |map: BTreeMap<String, Scalar>| {
            map.into_iter().map(|(key, value)| (key, value.into())).collect()
        };
        Some(RawServer {
            enabled: Some(!self.disabled),
            command: self.command,
            args: self.args.filter(|_| stdio),
            env: self.env.filter(|_| stdio).map(scalars),
            cwd: self.cwd.filter(|_| stdio),
            url: self.url,
            headers: self.headers.filter(|_| http).map(scalars),
            ..RawServer::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_editors_write() {
        let text = r#"{
            // Visual Studio Code
            "inputs": [],
            "servers": {
                "git": {"command": "uvx", "args": ["mcp-server-git"], "env": {"PORT": 80}, "gallery": true},
                "docs": {"type": "streamable_http", "serverUrl": "https://x.test/mcp", "headers": {"A": "b"},},
                "old": {"type": "sse", "url": "https://x.test/sse", "disabled": true}, /* trailing */
            },
        }"#;
        let mut errors = Vec::new();
        let read = read("mcp.json", text, &mut errors);
        assert_eq!(errors, []);
        let ids: Vec<_> = read.iter().map(|(id, ..)| id.as_str()).collect();
        assert_eq!(ids, ["git", "docs", "old"]);
        assert_eq!(read[0].2.env.as_ref().unwrap()["PORT"], "80");
        assert_eq!(read[1].2.url.as_deref(), Some("https://x.test/mcp"));
        assert_eq!(read[2].2.enabled, Some(false));
    }

    #[test]
    fn every_bad_entry_is_named_and_the_good_ones_stay() {
        let text = r#"{"mcpServers": {
            "a": {"type": "websocket", "url": "wss://x.test/"},
            "b": {"type": "carrier-pigeon"},
            "c": {"command": "x", "args": "sk-secret"},
            "d": {"command": "x"}
        }}"#;
        let mut errors = Vec::new();
        let read = read("mcp.json", text, &mut errors);
        assert_eq!(read.len(), 1);
        let shown: Vec<_> = errors.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
    mcp.json:2: mcpServers.a.type: unknown server type "websocket"
      remedy: use "stdio" or "http"
    mcp.json:3: mcpServers.b.type: unknown server type "carrier-pigeon"
      remedy: use "stdio" or "http"
    mcp.json:4: mcpServers.c.args: wrong type: expected a list, found string
      remedy: give a value of that type; see `toolscout config example`
    "#);
    }

    #[test]
    fn tells_syntax_from_a_missing_list() {
        let mut errors = Vec::new();
        read("a.json", "{\n \"mcpServers\": {,}}", &mut errors);
        read("b.json", r#"{"context_servers": {}}"#, &mut errors);
        read("c.json", "", &mut errors);
        let shown: Vec<_> = errors.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
    a.json:2: syntax: Unexpected token in object
      remedy: correct the file at that line
    b.json: no `mcpServers` or `servers` object
      remedy: wrap the entries: {"mcpServers": {"my-server": {…}}}
    c.json: no `mcpServers` or `servers` object
      remedy: wrap the entries: {"mcpServers": {"my-server": {…}}}
    "#);
    }
}
