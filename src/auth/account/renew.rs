//! The next token, without anybody's help.
//!
//! Invariants: one refresh at a time, over all processes that share the data folder; one that was
//! begun is ended and kept, whoever waited for it; only the authorization server that issued a
//! refresh token is sent it, and only its word ends a login.

use std::sync::Arc;
use std::time::Instant;

use rmcp::transport::auth::{
    AuthError as Rmcp, AuthorizationManager, ClientCredentialsConfig, OAuthClientConfig,
};
use secrecy::ExposeSecret;
use url::Url;

use super::Account;
use crate::auth::error::{AuthError, issuer, told};
use crate::auth::manager::{self, Keeper, configured};
use crate::auth::record::{Client, Secret};
use crate::config::Grant;

impl Account {
    /// Another token than `stale`, if one can be had.
    pub(super) async fn renew(
        self: &Arc<Self>,
        stale: Option<&Secret>,
    ) -> Result<Option<Secret>, AuthError> {
        let one = Arc::clone(&self.renewal).lock_owned().await;
        if let Some(fresh) = self.other_than(stale) {
            return Ok(Some(fresh));
        }
        let (account, stale) = (Arc::clone(self), stale.cloned());
        let renewed = self.tasks.spawn(async move {
            let _one = one;
            account.renew_now(stale.as_ref()).await
        });
        renewed.await.unwrap_or_else(|_| Err(AuthError::Refresh("it was given up".into())))
    }

    async fn renew_now(
        self: &Arc<Self>,
        stale: Option<&Secret>,
    ) -> Result<Option<Secret>, AuthError> {
        let _other_processes = self.lock().await;
        self.look();
        if let Some(fresh) = self.other_than(stale) {
            return Ok(Some(fresh));
        }
        self.state().tried = Some(Instant::now());
        match self.config.grant {
            Grant::AuthorizationCode => self.refresh_once().await,
            Grant::ClientCredentials => self.fetch().await.map(Some),
        }
    }

    fn other_than(&self, stale: Option<&Secret>) -> Option<Secret> {
        self.tokens().map(|tokens| tokens.access).filter(|access| Some(access) != stale)
    }

    /// A folder that can't be written to has no other process that writes.
    async fn lock(self: &Arc<Self>) -> Option<std::fs::File> {
        let account = Arc::clone(self);
        let lock = tokio::task::spawn_blocking(move || account.vault.lock(account.server.as_str()));
        lock.await.ok().and_then(Result::ok)
    }

    async fn refresh_once(self: &Arc<Self>) -> Result<Option<Secret>, AuthError> {
        let Some(record) = self.record() else { return Ok(None) };
        let (Some(client), Some(tokens)) = (record.client, record.tokens) else { return Ok(None) };
        if tokens.refresh.is_none() {
            return Ok(None);
        }
        let challenge = self.telling_challenge();
        let mut manager = manager::of(self).await?;
        let metadata = manager::discover(&mut manager, self, challenge.as_deref(), false).await?;
        same_issuer(self, record.issuer, metadata.issuer)?;
        manager.configure_client(configured(&client))?;
        let (account, refreshes) = (Arc::clone(self), Some(record.who.clone()));
        manager.set_credential_store(Keeper { account, client, challenge, refreshes });
        match manager.refresh_token().await {
            // Or those of somebody who has logged in meanwhile.
            Ok(_) => Ok(self.tokens().map(|tokens| tokens.access)),
            Err(Rmcp::TokenRefreshRejected(why)) => {
                let why = told(&why, 200);
                let why = format!("the authorization server refused to go on ({why})");
                self.end(&record.who, &why).await;
                Ok(None)
            }
            Err(Rmcp::AuthorizationRequired) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A token for the machine itself.
    async fn fetch(self: &Arc<Self>) -> Result<Secret, AuthError> {
        let (Some(id), Some(secret)) = (&self.config.client_id, &self.config.client_secret) else {
            return Err(AuthError::NoRegistration);
        };
        let challenge = self.telling_challenge();
        let record = self.record().unwrap_or_else(|| self.nothing());
        let mut manager = manager::of(self).await?;
        let metadata = manager::discover(&mut manager, self, challenge.as_deref(), false).await?;
        if metadata.issuer.is_none() {
            same_issuer(self, record.issuer, None)?;
        }
        let client = Client {
            id: id.clone(),
            secret: Some(secret.expose_secret().into()),
            redirect: String::new(),
            registered: false,
        };
        let mut scopes = self.config.scopes.clone();
        if scopes.is_empty() {
            scopes = manager.select_initial_scopes(&[]).await;
            scopes.retain(|scope| scope != "offline_access");
        }
        let more = record.wanted.into_iter().filter(|scope| !scopes.contains(scope));
        scopes.extend(more.collect::<Vec<_>>());
        let asked = ClientCredentialsConfig::ClientSecret {
            client_id: id.clone(),
            client_secret: secret.expose_secret().to_owned(),
            scopes: scopes.clone(),
            resource: Some(self.resource(&mut manager).await),
        };
        manager.validate_client_credentials_metadata(&asked)?;
        manager.configure_client_credentials(&asked)?;
        let (account, refreshes) = (Arc::clone(self), Some(record.who));
        manager.set_credential_store(Keeper { account, client, challenge, refreshes });
        let fresh = manager.exchange_client_credentials(&asked).await?;
        Ok(oauth2::TokenResponse::access_token(&fresh).secret().as_str().into())
    }

    /// The refusal that says most of who issues tokens: the last one, or the one that was told when
    /// the login was made.
    fn telling_challenge(&self) -> Option<String> {
        let tells =
            |challenge: &String| challenge.to_ascii_lowercase().contains("resource_metadata=");
        let last = self.challenge();
        let kept = || self.record().and_then(|record| record.challenge);
        last.clone().filter(tells).or_else(kept).or(last)
    }

    /// What the server calls itself: rmcp tells it in authorization URLs only.
    async fn resource(&self, manager: &mut AuthorizationManager) -> String {
        let named = async {
            let client = OAuthClientConfig::new("-", "http://127.0.0.1/");
            manager.configure_client(client).ok()?;
            let url = Url::parse(&manager.get_authorization_url(&[]).await.ok()?).ok()?;
            let resource = url.query_pairs().find(|(name, _)| name == "resource")?.1.into_owned();
            Some(resource).filter(|resource| !resource.is_empty())
        };
        named.await.unwrap_or_else(|| self.url.to_string())
    }
}

/// Nobody else than who issued the tokens may see them. A server that names nobody, as one does that
/// is replaced by a page of its proxy, says nothing of its login.
fn same_issuer(
    account: &Account,
    was: Option<String>,
    is: Option<String>,
) -> Result<(), AuthError> {
    match (was, is) {
        (was, is) if was == is => Ok(()),
        (_, None) => Err(AuthError::Discovery("the server names none at the moment".into())),
        (was, Some(is)) => Err(AuthError::Moved {
            server: account.server.clone(),
            was: was.map_or_else(|| "the server itself".into(), |was| issuer(&was)),
            is: issuer(&is),
        }),
    }
}
