//! Vectors for texts: the encoders, where their files are found, and what keeps their work.
//!
//! Invariant: one encoder id means one mapping from text to vector, whatever the thread, batch or
//! process, so vectors are kept by (encoder id, text).

pub mod cache;
pub mod lane;
mod minilm;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use minilm::MiniLm;

use crate::config::EmbedConfig;

/// Turns a text into a unit vector.
pub trait Embedder: Send + Sync {
    /// Names the mapping: another model, other weights, another pooling are another id.
    fn id(&self) -> &str;
    /// Length of its vectors.
    fn dims(&self) -> usize;
    /// The vector of `text`, of unit length. May wait for another thread's turn.
    fn embed(&self, text: &str) -> Result<Vec<f32>, EmbedError>;
}

/// Why there is no vector.
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
    /// A file can't be read.
    #[error("can't read {path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The runtime or the model does not load.
    #[error("{what} at {path} does not load: {problem}", path = path.display())]
    Load {
        /// `embedding model` or `ONNX Runtime library`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the library said.
        problem: String,
    },
    /// Inference failed.
    #[error("the encoder failed: {0}")]
    Encoder(String),
    /// More queries wait than can be answered in time.
    #[error("the embedding queue is full")]
    Busy,
    /// The vector did not come in time.
    #[error("embedding took longer than {} ms", .0.as_millis())]
    Deadline(std::time::Duration),
    /// Vectors are switched off.
    #[error("vectors are switched off in the configuration (embed.enabled)")]
    Off,
}

/// Where the model's files and the runtime lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Folder of `model.onnx` and the tokenizer's files.
    pub model: PathBuf,
    /// The ONNX Runtime library.
    pub runtime: PathBuf,
}

/// Loads the encoder that `config` names or that is found in the usual places: `index-data/` of
/// the working folder, beside the executable, `data`. `sessions` texts can be embedded at once.
pub fn load(
    config: &EmbedConfig,
    data: &Path,
    sessions: usize,
) -> Result<Arc<dyn Embedder>, EmbedError> {
    if !config.enabled {
        return Err(EmbedError::Off);
    }
    let files = locate(config, &usual_places(data))?;
    Ok(Arc::new(MiniLm::load(&files, sessions)?))
}

fn usual_places(data: &Path) -> Vec<PathBuf> {
    let mut places = vec![PathBuf::from("index-data/cache")];
    if let Some(folder) = std::env::current_exe().ok().as_deref().and_then(Path::parent) {
        places.extend([folder.join("index-data/cache"), folder.to_owned()]);
    }
    places.push(data.join("cache"));
    if let Some(user) = directories::ProjectDirs::from("", "", "toolscout") {
        places.push(user.data_dir().join("cache"));
    }
    places
}

fn locate(config: &EmbedConfig, places: &[PathBuf]) -> Result<Files, EmbedError> {
    let find = |named: Option<&PathBuf>, inside: &str| match named {
        Some(path) => path.exists().then(|| path.clone()),
        None => places.iter().map(|place| place.join(inside)).find(|path| path.exists()),
    };
    let model = find(config.model.as_ref(), "model").filter(|dir| dir.join("model.onnx").exists());
    let runtime = find(config.runtime.as_ref(), "runtime/libonnxruntime.so")
        .or_else(|| find(config.runtime.as_ref(), "runtime/libonnxruntime.dylib"));
    Ok(Files {
        model: model.ok_or(EmbedError::Missing {
            what: "embedding model",
            flag: "--model",
            variable: "TOOLSCOUT_MODEL",
        })?,
        runtime: runtime.ok_or(EmbedError::Missing {
            what: "ONNX Runtime library",
            flag: "--runtime",
            variable: "TOOLSCOUT_RUNTIME",
        })?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(model: Option<PathBuf>) -> EmbedConfig {
        EmbedConfig {
            enabled: true,
            model,
            runtime: None,
            threads: 1,
            deadline: std::time::Duration::from_millis(50),
        }
    }

    fn place(folder: &Path) {
        std::fs::create_dir_all(folder.join("model")).unwrap();
        std::fs::create_dir_all(folder.join("runtime")).unwrap();
        std::fs::write(folder.join("model/model.onnx"), "").unwrap();
        std::fs::write(folder.join("runtime/libonnxruntime.so"), "").unwrap();
    }

    #[test]
    fn the_first_place_wins_and_a_named_one_before_all() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let places = [first.path().to_owned(), second.path().to_owned()];
        assert!(matches!(locate(&config(None), &places), Err(EmbedError::Missing { .. })));
        place(second.path());
        assert_eq!(locate(&config(None), &places).unwrap().model, second.path().join("model"));
        place(first.path());
        assert_eq!(locate(&config(None), &places).unwrap().model, first.path().join("model"));
        let named = second.path().join("model");
        assert_eq!(locate(&config(Some(named.clone())), &places).unwrap().model, named);
        let absent = config(Some(first.path().join("absent")));
        let error = locate(&absent, &places).unwrap_err();
        assert!(error.to_string().contains("--model"), "{error}");
    }

    #[test]
    fn a_runtime_that_is_none_is_an_error_not_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        place(folder.path());
        let files = locate(&config(None), &[folder.path().to_owned()]).unwrap();
        assert!(matches!(MiniLm::load(&files, 1), Err(EmbedError::Load { .. })));
    }
}
