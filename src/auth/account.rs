//! One server's login: the token that goes with its requests, and how the next one is got.
//!
//! Invariants: one refresh at a time, over all processes that share the data folder; a new token is
//! used even if it can't be kept on disk, and the old one is only replaced by it; the server, not
//! our clock, decides whether a token is good.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use oauth2::TokenResponse;
use rmcp::transport::auth::{
    AuthError as Rmcp, ClientCredentialsConfig, OAuthClientConfig, WWWAuthenticateParams,
};
use secrecy::ExposeSecret;
use url::Url;

use super::News;
use super::error::{AuthError, clip};
use super::manager::{self, Keeper};
use super::record::{Client, Record, Secret, Tokens};
use super::vault::Vault;
use crate::config::{Grant, NetworkConfig, OAuthConfig};
use crate::tool::ServerId;

/// After a refresh that failed, a token that is still good is used for so long before the next try.
const PAUSE: Duration = Duration::from_secs(30);

/// A server that OAuth may be spoken with.
pub struct Account {
    /// The server.
    pub server: ServerId,
    /// Where it is.
    pub url: Url,
    /// What is configured.
    pub config: OAuthConfig,
    /// What lies on the way.
    pub network: NetworkConfig,
    vault: Arc<Vault>,
    news: News,
    state: Mutex<State>,
    /// Held during a refresh.
    renewal: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    record: Option<Record>,
    /// The record is newer than what is on disk, and why it is not there.
    unsaved: Option<String>,
    /// What the server said when it refused.
    challenge: Option<String>,
    tried: Option<Instant>,
}

/// What to do about a refusal.
#[derive(Debug)]
pub enum Verdict {
    /// Ask again with this token.
    Retry(Secret),
    /// Somebody has to log in; why.
    Login(String),
}

impl Account {
    pub(super) fn new(
        server: ServerId,
        (url, network): (Url, NetworkConfig),
        config: OAuthConfig,
        vault: Arc<Vault>,
        news: News,
    ) -> Self {
        let (state, renewal) = (Mutex::default(), tokio::sync::Mutex::default());
        let account = Self { server, url, config, network, vault, news, state, renewal };
        if let Err(error) = account.reload() {
            tracing::warn!(server = %account.server, %error, "the login is not used");
        }
        account
    }

    /// The token to go with a request, refreshed if it is about to end.
    pub async fn bearer(self: &Arc<Self>) -> Result<Option<Secret>, AuthError> {
        self.save().await;
        let Some(tokens) = self.tokens() else {
            return match self.config.grant {
                Grant::AuthorizationCode => Ok(None),
                Grant::ClientCredentials => self.renew(None).await,
            };
        };
        let rests = self.state().tried.is_some_and(|then| then.elapsed() < PAUSE);
        if !tokens.is_due() || rests {
            return Ok(Some(tokens.access));
        }
        match self.renew(Some(&tokens.access)).await {
            Ok(Some(fresh)) => Ok(Some(fresh)),
            Ok(None) => Ok(Some(tokens.access)),
            Err(error) if tokens.left() > Some(0) => {
                tracing::warn!(server = %self.server, %error, "the old token is used as long as it lasts");
                Ok(Some(tokens.access))
            }
            Err(error) => Err(error),
        }
    }

    /// What follows from a 401 to a request that had this token.
    pub async fn refused(
        self: &Arc<Self>,
        sent: Option<&Secret>,
        challenge: &str,
    ) -> Result<Verdict, AuthError> {
        self.state().challenge = Some(challenge.to_owned());
        if sent.is_some() || self.config.grant == Grant::ClientCredentials {
            if let Some(fresh) = self.renew(sent).await? {
                return Ok(Verdict::Retry(fresh));
            }
        } else {
            self.look();
            if let Some(tokens) = self.tokens() {
                return Ok(Verdict::Retry(tokens.access));
            }
        }
        Ok(Verdict::Login(self.why(sent.is_some(), challenge)))
    }

