//! `toolscout crawl`.

use std::process::ExitCode;

use super::CrawlArgs;

/// Runs the subcommand.
pub fn run(args: &CrawlArgs) -> anyhow::Result<ExitCode> {
    let _config = args.sources.resolve()?;
    anyhow::bail!("not built yet")
}
