//! `toolscout config`: what the configuration comes to, and an example of one.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;

use super::{CheckArgs, ConfigCommand, SourceArgs};
use crate::config::{Config, ConfigErrors, EXAMPLE, Loaded};

/// Runs the subcommand.
pub fn run(command: &ConfigCommand) -> anyhow::Result<ExitCode> {
    let text = match command {
        ConfigCommand::Example => EXAMPLE.to_owned(),
        ConfigCommand::Check(args) => check(args)?,
    };
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes()).context("writing the configuration")?;
    Ok(ExitCode::SUCCESS)
}

/// The resolved configuration; warnings go to stderr.
fn check(args: &CheckArgs) -> anyhow::Result<String> {
    let mut loaded = args.sources.load(Some(&args.listen))?;
    let mut tenants = of_tenants(&args.sources, &loaded.config)?;
    if let Some(name) = &args.tenant {
        let tenant = tenants.remove(name);
        loaded = tenant.with_context(|| format!("no tenant {name} is configured and enabled"))?;
        tenants.clear();
    }
    let all = || std::iter::once(&loaded).chain(tenants.values());
    for warning in all().flat_map(|loaded| &loaded.warnings) {
        writeln!(anstream::stderr(), "warning: {warning}")?;
    }
    let files = all().flat_map(|loaded| &loaded.files);
    let read: Vec<_> = files.map(|file| format!("# read: {}\n", file.display())).collect();
    let shown = loaded.shown().context("showing the configuration")?;
    Ok(read.concat() + &shown)
}

/// The configurations of all tenants that are switched on, or all that is wrong with them.
fn of_tenants(
    sources: &SourceArgs,
    main: &Config,
) -> Result<BTreeMap<String, Loaded>, ConfigErrors> {
    let (mut errors, mut all) = (Vec::new(), BTreeMap::new());
    for (name, tenant) in main.tenants.iter().filter(|(_, tenant)| tenant.enabled) {
        match sources.load_tenant(main, tenant) {
            Ok(loaded) => {
                all.insert(name.clone(), loaded);
            }
            Err(ConfigErrors(found)) => errors.extend(found),
        }
    }
    if errors.is_empty() { Ok(all) } else { Err(ConfigErrors(errors)) }
}
