//! Spans, from the moment they end to the collector.
//!
//! A queue of our own: the SDK's does not tell how many spans it lost. Invariant: who ends a span
//! never waits; a span that finds no room is counted.

use std::time::Duration;

use metrics::counter;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    Sampler, SdkTracer, SdkTracerProvider, Span, SpanData, SpanExporter as _, SpanProcessor,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::{LAST, TelemetryError};
use crate::config::OtlpConfig;

/// Spans that may wait to be sent.
const WAITING: usize = 4_096;
/// Spans in one message.
const AT_ONCE: usize = 512;
/// How long a message waits to be filled.
const FILL: Duration = Duration::from_secs(1);

/// Spans are collected, and not sent yet.
pub(super) struct Pending {
    provider: SdkTracerProvider,
    exporter: SpanExporter,
    spans: mpsc::Receiver<SpanData>,
    client: Client,
}

/// Where spans go when they end.
#[derive(Debug)]
struct Queue(mpsc::Sender<SpanData>);

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.0.try_send(span).is_err() {
            counter!("toolscout_telemetry_dropped_total", "signal" => "traces").increment(1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Who this is.
pub(super) fn resource(config: &OtlpConfig) -> Resource {
    Resource::builder_empty()
        .with_service_name(config.service_name.clone())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}

impl Pending {
    pub(super) fn new(config: &OtlpConfig, client: &Client) -> Result<Self, TelemetryError> {
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client.clone())
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(client.url("traces"))
            .build()
            .map_err(|error| TelemetryError::Client(error.to_string()))?;
        let resource = resource(config);
        exporter.set_resource(&resource);
        let (queue, spans) = mpsc::channel(WAITING);
        let sampler = Sampler::TraceIdRatioBased(config.sample_ratio);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(Queue(queue))
            .with_sampler(Sampler::ParentBased(Box::new(sampler)))
            .with_resource(resource)
            .build();
        Ok(Self { provider, exporter, spans, client: client.clone() })
    }

    pub(super) fn tracer(&self) -> SdkTracer {
        self.provider.tracer("toolscout")
    }

    /// Sends until `shutdown`, and then what is left.
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        let mut batch = Vec::new();
        loop {
            let more = tokio::select! {
                more = self.spans.recv_many(&mut batch, AT_ONCE) => more,
                () = shutdown.cancelled() => break,
            };
            if more == 0 {
                return;
            }
            let filled = tokio::time::sleep(FILL);
            tokio::pin!(filled);
            while batch.len() < AT_ONCE {
                let room = AT_ONCE - batch.len();
                tokio::select! {
                    _ = self.spans.recv_many(&mut batch, room) => {}
                    () = &mut filled => break,
                    () = shutdown.cancelled() => break,
                }
            }
            self.send(&mut batch).await;
        }
        let last = async {
            while let Ok(span) = self.spans.try_recv() {
                batch.push(span);
                if batch.len() == AT_ONCE {
                    self.send(&mut batch).await;
                }
            }
            self.send(&mut batch).await;
        };
        let _ = tokio::time::timeout(LAST, last).await;
    }

    async fn send(&self, batch: &mut Vec<SpanData>) {
        if batch.is_empty() {
            return;
        }
        let count = batch.len();
        let sent = self.exporter.export(std::mem::take(batch)).await;
        let sent = sent.map_err(|error| error.to_string());
        self.client.count("traces", &sent, count);
    }
}
