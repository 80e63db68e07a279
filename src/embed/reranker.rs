//! A cross-encoder from a folder: reads a query and a tool together and says how well they fit.
//!
//! Invariant: each pair is scored by itself, on one thread, so that a score depends on nothing
//! but the pair.

use std::path::Path;
use std::time::Instant;

use fastembed::{OnnxSource, RerankInitOptionsUserDefined, TextRerank, UserDefinedRerankingModel};

use super::EmbedError;
use super::manifest::{Model, RERANKER};
use super::pool::{Pool, start_runtime};

/// A cross-encoder with a session for each query that may be reranked at once.
pub struct Reranker {
    id: String,
    query_prefix: String,
    passage_prefix: String,
    sessions: Pool<TextRerank>,
}

impl Reranker {
    /// Loads the runtime (once a process) and `sessions` copies of the model in `folder`.
    pub fn load(folder: &Path, runtime: &Path, sessions: usize) -> Result<Self, EmbedError> {
        let Model { manifest, id, onnx, tokenizer } = Model::read(folder, RERANKER)?;
        start_runtime(runtime)?;
        let model = UserDefinedRerankingModel::new(OnnxSource::Memory(onnx), tokenizer);
        let sessions = Pool::new(sessions, || {
            let options = RerankInitOptionsUserDefined::new()
                .with_intra_threads(1)
                .with_max_length(manifest.max_length);
            TextRerank::try_new_from_user_defined(model.clone(), options).map_err(|error| {
                EmbedError::Load {
                    what: RERANKER,
                    path: folder.to_owned(),
                    problem: error.to_string(),
                }
            })
        })?;
        let (query_prefix, passage_prefix) = (manifest.query_prefix, manifest.passage_prefix);
        let reranker = Self { id, query_prefix, passage_prefix, sessions };
        // A model that is no cross-encoder is told at the start, not at the first query.
        reranker.score("query", &["tool"], None)?;
        Ok(reranker)
    }

    /// Names the model and its weights.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How well each of `texts` fits `query`, in their order: higher is better, and comparable
    /// within this answer only. Gives up past `until`.
    pub fn score(
        &self,
        query: &str,
        texts: &[&str],
        until: Option<Instant>,
    ) -> Result<Vec<f32>, EmbedError> {
        let begun = Instant::now();
        let query = format!("{}{query}", self.query_prefix);
        let mut session = self.sessions.session();
        let score = |text: &&str| {
            if until.is_some_and(|until| Instant::now() >= until) {
                return Err(EmbedError::Deadline(begun.elapsed()));
            }
            let text = format!("{}{text}", self.passage_prefix);
            let scored = session
                .rerank(query.as_str(), [text.as_str()], false, Some(1))
                .map_err(|error| EmbedError::Encoder(error.to_string()))?;
            let score = scored.first().map(|scored| scored.score);
            score
                .filter(|score| score.is_finite())
                .ok_or_else(|| EmbedError::Encoder("the reranker gave no number".into()))
        };
        texts.iter().map(score).collect()
    }
}
