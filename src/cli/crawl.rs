//! `toolscout crawl`: every server once, and a table of what they offer.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use comfy_table::{Table, presets};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::StreamExt;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{CrawlArgs, LogFormat, log};
use crate::auth::Accounts;
use crate::catalog::{Catalog, Outcome, ServerUpdate, file};
use crate::config::{Config, ServerConfig};
use crate::tool::ServerId;
use crate::trust::Trust;
use crate::trust::checks::{Finding, visible};
use crate::trust::history::Book;
use crate::trust::policy::Level;
use crate::{crawl, demo};

/// How long tokens that were asked for may take to come when all else is done.
const TOKENS: Duration = Duration::from_secs(5);

/// What became of one server.
#[derive(Debug, Serialize)]
pub struct Crawled {
    server: ServerId,
    transport: &'static str,
    state: &'static str,
    /// Absent when unknown, which is not zero.
    tools: Option<usize>,
    protocol: Option<String>,
    seconds: f32,
    error: Option<String>,
    defects: Vec<String>,
    findings: Vec<OfTool>,
}

/// Something odd in a definition, by the rules of the configuration.
#[derive(Debug, Serialize)]
pub struct OfTool {
    tool: String,
    level: Level,
    #[serde(flatten)]
    finding: Finding,
}

impl Crawled {
    fn has_failed(&self) -> bool {
        self.tools.is_none() && self.state != "disabled"
    }
}

/// Warns of each server that could not be crawled, and names them.
pub fn warn_of_failed(crawled: &[Crawled]) -> Vec<ServerId> {
    let failed = crawled.iter().filter(|server| server.has_failed());
    let told = failed.map(|server| {
        let why = server.error.as_deref().unwrap_or(server.state);
        tracing::warn!("{}: its tools are missing here: {why}", server.server);
        server.server.clone()
    });
    told.collect()
}

/// Runs the subcommand.
pub fn run(args: &CrawlArgs) -> anyhow::Result<ExitCode> {
    let lines = log::start(LogFormat::Text, true);
    let config = args.sources.resolve()?;
    let (catalog, mut crawled) = crawl_all(&config, &lines)?;
    look(&config, &catalog, &mut crawled);
    if let Some(path) = &args.out {
        write(path, |out| file::write(&catalog, out))
            .with_context(|| format!("can't write the catalog to {}", path.display()))?;
    }
    if let Some(path) = &args.out_servers {
        write(path, |out| file::write_servers(&catalog, out))
            .with_context(|| format!("can't write the servers to {}", path.display()))?;
    }
    let mut out = anstream::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &crawled)?;
        writeln!(out)?;
    } else {
        let whole = crawled.iter().filter(|server| server.tools.is_some()).count();
        writeln!(out, "{}", table(&crawled))?;
        writeln!(
            out,
            "{} tools of {whole} servers, {} not crawled",
            catalog.len(),
            crawled.len() - whole
        )?;
    }
    let failed = crawled.iter().any(Crawled::has_failed);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Notes what is odd in what was crawled.
fn look(config: &Config, catalog: &Catalog, crawled: &mut [Crawled]) {
    let mut trust = Trust::new(config.trust.clone(), Book::default());
    trust.adopt(catalog);
    let book = trust.book();
    for (server, name, entry) in book.offered() {
        let crawled = crawled.iter_mut().find(|crawled| crawled.server == *server);
        let (Some(crawled), Some(version)) = (crawled, entry.offered()) else { continue };
        let rules = config.trust.of(server);
        for (level, finding) in book.findings(server.as_str(), name, version, rules) {
            let (tool, finding) = (name.to_string(), finding.clone());
            crawled.findings.push(OfTool { tool, level, finding });
        }
    }
}

/// Writes a file, gzipped where its name says so, as it is read.
fn write(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    if path.extension().is_some_and(|extension| extension == "gz") {
        let mut gzip = GzEncoder::new(out, Compression::default());
        content(&mut gzip)?;
        gzip.finish()?.flush()
    } else {
        content(&mut out)
    }
}

