//! all-MiniLM-L6-v2 (or any sentence encoder in the same files) by fastembed on ONNX Runtime.
//!
//! Invariant: texts are embedded one at a time (a batch of one is the fastest here, and int8
//! kernels make a vector depend on its batch), on one thread each (spinning intra-op threads
//! slowed it down).

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use fastembed::{
    InitOptionsUserDefined, Pooling, TextEmbedding, TokenizerFiles, UserDefinedEmbeddingModel,
};

use super::{EmbedError, Embedder, Files};
use crate::index::dense::normalise;

/// Tokens that are read of a text.
const MAX_TOKENS: usize = 256;

/// A sentence encoder with a session for each text that may be embedded at once.
pub struct MiniLm {
    id: String,
    dims: usize,
    sessions: Vec<Mutex<TextEmbedding>>,
    next: AtomicUsize,
}

impl MiniLm {
    /// Loads the runtime (once a process) and `sessions` copies of the model.
    pub fn load(files: &Files, sessions: usize) -> Result<Self, EmbedError> {
        let failed = |what, path: &Path, problem: String| EmbedError::Load {
            what,
            path: path.to_owned(),
            problem,
        };
        // Without this first, a runtime that can't be loaded is a panic later on.
        ort::init_from(&files.runtime)
            .map_err(|error| failed("ONNX Runtime library", &files.runtime, error.to_string()))?;
        let read = |name: &str| {
            let path = files.model.join(name);
            fs::read(&path).map_err(|source| EmbedError::Io { path, source })
        };
        let onnx = read("model.onnx")?;
        let id = format!("minilm-{}", &blake3::hash(&onnx).to_hex()[..12]);
        let tokenizer = TokenizerFiles {
            tokenizer_file: read("tokenizer.json")?,
            config_file: read("config.json")?,
            special_tokens_map_file: read("special_tokens_map.json")?,
            tokenizer_config_file: read("tokenizer_config.json")?,
        };
        let model = UserDefinedEmbeddingModel::new(onnx, tokenizer).with_pooling(Pooling::Mean);
        let session = || {
            let options =
                InitOptionsUserDefined::new().with_intra_threads(1).with_max_length(MAX_TOKENS);
            TextEmbedding::try_new_from_user_defined(model.clone(), options)
                .map_err(|error| failed("embedding model", &files.model, error.to_string()))
        };
        let sessions: Vec<_> =
            (0..sessions.max(1)).map(|_| session().map(Mutex::new)).collect::<Result<_, _>>()?;
        let mut encoder = Self { id, dims: 0, sessions, next: AtomicUsize::new(0) };
        encoder.dims = encoder.embed("length")?.len();
        Ok(encoder)
    }

    /// A session that is free, else the next in turn.
    fn session(&self) -> MutexGuard<'_, TextEmbedding> {
        if let Some(free) = self.sessions.iter().find_map(|session| session.try_lock().ok()) {
            return free;
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.sessions.len();
        // A panic while it was held leaves a session as usable as before: it keeps no state.
        self.sessions[turn].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Embedder for MiniLm {
    fn id(&self) -> &str {
        &self.id
    }

    fn dims(&self) -> usize {
        self.dims
    }

    fn embed(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
        let vectors = self
            .session()
            .embed([text], Some(1))
            .map_err(|error| EmbedError::Encoder(error.to_string()))?;
        let mut vector =
            vectors.into_iter().next().ok_or_else(|| EmbedError::Encoder("no vector".into()))?;
        normalise(&mut vector);
        Ok(vector)
    }
}
