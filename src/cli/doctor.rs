//! `toolscout doctor`: what stands in the way of a good service, a line each, with its remedy.
//!
//! Invariant: it looks and changes nothing; what `serve` would do is found out by the functions that
//! `serve` does it with, and no line shows a secret.

mod machine;
mod places;
mod reach;
mod tls;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use clap::Args;
use serde::Serialize;
use tokio::runtime::Runtime;

use super::sources::variable;
use super::{ListenArgs, LogFormat, SourceArgs, log};
use crate::config::{Config, ConfigError, TenantConfig, data_folder, service_address};

/// Arguments of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toolscout doctor
  toolscout doctor --config prod.toml --timeout 30s
  toolscout doctor --offline --json")]
pub struct DoctorArgs {
    /// What `serve` would crawl.
    #[command(flatten)]
    pub sources: SourceArgs,
    /// Where it would listen.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// How long each server may take to list its tools.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
    /// Connect to nothing: neither servers nor an embeddings endpoint.
    #[arg(long)]
    pub offline: bool,
    /// Report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// How grave it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    /// It serves, and less well than it could.
    Warn,
    /// It does not serve, or not what it was told to.
    Fail,
}

/// One line.
#[derive(Debug, Serialize)]
struct Check {
    level: Level,
    what: String,
    said: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Check {
    fn ok(what: impl Into<String>, said: impl Into<String>) -> Self {
        Self { level: Level::Ok, what: what.into(), said: said.into(), remedy: None }
    }

    fn warn(what: impl Into<String>, said: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Warn, remedy: Some(remedy.into()), ..Self::ok(what, said) }
    }

    fn fail(what: impl Into<String>, said: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Fail, ..Self::warn(what, said, remedy) }
    }

    /// The same of a tenant.
    fn of(mut self, tenant: &str) -> Self {
        self.what = format!("{tenant}: {}", self.what);
        let login = |remedy: String| {
            remedy
                .replace("toolscout auth login", &format!("toolscout auth login --tenant {tenant}"))
        };
        self.remedy = self.remedy.map(login);
        self
    }
}

#[derive(Serialize)]
struct Report<'a> {
    checks: &'a [Check],
    warnings: usize,
    failures: usize,
}

/// Runs the subcommand.
pub fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    log::start(LogFormat::Text, true);
    let checks = checks(args)?;
    let count = |level| checks.iter().filter(|check| check.level == level).count();
    let (warnings, failures) = (count(Level::Warn), count(Level::Fail));
    let mut out = anstream::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &Report { checks: &checks, warnings, failures })?;
        writeln!(out)?;
    } else {
        let width = checks.iter().map(|check| check.what.chars().count()).max().unwrap_or(0);
        for check in &checks {
            writeln!(out, "{}", line(check, width))?;
        }
        writeln!(out, "{} checks: {warnings} warnings, {failures} failures", checks.len())?;
    }
    Ok(if failures > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn checks(args: &DoctorArgs) -> anyhow::Result<Vec<Check>> {
    let mut checks = Vec::new();
    let runtime = super::runtime()?;
    match args.sources.load(Some(&args.listen)) {
        Ok(loaded) => {
            let config = &loaded.config;
            let servers = config.servers.len();
            let read: Vec<_> = loaded.files.iter().map(|file| file.display().to_string()).collect();
            let read = if read.is_empty() { "no file".to_owned() } else { read.join(", ") };
            checks.push(Check::ok("configuration", format!("{read}: {servers} servers")));
            checks.extend(loaded.warnings.iter().map(|warning| of_config(Level::Warn, warning)));
            checks.extend(reach::model(config, args.offline));
            checks.extend(places::all(config));
            checks.push(machine::open_files());
            checks.extend(config.tls.0.as_ref().map(tls::check));
            checks.push(runtime.block_on(machine::listen(
                "listen",
                config.listen,
                config.tls.scheme(),
            )));
            if let Some(address) = config.auth.admin_listen {
                checks.push(runtime.block_on(machine::listen(
                    "admin listen",
                    address,
                    config.tls.scheme(),
                )));
            }
            if !args.offline {
                checks.push(runtime.block_on(reach::clock(&config.servers)));
                checks.extend(runtime.block_on(reach::servers(config, args.timeout)));
            }
            for (name, tenant) in config.tenants.iter().filter(|(_, tenant)| tenant.enabled) {
                let found = of_tenant(args, config, tenant, &runtime);
                checks.extend(found.into_iter().map(|check| check.of(name)));
            }
        }
        Err(errors) => {
            checks.extend(errors.0.iter().map(|error| of_config(Level::Fail, error)));
            // What the file says beside its errors is looked at all the same.
            let sources = args.sources.sources(Some(&args.listen));
            if let Ok(data) = data_folder(&sources, &variable) {
                checks.extend(places::folder(&data));
            }
            checks.push(machine::open_files());
            if let Ok(listen) = service_address(&sources, &variable) {
                checks.push(runtime.block_on(machine::listen("listen", listen, "http")));
            }
        }
    }
    runtime.shutdown_background();
    Ok(checks)
}

/// What a tenant has of its own.
fn of_tenant(
    args: &DoctorArgs,
    main: &Config,
    tenant: &TenantConfig,
    runtime: &Runtime,
) -> Vec<Check> {
    let loaded = match args.sources.load_tenant(main, tenant) {
        Ok(loaded) => loaded,
        Err(errors) => {
            let mut checks: Vec<_> =
                errors.0.iter().map(|error| of_config(Level::Fail, error)).collect();
            checks.extend(places::folder(&tenant.data));
            return checks;
        }
    };
    let (config, file) = (&loaded.config, tenant.file.display());
    let said = format!("{file}: {} servers", config.servers.len());
    let mut checks = vec![Check::ok("configuration", said)];
    checks.extend(loaded.warnings.iter().map(|warning| of_config(Level::Warn, warning)));
    checks.extend(places::kept(config));
    if !args.offline {
        checks.extend(runtime.block_on(reach::servers(config, args.timeout)));
    }
    checks
}

fn of_config(level: Level, error: &ConfigError) -> Check {
    let line = error.line.map(|line| format!(":{line}")).unwrap_or_default();
    let key = if error.key.is_empty() { String::new() } else { format!("{}: ", error.key) };
    let said = format!("{}{line}: {key}{}", error.file, error.problem);
    Check { level, remedy: Some(error.problem.remedy()), ..Check::ok("configuration", said) }
}

/// As it is shown: colours are left out on the way where there is no terminal.
fn line(check: &Check, width: usize) -> String {
    let (word, colour) = match check.level {
        Level::Ok => ("ok", AnsiColor::Green),
        Level::Warn => ("warn", AnsiColor::Yellow),
        Level::Fail => ("fail", AnsiColor::Red),
    };
    let style = Style::new().fg_color(Some(colour.into()));
    // One line each, whatever servers and the system say.
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let remedy = check.remedy.as_deref().map(|remedy| format!(" — {}", flat(remedy)));
    format!(
        "{style}{word:<4}{style:#}  {:<width$}  {}{}",
        check.what,
        flat(&check.said),
        remedy.unwrap_or_default()
    )
}
