//! How entries say who toolscout is.

use super::*;

/// The headers and the rest of the credentials of the server `a`.
fn credentials(text: &str) -> (Vec<(String, String)>, Auth) {
    let loaded = try_toml(&format!("[servers.a]\nurl = \"https://x.test/mcp\"\n{text}"));
    let server = loaded.unwrap().config.servers.remove(0);
    let Transport::Http { headers, .. } = server.transport else { panic!("not over HTTP") };
    let clear = |(name, value): (String, SecretString)| (name, value.expose_secret().to_owned());
    (headers.into_iter().map(clear).collect(), server.auth)
}

#[test]
fn credentials_are_headers_or_a_login() {
    let none = Vec::<(String, String)>::new();
    let header = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    assert_eq!(credentials(""), (none.clone(), Auth::OAuth(OAuthConfig::default())));
    assert_eq!(credentials("auth = \"none\""), (none.clone(), Auth::Headers));
    assert_eq!(
        credentials("basic_user = \"Aladdin\"\nbasic_password = \"open sesame\""),
        (header("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), Auth::Headers)
    );
    assert_eq!(
        credentials("api_key_env = \"TOKEN\""),
        (header("X-API-Key", "s3cret"), Auth::Headers)
    );
    assert_eq!(
        credentials("api_key = \"k\"\napi_key_header = \"X-Tracker\""),
        (header("X-Tracker", "k"), Auth::Headers)
    );
    // A key of a gateway, and a login behind it.
    let (headers, auth) = credentials(
        "api_key = \"k\"\nauth = \"oauth\"\n[servers.a.oauth]\nclient_id = \"me\"\n\
         client_secret_env = \"TOKEN\"\nscopes = [\"a\", \"b\"]\nredirect_port = 9000",
    );
    assert_eq!(headers, header("X-API-Key", "k"));
    let Auth::OAuth(config) = auth else { panic!("no login") };
    assert_eq!(config.client_secret.as_ref().unwrap().expose_secret(), "s3cret");
    assert_eq!(
        (config.scopes.len(), config.redirect_port, config.grant),
        (2, 9000, Grant::AuthorizationCode)
    );
    let shown = try_toml(
        "[servers.a]\nurl = \"https://x.test/\"\n[servers.a.oauth]\nclient_id = \"me\"\n\
         client_secret = \"sk-client\"",
    );
    let shown = shown.unwrap().shown().unwrap();
    assert!(shown.contains("client_id = \"me\"") && !shown.contains("sk-client"), "{shown}");
}

#[test]
fn credentials_that_contradict_each_other_are_refused() {
    insta::assert_snapshot!(errors(
        r#"
[servers.a]
url = "https://x.test/mcp"
basic_user = "u"
[servers.b]
url = "https://x.test/mcp"
bearer_token = "x"
basic_user = "u"
basic_password = "p"
[servers.c]
url = "https://x.test/mcp"
bearer_token = "x"
auth = "oauth"
[servers.d]
url = "https://x.test/mcp"
auth = "saml"
[servers.e]
url = "https://x.test/mcp"
oauth = { grant = "password", client_secret = "x", client_metadata_url = "http://x.test/" }
[servers.f]
url = "https://x.test/mcp"
oauth = { grant = "client_credentials" }
[servers.g]
command = "sh"
api_key = "x"
[servers.h]
url = "https://x.test/mcp"
api_key_header = "X-Key"
"#
    ), @r#"
    toolscout.toml:2: servers.a.basic_password: is missing
      remedy: give it a value; see `toolscout config example`
    error: toolscout.toml:8: servers.b.basic_user: the header is given twice
      remedy: keep one; a bearer token is an Authorization header
    error: toolscout.toml:13: servers.c.auth: credentials of several kinds: OAuth and others, or OAuth and none
      remedy: keep one of them
    error: toolscout.toml:16: servers.d.auth: "saml" means nothing here
      remedy: use "oauth" or "none"
    error: toolscout.toml:19: servers.e.oauth.grant: "password" means nothing here
      remedy: use "authorization_code" or "client_credentials"
    error: toolscout.toml:19: servers.e.oauth.client_id: is missing
      remedy: give it a value; see `toolscout config example`
    error: toolscout.toml:19: servers.e.oauth.client_metadata_url: not the URL of a client metadata document
      remedy: use https:// and a path, as in "https://example.com/client.json"
    error: toolscout.toml:22: servers.f.oauth.client_secret_env: is missing
      remedy: give it a value; see `toolscout config example`
    error: toolscout.toml:22: servers.f.oauth.client_id: is missing
      remedy: give it a value; see `toolscout config example`
    error: toolscout.toml:25: servers.g.api_key: means nothing for a server with `command`
      remedy: remove it, or remove `command`
    error: toolscout.toml:26: servers.h.api_key_env: is missing
      remedy: give it a value; see `toolscout config example`
    "#);
}

#[test]
fn bearer_tokens_come_from_one_place() {
    insta::assert_snapshot!(errors(
        r#"
[servers.a]
url = "https://x.test/mcp"
bearer_token = "x"
bearer_token_env = "TOKEN"
[servers.b]
url = "https://x.test/mcp"
bearer_token = "x"
headers = { Authorization = "y" }
[servers.c]
url = "https://x.test/mcp"
bearer_token_file = "none.token"
[servers.d]
url = "https://x.test/mcp"
bearer_token_env = "UNSET"
"#
    ), @r#"
    toolscout.toml:5: servers.a.bearer_token_env: the header is given twice
      remedy: keep one; a bearer token is an Authorization header
    error: toolscout.toml:8: servers.b.bearer_token: the header is given twice
      remedy: keep one; a bearer token is an Authorization header
    error: toolscout.toml:12: servers.c.bearer_token_file: can't be read: none.token: No such file or directory (os error 2)
      remedy: check the path and its permissions
    error: toolscout.toml:15: servers.d.bearer_token_env: the variable UNSET is not set
      remedy: set UNSET
    "#);
}
