//! The query files that are offered: the demo's, and those in `DATA/evals/queries`.
//!
//! Invariant: nothing but a plain file that lies in that folder itself is read, whatever name is asked
//! for; and no more of it than [`MOST_BYTES`].

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use schemars::JsonSchema;
use serde::Serialize;

use super::{MOST_QUERIES, QualityError};
use crate::demo;
use crate::eval::{LabelledQuery, queries_of};

/// Most bytes of a query file, unpacked.
pub const MOST_BYTES: usize = 8 << 20;
/// Most files that are offered.
const MOST_FILES: usize = 100;
/// The most tools that a query names: results keep those that were missed.
const MOST_LABELS: usize = 200;
/// What the demo's queries are called; a file is called after its ending too.
const DEMO: &str = "demo";

/// A query file that is offered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct QueryFile {
    /// Its name.
    pub name: String,
    /// Its size as it lies there.
    pub bytes: u64,
    /// It comes with the demo; the others were put into the data folder.
    pub demo: bool,
}

pub(super) fn folder(data: &Path) -> PathBuf {
    data.join("evals/queries")
}

/// Those that are offered, by name; the demo's first.
pub(super) fn list(folder: &Path, has_demo: bool) -> Vec<QueryFile> {
    let mut files: Vec<QueryFile> = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        // Of a link this is told of itself.
        let Ok(found) = entry.metadata() else { continue };
        let Ok(name) = entry.file_name().into_string() else { continue };
        if found.is_file() && is_offered(&name) {
            files.push(QueryFile { name, bytes: found.len(), demo: false });
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files.truncate(MOST_FILES);
    if has_demo {
        let bytes = demo::QUERIES.len() as u64;
        files.insert(0, QueryFile { name: DEMO.into(), bytes, demo: true });
    }
    files
}

fn is_offered(name: &str) -> bool {
    let name = name.strip_suffix(".gz").unwrap_or(name);
    Path::new(name).extension().is_some_and(|ending| ending == "jsonl")
}

/// The queries of one that is offered.
pub(super) fn read(
    folder: &Path,
    has_demo: bool,
    name: &str,
) -> Result<Vec<LabelledQuery>, QualityError> {
    let found = list(folder, has_demo).into_iter().find(|file| file.name == name);
    let file = found.ok_or_else(|| QualityError::NoFile(name.to_owned()))?;
    if file.demo {
        return parse(name, demo::QUERIES.as_bytes());
    }
    let text = unpacked(&folder.join(name)).map_err(|e| QualityError::Unread(name.into(), e))?;
    parse(name, &text)
}

/// What is in a file, to one byte more than is taken.
fn unpacked(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let is_packed = path.extension().is_some_and(|ending| ending == "gz");
    let reader: Box<dyn Read> =
        if is_packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut text = Vec::new();
    reader.take(MOST_BYTES as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// The queries in a text, unless there are none, or too many.
pub(super) fn parse(name: &str, text: &[u8]) -> Result<Vec<LabelledQuery>, QualityError> {
    let too_much = |what: String, most| QualityError::TooMuch { name: name.to_owned(), what, most };
    if text.len() > MOST_BYTES {
        return Err(too_much(format!("it has more than {MOST_BYTES} bytes"), MOST_BYTES));
    }
    let queries = queries_of(text, Path::new(name))?;
    match queries.len() {
        0 => Err(QualityError::NoQuery(name.to_owned())),
        count if count > MOST_QUERIES => {
            Err(too_much(format!("there are {count} queries"), MOST_QUERIES))
        }
        _ => match queries.iter().map(labels).max() {
            Some(labels) if labels > MOST_LABELS => {
                Err(too_much(format!("a query has {labels} tools"), MOST_LABELS))
            }
            _ => Ok(queries),
        },
    }
}

/// What a query takes in memory, about: a small string takes more than its letters.
pub(super) fn bytes_of(query: &LabelledQuery) -> usize {
    const STRING: usize = size_of::<String>() + 16;
    let texts = |texts: &[String]| texts.iter().map(|text| STRING + text.len()).sum::<usize>();
    let alternatives = query.alternatives.iter();
    let alternatives = alternatives.map(|(tool, others)| 2 * STRING + tool.len() + texts(others));
    size_of::<LabelledQuery>()
        + query.id.len()
        + query.query.len()
        + query.category.as_ref().map_or(0, String::len)
        + query.relevant.as_deref().map_or(0, texts)
        + alternatives.sum::<usize>()
}

fn labels(query: &LabelledQuery) -> usize {
    let others: usize = query.alternatives.values().map(Vec::len).sum();
    query.relevant.as_ref().map_or(0, Vec::len) + others
}
