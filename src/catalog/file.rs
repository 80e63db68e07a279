//! Catalog files: definitions on disk, one tool or one server a line, perhaps gzipped.
//!
//! Two shapes, told apart line by line: `{"server": …, "name": …, …}` is a tool whose definition
//! is the line without `server`; `{"server": …, "tools": [ … ]}` is a server. Invariant: what
//! [`write`] wrote, [`read`] reads back byte for byte.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use flate2::read::MultiGzDecoder;
use serde_json::value::RawValue;

use super::{Catalog, Listing, ServerInfo};
use crate::tool::{Members, ServerId, Tool};

/// Why a catalog file can't be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file can't be opened or read.
    #[error("can't read catalog file {path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is neither a tool nor a server.
    #[error("{path}:{line}: {problem}", path = path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
}

/// Reads a catalog, and titles and descriptions from a `servers.jsonl` if one is given.
pub fn read(path: &Path, servers: Option<&Path>) -> Result<Vec<(ServerId, Listing)>, FileError> {
    let crawled_at = modified(path)?;
    let mut listings: BTreeMap<ServerId, Listing> = BTreeMap::new();
    let mut listing_of = |id: &ServerId, then: &mut dyn FnMut(&mut Listing)| {
        then(listings.entry(id.clone()).or_insert_with(|| Listing {
            info: ServerInfo::default(),
            tools: Vec::new(),
            crawled_at,
            defects: Vec::new(),
        }));
    };
    each_line(path, |text| {
        let raw: &RawValue = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let members = Members::of(raw).ok_or("not a JSON object")?;
        let server = members.text("server").filter(|id| !id.is_empty()).ok_or("no \"server\"")?;
        let id = ServerId::from(&*server);
        if let Some(tools) = members.get("tools") {
            let tools: Vec<Box<RawValue>> =
                serde_json::from_str(tools.get()).map_err(|error| error.to_string())?;
            listing_of(&id, &mut |listing| {
                listing.info = server_info(&members);
                for raw in &tools {
                    push(listing, &id, raw.get());
                }
            });
        } else {
            let definition = without_server(raw.get(), &members);
            listing_of(&id, &mut |listing| push(listing, &id, &definition));
        }
        Ok(())
    })?;
    if let Some(path) = servers {
        each_line(path, |text| {
            let raw: &RawValue = serde_json::from_str(text).map_err(|error| error.to_string())?;
            let members = Members::of(raw).ok_or("not a JSON object")?;
            let server = members.text("server").ok_or("no \"server\"")?;
            if let Some(listing) = listings.get_mut(&*server) {
                let said = |key| members.text(key).filter(|t| !t.is_empty()).map(Into::into);
                listing.info.title = said("title").or(listing.info.title.take());
                listing.info.description = said("description").or(listing.info.description.take());
            }
            Ok(())
        })?;
    }
    Ok(listings.into_iter().collect())
}

/// Writes every tool of `catalog`, one a line, in the order of ids.
pub fn write(catalog: &Catalog, mut out: impl Write) -> io::Result<()> {
    for tool in catalog.tools() {
        let server = serde_json::to_string(&tool.server)?;
        // A definition is an object with at least a name, so its first byte is `{` and a member
        // follows.
        writeln!(out, "{{\"server\":{server},{}", &tool.definition.get()[1..])?;
    }
    out.flush()
}

/// Writes what each server says of itself, one a line: what [`read`] takes as `servers`.
pub fn write_servers(catalog: &Catalog, mut out: impl Write) -> io::Result<()> {
    for server in catalog.servers() {
        let said = serde_json::json!({
            "server": server.id,
            "title": server.info.title,
            "description": server.info.description,
        });
        writeln!(out, "{said}")?;
    }
    out.flush()
}

/// The modification time of a file: the age of the definitions in it.
pub fn modified(path: &Path) -> Result<SystemTime, FileError> {
    std::fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .map_err(|source| FileError::Io { path: path.into(), source })
}

fn push(listing: &mut Listing, id: &ServerId, definition: &str) {
    match Tool::parse(id, definition) {
        Ok(tool) => {
            listing.defects.extend(tool.defect().map(|defect| format!("{}: {defect}", tool.name)));
            listing.tools.push(tool);
        }
        Err(error) => {
            listing.defects.push(format!("tool {}: {error}", listing.tools.len() + 1));
        }
    }
}

