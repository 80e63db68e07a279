//! `toolscout serve`.

use std::process::ExitCode;

use super::ServeArgs;

/// Runs the subcommand.
pub fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let _config = args.resolve()?;
    anyhow::bail!("not built yet")
}
