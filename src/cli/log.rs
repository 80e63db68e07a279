//! Log lines on stderr, and progress lines that they do not tear.
//!
//! Invariant: stdout carries answers only; colour and moving lines go to a terminal only.

use std::io::{self, IsTerminal, Write};

use indicatif::MultiProgress;
use opentelemetry_sdk::trace::SdkTracer;
use tracing::Level;
use tracing_subscriber::filter::{EnvFilter, LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use super::LogFormat;
use crate::telemetry::Switches;

/// The variable that says what is logged, as `RUST_LOG` does elsewhere.
pub(super) const VARIABLE: &str = "TOOLSCOUT_LOG";

/// What rmcp may write. Its transports and services quote URLs and what servers answered, where
/// credentials may stand: crawls tell of the same without those. Below a warning, its logins write
/// codes and what came with tokens.
const RMCP: [&str; 3] = ["rmcp::transport=off", "rmcp::service=off", "rmcp::transport::auth=warn"];

/// Starts the log; `quiet` shows only warnings unless the variable says more. Progress lines are
/// to be drawn on what is returned; it draws nothing where stderr is no terminal.
pub fn start(format: LogFormat, quiet: bool) -> MultiProgress {
    start_with(format, quiet, None).0
}

/// As [`start`], with what makes spans for traces, if there are to be any; and what switches the log
/// while it runs.
pub fn start_with(
    format: LogFormat,
    quiet: bool,
    tracer: Option<SdkTracer>,
) -> (MultiProgress, Switches) {
    let lines = MultiProgress::new();
    let usual = std::env::var(VARIABLE).ok().filter(|said| filter(said).is_ok());
    let usual =
        usual.unwrap_or_else(|| if quiet { "warn" } else { "warn,toolscout=info" }.to_owned());
    let (shown, handle) = reload::Layer::new(filter(&usual).unwrap_or_default());
    let log = tracing_subscriber::fmt::layer()
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .with_writer(AboveLines(lines.clone()));
    let log = match format {
        LogFormat::Text => log.boxed(),
        LogFormat::Json => log.json().boxed(),
    };
    let spans = tracer.map(|tracer| {
        let ours = Targets::new()
            .with_target("toolscout", Level::DEBUG)
            // These lines are for the log alone.
            .with_target("toolscout::queries", LevelFilter::OFF);
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(ours)
    });
    // A second start in one process (tests) keeps the first log.
    let _ = tracing_subscriber::registry().with(spans).with(log.with_filter(shown)).try_init();
    let switches = Switches::of_log(&usual, move |said| {
        handle.reload(filter(said)?).map_err(|error| error.to_string())
    });
    (lines, switches)
}

/// A filter that also holds for what rmcp may write, whatever it says.
fn filter(said: &str) -> Result<EnvFilter, String> {
    let filter = EnvFilter::try_new(said).map_err(|error| error.to_string())?;
    let directives = RMCP.iter().filter_map(|directive| directive.parse().ok());
    Ok(directives.fold(filter, EnvFilter::add_directive))
}

/// Writes log lines above the moving ones.
#[derive(Clone)]
struct AboveLines(MultiProgress);

impl Write for AboveLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write_all(bytes)).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl MakeWriter<'_> for AboveLines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
