//! What leaves the process about itself: traces and metrics by OTLP, and what can be switched in the
//! log while it runs.
//!
//! Invariant: no request waits for a collector: what can't be sent is counted and let go, and one
//! line of the log says so.

mod client;
mod figures;
mod propagation;
mod switches;
mod traces;

use std::time::{Duration, SystemTime};

use opentelemetry_sdk::trace::SdkTracer;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::client::Client;
pub use self::propagation::{carried, join, join_meta, meta};
pub use self::switches::{SwitchError, Switches, SwitchesNow};
use self::traces::Pending;
use crate::config::{OtlpConfig, TelemetryConfig};

/// Time for what is left once the service ends.
const LAST: Duration = Duration::from_secs(3);

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// No client can be made.
    #[error("no client for [telemetry] otlp_endpoint: {0}")]
    Client(String),
}

/// What is to be sent.
#[derive(Default)]
pub struct Telemetry {
    traces: Option<Pending>,
    metrics: Option<(OtlpConfig, Client)>,
}

impl Telemetry {
    /// What this configuration asks for, and what makes its spans: nothing is sent before
    /// [`Telemetry::run`].
    pub fn prepare(config: &TelemetryConfig) -> Result<(Self, Option<SdkTracer>), TelemetryError> {
        let Some(otlp) = &config.otlp else { return Ok((Self::default(), None)) };
        let client = Client::new(otlp)?;
        let pending = otlp.traces.then(|| Pending::new(otlp, &client)).transpose()?;
        let tracer = pending.as_ref().map(Pending::tracer);
        if tracer.is_some() {
            propagation::switch_on();
        }
        let metrics = otlp.metrics.then(|| (otlp.clone(), client));
        Ok((Self { traces: pending, metrics }, tracer))
    }

    /// Sends until `shutdown`, and then what is left. `figures` tells the metrics.
    pub fn run(
        self,
        figures: impl Fn() -> String + Send + Sync + 'static,
        shutdown: CancellationToken,
    ) -> JoinHandle<()> {
        let began = SystemTime::now();
        tokio::spawn(async move {
            let traces = async {
                if let Some(traces) = self.traces {
                    traces.run(shutdown.clone()).await;
                }
            };
            let metrics = async {
                if let Some((config, client)) = self.metrics {
                    figures::run(&config, &client, figures, began, shutdown.clone()).await;
                }
            };
            tokio::join!(traces, metrics);
        })
    }
}
