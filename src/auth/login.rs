//! A login: from the question where the authorization server is to the tokens that it gives.
//!
//! Invariant: a login is answered once, in time, by the server that was asked; PKCE, `state`, `iss`
//! and `resource` are rmcp's part in that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, CONTENT_TYPE, WWW_AUTHENTICATE};
use rmcp::transport::auth::{AuthError as Rmcp, AuthorizationManager, AuthorizationMetadata};
use secrecy::ExposeSecret;
use url::Url;

use super::account::Account;
use super::error::{AuthError, cause, clip, told};
use super::manager::{self, Keeper, configured};
use super::record::Client;
use crate::config::Grant;

/// Time for somebody to log in.
pub const PATIENCE: Duration = Duration::from_mins(10);
/// What is asked of the server to see how it refuses, in both eras of the protocol: some let one
/// pass and not the other.
const PROBES: [&str; 2] = [
    concat!(
        r#"{"jsonrpc":"2.0","id":0,"method":"server/discover","params":{"_meta":{"#,
        r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
        r#""io.modelcontextprotocol/clientCapabilities":{},"#,
        r#""io.modelcontextprotocol/clientInfo":{"name":"toolscout","version":""#,
        env!("CARGO_PKG_VERSION"),
        r#""}}}}"#
    ),
    concat!(
        r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","#,
        r#""capabilities":{},"clientInfo":{"name":"toolscout","version":""#,
        env!("CARGO_PKG_VERSION"),
        r#""}}}"#
    ),
];

/// A login that waits for somebody to say yes at the authorization server.
pub struct Login {
    /// Where they say so.
    pub url: Url,
    /// The scopes that are asked for.
    pub scopes: Vec<String>,
    state: String,
    begun: Instant,
    manager: AuthorizationManager,
    account: Arc<Account>,
}

/// What an authorization server sends back through a browser.
#[derive(Clone)]
pub struct Callback(Url);

