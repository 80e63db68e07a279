//! Vectors for texts: the encoders, and what keeps their work.
//!
//! Invariant: one encoder id means one mapping from role and text to vector, whatever the thread,
//! batch or process, so vectors are kept by (encoder id, role, text).

pub mod cache;
pub mod endpoint;
pub mod fixed;
mod found;
pub mod lane;
mod manifest;
mod onnx;
mod pool;
mod reranker;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;

pub use endpoint::Endpoint;
pub use fixed::Fixed;
pub use found::{Found, found_in};
pub use onnx::Onnx;
pub use reranker::Reranker;

use crate::config::{EmbedConfig, RerankConfig};

/// The name of the encoder in the binary.
pub const IN_BINARY: &str = "scout";
/// Where the ONNX Runtime library is, in the folder of the models.
pub const RUNTIME: &str = if cfg!(target_os = "macos") {
    "onnxruntime/libonnxruntime.dylib"
} else {
    "onnxruntime/libonnxruntime.so"
};

/// The folder in the data folder that models are in, each in one of its name.
pub fn models_in(data: &Path) -> PathBuf {
    data.join("models")
}

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

/// The vector of one text; see [`Embedder::embed`]. A panic in there is an error.
pub fn embed_one(
    embedder: &dyn Embedder,
    role: Role,
    text: &str,
    until: Option<Instant>,
) -> Result<Vec<f32>, EmbedError> {
    let vectors = guarded(|| embedder.embed(role, &[text], until))?;
    vectors.into_iter().next().ok_or_else(|| EmbedError::Encoder("no vector".into()))
}

/// What `work` of a model comes to. A panic in there costs this one answer, not the thread, and is
/// counted: models are libraries and weights of others, and one text may be too much for them.
pub fn guarded<T>(work: impl FnOnce() -> Result<T, EmbedError>) -> Result<T, EmbedError> {
    // What is left half done is left in the model, which keeps nothing from text to text.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|_| {
        counter!("toolscout_embed_panics_total").increment(1);
        Err(EmbedError::Panicked)
    })
}

/// Why there is no vector, or no reranking.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The runtime is not there.
    #[error(
        "no ONNX Runtime library at {path}: fetch it with `toolscout model pull minilm`, or name \
         it with --runtime or TOOLSCOUT_RUNTIME",
        path = .0.display()
    )]
    NoRuntime(PathBuf),
    /// A folder that was named holds no model.
    #[error(
        "no {what} in {path}: fetch one with `toolscout model pull`, or name a folder that holds \
         model.onnx and its tokenizer files",
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
    /// It came apart on this text.
    #[error("the encoder panicked on this text")]
    Panicked,
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

/// Loads the encoder that `config` names. A model in a folder can embed `sessions` texts at once.
pub fn load(config: &EmbedConfig, sessions: usize) -> Result<Arc<dyn Embedder>, EmbedError> {
    if !config.enabled {
        return Err(EmbedError::Off);
    }
    if let Some(endpoint) = &config.endpoint {
        return Ok(Arc::new(Endpoint::new(endpoint)?));
    }
    Ok(match &config.model {
        None => Arc::new(Fixed::in_binary()?),
        Some(folder) if Fixed::is_in(folder) => Arc::new(Fixed::load(folder)?),
        Some(folder) => Arc::new(Onnx::load(folder, &config.runtime, sessions)?),
    })
}

/// Loads the reranker that `config` names, which can be asked `sessions` questions at once.
pub fn load_reranker(
    config: &RerankConfig,
    embed: &EmbedConfig,
    sessions: usize,
) -> Result<Reranker, EmbedError> {
    Reranker::load(&config.model, &embed.runtime, sessions)
}
