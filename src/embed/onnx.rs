//! A sentence encoder from a folder (`MiniLM` as shipped), by fastembed on ONNX Runtime.
//!
//! Invariant: texts are embedded one at a time (a batch of one is the fastest here, and int8
//! kernels make a vector depend on its batch), on one thread each (spinning intra-op threads
//! slowed it down).

use std::path::Path;
use std::time::Instant;

use fastembed::{InitOptionsUserDefined, Pooling, TextEmbedding, UserDefinedEmbeddingModel};

use super::manifest::{self, ENCODER, Model};
use super::pool::{Pool, start_runtime};
use super::{Cost, EmbedError, Embedder, Role};
use crate::index::dense::normalise;

/// A sentence encoder with a session for each text that may be embedded at once.
pub struct Onnx {
    id: String,
    dims: usize,
    query_prefix: String,
    passage_prefix: String,
    sessions: Pool<TextEmbedding>,
}

impl Onnx {
    /// Loads the runtime (once a process) and `sessions` copies of the model in `folder`.
    pub fn load(folder: &Path, runtime: &Path, sessions: usize) -> Result<Self, EmbedError> {
        let Model { manifest, id, onnx, tokenizer } = Model::read(folder, ENCODER)?;
        start_runtime(runtime)?;
        let pooling = match manifest.pooling {
            Some(manifest::Pooling::Mean) => Pooling::Mean,
            Some(manifest::Pooling::Cls) => Pooling::Cls,
            None => {
                return Err(EmbedError::Manifest {
                    path: folder.join(manifest::FILE),
                    problem: "pooling is missing: write \"mean\" or \"cls\"".into(),
                });
            }
        };
        let model = UserDefinedEmbeddingModel::new(onnx, tokenizer).with_pooling(pooling);
        let sessions = Pool::new(sessions, || {
            let options = InitOptionsUserDefined::new()
                .with_intra_threads(1)
                .with_max_length(manifest.max_length);
            TextEmbedding::try_new_from_user_defined(model.clone(), options).map_err(|error| {
                EmbedError::Load {
                    what: ENCODER,
                    path: folder.to_owned(),
                    problem: error.to_string(),
                }
            })
        })?;
        let mut encoder = Self {
            id,
            dims: 0,
            query_prefix: manifest.query_prefix,
            passage_prefix: manifest.passage_prefix,
            sessions,
        };
        encoder.dims = encoder.embed_one(Role::Tool, "length")?.len();
        match manifest.dimensions {
            Some(wanted) if wanted != encoder.dims => {
                Err(EmbedError::Dimensions { wanted, found: encoder.dims })
            }
            _ => Ok(encoder),
        }
    }

    fn embed_one(&self, role: Role, text: &str) -> Result<Vec<f32>, EmbedError> {
        let prefix = match role {
            Role::Query => &self.query_prefix,
            Role::Tool => &self.passage_prefix,
        };
        let vectors = self
            .sessions
            .session()
            .embed([format!("{prefix}{text}")], Some(1))
            .map_err(|error| EmbedError::Encoder(error.to_string()))?;
        let mut vector =
            vectors.into_iter().next().ok_or_else(|| EmbedError::Encoder("no vector".into()))?;
        normalise(&mut vector);
        Ok(vector)
    }
}

impl Embedder for Onnx {
    fn id(&self) -> &str {
        &self.id
    }

    fn dims(&self) -> usize {
        self.dims
    }

    fn cost(&self) -> Cost {
        Cost::Core
    }

    fn embed(
        &self,
        role: Role,
        texts: &[&str],
        _until: Option<Instant>,
    ) -> Result<Vec<Vec<f32>>, EmbedError> {
        texts.iter().map(|text| self.embed_one(role, text)).collect()
    }
}
