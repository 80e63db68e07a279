//! rmcp's OAuth client, on our HTTP client, with our store.
//!
//! Invariant: no endpoint is used that the guard did not let through, and no authorization server
//! that does not say it does PKCE with S256.

use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt;
use rmcp::transport::auth::{
    AuthError as Rmcp, AuthorizationManager, AuthorizationMetadata, CredentialStore,
    OAuthClientConfig, OAuthHttpClient, OAuthHttpClientError, OAuthHttpClientFuture,
    OAuthHttpRequest, StoredCredentials,
};
use url::Url;

use super::account::Account;
use super::error::{AuthError, cause, clip};
use super::guard::{self, Client as Guarded, Policy, Redirects};
use super::record::{Client, Tokens};
use crate::config::NetworkConfig;

/// The longest answer that is read.
const MAX_BODY: usize = 1 << 20;

/// A manager for this account; what it gets is kept there, as this client's.
pub(super) async fn of(account: &Arc<Account>) -> Result<AuthorizationManager, AuthError> {
    let guarded = guarded(account)?;
    let url = account.url.clone();
    // rmcp has its own idea of private addresses, which knows no operator: it has to be told, and
    // then takes a plain client.
    let manager = if account.config.allow_private_addresses {
        let mut manager = AuthorizationManager::new_allowing_private_addresses(url).await?;
        manager.with_client(guarded.guarded().clone())?;
        manager
    } else {
        AuthorizationManager::new_with_oauth_http_client(url, Arc::new(Http(guarded))).await?
    };
    Ok(manager)
}

/// The client that talks to authorization servers.
pub(super) fn guarded(account: &Account) -> Result<Guarded, AuthError> {
    let settings = |network: &NetworkConfig| {
        let client = network.client().map(guard::timed);
        client.map_err(|(key, why)| AuthError::Http(format!("`{key}`: {why}")))
    };
    // Our certificate is for the server alone.
    let (own, others) = (settings(&account.network)?, settings(&account.network.anonymous())?);
    Guarded::over(policy(account), Redirects::Stop, own, others)
        .map_err(|error| AuthError::Http(cause(&error)))
}

fn policy(account: &Account) -> Policy {
    Policy::of(&account.url).allowing_private(account.config.allow_private_addresses)
}

/// Finds the authorization server, and makes it the manager's.
pub(super) async fn discover(
    manager: &mut AuthorizationManager,
    account: &Account,
    challenge: Option<&str>,
    code: bool,
) -> Result<AuthorizationMetadata, AuthError> {
    let found = manager.resolve_metadata_from_challenge(challenge).await?;
    let metadata = found.metadata;
    let policy = policy(account);
    let endpoints = [
        Some(&metadata.authorization_endpoint),
        Some(&metadata.token_endpoint),
        metadata.registration_endpoint.as_ref(),
    ];
    for endpoint in endpoints.into_iter().flatten() {
        let url = Url::parse(endpoint).map_err(|_| AuthError::Endpoint(clip(endpoint, 200)))?;
        policy.check(&url)?;
    }
    let methods = metadata.code_challenge_methods_supported.as_deref().unwrap_or_default();
    if code && found.source.is_discovered() && !methods.iter().any(|method| method == "S256") {
        return Err(AuthError::NoPkce);
    }
    manager.set_metadata(metadata.clone());
    Ok(metadata)
}

/// rmcp's requests, through the guard.
struct Http(Guarded);

impl OAuthHttpClient for Http {
    fn execute(&self, request: OAuthHttpRequest) -> OAuthHttpClientFuture<'_> {
        Box::pin(async move {
            let request = reqwest::Request::try_from(request.request).map_err(boxed)?;
            let client = self.0.for_url(request.url()).map_err(boxed)?;
            let response = client.execute(request).await.map_err(boxed)?;
            let mut answer = http::Response::builder().status(response.status());
            for (name, value) in response.headers() {
                answer = answer.header(name, value);
            }
            let mut body = Vec::new();
            let mut chunks = response.bytes_stream();
            while let Some(chunk) = chunks.try_next().await.map_err(boxed)? {
                if body.len() + chunk.len() > MAX_BODY {
                    return Err("the answer is longer than a megabyte".into());
                }
                body.extend_from_slice(&chunk);
            }
            answer.body(body).map_err(boxed)
        })
    }
}

fn boxed(error: impl std::error::Error + Send + Sync + 'static) -> OAuthHttpClientError {
    Box::new(error)
}

/// A client as rmcp wants it.
pub(super) fn configured(client: &Client) -> OAuthClientConfig {
    let config = OAuthClientConfig::new(client.id.clone(), client.redirect.clone());
    match &client.secret {
        Some(secret) => config.with_client_secret(secret.expose()),
        None => config,
    }
}

/// Hands rmcp what is kept, and keeps what it gets.
pub(super) struct Keeper {
    pub(super) account: Arc<Account>,
    pub(super) client: Client,
    /// How the server refused before it was asked who issues tokens.
    pub(super) challenge: Option<String>,
    /// Whose tokens these replace ([`Account::who`]); `None` where they come from a login.
    pub(super) refreshes: Option<String>,
}

#[async_trait]
impl CredentialStore for Keeper {
    async fn load(&self) -> Result<Option<StoredCredentials>, Rmcp> {
        Ok(self.account.record().and_then(|record| record.stored()))
    }

    async fn save(&self, credentials: StoredCredentials) -> Result<(), Rmcp> {
        let tokens = Tokens::of(&credentials)
            .ok_or_else(|| Rmcp::InvalidTokenType("not a bearer token".into()))?;
        self.account.keep(tokens, credentials.issuer, self).await;
        Ok(())
    }

    async fn clear(&self) -> Result<(), Rmcp> {
        Ok(())
    }
}
