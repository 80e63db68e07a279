//! Query and run files: JSON Lines, gzipped where the name ends in `.gz`.
//!
//! Invariant: a file is read whole or refused with the line that is wrong; ids are unique.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::LabelledQuery;

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// It can't be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A line is not what it should be.
    #[error("{}, line {line}: {}", path.display(), within_line(source))]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Two lines have one id.
    #[error("{}, line {line}: the id {id:?} stands there twice, ids must be unique", path.display())]
    DuplicateId {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The id.
        id: String,
    },
}

/// One line of a run file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLine {
    /// The query's id.
    pub id: String,
    /// Tool ids, best first.
    pub ranked: Vec<String>,
}

/// Reads labelled queries; labels may be missing.
pub fn read_queries(path: &Path) -> Result<Vec<LabelledQuery>, EvalError> {
    unique(read_lines(path)?, path)
}

/// The same of a text that is no file; `name` is what errors call it.
pub fn queries_of(text: &[u8], name: &Path) -> Result<Vec<LabelledQuery>, EvalError> {
    unique(lines_of(text, name)?, name)
}

fn unique(
    queries: Vec<(usize, LabelledQuery)>,
    path: &Path,
) -> Result<Vec<LabelledQuery>, EvalError> {
    let mut seen = BTreeSet::new();
    for (line, query) in &queries {
        if !seen.insert(&query.id) {
            return Err(duplicate(path, *line, &query.id));
        }
    }
    Ok(queries.into_iter().map(|(_, query)| query).collect())
}

/// Reads a run: ranked tool ids by query id.
pub fn read_run(path: &Path) -> Result<BTreeMap<String, Vec<String>>, EvalError> {
    let mut run = BTreeMap::new();
    for (line, RunLine { id, ranked }) in read_lines(path)? {
        if run.contains_key(&id) {
            return Err(duplicate(path, line, &id));
        }
        run.insert(id, ranked);
    }
    Ok(run)
}

/// Writes a run in the order given.
pub fn write_run<'a>(
    path: &Path,
    lines: impl IntoIterator<Item = &'a RunLine>,
) -> Result<(), EvalError> {
    let write = || {
        let file = BufWriter::new(File::create(path)?);
        if is_gzip(path) {
            let mut gzip = GzEncoder::new(file, Compression::default());
            write_lines(&mut gzip, lines)?;
            gzip.finish()?.flush()
        } else {
            let mut file = file;
            write_lines(&mut file, lines)?;
            file.flush()
        }
    };
    write().map_err(|source| EvalError::Io { path: path.into(), source })
}

fn write_lines<'a>(
    out: &mut impl Write,
    lines: impl IntoIterator<Item = &'a RunLine>,
) -> std::io::Result<()> {
    for line in lines {
        serde_json::to_writer(&mut *out, line)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// The lines of a file that are not blank, each with its number.
fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<(usize, T)>, EvalError> {
    let io = |source| EvalError::Io { path: path.into(), source };
    let file = File::open(path).map_err(io)?;
    let reader: Box<dyn Read> =
        if is_gzip(path) { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    lines_of(BufReader::new(reader), path)
}

fn lines_of<T: DeserializeOwned>(
    reader: impl BufRead,
    path: &Path,
) -> Result<Vec<(usize, T)>, EvalError> {
    let mut values = Vec::new();
    for (line, text) in (1..).zip(reader.lines()) {
        let text = text.map_err(|source| EvalError::Io { path: path.into(), source })?;
        if !text.trim().is_empty() {
            let value = serde_json::from_str(&text).map_err(|source| EvalError::Line {
                path: path.into(),
                line,
                source,
            })?;
            values.push((line, value));
        }
    }
    Ok(values)
}

/// What is wrong with a text of one line: its place is a column, and the line is that of the file.
fn within_line(error: &serde_json::Error) -> String {
    let (told, column) = (error.to_string(), error.column());
    let place = format!(" at line {} column {column}", error.line());
    told.strip_suffix(&place).map_or(told.clone(), |what| format!("{what} (column {column})"))
}

fn is_gzip(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz")
}

fn duplicate(path: &Path, line: usize, id: &str) -> EvalError {
    EvalError::DuplicateId { path: path.into(), line, id: id.into() }
}
