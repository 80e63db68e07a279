//! The command line: what can be asked, and how flags become a [`Config`].
//!
//! Invariant: nothing here reads a configuration file or decides a default; `config` does.

pub mod add;
pub mod audit;
pub mod auth;
mod browser;
pub mod completions;
pub mod config;
pub mod console;
pub mod crawl;
pub mod demo_server;
pub mod doctor;
mod entries;
pub mod eval;
pub mod import;
pub mod key;
pub mod learned;
pub mod lint;
mod local;
mod log;
mod manager;
pub mod model;
mod progress;
pub mod registry;
mod reload;
pub mod remote;
pub mod search;
pub mod serve;
pub mod server;
mod sources;
pub mod switch_log;
pub mod trust;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use url::Url;

pub use self::sources::{CatalogArgs, ListenArgs, PlaceArgs, SourceArgs};
use crate::config::{Config, ConfigErrors, Loaded};
use crate::format::{Family, Format};
use crate::search::Arms;

/// Finds the few tools that fit, out of all the tools of all your MCP servers.
#[derive(Debug, Parser)]
#[command(
    name = "toolscout",
    version,
    propagate_version = true,
    after_help = "\
Examples:
  toolscout serve --demo                       Serve a demo catalog on 127.0.0.1:7420
  toolscout serve --mcp-config ~/.claude.json  Serve the servers an MCP client already has
  toolscout search --demo \"book a meeting\"     Ask once, on the terminal
  toolscout config example > toolscout.toml    Begin a configuration"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Crawl the servers and answer searches over MCP and HTTP.
    Serve(ServeArgs),
    /// Crawl the servers once and report what they offer.
    Crawl(CrawlArgs),
    /// Search once, and print the tools that fit.
    Search(SearchArgs),
    /// Score the search on labelled queries.
    Eval(EvalArgs),
    /// Find the MCP server of a site, or take a command, and write it into toolscout.toml.
    Add(Box<add::AddArgs>),
    /// Search an MCP registry, take servers of it, approve those of one that is followed.
    #[command(subcommand)]
    Registry(Box<registry::RegistryCommand>),
    /// Check the configuration, or print an example of one.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print where the console of a running toolscout is, or open it in a browser.
    Console(console::ConsoleArgs),
    /// Look for what stands in the way of a good service, with the remedy.
    Doctor(Box<doctor::DoctorArgs>),
    /// Look through the tools for what makes them hard to find or to use.
    Lint(lint::LintArgs),
    /// Take the servers that your MCP clients have into toolscout.toml.
    Import(import::ImportArgs),
    /// List, pause, resume, crawl, add or remove the servers of a running toolscout.
    #[command(subcommand)]
    Server(server::ServerCommand),
    /// Have a running toolscout read its configuration anew.
    Reload(server::ReloadArgs),
    /// Look at definitions that a running toolscout holds back; approve or reject them.
    #[command(subcommand)]
    Trust(trust::TrustCommand),
    /// See what a running toolscout has learned from use, or have it forgotten.
    #[command(subcommand)]
    Learned(learned::LearnedCommand),
    /// Check the audit log, or show its last events.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// See what a running toolscout logs, or switch it for a time.
    Log(switch_log::LogArgs),
    /// List the models, fetch one, or choose the one that is used.
    #[command(subcommand)]
    Model(model::ModelCommand),
    /// Make, list, replace and revoke the API keys that a toolscout takes.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Log in at servers that want it, and see or forget the logins.
    #[command(subcommand)]
    Auth(auth::AuthCommand),
    /// Print a completion script for a shell.
    Completions(CompletionsArgs),
    /// Run one of the demo's servers on stdin and stdout.
    #[command(hide = true)]
    DemoServer(DemoServerArgs),
}

/// Arguments of `serve`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  toolscout serve                              Serve what ./toolscout.toml names
  toolscout serve --demo --listen 127.0.0.1:0  Serve the demo on a free port
  toolscout serve --leave 5s --drain 20s       End as a load balancer and slow calls want it
  toolscout serve --stdio --mcp-config mcp.json")]
