//! `toolscout server` and `toolscout reload`: the servers of a running toolscout.
//!
//! Invariant: a secret is named by its variable or file, never written on the command line.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::remote::{Remote, RemoteArgs};
use super::sources::variable;
use crate::config::AddedServer;

/// What `server` can do.
#[derive(Debug, Subcommand)]
pub enum ServerCommand {
    /// Every server, its state and how many tools it has.
    List(ListArgs),
    /// Stop a server's crawls; its tools stay.
    Pause(OneArgs),
    /// Let a server's crawls go on.
    Resume(OneArgs),
    /// Crawl a server now.
    Refresh(OneArgs),
    /// Add a server over HTTP; it stays after a restart.
    Add(Box<AddArgs>),
    /// Remove a server that was added so.
    Remove(OneArgs),
}

/// Arguments of `server list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Which toolscout.
    #[command(flatten)]
    pub remote: RemoteArgs,
    /// Report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of what is done to one server.
#[derive(Debug, Args)]
pub struct OneArgs {
    /// Its id.
    pub id: String,
    /// Which toolscout.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// Arguments of `server add`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toolscout server add docs https://docs.example.com/mcp
  toolscout server add tracker https://mcp.example.com/mcp --bearer-token-env TRACKER_TOKEN \\
      --deny '*_delete'")]
pub struct AddArgs {
    /// Its id.
    pub id: String,
    /// Its MCP endpoint.
    #[arg(value_name = "ENDPOINT")]
    pub endpoint: String,
    /// Display title.
    #[arg(long)]
    pub title: Option<String>,
    /// A header of every request, as `Name=VARIABLE`, its value being that variable's; repeatable.
    #[arg(long, value_name = "NAME=VARIABLE")]
    pub header_env: Vec<String>,
    /// The variable that holds its bearer token.
    #[arg(long, value_name = "VARIABLE")]
    pub bearer_token_env: Option<String>,
    /// The file that holds its bearer token.
    #[arg(long, value_name = "FILE", conflicts_with = "bearer_token_env")]
    pub bearer_token_file: Option<PathBuf>,
    /// Keep only tools whose names match this glob; repeatable.
    #[arg(long, value_name = "GLOB")]
    pub allow: Vec<String>,
    /// Leave out tools whose names match this glob; repeatable.
    #[arg(long, value_name = "GLOB")]
    pub deny: Vec<String>,
    /// Which toolscout.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// Arguments of `reload`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toolscout reload
  toolscout reload --url http://127.0.0.1:7420 --data /var/lib/toolscout")]
pub struct ReloadArgs {
    /// Which toolscout.
    #[command(flatten)]
    pub remote: RemoteArgs,
    /// Report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs `server`.
pub fn run(command: &ServerCommand) -> anyhow::Result<ExitCode> {
    let told = match command {
        ServerCommand::List(args) => list(args)?,
        ServerCommand::Pause(args) => act(args, "pause")?,
        ServerCommand::Resume(args) => act(args, "resume")?,
        ServerCommand::Refresh(args) => act(args, "refresh")?,
        ServerCommand::Add(args) => add(args)?,
        ServerCommand::Remove(args) => {
            let path = ["v1", "admin", "servers", &args.id];
            done(&Remote::of(&args.remote)?.ask(Method::DELETE, &path, None)?)
        }
    };
    anstream::stdout().write_all(told.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Runs `reload`.
pub fn reload(args: &ReloadArgs) -> anyhow::Result<ExitCode> {
    let remote = Remote::of(&args.remote)?;
    let reloaded = remote.ask(Method::POST, &["v1", "admin", "reload"], Some(&json!({})))?;
    let mut out = anstream::stdout();
    if args.json {
        writeln!(out, "{reloaded:#}")?;
        return Ok(ExitCode::SUCCESS);
    }
    for what in ["added", "removed", "changed"] {
        for id in strings(&reloaded[what]) {
            writeln!(out, "{what} {id}")?;
        }
    }
    writeln!(out, "{} servers run on as they were", reloaded["unchanged"])?;
    for section in strings(&reloaded["needs_restart"]) {
        writeln!(out, "{section} changed: restart toolscout to have it take effect")?;
    }
    for warning in strings(&reloaded["warnings"]) {
        writeln!(anstream::stderr(), "warning: {warning}")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn list(args: &ListArgs) -> anyhow::Result<String> {
    let answer = Remote::of(&args.remote)?.ask(Method::GET, &["v1", "servers"], None)?;
    if args.json {
        return Ok(format!("{answer:#}\n"));
    }
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header(["server", "state", "tools", "by", "protocol", "error"]);
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    for server in answer["servers"].as_array().into_iter().flatten() {
        let keys = ["id", "state", "tools", "transport", "protocol", "error"];
        table.add_row(keys.map(|key| text(&server[key])));
    }
    Ok(format!("{table}\n"))
}

fn act(args: &OneArgs, what: &str) -> anyhow::Result<String> {
    let path = ["v1", "admin", "servers", &args.id, what];
    Ok(done(&Remote::of(&args.remote)?.ask(Method::POST, &path, Some(&json!({})))?))
}

fn add(args: &AddArgs) -> anyhow::Result<String> {
    let set =
        |name: &str| variable(name).with_context(|| format!("the variable {name} is not set"));
    let mut headers = BTreeMap::new();
    for header in &args.header_env {
        let Some((name, variable)) = header.split_once('=') else {
            bail!("--header-env is NAME=VARIABLE, as in X-Api-Key=MY_KEY");
        };
        headers.insert(name.to_owned(), set(variable)?);
    }
    let bearer_token = match (&args.bearer_token_env, &args.bearer_token_file) {
        (Some(name), _) => Some(set(name)?),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path);
            let text = text.with_context(|| format!("can't read {}", path.display()))?;
            Some(text.trim().to_owned())
        }
        (None, None) => None,
    };
    let some = |globs: &[String]| (!globs.is_empty()).then(|| globs.to_vec());
    let server = AddedServer {
        url: args.endpoint.clone(),
        title: args.title.clone(),
        headers,
        bearer_token,
        allow: some(&args.allow),
        deny: some(&args.deny),
        timeout: None,
        refresh: None,
    };
    let mut body = serde_json::to_value(server)?;
    body["id"] = json!(args.id);
    let remote = Remote::of(&args.remote)?;
    Ok(done(&remote.ask(Method::POST, &["v1", "admin", "servers"], Some(&body))?))
}

fn done(answer: &Value) -> String {
    let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
    format!("{} is {}\n", text("id"), text("done"))
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}
