//! A server over streamable HTTP.
//!
//! rmcp's own client does the work, except for the POST of `tools/list`: its reply has to be
//! tapped before it is decoded. It is given to rmcp as one JSON message even where it came as an
//! event stream, since rmcp 3.9 forgets header annotations of tools that came by event stream.
//!
//! Invariant: never reads more than `max_bytes` of a listing.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Response, StatusCode};
use rmcp::model::{ClientJsonRpcMessage, RequestId, ServerJsonRpcMessage, ServerNotification};
use rmcp::transport::streamable_http_client::{
    AuthRequiredError, HttpStatusError, InsufficientScopeError, SseError, StreamableHttpClient,
    StreamableHttpClientTransport, StreamableHttpClientTransportConfig, StreamableHttpError,
    StreamableHttpPostResponse,
};
use secrecy::{ExposeSecret, SecretString};
use sse_stream::{Sse, SseStream};
use tokio::sync::Notify;
use tokio_util::bytes::Bytes;
use url::Url;

use super::authorized::{Authorized, Failure};
use super::error::{CrawlError, clip};
use super::session::Fault;
use super::tap;

type HttpError = StreamableHttpError<reqwest::Error>;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_REDIRECTS: usize = 5;
/// The longest single message, unless `max_bytes` is less.
const MAX_EVENT: usize = 16 << 20;
/// How much of an error's body is read.
const MAX_ERROR_BODY: usize = 64 << 10;
const JSON: &str = "application/json";
pub(super) const EVENTS: &str = "text/event-stream";
const SESSION_ID: &str = "mcp-session-id";

/// The client of one server: its headers are in it.
pub(super) fn client(headers: &[(String, SecretString)]) -> Result<reqwest::Client, CrawlError> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let bad = || CrawlError::BadHeader(clip(name, 80));
        let key = HeaderName::try_from(name.as_str()).map_err(|_| bad())?;
        let mut value = HeaderValue::try_from(value.expose_secret()).map_err(|_| bad())?;
        value.set_sensitive(true);
        map.append(key, value);
    }
    reqwest::Client::builder()
        .user_agent(concat!("toolscout/", env!("CARGO_PKG_VERSION")))
        .default_headers(map)
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(within_origin())
        .build()
        .map_err(|error| CrawlError::Client(error.without_url().to_string()))
}

/// Follows what keeps the method, the body and the origin: credentials go nowhere else.
fn within_origin() -> reqwest::redirect::Policy {
    reqwest::redirect::Policy::custom(|attempt| {
        let keeps_body = matches!(
            attempt.status(),
            StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
        );
        let same_origin = attempt
            .previous()
            .first()
            .is_some_and(|first| first.origin() == attempt.url().origin());
        if keeps_body && same_origin && attempt.previous().len() <= MAX_REDIRECTS {
            attempt.follow()
        } else {
            attempt.stop()
        }
    })
}

/// rmcp's transport to an HTTP server, with the tap in it. `changed` is told of a change that is
/// announced in the middle of a listing.
pub(super) fn transport(
    http: Authorized,
    url: &Url,
    max_bytes: usize,
    changed: Arc<Notify>,
    fault: Fault,
) -> StreamableHttpClientTransport<TappedHttp> {
    let client = TappedHttp { http, max_bytes, changed, fault };
    let mut config = StreamableHttpClientTransportConfig::with_uri(url.as_str());
    config.max_sse_event_size = max_bytes.min(MAX_EVENT);
    StreamableHttpClientTransport::with_client(client, config)
}

/// rmcp's reqwest client, tapped.
#[derive(Clone)]
pub(super) struct TappedHttp {
    http: Authorized,
    max_bytes: usize,
    changed: Arc<Notify>,
    /// rmcp would make a text of why there is no token.
    fault: Fault,
}

impl TappedHttp {
    async fn authorized<T, F>(&self, call: impl Fn(Option<String>) -> F) -> Result<T, HttpError>
    where
        F: Future<Output = Result<T, HttpError>>,
    {
        self.http.call(call).await.map_err(|failure| match failure {
            Failure::Request(error) => error,
            Failure::Login(error) => {
                self.fault.set(error);
                HttpError::UnexpectedServerResponse("no token".into())
            }
        })
    }

