//! `toolscout config`: what the configuration comes to, and an example of one.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;

use super::{CheckArgs, ConfigCommand};
use crate::config::EXAMPLE;

/// Runs the subcommand.
pub fn run(command: &ConfigCommand) -> anyhow::Result<ExitCode> {
    let text = match command {
        ConfigCommand::Example => EXAMPLE.to_owned(),
        ConfigCommand::Check(args) => check(args)?,
    };
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes()).context("writing the configuration")?;
    Ok(ExitCode::SUCCESS)
}

/// The resolved configuration; warnings go to stderr.
fn check(args: &CheckArgs) -> anyhow::Result<String> {
    let loaded = args.sources.load(Some(&args.listen))?;
    for warning in &loaded.warnings {
        writeln!(anstream::stderr(), "warning: {warning}")?;
    }
    let read: Vec<_> =
        (loaded.files.iter()).map(|file| format!("# read: {}\n", file.display())).collect();
    let shown = loaded.shown().context("showing the configuration")?;
    Ok(read.concat() + &shown)
}