/// What `initialize` said, as a crawl of real servers records it.
fn server_info(members: &Members<'_>) -> ServerInfo {
    let info = members.get("serverInfo").and_then(Members::of);
    let of_info = |key| info.as_ref().and_then(|info| info.text(key)).filter(|t| !t.is_empty());
    let description: Vec<_> = [
        members.text("description").or_else(|| of_info("description")),
        members.text("instructions"),
    ]
    .into_iter()
    .flatten()
    .filter(|text| !text.is_empty() && text != "null")
    .collect();
    ServerInfo {
        title: members
            .text("title")
            .or_else(|| of_info("title"))
            .or_else(|| of_info("name"))
            .map(Into::into),
        description: (!description.is_empty()).then(|| description.join("\n")),
        protocol: members.text("protocolVersion").map(Into::into),
        ..ServerInfo::default()
    }
}

/// The line's own bytes but for the first `server` member and its comma.
fn without_server(line: &str, members: &Members<'_>) -> String {
    let end =
        |raw: &RawValue| raw.get().as_ptr() as usize - line.as_ptr() as usize + raw.get().len();
    let Some(at) = members.0.iter().position(|(key, _)| key == "server") else {
        return line.into();
    };
    let after = &line[end(members.0[at].1)..];
    if at == 0 {
        let rest = after.trim_start();
        format!("{{{}", rest.strip_prefix(',').unwrap_or(rest))
    } else {
        format!("{}{after}", &line[..end(members.0[at - 1].1)])
    }
}

fn each_line(
    path: &Path,
    mut then: impl FnMut(&str) -> Result<(), String>,
) -> Result<(), FileError> {
    let io = |source| FileError::Io { path: path.into(), source };
    let file = File::open(path).map_err(io)?;
    let gzipped = path.extension().is_some_and(|extension| extension == "gz");
    let reader: Box<dyn Read> =
        if gzipped { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    for (at, line) in BufReader::new(reader).lines().enumerate() {
        let line = line.map_err(io)?;
        let text = line.trim();
        if !text.is_empty() {
            then(text).map_err(|problem| FileError::Line {
                path: path.into(),
                line: at + 1,
                problem,
            })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<(ServerId, Listing)>, FileError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        read(file.path(), None)
    }

    #[test]
    fn both_shapes_in_one_file() {
        let lines = concat!(
            "{\"server\":\"a\", \"name\":\"x\",\"n\":1e400}\n\n",
            "{\"name\":\"y\",\"server\":\"a\",\"k\":1}\n",
            "{\"server\":\"b/c\",\"serverInfo\":{\"name\":\"bee\"},\"instructions\":null,",
            "\"tools\":[{\"name\":\"z\"},7]}\n",
        );
        let listings = read_text(lines).unwrap();
        let seen: Vec<_> = listings
            .iter()
            .flat_map(|(_, listing)| &listing.tools)
            .map(|tool| (tool.id.as_str(), tool.definition.get()))
            .collect();
        assert_eq!(
            seen,
            [
                ("a/x", "{ \"name\":\"x\",\"n\":1e400}"),
                ("a/y", "{\"name\":\"y\",\"k\":1}"),
                ("b/c/z", "{\"name\":\"z\"}"),
            ]
        );
        assert_eq!(listings[1].1.info.title.as_deref(), Some("bee"));
        assert_eq!(listings[1].1.info.description, None);
        assert_eq!(
            listings[1].1.defects,
            ["z: no inputSchema", "tool 2: not a JSON object: another JSON value"]
        );
    }

    #[test]
    fn names_the_line_that_is_wrong() {
        let error = read_text("{\"server\":\"a\",\"name\":\"x\"}\n{\"name\":\"y\"}").unwrap_err();
        assert!(error.to_string().ends_with(":2: no \"server\""), "{error}");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let listings = read_text("{\"server\":\"a\", \"name\":\"x\",\"n\":[1, 2]}").unwrap();
        let catalog = Catalog::from_listings(listings);
        let mut written = Vec::new();
        write(&catalog, &mut written).unwrap();
        let again = read_text(std::str::from_utf8(&written).unwrap()).unwrap();
        assert_eq!(again[0].1.tools[0], **catalog.get("a/x").unwrap());
    }
}
