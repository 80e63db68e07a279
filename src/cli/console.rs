//! `toolscout console`: where the console of a running toolscout is, for whoever runs it.
//!
//! Invariant: the token stands in the address's fragment, which browsers keep to themselves; the page
//! takes it out of the address at once.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use reqwest::Method;

use super::browser;
use super::remote::{Remote, RemoteArgs};

/// Arguments of `console`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toolscout console                    Print the address, with the operator's token in it
  toolscout console --open             Open it in a browser
  toolscout console --tenant acme      As it is for this tenant

Whoever has the address administers this toolscout: it is for your own browser.")]
pub struct ConsoleArgs {
    /// Open it in the browser of $BROWSER, or the desktop's. Others who are logged in at this machine
    /// can see the address among its processes for a moment.
    #[arg(long)]
    pub open: bool,
    /// Which toolscout.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// Runs the subcommand.
pub fn run(args: &ConsoleArgs) -> anyhow::Result<ExitCode> {
    let remote = Remote::of(&args.remote)?;
    // An address that nothing answers at, or that takes another token, helps nobody.
    remote.ask(Method::GET, &["v1", "admin", "config"], None)?;
    let address = remote.console();
    writeln!(anstream::stdout(), "{address}")?;
    if args.open && !browser::open(&address) {
        writeln!(anstream::stderr(), "there is no browser here: open the address in yours")?;
    }
    Ok(ExitCode::SUCCESS)
}
