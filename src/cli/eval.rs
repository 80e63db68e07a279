//! `toolscout eval`.

use std::process::ExitCode;

use super::EvalArgs;

/// Runs the subcommand.
pub fn run(args: &EvalArgs) -> anyhow::Result<ExitCode> {
    let _config = args.resolve()?;
    anyhow::bail!("not built yet")
}
