//! Calls of tools at their servers, passed on.
//!
//! Each server that is called has one connection of its own for it, apart from the crawl's: opened
//! when it is first called, closed when it has been idle for a while, when its entry changes or goes,
//! and at the end. Invariant: a result is the text that the server sent, and nothing is sent to it
//! a second time unless it says that this does no harm or cannot have heard of the first.

mod error;
mod line;
mod send;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::error::CallError;
use self::line::Line;
pub use self::send::Input;
use self::send::{Failure, Limits};
use super::pending::Progress;
use super::{Hold, Wanted};
use crate::auth::Accounts;
use crate::config::{Allow, CallConfig, CrawlConfig, Transport};
use crate::tool::{Members, ServerId, Tool};

/// A call to pass on.
#[derive(Debug, Clone)]
pub struct Call {
    /// What is called, as it is served.
    pub tool: Arc<Tool>,
    /// Its arguments.
    pub arguments: serde_json::Map<String, Value>,
    /// What goes with it where the caller can be asked back; `None` where it can't.
    pub input: Option<Input>,
    /// Who hears how far it has come.
    pub progress: Option<mpsc::Sender<Progress>>,
}

/// A handle on the connections for calls; cheap to clone.
#[derive(Clone)]
pub struct Caller(Arc<Inner>);

struct Inner {
    config: ArcSwap<CallConfig>,
    /// Whether calls are passed on at all.
    on: watch::Sender<bool>,
    crawl: CrawlConfig,
    accounts: Accounts,
    shutdown: CancellationToken,
    tasks: TaskTracker,
    running: Arc<AtomicUsize>,
    servers: Mutex<BTreeMap<ServerId, Known>>,
}

/// What is known of a server.
enum Known {
    /// It can be called.
    Open(Arc<Line>),
    /// It can't, for this reason.
    Shut(&'static str),
}

impl Caller {
    /// Nothing can be called.
    pub fn none() -> Self {
        let crawl = CrawlConfig { concurrency: 1, max_pages: 1, max_tools: 1, max_bytes: 1 };
        let token = CancellationToken::new();
        Self::new(crawl, Accounts::none(), token, TaskTracker::new())
    }

    /// Nothing is called before [`Caller::configure`] switches it on. Connections are closed by
    /// `tasks` once `shutdown` is cancelled.
    pub(super) fn new(
        crawl: CrawlConfig,
        accounts: Accounts,
        shutdown: CancellationToken,
        tasks: TaskTracker,
    ) -> Self {
        Self(Arc::new(Inner {
            config: ArcSwap::default(),
            on: watch::Sender::new(false),
            crawl,
            accounts,
            shutdown,
            tasks,
            running: Arc::default(),
            servers: Mutex::default(),
        }))
    }

    /// What is to be called and how, from the next call on.
    pub fn configure(&self, config: CallConfig) {
        let on = config.enabled;
        self.0.config.store(Arc::new(config));
        self.0.on.send_replace(on);
    }

    /// Resolves when calls are passed on, or are not, unlike `before`.
    pub async fn switched(&self, before: bool) {
        // The sender lives in `self`, so waiting can't fail.
        let _ = self.0.on.subscribe().wait_for(|on| *on != before).await;
    }

    /// How it is configured.
    pub fn config(&self) -> Arc<CallConfig> {
        self.0.config.load_full()
    }

    /// Makes these the servers: connections to others are closed, and to those whose entry is
    /// another now.
    pub(super) fn apply(&self, wanted: &[Wanted]) {
        let mut servers = self.lock();
        let mut before = std::mem::take(&mut *servers);
        for Wanted { server, hold } in wanted {
            let known = match (hold, &server.transport) {
                _ if !server.enabled => Known::Shut("it is switched off in the configuration"),
                (Some(Hold::Paused), _) => Known::Shut("it is paused by an operator"),
                (Some(Hold::Pending), _) => Known::Shut("no operator has approved it yet"),
                (None, Transport::Catalog { .. }) => {
                    Known::Shut("its definitions come from a file: nobody answers")
                }
                (None, _) => match before.remove(&server.id) {
                    Some(Known::Open(line)) if line.server.same_as(server) => Known::Open(line),
                    other => {
                        close(other);
                        let account = self.0.accounts.of(server);
                        let stop = self.0.shutdown.child_token();
                        Known::Open(Arc::new(Line::new(Arc::clone(server), account, stop)))
                    }
                },
            };
            servers.insert(server.id.clone(), known);
        }
        for known in before.into_values() {
            close(Some(known));
        }
    }

