//! Logins at upstreams, begun and ended in the browser of whoever runs this machine.
//!
//! Invariants: only a listener on loopback offers them; an answer counts once, in time, and in the
//! browser that began the login.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, COOKIE, HOST, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use super::problem::Problem;
use crate::auth::{Accounts, AuthError, Callback, Login};
use crate::config::Grant;

/// Logins that wait for an answer.
const MOST: usize = 32;
const COOKIE_NAME: &str = "toolscout_login";
const TEXT: &str = "text/plain; charset=utf-8";

/// The logins that wait for an answer, and whose they are.
pub struct Logins {
    accounts: Accounts,
    /// Of the listener, if it is on loopback.
    base: Option<Url>,
    pending: Mutex<BTreeMap<String, Pending>>,
}

struct Pending {
    login: Login,
    /// What the browser that began it has in its cookie.
    browser: String,
}

impl Logins {
    /// Logins over this listener.
    pub fn new(accounts: Accounts, listen: SocketAddr) -> Arc<Self> {
        let base = listen.ip().is_loopback().then(|| format!("http://{listen}/"));
        let base = base.and_then(|base| Url::parse(&base).ok());
        Arc::new(Self { accounts, base, pending: Mutex::default() })
    }

    /// None at all.
    pub fn none() -> Arc<Self> {
        Arc::new(Self { accounts: Accounts::none(), base: None, pending: Mutex::default() })
    }

    /// Where to log in at this server.
    pub fn url(&self, server: &str) -> Option<Url> {
        let account = self.accounts.get(server)?;
        if account.config.grant != Grant::AuthorizationCode {
            return None;
        }
        let id = utf8_percent_encode(server, NON_ALPHANUMERIC);
        self.base.as_ref()?.join(&format!("oauth/start/{id}")).ok()
    }

    async fn start(&self, server: &str) -> Result<(Url, String), Problem> {
        let (account, base) = (self.accounts.get(server), self.base.as_ref());
        let (Some(account), Some(base)) = (account, base) else {
            return Err(none_here());
        };
        let redirect = base.join("oauth/callback").map_err(|_| Problem::internal())?;
        let login = Login::begin(&account, &redirect).await.map_err(|error| failed(&error))?;
        let (url, state) = (login.url.clone(), login.state().to_owned());
        let browser = random();
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.retain(|_, pending| !pending.login.is_over());
        if pending.len() >= MOST {
            return Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too-many-logins",
                "too many logins wait for an answer: try again in ten minutes",
            ));
        }
        pending.insert(state, Pending { login, browser: browser.clone() });
        Ok((url, browser))
    }

    fn take(&self, callback: &Callback, browser: Option<&str>) -> Option<Login> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, found) = pending.remove_entry(&callback.state()?)?;
        if browser == Some(&found.browser) {
            return Some(found.login);
        }
        // Not the browser that began it: that one may still answer.
        pending.insert(state, found);
        None
    }
}

/// `GET /oauth/start/{server}`: off to the authorization server.
pub async fn start(
    Extension(logins): Extension<Arc<Logins>>,
    server: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Path(server) = server?;
    let here = logins.url(&server).ok_or_else(none_here)?;
    // The cookie has to be where the answer will come to.
    let authority = |url: &Url| url[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    if host.is_some_and(|host| host != authority(&here)) {
        return Ok(found(&here, None));
    }
    let (url, browser) = logins.start(&server).await?;
    let cookie =
        format!("{COOKIE_NAME}={browser}; path=/oauth/; Max-Age=600; HttpOnly; SameSite=Lax");
    Ok(found(&url, Some(cookie)))
}

/// `GET /oauth/callback`: back from the authorization server.
pub async fn callback(
    Extension(logins): Extension<Arc<Logins>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let unasked = || failed(&AuthError::State);
    let callback =
        Callback::parse(&format!("?{}", query.unwrap_or_default())).ok_or_else(unasked)?;
    let login = logins.take(&callback, browser(&headers).as_deref()).ok_or_else(unasked)?;
    let server = login.account().server.clone();
    match login.finish(&callback).await {
        Ok(()) => tracing::info!(%server, "logged in"),
        Err(error) => {
            tracing::warn!(%server, %error, "a login failed");
            return Err(failed(&error));
        }
    }
    let text = format!(
        "toolscout is logged in at {server}, and reads its tools now. This page can be closed.\n"
    );
    Ok(([(CONTENT_TYPE, TEXT), (CACHE_CONTROL, "no-store")], text).into_response())
}

fn found(url: &Url, cookie: Option<String>) -> Response {
    let mut response = (
        StatusCode::FOUND,
        [(LOCATION, url.as_str()), (CACHE_CONTROL, "no-store"), (CONTENT_TYPE, TEXT)],
        "log in there\n",
    )
        .into_response();
    if let Some(cookie) = cookie.and_then(|cookie| cookie.try_into().ok()) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

fn browser(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs =
        cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| name.trim() == COOKIE_NAME).map(|(_, value)| value.trim().to_owned())
}

/// 128 bits that nobody can guess.
fn random() -> String {
    oauth2::CsrfToken::new_random().secret().clone()
}

fn none_here() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no-login",
        "there is no login here: GET /v1/servers shows the `login_url` of servers that want one, \
         to callers on the machine that toolscout runs on; else use `toolscout auth login`",
    )
}

fn failed(error: &AuthError) -> Problem {
    let status = match error {
        AuthError::Discovery(_) | AuthError::Exchange(_) | AuthError::Registration(_) => {
            StatusCode::BAD_GATEWAY
        }
        _ => StatusCode::BAD_REQUEST,
    };
    Problem::new(status, "login-failed", error.to_string())
}
