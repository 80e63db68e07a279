//! Models out of repositories of the Hugging Face hub, or of what speaks as it does.
//!
//! Invariant: all files are of one commit where the hub names it, and bytes whose hash it tells
//! are those bytes.

use std::path::Path;

use serde_json::Value;
use url::Url;

use super::HubError;
use super::download::{Client, Watch};
use super::name::Repository;
use super::place::{Staged, Standing, check_name, standing};
use super::sentence::{PoolingChoice, Said, pooling};

/// Where a model is looked for in a repository: quantised ones first, which are the quickest here.
const CANDIDATES: [&str; 4] =
    ["onnx/model_quantized.onnx", "onnx/model_int8.onnx", "onnx/model.onnx", "model.onnx"];
/// What a model is not read without.
const NEEDED: [&str; 2] = ["tokenizer.json", "tokenizer_config.json"];
const CONFIG: &str = "config.json";
const POOLING: &str = "1_Pooling/config.json";

/// What is wanted of a repository.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The repository.
    pub repository: Repository,
    /// The model's file in it; absent, the first of those that are usual.
    pub file: Option<String>,
    /// What it is to be called here.
    pub name: String,
    /// How it pools, whatever it says itself.
    pub pooling: Option<PoolingChoice>,
    /// It is a cross-encoder.
    pub reranker: bool,
    /// Fetch it although it is there, and in place of whatever has its name.
    pub force: bool,
}

impl Wanted {
    fn stamp(&self) -> String {
        let kind = if self.reranker { "reranker" } else { "encoder" };
        let pooling = self.pooling.map_or("", PoolingChoice::name);
        let Repository { owner, name, revision } = &self.repository;
        let file = self.file.as_deref().unwrap_or_default();
        format!("{owner}/{name} {revision} {kind} {file} {pooling}").trim_end().to_owned()
    }
}

/// A repository at one commit.
struct Source<'a> {
    client: &'a Client,
    hub: &'a Url,
    repository: &'a Repository,
    revision: String,
}

/// Fetches a model for `models`, unless it is there. What comes back is not loaded yet.
pub async fn pull_repository(
    models: &Path,
    client: &Client,
    hub: &Url,
    wanted: &Wanted,
    watch: &Watch<'_>,
) -> Result<Option<Staged>, HubError> {
    check_name(&wanted.name)?;
    let folder = models.join(&wanted.name);
    let files = NEEDED.into_iter().chain([CONFIG, "model.onnx", "encoder.toml"]);
    match standing(&folder, &wanted.stamp(), files) {
        _ if wanted.force => {}
        Standing::Current => return Ok(None),
        Standing::Other => return Err(HubError::Taken(folder)),
        Standing::Absent | Standing::Older => {}
    }
    let repository = &wanted.repository;
    let revision = repository.revision.clone();
    let mut source = Source { client, hub, repository, revision };
    let config = source.pin().await?;
    // All that may be refused comes before the long download.
    let pooling = if wanted.reranker { None } else { Some(source.pooling(wanted.pooling).await?) };
    let prompts = source.json("config_sentence_transformers.json").await?.map(|(_, json)| json);
    let staged = Staged::new(models, &wanted.name)?;
    staged.write(CONFIG, &config.0)?;
    for name in NEEDED {
        if !source.file(name, name, &staged, watch).await? {
            return Err(HubError::Model {
                what: repository.shown(),
                problem: format!("it has no {name}, without which a model can't be read here"),
            });
        }
    }
    source.file("special_tokens_map.json", "special_tokens_map.json", &staged, watch).await?;
    let file = source.model(wanted.file.as_deref(), &staged, watch).await?;
    let said = Said {
        name: &wanted.name,
        origin: &format!("{}/{} at {}, {file}", repository.owner, repository.name, source.revision),
        pooling,
        config: &config.1,
        prompts: prompts.as_ref(),
    };
    staged.write("encoder.toml", said.manifest())?;
    staged.stamp(&wanted.stamp())?;
    Ok(Some(staged))
}

