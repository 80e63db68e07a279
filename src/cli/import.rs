//! `toolscout import`: the servers of MCP clients, as entries of a toolscout.toml.
//!
//! Invariant: values of secrets are shown nowhere, and written only to the file that `--env-file`
//! names.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use comfy_table::{Table, presets};
use secrecy::ExposeSecret;
use serde::Serialize;

use super::sources::variable;
use crate::config::import::{
    ClientFile, Import, ImportError, ImportedFile, State, Variable, import, usual_places,
};
use crate::config::{Sources, edit, file_of};

/// Arguments of `import`.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads the lists of Claude Code and Desktop, Cursor, VS Code, Windsurf, Gemini CLI, Codex, OpenCode
and Goose, and the `mcp_servers` and `tools` of a Messages API request. Entries that are there
already stay as they are. Secrets are not copied: a variable takes the place of each.

Examples:
  toolscout import --dry-run                   See what would be taken from the usual places
  toolscout import                             Take it into ./toolscout.toml
  toolscout import ~/.codex/config.toml .mcp.json
  toolscout import --env-file toolscout.env    Keep the secrets in a file that only you can read")]
pub struct ImportArgs {
    /// Files of clients; without one, those in the usual places of this user and of this folder.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Write to this file [env: `TOOLSCOUT_CONFIG`] [default: ./toolscout.toml].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write nothing; print the entries that would be added.
    #[arg(long)]
    pub dry_run: bool,
    /// Add the secrets that were found to this file, NAME=value a line, readable by you alone.
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    pub env_file: Option<PathBuf>,
    /// Report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// What is told, for machines.
#[derive(Serialize)]
struct Report<'a> {
    out: String,
    written: bool,
    files: &'a [ImportedFile],
    variables: Vec<ReportedVariable<'a>>,
}

#[derive(Serialize)]
struct ReportedVariable<'a> {
    name: &'a str,
    set: bool,
}

/// Runs the subcommand.
pub fn run(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let folder = std::env::current_dir().context("the working folder is gone")?;
    let sources =
        Sources { folder: folder.clone(), config: args.out.clone(), ..Sources::default() };
    let (shown, out) = file_of(&sources, &variable);
    let shown = shown.display().to_string();
    let before = text_of(&out).with_context(|| format!("can't read {shown}"))?;
    let named = !args.files.is_empty();
    let files = if named {
        let file = |path: &PathBuf| ClientFile { client: "", path: folder.join(path) };
        args.files.iter().map(file).collect()
    } else {
        usual_places(std::env::consts::OS, &folder, &variable)
    };
    let base = out.parent().unwrap_or(&folder);
    let import = match import(&files, named, &before, base, &variable) {
        // Wrongly asked: a file that was named is of no use.
        Err(ImportError::Client(errors)) => return Err(errors.into()),
        other => other.with_context(|| format!("{shown} stays as it is"))?,
    };
    if import.files.is_empty() {
        bail!("no client has servers in the usual places; name a FILE, see `toolscout import -h`");
    }
    let written = !args.dry_run && !import.added.is_empty();
    if written {
        // The secrets first: an entry whose secret was lost would be worse than none.
        if let Some(path) = &args.env_file {
            let path = folder.join(path);
            keep(&path, &import.variables)
                .with_context(|| format!("can't write {}", path.display()))?;
        }
        edit::write(&out, &import.text, 0o666).with_context(|| format!("can't write {shown}"))?;
    }
    let mut stdout = anstream::stdout().lock();
    if args.json {
        let variables = import.variables.iter();
        let variables =
            variables.map(|(name, variable)| ReportedVariable { name, set: variable.is_set });
        let report =
            Report { out: shown, written, files: &import.files, variables: variables.collect() };
        serde_json::to_writer_pretty(&mut stdout, &report)?;
        writeln!(stdout)?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(stdout, "{}", table(&import.files, &folder))?;
    if args.dry_run {
        let fresh = import.text.get(before.len()..).unwrap_or_default();
        writeln!(stdout, "\n{}", fresh.trim())?;
    }
    tell(&mut stdout, args, &import, &shown)?;
    Ok(ExitCode::SUCCESS)
}

/// A file's text; a file that is not there is empty.
fn text_of(path: &Path) -> std::io::Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        other => other,
    }
}