    async fn post_listing(
        &self,
        uri: &str,
        message: &ClientJsonRpcMessage,
        id: &RequestId,
        session: Option<Arc<str>>,
        token: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, HttpError> {
        let mut request = self
            .http
            .client
            .post(uri)
            .header(ACCEPT, format!("{EVENTS}, {JSON}"))
            .headers(headers.into_iter().collect());
        let in_session = session.is_some();
        if let Some(session) = session {
            request = request.header(SESSION_ID, &*session);
        }
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let response = request.json(message).send().await?;
        if !response.status().is_success() {
            return refusal(response, in_session, id).await;
        }
        let content_type = content_type(&response);
        let reply = if content_type.starts_with(JSON) {
            let body = read(response.bytes_stream(), self.max_bytes).await?;
            let text = String::from_utf8(body)
                .map_err(|_| HttpError::UnexpectedServerResponse("not UTF-8".into()))?;
            tap::decode(&text, Some(id))
                .filter(|message| is_reply(message, id))
                .ok_or_else(|| HttpError::UnexpectedServerResponse("no JSON-RPC reply".into()))?
        } else if content_type.starts_with(EVENTS) {
            self.reply_among_events(response, id).await?
        } else {
            return Err(HttpError::UnexpectedContentType(Some(content_type)));
        };
        Ok(StreamableHttpPostResponse::Json(reply, None))
    }

    async fn reply_among_events(
        &self,
        response: Response,
        id: &RequestId,
    ) -> Result<ServerJsonRpcMessage, HttpError> {
        let mut left = self.max_bytes;
        let bytes = response.bytes_stream().map(move |chunk| {
            let chunk = chunk.map_err(io::Error::other)?;
            left = left.checked_sub(chunk.len()).ok_or(io::ErrorKind::FileTooLarge)?;
            Ok::<Bytes, io::Error>(chunk)
        });
        let mut events = SseStream::from_bytes_stream(bytes);
        while let Some(event) = events.next().await {
            let event = event.map_err(|error| match error {
                SseError::Body(error) => body_error(error, self.max_bytes),
                error => HttpError::Sse(error),
            })?;
            let data = event.data.unwrap_or_default();
            match tap::decode(&data, Some(id)) {
                Some(message) if is_reply(&message, id) => return Ok(message),
                Some(ServerJsonRpcMessage::Notification(notification))
                    if matches!(
                        notification.notification,
                        ServerNotification::ToolListChangedNotification(_)
                    ) =>
                {
                    self.changed.notify_one();
                }
                // The event that opens the stream has no data; other messages are not for us.
                _ => {}
            }
        }
        Err(HttpError::UnexpectedEndOfStream)
    }
}

/// The message answers this request. An error need not say which request it is about.
fn is_reply(message: &ServerJsonRpcMessage, id: &RequestId) -> bool {
    match message {
        ServerJsonRpcMessage::Response(response) => response.id == *id,
        ServerJsonRpcMessage::Error(error) => error.id.as_ref().is_none_or(|about| about == id),
        _ => false,
    }
}

/// A failed read of the body, or our own refusal to read on.
fn body_error(error: Box<dyn std::error::Error + Send + Sync>, max_size: usize) -> HttpError {
    match error.downcast::<io::Error>() {
        Ok(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            HttpError::ResponseBodyTooLarge { max_size }
        }
        Ok(error) => HttpError::Io(*error),
        Err(error) => HttpError::Sse(SseError::Body(error)),
    }
}

async fn read(
    body: impl Stream<Item = Result<Bytes, reqwest::Error>>,
    max_size: usize,
) -> Result<Vec<u8>, HttpError> {
    let mut body = std::pin::pin!(body);
    let mut bytes = Vec::new();
    while let Some(chunk) = body.try_next().await? {
        if bytes.len() + chunk.len() > max_size {
            return Err(HttpError::ResponseBodyTooLarge { max_size });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// What a status other than success means; a JSON-RPC error in the body is handed on.
async fn refusal(
    response: Response,
    in_session: bool,
    id: &RequestId,
) -> Result<StreamableHttpPostResponse, HttpError> {
    let status = response.status();
    let challenge = response.headers().get(WWW_AUTHENTICATE);
    let challenge = challenge.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    match status {
        StatusCode::UNAUTHORIZED => {
            return Err(HttpError::AuthRequired(AuthRequiredError::new(challenge)));
        }
        StatusCode::FORBIDDEN => {
            let error = InsufficientScopeError::new(challenge, None);
            return Err(HttpError::InsufficientScope(error));
        }
        StatusCode::NOT_FOUND if in_session => return Err(HttpError::SessionExpired),
        _ => {}
    }
    if content_type(&response).starts_with(JSON)
        && let Ok(body) = read(response.bytes_stream(), MAX_ERROR_BODY).await
        && let Ok(text) = std::str::from_utf8(&body)
        && let Some(error @ ServerJsonRpcMessage::Error(_)) = tap::decode(text, Some(id))
    {
        return Ok(StreamableHttpPostResponse::Json(error, None));
    }
    Err(HttpStatusError::new(status.as_u16(), None).into())
}

pub(super) fn content_type(response: &Response) -> String {
    let value = response.headers().get(CONTENT_TYPE);
    value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
}

impl StreamableHttpClient for TappedHttp {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, HttpError> {
        self.post_message_with_max_sse_event_size(
            uri, message, session_id, auth, headers, MAX_EVENT,
        )
        .await
    }

    async fn post_message_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
        max_event: usize,
    ) -> Result<StreamableHttpPostResponse, HttpError> {
        self.authorized(|token| {
            let (uri, session_id) = (Arc::clone(&uri), session_id.clone());
            let (message, headers, auth) = (message.clone(), headers.clone(), auth.clone());
            async move {
                let token = token.or(auth);
                if let Some(id) = tap::listing_id(&message) {
                    let listing = self.post_listing(&uri, &message, id, session_id, token, headers);
                    return listing.await;
                }
                let client = &self.http.client;
                client
                    .post_message_with_max_sse_event_size(
                        uri, message, session_id, token, headers, max_event,
                    )
                    .await
            }
        })
        .await
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        auth: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), HttpError> {
        self.authorized(|token| {
            let (uri, session_id) = (Arc::clone(&uri), Arc::clone(&session_id));
            let (token, headers) = (token.or(auth.clone()), headers.clone());
            self.http.client.delete_session(uri, session_id, token, headers)
        })
        .await
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, HttpError> {
        self.get_stream_with_max_sse_event_size(
            uri,
            session_id,
            last_event_id,
            auth,
            headers,
            MAX_EVENT,
        )
        .await
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
        max_event: usize,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, HttpError> {
        self.authorized(|token| {
            let (uri, session_id) = (Arc::clone(&uri), session_id.clone());
            let (token, headers) = (token.or(auth.clone()), headers.clone());
            self.http.client.get_stream_with_max_sse_event_size(
                uri,
                session_id,
                last_event_id.clone(),
                token,
                headers,
                max_event,
            )
        })
        .await
    }
}

/// An HTTP failure in the crawl's own terms. No text of it holds the URL.
pub(super) fn crawl_error(error: &HttpError) -> CrawlError {
    match error {
        HttpError::AuthRequired(_) => CrawlError::AuthRequired(401),
        HttpError::InsufficientScope(_) => CrawlError::AuthRequired(403),
        HttpError::HttpStatus(error) => CrawlError::Status(error.status.to_string()),
        HttpError::ResponseBodyTooLarge { max_size } => CrawlError::TooManyBytes(*max_size),
        HttpError::UnexpectedEndOfStream => CrawlError::Closed(String::new()),
        HttpError::Client(error) => reqwest_error(error),
        HttpError::Io(error) => CrawlError::Closed(format!(": {}", innermost(error))),
        // rmcp reads the body of any other status into a text, challenge or not.
        HttpError::UnexpectedServerResponse(text) => match text.strip_prefix("HTTP ") {
            Some(status) if status.starts_with("401") => CrawlError::AuthRequired(401),
            Some(status) if status.starts_with("403") => CrawlError::AuthRequired(403),
            Some(status) => CrawlError::Status(clip(status, 200)),
            None => CrawlError::Protocol(clip(text, 200)),
        },
        error => CrawlError::Protocol(clip(&error.to_string(), 200)),
    }
}

pub(super) fn reqwest_error(error: &reqwest::Error) -> CrawlError {
    if error.is_connect() || error.is_timeout() {
        CrawlError::Unreachable(innermost(error))
    } else if let Some(status) = error.status() {
        match status.as_u16() {
            status @ (401 | 403) => CrawlError::AuthRequired(status),
            status => CrawlError::Status(status.to_string()),
        }
    } else {
        CrawlError::Closed(format!(": {}", innermost(error)))
    }
}

/// The cause of an error: the outer ones may name the URL, and with it what is secret in it.
pub(super) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    match cause.downcast_ref::<reqwest::Error>() {
        Some(error) if error.is_timeout() => "timed out".into(),
        Some(_) => "the request failed".into(),
        None => clip(&cause.to_string(), 200),
    }
}
