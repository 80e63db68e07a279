//! What is known of one login: the client that toolscout is to an authorization server, and the
//! tokens it got there.
//!
//! Invariant: nothing here shows a secret when it is printed, and what is dropped is wiped. (Copies
//! that pass through the OAuth and HTTP libraries are not ours to wipe.)

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use oauth2::basic::BasicTokenType;
use oauth2::{AccessToken, RefreshToken, TokenResponse};
use rmcp::transport::auth::{OAuthTokenResponse, StoredCredentials, VendorExtraTokenFields};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;
use zeroize::Zeroizing;

/// Refresh at least this long before a token expires.
const LEAST_MARGIN: u64 = 30;
/// And no longer than this.
const MOST_MARGIN: u64 = 300;

/// A text that is wiped when it is dropped, and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_str().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

/// A login at one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The server's id.
    pub server: String,
    /// Where the server was then: its tokens go nowhere else.
    pub url: String,
    /// Differs from login to login, and stays through refreshes: who we are there.
    #[serde(default)]
    pub who: String,
    /// When somebody logged in, in seconds since 1970; 0 where nobody had to.
    #[serde(default)]
    pub since: u64,
    /// How many tokens of this login came before: the clock may be put back between two of them.
    #[serde(default)]
    pub turn: u64,
    /// Who issued them.
    pub issuer: Option<String>,
    /// Who toolscout is there.
    pub client: Option<Client>,
    /// How the server refused before it was found who issues tokens: that may stand there alone.
    #[serde(default)]
    pub challenge: Option<String>,
    /// What it got.
    pub tokens: Option<Tokens>,
    /// Scopes that the server asked for and the tokens lack.
    #[serde(default)]
    pub wanted: Vec<String>,
    /// Why there are no tokens any more.
    #[serde(default)]
    pub ended: Option<String>,
}

/// A client of an authorization server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Its id.
    pub id: String,
    /// Its secret, if it was given one.
    pub secret: Option<Secret>,
    /// The redirect URI that it was made for.
    pub redirect: String,
    /// It came by dynamic registration.
    #[serde(default)]
    pub registered: bool,
}

/// Tokens, and when they came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Goes with every request.
    pub access: Secret,
    /// Gets the next one.
    pub refresh: Option<Secret>,
    /// Seconds since 1970, by the clock of this machine.
    pub received: Option<u64>,
    /// Seconds from then on.
    pub expires_in: Option<u64>,
    /// What it is good for.
    pub scopes: Vec<String>,
}

impl Record {
    /// Nothing yet, of a server there.
    pub fn empty(server: &str, url: &Url) -> Self {
        Self {
            server: server.to_owned(),
            url: url.to_string(),
            who: String::new(),
            since: 0,
            turn: 0,
            issuer: None,
            client: None,
            challenge: None,
            tokens: None,
            wanted: Vec::new(),
            ended: None,
        }
    }

    /// Adds to the scopes that the server asked for; false where it had asked for all of them.
    pub(super) fn want(&mut self, scopes: &[String]) -> bool {
        let before = self.wanted.len();
        for scope in scopes {
            if !self.wanted.contains(scope) {
                self.wanted.push(scope.clone());
            }
        }
        self.wanted.len() > before
    }

    /// The later login is the greater one, and of one login the later token.
    pub(super) fn age(&self) -> (u64, u64, Option<u64>) {
        (self.since, self.turn, self.tokens.as_ref().and_then(|tokens| tokens.received))
    }

    /// As rmcp wants it.
    pub(super) fn stored(&self) -> Option<StoredCredentials> {
        let (client, tokens) = (self.client.as_ref()?, self.tokens.as_ref()?);
        let mut response = OAuthTokenResponse::new(
            AccessToken::new(tokens.access.expose().to_owned()),
            BasicTokenType::Bearer,
            VendorExtraTokenFields::default(),
        );
        let refresh = tokens.refresh.as_ref().map(|token| token.expose().to_owned());
        response.set_refresh_token(refresh.map(RefreshToken::new));
        response.set_expires_in(tokens.expires_in.map(Duration::from_secs).as_ref());
        let (scopes, received) = (tokens.scopes.clone(), tokens.received);
        let stored = StoredCredentials::new(client.id.clone(), Some(response), scopes, received);
        Some(stored.with_issuer(self.issuer.clone()))
    }
}

impl Tokens {
    /// What rmcp got; `None` where it is no bearer token.
    pub(super) fn of(stored: &StoredCredentials) -> Option<Self> {
        let response = stored.token_response.as_ref()?;
        if !matches!(response.token_type(), BasicTokenType::Bearer) {
            return None;
        }
        Some(Self {
            access: response.access_token().secret().as_str().into(),
            refresh: response.refresh_token().map(|token| token.secret().as_str().into()),
            received: stored.token_received_at.or_else(|| Some(now())),
            expires_in: response.expires_in().map(|time| time.as_secs()),
            scopes: stored.granted_scopes.clone(),
        })
    }

    /// Seconds that are left, by this machine's clock; `None` where nothing was said.
    pub fn left(&self) -> Option<u64> {
        let elapsed = now().saturating_sub(self.received?);
        Some(self.expires_in?.saturating_sub(elapsed))
    }

    /// It is time to get the next one.
    pub(super) fn is_due(&self) -> bool {
        let whole = self.expires_in.unwrap_or(0);
        // Half of a short life is enough: it would be due from the start else.
        let margin = (whole / 10).clamp(LEAST_MARGIN, MOST_MARGIN).min(whole / 2);
        self.left().is_some_and(|left| left < margin)
    }
}

pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(received: u64, expires_in: u64) -> Tokens {
        Tokens {
            access: "a-hidden".into(),
            refresh: None,
            received: Some(received),
            expires_in: Some(expires_in),
            scopes: Vec::new(),
        }
    }

    #[test]
    fn a_token_is_due_ahead_of_its_end() {
        assert!(!tokens(now(), 3_600).is_due());
        assert!(tokens(now() - 3_400, 3_600).is_due());
        assert!(!tokens(now(), 20).is_due() && tokens(now() - 15, 20).is_due());
        assert!(!tokens(now(), 86_400).is_due());
        let endless = Tokens { expires_in: None, ..tokens(now(), 0) };
        assert!(!endless.is_due() && endless.left().is_none());
    }

    #[test]
    fn a_clock_that_was_put_back_ends_no_token() {
        // Received in what is now the future: the server decides.
        assert_eq!(tokens(now() + 10_000, 3_600).left(), Some(3_600));
        assert_eq!(tokens(0, 3_600).left(), Some(0));
    }

    #[test]
    fn a_record_survives_the_way_through_rmcp_and_shows_nothing() {
        let url = Url::parse("https://mcp.example.com/mcp").unwrap();
        let mut record = Record::empty("srv", &url);
        record.client = Some(Client {
            id: "me".into(),
            secret: Some("c-hidden".into()),
            redirect: "http://127.0.0.1/".into(),
            registered: true,
        });
        record.issuer = Some("https://as.example.com".into());
        let mut there = tokens(now(), 60);
        there.refresh = Some("r-hidden".into());
        there.scopes = vec!["tools".into()];
        record.tokens = Some(there.clone());
        let stored = record.stored().unwrap();
        assert_eq!(stored.issuer, record.issuer);
        assert_eq!(Tokens::of(&stored), Some(there));
        assert!(!format!("{record:?} {stored:?}").contains("hidden"));
    }
}
