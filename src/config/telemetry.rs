//! `[telemetry]`.
//!
//! Invariant: nothing leaves the machine unless an endpoint is named, here or by the variables that
//! OpenTelemetry has for it; headers are secrets and never shown.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

use super::error::{Place, Problem};
use super::expand::expand;
use super::load::Section;
use super::server::duration;

/// `[telemetry]`.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTelemetry {
    pub access_log: Option<bool>,
    pub sample_queries: Option<f64>,
    pub otlp_endpoint: Option<String>,
    pub otlp_headers: Option<BTreeMap<String, String>>,
    pub service_name: Option<String>,
    pub traces: Option<bool>,
    pub sample_ratio: Option<f64>,
    pub metrics: Option<bool>,
    pub metrics_interval: Option<String>,
}

/// What is told of requests, and where to.
#[derive(Debug, Clone)]
pub struct TelemetryConfig {
    /// A line for each request, at `info`.
    pub access_log: bool,
    /// The share of queries that are logged, redacted.
    pub sample_queries: f64,
    /// Where traces and metrics are sent.
    pub otlp: Option<OtlpConfig>,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { access_log: false, sample_queries: 0.0, otlp: None }
    }
}

/// Where traces and metrics are sent, by OTLP over HTTP.
#[derive(Debug, Clone)]
pub struct OtlpConfig {
    /// The collector; `/v1/traces` and `/v1/metrics` are below it.
    pub endpoint: Url,
    /// What goes with each request there.
    pub headers: Vec<(String, SecretString)>,
    /// What this service is called there.
    pub service_name: String,
    /// Traces are sent.
    pub traces: bool,
    /// The share of traces that begin here and are sent; one that began elsewhere goes by what its
    /// beginning decided.
    pub sample_ratio: f64,
    /// Metrics are sent.
    pub metrics: bool,
    /// How often.
    pub metrics_interval: Duration,
}

/// Checks the section.
pub(super) fn resolve(raw: RawTelemetry, section: &mut Section<'_>) -> TelemetryConfig {
    let place = section.place.at("telemetry");
    let sample_queries = share(raw.sample_queries, 0.0, &place.at("sample_queries"), section);
    let access_log = raw.access_log.unwrap_or(false);
    let otlp = otlp(raw, &place, section);
    TelemetryConfig { access_log, sample_queries, otlp }
}

fn otlp(raw: RawTelemetry, place: &Place, section: &mut Section<'_>) -> Option<OtlpConfig> {
    let variable = |name: &str| (section.environment)(name).filter(|value| !value.is_empty());
    let named = variable("OTEL_EXPORTER_OTLP_ENDPOINT");
    let service_name = variable("OTEL_SERVICE_NAME").or(raw.service_name);
    let of_variable = variable("OTEL_EXPORTER_OTLP_HEADERS").unwrap_or_default();
    let sampler = variable("OTEL_TRACES_SAMPLER_ARG").and_then(|text| text.parse().ok());
    let sample_ratio = sampler.or(raw.sample_ratio);
    let sample_ratio = share(sample_ratio, 1.0, &place.at("sample_ratio"), section);
    let usual = Duration::from_mins(1);
    let interval = raw.metrics_interval.map(|text| duration(&text, Duration::from_secs(1)));
    let metrics_interval = interval.unwrap_or(Ok(usual)).unwrap_or_else(|problem| {
        section.errors.push(place.at("metrics_interval").error(problem));
        usual
    });
    let mut headers = headers(raw.otlp_headers.unwrap_or_default(), place, section);
    let pairs = of_variable.split(',').filter_map(|pair| pair.split_once('='));
    for (name, value) in pairs {
        let value = percent_encoding::percent_decode_str(value.trim()).decode_utf8_lossy();
        headers.push((name.trim().to_owned(), value.into_owned().into()));
    }
    let text = named.or(raw.otlp_endpoint)?;
    let endpoint = Url::parse(&text).map_err(|error| Problem::Url(error.to_string()));
    let endpoint = endpoint.and_then(|url| match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(Problem::Scheme(other.to_owned())),
    });
    match endpoint {
        Ok(endpoint) => Some(OtlpConfig {
            endpoint,
            headers,
            service_name: service_name.unwrap_or_else(|| "toolscout".into()),
            traces: raw.traces.unwrap_or(true),
            sample_ratio,
            metrics: raw.metrics.unwrap_or(true),
            metrics_interval,
        }),
        Err(problem) => {
            section.errors.push(place.at("otlp_endpoint").error(problem));
            None
        }
    }
}

/// Headers whose values may name variables.
fn headers(
    raw: BTreeMap<String, String>,
    place: &Place,
    section: &mut Section<'_>,
) -> Vec<(String, SecretString)> {
    let mut headers = Vec::new();
    for (name, value) in raw {
        let place = place.at("otlp_headers").at(&name);
        if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            section.errors.push(place.error(Problem::HeaderName));
            continue;
        }
        match expand(&value, section.environment) {
            Ok(value) if http::HeaderValue::from_str(&value.text).is_err() => {
                section.errors.push(place.error(Problem::HeaderValue));
            }
            Ok(value) => headers.push((name, value.text.into())),
            Err(problem) => section.errors.push(place.error(problem)),
        }
    }
    headers
}

/// A share of all, 0 to 1.
fn share(given: Option<f64>, usual: f64, place: &Place, section: &mut Section<'_>) -> f64 {
    match given {
        Some(given) if !(0.0..=1.0).contains(&given) => {
            section.errors.push(place.error(Problem::OneOf("a number from 0 to 1")));
            usual
        }
        given => given.unwrap_or(usual),
    }
}

/// The section as it was resolved, for `config check`: no secret is in it.
pub(super) fn shown(config: &TelemetryConfig) -> RawTelemetry {
    let otlp = config.otlp.as_ref();
    let masked = |name: &str| (name.to_owned(), super::show::MASK.to_owned());
    RawTelemetry {
        access_log: Some(config.access_log),
        sample_queries: Some(config.sample_queries),
        otlp_endpoint: otlp.map(|otlp| super::show::bare(&otlp.endpoint)),
        otlp_headers: otlp.map(|otlp| otlp.headers.iter().map(|(name, _)| masked(name)).collect()),
        service_name: otlp.map(|otlp| otlp.service_name.clone()),
        traces: otlp.map(|otlp| otlp.traces),
        sample_ratio: otlp.map(|otlp| otlp.sample_ratio),
        metrics: otlp.map(|otlp| otlp.metrics),
        metrics_interval: otlp
            .map(|otlp| humantime::format_duration(otlp.metrics_interval).to_string()),
    }
}
