//! What is read off the live index when somebody asks for metrics.
//!
//! Invariant: a server has series of its own up to a number of servers; those beyond it share one,
//! so a registry of thousands makes no more.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::audit::Audit;
use crate::live::{Live, ServerStatus};
use crate::search::Mode;
use crate::serve::wire;
use crate::trust::history::Counts;

/// Servers that have series of their own.
const MOST_SERVERS: usize = 200;
/// What the others are called together.
const OTHERS: &str = "(others)";

/// Reads them all.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub(super) fn read(live: &Live) {
    let status = live.status();
    describe_gauge!("toolscout_generation", "Number of the published generation");
    gauge!("toolscout_generation").set(status.generation as f64);
    describe_gauge!("toolscout_generation_age_seconds", "Seconds since it was published");
    gauge!("toolscout_generation_age_seconds").set(status.published.elapsed().as_secs_f64());
    describe_gauge!("toolscout_ready", "1 from the first generation on");
    gauge!("toolscout_ready").set(f64::from(u8::from(live.is_ready())));
    describe_gauge!("toolscout_degraded", "1 while answers are less than configured");
    let degraded = status.mode != Mode::Hybrid || status.reason.is_some();
    gauge!("toolscout_degraded").set(f64::from(u8::from(degraded)));
    describe_gauge!("toolscout_tools", "Tools in the catalog");
    gauge!("toolscout_tools").set(status.total as f64);
    describe_gauge!("toolscout_tools_embedded", "Tools that have a vector");
    gauge!("toolscout_tools_embedded").set(status.embedded as f64);
    describe_gauge!("toolscout_uptime_seconds", "Seconds since the start");
    gauge!("toolscout_uptime_seconds").set(status.started.elapsed().as_secs_f64());
    let known = live.known();
    let mut counts = Counts::default();
    for server in known.book.servers.keys() {
        counts += known.book.counts(server.as_str(), known.policy.of(server));
    }
    describe_gauge!("toolscout_tools_held", "Definitions that wait for approval");
    gauge!("toolscout_tools_held").set(counts.held as f64);
    describe_gauge!("toolscout_tools_quarantined", "Definitions not served for what is in them");
    gauge!("toolscout_tools_quarantined").set(counts.quarantined as f64);
    describe_gauge!("toolscout_tools_suspicious", "Tools in which something was found");
    gauge!("toolscout_tools_suspicious").set(counts.suspicious as f64);
    if let Some(learner) = live.learner() {
        describe_gauge!("toolscout_learned_evidence", "Choices that are kept to learn from them");
        gauge!("toolscout_learned_evidence").set(learner.count() as f64);
    }
    let servers = live.servers();
    describe_gauge!("toolscout_servers", "Servers by state");
    let counts: BTreeMap<_, _> = wire::count_states(&servers);
    for (state, count) in counts {
        gauge!("toolscout_servers", "state" => wire::state_name(state)).set(count as f64);
    }
    let named = servers.iter().take(MOST_SERVERS);
    for (id, status) in named {
        read_servers(id.as_str(), &[status]);
        let state = wire::state_name(status.state);
        gauge!("toolscout_server_state", "server" => id.to_string(), "state" => state).set(1.0);
    }
    describe_gauge!("toolscout_server_state", "1 for the state that a server is in");
    let others: Vec<&ServerStatus> = servers.values().skip(MOST_SERVERS).collect();
    if !others.is_empty() {
        read_servers(OTHERS, &others);
    }
}

/// One server, or those that share a name: the oldest listing, and all of their tools.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn read_servers(name: &str, servers: &[&ServerStatus]) {
    describe_gauge!("toolscout_server_tools", "Tools that a server offers");
    let tools: usize = servers.iter().filter_map(|server| server.tools).sum();
    gauge!("toolscout_server_tools", "server" => name.to_owned()).set(tools as f64);
    describe_counter!("toolscout_server_crawl_failures_total", "Crawls of a server that failed");
    let failures = servers.iter().map(|server| server.failures).sum();
    counter!("toolscout_server_crawl_failures_total", "server" => name.to_owned())
        .absolute(failures);
    describe_gauge!(
        "toolscout_server_crawl_age_seconds",
        "Seconds since a server's last complete listing"
    );
    let now = SystemTime::now();
    let ages = servers.iter().filter_map(|server| server.crawled_at);
    let oldest = ages.map(|at| now.duration_since(at).unwrap_or(Duration::ZERO)).max();
    if let Some(oldest) = oldest {
        gauge!("toolscout_server_crawl_age_seconds", "server" => name.to_owned())
            .set(oldest.as_secs_f64());
    }
}

/// How the audit log does, where there is one.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub(super) fn read_audit(audit: &Audit) {
    let Some(health) = audit.health() else { return };
    describe_gauge!("toolscout_audit_queue_length", "Events that wait to be written");
    gauge!("toolscout_audit_queue_length").set(health.waiting as f64);
    describe_gauge!("toolscout_audit_failing", "1 while the audit log can't be written");
    gauge!("toolscout_audit_failing").set(f64::from(u8::from(health.trouble.is_some())));
}
