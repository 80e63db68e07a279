//! A server over streamable HTTP.
//!
//! rmcp's own client does the work, except for the POSTs of `tools/list` and `tools/call`: their
//! replies have to be tapped before they are decoded. A listing is given to rmcp as one JSON message
//! even where it came as an event stream, since rmcp 3.9 forgets header annotations of tools that
//! came by event stream.
//!
//! Invariant: never reads more than `max_bytes` of a listing, or of one event of a call.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use reqwest::header::{
    ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use reqwest::{Response, StatusCode};
use rmcp::model::{
    ClientJsonRpcMessage, ClientRequest, ListToolsResult, RequestId, ServerJsonRpcMessage,
    ServerNotification, ServerResult, Tool,
};
use rmcp::transport::common::client_side_sse::NeverRetry;
use rmcp::transport::streamable_http_client::{
    AuthRequiredError, HttpStatusError, InsufficientScopeError, SseError, StreamableHttpClient,
    StreamableHttpClientTransport, StreamableHttpClientTransportConfig, StreamableHttpError,
    StreamableHttpPostResponse,
};
use sse_stream::{Sse, SseStream};
use tokio::sync::Notify;
use tokio_util::bytes::Bytes;
use url::Url;

use super::authorized::{Authorized, Failure};
use super::error::CrawlError;
use super::news::NewsStream;
use super::pending::Pending;
use super::session::Fault;
use super::sse::Events;
use super::tap;

type HttpError = StreamableHttpError<reqwest::Error>;

/// The longest single message, unless `max_bytes` is less.
const MAX_EVENT: usize = 16 << 20;
/// How much of an error's body is read.
const MAX_ERROR_BODY: usize = 64 << 10;
const JSON: &str = "application/json";
pub(super) const EVENTS: &str = "text/event-stream";
const SESSION_ID: &str = "mcp-session-id";

/// rmcp's transport to an HTTP server, with the tap in it. `changed` is told of a change that is
/// announced in the middle of a listing.
pub(super) fn transport(
    http: Authorized,
    url: &Url,
    max_bytes: usize,
    changed: Arc<Notify>,
    news: NewsStream,
    fault: Fault,
) -> StreamableHttpClientTransport<TappedHttp> {
    let client = TappedHttp { http, max_bytes, changed, news, fault, pending: Pending::default() };
    let mut config = StreamableHttpClientTransportConfig::with_uri(url.as_str());
    config.max_sse_event_size = max_bytes.min(MAX_EVENT);
    // Calls are counted where they are allowed.
    config.max_concurrent_requests = usize::MAX;
    // What a server says while its stream is down is lost: the crawl has to begin anew.
    config.retry_config = Arc::new(NeverRetry::default());
    StreamableHttpClientTransport::with_client(client, config)
}

/// rmcp's reqwest client, tapped.
#[derive(Clone)]
pub(super) struct TappedHttp {
    http: Authorized,
    max_bytes: usize,
    changed: Arc<Notify>,
    news: NewsStream,
    /// rmcp would make a text of why there is no token.
    fault: Fault,
    pending: Pending,
}

/// Goes with a request for tools: rmcp is to know this one, and the server is not asked. rmcp builds
/// the headers of a call from the annotations of the tools that it has seen.
#[derive(Clone)]
pub(super) struct Known(pub(super) Tool);

impl Known {
    fn of(message: &ClientJsonRpcMessage) -> Option<ServerJsonRpcMessage> {
        let ClientJsonRpcMessage::Request(message) = message else { return None };
        let ClientRequest::ListToolsRequest(request) = &message.request else { return None };
        let Self(tool) = request.extensions.get::<Self>()?.clone();
        let listing = ListToolsResult::with_all_items(vec![tool]);
        let result = ServerResult::ListToolsResult(listing);
        Some(ServerJsonRpcMessage::response(result, message.id.clone()))
    }
}

/// Ends the wait for a call that nobody reads the reply of any more.
struct Waiting(Pending, Option<RequestId>);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(id) = &self.1 {
            self.0.take(id);
        }
    }
}

impl TappedHttp {
    async fn authorized<T, F>(&self, call: impl Fn(Option<String>) -> F) -> Result<T, HttpError>
    where
        F: Future<Output = Result<T, HttpError>>,
    {
        self.http.call(call).await.map_err(|failure| match failure {
            // rmcp makes texts of it, and the URL may hold a secret.
            Failure::Request(HttpError::Client(error)) => HttpError::Client(error.without_url()),
            Failure::Request(error) => error,
            Failure::Login(error) => {
                self.fault.set(error);
                HttpError::UnexpectedServerResponse("no token".into())
            }
        })
    }

