//! `toolscout demo-server`.

use std::process::ExitCode;

use super::DemoServerArgs;

/// Runs the subcommand.
pub fn run(_args: &DemoServerArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not built yet")
}
