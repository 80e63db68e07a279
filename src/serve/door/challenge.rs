//! What those are told who are not let in, and where clients learn whom to ask for a token
//! (RFC 6750, RFC 9728).
//!
//! Invariant: both say the same of the same service, and neither depends on what was shown.

use axum::Extension;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use url::Url;

use super::super::http::json;
use super::super::problem::Problem;
use super::Door;
use crate::access::caller::{Scope, Scopes};
use crate::config::{AuthConfig, IssuerConfig};

/// Where the metadata of the service as a whole are.
pub const METADATA: &str = "/.well-known/oauth-protected-resource";
/// Where those of a path of it are: the same.
pub const METADATA_BELOW: &str = "/.well-known/oauth-protected-resource/{*path}";

/// What is told.
#[derive(Default)]
pub struct Challenges {
    /// Where the metadata are, where there are any.
    metadata_url: Option<String>,
    metadata: Option<Metadata>,
    issuers: Vec<IssuerConfig>,
    kind: Kind,
}

/// How callers show who they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Not at all.
    #[default]
    None,
    /// By an access token of an authorization server, perhaps also in other ways.
    Oauth2,
    /// By an API key.
    ApiKey,
    /// By a client certificate.
    Mtls,
}

/// The metadata of a protected resource.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "ProtectedResource")]
pub struct Metadata {
    /// What tokens have to be for.
    resource: String,
    /// Who gives them.
    authorization_servers: Vec<String>,
    /// What to ask for.
    scopes_supported: Vec<String>,
    bearer_methods_supported: [&'static str; 1],
    resource_name: &'static str,
}

impl Challenges {
    pub(super) fn new(auth: &AuthConfig) -> Self {
        let kind = if !auth.issuers.is_empty() {
            Kind::Oauth2
        } else if auth.keys {
            Kind::ApiKey
        } else if auth.certificates.is_empty() {
            Kind::None
        } else {
            Kind::Mtls
        };
        let resource = auth.resource.as_deref().filter(|_| !auth.issuers.is_empty());
        let mut told = Self {
            metadata_url: resource.and_then(metadata_url),
            metadata: None,
            issuers: auth.issuers.clone(),
            kind,
        };
        // Clients ask for all of these where a challenge names none: what administers is left out.
        let usual = [Scope::Search, Scope::Call].into_iter().collect();
        told.metadata = resource.map(|resource| Metadata {
            resource: resource.to_owned(),
            authorization_servers: auth.issuers.iter().map(|issuer| issuer.url.clone()).collect(),
            scopes_supported: told.names(usual),
            bearer_methods_supported: ["header"],
            resource_name: "toolscout",
        });
        told
    }

    /// How callers show who they are.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The response with its challenge.
    pub fn put_on(
        &self,
        mut response: Response,
        error: Option<&'static str>,
        scopes: Scopes,
    ) -> Response {
        let mut parts = Vec::new();
        if self.metadata_url.is_none() {
            parts.push("realm=\"toolscout\"".to_owned());
        }
        parts.extend(error.map(|error| format!("error=\"{error}\"")));
        if let Some(url) = &self.metadata_url {
            let scopes = self.names(scopes).join(" ");
            if !scopes.is_empty() {
                parts.push(format!("scope=\"{scopes}\""));
            }
            parts.push(format!("resource_metadata=\"{url}\""));
        }
        if let Ok(value) = HeaderValue::from_str(&format!("Bearer {}", parts.join(", "))) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
        }
        response
    }

    /// What these scopes are called where tokens come from: by the first server that has a name.
    fn names(&self, scopes: Scopes) -> Vec<String> {
        let name = |scope| self.issuers.iter().find_map(|issuer| issuer.name_of(scope));
        scopes.iter().filter_map(name).map(str::to_owned).collect()
    }
}

/// Where RFC 9728 has them: the well-known path goes before that of the resource.
fn metadata_url(resource: &str) -> Option<String> {
    let mut url = Url::parse(resource).ok()?;
    let path = format!("{METADATA}{}", url.path().trim_end_matches('/'));
    url.set_query(None);
    url.set_path(&path);
    Some(url.into())
}

/// `GET /.well-known/oauth-protected-resource`, and below it
pub async fn metadata(Extension(door): Extension<Door>) -> Response {
    match &door.challenges().metadata {
        Some(metadata) => json(metadata),
        None => Problem::no_route().into_response(),
    }
}