/// Crawls every server of `config` once, with a line a server while it is at work.
pub fn crawl_all(
    config: &Config,
    lines: &MultiProgress,
) -> anyhow::Result<(Catalog, Vec<Crawled>)> {
    super::runtime()?.block_on(async {
        let shutdown = CancellationToken::new();
        let _stop = shutdown.clone().drop_guard();
        let mut servers = config.servers.clone();
        if config.demo {
            servers.extend(demo::start(&std::env::current_exe()?, shutdown).await?);
        }
        let accounts = &Accounts::open(config)?;
        let one = |server: ServerConfig| async move {
            let line = line(lines, &server);
            let begun = Instant::now();
            let updates = if server.enabled {
                crawl::crawl_once_with(&server, accounts, &config.crawl, None).await
            } else {
                vec![ServerUpdate {
                    server: server.id.clone(),
                    transport: "",
                    outcome: Outcome::Disabled,
                    next_crawl: None,
                }]
            };
            line.finish_and_clear();
            (updates, begun.elapsed())
        };
        let mut done = futures::stream::iter(servers.into_iter().map(one))
            .buffer_unordered(config.crawl.concurrency.max(1));
        let mut listings = Vec::new();
        let mut crawled = BTreeMap::new();
        while let Some((updates, took)) = done.next().await {
            for update in updates {
                crawled.insert(update.server.clone(), row(&update, took));
                if let Outcome::Listed(listing) = update.outcome {
                    listings.push((update.server, listing));
                }
            }
        }
        accounts.settled(TOKENS).await;
        Ok((Catalog::from_listings(listings), crawled.into_values().collect()))
    })
}

fn line(lines: &MultiProgress, server: &ServerConfig) -> ProgressBar {
    let line = lines.add(ProgressBar::new_spinner());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        line.set_style(style);
    }
    line.set_message(format!("{}: connecting", server.id));
    line.enable_steady_tick(Duration::from_millis(100));
    line
}

fn row(update: &ServerUpdate, took: Duration) -> Crawled {
    let (state, error) = match &update.outcome {
        Outcome::Listed(_) => ("ready", None),
        Outcome::AuthRequired { error } => ("auth_required", Some(error.clone())),
        Outcome::Failed { error } => ("failed", Some(error.clone())),
        Outcome::Disabled => ("disabled", None),
        Outcome::Confirmed { .. }
        | Outcome::Connecting
        | Outcome::Removed
        | Outcome::Paused
        | Outcome::Pending
        | Outcome::Narrowed(_) => ("unknown", None),
    };
    let listing = match &update.outcome {
        Outcome::Listed(listing) => Some(listing),
        _ => None,
    };
    Crawled {
        server: update.server.clone(),
        transport: update.transport,
        state,
        tools: listing.map(|listing| listing.tools.len()),
        protocol: listing.and_then(|listing| listing.info.protocol.clone()),
        seconds: took.as_secs_f32(),
        error,
        defects: listing.map(|listing| listing.defects.clone()).unwrap_or_default(),
        findings: Vec::new(),
    }
}

fn table(crawled: &[Crawled]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["server", "over", "state", "tools", "protocol", "seconds", ""]);
    for server in crawled {
        let mut said: Vec<String> = server.error.iter().cloned().collect();
        if let Some(first) = server.defects.first() {
            said.push(format!("{} defects, first: {first}", server.defects.len()));
        }
        let mut worse = server.findings.iter().filter(|one| one.level > Level::Note);
        if let Some(first) = worse.next() {
            let OfTool { tool, finding, .. } = first;
            let (rule, count) = (finding.rule.name(), 1 + worse.count());
            let tool = visible(tool);
            said.push(format!("{count} findings, first: {tool}: {rule}: it {}", finding.what));
        }
        table.add_row([
            server.server.to_string(),
            server.transport.into(),
            server.state.into(),
            server.tools.map_or("?".into(), |count| count.to_string()),
            server.protocol.clone().unwrap_or_default(),
            format!("{:.2}", server.seconds),
            said.join("; "),
        ]);
    }
    table
}
