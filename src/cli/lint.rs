//! `toolscout lint`: what is wrong with the tools of a catalog.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::local::Local;
use super::{LogFormat, SourceArgs, log, search};
use crate::lint::{Finding, Level, Rule, Settings, lint};
use crate::tool::ServerId;

/// Arguments of `lint`.
#[derive(Debug, Args)]
#[command(after_help = "\
Rules, and the level of what they find:
  no-description          error    no description, or one that is only the name or title
  unfindable              error    searching with its own first sentence doesn't find it in time
  short-description       warning  a description of few words
  undescribed-parameters  warning  parameters without a description
  near-duplicate          warning  tools that say nearly the same
  large-definition        warning  a definition of many bytes
  large-schema            warning  an input schema of many bytes

Exit code: 1 when there is a finding of level error or a server can't be crawled, else 0.

Examples:
  toolscout lint                               The servers of ./toolscout.toml
  toolscout lint --catalog catalog.jsonl --json
  toolscout lint --allow near-duplicate --deny undescribed-parameters")]
pub struct LintArgs {
    /// What to look through.
    #[command(flatten)]
    pub sources: SourceArgs,
    /// Only this rule; may be repeated.
    #[arg(long, value_name = "RULE", value_parser = rule())]
    pub rule: Vec<Rule>,
    /// Not this rule; may be repeated.
    #[arg(long, value_name = "RULE", value_parser = rule())]
    pub allow: Vec<Rule>,
    /// What this rule finds is an error; may be repeated.
    #[arg(long, value_name = "RULE", value_parser = rule())]
    pub deny: Vec<Rule>,
    /// A tool must be among the first N that its own description finds.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=50))]
    pub first: u16,
    /// The fewest words of a description.
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub min_words: usize,
    /// The most bytes of a definition.
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 10)]
    pub max_definition: usize,
    /// The most bytes of an input schema.
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 10)]
    pub max_schema: usize,
    /// Two tools are nearly the same from this share of common words on, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.9, value_parser = share)]
    pub similar: f64,
    /// Report as JSON.
    #[arg(long)]
    pub json: bool,
}

fn rule() -> impl TypedValueParser<Value = Rule> {
    PossibleValuesParser::new(Rule::ALL.map(Rule::name)).map(|name| {
        let found = Rule::ALL.into_iter().find(|rule| rule.name() == name);
        // No other name passes.
        found.unwrap_or(Rule::Unfindable)
    })
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "it must be a number from 0 to 1".to_owned())
}

/// What is told, for machines.
#[derive(Serialize)]
struct Report<'a> {
    tools: usize,
    servers: usize,
    errors: usize,
    warnings: usize,
    by_rule: BTreeMap<&'static str, usize>,
    /// Servers whose tools could not be looked through.
    not_crawled: &'a [ServerId],
    findings: &'a [Finding],
}

/// Runs the subcommand.
pub fn run(args: &LintArgs) -> anyhow::Result<ExitCode> {
    let lines = log::start(LogFormat::Text, true);
    let config = args.sources.resolve()?;
    let (catalog, not_crawled) = search::catalog_now(&config, &lines)?;
    let local = Local::build(catalog, &config, false)?;
    let catalog = &local.index.catalog;
    let bar = lines.add(ProgressBar::new(catalog.len() as u64));
    if let Ok(style) = ProgressStyle::with_template("searching {pos}/{len} {wide_bar} {eta}") {
        bar.set_style(style);
    }
    let begun = Instant::now();
    let findings = lint(&local.index, &settings(args), |query| local.ask(query), || bar.inc(1))?;
    bar.finish_and_clear();
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (errors, warnings) = (count(Level::Error), count(Level::Warning));
    let mut by_rule = BTreeMap::new();
    for finding in &findings {
        *by_rule.entry(finding.rule.name()).or_default() += 1;
    }
    let (tools, servers) = (catalog.len(), catalog.servers().count());
    let mut out = anstream::stdout().lock();
    if args.json {
        let findings = &findings[..];
        let not_crawled = &not_crawled[..];
        let report = Report { tools, servers, errors, warnings, by_rule, not_crawled, findings };
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        for finding in &findings {
            let level = match finding.level {
                Level::Error => "error",
                Level::Warning => "warning",
            };
            let Finding { rule, tool, message, .. } = finding;
            writeln!(out, "{level}: {}: {tool}: {message}", rule.name())?;
        }
        let rules: Vec<_> = by_rule.iter().map(|(rule, count)| format!("{rule} {count}")).collect();
        let rules =
            if rules.is_empty() { String::new() } else { format!(" ({})", rules.join(", ")) };
        let missing = match not_crawled.len() {
            0 => String::new(),
            count => format!(", {count} servers not crawled"),
        };
        let took = begun.elapsed().as_secs_f32();
        writeln!(
            out,
            "{errors} errors, {warnings} warnings{rules} in {tools} tools of {servers} servers{missing}, {took:.1} s"
        )?;
    }
    Ok(if errors > 0 || !not_crawled.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn settings(args: &LintArgs) -> Settings {
    let wanted = |rule: &Rule| {
        (args.rule.is_empty() || args.rule.contains(rule)) && !args.allow.contains(rule)
    };
    let level = |rule: Rule| if args.deny.contains(&rule) { Level::Error } else { rule.level() };
    let rules = Rule::ALL.into_iter().filter(wanted).map(|rule| (rule, level(rule)));
    Settings {
        rules: rules.collect(),
        first: usize::from(args.first),
        min_words: args.min_words,
        max_definition: args.max_definition,
        max_schema: args.max_schema,
        similar: args.similar,
    }
}
