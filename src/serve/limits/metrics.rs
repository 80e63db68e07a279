//! The names of what is counted of limits and connections.
//!
//! Invariant: labels are words of ours, never a caller's name or address.

use metrics::{counter, describe_counter, describe_gauge, gauge};

/// Connections that are open.
pub const CONNECTIONS: &str = "toolscout_connections";
/// Connections that were refused or had to give way.
pub const REFUSED: &str = "toolscout_connections_refused_total";
/// Requests that came too often.
pub const LIMITED: &str = "toolscout_limited_total";
/// Requests for which there was no time.
pub const SHED: &str = "toolscout_shed_total";
/// Requests that wait for their turn.
pub const QUEUED: &str = "toolscout_queue_length";
/// Certificates read anew.
pub const RELOADS: &str = "toolscout_tls_reloads_total";

/// What they mean.
pub fn describe() {
    describe_gauge!(CONNECTIONS, "Connections that are open");
    describe_counter!(REFUSED, "Connections refused or closed for want of a place, by reason");
    describe_counter!(LIMITED, "Requests answered with 429, by what was too much");
    describe_counter!(SHED, "Requests answered with 503 before they were worked on, by reason");
    describe_gauge!(QUEUED, "Requests that wait for their turn");
    describe_counter!(RELOADS, "Certificates of the listener that were read anew, by outcome");
    // What never happened is zero, so that rules on it have something to look at.
    gauge!(QUEUED).increment(0.0);
    gauge!(CONNECTIONS).increment(0.0);
    for reason in ["address", "full", "gave_way"] {
        counter!(REFUSED, "reason" => reason).increment(0);
    }
    for kind in ["address", "caller", "failed_auth", "quota", "streams"] {
        counter!(LIMITED, "kind" => kind).increment(0);
    }
    for reason in ["full", "late", "early", "bodies"] {
        counter!(SHED, "reason" => reason).increment(0);
    }
}
