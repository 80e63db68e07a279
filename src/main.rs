//! The `toolscout` command: parse, dispatch, exit code (0 done, 1 failed, 2 wrongly asked).

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use toolscout::cli::{self, Cli};
use toolscout::config::ConfigErrors;

/// Of what a generation leaves behind it keeps less than the system's, and it is faster where
/// many small things are made at once (docs/decisions.md, "Memory").
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::run(Cli::parse()) {
        Ok(code) => code,
        Err(error) if reader_left(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let causes = error.chain().skip(1);
            let causes: Vec<_> = causes.map(|cause| format!("\n  caused by: {cause}")).collect();
            // Where stderr is closed, the exit code has to do.
            let _ = writeln!(anstream::stderr(), "error: {error}{}", causes.concat());
            let usage = error.chain().any(<dyn std::error::Error>::is::<ConfigErrors>);
            ExitCode::from(if usage { 2 } else { 1 })
        }
    }
}

/// The reader of our output has seen enough, as in `toolscout config example | head`.
fn reader_left(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}
