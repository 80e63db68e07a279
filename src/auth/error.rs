//! Why toolscout has no token, in words that an operator can act on.
//!
//! Invariant: no text holds a token, a code, a client's secret, or what is secret in a URL.

use rmcp::transport::auth::AuthError as Rmcp;

use url::{Position, Url};

use super::guard::Refused;
use super::vault::VaultError;
use crate::tool::ServerId;

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
    /// The server has gone over to somebody else: tokens are not for them.
    #[error(
        "the login is at {was}, and the server wants one at {is} now: run `toolscout auth login {server}`"
    )]
    Moved {
        /// The server.
        server: ServerId,
        /// Who issued the tokens.
        was: String,
        /// Who is to issue the next ones.
        is: String,
    },
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
                let (expected, received) = (issuer(&expected_issuer), issuer(&received_issuer));
                Self::Issuer(format!("{received}, not {expected}"))
            }
            Rmcp::AuthorizationServerMissingIssuer { expected_issuer } => {
                Self::Issuer(format!("it does not say that it is {}", issuer(&expected_issuer)))
            }
            Rmcp::DiscoveryRequestFailed { url, source } => {
                Self::Discovery(format!("{}: {}", place(&url), told(&cause(&*source), 200)))
            }
            Rmcp::ProtectedResourceMetadataInvalid { url, reason } => {
                let (place, reason) = (place(&url), told(&reason.to_string(), 300));
                Self::Discovery(format!("the metadata at {place} are of no use: {reason}"))
            }
            Rmcp::AuthorizationServersUnavailable {
                resource_metadata_url,
                authorization_servers,
            } => {
                let (place, named) =
                    (place(&resource_metadata_url), authorization_servers.join(" "));
                let named = told(&named, 300);
                Self::Discovery(format!("{place} names {named}, and nothing usable is there"))
            }
            Rmcp::RegistrationFailed(text) => Self::Registration(told(&text, 300)),
            Rmcp::TokenExchangeFailed(text) | Rmcp::ClientCredentialsError(text) => {
                Self::Exchange(told(&text, 300))
            }
            Rmcp::TokenRefreshFailed(text) | Rmcp::TokenRefreshRejected(text) => {
                Self::Refresh(told(&text, 300))
            }
            error => Self::Discovery(told(&error.to_string(), 300)),
        }
    }
}

/// An issuer in a message: what could be secret is not part of its name.
pub(super) fn issuer(text: &str) -> String {
    let named = Url::parse(text).ok().filter(Url::has_host);
    let named = named.map(|url| {
        format!("{}{}", url.origin().ascii_serialization(), url.path().trim_end_matches('/'))
    });
    clip(named.as_deref().unwrap_or("something that is no URL"), 200)
}

/// A URL in a message: keys stand in its path and query, so all of that goes except for the name of a
/// well-known document.
fn place(url: &Url) -> String {
    if !url.origin().is_tuple() {
        return "…".into();
    }
    let mut segments = url.path_segments().into_iter().flatten();
    let is_known = segments.next() == Some(".well-known");
    let document = segments.next().filter(|_| is_known);
    let document = document.map(|name| format!("/.well-known/{name}")).unwrap_or_default();
    let whole = url[Position::BeforePath..].trim_end_matches('/');
    let more = if whole == document { "" } else { "/…" };
    format!("{}{document}{more}", url.origin().ascii_serialization())
}

/// [`clip`] of a text of somebody else's, every URL in it as [`place`] has it.
pub(super) fn told(text: &str, max: usize) -> String {
    let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '<' | '>' | '`');
    let (mut cut, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find("://") {
        let scheme = rest[..at].rfind(|c: char| !c.is_ascii_alphanumeric());
        let from = scheme.map_or(0, |before| rest.ceil_char_boundary(before + 1));
        let to = rest[at..].find(is_end).map_or(rest.len(), |length| at + length);
        let named = rest[from..to].trim_end_matches([',', '.', ';', ':', ')', '\'']);
        cut.push_str(&rest[..from]);
        cut.push_str(&Url::parse(named).ok().as_ref().map_or_else(|| "…".into(), place));
        cut.push_str(&rest[from + named.len()..to]);
        rest = &rest[to..];
    }
    cut.push_str(rest);
    clip(&cut, max)
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

#[cfg(test)]
mod tests {
    use rmcp::transport::auth::ProtectedResourceMetadataInvalidReason as Reason;

    use super::*;

    const SECRET: &str =
        "https://u:s3cr3t@mcp.example.com/s3cr3t/mcp?api_key=s3cr3t,s3cr3t)#s3cr3t";

    #[test]
    fn no_message_tells_what_is_secret_in_a_url() {
        let url = Url::parse(SECRET).unwrap();
        let document =
            url.join("/.well-known/oauth-protected-resource/s3cr3t/mcp?api_key=s3cr3t").unwrap();
        let reason = Reason::ResourceMismatch { reference: url.clone(), permitted: url.clone() };
        let servers = vec![SECRET.to_owned(), "https://as.example.com".to_owned()];
        for (error, said) in [
            (
                Rmcp::DiscoveryRequestFailed { url: url.clone(), source: SECRET.into() },
                "https://mcp.example.com/…: https://mcp.example.com/…",
            ),
            (
                Rmcp::ProtectedResourceMetadataInvalid {
                    url: document.clone(),
                    reason: Box::new(reason),
                },
                "https://mcp.example.com/.well-known/oauth-protected-resource/… are of no use",
            ),
            (
                Rmcp::AuthorizationServersUnavailable {
                    resource_metadata_url: document,
                    authorization_servers: servers,
                },
                "/… names https://mcp.example.com/… https://as.example.com, and nothing",
            ),
            (Rmcp::InternalError(format!("({SECRET}).")), "(https://mcp.example.com/…)."),
            (Rmcp::TokenExchangeFailed(format!("no {SECRET} here")), "/… here"),
        ] {
            let told = AuthError::from(error).to_string();
            assert!(told.contains(said) && !told.contains("s3cr3t"), "{told}");
        }
        let error = Rmcp::AuthorizationServerMismatch {
            expected_issuer: "https://as.example.com/tenant?s3cr3t".into(),
            received_issuer: "https://u:s3cr3t@elsewhere.example/".into(),
        };
        let told = AuthError::from(error).to_string();
        assert!(
            told.ends_with("https://elsewhere.example, not https://as.example.com/tenant"),
            "{told}"
        );
    }

    #[test]
    fn what_is_no_url_is_as_it_was_or_not_told() {
        for (text, said) in [
            ("", ""),
            ("invalid_grant: expired", "invalid_grant: expired"),
            ("a: //b", "a: //b"),
            ("grüße://", "grüß…"),
            ("é://x é", "é… é"),
            ("at https://as.example.com/, or", "at https://as.example.com, or"),
        ] {
            assert_eq!(told(text, 300), said, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_told_without_the_rest_of_its_urls(before in ".{0,9}", after in "[^ ]{0,9}") {
            let said = told(&format!("{before}https://host/k3y?{after}k3y {before}"), 300);
            proptest::prop_assert!(!said.contains("k3y") || after.contains(['"', '<', '>', '`'])
                || after.chars().any(char::is_whitespace), "{}", said);
        }
    }
}
