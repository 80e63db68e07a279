//! How an entry proves who toolscout is: a bearer token, a user and password, an API key, OAuth.
//!
//! Invariant: at most one of them, and a secret comes from one place.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::AUTHORIZATION;
use url::Url;

use super::Check;
use crate::config::error::Problem;
use crate::config::raw::{RawOAuth, RawServer};
use crate::config::{Auth, Grant, OAuthConfig};

/// The header of an API key, where none is named.
const API_KEY: &str = "X-API-Key";

/// A secret that may stand in the entry, in a file or in a variable: the keys and what they hold.
type Places<'a> = [(&'static str, Option<&'a String>); 3];

impl Check<'_> {
    /// Adds what is sent with every request to `headers`; the rest is OAuth's.
    pub(super) fn credentials(
        &mut self,
        raw: &RawServer,
        headers: &mut BTreeMap<String, String>,
    ) -> Auth {
        let bearer = self.secret([
            ("bearer_token", raw.bearer_token.as_ref()),
            ("bearer_token_file", raw.bearer_token_file.as_ref()),
            ("bearer_token_env", raw.bearer_token_env.as_ref()),
        ]);
        if let Some((key, token)) = bearer {
            self.add_header(key, AUTHORIZATION.as_str(), format!("Bearer {token}"), headers);
        }
        let password = self.secret([
            ("basic_password", raw.basic_password.as_ref()),
            ("basic_password_file", raw.basic_password_file.as_ref()),
            ("basic_password_env", raw.basic_password_env.as_ref()),
        ]);
        match (&raw.basic_user, password) {
            (Some(user), Some((_, password))) => {
                let both = STANDARD.encode(format!("{user}:{password}"));
                let name = AUTHORIZATION.as_str();
                self.add_header("basic_user", name, format!("Basic {both}"), headers);
            }
            (Some(_), None) => self.error("basic_password", Problem::Needed),
            (None, Some(_)) => self.error("basic_user", Problem::Needed),
            (None, None) => {}
        }
        let api_key = self.secret([
            ("api_key", raw.api_key.as_ref()),
            ("api_key_file", raw.api_key_file.as_ref()),
            ("api_key_env", raw.api_key_env.as_ref()),
        ]);
        let has_key = api_key.is_some();
        match (&raw.api_key_header, api_key) {
            (name, Some((key, value))) => {
                let name = name.as_deref().unwrap_or(API_KEY);
                self.add_header(key, name, value, headers);
            }
            (Some(_), None) => self.error("api_key_env", Problem::Needed),
            (None, None) => {}
        }
        let has_header = headers.keys().any(|name| name.eq_ignore_ascii_case("authorization"));
        match (raw.auth.as_deref(), &raw.oauth) {
            (Some("none"), None) => Auth::Headers,
            (Some("none"), Some(_)) => {
                self.error("auth", Problem::SeveralCredentials);
                Auth::Headers
            }
            (None, None) if has_header || has_key => Auth::Headers,
            (Some("oauth"), _) | (None, Some(_)) if has_header => {
                let key = if raw.auth.is_some() { "auth" } else { "oauth" };
                self.error(key, Problem::SeveralCredentials);
                Auth::Headers
            }
            (Some("oauth") | None, None) => Auth::OAuth(OAuthConfig::default()),
            (Some("oauth") | None, Some(oauth)) => Auth::OAuth(self.oauth(oauth)),
            (Some(other), _) => {
                let known = "\"oauth\" or \"none\"";
                self.error("auth", Problem::NotOneOf { given: other.to_owned(), known });
                Auth::Headers
            }
        }
    }

    fn oauth(&mut self, raw: &RawOAuth) -> OAuthConfig {
        let secret = self.secret([
            ("oauth.client_secret", raw.client_secret.as_ref()),
            ("oauth.client_secret_file", raw.client_secret_file.as_ref()),
            ("oauth.client_secret_env", raw.client_secret_env.as_ref()),
        ]);
        let grant = match raw.grant.as_deref() {
            None | Some("authorization_code") => Grant::AuthorizationCode,
            Some("client_credentials") => Grant::ClientCredentials,
            Some(other) => {
                let known = "\"authorization_code\" or \"client_credentials\"";
                self.error("oauth.grant", Problem::NotOneOf { given: other.to_owned(), known });
                Grant::AuthorizationCode
            }
        };
        if grant == Grant::ClientCredentials && secret.is_none() {
            self.error("oauth.client_secret_env", Problem::Needed);
        }
        if raw.client_id.is_none() && (secret.is_some() || grant == Grant::ClientCredentials) {
            self.error("oauth.client_id", Problem::Needed);
        }
        let document = raw.client_metadata_url.as_ref().and_then(|text| match Url::parse(text) {
            Ok(url) if url.scheme() == "https" && url.path() != "/" => Some(url),
            Ok(_) => {
                self.error("oauth.client_metadata_url", Problem::DocumentUrl);
                None
            }
            Err(error) => {
                self.error("oauth.client_metadata_url", Problem::Url(error.to_string()));
                None
            }
        });
        OAuthConfig {
            grant,
            client_id: raw.client_id.clone(),
            client_secret: secret.map(|(_, secret)| secret.into()),
            client_metadata_url: document,
            scopes: raw.scopes.clone().unwrap_or_default(),
            redirect_port: raw.redirect_port.unwrap_or(0),
            allow_private_addresses: raw.allow_private_addresses.unwrap_or(false),
        }
    }

    fn add_header(
        &mut self,
        key: &'static str,
        name: &str,
        value: String,
        headers: &mut BTreeMap<String, String>,
    ) {
        if headers.keys().any(|there| there.eq_ignore_ascii_case(name)) {
            self.error(key, Problem::HeaderTwice);
        } else {
            headers.insert(name.to_owned(), value);
        }
    }

    /// The secret, and the key that it came from: as it is, from a file, or from a variable.
    fn secret(&mut self, [plain, file, variable]: Places<'_>) -> Option<(&'static str, String)> {
        let mut found = Vec::new();
        if let (key, Some(text)) = plain {
            found.push((key, text.clone()));
        }
        if let (key, Some(path)) = file {
            match std::fs::read_to_string(self.base.join(path)) {
                Ok(text) => found.push((key, text)),
                Err(error) => self.error(key, Problem::Unreadable(format!("{path}: {error}"))),
            }
        }
        if let (key, Some(name)) = variable {
            match (self.environment)(name) {
                Some(text) => found.push((key, text)),
                None => self.error(key, Problem::NotSet(name.clone())),
            }
        }
        for (key, text) in &mut found {
            *text = text.trim().to_owned();
            if text.is_empty() {
                self.error(key, Problem::Empty);
            }
        }
        for (key, _) in found.iter().skip(1) {
            self.error(key, Problem::HeaderTwice);
        }
        found.into_iter().next()
    }
}