impl Callback {
    /// The URL that a browser was sent to, or what stands behind its `?`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let url = Url::parse(text).ok().or_else(|| {
            let query = text.rsplit_once('?').map_or(text, |(_, query)| query);
            Url::parse(&format!("http://127.0.0.1/?{query}")).ok()
        })?;
        let callback = Self(url);
        (callback.get("code").is_some() || callback.get("error").is_some()).then_some(callback)
    }

    /// Which login it answers.
    pub fn state(&self) -> Option<String> {
        self.get("state")
    }

    fn get(&self, name: &str) -> Option<String> {
        self.0.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

impl Login {
    /// Asks the server who may log in there, becomes a client if need be, and says where to go.
    pub async fn begin(account: &Arc<Account>, redirect: &Url) -> Result<Self, AuthError> {
        if account.config.grant == Grant::ClientCredentials {
            return Err(AuthError::NotOAuth(format!(
                "{} logs in by itself (`grant = \"client_credentials\"`): nobody has to",
                account.server
            )));
        }
        let challenge = match account.challenge() {
            Some(challenge) => Some(challenge),
            None => probe(account).await?,
        };
        let mut manager = manager::of(account).await?;
        let metadata = manager::discover(&mut manager, account, challenge.as_deref(), true).await?;
        let scopes = scopes(&manager, account).await;
        let client = client(&mut manager, &metadata, account, redirect, &scopes).await?;
        manager.configure_client(configured(&client))?;
        let keeper = Keeper { account: Arc::clone(account), client, challenge, refreshes: None };
        manager.set_credential_store(keeper);
        let asked: Vec<&str> = scopes.iter().map(String::as_str).collect();
        let url = manager.get_authorization_url(&asked).await?;
        let mut url = Url::parse(&url).map_err(|_| AuthError::Endpoint(clip(&url, 200)))?;
        if scopes.iter().any(|scope| scope == "offline_access") {
            // OpenID Connect gives refresh tokens for such a scope only when it asks anew.
            url.query_pairs_mut().append_pair("prompt", "consent");
        }
        let state = url.query_pairs().find(|(name, _)| name == "state");
        let state = state.map(|(_, value)| value.into_owned()).ok_or(AuthError::State)?;
        let (account, begun) = (Arc::clone(account), Instant::now());
        Ok(Self { url, scopes, state, begun, manager, account })
    }

    /// The `state` that its answer will have.
    pub fn state(&self) -> &str {
        &self.state
    }

    /// When it began.
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// Nobody has answered in time.
    pub fn is_over(&self) -> bool {
        self.begun.elapsed() > PATIENCE
    }

    /// The server that it is for.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Turns the answer into tokens, which are in use from then on. A code counts once, so this goes
    /// on where nobody waits for it any more.
    pub async fn finish(self, callback: &Callback) -> Result<(), AuthError> {
        if self.is_over() || callback.state().as_deref() != Some(&self.state) {
            return Err(AuthError::State);
        }
        if let Some(error) = callback.get("error") {
            let more = callback.get("error_description");
            let more = more.map(|text| format!(": {}", told(&text, 200))).unwrap_or_default();
            return Err(AuthError::Denied(format!("{}{more}", clip(&error, 60))));
        }
        let (code, issuer) = (callback.get("code").unwrap_or_default(), callback.get("iss"));
        let tasks = self.account.tasks.clone();
        let exchanged = tasks.spawn(self.exchange(code, issuer)).await;
        exchanged.unwrap_or_else(|_| Err(AuthError::Exchange("it was given up".into())))
    }

    async fn exchange(self, code: String, issuer: Option<String>) -> Result<(), AuthError> {
        let exchange =
            self.manager.exchange_code_for_token_with_issuer(&code, &self.state, issuer.as_deref());
        match exchange.await {
            Ok(_) => self.account.saved(),
            // The issuer was named although none can be expected.
            Err(Rmcp::AuthorizationFailed(text)) => Err(AuthError::Issuer(told(&text, 200))),
            Err(error) => Err(error.into()),
        }
    }
}

/// What the server says to a request without a token; `None` where it lets it pass.
async fn probe(account: &Account) -> Result<Option<String>, AuthError> {
    let guarded = manager::guarded(account)?;
    for probe in PROBES {
        let mut request = guarded
            .for_url(&account.url)?
            .post(account.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, text/event-stream")
            .body(probe);
        if probe == PROBES[0] {
            request = request.header("mcp-protocol-version", "2026-07-28");
            request = request.header("mcp-method", "server/discover");
        }
        let response = request.send().await.map_err(|error| AuthError::Discovery(cause(&error)))?;
        let challenges = response.headers().get_all(WWW_AUTHENTICATE).iter();
        let mut challenges = challenges.filter_map(|value| value.to_str().ok());
        let bearer =
            |text: &&str| text.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("bearer"));
        if let Some(challenge) = challenges.find(bearer) {
            return Ok(Some(challenge.to_owned()));
        }
    }
    Ok(None)
}

/// What is configured, else what the server asks for; never less than what is there already.
async fn scopes(manager: &AuthorizationManager, account: &Account) -> Vec<String> {
    let record = account.record();
    let mut scopes = account.config.scopes.clone();
    if scopes.is_empty() {
        scopes = manager.select_initial_scopes(&[]).await;
    }
    let wanted = record.iter().flat_map(|record| &record.wanted);
    // Only a login for more scopes adds to the old ones: a plain one may ask for less.
    let steps_up = record.as_ref().is_some_and(|record| !record.wanted.is_empty());
    let tokens = record.iter().filter(|_| steps_up).flat_map(|record| &record.tokens);
    for scope in wanted.chain(tokens.flat_map(|tokens| &tokens.scopes)) {
        if !scopes.contains(scope) {
            scopes.push(scope.clone());
        }
    }
    scopes
}

/// Who toolscout is there: as configured, by its metadata document, or by registration.
async fn client(
    manager: &mut AuthorizationManager,
    metadata: &AuthorizationMetadata,
    account: &Account,
    redirect: &Url,
    scopes: &[String],
) -> Result<Client, AuthError> {
    let config = &account.config;
    let redirect = redirect.to_string();
    if let Some(id) = &config.client_id {
        let secret = config.client_secret.as_ref().map(|secret| secret.expose_secret().into());
        return Ok(Client { id: id.clone(), secret, redirect, registered: false });
    }
    let takes_documents = metadata
        .additional_fields
        .get("client_id_metadata_document_supported")
        .and_then(serde_json::Value::as_bool);
    if let (Some(url), Some(true)) = (&config.client_metadata_url, takes_documents) {
        return Ok(Client { id: url.to_string(), secret: None, redirect, registered: false });
    }
    // A registration from before will do, if it is with this server and for this redirect.
    let known = account.record().filter(|record| record.issuer == metadata.issuer);
    let known = known.and_then(|record| record.client);
    if let Some(known) = known.filter(|client| client.registered && client.redirect == redirect) {
        return Ok(known);
    }
    if metadata.registration_endpoint.is_none() {
        return Err(AuthError::NoRegistration);
    }
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let made = manager.register_client("toolscout", &redirect, &scopes).await?;
    let secret = made.client_secret.map(Into::into);
    Ok(Client { id: made.client_id, secret, redirect, registered: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_is_read_from_a_url_or_what_is_left_of_one() {
        for text in [
            "http://127.0.0.1:1/callback?code=c%201&state=s&iss=https%3A%2F%2Fas",
            "  127.0.0.1:1/callback?code=c%201&state=s\n",
            "?code=c+1&state=s",
            "code=c%201&state=s",
        ] {
            let callback = Callback::parse(text).unwrap();
            assert_eq!(callback.get("code").as_deref(), Some("c 1"), "{text}");
            assert_eq!(callback.state().as_deref(), Some("s"), "{text}");
        }
        assert!(Callback::parse("?error=access_denied&state=s").is_some());
        for text in ["", "hello", "http://127.0.0.1:1/callback", "http://127.0.0.1/?state=s"] {
            assert!(Callback::parse(text).is_none(), "{text}");
        }
    }
}
