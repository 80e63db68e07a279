//! Trace context in and out: the headers of W3C, and the same in MCP's `_meta` (SEP-414).
//!
//! Invariant: where no traces are made nothing is read, and nothing is sent.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::TraceContextExt;
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use serde_json::{Map, Value};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The names in headers and in `_meta`.
const NAMES: [&str; 2] = ["traceparent", "tracestate"];

static ON: AtomicBool = AtomicBool::new(false);

/// Traces are made from now on.
pub(super) fn switch_on() {
    ON.store(true, Ordering::Relaxed);
}

fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Has a span be part of the trace that a request belongs to.
pub fn join(span: &Span, headers: &HeaderMap) {
    if is_on() {
        follow(span, &HeaderExtractor(headers));
    }
}

/// The same, of a request over MCP that says so itself.
pub fn join_meta(span: &Span, meta: &Map<String, Value>) {
    if is_on() && meta.contains_key(NAMES[0]) {
        follow(span, &OfMeta(meta));
    }
}

fn follow(span: &Span, carrier: &dyn Extractor) {
    let context = TraceContextPropagator::new().extract(carrier);
    if context.span().span_context().is_valid() {
        // A span that has begun keeps its place.
        let _ = span.set_parent(context);
    }
}

struct OfMeta<'a>(&'a Map<String, Value>);

impl Extractor for OfMeta<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_str()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

struct IntoMeta<'a>(&'a mut Map<String, Value>);

impl Injector for IntoMeta<'_> {
    fn set(&mut self, key: &str, value: String) {
        if !value.is_empty() {
            self.0.insert(key.to_owned(), value.into());
        }
    }
}

/// What a request to another server says of the trace that it belongs to; `None` where there is
/// none.
pub fn meta() -> Option<Map<String, Value>> {
    if !is_on() {
        return None;
    }
    let mut meta = Map::new();
    TraceContextPropagator::new()
        .inject_context(&Span::current().context(), &mut IntoMeta(&mut meta));
    meta.contains_key(NAMES[0]).then_some(meta)
}

/// The same as headers, of a message that says it in its `_meta`.
pub fn carried(meta: &Map<String, Value>) -> Vec<(HeaderName, HeaderValue)> {
    let header = |name: &'static str| {
        let value = HeaderValue::from_str(meta.get(name)?.as_str()?).ok()?;
        Some((HeaderName::from_static(name), value))
    };
    if is_on() { NAMES.into_iter().filter_map(header).collect() } else { Vec::new() }
}