    /// What follows from a 401 to the token that [`Account::refused`] gave, too.
    pub fn refused_again(&self, challenge: &str) -> String {
        self.state().challenge = Some(challenge.to_owned());
        self.why(true, challenge)
    }

    /// What follows from a 403: `None` where it is not about scopes.
    pub async fn lacks_scope(
        self: &Arc<Self>,
        sent: Option<&Secret>,
        challenge: &str,
    ) -> Result<Option<Verdict>, AuthError> {
        let said = WWWAuthenticateParams::parse(challenge, &self.url);
        if !said.is_insufficient_scope() {
            return Ok(None);
        }
        let wanted: Vec<String> = said
            .scope
            .iter()
            .flat_map(|scope| scope.split_whitespace())
            .map(str::to_owned)
            .collect();
        let has = self.tokens().map(|tokens| tokens.scopes).unwrap_or_default();
        let news = {
            let mut state = self.state();
            state.challenge = Some(challenge.to_owned());
            let record = state.record.get_or_insert_with(|| self.nothing());
            let before = record.wanted.len();
            for scope in &wanted {
                if !record.wanted.contains(scope) {
                    record.wanted.push(scope.clone());
                }
            }
            let news = record.wanted.len() > before;
            if news {
                state.unsaved = Some("not yet written".into());
            }
            news
        };
        if news {
            self.save().await;
            if self.config.grant == Grant::ClientCredentials
                && let Some(fresh) = self.renew(sent).await?
            {
                return Ok(Some(Verdict::Retry(fresh)));
            }
        }
        let (wanted, has) = (clip(&wanted.join(" "), 200), clip(&has.join(" "), 200));
        let why = format!("it wants the scopes `{wanted}`, and the login has `{has}`");
        Ok(Some(Verdict::Login(format!("{why}; {}", self.remedy()))))
    }

    /// Gets the next token now; `None` where only a login helps.
    pub async fn refresh(self: &Arc<Self>) -> Result<bool, AuthError> {
        self.reload()?;
        let stale = self.tokens().map(|tokens| tokens.access);
        let fresh = self.renew(stale.as_ref()).await?;
        self.saved()?;
        Ok(fresh.is_some())
    }

    /// Forgets the login, here and on disk; false where there was none.
    pub fn forget(&self) -> Result<bool, AuthError> {
        *self.state() = State::default();
        Ok(self.vault.remove(self.server.as_str())?)
    }

    /// What is known of the login.
    pub fn record(&self) -> Option<Record> {
        self.state().record.clone()
    }

    /// Differs from login to login; empty where nobody logged in.
    pub fn who(&self) -> String {
        self.state().record.as_ref().map(|record| record.who.clone()).unwrap_or_default()
    }

    /// What the server said when it refused last.
    pub(super) fn challenge(&self) -> Option<String> {
        self.state().challenge.clone()
    }

    /// The login that only this process has, and why it is not on disk.
    pub fn saved(&self) -> Result<(), AuthError> {
        match &self.state().unsaved {
            Some(why) => Err(AuthError::Exchange(format!(
                "the token came, and is in use here, but can't be kept: {why}"
            ))),
            None => Ok(()),
        }
    }

    /// Texts that nothing may show.
    pub fn secrets(&self) -> Vec<String> {
        let state = self.state();
        let mut secrets = Vec::new();
        if let Some(tokens) = state.record.as_ref().and_then(|record| record.tokens.as_ref()) {
            secrets.push(tokens.access.expose().to_owned());
            secrets.extend(tokens.refresh.iter().map(|token| token.expose().to_owned()));
        }
        let client = state.record.as_ref().and_then(|record| record.client.as_ref());
        secrets.extend(
            client.and_then(|c| c.secret.as_ref()).map(|secret| secret.expose().to_owned()),
        );
        secrets.extend(
            self.config.client_secret.iter().map(|secret| secret.expose_secret().to_owned()),
        );
        secrets
    }

