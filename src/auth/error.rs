//! Why toolscout has no token, in words that an operator can act on.
//!
//! Invariant: no text holds a token, a code or a client's secret.

use rmcp::transport::auth::AuthError as Rmcp;

use super::guard::Refused;
use super::vault::VaultError;

/// Why a login or a refresh failed.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Nothing is configured there that could log in.
    #[error("{0}")]
    NotOAuth(String),
    /// There is no authorization server, or it can't be found.
    #[error("the authorization server can't be found: {0}")]
    Discovery(String),
    /// A document names what it may not.
    #[error("the server's documents are not followed: {0}")]
    Guard(#[from] Refused),
    /// An endpoint that is no URL.
    #[error("the authorization server names an endpoint that is no URL: {0}")]
    Endpoint(String),
    /// PKCE is not optional.
    #[error(
        "the authorization server does not say that it does PKCE with S256, so a code could be stolen: have it enabled there"
    )]
    NoPkce,
    /// No way to become a client.
    #[error(
        "toolscout is no client of the authorization server, which registers none by itself: register it there and set `oauth.client_id` (and `client_secret_env`), or set `oauth.client_metadata_url`"
    )]
    NoRegistration,
    /// Registration was refused.
    #[error(
        "the authorization server did not register toolscout as a client: {0}; register it there and set `oauth.client_id`"
    )]
    Registration(String),
    /// The user, or the server, said no.
    #[error("the login was refused: {0}")]
    Denied(String),
    /// The answer is not to our question.
    #[error("the login was not asked for here, was used already, or took too long: start it again")]
    State,
    /// Somebody else answers.
    #[error("the answer comes from another authorization server than was asked: {0}")]
    Issuer(String),
    /// The code was not exchanged.
    #[error("the authorization server gave no token: {0}")]
    Exchange(String),
    /// The refresh failed, and may succeed later.
    #[error("the token could not be refreshed: {0}")]
    Refresh(String),
    /// An HTTP client could not be made.
    #[error("the HTTP client can't be set up: {0}")]
    Http(String),
    /// The tokens are there and could not be kept.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl From<Rmcp> for AuthError {
    fn from(error: Rmcp) -> Self {
        match error {
            Rmcp::PkceUnsupported => Self::NoPkce,
            Rmcp::AuthorizationServerMismatch { expected_issuer, received_issuer } => {
                let (expected, received) =
                    (clip(&expected_issuer, 200), clip(&received_issuer, 200));
                Self::Issuer(format!("{received}, not {expected}"))
            }
            Rmcp::AuthorizationServerMissingIssuer { expected_issuer } => {
                Self::Issuer(format!("it does not say that it is {}", clip(&expected_issuer, 200)))
            }
            Rmcp::DiscoveryRequestFailed { url, source } => {
                Self::Discovery(format!("{}: {}", clip(url.as_str(), 200), cause(&*source)))
            }
            Rmcp::RegistrationFailed(text) => Self::Registration(clip(&text, 300)),
            Rmcp::TokenExchangeFailed(text) | Rmcp::ClientCredentialsError(text) => {
                Self::Exchange(clip(&text, 300))
            }
            Rmcp::TokenRefreshFailed(text) | Rmcp::TokenRefreshRejected(text) => {
                Self::Refresh(clip(&text, 300))
            }
            error => Self::Discovery(clip(&error.to_string(), 300)),
        }
    }
}

/// `text` in one line without control characters, cut to `max` bytes.
pub(crate) fn clip(text: &str, max: usize) -> String {
    let line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.len() <= max {
        return line;
    }
    format!("{}…", &line[..line.floor_char_boundary(max)])
}

/// The innermost cause of a request that failed.
pub(crate) fn innermost<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> &'a (dyn std::error::Error + 'static) {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
}

/// The same in words: the outer ones may name the URL, and with it what is secret in it.
pub(crate) fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let cause = innermost(error);
    match cause.downcast_ref::<reqwest::Error>() {
        Some(error) if error.is_timeout() => "timed out".into(),
        Some(_) => "the request failed".into(),
        None => clip(&cause.to_string(), 200),
    }
}
