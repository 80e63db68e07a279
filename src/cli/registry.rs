//! `toolscout registry`: what an MCP registry lists, and entries made of it.
//!
//! Invariant: nothing of a registry is run or written but what is named here, and a server that
//! was deleted is not written at all.

mod pending;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use comfy_table::{Table, presets};
use serde::Serialize;
use url::Url;

use super::entries::{self, Target};
use super::{LogFormat, log};
use crate::config::NetworkConfig;
use crate::discover::entry::{self, Entry, Reach};
use crate::discover::name::of_name;
use crate::discover::one_line;
use crate::discover::registry::{DEFAULT_REGISTRY, Listed, Registry, Status, Wanted};
use crate::discover::server::{Remote, Server};

/// What `registry` can do.
#[derive(Debug, Subcommand)]
pub enum RegistryCommand {
    /// List the servers whose names hold a text.
    Search(SearchArgs),
    /// Write a server of a registry into toolscout.toml.
    Add(AddArgs),
    /// List the servers of followed registries that wait for approval.
    Pending(pending::PendingArgs),
    /// Let servers of followed registries be connected to.
    Approve(pending::ApproveArgs),
    /// Take approvals back.
    Revoke(pending::RevokeArgs),
}

/// Arguments of `registry search`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toolscout registry search weather
  toolscout registry search weather --registry https://registry.example.com --json")]
pub struct SearchArgs {
    /// A part of the name.
    #[arg(value_name = "QUERY")]
    pub query: String,
    /// Which registry: its base URL.
    #[arg(long, value_name = "URL", default_value = DEFAULT_REGISTRY)]
    pub registry: Url,
    /// How many servers at most.
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub limit: usize,
    /// Answer as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `registry add`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toolscout registry add io.github.user/weather
  toolscout registry add io.github.user/weather --id weather --from pypi --dry-run")]
pub struct AddArgs {
    /// The server's name in the registry.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Which registry: its base URL.
    #[arg(long, value_name = "URL", default_value = DEFAULT_REGISTRY)]
    pub registry: Url,
    /// The entry's id; absent: the last part of the name.
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// How it is to be reached; absent: the first of these that there is.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub from: Option<From>,
    /// The configuration [env: `TOOLSCOUT_CONFIG`] [default: ./toolscout.toml].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Write nothing, show what would be written.
    #[arg(long)]
    pub dry_run: bool,
    /// Report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// How a server of a registry is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum From {
    /// Where its publisher runs it, over HTTP.
    Remote,
    /// As a package that `npx` runs here.
    Npm,
    /// As a package that `uvx` runs here.
    Pypi,
    /// As an image that `docker` runs here.
    Oci,
}

impl From {
    fn name(self) -> &'static str {
        match self {
            Self::Remote => "remote",
            Self::Npm => "npm",
            Self::Pypi => "pypi",
            Self::Oci => "oci",
        }
    }
}

/// Runs the subcommand.
pub fn run(command: &RegistryCommand) -> anyhow::Result<ExitCode> {
    log::start(LogFormat::Text, true);
    match command {
        RegistryCommand::Search(args) => search(args),
        RegistryCommand::Add(args) => add(args),
        RegistryCommand::Pending(args) => pending::list(args),
        RegistryCommand::Approve(args) => pending::approve(args),
        RegistryCommand::Revoke(args) => pending::revoke(args),
    }
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    title: Option<&'a str>,
    version: Option<&'a str>,
    status: &'static str,
    message: Option<&'a str>,
    remotes: Vec<&'a str>,
    packages: Vec<&'a str>,
    description: Option<&'a str>,
}