    /// Takes over what another process wrote; true where that is another token.
    pub(super) fn reload(&self) -> Result<bool, AuthError> {
        let found = self.vault.read(self.server.as_str())?;
        // Tokens of where the server was before go nowhere.
        let found = found.filter(|record| record.url == self.url.as_str());
        let mut state = self.state();
        if state.unsaved.is_some() {
            return Ok(false);
        }
        let access = |record: &Option<Record>| {
            record.as_ref().and_then(|record| record.tokens.as_ref().map(|t| t.access.clone()))
        };
        let (before, after) = (access(&state.record), access(&found));
        state.record = found;
        if after != before {
            state.tried = None;
        }
        Ok(after.is_some() && after != before)
    }

    /// As [`Account::reload`]; where nothing can be read, what is known here will do.
    fn look(&self) {
        if let Err(error) = self.reload() {
            tracing::warn!(server = %self.server, %error, "the kept login can't be read");
        }
    }

    /// Keeps new tokens: here first, then on disk.
    pub(super) async fn keep(
        self: &Arc<Self>,
        tokens: Tokens,
        issuer: Option<String>,
        client: Client,
        is_login: bool,
    ) {
        {
            let mut state = self.state();
            let mut record = self.nothing();
            record.issuer = issuer;
            record.client = Some(client);
            record.tokens = Some(tokens);
            if is_login {
                record.who = format!("{:032x}", fastrand::u128(..));
            } else if let Some(before) = state.record.take() {
                record.wanted = before.wanted;
                record.who = before.who;
            }
            state.record = Some(record);
            state.unsaved = Some("not yet written".into());
            state.challenge = None;
            state.tried = None;
        }
        self.save().await;
        if is_login {
            self.news.tell(&self.server);
        }
    }

    /// Writes what is not on disk yet.
    async fn save(self: &Arc<Self>) {
        let record = {
            let state = self.state();
            match (&state.unsaved, &state.record) {
                (Some(_), Some(record)) => record.clone(),
                _ => return,
            }
        };
        let account = Arc::clone(self);
        let written = tokio::task::spawn_blocking(move || {
            let written = account.vault.write(&record);
            let mut state = account.state();
            if state.record.as_ref() == Some(&record) {
                state.unsaved = written.err().map(|error| error.to_string());
            }
            state.unsaved.clone()
        });
        if let Ok(Some(error)) = written.await {
            let server = &self.server;
            tracing::error!(%server, error, "the token is in use, but not kept: free the disk, or a restart needs a new login");
        }
    }

    /// Another token than `stale`, if one can be had without anybody's help.
    async fn renew(self: &Arc<Self>, stale: Option<&Secret>) -> Result<Option<Secret>, AuthError> {
        let _one = self.renewal.lock().await;
        let other = |account: &Self| {
            account.tokens().map(|tokens| tokens.access).filter(|access| Some(access) != stale)
        };
        if let Some(fresh) = other(self) {
            return Ok(Some(fresh));
        }
        let _other_processes = self.lock().await?;
        self.look();
        if let Some(fresh) = other(self) {
            return Ok(Some(fresh));
        }
        self.state().tried = Some(Instant::now());
        match self.config.grant {
            Grant::AuthorizationCode => self.refresh_once().await,
            Grant::ClientCredentials => self.fetch().await.map(Some),
        }
    }

    /// A folder that can't be written to has no other process that writes.
    async fn lock(self: &Arc<Self>) -> Result<Option<std::fs::File>, AuthError> {
        let account = Arc::clone(self);
        let lock = tokio::task::spawn_blocking(move || account.vault.lock(account.server.as_str()));
        Ok(lock.await.ok().and_then(Result::ok))
    }

