//! `toolscout model list`: what there is to choose from, and what is chosen.
//!
//! Invariant: nothing is loaded that takes more than a moment, and nothing asks the network.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use comfy_table::{Table, presets};
use serde::Serialize;

use super::ListArgs;
use crate::config::EncoderPlaces;
use crate::embed::{Embedder, Fixed, Found, IN_BINARY, found_in, models_in};
use crate::hub::{MINILM, MINILM_DIMENSIONS};

/// Where a model is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "place", rename_all = "lowercase")]
enum Place {
    Binary,
    Folder { folder: PathBuf },
    Index { megabytes: u64 },
    Endpoint { host: String },
    Nowhere,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    kind: &'static str,
    #[serde(flatten)]
    place: Place,
    dimensions: Option<usize>,
    used: bool,
}

#[derive(Serialize)]
struct Listed<'a> {
    models: &'a [Row],
}

impl Row {
    fn new(name: impl Into<String>, place: Place, dimensions: Option<usize>) -> Self {
        Self { name: name.into(), kind: "encoder", place, dimensions, used: false }
    }

    /// Where it is, for people.
    fn shown(&self) -> String {
        let place = match &self.place {
            Place::Binary => "in the binary".into(),
            Place::Folder { folder } => format!("in {}", folder.display()),
            Place::Index { megabytes } => {
                format!("can be fetched, {megabytes} MB: toolscout model pull {}", self.name)
            }
            Place::Endpoint { host } => format!("at {host}"),
            Place::Nowhere => "not there".into(),
        };
        if self.kind == "encoder" { place } else { format!("{}, {place}", self.kind) }
    }
}

/// Runs the subcommand.
pub fn run(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let places = args.place.resolve(None)?;
    let rows = rows(&places);
    let mut out = anstream::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &Listed { models: &rows })?;
        writeln!(out)?;
    } else {
        writeln!(out, "{}", table(&rows).trim_fmt())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn rows(places: &EncoderPlaces) -> Vec<Row> {
    let scout = Fixed::in_binary().ok().map(|scout| scout.dims());
    let mut rows = vec![Row::new(IN_BINARY, Place::Binary, scout)];
    let models = models_in(&places.data);
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&models)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    folders.sort();
    rows.extend(folders.iter().filter_map(|folder| row(folder, &models)));
    if !rows.iter().any(|row| row.name == MINILM.name) {
        let place = Place::Index { megabytes: MINILM.megabytes };
        rows.push(Row::new(MINILM.name, place, Some(MINILM_DIMENSIONS)));
    }
    mark(&mut rows, places);
    rows
}

/// A model in the folder of the models. Dotted ones are being filled, and the name of the encoder
/// in the binary means no folder.
fn row(folder: &Path, models: &Path) -> Option<Row> {
    let name = folder.file_name()?.to_string_lossy().into_owned();
    if name.starts_with('.') || name == IN_BINARY {
        return None;
    }
    let found = found_in(folder)?;
    let place = Place::Folder { folder: folder.to_owned() };
    Some(match found {
        Found::Reranker => Row { kind: "reranker", ..Row::new(name, place, None) },
        Found::Encoder(dimensions) => {
            // Its files do not say so, and as it is pinned it is known.
            let is_pinned = name == MINILM.name && MINILM.is_in(models);
            Row::new(name, place, dimensions.or(is_pinned.then_some(MINILM_DIMENSIONS)))
        }
    })
}

/// Marks the encoder that is configured, in a row of its own if there is none yet.
fn mark(rows: &mut Vec<Row>, places: &EncoderPlaces) {
    let embed = &places.embed;
    let is_used = |row: &Row| match (&places.missing, &embed.endpoint, &embed.model, &row.place) {
        (Some(name), ..) => row.name == *name,
        (None, None, None, Place::Binary) => true,
        (None, None, Some(used), Place::Folder { folder }) => is_same(used, folder),
        _ => false,
    };
    if !embed.enabled {
        return;
    }
    if let Some(row) = rows.iter_mut().find(|row| is_used(row)) {
        row.used = true;
        return;
    }
    let row = if let Some(name) = &places.missing {
        Row::new(name, Place::Nowhere, None)
    } else if let Some(endpoint) = &embed.endpoint {
        // Nothing else of the address: it may hold what is secret.
        let host = endpoint.url.host_str().unwrap_or_default().to_owned();
        Row::new(&endpoint.model, Place::Endpoint { host }, Some(endpoint.dimensions))
    } else if let Some(folder) = &embed.model {
        let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy();
        match found_in(folder).filter(|_| folder.is_dir()) {
            Some(found) => {
                let dimensions =
                    if let Found::Encoder(dimensions) = found { dimensions } else { None };
                Row::new(name, Place::Folder { folder: folder.clone() }, dimensions)
            }
            None => Row::new(name, Place::Nowhere, None),
        }
    } else {
        return;
    };
    rows.push(Row { used: true, ..row });
}

fn is_same(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    a == b || real(a) == real(b)
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["", "model", "where", "dimensions"]);
    for row in rows {
        table.add_row([
            if row.used { "*" } else { "" }.to_owned(),
            row.name.clone(),
            row.shown(),
            row.dimensions.map(|dimensions| dimensions.to_string()).unwrap_or_default(),
        ]);
    }
    table
}
