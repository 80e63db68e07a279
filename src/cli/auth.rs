//! `toolscout auth`: logins at servers that want one.
//!
//! Invariant: no token is ever printed.

mod login;
mod status;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};

use super::sources::{PlaceArgs, variable};
use super::{LogFormat, log};
use crate::auth::{Account, Accounts};
use crate::config::{Auth, Loaded, ServerConfig, Sources, Transport, load, load_tenant};
use crate::crawl::Hold;
use crate::discover::follow::Follower;
use crate::roster::Entries;

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
pub struct KnownArgs {
    /// The configuration and its data folder.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Servers of an MCP client's configuration; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub mcp_config: Vec<PathBuf>,
    /// Those of this tenant.
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
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
    pub known: KnownArgs,
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
    pub known: KnownArgs,
}

/// Arguments of `auth logout` and `auth refresh`.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// The server's id.
    #[arg(value_name = "SERVER")]
    pub server: String,
    /// Where the servers and the logins are.
    #[command(flatten)]
    pub known: KnownArgs,
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

/// Servers, and the logins at them.
struct Known {
    servers: Vec<Arc<ServerConfig>>,
    accounts: Accounts,
    /// Entries of the configuration are wrong, and not among the servers.
    lacks: bool,
}

impl Known {
    /// Those that a login is possible at.
    fn candidates(&self) -> impl Iterator<Item = &ServerConfig> {
        let servers = self.servers.iter().map(Arc::as_ref);
        servers.filter(|server| matches!(server.auth, Auth::OAuth(_)))
    }
}

impl KnownArgs {
    /// Every server that a service with this data folder would connect to.
    fn open(&self) -> anyhow::Result<Known> {
        let sources = Sources {
            mcp_config: self.mcp_config.clone(),
            leave_out: true,
            ..self.place.sources()
        };
        let mut loaded = load(&sources, &variable)?;
        if let Some(name) = &self.tenant {
            let main = loaded.config;
            let tenant = main.tenants.get(name);
            let tenant = tenant.with_context(|| format!("there is no [tenants.{name}]"))?;
            loaded = load_tenant(tenant, &main, &sources, &variable)?;
        }
        let Loaded { config, left_out, .. } = loaded;
        for wrong in &left_out {
            tracing::warn!("{wrong}");
        }
        let accounts = Accounts::open(&config)?;
        let follower = Follower::open(&config);
        let mut entries = Entries::open(config)?;
        for (registry, found) in follower.found() {
            entries.set_found(&registry, found);
        }
        let wanted = entries.wanted().into_iter();
        let approved = wanted.filter(|wanted| wanted.hold != Some(Hold::Pending));
        let servers = approved.map(|wanted| wanted.server).collect();
        Ok(Known { servers, accounts, lacks: !left_out.is_empty() })
    }

    /// The login of the server with this id.
    fn account(&self, id: &str) -> anyhow::Result<Arc<Account>> {
        let known = self.open()?;
        let server = known.servers.iter().find(|server| server.id.as_str() == id);
        let server = server.ok_or_else(|| {
            let ids: Vec<_> = known.candidates().map(|server| server.id.as_str()).collect();
            let ids = if ids.is_empty() { "none".to_owned() } else { ids.join(", ") };
            let or = if known.lacks { ", or its entry is wrong (see above)" } else { "" };
            anyhow!("no server {id:?} is configured{or}; those that may want a login: {ids}")
        })?;
        match (&server.transport, &server.auth) {
            (Transport::Http { .. }, Auth::OAuth(_)) => {}
            (Transport::Http { .. }, Auth::Headers) => bail!(
                "{id} has its credentials in the configuration (or `auth = \"none\"`): remove them \
                 there to log in"
            ),
            _ => bail!("{id} is not reached over HTTP: it wants no login"),
        }
        known.accounts.of(server).ok_or_else(|| anyhow!("{id} wants no login"))
    }
}

fn logout(args: &ServerArgs) -> anyhow::Result<ExitCode> {
    let account = args.known.account(&args.server)?;
    let text = if account.forget()? { "logged out" } else { "there was no login" };
    writeln!(anstream::stdout(), "{}: {text}", args.server)?;
    Ok(ExitCode::SUCCESS)
}

async fn refresh(args: &ServerArgs) -> anyhow::Result<ExitCode> {
    let account = args.known.account(&args.server)?;
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
