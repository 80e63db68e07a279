//! What other clients' lists of servers come to in a `toolscout.toml`.
//!
//! Invariant: nothing is written here; no literal secret is in the text that comes out, only the
//! name of the variable that is to hold it; and what is there already is never touched.

mod entry;
mod names;

use std::collections::BTreeMap;
use std::path::Path;

use secrecy::SecretString;
use serde::Serialize;

use self::names::Names;
use super::client::{self, Told};
use super::edit::{self, EditError, NewServer};
use super::error::{ConfigError, ConfigErrors, Problem};
pub use super::places::{ClientFile, usual_places};
use super::raw::RawServer;
use super::{Environment, file, server};

/// What would be added to a file.
pub struct Import {
    /// The files that were read, with what became of their servers.
    pub files: Vec<ImportedFile>,
    /// The text of the `toolscout.toml`, with the new entries at its end.
    pub text: String,
    /// The entries in it that are new.
    pub added: Vec<NewServer>,
    /// The variables that the new entries need, by name.
    pub variables: BTreeMap<String, Variable>,
}

/// A file of a client.
#[derive(Debug, Serialize)]
pub struct ImportedFile {
    /// The client, or how the file is written.
    pub client: String,
    /// The file, as it is called.
    pub path: String,
    /// Its servers.
    pub servers: Vec<ImportedServer>,
    /// What was left out, and why.
    pub skipped: Vec<String>,
    /// What is worth knowing of what was not.
    pub notes: Vec<String>,
}

/// A server of such a file.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ImportedServer {
    /// Its id there.
    pub id: String,
    /// What became of it.
    pub state: State,
    /// Its id in the `toolscout.toml`.
    pub name: String,
}

/// What became of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is new.
    Added,
    /// It is new, under another id since its own is another server's.
    Renamed,
    /// It was there already, or in a file that was read before.
    Known,
}

/// A variable that must be set before the servers can be reached.
pub struct Variable {
    /// What a client's file has for it.
    pub value: Option<SecretString>,
    /// It is set now.
    pub is_set: bool,
    /// It is set now, to another value than a client's file has for it.
    pub differs: bool,
}

/// Why nothing can be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file that was named can't be used.
    #[error(transparent)]
    Client(ConfigErrors),
    /// The `toolscout.toml` can't be added to.
    #[error(transparent)]
    Edit(#[from] EditError),
}

/// Adds the servers of `files` to `text`, which is that of a file in `folder`. A file that was
/// `named` must be readable and hold a list; of the others those that don't are left out.
pub fn import(
    files: &[ClientFile],
    named: bool,
    text: &str,
    folder: &Path,
    environment: &Environment<'_>,
) -> Result<Import, ImportError> {
    // Tells what is wrong with the file before anything else is told.
    edit::ids(text)?;
    let known = file::read("", text.trim_start_matches('\u{feff}'), &mut Vec::new()).raw.servers;
    let mut plan = Plan {
        known: known.into_iter().collect(),
        names: Names::default(),
        added: Vec::new(),
        folder,
    };
    let mut imported = Vec::new();
    for file in files {
        let Some(file) = plan.file(file, named).map_err(ImportError::Client)? else { continue };
        imported.push(file);
    }
    let text = edit::append(text, &plan.added)?;
    let mut variables = BTreeMap::new();
    for name in plan.added.iter().flat_map(entry::references) {
        let (set, value) = (environment(&name), plan.names.value(&name));
        let differs = value.is_some_and(|value| set.as_deref().is_some_and(|set| set != value));
        let value = value.map(SecretString::from);
        variables.insert(name, Variable { value, is_set: set.is_some(), differs });
    }
    Ok(Import { files: imported, text, added: plan.added, variables })
}

/// What is gathered on the way.
struct Plan<'a> {
    /// The servers that are there, and those to be added.
    known: Vec<(String, RawServer)>,
    names: Names,
    added: Vec<NewServer>,
    /// Where the `toolscout.toml` is.
    folder: &'a Path,
}

