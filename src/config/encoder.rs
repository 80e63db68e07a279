//! `[embed]` and `[rerank]`: which models, where, and how long they may take.
//!
//! Invariant: a model is a folder, or the name of one among the models of the data folder; a key
//! of an endpoint comes from the environment or a file, never from the configuration's own text.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::HeaderValue;
use secrecy::SecretString;
use url::Url;

use super::error::{ConfigError, Place, Problem};
use super::load::{Sources, set};
use super::raw::{RawEmbed, RawEndpoint, RawRerank};
use super::server::duration;
use crate::auth::guard::is_loopback;
use crate::embed::{IN_BINARY, RUNTIME, models_in};

use super::{EmbedConfig, EndpointConfig, Environment, RerankConfig};

/// Checks values, and gathers what is wrong with them.
pub(super) struct Check<'a> {
    place: &'a Place,
    /// The folder that relative paths start from.
    base: &'a Path,
    /// The folder that models are in by their names.
    models: PathBuf,
    environment: &'a Environment<'a>,
    errors: &'a mut Vec<ConfigError>,
    warnings: &'a mut Vec<ConfigError>,
}

impl<'a> Check<'a> {
    /// A check of what stands at a place, in a file of a folder, with this data folder.
    pub(super) fn new(
        (place, base, data): (&'a Place, &'a Path, Option<&Path>),
        environment: &'a Environment<'a>,
        errors: &'a mut Vec<ConfigError>,
        warnings: &'a mut Vec<ConfigError>,
    ) -> Self {
        let models = data.map(models_in).unwrap_or_default();
        Self { place, base, models, environment, errors, warnings }
    }

    pub(super) fn embed(&mut self, raw: RawEmbed, sources: &Sources) -> EmbedConfig {
        let place = self.place.at("embed");
        let default = EmbedConfig::default();
        let named = self.outside(sources.model.as_ref(), "TOOLSCOUT_MODEL");
        let named = named.map(|model| self.named(&sources.folder, &model));
        let runtime = self
            .outside(sources.runtime.as_ref(), "TOOLSCOUT_RUNTIME")
            .map(|path| sources.folder.join(path))
            .or_else(|| raw.runtime.map(|path| self.base.join(path)))
            .unwrap_or_else(|| self.models.join(RUNTIME));
        let enabled = raw.enabled.unwrap_or(default.enabled);
        let endpoint = raw.endpoint.filter(|_| enabled).map(|raw| self.endpoint(&place, raw));
        if raw.model.is_some() && endpoint.is_some() {
            self.errors.push(place.at("endpoint").error(Problem::SeveralEncoders));
        }
        let in_file = raw.model.and_then(|model| self.model(&place.at("model"), &model));
        // As everywhere, a flag or variable goes before the file.
        let endpoint = endpoint.flatten().filter(|_| named.is_none());
        EmbedConfig {
            enabled,
            endpoint,
            model: named.or(in_file).filter(|model| !is_in_binary(model)),
            runtime,
            threads: raw.threads.filter(|threads| *threads > 0).unwrap_or(default.threads),
            deadline: self.time(
                &place.at("deadline"),
                raw.deadline.as_deref(),
                Duration::from_millis(1),
                default.deadline,
            ),
        }
    }

    pub(super) fn rerank(
        &mut self,
        raw: Option<RawRerank>,
        sources: &Sources,
    ) -> Option<RerankConfig> {
        let place = self.place.at("rerank");
        let outside = self.outside(sources.reranker.as_ref(), "TOOLSCOUT_RERANKER");
        let outside = outside.map(|model| self.named(&sources.folder, &model));
        let raw = raw.or_else(|| outside.is_some().then(RawRerank::default))?;
        let model = outside.or_else(|| {
            let model = self.needed(&place.at("model"), raw.model.as_ref())?;
            self.model(&place.at("model"), model)
        });
        let depth = self.count(&place.at("depth"), raw.depth, 20);
        let (least, default) = (Duration::from_millis(1), Duration::from_secs(1));
        let deadline = self.time(&place.at("deadline"), raw.deadline.as_deref(), least, default);
        Some(RerankConfig { model: model?, depth, deadline })
    }

    /// What a flag or a variable names.
    fn outside(&self, flag: Option<&PathBuf>, name: &str) -> Option<PathBuf> {
        flag.cloned().or_else(|| set(self.environment, name))
    }

