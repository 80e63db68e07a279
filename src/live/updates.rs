//! What an update of a server comes to: its state, a line in the log, a count.
//!
//! Invariant: a failed crawl takes nothing from what is known of a server.

use super::{ServerState, ServerStatus};
use crate::catalog::{Catalog, Diff, Outcome, ServerUpdate};

/// Counts the crawl that ended so.
pub(super) fn count(outcome: &Outcome) {
    let outcome = match outcome {
        Outcome::Listed(_) | Outcome::Confirmed { .. } => "listed",
        Outcome::Failed { .. } => "failed",
        Outcome::AuthRequired { .. } => "auth_required",
        _ => return,
    };
    metrics::counter!("toolscout_crawls_total", "outcome" => outcome).increment(1);
}

/// Tells the log of an update.
pub(super) fn log(update: &ServerUpdate, diff: &Diff) {
    let server = &update.server;
    match &update.outcome {
        Outcome::Failed { error } | Outcome::AuthRequired { error } => {
            tracing::warn!(%server, "{error}");
        }
        // One file may hold thousands of servers.
        _ if diff.is_empty() || update.transport == "file" => {}
        _ => tracing::info!(
            %server,
            added = diff.added.len(),
            removed = diff.removed.len(),
            changed = diff.changed.len(),
            "tools changed"
        ),
    }
}

/// A server in this state is not crawled.
fn is_idle(state: ServerState) -> bool {
    matches!(state, ServerState::Paused | ServerState::Disabled | ServerState::PendingApproval)
}

/// The server's status after `update`; `catalog` has been updated already.
pub(super) fn status(
    update: &ServerUpdate,
    old: Option<&ServerStatus>,
    catalog: &Catalog,
) -> ServerStatus {
    let listed = catalog.server(update.server.as_str());
    let known = |good, bad| if listed.is_some() { good } else { bad };
    let (state, error) = match &update.outcome {
        Outcome::Listed(_) | Outcome::Confirmed { .. } => (ServerState::Ready, None),
        Outcome::Failed { error } => {
            (known(ServerState::Stale, ServerState::Failed), Some(error.clone()))
        }
        Outcome::AuthRequired { error } => (ServerState::AuthRequired, Some(error.clone())),
        Outcome::Connecting => (known(ServerState::Stale, ServerState::Connecting), None),
        Outcome::Disabled | Outcome::Removed => (ServerState::Disabled, None),
        Outcome::Paused => (ServerState::Paused, None),
        Outcome::Pending => (ServerState::PendingApproval, None),
        // Whatever kept it from being crawled is over.
        Outcome::Narrowed(_) => match old {
            Some(old) if !is_idle(old.state) => (old.state, old.error.clone()),
            _ => (known(ServerState::Stale, ServerState::Connecting), None),
        },
    };
    let defects = match &update.outcome {
        Outcome::Listed(listing) => listing.defects.clone(),
        _ => old.map(|old| old.defects.clone()).unwrap_or_default(),
    };
    let failed = matches!(update.outcome, Outcome::Failed { .. } | Outcome::AuthRequired { .. });
    ServerStatus {
        state,
        failures: old.map_or(0, |old| old.failures) + u64::from(failed),
        title: listed
            .and_then(|server| server.info.title.clone())
            .or_else(|| old.and_then(|old| old.title.clone())),
        protocol: listed.and_then(|server| server.info.protocol.clone()),
        transport: update.transport,
        tools: listed.map(|server| server.tools.len()),
        ttl: listed.and_then(|server| server.info.ttl),
        private: listed.is_some_and(|server| server.info.private_to.is_some()),
        crawled_at: listed.map(|server| server.crawled_at),
        next_crawl: update.next_crawl,
        error,
        defects,
    }
}