impl Source<'_> {
    fn url(&self, file: &str) -> Result<Url, HubError> {
        self.repository.url(self.hub, &self.revision, file)
    }

    /// `config.json`, and from now on its commit.
    async fn pin(&mut self) -> Result<(Vec<u8>, Value), HubError> {
        let url = self.url(CONFIG)?;
        let text = self.client.text(&url, "*/*").await.map_err(|error| self.told(error))?;
        let text = text.ok_or_else(|| HubError::NotThere {
            what: format!("{CONFIG} of {}", self.repository.shown()),
            remedy: "check the name; toolscout wants a repository of a transformer with ONNX files",
        })?;
        let commit = text.said("x-repo-commit");
        let is_commit = |commit: &&str| commit.len() == 40 && is_hex(commit);
        if let Some(commit) = commit.filter(is_commit) {
            commit.clone_into(&mut self.revision);
        }
        let json = self.parsed(CONFIG, &text.bytes)?;
        Ok((text.bytes, json))
    }

    async fn pooling(&self, chosen: Option<PoolingChoice>) -> Result<PoolingChoice, HubError> {
        if let Some(chosen) = chosen {
            return Ok(chosen);
        }
        let what = self.repository.shown();
        match self.json(POOLING).await? {
            None => Err(HubError::Model {
                what,
                problem: format!(
                    "it does not say how its vectors are pooled (no {POOLING}): look on its page, \
                     then add --pooling mean or --pooling cls (or --reranker, if it is one)"
                ),
            }),
            Some((_, json)) => pooling(&json).map_err(|problem| HubError::Model { what, problem }),
        }
    }

    async fn json(&self, file: &str) -> Result<Option<(Vec<u8>, Value)>, HubError> {
        let text = self.client.text(&self.url(file)?, "*/*").await;
        let Some(text) = text.map_err(|error| self.told(error))? else { return Ok(None) };
        let json = self.parsed(file, &text.bytes)?;
        Ok(Some((text.bytes, json)))
    }

    fn parsed(&self, file: &str, bytes: &[u8]) -> Result<Value, HubError> {
        serde_json::from_slice(bytes).map_err(|error| HubError::Model {
            what: format!("{file} of {}", self.repository.shown()),
            problem: format!("it is not JSON: {error}"),
        })
    }

    /// The model's file; its name in the repository.
    async fn model(
        &self,
        named: Option<&str>,
        staged: &Staged,
        watch: &Watch<'_>,
    ) -> Result<String, HubError> {
        let candidates = named.map_or(CANDIDATES.to_vec(), |named| vec![named]);
        for file in &candidates {
            if !self.file(file, "model.onnx", staged, watch).await? {
                continue;
            }
            let data = format!("{file}_data");
            let is_split =
                self.client.has(&self.url(&data)?).await.map_err(|error| self.told(error))?;
            if is_split {
                return Err(HubError::Model {
                    what: self.repository.shown(),
                    problem: format!(
                        "the weights of {file} are in another file ({data}), which is not \
                         supported: name a smaller one with --file"
                    ),
                });
            }
            return Ok((*file).to_owned());
        }
        Err(HubError::NotThere {
            what: format!("{} of {}", candidates.join(" or "), self.repository.shown()),
            remedy: "name its ONNX file with --file; a model that has none can't be used here",
        })
    }

    /// Fetches a file; false where there is none.
    async fn file(
        &self,
        file: &str,
        name: &str,
        staged: &Staged,
        watch: &Watch<'_>,
    ) -> Result<bool, HubError> {
        let url = self.url(file)?;
        let fetched = self.client.file(&url, &staged.folder().join(name), watch).await;
        let Some(fetched) = fetched.map_err(|error| self.told(error))? else { return Ok(false) };
        let tag = fetched.said("x-linked-etag").map(|tag| tag.trim_matches('"').to_lowercase());
        // Files outside the large file store have a tag of another kind.
        match tag.filter(|tag| tag.len() == 64 && is_hex(tag)) {
            Some(wanted) if wanted != fetched.sha256 => Err(HubError::Hash {
                from: format!("{file} of {}", self.repository.shown()),
                wanted,
                found: fetched.sha256,
            }),
            _ => Ok(true),
        }
    }

    /// What an answer says of a repository.
    fn told(&self, error: HubError) -> HubError {
        let what = self.repository.shown();
        match error {
            HubError::Status { status: status @ (401 | 403), .. } => {
                let remedy = if self.client.has_token() {
                    "check the name, whether HF_TOKEN may read it, and whether its terms are \
                     accepted on its page"
                } else {
                    "check the name; a private or gated one wants a token in HF_TOKEN, and its \
                     terms accepted on its page"
                };
                HubError::Refused { what, status, remedy: remedy.into() }
            }
            HubError::Status { status: 404, code: Some(code), .. } => HubError::NotThere {
                what,
                remedy: if code == "RevisionNotFound" {
                    "the hub knows no such revision: check what stands behind the @"
                } else {
                    "the hub knows no such repository: check the name"
                },
            },
            error => error,
        }
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
