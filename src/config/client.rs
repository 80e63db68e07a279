//! Reads the server lists of MCP clients, in JSON, TOML or YAML: each format has a file below.
//!
//! Invariant: unknown keys are tolerated, since these are other people's files; a known key with
//! a value of the wrong type is not. What a file lists is told apart by its keys, not by its name.

mod codex;
mod fields;
mod goose;
mod messages;
mod opencode;
mod standard;
mod syntax;
mod variables;

use std::path::Path;

use serde_json::{Map, Value};
use url::Url;

use self::fields::Fields;
use self::variables::Variables;
pub(super) use self::variables::variable;
use super::error::{ConfigError, Place, Problem};
use super::raw::RawServer;
use crate::auth::guard::is_loopback;

/// How a list of servers is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// `mcpServers`: Claude, Cursor, Windsurf, Gemini and most others.
    Standard,
    /// `servers` and `inputs`.
    VsCode,
    /// `mcp_servers`, a table.
    Codex,
    /// `mcp`.
    OpenCode,
    /// `extensions`.
    Goose,
    /// `mcp_servers`, a list, and `tools`: the body of a request to the Messages API.
    Messages,
}

impl Format {
    /// Its name for people.
    pub fn shown(self) -> &'static str {
        match self {
            Self::Standard => "mcpServers",
            Self::VsCode => "VS Code",
            Self::Codex => "Codex",
            Self::OpenCode => "OpenCode",
            Self::Goose => "Goose",
            Self::Messages => "Messages API",
        }
    }
}

/// What a file lists.
#[derive(Default)]
pub(super) struct Read {
    /// The format of its first list.
    pub format: Option<Format>,
    /// Every entry that could be read.
    pub servers: Vec<(String, Place, RawServer)>,
}

impl Read {
    /// The entries but for this program's own, of which it is warned: crawled, it would start
    /// itself without end.
    pub(super) fn without_us(self, told: &mut Told<'_>) -> Vec<(String, Place, RawServer)> {
        let (us, others): (Vec<_>, Vec<_>) =
            self.servers.into_iter().partition(|(_, _, server)| is_ourselves(server));
        told.warnings.extend(us.iter().map(|(_, place, _)| place.error(Problem::Ourselves)));
        others
    }
}

/// What is wrong, and what is odd.
pub(super) struct Told<'a> {
    pub errors: &'a mut Vec<ConfigError>,
    pub warnings: &'a mut Vec<ConfigError>,
}

/// Reads `text`, the file shown as `file` that lies at `path`.
pub(super) fn read(file: &str, path: &Path, text: &str, told: &mut Told<'_>) -> Read {
    let Some((tree, lines)) = syntax::parse(file, path, text, told.errors) else {
        return Read::default();
    };
    let place = Place::new(file, lines);
    let Some(tree) = tree.as_object() else {
        told.errors.push(place.error(Problem::NoServers));
        return Read::default();
    };
    let mut read = Read::default();
    let project = variables::project_of(path);
    for list in lists(tree, &place) {
        read.format.get_or_insert(list.format);
        let variables = Variables::of(list.inputs, path);
        let mut entries = match list.format {
            Format::Messages => messages::read(tree, &list.place, told),
            _ => each(&list, told),
        };
        for (_, _, server) in &mut entries {
            // Clients start a project's servers in its folder.
            let folder = list.folder.or(project.as_deref());
            if let Some(folder) = folder.filter(|_| is_relative(server)) {
                server.cwd.get_or_insert_with(|| folder.to_owned());
            }
            variables.fill(server);
        }
        entries.sort_by_key(|(_, at, _)| at.line());
        for entry in entries {
            add(&mut read.servers, entry, told);
        }
    }
    if read.format.is_none() {
        told.errors.push(place.error(Problem::NoServers));
    }
    read
}

/// A list of servers within a file.
struct List<'a> {
    format: Format,
    servers: &'a Map<String, Value>,
    place: Place,
    /// What VS Code asks for when it starts a server.
    inputs: Option<&'a Value>,
    /// The project it belongs to.
    folder: Option<&'a str>,
}

