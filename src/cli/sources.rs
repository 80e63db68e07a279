//! The flags that several subcommands share, and how they become [`Sources`].
//!
//! Invariant: variables of the environment are looked up in `config`, never by flags, so that the
//! precedence is written down once.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, value_parser};

use crate::config::{
    Config, ConfigErrors, Loaded, Sources, TenantConfig, file_of, load, load_tenant,
};

/// What to crawl and search.
#[derive(Debug, Clone, Default, Args)]
pub struct SourceArgs {
    /// The configuration [env: `TOOLSCOUT_CONFIG`] [default: ./toolscout.toml if there].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The servers of an MCP client, from its own file (JSON, TOML or YAML); may be repeated.
    #[arg(long, value_name = "FILE")]
    pub mcp_config: Vec<PathBuf>,
    /// Files of definitions.
    #[command(flatten)]
    pub catalogs: CatalogArgs,
    /// Add the servers of the demo.
    #[arg(long)]
    pub demo: bool,
    /// The encoder, and where things are kept.
    #[command(flatten)]
    pub encoder: EncoderArgs,
}

/// The encoder, and where things are kept.
#[derive(Debug, Clone, Default, Args)]
pub struct EncoderArgs {
    /// Where snapshots and caches are kept [env: `TOOLSCOUT_DATA`].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Folder of the embedding model [env: `TOOLSCOUT_MODEL`].
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Folder of a reranker [env: `TOOLSCOUT_RERANKER`].
    #[arg(long, value_name = "DIR")]
    pub reranker: Option<PathBuf>,
    /// The ONNX Runtime library [env: `TOOLSCOUT_RUNTIME`].
    #[arg(long, value_name = "FILE")]
    pub runtime: Option<PathBuf>,
}

/// A configuration and its data folder.
#[derive(Debug, Clone, Default, Args)]
pub struct PlaceArgs {
    /// The configuration [env: `TOOLSCOUT_CONFIG`] [default: ./toolscout.toml if there].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where snapshots, caches, models and logins are kept [env: `TOOLSCOUT_DATA`].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

impl PlaceArgs {
    pub(super) fn sources(&self) -> Sources {
        Sources {
            // Where even the working folder is gone, relative paths stay relative.
            folder: std::env::current_dir().unwrap_or_default(),
            config: self.config.clone(),
            data: self.data.clone(),
            ..Sources::default()
        }
    }
}

/// Where to listen.
#[derive(Debug, Clone, Default, Args)]
pub struct ListenArgs {
    /// Address to listen on [env: `TOOLSCOUT_LISTEN`] [default: 127.0.0.1:7420].
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Listen beyond loopback although nobody is asked who they are.
    #[arg(long)]
    pub allow_anonymous: bool,
}

impl SourceArgs {
    /// The configuration that these arguments ask for, with its warnings logged.
    pub fn resolve(&self) -> Result<Config, ConfigErrors> {
        let loaded = self.load(None)?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        Ok(loaded.config)
    }

    /// As [`SourceArgs::resolve`], with the warnings handed back.
    pub(super) fn load(&self, listen: Option<&ListenArgs>) -> Result<Loaded, ConfigErrors> {
        load(&self.sources(listen), &variable)
    }

    /// The configuration of a tenant of `main`, which these arguments asked for.
    pub(super) fn load_tenant(
        &self,
        main: &Config,
        tenant: &TenantConfig,
    ) -> Result<Loaded, ConfigErrors> {
        load_tenant(tenant, main, &self.sources(None), &variable)
    }

    /// The files that the configuration is read from, whether they are there or not.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let sources = self.sources(None);
        let named = self.mcp_config.iter().map(|path| sources.folder.join(path));
        named.chain([file_of(&sources, &variable).1]).collect()
    }

    pub(super) fn sources(&self, listen: Option<&ListenArgs>) -> Sources {
        Sources {
            config: self.config.clone(),
            mcp_config: self.mcp_config.clone(),
            catalogs: self.catalogs.0.clone(),
            demo: self.demo,
            listens: listen.is_some(),
            listen: listen.and_then(|args| args.listen),
            allow_anonymous: listen.is_some_and(|args| args.allow_anonymous),
            ..self.encoder.sources()
        }
    }
}

