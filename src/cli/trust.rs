//! `toolscout trust`: definitions that a running toolscout holds back, and a word on them.
//!
//! Invariant: what is approved is what the running toolscout holds at that moment, by its hash; and
//! of a definition nothing is printed that a terminal would hide or obey.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::remote::{Remote, RemoteArgs};
use crate::trust::checks::visible_lines;

/// What `trust` can do.
#[derive(Debug, Subcommand)]
pub enum TrustCommand {
    /// What is held back, and why.
    Pending(PendingArgs),
    /// One definition that is held back, beside the one that is served.
    Show(ShowArgs),
    /// Serve definitions that are held back.
    Approve(DecideArgs),
    /// Keep definitions back, and stop asking.
    Reject(DecideArgs),
}

/// Arguments of `trust pending`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toolscout trust pending
  toolscout trust pending --rejected --json")]
pub struct PendingArgs {
    /// Those that were rejected as well.
    #[arg(long)]
    pub rejected: bool,
    /// Report as JSON.
    #[arg(long)]
    pub json: bool,
    /// Which toolscout.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// Arguments of `trust show`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  toolscout trust show github/create_issue")]
pub struct ShowArgs {
    /// The tool's id, `server/name`.
    pub tool: String,
    /// Report as JSON.
    #[arg(long)]
    pub json: bool,
    /// Which toolscout.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// Arguments of `trust approve` and `trust reject`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toolscout trust approve github/create_issue --hash 3f1c9a0d77
  toolscout trust approve --server github      All of that server that wait
  toolscout trust reject github/delete_repo")]
pub struct DecideArgs {
    /// The tools' ids, `server/name`.
    #[arg(value_name = "TOOL", required_unless_present = "server")]
    pub tools: Vec<String>,
    /// All that wait of this server.
    #[arg(long, value_name = "ID", conflicts_with = "tools")]
    pub server: Option<String>,
    /// The definition that you looked at: its hash, or how it begins. With one tool only.
    #[arg(long, value_name = "HASH", conflicts_with = "server")]
    pub hash: Option<String>,
    /// Which toolscout.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// A definition that is held, as the service tells it.
#[derive(Deserialize)]
struct Pending {
    id: String,
    server: String,
    name: String,
    held: Held,
    definition: String,
    served: Option<String>,
}

#[derive(Deserialize)]
struct Held {
    hash: String,
    since: String,
    why: String,
    parts: Vec<String>,
    rejected: bool,
    findings: Vec<Found>,
}

#[derive(Deserialize)]
struct Found {
    rule: String,
    level: String,
    what: String,
    #[serde(rename = "where")]
    pointer: String,
    excerpt: String,
}

/// Runs the subcommand.
pub fn run(command: &TrustCommand) -> anyhow::Result<ExitCode> {
    let told = match command {
        TrustCommand::Pending(args) => list(args)?,
        TrustCommand::Show(args) => show(args)?,
        TrustCommand::Approve(args) => decide(args, "approve")?,
        TrustCommand::Reject(args) => decide(args, "reject")?,
    };
    anstream::stdout().write_all(told.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn ask(remote: &Remote) -> anyhow::Result<(Value, Vec<Pending>)> {
    let mut answer = remote.ask(Method::GET, &["v1", "admin", "pending"], None)?;
    let list = answer["pending"].take();
    let pending = Vec::<Pending>::deserialize(&list)
        .context("that toolscout answers otherwise: it is of another release")?;
    Ok((list, pending))
}

fn list(args: &PendingArgs) -> anyhow::Result<String> {
    let (answer, mut pending) = ask(&Remote::of(&args.remote)?)?;
    if args.json {
        let all = answer.as_array().into_iter().flatten();
        let wanted = all.filter(|one| args.rejected || one["held"]["rejected"] == false);
        return Ok(format!("{:#}\n", wanted.cloned().collect::<Value>()));
    }
    pending.retain(|one| args.rejected || !one.held.rejected);
    if pending.is_empty() {
        return Ok("nothing waits\n".into());
    }
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header(["tool", "", "since", "changed", "found", "hash"]);
    for Pending { id, held, served, .. } in &pending {
        let mut rules: Vec<&str> = held.findings.iter().map(|found| found.rule.as_str()).collect();
        rules.dedup();
        let what = match (held.rejected, &*held.why) {
            (true, _) => "rejected",
            (_, "pinned") => "held",
            (_, why) => why,
        };
        let changed = match (served.is_some(), held.parts.is_empty()) {
            (_, false) => held.parts.join(", "),
            (false, true) => "new".into(),
            (true, true) => String::new(),
        };
        let hash = held.hash.get(..10).unwrap_or(&held.hash);
        table.add_row([&safe(id), what, &held.since, &changed, &rules.join(", "), hash]);
    }
    Ok(format!("{table}\ntoolscout trust show TOOL shows what changed\n"))
}

fn show(args: &ShowArgs) -> anyhow::Result<String> {
    let (answer, pending) = ask(&Remote::of(&args.remote)?)?;
    let at = pending.iter().position(|one| one.id == args.tool);
    let at = at.with_context(|| nothing(&args.tool))?;
    if args.json {
        return Ok(format!("{:#}\n", answer[at]));
    }
    let Pending { id, held, definition, served, .. } = &pending[at];
    let mut told = format!("{}: {} since {}\n", safe(id), held.why, held.since);
    for Found { rule, level, what, pointer, excerpt } in &held.findings {
        let _ = writeln!(
            told,
            "{level}: {rule} at {}: it {}\n  {}",
            safe(pointer),
            safe(what),
            safe(excerpt)
        );
    }
    let lines = |text: &str| match serde_json::from_str::<Value>(text) {
        Ok(value) => visible_lines(&format!("{value:#}")),
        Err(_) => visible_lines(text),
    };
    let new = lines(definition);
    match served {
        Some(served) => {
            for (sign, line) in difference(&lines(served), &new) {
                let _ = writeln!(told, "{sign} {line}");
            }
        }
        None => told.extend(new.iter().map(|line| format!("+ {line}\n"))),
    }
    let hash = held.hash.get(..16).unwrap_or(&held.hash);
    let _ = writeln!(told, "toolscout trust approve {} --hash {hash}", safe(id));
    Ok(told)
}

fn decide(args: &DecideArgs, word: &str) -> anyhow::Result<String> {
    let remote = Remote::of(&args.remote)?;
    let (_, pending) = ask(&remote)?;
    let mut chosen: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    let choose = |one: &'_ Pending| json!({"name": one.name, "hash": one.held.hash});
    if let Some(server) = &args.server {
        let waiting = pending.iter().filter(|one| one.server == *server && !one.held.rejected);
        for one in waiting {
            chosen.entry(&one.server).or_default().push(choose(one));
        }
        if chosen.is_empty() {
            bail!("nothing of {server} waits: see `toolscout trust pending`");
        }
    }
    if args.hash.is_some() && args.tools.len() != 1 {
        bail!("--hash goes with one tool: approve the others by themselves");
    }
    for tool in &args.tools {
        let one = pending.iter().find(|one| one.id == *tool).with_context(|| nothing(tool))?;
        if let Some(hash) = &args.hash
            && (hash.len() < 8 || !one.held.hash.starts_with(hash.as_str()))
        {
            bail!(
                "what waits is {}, not {hash}: look at it with `toolscout trust show {tool}`",
                one.held.hash
            );
        }
        chosen.entry(&one.server).or_default().push(choose(one));
    }
    let mut told = String::new();
    for (server, tools) in chosen {
        let path = ["v1", "admin", "servers", server, word];
        let answer = remote.ask(Method::POST, &path, Some(&json!({ "tools": tools })))?;
        let done = answer["done"].as_str().unwrap_or_default();
        for (tool, hash) in answer["tools"].as_object().into_iter().flatten() {
            let _ = writeln!(told, "{done} {} {}", safe(tool), hash.as_str().unwrap_or_default());
        }
    }
    Ok(told)
}

fn nothing(tool: &str) -> String {
    format!("nothing of {tool} is held back: see `toolscout trust pending`")
}

fn safe(text: &str) -> String {
    visible_lines(text).join("\\n")
}

/// The lines of both, in order: those of `old` alone with `-`, those of `new` alone with `+`.
fn difference<'a>(old: &'a [String], new: &'a [String]) -> Vec<(char, &'a str)> {
    // How many lines both have in common from here on.
    let mut common = vec![vec![0_u32; new.len() + 1]; old.len() + 1];
    for at in (0..old.len()).rev() {
        for to in (0..new.len()).rev() {
            common[at][to] = if old[at] == new[to] {
                common[at + 1][to + 1] + 1
            } else {
                common[at + 1][to].max(common[at][to + 1])
            };
        }
    }
    let (mut at, mut to, mut lines) = (0, 0, Vec::new());
    while at < old.len() || to < new.len() {
        if at < old.len() && to < new.len() && old[at] == new[to] {
            lines.push((' ', old[at].as_str()));
            (at, to) = (at + 1, to + 1);
        } else if at < old.len() && (to == new.len() || common[at + 1][to] >= common[at][to + 1]) {
            lines.push(('-', old[at].as_str()));
            at += 1;
        } else {
            lines.push(('+', new[to].as_str()));
            to += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_differ() {
        let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (old, new) = (lines("a b c d"), lines("a x c d e"));
        let told: Vec<String> =
            difference(&old, &new).iter().map(|(sign, line)| format!("{sign}{line}")).collect();
        assert_eq!(told.concat(), " a-b+x c d+e");
    }
}
