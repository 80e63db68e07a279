//! Writes entries that were found into toolscout.toml, and tells what is to be done then.
//!
//! Invariant: the file is written once, whole, after everything in it was checked.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;
use toml_edit::DocumentMut;

use super::sources::variable;
use crate::config::edit::{self, NewServer};
use crate::config::{Sources, file_of};
use crate::discover::entry::{Entry, Reach};

/// What was written, and where.
#[derive(Debug, Serialize)]
pub(super) struct Written {
    /// The file.
    pub file: PathBuf,
    /// The new ids.
    pub ids: Vec<String>,
}

/// The configuration that entries go into.
pub(super) struct Target {
    shown: PathBuf,
    path: PathBuf,
    text: String,
}

impl Target {
    /// The file that is named, or the usual one.
    pub(super) fn open(config: Option<&Path>) -> anyhow::Result<Self> {
        let sources = Sources {
            folder: std::env::current_dir().unwrap_or_default(),
            config: config.map(Path::to_owned),
            ..Sources::default()
        };
        let (shown, path) = file_of(&sources, &variable);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => {
                return Err(error).with_context(|| format!("can't read {}", shown.display()));
            }
        };
        Ok(Self { shown, path, text })
    }

    /// The entry that leads to the same address already.
    pub(super) fn has(&self, entry: &Entry) -> Option<String> {
        let Reach::Http { url, .. } = &entry.reach else { return None };
        let document: DocumentMut = self.text.trim_start_matches('\u{feff}').parse().ok()?;
        let servers = document.get("servers")?.as_table_like()?;
        let same = servers.iter().find(|(_, server)| {
            server.get("url").and_then(|known| known.as_str()) == Some(url.as_str())
        });
        same.map(|(id, _)| id.to_owned())
    }

    /// Adds the entries; with `dry_run` only says what would be added.
    pub(super) fn add(
        &self,
        entries: &[(&Entry, String)],
        dry_run: bool,
        out: &mut impl Write,
    ) -> anyhow::Result<Written> {
        let new: Vec<_> = entries.iter().map(|(entry, comment)| new(entry, comment)).collect();
        let shown = self.shown.display();
        let after = edit::append(&self.text, &new)
            .with_context(|| format!("nothing was written to {shown}"))?;
        if dry_run {
            let added = after.get(self.text.len()..).unwrap_or(&after);
            writeln!(out, "{}", added.trim())?;
        } else {
            edit::write(&self.path, &after, 0o666)
                .with_context(|| format!("can't write {shown}"))?;
        }
        let ids = entries.iter().map(|(entry, _)| entry.id.clone()).collect();
        Ok(Written { file: self.shown.clone(), ids })
    }
}

fn new(entry: &Entry, comment: &str) -> NewServer {
    let mut new = NewServer {
        id: entry.id.clone(),
        title: entry.title.clone(),
        comment: vec![comment.to_owned()],
        ..NewServer::default()
    };
    match &entry.reach {
        Reach::Http { url, headers } => {
            new.url = Some(url.clone());
            new.headers = headers.iter().cloned().collect();
        }
        Reach::Stdio { command, args, env } => {
            new.command = Some(command.clone());
            new.args.clone_from(args);
            new.env = env.iter().cloned().collect();
        }
    }
    new
}

/// What was written, what must be set, and what comes next.
pub(super) fn tell(
    written: &Written,
    entries: &[&Entry],
    out: &mut impl Write,
) -> std::io::Result<()> {
    let ids: Vec<_> = written.ids.iter().map(|id| format!("[servers.{id}]")).collect();
    writeln!(out, "wrote {} to {}", ids.join(", "), written.file.display())?;
    for entry in entries {
        for note in &entry.notes {
            writeln!(out, "note: {}: {note}", entry.id)?;
        }
        for variable in &entry.variables {
            let need = if variable.required { "set" } else { "may be set" };
            let secret = if variable.secret { " (a secret)" } else { "" };
            let about = variable.description.as_deref().map(|text| format!(": {text}"));
            writeln!(out, "{need} {}{secret}{}", variable.name, about.unwrap_or_default())?;
        }
    }
    Ok(())
}
