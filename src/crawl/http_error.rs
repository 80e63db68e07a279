//! What went wrong over HTTP, in the crawl's own terms, with the next step.
//!
//! Invariant: no text of it holds the URL, and with it what is secret in it.

use std::error::Error;
use std::io;
use std::time::{Duration, SystemTime};

use reqwest::Response;
use reqwest::header::RETRY_AFTER;
use rmcp::transport::streamable_http_client::StreamableHttpError;

use super::error::{CrawlError, clip};
use crate::auth::cause;

type HttpError = StreamableHttpError<reqwest::Error>;

/// A failure of the later transport.
pub(super) fn crawl_error(error: &HttpError) -> CrawlError {
    match error {
        HttpError::AuthRequired(_) => CrawlError::AuthRequired(401),
        HttpError::InsufficientScope(_) => CrawlError::AuthRequired(403),
        HttpError::HttpStatus(error) => status_error(error.status, error.retry_after.as_deref()),
        HttpError::ResponseBodyTooLarge { max_size } => CrawlError::TooManyBytes(*max_size),
        HttpError::UnexpectedEndOfStream => CrawlError::Closed(String::new()),
        HttpError::Client(error) => reqwest_error(error),
        HttpError::Io(error) => CrawlError::Closed(format!(": {}", cause(error))),
        // rmcp reads the body of any other status into a text, challenge or not.
        HttpError::UnexpectedServerResponse(text) => match text.strip_prefix("HTTP ") {
            Some(said) => match said.split(' ').next().and_then(|code| code.parse().ok()) {
                Some(code @ (401 | 403 | 407)) => status_error(code, None),
                _ => CrawlError::Status(clip(said, 200)),
            },
            None => CrawlError::Protocol(clip(text, 200)),
        },
        error => CrawlError::Protocol(clip(&error.to_string(), 200)),
    }
}

/// What an answer other than success means; `retry_after` is the header of that name.
pub(super) fn status_error(status: u16, retry_after: Option<&str>) -> CrawlError {
    let wait = retry_after.and_then(wait_of);
    match status {
        401 | 403 => CrawlError::AuthRequired(status),
        407 => CrawlError::ProxyAuth,
        429 => CrawlError::Busy { status, wait },
        503 if wait.is_some() => CrawlError::Busy { status, wait },
        _ => CrawlError::Status(status.to_string()),
    }
}

/// The same of an answer at hand, where it is not a success.
pub(super) fn refused(response: &Response) -> Option<CrawlError> {
    let status = response.status();
    let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    (!status.is_success()).then(|| status_error(status.as_u16(), after))
}

/// The time that a `Retry-After` names: seconds, or a date.
fn wait_of(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

pub(super) fn reqwest_error(error: &reqwest::Error) -> CrawlError {
    if let Some(tls) = tls_error(error) {
        return CrawlError::Tls(said_of(tls));
    }
    let cause = cause(error);
    if cause.starts_with(ALERT) {
        CrawlError::Tls(alerted(&cause))
    } else if cause.starts_with("proxy auth") {
        CrawlError::ProxyAuth
    } else if error.is_connect() || error.is_timeout() {
        CrawlError::Unreachable(cause)
    } else if let Some(status) = error.status() {
        status_error(status.as_u16(), None)
    } else {
        CrawlError::Closed(format!(": {cause}"))
    }
}

/// How rustls begins what the other side has against us. Over HTTP/2 only the text is left.
const ALERT: &str = "received fatal alert";

fn alerted(said: &str) -> String {
    format!("{said}; the server may want a certificate of ours (`client_cert_file`)")
}

/// What TLS found wrong, if it was that.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // An I/O error keeps what it wraps to itself.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

/// It in words, with the next step.
fn said_of(error: &rustls::Error) -> String {
    use rustls::CertificateError as Bad;
    use rustls::Error::{AlertReceived, InvalidCertificate};
    let said = match error {
        InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => {
            "its certificate is signed by an authority that is not trusted here: name that \
             authority's certificate as `ca_file`"
        }
        InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            "its certificate has expired: have it renewed, or correct this machine's clock"
        }
        InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => {
            "its certificate is not valid yet: correct this machine's clock"
        }
        InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
            "its certificate is for another host: correct the host of its `url`"
        }
        AlertReceived(_) => return alerted(&error.to_string()),
        _ => return clip(&error.to_string(), 200),
    };
    said.into()
}
