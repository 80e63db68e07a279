//! Logins at upstreams, begun and ended in the browser of whoever runs this machine.
//!
//! Invariants: only a listener on loopback offers them; an answer counts once, in time, and in the
//! browser that began the login; logins that nobody answers keep nobody from beginning one. Where
//! callers are asked who they are, a login begins with a ticket of an operator's, once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, COOKIE, HOST, HeaderName, LOCATION, SET_COOKIE,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::Semaphore;
use url::Url;

use super::door::Door;
use super::problem::Problem;
use crate::access::caller::{Caller, Scope};
use crate::auth::{Accounts, AuthError, Callback, Login};
use crate::config::Grant;

/// Logins that wait for an answer; the oldest gives way.
const MOST: usize = 32;
/// Logins that begin at once: each asks an authorization server, and may register there.
const MOST_BEGIN: usize = 8;
/// How long a ticket counts.
const TICKET: Duration = Duration::from_mins(5);
/// What a browser says of where a page that it asks for is to go.
const INTO: HeaderName = HeaderName::from_static("sec-fetch-dest");
const TEXT: &str = "text/plain; charset=utf-8";

/// Where a browser comes to.
pub const PATHS: [&str; 2] = ["/oauth/start/{*server}", "/oauth/callback"];

/// The logins that wait for an answer, and whose they are.
pub struct Logins {
    accounts: Accounts,
    /// Of the listener, if it is on loopback.
    base: Option<Url>,
    begins: Semaphore,
    /// By their `state`.
    pending: Mutex<BTreeMap<String, Pending>>,
    /// What begins a login at a server, until when.
    tickets: Mutex<BTreeMap<String, (String, Instant)>>,
}

/// Where a browser begins a login, once.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Ticket {
    /// The address to open.
    login_url: String,
    /// Seconds in which that has to be.
    expires_in: u64,
}

struct Pending {
    login: Login,
    /// What the browser that began it has in its cookie.
    browser: String,
}

impl Logins {
    /// Logins over this listener.
    pub fn new(accounts: Accounts, scheme: &str, listen: SocketAddr) -> Arc<Self> {
        let base = listen.ip().is_loopback().then(|| format!("{scheme}://{listen}/"));
        Self::over(accounts, base.and_then(|base| Url::parse(&base).ok()))
    }

    /// None at all.
    pub fn none() -> Arc<Self> {
        Self::over(Accounts::none(), None)
    }

    fn over(accounts: Accounts, base: Option<Url>) -> Arc<Self> {
        let (begins, pending) = (Semaphore::new(MOST_BEGIN), Mutex::default());
        Arc::new(Self { accounts, base, begins, pending, tickets: Mutex::default() })
    }

    /// Has a browser begin a login at this server that can't show who it is.
    pub fn ticket(&self, server: &str) -> Result<Ticket, Problem> {
        let mut url = self.url(server).ok_or_else(none_here)?;
        let (ticket, until) = (random(), Instant::now() + TICKET);
        url.query_pairs_mut().append_pair("ticket", &ticket);
        let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        tickets.retain(|_, (_, until)| *until > Instant::now());
        if tickets.len() >= MOST {
            return Err(too_many());
        }
        tickets.insert(ticket, (server.to_owned(), until));
        Ok(Ticket { login_url: url.into(), expires_in: TICKET.as_secs() })
    }

    /// A browser that comes with these parameters begins or ends one of these logins.
    pub fn knows(&self, query: &str) -> bool {
        let tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        url::form_urlencoded::parse(query.as_bytes()).any(|(name, value)| match &*name {
            "ticket" => tickets.contains_key(&*value),
            "state" => pending.contains_key(&*value),
            _ => false,
        })
    }

    /// Takes a ticket for this server; false where it is none.
    fn redeem(&self, ticket: &str, server: &str) -> bool {
        let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        let found = tickets.remove(ticket);
        found.is_some_and(|(of, until)| of == server && until > Instant::now())
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

    /// Where to go, and the cookie to go with.
    async fn start(&self, server: &str) -> Result<(Url, String), Problem> {
        let (account, base) = (self.accounts.get(server), self.base.as_ref());
        let (Some(account), Some(base)) = (account, base) else {
            return Err(none_here());
        };
        let redirect = base.join("oauth/callback").map_err(|_| Problem::internal())?;
        let _begins = self.begins.try_acquire().map_err(|_| too_many())?;
        let login = Login::begin(&account, &redirect).await.map_err(|error| failed(&error))?;
        let (url, state, browser) = (login.url.clone(), login.state().to_owned(), random());
        let cookie = cookie(&state, &browser, 600);
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.retain(|_, pending| !pending.login.is_over());
        if pending.len() >= MOST {
            let oldest = pending.iter().min_by_key(|(_, pending)| pending.login.begun());
            if let Some(oldest) = oldest.map(|(state, _)| state.clone()) {
                pending.remove(&oldest);
            }
        }
        pending.insert(state, Pending { login, browser });
        Ok((url, cookie))
    }

    fn take(&self, state: &str, browser: Option<&str>) -> Option<Login> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, found) = pending.remove_entry(state)?;
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
    Extension(door): Extension<Door>,
    caller: Option<Extension<Caller>>,
    server: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Path(server) = server?;
    let administers = caller.is_some_and(|caller| caller.scopes.has(Scope::Admin));
    let mut here = logins.url(&server).filter(|_| !door.asks() || administers || query.is_some());
    if let Some(here) = &mut here {
        here.set_query(query.as_deref());
    }
    let here = here.ok_or_else(none_here)?;
    // The cookie has to be where the answer will come to.
    let authority = |url: &Url| url[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    if host.is_some_and(|host| host != authority(&here)) {
        return Ok(found(&here, None));
    }
    if headers.get(INTO).is_some_and(|into| into != "document") {
        return Err(in_passing());
    }
    if door.asks() && !administers {
        let ticket = here.query_pairs().find(|(name, _)| name == "ticket");
        if !ticket.is_some_and(|(_, ticket)| logins.redeem(&ticket, &server)) {
            return Err(none_here());
        }
    }
    let (url, cookie) = logins.start(&server).await?;
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
    let state = callback.state().ok_or_else(unasked)?;
    let login = logins.take(&state, browser(&headers, &state).as_deref()).ok_or_else(unasked)?;
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
    let over = cookie(&state, "", 0);
    let headers = [(CONTENT_TYPE, TEXT), (CACHE_CONTROL, "no-store"), (SET_COOKIE, &over)];
    Ok((headers, text).into_response())
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

/// Every login has a cookie of its own: there may be some side by side.
fn cookie_name(state: &str) -> String {
    format!("toolscout_login_{state}")
}

fn cookie(state: &str, browser: &str, seconds: u32) -> String {
    let name = cookie_name(state);
    format!("{name}={browser}; path=/oauth/; Max-Age={seconds}; HttpOnly; SameSite=Lax")
}

fn browser(headers: &HeaderMap, state: &str) -> Option<String> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs =
        cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    let wanted = cookie_name(state);
    pairs.find(|(name, _)| name.trim() == wanted).map(|(_, value)| value.trim().to_owned())
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
         to callers on the machine that toolscout runs on; else use `toolscout auth login`. Where \
         callers are asked who they are, POST /v1/admin/servers/ID/login gives an address",
    )
}

fn too_many() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "too-many-logins",
        "too many logins begin at once: try again in a moment",
    )
}

/// A page of somebody else's must not begin a login by showing a picture.
fn in_passing() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "login-in-passing",
        "a login begins in a window of its own: open this address there",
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
