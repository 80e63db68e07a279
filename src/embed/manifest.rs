//! `encoder.toml`: what a model's own files do not say of how it was trained.
//!
//! Invariant: a folder is read as its manifest says or not at all; without a manifest it is read
//! as `MiniLM` is (mean pooling, no prefixes, 256 tokens).

use std::fs;
use std::path::Path;

use fastembed::TokenizerFiles;
use serde::Deserialize;

use super::EmbedError;

/// The manifest's file name.
pub(super) const FILE: &str = "encoder.toml";
/// What a model is called in messages.
pub(super) const ENCODER: &str = "embedding model";
/// The same of a cross-encoder.
pub(super) const RERANKER: &str = "reranker";
/// Tokens that are read of a text, unless the manifest says otherwise.
const MAX_LENGTH: usize = 256;

/// How the vector of a text comes from those of its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Pooling {
    /// Their mean.
    Mean,
    /// That of the first token.
    Cls,
}

/// What `encoder.toml` says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    /// The model's name, part of the encoder's id.
    pub(super) name: String,
    /// For encoders: there is no default, for the wrong one goes unseen.
    pub(super) pooling: Option<Pooling>,
    /// Put before a query.
    #[serde(default)]
    pub(super) query_prefix: String,
    /// Put before the text of a tool.
    #[serde(default)]
    pub(super) passage_prefix: String,
    /// Length of the vectors, checked when the model is loaded.
    pub(super) dimensions: Option<usize>,
    /// Tokens that are read of a text.
    #[serde(default = "max_length")]
    pub(super) max_length: usize,
    /// Vectors are made unit vectors.
    #[serde(default = "yes")]
    normalise: bool,
    /// The model's file, relative to the folder.
    #[serde(default = "model")]
    model: String,
}

fn max_length() -> usize {
    MAX_LENGTH
}

fn yes() -> bool {
    true
}

fn model() -> String {
    "model.onnx".into()
}

/// The files of a model, read.
pub(super) struct Model {
    pub(super) manifest: Manifest,
    /// Of everything that decides what comes out of it; the manifest's name before it.
    pub(super) id: String,
    pub(super) onnx: Vec<u8>,
    pub(super) tokenizer: TokenizerFiles,
}

impl Model {
    /// Reads the model in `folder`, an [`ENCODER`] or a [`RERANKER`].
    pub(super) fn read(folder: &Path, what: &'static str) -> Result<Self, EmbedError> {
        let text = optional(folder, FILE)?;
        let manifest = of(folder, text.as_deref(), what)?;
        if !manifest.has_model(folder) {
            return Err(EmbedError::NoModel { what, path: folder.to_owned() });
        }
        let onnx = read(folder, &manifest.model)?;
        let tokenizer = TokenizerFiles {
            tokenizer_file: read(folder, "tokenizer.json")?,
            config_file: read(folder, "config.json")?,
            // Newer models have all of it in tokenizer.json.
            special_tokens_map_file: optional(folder, "special_tokens_map.json")?
                .unwrap_or_else(|| b"{}".to_vec()),
            tokenizer_config_file: read(folder, "tokenizer_config.json")?,
        };
        let id = match text {
            None => short_hash(&[&onnx]),
            Some(text) => short_hash(&[&text, &onnx, &tokenizer.tokenizer_file]),
        };
        let id = format!("{}-{id}", manifest.name);
        Ok(Self { manifest, id, onnx, tokenizer })
    }
}

impl Manifest {
    /// The manifest in `folder`, or what stands for it where there is none.
    pub(super) fn read(folder: &Path, what: &'static str) -> Result<Self, EmbedError> {
        of(folder, optional(folder, FILE)?.as_deref(), what)
    }

    /// The model's file is there.
    pub(super) fn has_model(&self, folder: &Path) -> bool {
        folder.join(&self.model).is_file()
    }
}

fn of(folder: &Path, text: Option<&[u8]>, what: &'static str) -> Result<Manifest, EmbedError> {
    let Some(text) = text else { return Ok(bare(what)) };
    parse(text).map_err(|problem| EmbedError::Manifest { path: folder.join(FILE), problem })
}

