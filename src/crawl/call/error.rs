//! Why a call came to nothing: on our side, on the way, or at the server.
//!
//! Invariant: a message says whose word it is and what to do, and holds no secret.

use std::time::Duration;

use crate::tool::{ServerId, ToolId};

/// Why a call came to nothing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CallError {
    /// `[call] enabled` is false.
    #[error(
        "toolscout passes no calls on: call the tool at its own server, or have the operator set \
         `enabled = true` in [call]"
    )]
    Off,
    /// `[call] allow` is "off".
    #[error("toolscout passes no calls on to this server: `allow` in [call] is \"off\"")]
    NoneAllowed,
    /// The server's entry says so.
    #[error("toolscout passes no calls on to {0}: `call` of its entry is \"off\"")]
    ServerOff(ServerId),
    /// It may change something.
    #[error(
        "{id} does not say that it only reads (`readOnlyHint`), and only such tools may be called: \
         the operator can set `call = \"all\"` in the entry of {server}, or `allow = \"all\"` in \
         [call]"
    )]
    NotReadOnly {
        /// The tool.
        id: ToolId,
        /// Its server.
        server: ServerId,
    },
    /// As many calls as may be are under way.
    #[error(
        "{most} calls are under way, which is all that may be (`max_concurrent`): call again later"
    )]
    Busy {
        /// How many that is.
        most: usize,
    },
    /// The same of one server.
    #[error(
        "{most} calls of {server} are under way, which is all that may be (`max_per_server`): call \
         again later"
    )]
    ServerBusy {
        /// The server.
        server: ServerId,
        /// How many that is.
        most: usize,
    },
    /// No connection to the server, or it broke.
    #[error("{server} can't be called: {why}")]
    Unavailable {
        /// The server.
        server: ServerId,
        /// Why.
        why: String,
    },
    /// The connection broke after the call was sent.
    #[error(
        "the connection to {server} ended before the result came ({why}): the call may have been \
         carried out or not"
    )]
    Lost {
        /// The server.
        server: ServerId,
        /// Why.
        why: String,
    },
    /// The server wants credentials.
    #[error("{server} wants a login: {why}; the operator can run `toolscout auth login {server}`")]
    Auth {
        /// The server.
        server: ServerId,
        /// Its word.
        why: String,
    },
    /// No answer in time.
    #[error(
        "{server} gave no answer within {after:?}, and the call was cancelled; the operator can raise \
         `timeout` or `max_timeout` in [call]"
    )]
    Timeout {
        /// The server.
        server: ServerId,
        /// How long was waited.
        after: Duration,
    },
    /// The server answered with an error of the protocol.
    #[error("{server} answered with error {code}: {message}")]
    Upstream {
        /// The server.
        server: ServerId,
        /// Its code.
        code: i32,
        /// Its message, and what else it said.
        message: String,
    },
    /// The result is larger than what is passed on.
    #[error(
        "the result of {id} has {bytes} bytes, more than the {most} that are passed on: ask for less \
         (fewer items, a page, a filter), or have the operator raise `max_result_bytes` in [call]"
    )]
    TooLarge {
        /// The tool.
        id: ToolId,
        /// The size of the result.
        bytes: usize,
        /// The largest that is passed on.
        most: usize,
    },
    /// It is so large that it was not read to its end.
    #[error(
        "{server} sent more than {most} bytes, and reading was given up: ask for less (fewer items, a \
         page, a filter)"
    )]
    Endless {
        /// The server.
        server: ServerId,
        /// How much was read.
        most: usize,
    },
}

impl CallError {
    pub(super) fn unavailable(server: &ServerId, why: impl Into<String>) -> Self {
        Self::Unavailable { server: server.clone(), why: why.into() }
    }
}
