//! Vectors for texts: the encoders, where their files are found, and what keeps their work.
//!
//! Invariant: one encoder id means one mapping from role and text to vector, whatever the thread,
//! batch or process, so vectors are kept by (encoder id, role, text).

pub mod cache;
pub mod endpoint;
mod files;
pub mod lane;
mod manifest;
mod onnx;
mod pool;
mod reranker;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use endpoint::Endpoint;
pub use onnx::Onnx;
pub use reranker::Reranker;

use crate::config::{EmbedConfig, RerankConfig};

/// What a text is. Many encoders were trained with another prefix for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Somebody looks for a tool.
    Query,
    /// A tool that may be found.
    Tool,
}

/// Where the time of an encoder goes, which decides the threads that its texts are embedded on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// Microseconds: on the caller's own thread.
    Instant,
    /// Milliseconds of a core.
    Core,
    /// Waiting for another machine: many at once.
    Remote,
}

/// Turns texts into unit vectors.
pub trait Embedder: Send + Sync {
    /// Names the mapping: another model, other weights, another pooling, another prefix are
    /// another id. Letters, digits, `.`, `_` and `-` only: files are named after it.
    fn id(&self) -> &str;
    /// Length of its vectors.
    fn dims(&self) -> usize;
    /// Where its time goes.
    fn cost(&self) -> Cost;
    /// How many texts at once are the quickest.
    fn batch(&self) -> usize {
        1
    }
    /// The vectors of `texts`, in order, each of unit length. May wait for another thread's turn
    /// or for the network; gives up past `until` where it can.
    fn embed(
        &self,
        role: Role,
        texts: &[&str],
        until: Option<Instant>,
    ) -> Result<Vec<Vec<f32>>, EmbedError>;
}

/// The vector of one text; see [`Embedder::embed`].
pub fn embed_one(
    embedder: &dyn Embedder,
    role: Role,
    text: &str,
    until: Option<Instant>,
) -> Result<Vec<f32>, EmbedError> {
    let vectors = embedder.embed(role, &[text], until)?;
    vectors.into_iter().next().ok_or_else(|| EmbedError::Encoder("no vector".into()))
}

/// Why there is no vector, or no reranking.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// A file of the model or the runtime is not there.
    #[error("no {what} found: run scripts/fetch.sh, or name it with {flag} or {variable}")]
    Missing {
        /// `embedding model` or `ONNX Runtime library`.
        what: &'static str,
        /// The flag that names it.
        flag: &'static str,
        /// The environment variable that names it.
        variable: &'static str,
    },
    /// A folder that was named holds no model.
    #[error(
        "no {what} in {path}: name a folder that holds model.onnx and its tokenizer files \
         (models are not fetched from a hub; scripts/fetch.sh gets the one that is used unnamed)",
        path = path.display()
    )]
    NoModel {
        /// `embedding model` or `reranker`.
        what: &'static str,
        /// The folder.
        path: PathBuf,
    },
    /// A file can't be read.
    #[error("can't read {path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The model's manifest is wrong.
    #[error("{path}: {problem}", path = path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what mends it.
        problem: String,
    },
    /// The runtime or the model does not load.
    #[error("{what} at {path} does not load: {problem}", path = path.display())]
    Load {
        /// `embedding model`, `reranker` or `ONNX Runtime library`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the library said.
        problem: String,
    },
    /// Inference failed.
    #[error("the encoder failed: {0}")]
    Encoder(String),
    /// The vectors are not of the configured length.
    #[error(
        "the encoder gives vectors of {found} numbers, and {wanted} are configured: correct \
         `dimensions`"
    )]
    Dimensions {
        /// What the configuration or the manifest says.
        wanted: usize,
        /// What came.
        found: usize,
    },
    /// The embeddings endpoint gave no vectors.
    #[error("the embeddings endpoint {0}")]
    Endpoint(String),
    /// More queries wait than can be answered in time.
    #[error("the queue is full")]
    Busy,
    /// It was not done in time.
    #[error("it took longer than {} ms", .0.as_millis())]
    Deadline(Duration),
    /// Vectors are switched off.
    #[error("vectors are switched off in the configuration (embed.enabled)")]
    Off,
}

/// Loads the encoder that `config` names or that is found in the usual places: `index-data/` of
/// the working folder, beside the executable, `data`. A model in a folder can embed `sessions`
/// texts at once.
pub fn load(
    config: &EmbedConfig,
    data: &Path,
    sessions: usize,
) -> Result<Arc<dyn Embedder>, EmbedError> {
    if !config.enabled {
        return Err(EmbedError::Off);
    }
    if let Some(endpoint) = &config.endpoint {
        return Ok(Arc::new(Endpoint::new(endpoint)?));
    }
    let places = files::usual_places(data);
    let folder = files::model(config.model.as_deref(), &places)?;
    let runtime = files::runtime(config.runtime.as_deref(), &places)?;
    Ok(Arc::new(Onnx::load(&folder, &runtime, sessions)?))
}

/// Loads the reranker that `config` names, which can be asked `sessions` questions at once.
pub fn load_reranker(
    config: &RerankConfig,
    embed: &EmbedConfig,
    data: &Path,
    sessions: usize,
) -> Result<Reranker, EmbedError> {
    let runtime = files::runtime(embed.runtime.as_deref(), &files::usual_places(data))?;
    Reranker::load(&config.model, &runtime, sessions)
}
