//! `toolscout auth`: logins at servers that want one.
//!
//! Invariant: no token is ever printed.

mod login;
mod status;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{anyhow, bail};
use clap::{Args, Subcommand};

use super::sources::variable;
use super::{LogFormat, log};
use crate::auth::{Account, Accounts};
use crate::config::{Auth, Config, ServerConfig, Sources, Transport, load};

/// What `auth` can do.
#[derive(Debug, Subcommand)]
pub enum AuthCommand {
    /// Log in at a server, in a browser.
    Login(LoginArgs),
    /// List the logins, and the servers that may want one.
    Status(StatusArgs),
    /// Forget the login at a server.
    Logout(ServerArgs),
    /// Get a new token for a server now.
    Refresh(ServerArgs),
}

/// Where the servers and the logins are.
#[derive(Debug, Clone, Default, Args)]
pub struct PlaceArgs {
    /// The configuration [env: `TOOLSCOUT_CONFIG`] [default: ./toolscout.toml if there].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Servers of an MCP client's configuration; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub mcp_config: Vec<PathBuf>,
    /// Where logins are kept [env: `TOOLSCOUT_DATA`].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// Arguments of `auth login`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toolscout auth login tracker
  toolscout auth login tracker --paste   On a machine without a browser: open the URL elsewhere,
                                         and paste the URL that the browser ends at

A running toolscout with the same data folder notices, and reads the server's tools at once.")]
pub struct LoginArgs {
    /// The server's id.
    #[arg(value_name = "SERVER")]
    pub server: String,
    /// Take the URL that the browser ends at from stdin.
    #[arg(long)]
    pub paste: bool,
    /// Print the URL, and open no browser.
    #[arg(long)]
    pub no_browser: bool,
    /// Where the servers and the logins are.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Arguments of `auth status`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toolscout auth status
  toolscout auth status --json")]
pub struct StatusArgs {
    /// Answer as JSON.
    #[arg(long)]
    pub json: bool,
    /// Where the servers and the logins are.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Arguments of `auth logout` and `auth refresh`.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// The server's id.
    #[arg(value_name = "SERVER")]
    pub server: String,
    /// Where the servers and the logins are.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Runs the subcommand.
pub fn run(command: &AuthCommand) -> anyhow::Result<ExitCode> {
    log::start(LogFormat::Text, true);
    let runtime = super::runtime()?;
    let done = match command {
        AuthCommand::Login(args) => runtime.block_on(login::run(args)),
        AuthCommand::Status(args) => status::run(args),
        AuthCommand::Logout(args) => logout(args),
        AuthCommand::Refresh(args) => runtime.block_on(refresh(args)),
    };
    // Reading stdin can't be given up.
    runtime.shutdown_background();
    done
}

impl PlaceArgs {
    fn open(&self) -> anyhow::Result<(Config, Accounts)> {
        let sources = Sources {
            // Where even the working folder is gone, relative paths stay relative.
            folder: std::env::current_dir().unwrap_or_default(),
            config: self.config.clone(),
            mcp_config: self.mcp_config.clone(),
            data: self.data.clone(),
            ..Sources::default()
        };
        let config = load(&sources, &variable)?.config;
        let accounts = Accounts::open(&config)?;
        Ok((config, accounts))
    }

    /// The login of the server with this id.
    fn account(&self, id: &str) -> anyhow::Result<Arc<Account>> {
        let (config, accounts) = self.open()?;
        let server = config.servers.iter().find(|server| server.id.as_str() == id);
        let server = server.ok_or_else(|| {
            let known: Vec<_> = candidates(&config).map(|server| server.id.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            anyhow!("no server {id:?} is configured; those that may want a login: {known}")
        })?;
        match (&server.transport, &server.auth) {
            (Transport::Http { .. }, Auth::OAuth(_)) => {}
            (Transport::Http { .. }, Auth::Headers) => bail!(
                "{id} has its credentials in the configuration (or `auth = \"none\"`): remove them \
                 there to log in"
            ),
            _ => bail!("{id} is not reached over HTTP: it wants no login"),
        }
        accounts.of(server).ok_or_else(|| anyhow!("{id} wants no login"))
    }
}

/// Servers that a login is possible at.
fn candidates(config: &Config) -> impl Iterator<Item = &ServerConfig> {
    config.servers.iter().filter(|server| matches!(server.auth, Auth::OAuth(_)))
}

fn logout(args: &ServerArgs) -> anyhow::Result<ExitCode> {
    let account = args.place.account(&args.server)?;
    let text = if account.forget()? { "logged out" } else { "there was no login" };
    writeln!(anstream::stdout(), "{}: {text}", args.server)?;
    Ok(ExitCode::SUCCESS)
}

async fn refresh(args: &ServerArgs) -> anyhow::Result<ExitCode> {
    let account = args.place.account(&args.server)?;
    if !account.refresh().await? {
        let ended = account.record().and_then(|record| record.ended);
        let why = ended.map(|why| format!(" ({why})")).unwrap_or_default();
        bail!(
            "there is no token that could be refreshed{why}: run `toolscout auth login {}`",
            args.server
        );
    }
    let left = account.record().and_then(|record| record.tokens?.left());
    writeln!(anstream::stdout(), "{}: refreshed{}", args.server, status::good_for(left))?;
    Ok(ExitCode::SUCCESS)
}
