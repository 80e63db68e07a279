//! `toolscout log`: what a running toolscout logs, shown and switched.
//!
//! Invariant: nothing is switched unless something is named.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::remote::{Remote, RemoteArgs};

const PATH: [&str; 3] = ["v1", "admin", "log"];

/// Arguments of `log`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toolscout log                                    Show what is logged
  toolscout log info,toolscout::crawl=debug --for 10m
  toolscout log --usual
  toolscout log --sample-queries 0.01              Log one query in a hundred, redacted")]
pub struct LogArgs {
    /// What is logged from now on: a level, or pairs of a module and a level.
    #[arg(value_name = "FILTER", conflicts_with = "usual")]
    pub filter: Option<String>,
    /// Back to what is logged usually.
    #[arg(long)]
    pub usual: bool,
    /// For this long; without it until it is switched again.
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration, requires = "filter")]
    pub time: Option<Duration>,
    /// The share of queries that are logged, 0 to 1.
    #[arg(long, value_name = "SHARE")]
    pub sample_queries: Option<f64>,
    /// Report as JSON.
    #[arg(long)]
    pub json: bool,
    /// Which toolscout.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// Runs the subcommand.
pub fn run(args: &LogArgs) -> anyhow::Result<ExitCode> {
    let remote = Remote::of(&args.remote)?;
    let mut body = Map::new();
    if let Some(filter) = &args.filter {
        body.insert("filter".into(), json!(filter));
    }
    if args.usual {
        body.insert("usual".into(), json!(true));
    }
    if let Some(time) = args.time {
        body.insert("for_s".into(), json!(time.as_secs().max(1)));
    }
    if let Some(share) = args.sample_queries {
        body.insert("sample_queries".into(), json!(share));
    }
    let now = if body.is_empty() {
        remote.ask(Method::GET, &PATH, None)?
    } else {
        remote.ask(Method::PUT, &PATH, Some(&Value::Object(body)))?
    };
    let mut out = anstream::stdout();
    if args.json {
        writeln!(out, "{now:#}")?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "filter          {}", now["filter"].as_str().unwrap_or_default())?;
    if let Some(seconds) = now["reverts_in_s"].as_u64() {
        let usual = now["usual"].as_str().unwrap_or_default();
        writeln!(out, "reverts         in {seconds} s, to {usual}")?;
    }
    writeln!(out, "sample_queries  {}", now["sample_queries"])?;
    Ok(ExitCode::SUCCESS)
}