fn bare(what: &str) -> Manifest {
    Manifest {
        name: if what == RERANKER { what } else { "minilm" }.into(),
        pooling: Some(Pooling::Mean),
        query_prefix: String::new(),
        passage_prefix: String::new(),
        dimensions: None,
        max_length: MAX_LENGTH,
        normalise: true,
        model: model(),
    }
}

fn parse(text: &[u8]) -> Result<Manifest, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8 text")?;
    let manifest: Manifest = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start].split('\n').count());
        format!("line {line}: {}", error.message())
    })?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if manifest.name.is_empty() || manifest.name.len() > 64 || !manifest.name.chars().all(plain) {
        return Err("name: use 1 to 64 letters, digits, `.`, `_` and `-`".into());
    }
    if !manifest.normalise {
        return Err("normalise: vectors are compared by their angle here, so they are always \
             made unit vectors: remove it, or choose a model that was trained so"
            .into());
    }
    if manifest.max_length == 0 || manifest.dimensions == Some(0) {
        return Err("max_length and dimensions: use 1 or more".into());
    }
    Ok(manifest)
}

pub(super) fn read(folder: &Path, name: &str) -> Result<Vec<u8>, EmbedError> {
    let path = folder.join(name);
    fs::read(&path).map_err(|source| EmbedError::Io { path, source })
}

fn optional(folder: &Path, name: &str) -> Result<Option<Vec<u8>>, EmbedError> {
    match read(folder, name) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(EmbedError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Twelve hexadecimal digits of the hash of `parts`, each with its length. One part alone is
/// hashed as it is.
pub(super) fn short_hash(parts: &[&[u8]]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        if parts.len() > 1 {
            hasher.update(&(part.len() as u64).to_le_bytes());
        }
        hasher.update(part);
    }
    hasher.finalize().to_hex()[..12].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_wrong_and_where() {
        let manifest = parse(b"name = 'e5-small'\npooling = 'mean'\nquery_prefix = 'query: '");
        let manifest = manifest.unwrap();
        assert_eq!((manifest.max_length, manifest.passage_prefix.as_str()), (256, ""));
        for (text, told) in [
            ("name = 'a/b'", "name: use"),
            ("pooling = 'mean'", "missing field `name`"),
            ("name = 'a'\npooling = 'max'", "line 2: unknown variant `max`"),
            ("name = 'a'\npoling = 'cls'", "line 2: unknown field `poling`"),
            ("name = 'a'\nnormalise = false", "normalise: "),
            ("name = 'a'\nmax_length = 0", "max_length"),
        ] {
            let problem = parse(text.as_bytes()).unwrap_err();
            assert!(problem.contains(told), "{text}: {problem}");
        }
    }

    #[test]
    fn a_folder_without_a_model_says_which_files_it_wants() {
        let folder = tempfile::tempdir().unwrap();
        let error = Model::read(folder.path(), RERANKER).err().unwrap();
        assert!(error.to_string().contains("model.onnx"), "{error}");
        fs::write(folder.path().join("model.onnx"), "").unwrap();
        let error = Model::read(folder.path(), RERANKER).err().unwrap();
        assert!(error.to_string().contains("tokenizer.json"), "{error}");
    }

    #[test]
    fn the_id_follows_the_manifest_the_weights_and_the_tokenizer() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let id = || Model::read(folder.path(), ENCODER).ok().unwrap().id;
        for name in ["model.onnx", "tokenizer.json", "config.json", "tokenizer_config.json"] {
            put(name, "{}");
        }
        let mut ids = vec![id()];
        assert!(ids[0].starts_with("minilm-"), "{ids:?}");
        put(FILE, "name = 'a'\npooling = 'mean'");
        ids.push(id());
        put(FILE, "name = 'a'\npooling = 'cls'");
        ids.push(id());
        put("tokenizer.json", "{ }");
        ids.push(id());
        put("model.onnx", "{ }");
        ids.push(id());
        let all = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), all, "{ids:?}");
        assert!(ids.iter().all(|id| id.starts_with("minilm-") || id.starts_with("a-")), "{ids:?}");
    }
}
