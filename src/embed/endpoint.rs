//! An OpenAI-compatible embeddings endpoint: `POST {url}/embeddings` with a model and texts.
//!
//! Invariant: what it answers is taken whole and checked or not at all: as many vectors as texts,
//! each of the configured length. Neither the key nor the URL is in an error.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use url::Url;

use super::manifest::short_hash;
use super::{Cost, EmbedError, Embedder, Role};
use crate::config::EndpointConfig;
use crate::index::dense::normalise;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The wait before the first retry; each later one is three times as long.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// The longest wait, also where the endpoint asks for a longer one.
const LAST_RETRY: Duration = Duration::from_secs(30);
/// Bytes of an answer: far more than any batch has.
const MAX_BODY: usize = 64 << 20;
/// Bytes of an error's body that are logged.
const MAX_TOLD: usize = 300;

/// The endpoint, with a runtime of its own: embedding is synchronous for all who ask.
pub struct Endpoint {
    id: String,
    config: EndpointConfig,
    client: Client,
    url: Url,
    /// Taken when it is dropped, which may be on a thread that must not wait.
    runtime: Option<Runtime>,
}

/// An attempt that failed.
struct Failed {
    error: EmbedError,
    /// It is worth another try, after this time or later.
    again: Option<Duration>,
}

#[derive(Serialize)]
struct Asked<'a> {
    model: &'a str,
    input: Vec<String>,
}

#[derive(Deserialize)]
struct Answered {
    data: Vec<Embedding>,
}

#[derive(Deserialize)]
struct Embedding {
    index: usize,
    embedding: Vec<f32>,
}

impl Endpoint {
    /// The endpoint of `config`. It is not asked anything yet.
    pub fn new(config: &EndpointConfig) -> Result<Self, EmbedError> {
        let failed = |what: &str| EmbedError::Endpoint(format!("can't be asked: {what}"));
        let client = Client::builder()
            .user_agent(concat!("toolscout/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            // The key goes nowhere else.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| failed(&error.without_url().to_string()))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("embed-endpoint")
            .enable_all()
            .build()
            .map_err(|error| failed(&error.to_string()))?;
        let url = full(&config.url);
        let id = id(config, &url);
        Ok(Self { id, config: config.clone(), client, url, runtime: Some(runtime) })
    }

    /// Asks until there is an answer, retries are used up, or there is no time for another.
    async fn ask(
        &self,
        texts: Vec<String>,
        until: Option<Instant>,
    ) -> Result<Vec<Vec<f32>>, EmbedError> {
        let asked = Asked { model: &self.config.model, input: texts };
        let mut waits = ExponentialBuilder::new()
            .with_min_delay(FIRST_RETRY)
            .with_max_delay(LAST_RETRY)
            .with_factor(3.0)
            .with_jitter()
            .with_jitter_seed(fastrand::u64(..))
            .with_max_times(self.config.retries)
            .build();
        loop {
            let Failed { error, again } = match self.post(&asked, until).await {
                Ok(vectors) => return Ok(vectors),
                Err(failed) => failed,
            };
            let wait = again.and_then(|named| Some(waits.next()?.max(named.min(LAST_RETRY))));
            let Some(wait) = wait else { return Err(error) };
            if until.is_some_and(|until| Instant::now() + wait >= until) {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
        }
    }

    async fn post(
        &self,
        asked: &Asked<'_>,
        until: Option<Instant>,
    ) -> Result<Vec<Vec<f32>>, Failed> {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let time = left.map_or(self.config.timeout, |left| left.min(self.config.timeout));
        let told = |error: &reqwest::Error| {
            if error.is_timeout() {
                return EmbedError::Endpoint(format!("gave no answer in {} ms", time.as_millis()));
            }
            EmbedError::Endpoint(if error.is_connect() {
                "can't be reached".into()
            } else {
                "broke off its answer".into()
            })
        };
        let mut request = self.client.post(self.url.clone()).timeout(time).json(asked);
        if let Some(key) = &self.config.api_key {
            let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose_secret()))
                .map_err(|_| Failed::for_good("can't be asked: the key fits in no header"))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let again = |error| Failed { error: told(&error), again: Some(Duration::ZERO) };
        let response = request.send().await.map_err(again)?;
        if response.status() != StatusCode::OK {
            return Err(self.refused(response).await);
        }
        let body = read(response).await.map_err(again)?;
        let body = body.ok_or_else(|| Failed::for_good("gave an answer without end"))?;
        let answered: Answered = serde_json::from_slice(&body).map_err(|_| {
            Failed::for_good("gave something else than vectors: check embed.endpoint.url")
        })?;
        self.checked(answered, asked.input.len()).map_err(|error| Failed { error, again: None })
    }

    /// What an answer that is none says.
    async fn refused(&self, response: Response) -> Failed {
        let status = response.status();
        let named = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let named = named.and_then(|value| value.trim().parse().ok()).map(Duration::from_secs);
        let next = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                ": check embed.endpoint.api_key_env or api_key_file"
            }
            StatusCode::NOT_FOUND => ": check embed.endpoint.url and model",
            _ => "",
        };
        if let Ok(Some(body)) = read(response).await {
            let body: String = String::from_utf8_lossy(&body).chars().take(MAX_TOLD).collect();
            let key = self.config.api_key.as_ref().map_or("", |key| key.expose_secret());
            let body = if key.is_empty() { body } else { body.replace(key, "****") };
            tracing::debug!(%status, body, "the embeddings endpoint refused");
        }
        let again = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
            || status.is_server_error();
        Failed {
            error: EmbedError::Endpoint(format!("answered {}{next}", status.as_u16())),
            again: again.then_some(named.unwrap_or_default()),
        }
    }

