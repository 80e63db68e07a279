//! `toolscout key`: the API keys that a toolscout takes.
//!
//! Invariant: it works on the data folder, whether a toolscout runs or not (one that does takes the
//! change up within seconds); a key is printed once, to stdout, by what made it.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::sources::{PlaceArgs, variable};
use crate::access::caller::{Allowance, Scope};
use crate::access::keys::NewKey;
use crate::access::keys::file::KeyFile;
use crate::config::{Sources, data_folder, named_places, takes_keys};
use crate::serve::admin::keys::{KeyList, KnownKey, MadeKey};
use crate::serve::door::keys::now;
use crate::trust::checks::visible_lines;

/// What `key` can do.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key, and print it: this once.
    Create(Box<CreateArgs>),
    /// Every key, what it may do and when it was last used.
    List(ListArgs),
    /// Give a key another secret, and print it; the old one counts for a while.
    Rotate(RotateArgs),
    /// Revoke a key, for good.
    Revoke(RevokeArgs),
}

/// Arguments of `key create`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toolscout key create \"support agents\" --profile support --expires 90days
  toolscout key create ci --scope search --scope call --rate 5 --calls-per-day 1000
  toolscout key create ops --scope search --scope call --scope admin")]
pub struct CreateArgs {
    /// What it is called: its holder, or what it is for.
    pub name: String,
    /// What its holder may do; may be repeated.
    #[arg(long = "scope", value_enum, value_name = "SCOPE", default_value = "search")]
    pub scopes: Vec<Scope>,
    /// The only view that its holder sees.
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<String>,
    /// Whose tools its holder sees.
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    /// How long it counts [default: until it is revoked].
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub expires: Option<Duration>,
    /// Requests a second [default: what [limits] says].
    #[arg(long, value_name = "N")]
    pub rate: Option<f64>,
    /// Requests at once above that.
    #[arg(long, value_name = "N")]
    pub burst: Option<u32>,
    /// Calls of tools a day.
    #[arg(long, value_name = "N")]
    pub calls_per_day: Option<u64>,
    /// Report as JSON.
    #[arg(long)]
    pub json: bool,
    /// Whose keys.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Arguments of `key list`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toolscout key list
  toolscout key list --json --data /var/lib/toolscout")]
pub struct ListArgs {
    /// Report as JSON.
    #[arg(long)]
    pub json: bool,
    /// Whose keys.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Arguments of `key rotate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toolscout key rotate 4f1d0c2a9b7e --overlap 1h
  toolscout key rotate 4f1d0c2a9b7e --overlap 0s      The old secret counts no more")]
pub struct RotateArgs {
    /// Its id.
    pub id: String,
    /// How long the old secret counts.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "24h",
        value_parser = humantime::parse_duration
    )]
    pub overlap: Duration,
    /// Report as JSON.
    #[arg(long)]
    pub json: bool,
    /// Whose keys.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Arguments of `key revoke`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  toolscout key revoke 4f1d0c2a9b7e")]
pub struct RevokeArgs {
    /// Its id.
    pub id: String,
    /// Whose keys.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Runs the subcommand.
pub fn run(command: &KeyCommand) -> anyhow::Result<ExitCode> {
    let told = match command {
        KeyCommand::Create(args) => create(args)?,
        KeyCommand::List(args) => list(args)?,
        KeyCommand::Rotate(args) => rotate(args)?,
        KeyCommand::Revoke(args) => revoke(args)?,
    };
    anstream::stdout().write_all(told.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn create(args: &CreateArgs) -> anyhow::Result<String> {
    let new = NewKey {
        name: args.name.clone(),
        scopes: args.scopes.clone(),
        profile: args.profile.clone(),
        tenant: args.tenant.clone(),
        allowance: Allowance {
            rate: args.rate,
            burst: args.burst,
            calls_per_day: args.calls_per_day,
        },
        lasts: args.expires,
    };
    let (file, now) = (keys(&args.place)?, now());
    let (made, _) = file.change(|book| book.create(new, now).map(|made| MadeKey::of(made, now)))?;
    for note in missing(args) {
        writeln!(anstream::stderr(), "note: {note}")?;
    }
    if !takes_keys(&args.place.sources(), &variable).unwrap_or(true) {
        let hint = "note: the configuration takes no API keys yet: set keys = true in [auth]";
        writeln!(anstream::stderr(), "{hint}")?;
    }
    shown(&made, args.json)
}

/// What the key is kept to and the configuration does not name. The key is made all the same: it may
/// come before the configuration does, and what can't be read says nothing.
fn missing(args: &CreateArgs) -> Vec<String> {
    let mut notes = Vec::new();
    let main = args.place.sources();
    let Ok(places) = named_places(&main, &variable) else { return notes };
    let mut profiles = Some(places.profiles);
    if let Some(tenant) = &args.tenant {
        let file = places.tenants.get(tenant);
        if file.is_none() {
            notes.push(format!(
                "the configuration has no tenant {tenant:?} yet: until [tenants.{tenant}] is there, \
                 this key opens nothing"
            ));
        }
        // Its profiles are in its own file.
        let own = file.cloned().flatten().map(|config| Sources { config: Some(config), ..main });
        profiles = own.and_then(|own| Some(named_places(&own, &variable).ok()?.profiles));
    }
    if let (Some(profile), Some(profiles)) = (&args.profile, profiles)
        && !profiles.contains(profile)
    {
        notes.push(format!(
            "the configuration has no profile {profile:?} yet: until [profiles.{profile}] is there, \
             this key opens nothing"
        ));
    }
    notes
}

fn rotate(args: &RotateArgs) -> anyhow::Result<String> {
    let (file, now) = (keys(&args.place)?, now());
    let (made, _) = file.change(|book| {
        book.rotate(&args.id, args.overlap, now).map(|made| MadeKey::of(made, now))
    })?;
    shown(&made, args.json)
}

fn revoke(args: &RevokeArgs) -> anyhow::Result<String> {
    let now = now();
    keys(&args.place)?.change(|book| book.revoke(&args.id, now).map(drop))?;
    Ok(format!("revoked {}\n", args.id))
}

fn list(args: &ListArgs) -> anyhow::Result<String> {
    let (book, now) = (keys(&args.place)?.read()?, now());
    let keys: Vec<KnownKey> = book.keys().map(|key| KnownKey::of(key, now)).collect();
    if args.json {
        return Ok(format!("{:#}\n", serde_json::to_value(KeyList { keys })?));
    }
    if keys.is_empty() {
        return Ok("there are no keys: make one by `toolscout key create`\n".into());
    }
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header([
        "id",
        "name",
        "state",
        "scopes",
        "profile",
        "tenant",
        "expires",
        "last used",
    ]);
    for key in &keys {
        let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.name()).collect();
        let text = |text: Option<&str>| safe(text.unwrap_or("-"));
        table.add_row([
            key.id.to_string(),
            safe(&key.name),
            key.state.to_owned(),
            scopes.join(" "),
            text(key.profile.as_deref()),
            text(key.tenant.as_deref()),
            text(key.expires.as_deref()),
            text(key.last_used.as_deref()),
        ]);
    }
    Ok(format!("{table}\n"))
}

/// The key alone, so that it can be piped; what else there is to say goes to stderr.
fn shown(made: &MadeKey, json: bool) -> anyhow::Result<String> {
    if json {
        return Ok(format!("{:#}\n", serde_json::to_value(made)?));
    }
    let told = format!("key {}: it is not shown again, so keep it now", made.key.id);
    writeln!(anstream::stderr(), "{told}")?;
    Ok(format!("{}\n", made.secret))
}

fn keys(place: &PlaceArgs) -> anyhow::Result<KeyFile> {
    let data = data_folder(&place.sources(), &variable).context("finding the data folder")?;
    Ok(KeyFile::of(&data))
}

fn safe(text: &str) -> String {
    visible_lines(text).join("\\n")
}
