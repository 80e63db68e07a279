//! Prometheus metrics: what is counted, and how it is told.
//!
//! Invariant: no label ever holds text that a caller chose, so the number of series is bounded.
//! What is merely read off the live index (gauges) is read when asked for, never kept up to date.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use axum::http::Method;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::{limits, wire};
use crate::live::Live;
use crate::search::{Answer, Mode};
use crate::trust::history::Counts;

const REQUESTS: &str = "toolscout_http_requests_total";
const LATENCY: &str = "toolscout_http_request_duration_seconds";
const SEARCHES: &str = "toolscout_searches_total";
const DEGRADED: &str = "toolscout_degraded_searches_total";
const REPEATED: &str = "toolscout_repeated_searches_total";
const CHANGES: &str = "toolscout_tool_changes_total";
const CALLS: &str = "toolscout_calls_total";
const CALL_TIME: &str = "toolscout_call_duration_seconds";
const CALLS_RUNNING: &str = "toolscout_calls_running";
const FEEDBACK: &str = "toolscout_feedback_total";
const SEARCH_TIME: &str = "toolscout_search_duration_seconds";

/// From 100 µs, since a lexical search takes less than one millisecond.
const BUCKETS: [f64; 14] =
    [0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// Installs the process's recorder on first use. `None` where something else was installed before:
/// that one then tells the counters.
pub fn install() -> Option<&'static PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let handle = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &BUCKETS)
                .and_then(PrometheusBuilder::install_recorder)
                .inspect_err(|error| tracing::warn!(%error, "counters are not in /metrics"))
                .ok()?;
            describe_counter!(REQUESTS, "HTTP requests by route, method and status");
            describe_histogram!(LATENCY, "Seconds from request to response head, by route");
            describe_counter!(SEARCHES, "Searches answered, by the arms that ranked");
            describe_counter!(DEGRADED, "Searches answered with less than hybrid ranking");
            describe_counter!(REPEATED, "Searches answered as before in the same generation");
            describe_counter!(CHANGES, "What happened to definitions, by server and kind");
            describe_counter!(CALLS, "Calls of tools that were to be passed on, by outcome");
            describe_histogram!(CALL_TIME, "Seconds from a call to its end, by outcome");
            describe_gauge!(CALLS_RUNNING, "Calls of tools that are under way");
            describe_counter!(FEEDBACK, "Choices and errors that were noted to learn from them");
            describe_histogram!(SEARCH_TIME, "Seconds from query to ranking, by mode");
            limits::metrics::describe();
            Some(handle)
        })
        .as_ref()
}

/// Counts a request that was answered.
pub fn count_request(route: &str, method: &Method, status: u16, took: Duration) {
    let method = match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        _ => "other",
    };
    let route = route.to_owned();
    counter!(REQUESTS, "route" => route.clone(), "method" => method, "status" => status.to_string())
        .increment(1);
    histogram!(LATENCY, "route" => route).record(took.as_secs_f64());
}

/// Counts a search that was answered, by whichever way it came.
pub fn count_search(answer: &Answer) {
    let mode = match answer.mode {
        Mode::Hybrid => "hybrid",
        Mode::Lexical => "lexical",
        Mode::Dense => "dense",
    };
    counter!(SEARCHES, "mode" => mode).increment(1);
    if answer.reason.is_some() {
        counter!(DEGRADED).increment(1);
    }
    if answer.repeated {
        counter!(REPEATED).increment(1);
    }
    histogram!(SEARCH_TIME, "mode" => mode)
        .record(Duration::from_micros(answer.took_us).as_secs_f64());
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

/// Everything, in the Prometheus text format.
pub fn render(live: &Live) -> String {
    let counted = install().map(PrometheusHandle::render).unwrap_or_default();
    // A recorder of its own for each reading, so that two servers in a process don't mix.
    let now = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&now, || read_gauges(live));
    counted + &now.handle().render()
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn read_gauges(live: &Live) {
    let status = live.status();
    describe_gauge!("toolscout_generation", "Number of the published generation");
    gauge!("toolscout_generation").set(status.generation as f64);
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
    describe_gauge!("toolscout_servers", "Servers by state");
    let counts: BTreeMap<_, _> = wire::count_states(&live.servers());
    for (state, count) in counts {
        gauge!("toolscout_servers", "state" => wire::state_name(state)).set(count as f64);
    }
}