    async fn refresh_once(self: &Arc<Self>) -> Result<Option<Secret>, AuthError> {
        let Some(record) = self.record() else { return Ok(None) };
        let (Some(client), Some(tokens)) = (record.client, record.tokens) else { return Ok(None) };
        if tokens.refresh.is_none() {
            return Ok(None);
        }
        let mut manager = manager::of(self).await?;
        let metadata = manager::discover(&mut manager, self, None, false).await?;
        if metadata.issuer != record.issuer {
            self.end("the server has another authorization server now").await;
            return Ok(None);
        }
        manager.configure_client(configured(&client))?;
        manager.set_credential_store(Keeper { account: Arc::clone(self), client, is_login: false });
        match manager.refresh_token().await {
            Ok(fresh) => Ok(Some(fresh.access_token().secret().as_str().into())),
            Err(Rmcp::TokenRefreshRejected(why)) => {
                self.end(&format!(
                    "the authorization server refused to go on ({})",
                    clip(&why, 200)
                ))
                .await;
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
        let challenge = self.challenge();
        let mut manager = manager::of(self).await?;
        manager::discover(&mut manager, self, challenge.as_deref(), false).await?;
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
        let wanted = self.record().map(|record| record.wanted).unwrap_or_default();
        scopes
            .extend(wanted.into_iter().filter(|scope| !scopes.contains(scope)).collect::<Vec<_>>());
        let asked = ClientCredentialsConfig::ClientSecret {
            client_id: id.clone(),
            client_secret: secret.expose_secret().to_owned(),
            scopes: scopes.clone(),
            resource: Some(self.resource(&mut manager).await),
        };
        manager.validate_client_credentials_metadata(&asked)?;
        manager.configure_client_credentials(&asked)?;
        manager.set_credential_store(Keeper { account: Arc::clone(self), client, is_login: false });
        let fresh = manager.exchange_client_credentials(&asked).await?;
        Ok(fresh.access_token().secret().as_str().into())
    }

    /// What the server calls itself: rmcp tells it in authorization URLs only.
    async fn resource(&self, manager: &mut rmcp::transport::auth::AuthorizationManager) -> String {
        let named = async {
            let client = OAuthClientConfig::new("-", "http://127.0.0.1/");
            manager.configure_client(client).ok()?;
            let url = Url::parse(&manager.get_authorization_url(&[]).await.ok()?).ok()?;
            let resource = url.query_pairs().find(|(name, _)| name == "resource")?.1.into_owned();
            Some(resource).filter(|resource| !resource.is_empty())
        };
        named.await.unwrap_or_else(|| self.url.to_string())
    }

    /// The refresh token is worth nothing any more. The access token may be: its server decides.
    async fn end(self: &Arc<Self>, why: &str) {
        tracing::warn!(server = %self.server, why, "the login has ended");
        {
            let mut state = self.state();
            let Some(record) = &mut state.record else { return };
            record.ended = Some(why.to_owned());
            if let Some(tokens) = &mut record.tokens {
                tokens.refresh = None;
            }
            state.unsaved = Some("not yet written".into());
        }
        self.save().await;
    }

    fn why(&self, had_token: bool, challenge: &str) -> String {
        let ended = self.record().and_then(|record| record.ended);
        let said = WWWAuthenticateParams::parse(challenge, &self.url);
        let error = said.error.map(|error| format!(" ({})", clip(&error, 60))).unwrap_or_default();
        let why = match (had_token, ended) {
            (_, Some(why)) => format!("the login has ended: {why}"),
            (true, None) => format!("it refused the token{error}"),
            (false, None) => "it wants a login".to_owned(),
        };
        format!("{why}; {}", self.remedy())
    }

    fn remedy(&self) -> String {
        match self.config.grant {
            Grant::AuthorizationCode => format!("run `toolscout auth login {}`", self.server),
            Grant::ClientCredentials => "check `oauth.client_id`, its secret and `scopes`".into(),
        }
    }

    fn nothing(&self) -> Record {
        Record::empty(self.server.as_str(), &self.url)
    }

    fn tokens(&self) -> Option<Tokens> {
        self.state().record.as_ref().and_then(|record| record.tokens.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client as rmcp wants it.
pub(super) fn configured(client: &Client) -> OAuthClientConfig {
    let config = OAuthClientConfig::new(client.id.clone(), client.redirect.clone());
    match &client.secret {
        Some(secret) => config.with_client_secret(secret.expose()),
        None => config,
    }
}
