//! Log lines on stderr, and progress lines that they do not tear.
//!
//! Invariant: stdout carries answers only; colour and moving lines go to a terminal only.

use std::io::{self, IsTerminal, Write};

use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::LogFormat;

/// The variable that says what is logged, as `RUST_LOG` does elsewhere.
pub(super) const VARIABLE: &str = "TOOLSCOUT_LOG";

/// What rmcp may write. Its transports and services quote URLs and what servers answered, where
/// credentials may stand: crawls tell of the same without those. Below a warning, its logins write
/// codes and what came with tokens.
const RMCP: [&str; 3] = ["rmcp::transport=off", "rmcp::service=off", "rmcp::transport::auth=warn"];

/// Starts the log; `quiet` shows only warnings unless the variable says more. Progress lines are
/// to be drawn on what is returned; it draws nothing where stderr is no terminal.
pub fn start(format: LogFormat, quiet: bool) -> MultiProgress {
    let lines = MultiProgress::new();
    let filter = EnvFilter::try_from_env(VARIABLE)
        .unwrap_or_else(|_| EnvFilter::new(if quiet { "warn" } else { "warn,toolscout=info" }));
    let filter = RMCP
        .iter()
        .filter_map(|directive| directive.parse().ok())
        .fold(filter, EnvFilter::add_directive);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .with_writer(AboveLines(lines.clone()));
    // A second start in one process (tests) keeps the first log.
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    lines
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