/// A path as people write it.
fn short(path: &str, folder: &Path) -> String {
    let path = Path::new(path);
    if let Ok(below) = path.strip_prefix(folder) {
        return below.display().to_string();
    }
    let home = variable("HOME").filter(|home| !home.is_empty());
    let below = home.and_then(|home| path.strip_prefix(home).ok().map(Path::to_owned));
    below.map_or_else(|| path.display().to_string(), |below| format!("~/{}", below.display()))
}

fn table(files: &[ImportedFile], folder: &Path) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["client", "file", "server", ""]);
    for file in files {
        let path = short(&file.path, folder);
        let mut row = |server: &str, said: String| {
            table.add_row([file.client.as_str(), &path, server, &said]);
        };
        for server in &file.servers {
            let said = match server.state {
                State::Added => "new".to_owned(),
                State::Renamed => format!("new, as {}: that id is another server's", server.name),
                State::Known if server.name == server.id => "there already".to_owned(),
                State::Known => format!("there already, as {}", server.name),
            };
            row(&server.id, said);
        }
        for skipped in &file.skipped {
            row("-", format!("skipped: {skipped}"));
        }
        for note in &file.notes {
            row("-", format!("note: {note}"));
        }
        if file.servers.is_empty() && file.skipped.is_empty() {
            row("-", "no servers".to_owned());
        }
    }
    table
}

/// What was done, and what is to be done next.
fn tell(
    out: &mut impl Write,
    args: &ImportArgs,
    import: &Import,
    shown: &str,
) -> anyhow::Result<()> {
    let added = import.added.len();
    if added == 0 {
        writeln!(out, "\n{shown} has them all: nothing to add")?;
        return Ok(());
    }
    let entries = if added == 1 { "1 server".to_owned() } else { format!("{added} servers") };
    let kept = args.env_file.as_ref().map(|path| path.display().to_string());
    if args.dry_run {
        writeln!(out, "\n{entries} would be added to {shown}")?;
    } else {
        writeln!(out, "\n{entries} added to {shown}")?;
    }
    let missing: Vec<_> =
        import.variables.iter().filter(|(_, variable)| !variable.is_set).collect();
    let in_file = |variable: &Variable| kept.is_some() && variable.value.is_some();
    if !missing.is_empty() {
        writeln!(out, "variables that must be set:")?;
        for (name, variable) in &missing {
            let said = match &kept {
                Some(path) if in_file(variable) => format!("  (in {path})"),
                _ => String::new(),
            };
            writeln!(out, "  {name}{said}")?;
        }
    }
    for (name, _) in import.variables.iter().filter(|(_, variable)| variable.differs) {
        writeln!(
            anstream::stderr(),
            "warning: {name} is set, and not to what the client's file has"
        )?;
    }
    match &kept {
        _ if args.dry_run => {}
        Some(path) => {
            writeln!(out, "next: set -a; . {path}; set +a; toolscout config check")?;
        }
        None => writeln!(out, "next: toolscout config check")?,
    }
    Ok(())
}

/// Adds the values of variables to a file that only its owner can read. Names that it has already
/// keep their values.
fn keep(path: &Path, variables: &BTreeMap<String, Variable>) -> anyhow::Result<()> {
    let mut text = text_of(path)?;
    let there: Vec<String> = dotenvy::from_read_iter(text.as_bytes())
        .filter_map(|pair| pair.ok().map(|(name, _)| name))
        .collect();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for (name, variable) in variables {
        let Some(value) = &variable.value else { continue };
        if there.contains(name) {
            writeln!(
                anstream::stderr(),
                "warning: {} has {name} already, and keeps its value",
                path.display()
            )?;
            continue;
        }
        text.extend([name, "=", &quoted(value.expose_secret()), "\n"]);
    }
    edit::write(path, &text, 0o600)?;
    // One that was there may have been open to others.
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(path, private)?;
    Ok(())
}

/// A value as shells read it.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+=,".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', r"'\''"))
}
