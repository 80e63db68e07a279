//! `toolscout registry pending`, `approve` and `revoke`: which servers of the registries that are
//! followed may be connected to.
//!
//! Invariant: what is kept in the data folder is all that is read and written, so that it works
//! beside a running service, which sees it within seconds, and without one.

use std::io::Write;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use comfy_table::{Table, presets};
use serde_json::json;

use crate::cli::sources::{PlaceArgs, variable};
use crate::config::{data_folder, followed_registries};
use crate::discover::follow::{Candidate, Kept, Picked};

/// Arguments of `registry pending`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toolscout registry pending
  toolscout registry pending --approved --json")]
pub struct PendingArgs {
    /// Those that are approved, instead.
    #[arg(long)]
    pub approved: bool,
    /// Answer as JSON.
    #[arg(long)]
    pub json: bool,
    /// The configuration and its data folder.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Arguments of `registry approve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toolscout registry approve io.github.user_weather
  toolscout registry approve --all")]
pub struct ApproveArgs {
    /// Ids, as `registry pending` shows them.
    #[arg(value_name = "ID", required_unless_present = "all")]
    pub ids: Vec<String>,
    /// Every server that waits now; later ones are asked for again.
    #[arg(long, conflicts_with = "ids")]
    pub all: bool,
    /// The configuration and its data folder.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Arguments of `registry revoke`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  toolscout registry revoke io.github.user_weather")]
pub struct RevokeArgs {
    /// Ids, as `registry pending --approved` shows them.
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
    /// The configuration and its data folder.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// The registries that are followed, each with what is taken of it.
fn followed(place: &PlaceArgs) -> anyhow::Result<Vec<(Kept, Picked)>> {
    let sources = place.sources();
    let registries = followed_registries(&sources, &variable)?;
    if registries.is_empty() {
        bail!("no registry is followed: add [[registry]] to toolscout.toml");
    }
    let data = data_folder(&sources, &variable)?;
    let kept = registries.iter().map(|registry| Kept::new(&data, registry));
    Ok(kept.map(|kept| (kept.clone(), kept.picked())).collect())
}

/// Lists the servers that wait, or those that do not.
pub(super) fn list(args: &PendingArgs) -> anyhow::Result<ExitCode> {
    let followed = followed(&args.place)?;
    let wanted = |candidate: &&Candidate| candidate.approved == args.approved;
    let mut out = anstream::stdout().lock();
    if args.json {
        let registries: Vec<_> = followed
            .iter()
            .map(|(kept, picked)| {
                json!({
                    "registry": kept.config().name,
                    "servers": picked.servers.iter().filter(wanted).collect::<Vec<_>>(),
                    "beyond_max": picked.beyond,
                    "need_values": picked.wanting,
                })
            })
            .collect();
        writeln!(out, "{:#}", json!({ "registries": registries }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(["id", "registry", "address", "what"]);
    for (kept, picked) in &followed {
        for candidate in picked.servers.iter().filter(wanted) {
            let what = candidate.description.clone().unwrap_or_default();
            let what = match &candidate.deprecated {
                Some(why) => format!("deprecated: {why}"),
                None => what,
            };
            let address = candidate.url.split('?').next().unwrap_or_default();
            table.add_row([&candidate.id, &kept.config().name, address, &what]);
        }
    }
    if table.row_count() == 0 {
        writeln!(out, "{}", if args.approved { "none is approved" } else { "none waits" })?;
    } else {
        writeln!(out, "{}", table.trim_fmt())?;
    }
    for (kept, picked) in &followed {
        let name = &kept.config().name;
        if picked.beyond > 0 {
            writeln!(out, "{name}: {} more, beyond its `max`", picked.beyond)?;
        }
        if picked.wanting > 0 {
            let wanting = picked.wanting;
            writeln!(out, "{name}: {wanting} want values, and can be had by `registry add NAME`")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Approves servers, each at the address that it has now.
pub(super) fn approve(args: &ApproveArgs) -> anyhow::Result<ExitCode> {
    let followed = followed(&args.place)?;
    let mut out = anstream::stdout().lock();
    let mut left: Vec<&String> = args.ids.iter().collect();
    for (kept, picked) in &followed {
        for candidate in &picked.servers {
            let is_meant = args.ids.contains(&candidate.id) || (args.all && !candidate.approved);
            left.retain(|id| **id != candidate.id);
            if is_meant {
                kept.approve(candidate)?;
                let address = candidate.url.split('?').next().unwrap_or_default();
                writeln!(out, "approved {} at {address}", candidate.id)?;
            }
        }
    }
    if let Some(id) = left.first() {
        bail!("no server {id:?} is listed by a registry that is followed: see `registry pending`");
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes approvals back.
pub(super) fn revoke(args: &RevokeArgs) -> anyhow::Result<ExitCode> {
    let followed = followed(&args.place)?;
    let mut out = anstream::stdout().lock();
    for id in &args.ids {
        let mut taken = false;
        for (kept, _) in &followed {
            taken |= kept.revoke(id)?;
        }
        if !taken {
            bail!("{id:?} was not approved: see `registry pending --approved`");
        }
        writeln!(out, "{id} is no longer approved")?;
    }
    Ok(ExitCode::SUCCESS)
}
