//! Prometheus metrics: what is counted, and how it is told.
//!
//! Invariant: no label ever holds text that a caller chose, so the number of series is bounded.
//! What is merely read off the live index (gauges) is read when asked for, never kept up to date.

use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use axum::http::Method;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::labelled::Labelled;
use super::limits;
use super::tenants::Tenants;
use crate::audit::Audit;
use crate::live::Live;

mod gauges;
mod process;
mod searches;

pub use self::searches::count_search;

const REQUESTS: &str = "toolscout_http_requests_total";
const LATENCY: &str = "toolscout_http_request_duration_seconds";
const CHANGES: &str = "toolscout_tool_changes_total";
const CALLS: &str = "toolscout_calls_total";
const CALL_TIME: &str = "toolscout_call_duration_seconds";
const CALLS_RUNNING: &str = "toolscout_calls_running";
const FEEDBACK: &str = "toolscout_feedback_total";

/// From 100 µs, since a lexical search takes less than one millisecond.
const BUCKETS: [f64; 14] =
    [0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// Installs the process's recorder on first use. `None` where something else was installed before:
/// that one then tells the counters.
pub fn install() -> Option<&'static PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            LazyLock::force(&process::STARTED);
            let handle = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &BUCKETS)
                .and_then(searches::set_buckets)
                .and_then(PrometheusBuilder::install_recorder)
                .inspect_err(|error| tracing::warn!(%error, "counters are not in /metrics"))
                .ok()?;
            describe_counter!(REQUESTS, "HTTP requests by route, method and status");
            describe_histogram!(LATENCY, "Seconds from request to response head, by route");
            describe_counter!(CHANGES, "What happened to definitions, by server and kind");
            describe_counter!(CALLS, "Calls of tools that were to be passed on, by outcome");
            describe_histogram!(CALL_TIME, "Seconds from a call to its end, by outcome");
            describe_gauge!(CALLS_RUNNING, "Calls of tools that are under way");
            describe_counter!(FEEDBACK, "Choices and errors that were noted to learn from them");
            searches::describe();
            describe_others();
            limits::metrics::describe();
            Some(handle)
        })
        .as_ref()
}

/// Counts a request that was answered.
pub fn count_request(route: &str, method: &Method, status: u16, took: Duration) {
    let method = word_of(method);
    let route = route.to_owned();
    counter!(REQUESTS, "route" => route.clone(), "method" => method, "status" => status.to_string())
        .increment(1);
    histogram!(LATENCY, "route" => route).record(took.as_secs_f64());
}

/// A request that was refused before it had a route. It took no time that would tell of anything.
pub fn count_refused(method: &Method, status: u16) {
    let (method, status) = (word_of(method), status.to_string());
    counter!(REQUESTS, "route" => "refused", "method" => method, "status" => status).increment(1);
}

fn word_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}

/// A call that is counted when it has ended, also where nobody waited for it.
pub struct CallUnderWay(Option<&'static str>, Duration);

impl CallUnderWay {
    /// From now on.
    pub fn begin() -> Self {
        gauge!(CALLS_RUNNING).increment(1.0);
        Self(None, Duration::ZERO)
    }

    /// It ended like this.
    pub fn ended(mut self, outcome: &'static str, took: Duration) {
        (self.0, self.1) = (Some(outcome), took);
    }
}

impl Drop for CallUnderWay {
    fn drop(&mut self) {
        gauge!(CALLS_RUNNING).decrement(1.0);
        counter!(CALLS, "outcome" => self.0.unwrap_or("cancelled")).increment(1);
        if let Some(outcome) = self.0 {
            histogram!(CALL_TIME, "outcome" => outcome).record(self.1.as_secs_f64());
        }
    }
}

/// What other rooms count; what never happened is told as zero, so that rules on it have something
/// to look at.
fn describe_others() {
    describe_gauge!("toolscout_cluster_connected", "1 while the shared database can be asked");
    describe_gauge!("toolscout_cluster_leases", "Servers that this replica crawls");
    describe_counter!("toolscout_cluster_publishes_total", "Crawls published, by outcome");
    describe_histogram!("toolscout_cluster_catch_up_seconds", "Seconds to read what is new");
    describe_histogram!(
        "toolscout_cluster_lag_seconds",
        "Seconds from a publication to its reading"
    );
    describe_counter!("toolscout_crawls_total", "Crawls that ended, by outcome");
    for outcome in ["listed", "failed", "auth_required"] {
        counter!("toolscout_crawls_total", "outcome" => outcome).increment(0);
    }
    describe_counter!("toolscout_save_failures_total", "Attempts to save that failed, by what");
    for what in ["snapshot", "history of definitions"] {
        counter!("toolscout_save_failures_total", "what" => what).increment(0);
    }
    describe_counter!("toolscout_embed_panics_total", "Texts on which an encoder panicked");
    counter!("toolscout_embed_panics_total").increment(0);
    describe_counter!("toolscout_auth_failures_total", "Requests that were not let in, by reason");
    counter!("toolscout_auth_failures_total", "reason" => "missing").increment(0);
    describe_histogram!("toolscout_index_build_seconds", "Seconds to make a generation");
    describe_gauge!("toolscout_embed_queue_length", "Queries that wait for an encoder, by lane");
    describe_counter!(
        "toolscout_embed_given_up_total",
        "Queries that an encoder or reranker did not answer, by lane and reason"
    );
    // Those of an encoder that takes its time; that in the binary has neither.
    let lane = || ("lane", "embed-query");
    gauge!("toolscout_embed_queue_length", &[lane()]).set(0.0);
    for reason in ["busy", "deadline"] {
        counter!("toolscout_embed_given_up_total", &[lane(), ("reason", reason)]).increment(0);
    }
    describe_counter!("toolscout_telemetry_exports_total", "Messages to the collector, by outcome");
    describe_counter!(
        "toolscout_telemetry_dropped_total",
        "Spans and metrics that the collector did not get"
    );
    for signal in ["traces", "metrics"] {
        counter!("toolscout_telemetry_dropped_total", "signal" => signal).increment(0);
        for outcome in ["sent", "failed"] {
            let labels = [("signal", signal), ("outcome", outcome)];
            counter!("toolscout_telemetry_exports_total", &labels).increment(0);
        }
    }
    describe_counter!("toolscout_audit_events_total", "Events written to the audit log");
    describe_counter!("toolscout_audit_dropped_total", "Events that could not be kept, by reason");
    counter!("toolscout_audit_events_total").increment(0);
    for reason in ["busy", "disk"] {
        counter!("toolscout_audit_dropped_total", "reason" => reason).increment(0);
    }
}

/// Everything, in the Prometheus text format: of each tenant, too, with its name as a label.
pub fn render(live: &Live, tenants: &Tenants, audit: &Audit) -> String {
    let counted = install().map(PrometheusHandle::render).unwrap_or_default();
    // A recorder of its own for each reading, so that two servers in a process don't mix.
    let now = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&now, || {
        gauges::read(live);
        gauges::read_audit(audit);
        process::read();
    });
    for (tenant, live) in tenants.lives() {
        let labelled = Labelled::new(&now, "tenant", tenant);
        metrics::with_local_recorder(&labelled, || gauges::read(&live));
    }
    counted + &now.handle().render()
}