pub struct ServeArgs {
    /// What to crawl.
    #[command(flatten)]
    pub sources: SourceArgs,
    /// Where to listen.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// Speak MCP on stdin and stdout instead of listening.
    #[arg(long)]
    pub stdio: bool,
    /// Show what this profile does, and nothing else, to the client on stdin.
    #[arg(long, requires = "stdio", value_name = "NAME")]
    pub profile: Option<String>,
    /// How long open requests may take to end once it is told to stop.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    pub drain: Duration,
    /// How long before that it takes requests as ever, while /readyz says that it is leaving: the
    /// time that a load balancer needs to notice.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    pub leave: Duration,
    /// How log lines are written.
    #[arg(long, env = "TOOLSCOUT_LOG_FORMAT", value_enum, default_value_t, value_name = "FORMAT")]
    pub log_format: LogFormat,
}

impl ServeArgs {
    /// The configuration that these arguments ask for.
    fn load(&self) -> Result<Loaded, ConfigErrors> {
        self.sources.load(self.listens())
    }

    fn listens(&self) -> Option<&ListenArgs> {
        (!self.stdio).then_some(&self.listen)
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines, an object a line.
    Json,
}

/// Arguments of `crawl`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toolscout crawl --mcp-config mcp.json
  toolscout crawl --demo --out catalog.jsonl   Keep the definitions, one tool a line")]
pub struct CrawlArgs {
    /// What to crawl.
    #[command(flatten)]
    pub sources: SourceArgs,
    /// Write every definition to this file, one tool a line.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write the servers' titles and descriptions to this file, for `--servers` beside `--catalog`.
    #[arg(long, value_name = "FILE")]
    pub out_servers: Option<PathBuf>,
    /// Report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `search`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toolscout search --demo create an invoice
  toolscout search --catalog catalog.jsonl.gz \"list merge requests\" --explain
  toolscout search --url http://127.0.0.1:7420 \"send an email\" --json
  toolscout search --url https://tools.example.com --ca-file ca.pem --key-file key \"send an email\"")]
pub struct SearchArgs {
    /// What to look for.
    #[arg(required = true, value_name = "QUERY")]
    pub query: Vec<String>,
    /// What to search.
    #[command(flatten)]
    pub sources: SourceArgs,
    /// Ask a running toolscout instead.
    #[arg(
        long,
        conflicts_with_all = ["config", "mcp_config", "catalog", "demo"],
        value_name = "URL"
    )]
    pub url: Option<Url>,
    /// A file with the API key or access token to show there [env: `TOOLSCOUT_KEY`, the key itself].
    #[arg(long, requires = "url", value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Whom to trust there.
    #[command(flatten)]
    pub tls: remote::TlsArgs,
    /// How many tools at most; absent, between 5 and 10.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=50))]
    pub limit: Option<u16>,
    /// Search only this server; may be repeated.
    #[arg(long = "server", value_name = "ID")]
    pub server: Vec<String>,
    /// Search what this profile of the configuration shows.
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Only tools that say they change nothing (`readOnlyHint`).
    #[arg(long)]
    pub read_only: bool,
    /// Answer as JSON.
    #[arg(long)]
    pub json: bool,
    /// Say why each tool was found.
    #[arg(long)]
    pub explain: bool,
    /// Say why this tool stands where it does, found or not.
    #[arg(long, value_name = "TOOL")]
    pub why: Option<String>,
    /// Which arm answers.
    #[arg(long, value_enum, default_value_t, value_name = "ARM")]
    pub arm: Arms,
    /// Print the tools in the shape that a host or a model API takes, as JSON.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// The most tokens that the tools may take: the last are shortened until all fit.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub token_budget: Option<u32>,
    /// Whose tokens [default: what the format tells].
    #[arg(long, value_enum, value_name = "FAMILY")]
    pub family: Option<Family>,
}

