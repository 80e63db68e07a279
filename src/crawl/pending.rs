//! The calls of a connection that wait for their replies, and who hears of their progress.
//!
//! Invariant: a call is waited for from before it is sent until its reply came or it was cancelled;
//! what is said of its progress is handed on in the order in which it came, and before the reply.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, ClientRequest, GetExtensions, GetMeta, ProgressToken,
    RequestId,
};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::tap;

/// How far a call has come, as its server says it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Progress {
    /// Grows.
    pub progress: f64,
    /// What it grows to.
    pub total: Option<f64>,
    /// In words.
    pub message: Option<String>,
}

/// Goes with a request, inside rmcp, to the tap.
#[derive(Clone)]
pub(super) struct Told {
    pub(super) progress: mpsc::Sender<Progress>,
    /// Set as soon as the request may have gone out.
    pub(super) begun: Arc<AtomicBool>,
}

/// Clones speak of the same calls.
#[derive(Debug, Clone, Default)]
pub(super) struct Pending(Arc<Mutex<HashMap<RequestId, Call>>>);

#[derive(Debug)]
struct Call {
    token: Option<ProgressToken>,
    progress: Option<mpsc::Sender<Progress>>,
}

#[derive(Deserialize)]
struct Notification {
    method: String,
    params: Params,
}

#[derive(Deserialize)]
struct Params {
    #[serde(rename = "progressToken")]
    token: ProgressToken,
    #[serde(flatten)]
    progress: Progress,
}

impl Pending {
    /// Notes what is about to be sent.
    pub(super) fn sent(&self, message: &ClientJsonRpcMessage) {
        match message {
            ClientJsonRpcMessage::Request(request) => {
                if let ClientRequest::CallToolRequest(call) = &request.request {
                    let told = call.extensions().get::<Told>();
                    if let Some(told) = told {
                        told.begun.store(true, Ordering::SeqCst);
                    }
                    let call = Call {
                        token: request.request.get_meta().get_progress_token(),
                        progress: told.map(|told| told.progress.clone()),
                    };
                    self.lock().insert(request.id.clone(), call);
                }
            }
            ClientJsonRpcMessage::Notification(notification) => {
                if let ClientNotification::CancelledNotification(cancelled) =
                    &notification.notification
                    && let Some(id) = &cancelled.params.request_id
                {
                    self.lock().remove(id);
                }
            }
            _ => {}
        }
    }

    /// Nothing is waited for.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// The call that this id replies to; it is waited for no longer.
    pub(super) fn take(&self, id: &RequestId) -> Option<RequestId> {
        let mut calls = self.lock();
        let awaited = calls.keys().find_map(|awaited| tap::is(awaited, id))?;
        calls.remove(&awaited);
        Some(awaited)
    }

    /// Hands on what a message says of a call's progress. Who listens too slowly misses some.
    pub(super) fn tell(&self, text: &str) {
        if !text.contains("notifications/progress") {
            return;
        }
        let Ok(Notification { method, params }) = serde_json::from_str(text) else { return };
        if method != "notifications/progress" {
            return;
        }
        let calls = self.lock();
        let call = calls.values().find(|call| call.token.as_ref() == Some(&params.token));
        if let Some(progress) = call.and_then(|call| call.progress.as_ref()) {
            let _ = progress.try_send(params.progress);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RequestId, Call>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
