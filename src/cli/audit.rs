//! `toolscout audit`: the audit log, checked and shown.
//!
//! Invariant: it reads files alone: no service has to run, and none is disturbed.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::sources::{PlaceArgs, variable};
use crate::audit::{Seal, verify};
use crate::config::{audit_config, data_folder};
use crate::trust::checks::visible_lines;

/// What `audit` can do.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Check that nothing in the log was changed, moved or taken out; exit code 1 if something was.
    Verify(VerifyArgs),
    /// Print the last events.
    Show(ShowArgs),
}

/// Arguments of `audit verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toolscout audit verify
  toolscout audit verify --key-file audit.key old/audit.000000001234.jsonl old/audit.jsonl")]
pub struct VerifyArgs {
    /// The files, oldest first [default: those of the configuration, to the end that they had].
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The key of the chain [default: that of the configuration].
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Report as JSON.
    #[arg(long)]
    pub json: bool,
    /// Whose log.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Arguments of `audit show`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toolscout audit show
  toolscout audit show --last 100 --json")]
pub struct ShowArgs {
    /// How many.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub last: usize,
    /// As they are in the log.
    #[arg(long)]
    pub json: bool,
    /// Whose log.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Runs the subcommand.
pub fn run(command: &AuditCommand) -> anyhow::Result<ExitCode> {
    match command {
        AuditCommand::Verify(args) => check(args),
        AuditCommand::Show(args) => show(args),
    }
}

/// Where the log is, and the file of its key.
fn place(args: &PlaceArgs) -> anyhow::Result<(PathBuf, Option<PathBuf>)> {
    let sources = args.sources();
    let config = audit_config(&sources, &variable)?;
    let path = match &config.file {
        Some(file) => file.clone(),
        None => config.path(&data_folder(&sources, &variable)?),
    };
    Ok((path, config.key_file))
}

fn check(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let checked = if args.files.is_empty() {
        let (path, key) = place(&args.place)?;
        let seal = Seal::of(args.key_file.clone().or(key).as_deref())?;
        verify::whole(&path, &seal)
    } else {
        let key = match &args.key_file {
            Some(key) => Some(key.clone()),
            // Files may be checked where there is no configuration.
            None => place(&args.place).ok().and_then(|(_, key)| key),
        };
        verify::files(&args.files, &Seal::of(key.as_deref())?)
    };
    let report = checked.context("the audit log is not whole")?;
    let mut out = anstream::stdout();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (first, last) = (report.first, &report.last);
    writeln!(out, "whole: lines {first} to {} in {} files", last.seq, report.files)?;
    if report.dropped > 0 {
        writeln!(out, "{} events could not be kept, as the log says itself", report.dropped)?;
    }
    writeln!(out, "last hash {}", last.hash)?;
    Ok(ExitCode::SUCCESS)
}

fn show(args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let (path, _) = place(&args.place)?;
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!("no audit log at {}: set [audit] enabled = true", path.display())
    })?;
    let lines: Vec<&str> = text.lines().collect();
    let mut out = anstream::stdout();
    for line in &lines[lines.len().saturating_sub(args.last)..] {
        if args.json {
            writeln!(out, "{line}")?;
            continue;
        }
        let event: Value = serde_json::from_str(line).unwrap_or_default();
        let word = |name: &str| event[name].as_str().unwrap_or("-").to_owned();
        let list = |name: &str| {
            let items = event[name].as_array().into_iter().flatten();
            items.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        };
        let told = format!(
            "{}  {:<8} {:<12} {} {} {} {}",
            word("at"),
            word("action"),
            word("caller"),
            word("outcome"),
            event["target"].as_str().unwrap_or_default(),
            list("queries"),
            list("tools"),
        );
        // A terminal must not obey what a caller asked.
        writeln!(out, "{}", visible_lines(told.trim_end()).join(" "))?;
    }
    Ok(ExitCode::SUCCESS)
}