/// Every list of servers in a file.
fn lists<'a>(tree: &'a Map<String, Value>, place: &Place) -> Vec<List<'a>> {
    let below = |key: &str| tree.get(key).and_then(Value::as_object);
    let list = |format, servers, place| List { format, servers, place, inputs: None, folder: None };
    let at = |key: &str| place.at(key);
    let mut all = Vec::new();
    if let Some(servers) = below("mcpServers") {
        all.push(list(Format::Standard, servers, at("mcpServers")));
    } else if let Some(servers) = below("servers") {
        let inputs = tree.get("inputs");
        all.push(List { inputs, ..list(Format::VsCode, servers, at("servers")) });
    } else if let Some(servers) = below("mcp_servers") {
        all.push(list(Format::Codex, servers, at("mcp_servers")));
    } else if tree.get("mcp_servers").is_some_and(Value::is_array) {
        all.push(list(Format::Messages, tree, at("mcp_servers")));
    } else if let Some(mcp) = below("mcp") {
        let nested = mcp.get("servers").and_then(Value::as_object);
        all.push(match nested.filter(|servers| !servers.contains_key("type")) {
            Some(servers) => {
                let inputs = mcp.get("inputs");
                List { inputs, ..list(Format::VsCode, servers, at("mcp").at("servers")) }
            }
            None => list(Format::OpenCode, mcp, at("mcp")),
        });
    } else if let Some(servers) = below("extensions") {
        all.push(list(Format::Goose, servers, at("extensions")));
    }
    for (folder, project) in below("projects").into_iter().flatten() {
        if let Some(servers) = project.get("mcpServers").and_then(Value::as_object) {
            let place = at("projects").at(folder).at("mcpServers");
            let folder = Some(folder.as_str());
            all.push(List { folder, ..list(Format::Standard, servers, place) });
        }
    }
    all
}

/// The entries of a list that is a table.
fn each(list: &List<'_>, told: &mut Told<'_>) -> Vec<(String, Place, RawServer)> {
    let mut entries = Vec::new();
    for (id, value) in list.servers {
        let at = list.place.at(id);
        let Some(mut fields) = Fields::of(value, &at, told) else { continue };
        let raw = match list.format {
            Format::Standard | Format::VsCode | Format::Messages => standard::read(&mut fields),
            Format::Codex => Some(codex::read(&mut fields)),
            Format::OpenCode => opencode::read(&mut fields),
            Format::Goose => goose::read(&mut fields),
        };
        if let Some(raw) = raw.filter(|_| !fields.is_wrong) {
            entries.push((id.clone(), at, raw));
        }
    }
    entries
}

/// Adds an entry. Projects of one user often have the same server: once is enough, and what only
/// shares its id takes another.
fn add(
    servers: &mut Vec<(String, Place, RawServer)>,
    (id, place, raw): (String, Place, RawServer),
    told: &mut Told<'_>,
) {
    let same_id = |id: &str| servers.iter().find(|(other, ..)| other == id);
    let Some((_, _, other)) = same_id(&id) else {
        return servers.push((id, place, raw));
    };
    if *other == raw {
        return;
    }
    let fresh = free(&id, |id| same_id(id).is_some());
    told.warnings.push(place.error(Problem::Renamed(fresh.clone())));
    servers.push((fresh, place, raw));
}

/// An id like `id` that is not taken.
pub(super) fn free(id: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let mut free = id.to_owned();
    let mut number = 1;
    while is_taken(&free) {
        number += 1;
        free = format!("{id}-{number}");
    }
    free
}

/// It is this program: crawled, it would list what it found.
pub(super) fn is_ourselves(raw: &RawServer) -> bool {
    let program = raw.command.as_deref().map(Path::new).and_then(Path::file_stem);
    let url = raw.url.as_deref().and_then(|url| Url::parse(url).ok());
    program.is_some_and(|name| name == "toolscout")
        || url.is_some_and(|url| is_loopback(&url) && url.port() == Some(7420))
}

/// Something that it is started with is looked for from the working folder.
fn is_relative(server: &RawServer) -> bool {
    let texts = server.command.iter().chain(server.args.iter().flatten());
    let mut texts = texts.filter(|text| text.starts_with('.'));
    texts.next().is_some()
}

#[cfg(test)]
mod tests;
