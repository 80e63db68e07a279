//! The HTTP client that a collector is reached by.
//!
//! Invariant: headers are sent and never shown; a trouble is told once, when it begins and when it
//! ends.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use metrics::counter;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use url::Url;

use super::TelemetryError;
use crate::config::OtlpConfig;

/// Time for one request.
const PATIENCE: Duration = Duration::from_secs(5);

/// The client; cheap to clone.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    endpoint: Url,
    /// The last request failed.
    failing: Arc<AtomicBool>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    pub(super) fn new(config: &OtlpConfig) -> Result<Self, TelemetryError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            let value = HeaderValue::from_str(value.expose_secret());
            let (Ok(name), Ok(mut value)) = (name, value) else {
                return Err(TelemetryError::Client("a header can't be sent".to_owned()));
            };
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let http = reqwest::Client::builder()
            .user_agent(concat!("toolscout/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .timeout(PATIENCE)
            .build()
            .map_err(|error| TelemetryError::Client(error.without_url().to_string()))?;
        let mut endpoint = config.endpoint.clone();
        if !endpoint.path().ends_with('/') {
            endpoint.set_path(&format!("{}/", endpoint.path()));
        }
        Ok(Self { http, endpoint, failing: Arc::default() })
    }

    /// Where a signal goes.
    pub(super) fn url(&self, signal: &str) -> String {
        let joined = self.endpoint.join(&format!("v1/{signal}"));
        joined.map_or_else(|_| self.endpoint.to_string(), String::from)
    }

    /// Sends a message; its answer says no more than whether it was taken.
    pub(super) async fn send(&self, signal: &'static str, message: Vec<u8>) -> Result<(), String> {
        let request = self.http.post(self.url(signal));
        let request = request.header(CONTENT_TYPE, "application/x-protobuf").body(message);
        let response = request.send().await;
        let response = response.and_then(reqwest::Response::error_for_status);
        response.map(drop).map_err(|error| error.without_url().to_string())
    }

    /// Counts how a request ended, and how much was lost with it.
    pub(super) fn count(&self, signal: &'static str, ended: &Result<(), String>, held: usize) {
        let outcome = if ended.is_ok() { "sent" } else { "failed" };
        counter!("toolscout_telemetry_exports_total", "signal" => signal, "outcome" => outcome)
            .increment(1);
        let failed = ended.is_err();
        if failed {
            counter!("toolscout_telemetry_dropped_total", "signal" => signal)
                .increment(held as u64);
        }
        match (self.failing.swap(failed, Ordering::Relaxed), ended) {
            (false, Err(why)) => tracing::warn!(
                "the collector at [telemetry] otlp_endpoint takes nothing, what is lost is counted: \
                 {why}"
            ),
            (true, Ok(())) => tracing::info!("the collector takes what is sent again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let response = self.http.execute(request).await.map_err(reqwest::Error::without_url)?;
        let mut answer = Response::builder().status(response.status());
        if let Some(headers) = answer.headers_mut() {
            headers.clone_from(response.headers());
        }
        Ok(answer.body(response.bytes().await?)?)
    }
}
