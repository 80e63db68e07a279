//! `toolscout search`.

use std::process::ExitCode;

use super::SearchArgs;

/// Runs the subcommand.
pub fn run(args: &SearchArgs) -> anyhow::Result<ExitCode> {
    let _config = args.sources.resolve()?;
    anyhow::bail!("not built yet")
}
