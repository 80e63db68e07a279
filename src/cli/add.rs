//! `toolscout add`: from an address, or a command, to an entry in toolscout.toml.
//!
//! Invariant: a command comes from the command line alone; whatever an address leads to, only
//! servers over HTTP are written.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use serde::Serialize;

use super::entries::{self, Target, Written};
use super::{LogFormat, log};
use crate::discover::State;
use crate::discover::entry::{Entry, Reach};
use crate::discover::input::{Variable, variable};
use crate::discover::well_known::{self, Found, Search};

/// Arguments of `add`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line, as they are")]
#[command(after_help = "\
Examples:
  toolscout add example.com                    Find the MCP server of a site, and write it down
  toolscout add https://mcp.example.com/mcp --id shop
  toolscout add intranet.example --all --dry-run
  toolscout add --name git -- uvx mcp-server-git
  toolscout add --name tracker --env TRACKER_TOKEN -- npx -y tracker-mcp")]
pub struct AddArgs {
    /// A site, the endpoint of a server, or a document that describes servers.
    #[arg(value_name = "URL", required_unless_present = "command", conflicts_with = "command")]
    pub url: Option<String>,
    /// The entry's id; where several servers are found, the one to take.
    #[arg(long, visible_alias = "name", value_name = "ID")]
    pub id: Option<String>,
    /// Take every server that is found.
    #[arg(long, conflicts_with_all = ["id", "command"])]
    pub all: bool,
    /// Hand this variable of your environment on to the command; may be repeated.
    #[arg(long, value_name = "VAR", requires = "command")]
    pub env: Vec<String>,
    /// The configuration [env: `TOOLSCOUT_CONFIG`] [default: ./toolscout.toml].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Write nothing, show what would be written.
    #[arg(long)]
    pub dry_run: bool,
    /// Report as JSON.
    #[arg(long)]
    pub json: bool,
    /// Follow documents to private addresses, too.
    #[arg(long, conflicts_with = "command")]
    pub allow_private: bool,
    /// A server on stdio: the command that starts it.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    search: &'a Search,
    written: Option<Written>,
}

/// Runs the subcommand.
pub fn run(args: &AddArgs) -> anyhow::Result<ExitCode> {
    // Most of what is tried is not there, and what came of it is told anyway.
    if std::env::var_os(log::VARIABLE).is_some() {
        log::start(LogFormat::Text, true);
    }
    match (&args.url, args.command.split_first()) {
        (Some(url), _) => add_url(args, url),
        (None, Some((command, rest))) => add_command(args, command, rest),
        (None, None) => bail!("say what to add: a URL, or a command after `--`"),
    }
}

