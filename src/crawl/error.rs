//! Why a crawl failed, in words that an operator can act on.
//!
//! Invariant: a text that leaves `crawl` went through [`Secrets::mask`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::Account;
pub(super) use crate::auth::clip;
use crate::config::ServerConfig;

/// Why a crawl failed.
#[derive(Debug, thiserror::Error)]
pub enum CrawlError {
    /// There is no such program.
    #[error("command `{0}` not found: install it, or give its full path")]
    CommandNotFound(String),
    /// The working folder of a child is missing.
    #[error("working folder {0} does not exist: create it or correct `cwd`")]
    NoFolder(PathBuf),
    /// The program is there but does not start.
    #[error("command `{command}` does not start: {source}")]
    Spawn {
        /// The program.
        command: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The child ended before it had answered.
    #[error("the command ended ({status}) before it had answered{last_words}")]
    Exited {
        /// Its exit status.
        status: String,
        /// Its last line on stderr, or nothing.
        last_words: String,
    },
    /// A configured header can't be sent.
    #[error("header `{0}` is not a valid HTTP header: correct its name or value")]
    BadHeader(String),
    /// The HTTP client could not be built.
    #[error("the HTTP client can't be set up: {0}")]
    Client(String),
    /// Nobody answers.
    #[error("can't reach the server: {0}; check that it runs and that its `url` is right")]
    Unreachable(String),
    /// 401 or 403.
    #[error("the server wants credentials (HTTP {0}): give it a valid token or `headers`")]
    AuthRequired(u16),
    /// 401 or 403 from a server that OAuth is spoken with: why, and what helps.
    #[error("the server wants a login: {0}")]
    Login(String),
    /// No token, for a reason that may pass.
    #[error("no token for the server: {0}")]
    Token(String),
    /// 407.
    #[error(
        "the proxy wants credentials (HTTP 407): give them in `proxy`, as in http://user:password@host:3128"
    )]
    ProxyAuth,
    /// TLS failed.
    #[error("no secure connection: {0}")]
    Tls(String),
    /// 429, or 503 with a word on how long.
    #[error("the server asks to be left alone for a while (HTTP {status})")]
    Busy {
        /// The status.
        status: u16,
        /// For how long, if it says so.
        wait: Option<Duration>,
    },
    /// Another HTTP status.
    #[error("the server answered HTTP {0}; check its `url`")]
    Status(String),
    /// The server answered with a JSON-RPC error.
    #[error("the server refused `{method}`: {message} ({code})")]
    Refused {
        /// What was asked.
        method: &'static str,
        /// Its error code.
        code: i32,
        /// Its message.
        message: String,
    },
    /// The connection ended early.
    #[error("the connection ended before the listing was complete{0}")]
    Closed(String),
    /// What came is not what the protocol says.
    #[error("the server breaks the protocol: {0}")]
    Protocol(String),
    /// A page is not a page.
    #[error("page {page} is malformed: {why}")]
    Page {
        /// Counted from 1.
        page: usize,
        /// What is wrong.
        why: String,
    },
    /// A cursor came a second time.
    #[error("page {0} has a cursor that was already followed: the listing has no end")]
    CursorLoop(usize),
    /// More pages than allowed.
    #[error("more than {0} pages: raise `crawl.max_pages` if that is right")]
    TooManyPages(usize),
    /// More tools than allowed.
    #[error("more than {0} tools: raise `crawl.max_tools` if that is right")]
    TooManyTools(usize),
    /// More bytes than allowed.
    #[error("more than {0} bytes: raise `crawl.max_bytes` if that is right")]
    TooManyBytes(usize),
    /// It took too long.
    #[error(
        "no complete listing within {0:?}: see whether the server hangs, or raise its `timeout`"
    )]
    Timeout(Duration),
}

/// Values of the configuration that no text may show.
#[derive(Clone)]
pub(super) struct Secrets {
    fixed: Vec<String>,
    /// What it has changes as tokens are refreshed.
    account: Option<Arc<Account>>,
}

impl Secrets {
    /// Shorter values are flags and numbers; masking those would only garble texts.
    const MIN_LEN: usize = 6;
    /// A server's own words are cut here.
    const MAX_TEXT: usize = 400;

    pub(super) fn of(server: &ServerConfig, account: Option<Arc<Account>>) -> Self {
        Self { fixed: server.secrets(), account }
    }

    /// `text` in one line, of bounded length, without any of the values.
    pub(super) fn mask(&self, text: &str) -> String {
        let mut text = text.to_owned();
        let tokens = self.account.as_ref().map(|account| account.secrets()).unwrap_or_default();
        let mut secrets: Vec<&String> = self.fixed.iter().chain(&tokens).collect();
        secrets.retain(|secret| secret.len() >= Self::MIN_LEN);
        // A longer secret may hold a shorter one.
        secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        for secret in secrets {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), "***");
            }
            if let Some(begun) = begun(&text, secret) {
                text.replace_range(begun, "***");
            }
        }
        clip(&text, Self::MAX_TEXT)
    }
}

/// Where a text that was cut ([`clip`]) has the beginning of a secret before the cut.
fn begun(text: &str, secret: &str) -> Option<std::ops::Range<usize>> {
    let mut cuts = text.match_indices('…').map(|(at, _)| at);
    cuts.find_map(|cut| {
        let shown = secret.char_indices().map(|(at, _)| at).rev();
        let mut shown = shown.filter(|length| *length >= Secrets::MIN_LEN);
        let length = shown.find(|length| text[..cut].ends_with(&secret[..*length]))?;
        Some(cut - length..cut)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_hidden_also_where_a_text_was_cut_in_it() {
        let secrets = Secrets { fixed: vec!["s3cret-välue-12345".into()], account: None };
        let said = "no such path: s3cret-välue-12345 here";
        for most in 0..=said.len() {
            let shown = secrets.mask(&clip(said, most));
            assert!(!shown.contains("s3cret"), "{shown}");
        }
        assert_eq!(secrets.mask(said), "no such path: *** here");
        assert_eq!(secrets.mask("as it was…"), "as it was…");
    }
}
