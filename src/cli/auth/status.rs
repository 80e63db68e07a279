//! `toolscout auth status`.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use comfy_table::{Table, presets};
use serde::Serialize;

use super::StatusArgs;
use crate::auth::{Accounts, KeySource};
use crate::config::{Auth, Grant, ServerConfig};

#[derive(Serialize)]
struct Shown {
    servers: Vec<Login>,
    store: Store,
}

#[derive(Serialize)]
struct Store {
    folder: String,
    /// Where the key is; null as long as there is none.
    key: Option<&'static str>,
}

#[derive(Serialize)]
struct Login {
    server: String,
    state: &'static str,
    issuer: Option<String>,
    client_id: Option<String>,
    scopes: Vec<String>,
    /// What the server asked for and the login lacks.
    wanted_scopes: Vec<String>,
    expires_in_s: Option<u64>,
    refreshable: bool,
    ended: Option<String>,
}

/// Runs the subcommand.
pub fn run(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let known = args.known.open()?;
    let servers: Vec<_> = known.candidates().map(|server| login(server, &known.accounts)).collect();
    let vault = known.accounts.vault();
    let store = Store {
        folder: vault.map(|vault| vault.folder().display().to_string()).unwrap_or_default(),
        key: vault.and_then(crate::auth::Vault::source).map(|source| match source {
            KeySource::Given => "given",
            KeySource::Keyring => "keyring",
            KeySource::File => "file",
        }),
    };
    let mut out = anstream::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &Shown { servers, store })?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    if servers.is_empty() {
        writeln!(out, "no configured server may want a login")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(["SERVER", "STATE", "ISSUER", "SCOPES"]);
    for server in &servers {
        let state = match &server.ended {
            Some(why) => format!("{}: {why}", server.state),
            None => format!("{}{}", server.state, good_for(server.expires_in_s)),
        };
        let issuer = server.issuer.clone().unwrap_or_default();
        let mut scopes = server.scopes.join(" ");
        if !server.wanted_scopes.is_empty() {
            scopes = format!("{scopes} (lacks {})", server.wanted_scopes.join(" "));
        }
        table.add_row([server.server.clone(), state, issuer, scopes]);
    }
    writeln!(out, "{table}")?;
    Ok(ExitCode::SUCCESS)
}

fn login(server: &ServerConfig, accounts: &Accounts) -> Login {
    let by_itself =
        matches!(&server.auth, Auth::OAuth(config) if config.grant == Grant::ClientCredentials);
    let record = accounts.of(server).and_then(|account| account.record());
    let tokens = record.as_ref().and_then(|record| record.tokens.clone());
    let left = tokens.as_ref().and_then(crate::auth::Tokens::left);
    let refreshable = by_itself || tokens.as_ref().is_some_and(|tokens| tokens.refresh.is_some());
    let (issuer, client, wanted, ended) = record
        .map(|record| (record.issuer, record.client, record.wanted, record.ended))
        .unwrap_or_default();
    let state = match &tokens {
        None if by_itself => "logs in by itself",
        None => "not logged in",
        Some(_) if ended.is_some() => "ended",
        Some(_) if left == Some(0) && !refreshable => "expired",
        Some(_) => "logged in",
    };
    Login {
        server: server.id.to_string(),
        state,
        issuer,
        client_id: client.map(|client| client.id),
        scopes: tokens.map(|tokens| tokens.scopes).unwrap_or_default(),
        wanted_scopes: wanted,
        expires_in_s: left,
        refreshable,
        ended,
    }
}

/// `, good for 5m`.
pub(super) fn good_for(left: Option<u64>) -> String {
    let left = left.filter(|left| *left > 0).map(Duration::from_secs);
    left.map(|left| format!(", good for {}", humantime::format_duration(left))).unwrap_or_default()
}
