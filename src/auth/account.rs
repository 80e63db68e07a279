//! One server's login: the token that goes with its requests, and what follows where the server
//! refuses it.
//!
//! Invariant: the server, not our clock, decides whether a token is good.

mod keep;
mod renew;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rmcp::transport::auth::WWWAuthenticateParams;
use secrecy::ExposeSecret;
use tokio_util::task::TaskTracker;
use url::Url;

use super::News;
use super::error::{AuthError, clip};
use super::record::{Record, Secret, Tokens};
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
    /// Work that goes on where nobody waits for it any more.
    pub(super) tasks: TaskTracker,
    state: Mutex<State>,
    /// Held during a refresh.
    renewal: Arc<tokio::sync::Mutex<()>>,
    /// Held while a record goes to disk.
    writing: Mutex<()>,
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
        (news, tasks): (News, TaskTracker),
    ) -> Self {
        let (state, renewal, writing) = (Mutex::default(), Arc::default(), Mutex::default());
        let account =
            Self { server, url, config, network, vault, news, tasks, state, renewal, writing };
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
        let Some(why) = self.lacks_scope_again(challenge) else { return Ok(None) };
        self.save().await;
        if self.config.grant == Grant::ClientCredentials
            && let Some(fresh) = self.renew(sent).await?
        {
            return Ok(Some(Verdict::Retry(fresh)));
        }
        Ok(Some(Verdict::Login(why)))
    }

    /// What follows from a 403 to the token that [`Account::lacks_scope`] gave, too: `None` where it
    /// is not about scopes.
    pub fn lacks_scope_again(&self, challenge: &str) -> Option<String> {
        let said = WWWAuthenticateParams::parse(challenge, &self.url);
        if !said.is_insufficient_scope() {
            return None;
        }
        let wanted: Vec<String> = said
            .scope
            .iter()
            .flat_map(|scope| scope.split_whitespace())
            .map(str::to_owned)
            .collect();
        let has = self.tokens().map(|tokens| tokens.scopes).unwrap_or_default();
        let mut state = self.state();
        state.challenge = Some(challenge.to_owned());
        if state.record.get_or_insert_with(|| self.nothing()).want(&wanted) {
            state.unsaved = Some("not yet written".into());
        }
        let (wanted, has) = (clip(&wanted.join(" "), 200), clip(&has.join(" "), 200));
        let why = format!("it wants the scopes `{wanted}`, and the login has `{has}`");
        Some(format!("{why}; {}", self.remedy()))
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
