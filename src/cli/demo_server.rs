//! `toolscout demo-server`: one demo server on stdin and stdout, started by the crawler.

use std::process::ExitCode;

use super::DemoServerArgs;
use crate::demo;

/// Runs the subcommand until stdin closes.
pub fn run(args: &DemoServerArgs) -> anyhow::Result<ExitCode> {
    super::runtime()?.block_on(demo::run_stdio(&args.name))?;
    Ok(ExitCode::SUCCESS)
}