fn add_command(args: &AddArgs, command: &str, rest: &[String]) -> anyhow::Result<ExitCode> {
    let target = Target::open(args.config.as_deref())?;
    let id = match &args.id {
        Some(id) => id.clone(),
        None => bail!("name the server: toolscout add --name ID -- {command} …"),
    };
    for name in &args.env {
        if name.is_empty() || variable(name) != name.to_ascii_uppercase() {
            bail!("--env takes the name of a variable; its value stays in your environment");
        }
    }
    let entry = Entry {
        id,
        title: None,
        reach: Reach::Stdio {
            command: command.to_owned(),
            args: rest.to_vec(),
            env: args.env.iter().map(|name| (name.clone(), format!("${{{name}}}"))).collect(),
        },
        variables: (args.env.iter())
            .map(|name| Variable {
                name: name.clone(),
                required: true,
                secret: false,
                description: None,
            })
            .collect(),
        notes: Vec::new(),
    };
    let mut out = anstream::stdout().lock();
    let comment = "Added on the command line.".to_owned();
    let mut shown = Vec::new();
    let written = target.add(&[(&entry, comment)], args.dry_run, &mut shown)?;
    if args.json {
        let written = (!args.dry_run).then_some(written);
        let report = serde_json::json!({ "found": [&entry], "written": written });
        writeln!(out, "{report:#}")?;
    } else if args.dry_run {
        out.write_all(&shown)?;
    } else {
        entries::tell(&written, &[&entry], &mut out)?;
        next(&mut out)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn add_url(args: &AddArgs, url: &str) -> anyhow::Result<ExitCode> {
    let url = well_known::address(url).map_err(|problem| anyhow!(problem))?;
    let target = Target::open(args.config.as_deref())?;
    let search = well_known::search(&url, args.allow_private);
    let mut search = super::runtime()?.block_on(search)?;
    let mut out = anstream::stdout().lock();
    if !args.json {
        tell_search(&search, &mut out)?;
    }
    let chosen = choose(args, &mut search.found);
    let chosen = chosen.and_then(|chosen| {
        let found: Vec<&Found> = chosen.iter().map(|at| &search.found[*at]).collect();
        let mut new = Vec::new();
        for found in &found {
            match target.has(&found.entry) {
                Some(id) if !args.all => {
                    bail!("[servers.{id}] leads to that address already: nothing was written")
                }
                Some(_) => {}
                None => new.push((&found.entry, format!("Found at {}.", found.source))),
            }
        }
        let mut shown = Vec::new();
        let written = target.add(&new, args.dry_run, &mut shown)?;
        Ok((found, written, shown))
    });
    if args.json {
        let written = match &chosen {
            Ok((_, written, _)) if !args.dry_run => {
                Some(Written { file: written.file.clone(), ids: written.ids.clone() })
            }
            _ => None,
        };
        serde_json::to_writer_pretty(&mut out, &Report { search: &search, written })?;
        writeln!(out)?;
        chosen?;
        return Ok(ExitCode::SUCCESS);
    }
    let (found, written, shown) = chosen?;
    writeln!(out)?;
    if args.dry_run {
        out.write_all(&shown)?;
        return Ok(ExitCode::SUCCESS);
    }
    if written.ids.is_empty() {
        writeln!(out, "{} has them all already", written.file.display())?;
        return Ok(ExitCode::SUCCESS);
    }
    let entries: Vec<_> = (found.iter().map(|found| &found.entry))
        .filter(|entry| written.ids.contains(&entry.id))
        .collect();
    entries::tell(&written, &entries, &mut out)?;
    for found in &found {
        if let State::AuthRequired { auth } = &found.state
            && auth.r#type == "oauth2"
        {
            writeln!(out, "log in: toolscout auth login {}", found.entry.id)?;
        }
    }
    next(&mut out)?;
    Ok(ExitCode::SUCCESS)
}

/// Which of the servers are taken, by their places.
fn choose(args: &AddArgs, found: &mut [Found]) -> anyhow::Result<Vec<usize>> {
    let usable = |found: &Found| !matches!(found.state, State::Failed { .. });
    match (found.len(), &args.id) {
        (0, _) => bail!(
            "no MCP server was found there; if there is one, name its endpoint, or add its entry \
             to toolscout.toml yourself"
        ),
        (1, id) => {
            if !usable(&found[0]) {
                let error = found[0].state.said();
                bail!("{} names a server that does not answer as one: {error}", found[0].source);
            }
            if let Some(id) = id {
                found[0].entry.rename(id);
            }
            Ok(vec![0])
        }
        (_, Some(id)) => {
            let at = found.iter().position(|found| found.entry.id == *id);
            let ids: Vec<_> = found.iter().map(|found| found.entry.id.as_str()).collect();
            let at = at.with_context(|| {
                format!("none of the servers is called {id:?}: choose among {}", ids.join(", "))
            })?;
            Ok(vec![at])
        }
        (_, None) if args.all => Ok((0..found.len()).filter(|at| usable(&found[*at])).collect()),
        (count, None) => {
            bail!("{count} servers were found: choose one with --id, or take them with --all")
        }
    }
}

/// What was asked, and what was found.
fn tell_search(search: &Search, out: &mut impl Write) -> std::io::Result<()> {
    for checked in &search.checked {
        writeln!(out, "{}  {}: {}", checked.asked, checked.address, checked.came)?;
    }
    if !search.found.is_empty() {
        writeln!(out)?;
    }
    for Found { entry, state, .. } in &search.found {
        let url = match &entry.reach {
            Reach::Http { url, .. } => url.split('?').next().unwrap_or_default(),
            Reach::Stdio { command, .. } => command,
        };
        let title = entry.title.as_deref().map(|title| format!(" ({title})")).unwrap_or_default();
        writeln!(out, "{}{title}  {url}", entry.id)?;
        match state {
            State::Open { tools, protocol } => {
                let protocol = protocol.as_deref().unwrap_or("an unknown version");
                writeln!(out, "  {tools} tools, no credentials wanted, MCP {protocol}")?;
            }
            State::AuthRequired { auth } => {
                writeln!(out, "  wants credentials: {}", auth.r#type)?;
                for (what, said) in [
                    ("given by", auth.authorization_servers.join(", ")),
                    ("log in at", auth.authorization_url.clone().unwrap_or_default()),
                    ("tokens from", auth.token_url.clone().unwrap_or_default()),
                    ("scopes", auth.scopes.join(" ")),
                ] {
                    if !said.is_empty() {
                        writeln!(out, "  {what} {}", crate::discover::one_line(&said, 300))?;
                    }
                }
            }
            state => writeln!(out, "  {}", state.said())?,
        }
    }
    Ok(())
}

fn next(out: &mut impl Write) -> std::io::Result<()> {
    writeln!(out, "next: toolscout config check; a running `toolscout serve` takes it up by itself")
}