fn search(args: &SearchArgs) -> anyhow::Result<ExitCode> {
    let registry = Registry::new(&args.registry, &NetworkConfig::default())?;
    let wanted = Wanted { search: Some(&args.query), since: None };
    let listing = super::runtime()?.block_on(registry.first(&wanted, args.limit))?;
    let rows: Vec<Row<'_>> = listing.servers.iter().map(row).collect();
    let mut out = anstream::stdout().lock();
    if args.json {
        let report = serde_json::json!({ "servers": rows, "defects": listing.defects });
        writeln!(out, "{report:#}")?;
        return Ok(ExitCode::SUCCESS);
    }
    for defect in &listing.defects {
        writeln!(anstream::stderr(), "warning: left out: {defect}")?;
    }
    if rows.is_empty() {
        writeln!(out, "no server's name holds {:?}: try a shorter part of it", args.query)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(["name", "version", "status", "from", "what"]);
    for row in &rows {
        let from: Vec<&str> = row.remotes.iter().chain(&row.packages).copied().collect();
        table.add_row([
            row.name.to_owned(),
            one_line(row.version.unwrap_or_default(), 20),
            row.status.to_owned(),
            one_line(&from.join(", "), 60),
            one_line(row.description.unwrap_or_default(), 100),
        ]);
    }
    writeln!(out, "{}", table.trim_fmt())?;
    writeln!(out, "next: toolscout registry add NAME")?;
    Ok(ExitCode::SUCCESS)
}

fn row(listed: &Listed) -> Row<'_> {
    let server = &listed.server;
    let mut remotes: Vec<_> = server.remotes.iter().map(|remote| remote.r#type.as_str()).collect();
    remotes.dedup();
    let packages = server.packages.iter().map(|package| package.registry_type.as_str());
    let mut packages: Vec<_> = packages.collect();
    packages.dedup();
    Row {
        name: &server.name,
        title: server.title.as_deref(),
        version: server.version.as_deref(),
        status: listed.status.name(),
        message: listed.message.as_deref(),
        remotes,
        packages,
        description: server.description.as_deref(),
    }
}

fn add(args: &AddArgs) -> anyhow::Result<ExitCode> {
    let target = Target::open(args.config.as_deref())?;
    let registry = Registry::new(&args.registry, &NetworkConfig::default())?;
    let listed = super::runtime()?.block_on(registry.get(&args.name))?;
    let listed = listed.with_context(|| {
        let name = &args.name;
        format!("the registry has no server {name:?}: look for it with `toolscout registry search`")
    })?;
    if listed.server.name != args.name {
        let other = &listed.server.name;
        bail!("the registry answered with another server, {other:?}: nothing was written");
    }
    let message = listed.message.as_deref().map(|text| one_line(text, 300));
    let message = message.map(|text| format!(": {text}")).unwrap_or_default();
    match listed.status {
        Status::Deleted => bail!("{} was deleted from the registry{message}", args.name),
        Status::Deprecated => {
            writeln!(anstream::stderr(), "warning: {} is deprecated{message}", args.name)?;
        }
        Status::Active => {}
    }
    let id = args.id.clone().or_else(|| of_name(&args.name));
    let id = id.context("no id can be made of that name: give one with --id")?;
    let (entry, others) = entry_of(&listed.server, &id, args.from)?;
    if let Some(known) = target.has(&entry) {
        bail!("[servers.{known}] leads to that address already: nothing was written");
    }
    let mut shown = Vec::new();
    let version = listed.server.version.as_deref().map(|version| one_line(version, 40));
    let version = version.map(|version| format!(" {version}")).unwrap_or_default();
    let host = args.registry.host_str().unwrap_or_default();
    let comment = format!("{}{version}, as listed by {host}.", args.name);
    let written = target.add(&[(&entry, comment)], args.dry_run, &mut shown)?;
    let mut out = anstream::stdout().lock();
    if args.json {
        let written = (!args.dry_run).then_some(written);
        let status = listed.status.name();
        let report = serde_json::json!({ "entry": entry, "status": status, "written": written });
        writeln!(out, "{report:#}")?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.dry_run {
        out.write_all(&shown)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Reach::Stdio { command, args, .. } = &entry.reach {
        writeln!(out, "runs {command} {}", args.join(" "))?;
    }
    if !others.is_empty() {
        writeln!(out, "also: --from {}", others.join(", --from "))?;
    }
    entries::tell(&written, &[&entry], &mut out)?;
    writeln!(
        out,
        "next: toolscout config check; a running `toolscout serve` takes it up by itself"
    )?;
    Ok(ExitCode::SUCCESS)
}

/// The entry of a server, and the other ways to reach it.
fn entry_of(
    server: &Server,
    id: &str,
    from: Option<From>,
) -> anyhow::Result<(Entry, Vec<&'static str>)> {
    let title = server.title.as_deref();
    let remotes = server.remotes.iter().filter(|remote| remote.kind().is_some());
    let remote = remotes.min_by_key(|remote| Remote::kind(remote));
    let mut ways = Vec::new();
    if let Some(remote) = remote {
        ways.push((From::Remote, entry::of_remote(id, title, remote)));
    }
    for kind in [From::Npm, From::Pypi, From::Oci] {
        let package = server.packages.iter().find(|package| package.registry_type == kind.name());
        ways.extend(package.map(|package| (kind, entry::of_package(id, title, package))));
    }
    let others = |taken: From, ways: &[(From, Result<Entry, _>)]| {
        let others = ways.iter().filter(|(kind, entry)| *kind != taken && entry.is_ok());
        others.map(|(kind, _)| kind.name()).collect::<Vec<_>>()
    };
    let name = &server.name;
    if ways.is_empty() {
        let kinds: Vec<_> =
            server.packages.iter().map(|package| one_line(&package.registry_type, 20)).collect();
        let kinds = if kinds.is_empty() { "nothing".into() } else { kinds.join(", ") };
        bail!("{name} can't be reached from here: it has no remote, and of packages {kinds}");
    }
    let at = match from {
        Some(from) => {
            let found = ways.iter().position(|(kind, _)| *kind == from);
            let kinds: Vec<_> = ways.iter().map(|(kind, _)| kind.name()).collect();
            found.with_context(|| {
                format!("{name} has no {}: choose among {}", from.name(), kinds.join(", "))
            })?
        }
        None => ways.iter().position(|(_, entry)| entry.is_ok()).unwrap_or(0),
    };
    let others = others(ways[at].0, &ways);
    let (_, entry) = ways.swap_remove(at);
    Ok((entry.with_context(|| format!("no entry can be made of {name}"))?, others))
}
