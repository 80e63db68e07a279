//! `toolscout model texts`: what an encoder reads of each tool.
//!
//! Invariant: `text` is the text that is embedded when this catalog is served, so that what is
//! trained on it has seen what it will be asked about.

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use serde::Serialize;

use super::TextsArgs;
use crate::catalog::{Catalog, file};
use crate::text::fields;

#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    server: &'a str,
    name: &'a str,
    description: &'a str,
    text: String,
}

/// Runs the subcommand.
pub fn run(args: &TextsArgs) -> anyhow::Result<ExitCode> {
    let catalog = Catalog::from_listings(file::read(&args.catalog, args.servers.as_deref())?);
    let mut out = BufWriter::new(anstream::stdout().lock());
    for tool in catalog.tools() {
        let view = tool.view();
        let line = Line {
            id: tool.id.as_str(),
            server: tool.server.as_str(),
            name: &tool.name,
            description: view.description.as_deref().unwrap_or_default(),
            text: fields::embedded_in(&catalog, tool),
        };
        serde_json::to_writer(&mut out, &line)?;
        writeln!(out)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