    /// The folder of the model that is called `model`, seen from `base`. What is no folder there
    /// and could be a name is one.
    fn named(&self, base: &Path, model: &Path) -> PathBuf {
        let folder = base.join(model);
        let is_name = model.components().count() == 1 && !folder.is_dir();
        if is_in_binary(model) {
            model.to_owned()
        } else if is_name {
            self.models.join(model)
        } else {
            folder
        }
    }

    fn endpoint(&mut self, embed: &Place, raw: RawEndpoint) -> Option<EndpointConfig> {
        let place = embed.at("endpoint");
        let url = self.needed(&place.at("url"), raw.url.as_ref());
        let url = url.and_then(|text| self.url(&place.at("url"), text));
        let model = self.needed(&place.at("model"), raw.model.as_ref()).cloned();
        self.needed(&place.at("dimensions"), raw.dimensions.as_ref());
        let api_key = self.key(&place, &raw);
        if let (Some(url), Some(_)) = (&url, &api_key)
            && url.scheme() == "http"
            && !is_loopback(url)
        {
            self.warnings.push(place.at("url").error(Problem::PlainHttp));
        }
        let (least, default) = (Duration::from_millis(1), Duration::from_secs(10));
        let endpoint = EndpointConfig {
            api_key,
            dimensions: self.count(&place.at("dimensions"), raw.dimensions, 1),
            batch: self.count(&place.at("batch"), raw.batch, 64),
            timeout: self.time(&place.at("timeout"), raw.timeout.as_deref(), least, default),
            retries: raw.retries.unwrap_or(4),
            query_prefix: raw.query_prefix.unwrap_or_default(),
            passage_prefix: raw.passage_prefix.unwrap_or_default(),
            url: url?,
            model: model?,
        };
        Some(endpoint)
    }

    fn key(&mut self, place: &Place, raw: &RawEndpoint) -> Option<SecretString> {
        let from_env = raw.api_key_env.as_ref().map(|name| {
            let key = (self.environment)(name).ok_or_else(|| Problem::NotSet(name.clone()));
            ("api_key_env", key)
        });
        let from_file = raw.api_key_file.as_ref().map(|path| {
            let key = std::fs::read_to_string(self.base.join(path));
            let unreadable = |error| Problem::Unreadable(format!("{path}: {error}"));
            ("api_key_file", key.map_err(unreadable))
        });
        if from_env.is_some() && from_file.is_some() {
            self.errors.push(place.at("api_key_file").error(Problem::KeyTwice));
        }
        let (name, key) = from_env.or(from_file)?;
        let checked = key.and_then(|key| match key.trim() {
            "" => Err(Problem::Empty),
            key if HeaderValue::try_from(key).is_err() => Err(Problem::HeaderValue),
            key => Ok(SecretString::from(key)),
        });
        checked.map_err(|problem| self.errors.push(place.at(name).error(problem))).ok()
    }

    /// A model that the file names: one that is not there is an error at once.
    fn model(&mut self, place: &Place, text: &str) -> Option<PathBuf> {
        let path = self.named(self.base, Path::new(text));
        if is_in_binary(&path) || path.is_dir() {
            return Some(path);
        }
        self.errors.push(place.error(Problem::NoModel(text.into())));
        None
    }

    fn needed<'v, T>(&mut self, place: &Place, value: Option<&'v T>) -> Option<&'v T> {
        if value.is_none() {
            self.errors.push(place.error(Problem::Needed));
        }
        value
    }

    fn url(&mut self, place: &Place, text: &str) -> Option<Url> {
        let problem = match Url::parse(text) {
            Err(error) => Problem::Url(error.to_string()),
            Ok(url) if !matches!(url.scheme(), "http" | "https") => {
                Problem::Scheme(url.scheme().into())
            }
            Ok(url) => return Some(url),
        };
        self.errors.push(place.error(problem));
        None
    }

    fn count(&mut self, place: &Place, value: Option<usize>, default: usize) -> usize {
        if value == Some(0) {
            self.errors.push(place.error(Problem::TooSmall { least: "1" }));
        }
        value.unwrap_or(default)
    }

    fn time(
        &mut self,
        place: &Place,
        text: Option<&str>,
        least: Duration,
        default: Duration,
    ) -> Duration {
        let parsed = text.map_or(Ok(default), |text| duration(text, least));
        parsed.unwrap_or_else(|problem| {
            self.errors.push(place.error(problem));
            default
        })
    }
}

/// The name of the encoder in the binary, not of a folder.
fn is_in_binary(model: &Path) -> bool {
    model == Path::new(IN_BINARY)
}