    /// Posts a `tools/list` or `tools/call`.
    async fn post_tapped(
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
        let is_call = tap::call_id(message).is_some();
        let mut waiting = Waiting(self.pending.clone(), is_call.then(|| id.clone()));
        let response = request.json(message).send().await?;
        if !response.status().is_success() {
            return refusal(response, in_session, id).await;
        }
        if is_call && response.status() == StatusCode::ACCEPTED {
            // The reply comes by the stream of news.
            waiting.1 = None;
            return Ok(StreamableHttpPostResponse::Accepted);
        }
        let content_type = content_type(&response);
        let reply = if content_type.starts_with(JSON) {
            let body = read(response.bytes_stream(), self.max_bytes).await?;
            let text = String::from_utf8(body)
                .map_err(|_| HttpError::UnexpectedServerResponse("not UTF-8".into()))?;
            let reply = tap::reply_to_call(&text, &self.pending);
            reply
                .or_else(|| tap::decode(&text, (!is_call).then_some(id)))
                .filter(|message| is_reply(message, id))
                .ok_or_else(|| HttpError::UnexpectedServerResponse("no JSON-RPC reply".into()))?
        } else if content_type.starts_with(EVENTS) && is_call {
            let events = Events::of(response, self.max_bytes).stream();
            return Ok(StreamableHttpPostResponse::Sse(self.tapped(events, waiting), None));
        } else if content_type.starts_with(EVENTS) {
            self.reply_among_events(response, id).await?
        } else {
            return Err(HttpError::UnexpectedContentType(Some(content_type)));
        };
        Ok(StreamableHttpPostResponse::Json(reply, None))
    }

    /// The same events, with replies to calls rewritten.
    fn tapped(
        &self,
        events: BoxStream<'static, Result<Sse, SseError>>,
        waiting: Waiting,
    ) -> BoxStream<'static, Result<Sse, SseError>> {
        let (pending, fault, max_bytes) =
            (self.pending.clone(), self.fault.clone(), self.max_bytes);
        let tap = move |mut event: Result<Sse, SseError>| {
            let _until_dropped = &waiting;
            match &mut event {
                Ok(Sse { data: Some(data), .. }) => {
                    let reply = tap::reply_to_call(data, &pending);
                    if let Some(reply) = reply.and_then(|reply| serde_json::to_string(&reply).ok())
                    {
                        *data = reply;
                    }
                }
                Err(SseError::Body(error))
                    if error.downcast_ref::<io::Error>().map(io::Error::kind)
                        == Some(io::ErrorKind::FileTooLarge) =>
                {
                    fault.set(CrawlError::TooManyBytes(max_bytes));
                }
                _ => {}
            }
            event
        };
        events.map(tap).boxed()
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
    let header = |name| {
        let value = response.headers().get(name)?.to_str().ok()?;
        Some(value.to_owned())
    };
    match status {
        StatusCode::UNAUTHORIZED => {
            let challenge = header(WWW_AUTHENTICATE).unwrap_or_default();
            return Err(HttpError::AuthRequired(AuthRequiredError::new(challenge)));
        }
        StatusCode::FORBIDDEN => {
            let challenge = header(WWW_AUTHENTICATE).unwrap_or_default();
            let error = InsufficientScopeError::new(challenge, None);
            return Err(HttpError::InsufficientScope(error));
        }
        StatusCode::NOT_FOUND if in_session => return Err(HttpError::SessionExpired),
        _ => {}
    }
    let failed = HttpStatusError::new(status.as_u16(), header(RETRY_AFTER));
    if status != StatusCode::TOO_MANY_REQUESTS
        && content_type(&response).starts_with(JSON)
        && let Ok(body) = read(response.bytes_stream(), MAX_ERROR_BODY).await
        && let Ok(text) = std::str::from_utf8(&body)
        && let Some(error @ ServerJsonRpcMessage::Error(_)) = tap::decode(text, Some(id))
    {
        return Ok(StreamableHttpPostResponse::Json(error, None));
    }
    Err(failed.into())
}

/// The server has no stream of news, unlike one that has it and can't give it now.
fn gives_no_stream(error: &HttpError) -> bool {
    let status = match error {
        HttpError::ServerDoesNotSupportSse | HttpError::UnexpectedContentType(_) => return true,
        HttpError::HttpStatus(error) => Some(error.status),
        HttpError::Client(error) => error.status().map(|status| status.as_u16()),
        _ => None,
    };
    // Logins, timeouts and crowds pass.
    matches!(status, Some(400..=499 | 501)) && !matches!(status, Some(401 | 407 | 408 | 429))
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
        if let Some(listing) = Known::of(&message) {
            return Ok(StreamableHttpPostResponse::Json(listing, None));
        }
        let begins = session_id.is_none();
        let mut headers = headers;
        headers.extend(tap::trace_of(&message));
        let response = self
            .authorized(|token| {
                let (uri, session_id) = (Arc::clone(&uri), session_id.clone());
                let (message, headers, auth) = (message.clone(), headers.clone(), auth.clone());
                async move {
                    // Anew for each attempt: the first may have ended with a refusal.
                    self.pending.sent(&message);
                    let token = token.or(auth);
                    if let Some(id) = tap::listing_id(&message).or_else(|| tap::call_id(&message)) {
                        let reply =
                            self.post_tapped(&uri, &message, id, session_id, token, headers);
                        return reply.await;
                    }
                    let client = &self.http.client;
                    client
                        .post_message_with_max_sse_event_size(
                            uri, message, session_id, token, headers, max_event,
                        )
                        .await
                }
            })
            .await;
        if let Ok(
            StreamableHttpPostResponse::Json(_, Some(_))
            | StreamableHttpPostResponse::Sse(_, Some(_)),
        ) = &response
            && begins
        {
            self.news.awaited();
        }
        response
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
        let stream = self
            .authorized(|token| {
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
            .await;
        match stream {
            Ok(stream) => {
                let stream = self.tapped(stream, Waiting(self.pending.clone(), None));
                Ok(self.news.opened(stream))
            }
            Err(error) => {
                if gives_no_stream(&error) {
                    self.news.refused();
                } else {
                    self.news.failed();
                }
                Err(error)
            }
        }
    }
}