impl EncoderArgs {
    /// A configuration with this catalog; no file is read unless it is named.
    pub(super) fn resolve(
        &self,
        catalog: &Path,
        servers: Option<&Path>,
        config: Option<PathBuf>,
    ) -> Result<Config, ConfigErrors> {
        let sources = Sources {
            catalogs: vec![(catalog.to_owned(), servers.map(Path::to_owned))],
            no_file: config.is_none(),
            config,
            ..self.sources()
        };
        Ok(load(&sources, &variable)?.config)
    }

    fn sources(&self) -> Sources {
        Sources {
            // Where even the working folder is gone, relative paths stay relative.
            folder: std::env::current_dir().unwrap_or_default(),
            data: self.data.clone(),
            model: self.model.clone(),
            reranker: self.reranker.clone(),
            runtime: self.runtime.clone(),
            ..Sources::default()
        }
    }
}

pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// `--catalog FILE [--servers FILE]`, repeated: each `--servers` belongs to the `--catalog`
/// before it, which derived arguments can't say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CatalogArgs(pub Vec<(PathBuf, Option<PathBuf>)>);

impl Args for CatalogArgs {
    fn augment_args(command: clap::Command) -> clap::Command {
        let file = |name: &'static str, help: &'static str| {
            Arg::new(name)
                .long(name)
                .value_name("FILE")
                .action(ArgAction::Append)
                .value_parser(value_parser!(PathBuf))
                .help(help)
        };
        command
            .arg(file("catalog", "A file of definitions (*.jsonl, *.jsonl.gz); may be repeated"))
            .arg(
                file("servers", "Titles and descriptions for the --catalog before it")
                    .requires("catalog"),
            )
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for CatalogArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |name: &str| -> Vec<(usize, PathBuf)> {
            let places = matches.indices_of(name).into_iter().flatten();
            let files = matches.get_many::<PathBuf>(name).into_iter().flatten();
            places.zip(files.cloned()).collect()
        };
        let mut catalogs: Vec<(usize, PathBuf, Option<PathBuf>)> =
            given("catalog").into_iter().map(|(place, file)| (place, file, None)).collect();
        for (place, file) in given("servers") {
            match catalogs.iter_mut().rfind(|(catalog, ..)| *catalog < place) {
                Some((.., servers @ None)) => *servers = Some(file),
                _ => {
                    return Err(clap::Error::raw(
                        ErrorKind::ArgumentConflict,
                        "each --servers belongs to one --catalog, and stands behind it\n",
                    ));
                }
            }
        }
        let pairs = catalogs.into_iter().map(|(_, file, servers)| (file, servers));
        Ok(Self(pairs.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::cli::{Cli, Command};

    fn catalogs(arguments: &str) -> Result<CatalogArgs, ErrorKind> {
        let line = ["toolscout", "crawl"].into_iter().chain(arguments.split_whitespace());
        match Cli::try_parse_from(line).map_err(|error| error.kind())?.command {
            Command::Crawl(args) => Ok(args.sources.catalogs),
            _ => unreachable!("crawl was asked for"),
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn servers_belong_to_the_catalog_before_them() {
        let pair = |catalog: &str, servers: Option<&str>| (catalog.into(), servers.map(Into::into));
        assert_eq!(
            catalogs("--catalog a --servers sa --catalog b --catalog=c --servers=sc"),
            Ok(CatalogArgs(vec![pair("a", Some("sa")), pair("b", None), pair("c", Some("sc"))]))
        );
        assert_eq!(catalogs(""), Ok(CatalogArgs::default()));
        for wrong in ["--servers s --catalog a", "--catalog a --servers s --servers t"] {
            assert_eq!(catalogs(wrong), Err(ErrorKind::ArgumentConflict));
        }
        assert_eq!(catalogs("--servers s"), Err(ErrorKind::MissingRequiredArgument));
    }
}