    /// Whether this tool may be called; else which setting would allow it.
    pub fn permits(&self, tool: &Tool) -> Result<(), CallError> {
        let config = self.0.config.load();
        if !config.enabled {
            return Err(CallError::Off);
        }
        let own = config.servers.get(&tool.server).copied();
        match own.unwrap_or(config.allow) {
            Allow::All => Ok(()),
            Allow::Off if own.is_some() => Err(CallError::ServerOff(tool.server.clone())),
            Allow::Off => Err(CallError::NoneAllowed),
            Allow::ReadOnly if hint(tool, "readOnlyHint") => Ok(()),
            Allow::ReadOnly => {
                Err(CallError::NotReadOnly { id: tool.id.clone(), server: tool.server.clone() })
            }
        }
    }

    /// The result of a call, as its server sent it. Who drops this future cancels the call.
    pub async fn call(&self, call: &Call) -> Result<String, CallError> {
        self.permits(&call.tool)?;
        let (server, config) = (&call.tool.server, self.config());
        let line = match self.lock().get(server) {
            Some(Known::Open(line)) => Arc::clone(line),
            Some(Known::Shut(why)) => return Err(CallError::unavailable(server, *why)),
            None => {
                return Err(CallError::unavailable(server, "nothing is known of how to reach it"));
            }
        };
        let most = config.max_concurrent;
        let _here = Running::within(&self.0.running, most).ok_or(CallError::Busy { most })?;
        let most = config.max_per_server;
        let busy = || CallError::ServerBusy { server: server.clone(), most };
        let _there = Running::within(&line.running, most).ok_or_else(busy)?;
        let limits = Limits {
            idle: config.timeout,
            whole: config.max_timeout,
            end: Instant::now() + config.max_timeout,
        };
        let result = self.attempt(&line, call, limits, config.idle).await;
        let result = match result {
            Err(Failure::Connection { error, sent }) if retries(&error, sent, &call.tool) => {
                tracing::debug!(tool = %call.tool.id, %error, "called once more");
                self.attempt(&line, call, limits, config.idle).await
            }
            result => result,
        };
        let result = result.map_err(|failure| line.error(failure))?;
        if result.len() > config.max_result_bytes {
            return Err(CallError::TooLarge {
                id: call.tool.id.clone(),
                bytes: result.len(),
                most: config.max_result_bytes,
            });
        }
        Ok(result)
    }

    async fn attempt(
        &self,
        line: &Arc<Line>,
        call: &Call,
        limits: Limits,
        idle: Duration,
    ) -> Result<String, Failure> {
        let open = line.open(&self.0.crawl, idle, &self.0.tasks);
        let opened =
            tokio::time::timeout_at(limits.end, tokio::time::timeout(line.server.timeout, open));
        let session = match opened.await {
            Ok(Ok(opened)) => opened.map_err(Failure::NoConnection)?,
            _ => return Err(Failure::Timeout(line.server.timeout.min(limits.whole))),
        };
        // The name at its server is what follows the server in the id, whatever it is called here.
        let tool = &call.tool;
        let name = tool.id.as_str().strip_prefix(tool.server.as_str());
        let name = name.and_then(|name| name.strip_prefix('/')).unwrap_or(&tool.name);
        session.call(name, call, limits).await
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ServerId, Known>> {
        self.0.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn close(known: Option<Known>) {
    if let Some(Known::Open(line)) = known {
        line.stop();
    }
}

/// What a definition says of its tool; false where it says nothing.
pub fn hint(tool: &Tool, name: &str) -> bool {
    let annotations = Members::of(&tool.definition).and_then(|definition| {
        let annotations = definition.get("annotations")?;
        let hint = Members::of(annotations)?.get(name)?.get() == "true";
        Some(hint)
    });
    annotations.unwrap_or(false)
}

/// A second attempt is worth it, and does no harm.
fn retries(error: &super::CrawlError, sent: bool, tool: &Tool) -> bool {
    use super::CrawlError::{Closed, Exited, Unreachable};
    let passes = matches!(error, Closed(_) | Exited { .. } | Unreachable(_));
    passes && (!sent || hint(tool, "idempotentHint"))
}

/// One of the calls that are under way.
pub struct Running(Arc<AtomicUsize>);

impl Running {
    /// One more, unless there are `most` already.
    pub fn within(count: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let more = |now: usize| (now < most).then_some(now + 1);
        count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).ok()?;
        Some(Self(Arc::clone(count)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_count_only_where_they_are_true() {
        let tool = |annotations: &str| {
            let text = format!(r#"{{"name":"x"{annotations}}}"#);
            Tool::parse(&"srv".into(), &text).unwrap()
        };
        for (annotations, reads) in [
            (r#","annotations":{"readOnlyHint":true}"#, true),
            (r#","annotations":{"readOnlyHint":false}"#, false),
            (r#","annotations":{"readOnlyHint":"true"}"#, false),
            (r#","annotations":[]"#, false),
            (r#","readOnlyHint":true"#, false),
            ("", false),
        ] {
            assert_eq!(hint(&tool(annotations), "readOnlyHint"), reads, "{annotations}");
        }
    }
}