impl Plan<'_> {
    /// Adds the servers of a file; `None` when there is nothing to tell of it.
    fn file(
        &mut self,
        file: &ClientFile,
        named: bool,
    ) -> Result<Option<ImportedFile>, ConfigErrors> {
        let ClientFile { client, path } = file;
        let shown = path.display().to_string();
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        let text = match std::fs::read_to_string(path) {
            Err(_) if !named && !path.exists() => return Ok(None),
            Err(error) => {
                let problem = Problem::Unreadable(error.to_string());
                errors
                    .push(super::error::Place::new(shown.as_str(), BTreeMap::new()).error(problem));
                String::new()
            }
            Ok(text) => text,
        };
        let text = text.trim_start_matches('\u{feff}');
        let mut read = client::Read::default();
        if errors.is_empty() {
            let mut told = Told { errors: &mut errors, warnings: &mut warnings };
            read = client::read(&shown, path, text, &mut told);
        }
        let whole = |error: &ConfigError| error.key.is_empty();
        if named && errors.iter().any(whole) {
            return Err(ConfigErrors(errors));
        }
        // Settings without servers are what most of the usual places have.
        if errors.iter().all(|error| error.problem == Problem::NoServers) && read.format.is_none() {
            return Ok(None);
        }
        let mut servers = Vec::new();
        for (id, place, raw) in read.servers {
            match self.server(id, raw, path, &place) {
                Ok(server) => servers.push(server),
                Err(error) => errors.push(error),
            }
        }
        let format = read.format.map_or("?", client::Format::shown);
        let client = if client.is_empty() { format } else { client };
        let told = |error: &ConfigError| match error.key.as_str() {
            "" => error.problem.to_string(),
            key => format!("{key}: {}", error.problem),
        };
        let is_note = |error: &&ConfigError| {
            matches!(error.problem, Problem::Renamed(_) | Problem::NoToolset(_))
        };
        let skipped = warnings.iter().filter(|error| !is_note(error)).chain(&errors).map(told);
        Ok(Some(ImportedFile {
            client: client.to_owned(),
            path: shown,
            servers,
            skipped: skipped.collect(),
            notes: warnings.iter().filter(is_note).map(told).collect(),
        }))
    }

    /// Adds a server, unless it is there.
    fn server(
        &mut self,
        id: String,
        mut raw: RawServer,
        path: &Path,
        place: &super::error::Place,
    ) -> Result<ImportedServer, ConfigError> {
        if client::is_ourselves(&raw) {
            return Err(place.error(Problem::Ourselves));
        }
        let base = path.parent().unwrap_or(Path::new(""));
        entry::settle(&mut raw, base, self.folder);
        check(&id, &raw, base, place)?;
        let hidden = self.names.hide(&id, raw);
        let same = |(_, other): &&(String, RawServer)| entry::reach_the_same(other, &hidden);
        if let Some((name, _)) = self.known.iter().find(same) {
            return Ok(ImportedServer { id, state: State::Known, name: name.clone() });
        }
        let name = client::free(&id, |id| self.known.iter().any(|(other, _)| other == id));
        self.added.push(entry::written(&name, &hidden));
        self.known.push((name.clone(), hidden));
        let state = if name == id { State::Added } else { State::Renamed };
        Ok(ImportedServer { id, state, name })
    }
}

/// The entry would be taken, were its variables set.
fn check(
    id: &str,
    raw: &RawServer,
    base: &Path,
    place: &super::error::Place,
) -> Result<(), ConfigError> {
    let entry = server::Entry {
        id: id.to_owned(),
        place: place.clone(),
        base: base.to_owned(),
        raw: raw.clone(),
        damaged: false,
    };
    let filled = raw.url.as_ref().is_some_and(|url| url.contains("${"));
    let wrong = |error: &ConfigError| {
        // What stands in for a variable need not fit into a URL.
        !(filled && matches!(error.problem, Problem::Url(_) | Problem::Scheme(_)))
    };
    let resolved = server::resolve(
        entry,
        &server::Defaults::default(),
        &|_| Some("x".into()),
        &mut Vec::new(),
    );
    match resolved.err().and_then(|errors| errors.into_iter().find(wrong)) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