/// Arguments of `eval`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toolscout eval --catalog catalog.jsonl.gz --queries queries.jsonl
  toolscout eval --catalog catalog.jsonl --queries queries.jsonl --arm lexical --run run.jsonl
  toolscout eval --catalog catalog.jsonl --queries queries.jsonl --replay")]
pub struct EvalArgs {
    /// The definitions that are searched.
    #[arg(long, value_name = "FILE")]
    pub catalog: PathBuf,
    /// The queries, one a line; those without labels are run and not scored.
    #[arg(long, value_name = "FILE")]
    pub queries: PathBuf,
    /// Titles and descriptions of the servers.
    #[arg(long, value_name = "FILE")]
    pub servers: Option<PathBuf>,
    /// Write the rankings to this file.
    #[arg(long, value_name = "FILE")]
    pub run: Option<PathBuf>,
    /// Write what the confidence is made of to this file, for `scripts/fit_confidence.py`.
    #[arg(long, value_name = "FILE", hide = true)]
    pub features: Option<PathBuf>,
    /// Compare with the rankings of this file, query by query.
    #[arg(long, value_name = "RUN")]
    pub against: Option<PathBuf>,
    /// Learn from half of the queries, and tell what that does to the others.
    #[arg(long, conflicts_with_all = ["run", "features", "against"])]
    pub replay: bool,
    /// Report as JSON.
    #[arg(long)]
    pub json: bool,
    /// Which arm answers.
    #[arg(long, value_enum, default_value_t, value_name = "ARM")]
    pub arm: Arms,
    /// Take encoder and reranker from this configuration; its servers are left aside.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The encoder, and where its vectors are kept.
    #[command(flatten)]
    pub encoder: sources::EncoderArgs,
}

impl EvalArgs {
    /// The configuration that these arguments ask for; the catalog is its only server.
    pub fn resolve(&self) -> Result<Config, ConfigErrors> {
        self.encoder.resolve(&self.catalog, self.servers.as_deref(), self.config.clone())
    }
}

/// What `config` can do.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the resolved configuration with secrets masked, or everything that is wrong with it.
    Check(Box<CheckArgs>),
    /// Print a toolscout.toml with every key and its default.
    Example,
}

/// Arguments of `config check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toolscout config check
  toolscout config check --config prod.toml --mcp-config mcp.json
  toolscout config check --tenant acme")]
pub struct CheckArgs {
    /// What to check.
    #[command(flatten)]
    pub sources: SourceArgs,
    /// Where `serve` would listen.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// Print what comes of this tenant's file.
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  toolscout completions bash > ~/.local/share/bash-completion/completions/toolscout")]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Arguments of `demo-server`.
#[derive(Debug, Args)]
pub struct DemoServerArgs {
    /// Which one.
    pub name: String,
}

/// The runtime of a command.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    // One more than cores: while each works on a search, somebody still takes in what comes, and
    // says so where it is too much.
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    tokio::runtime::Builder::new_multi_thread().worker_threads(cores + 1).enable_all().build()
}

/// Does what was asked.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Crawl(args) => crawl::run(&args),
        Command::Search(args) => search::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Add(args) => add::run(&args),
        Command::Registry(command) => registry::run(&command),
        Command::Config(command) => config::run(&command),
        Command::Console(args) => console::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Lint(args) => lint::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Model(command) => model::run(&command),
        Command::Key(command) => key::run(&command),
        Command::Auth(command) => auth::run(&command),
        Command::Server(command) => server::run(&command),
        Command::Reload(args) => server::reload(&args),
        Command::Trust(command) => trust::run(&command),
        Command::Learned(command) => learned::run(&command),
        Command::Audit(command) => audit::run(&command),
        Command::Log(args) => switch_log::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::DemoServer(args) => demo_server::run(&args),
    }
}
