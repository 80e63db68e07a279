//! `toolscout learned`: what a running toolscout has learned from use, shown and erased.
//!
//! Invariant: nothing is erased that was not named, and of a query nothing is printed that a
//! terminal would hide or obey.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::remote::{Remote, RemoteArgs};
use crate::trust::checks::visible_lines;

const PATH: [&str; 3] = ["v1", "admin", "learned"];

/// What `learned` can do.
#[derive(Debug, Subcommand)]
pub enum LearnedCommand {
    /// Which tools were chosen after which queries, and what that counts now.
    List(ListArgs),
    /// Erase it: all of it, or that of a tool, a query or a profile.
    Forget(ForgetArgs),
}

/// Arguments of `learned list`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toolscout learned list
  toolscout learned list --tool github/create_issue --json")]
pub struct ListArgs {
    /// Which evidence.
    #[command(flatten)]
    pub which: WhichArgs,
    /// Report as JSON.
    #[arg(long)]
    pub json: bool,
    /// Which toolscout.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// Arguments of `learned forget`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toolscout learned forget --tool github/create_issue
  toolscout learned forget --query \"what was asked\"
  toolscout learned forget --all")]
pub struct ForgetArgs {
    /// Which evidence.
    #[command(flatten)]
    pub which: WhichArgs,
    /// All of it.
    #[arg(
        long,
        required_unless_present_any = ["tool", "query", "profile"],
        conflicts_with_all = ["tool", "query", "profile"]
    )]
    pub all: bool,
    /// Which toolscout.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// Which evidence; together they narrow it down.
#[derive(Debug, Args)]
pub struct WhichArgs {
    /// That of this tool, by its id (`server/name`).
    #[arg(long, value_name = "TOOL")]
    pub tool: Option<String>,
    /// That of this query, as it was asked.
    #[arg(long, value_name = "QUERY")]
    pub query: Option<String>,
    /// That of this profile; "" is that of searches without one.
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
}

/// A page of evidence, as the service tells it.
#[derive(Deserialize)]
struct Page {
    evidence: Vec<Value>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Evidence {
    scope: String,
    query: String,
    tool: String,
    weight: f32,
    times: u32,
    last: String,
}

impl WhichArgs {
    fn params(&self) -> Vec<(&'static str, &str)> {
        let given = [("tool", &self.tool), ("query", &self.query), ("scope", &self.profile)];
        given.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?))).collect()
    }
}

/// Runs the subcommand.
pub fn run(command: &LearnedCommand) -> anyhow::Result<ExitCode> {
    let told = match command {
        LearnedCommand::List(args) => list(args)?,
        LearnedCommand::Forget(args) => forget(args)?,
    };
    anstream::stdout().write_all(told.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn list(args: &ListArgs) -> anyhow::Result<String> {
    let remote = Remote::of(&args.remote)?;
    let mut evidence = Vec::new();
    let mut cursor = None;
    loop {
        let mut params = args.which.params();
        params.push(("limit", "1000"));
        params.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let answer = remote.ask_for(Method::GET, &PATH, &params, None)?;
        let page = Page::deserialize(answer).context(OTHER_RELEASE)?;
        evidence.extend(page.evidence);
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    if args.json {
        return Ok(format!("{:#}\n", Value::from(evidence)));
    }
    if evidence.is_empty() {
        return Ok("nothing was learned\n".into());
    }
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header(["profile", "tool", "counts", "times", "last", "query"]);
    for one in evidence {
        let one = Evidence::deserialize(one).context(OTHER_RELEASE)?;
        let (counts, times) = (format!("{:.2}", one.weight), one.times.to_string());
        table.add_row([
            safe(&one.scope),
            safe(&one.tool),
            counts,
            times,
            one.last,
            safe(&one.query),
        ]);
    }
    Ok(format!("{table}\n"))
}

fn forget(args: &ForgetArgs) -> anyhow::Result<String> {
    let remote = Remote::of(&args.remote)?;
    let answer = remote.ask_for(Method::DELETE, &PATH, &args.which.params(), None)?;
    let count = answer["forgotten"].as_u64().context(OTHER_RELEASE)?;
    Ok(format!("forgot {count} pieces of evidence\n"))
}

const OTHER_RELEASE: &str = "that toolscout answers otherwise: it is of another release";

fn safe(text: &str) -> String {
    visible_lines(text).join("\\n")
}
