//! Requests with the token of a login: asked once more with the next token where the server refuses
//! the first.
//!
//! Invariant: a request is repeated at most once, and only with another token.

use std::sync::Arc;

use reqwest::header::WWW_AUTHENTICATE;
use reqwest::{RequestBuilder, Response, StatusCode};
use rmcp::transport::streamable_http_client::StreamableHttpError;

use super::error::CrawlError;
use super::http_error::reqwest_error;
use crate::auth::{Account, AuthError, Secret, Verdict};

/// A client, and the login that its requests go with.
#[derive(Clone)]
pub(super) struct Authorized {
    pub(super) client: reqwest::Client,
    pub(super) account: Option<Arc<Account>>,
}

/// How a request was refused: 401 or 403, and the challenge, which may be empty.
struct Refusal {
    status: u16,
    challenge: String,
}

/// Why a request came to nothing.
pub(super) enum Failure<E> {
    /// No token, or none that helps.
    Login(CrawlError),
    /// What the request itself came to.
    Request(E),
}

impl Authorized {
    /// The answer to a request, whatever it is, unless it takes a login to get one.
    pub(super) async fn send(
        &self,
        request: impl Fn(&reqwest::Client) -> RequestBuilder,
    ) -> Result<Response, CrawlError> {
        let ask = |token: Option<Secret>| {
            let request = request(&self.client);
            async move {
                let request = match &token {
                    Some(token) => request.bearer_auth(token.expose()),
                    None => request,
                };
                request.send().await
            }
        };
        let refusal = |answer: &Result<Response, reqwest::Error>| {
            let response = answer.as_ref().ok()?;
            let status = response.status();
            if !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
                return None;
            }
            let challenge = response.headers().get(WWW_AUTHENTICATE);
            let challenge = challenge.and_then(|value| value.to_str().ok()).unwrap_or_default();
            Some(Refusal { status: status.as_u16(), challenge: challenge.to_owned() })
        };
        match self.ask(ask, refusal).await {
            Ok(answer) => answer.map_err(|error| reqwest_error(&error)),
            Err(error) => Err(error),
        }
    }

    /// The same for a call of rmcp's.
    pub(super) async fn call<T, F>(
        &self,
        call: impl Fn(Option<String>) -> F,
    ) -> Result<T, Failure<StreamableHttpError<reqwest::Error>>>
    where
        F: Future<Output = Result<T, StreamableHttpError<reqwest::Error>>>,
    {
        let ask = |token: Option<Secret>| call(token.map(|token| token.expose().to_owned()));
        let refusal = |answer: &Result<T, StreamableHttpError<reqwest::Error>>| {
            let (status, challenge) = match answer.as_ref().err()? {
                StreamableHttpError::AuthRequired(error) => (401, &*error.www_authenticate_header),
                StreamableHttpError::InsufficientScope(error) => {
                    (403, &*error.www_authenticate_header)
                }
                // Without a challenge it is but a status, told in a text.
                StreamableHttpError::UnexpectedServerResponse(text)
                    if text.starts_with("HTTP 401") =>
                {
                    (401, "")
                }
                _ => return None,
            };
            Some(Refusal { status, challenge: challenge.to_owned() })
        };
        match self.ask(ask, refusal).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Failure::Request(error)),
            Err(error) => Err(Failure::Login(error)),
        }
    }

    async fn ask<T, F: Future<Output = T>>(
        &self,
        ask: impl Fn(Option<Secret>) -> F,
        refusal: impl Fn(&T) -> Option<Refusal>,
    ) -> Result<T, CrawlError> {
        let Some(account) = &self.account else {
            return Ok(ask(None).await);
        };
        let sent = account.bearer().await.map_err(token)?;
        let first = ask(sent.clone()).await;
        let Some(Refusal { status, challenge }) = refusal(&first) else {
            return Ok(first);
        };
        let verdict = if status == 401 {
            account.refused(sent.as_ref(), &challenge).await.map_err(token)?
        } else {
            match account.lacks_scope(sent.as_ref(), &challenge).await.map_err(token)? {
                Some(verdict) => verdict,
                None => return Ok(first),
            }
        };
        let fresh = match verdict {
            Verdict::Retry(fresh) => fresh,
            Verdict::Login(why) => return Err(CrawlError::Login(why)),
        };
        let second = ask(Some(fresh)).await;
        match refusal(&second) {
            Some(Refusal { status: 401, challenge }) => {
                Err(CrawlError::Login(account.refused_again(&challenge)))
            }
            Some(Refusal { challenge, .. }) => match account.lacks_scope_again(&challenge) {
                Some(why) => Err(CrawlError::Login(why)),
                None => Ok(second),
            },
            None => Ok(second),
        }
    }
}

/// What can't pass by itself is a matter of logging in.
fn token(error: AuthError) -> CrawlError {
    match error {
        AuthError::Discovery(_)
        | AuthError::Refresh(_)
        | AuthError::Http(_)
        | AuthError::Vault(_) => CrawlError::Token(error.to_string()),
        error => CrawlError::Login(error.to_string()),
    }
}