    /// The vectors in the order of the texts.
    fn checked(&self, answered: Answered, texts: usize) -> Result<Vec<Vec<f32>>, EmbedError> {
        let count = answered.data.len();
        let wrong = || EmbedError::Endpoint(format!("gave {count} vectors for {texts} texts"));
        let mut vectors: Vec<Option<Vec<f32>>> = vec![None; texts];
        for Embedding { index, mut embedding } in answered.data {
            let (wanted, found) = (self.config.dimensions, embedding.len());
            if found != wanted {
                return Err(EmbedError::Dimensions { wanted, found });
            }
            normalise(&mut embedding);
            let place = vectors.get_mut(index).filter(|place| place.is_none());
            *place.ok_or_else(wrong)? = Some(embedding);
        }
        vectors.into_iter().collect::<Option<_>>().ok_or_else(wrong)
    }
}

impl Failed {
    fn for_good(what: &str) -> Self {
        Self { error: EmbedError::Endpoint(what.into()), again: None }
    }
}

impl Embedder for Endpoint {
    fn id(&self) -> &str {
        &self.id
    }

    fn dims(&self) -> usize {
        self.config.dimensions
    }

    fn cost(&self) -> Cost {
        Cost::Remote
    }

    fn batch(&self) -> usize {
        self.config.batch
    }

    fn embed(
        &self,
        role: Role,
        texts: &[&str],
        until: Option<Instant>,
    ) -> Result<Vec<Vec<f32>>, EmbedError> {
        let Some(runtime) = &self.runtime else { return Ok(Vec::new()) };
        let prefix = match role {
            Role::Query => &self.config.query_prefix,
            Role::Tool => &self.config.passage_prefix,
        };
        let mut vectors = Vec::with_capacity(texts.len());
        for batch in texts.chunks(self.config.batch) {
            let texts = batch.iter().map(|text| format!("{prefix}{text}")).collect();
            vectors.extend(runtime.block_on(self.ask(texts, until))?);
        }
        Ok(vectors)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The body, unless it is too long.
async fn read(mut response: Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_BODY {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// `…/v1` and `…/v1/embeddings` mean the same.
fn full(url: &Url) -> Url {
    let mut full = url.clone();
    let path = url.path().trim_end_matches('/');
    if !path.ends_with("/embeddings") {
        full.set_path(&format!("{path}/embeddings"));
    }
    full
}

/// The model's name as far as a file's name can hold it, and a hash of all that decides what the
/// vectors are.
fn id(config: &EndpointConfig, url: &Url) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = config.model.chars().map(plain).take(64).collect();
    let hash = short_hash(&[
        url.origin().ascii_serialization().as_bytes(),
        url.path().as_bytes(),
        config.model.as_bytes(),
        config.query_prefix.as_bytes(),
        config.passage_prefix.as_bytes(),
    ]);
    format!("{name}-{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_may_end_before_or_behind_embeddings() {
        for (from, to) in [
            ("https://x.test/v1", "https://x.test/v1/embeddings"),
            ("https://x.test/v1/", "https://x.test/v1/embeddings"),
            ("https://x.test/v1/embeddings", "https://x.test/v1/embeddings"),
            ("https://x.test", "https://x.test/embeddings"),
            ("https://x.test/d?api-version=1", "https://x.test/d/embeddings?api-version=1"),
        ] {
            assert_eq!(full(&from.parse().unwrap()).as_str(), to);
        }
    }
}
