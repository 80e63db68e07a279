//! A server that is a child process, over its stdin and stdout.
//!
//! Invariant: when the transport is gone, so is every process of the child's group.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use rmcp::service::RoleClient;
use rmcp::transport::Transport;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinHandle;
use tokio_util::codec::FramedRead;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::error::{CrawlError, Secrets, clip};
use super::lines::Lines;
use super::session::Fault;
use super::tap::LineTap;
use crate::tool::ServerId;

/// What a child gets of our environment, beside what its configuration names.
const INHERITED: [&str; 9] =
    ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR", "TERM", "SHELL", "LOGNAME"];
/// The longest message, unless `max_bytes` is less.
const MAX_LINE: usize = 16 << 20;
/// What may wait for a child to read it, of all messages together.
const MAX_UNREAD: usize = 8 << 20;
/// A child that reads nothing for so long, while something waits for it, reads no more.
const STALLED: Duration = Duration::from_mins(1);
/// The longest line of stderr that is logged.
const MAX_LOGGED: usize = 2_000;
/// How long a child may take to end once its stdin is closed.
const GRACE: Duration = Duration::from_secs(2);

/// How long it may take then to end at a SIGTERM, before it is killed.
const TERM: Duration = Duration::from_secs(1);

/// How long its stderr is read on after that, for the reason.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// How often it is looked whether those that were killed are gone.
const LOOK: Duration = Duration::from_millis(5);

/// How to start a child.
pub(super) struct Program<'a> {
    pub(super) command: &'a str,
    pub(super) args: &'a [String],
    pub(super) env: &'a [(String, SecretString)],
    pub(super) cwd: Option<&'a Path>,
}

/// rmcp's transport to a child, with the tap in it.
pub(super) struct StdioTransport {
    group: Group,
    stdin: Arc<AsyncMutex<Option<ChildStdin>>>,
    /// Bytes that wait to be read by the child.
    unread: Arc<AtomicUsize>,
    /// Cancelled when it reads no more.
    stalled: CancellationToken,
    stdout: FramedRead<ChildStdout, Lines>,
    stderr: JoinHandle<()>,
    last_words: LastWords,
    tap: LineTap,
    max_bytes: usize,
    server: ServerId,
    fault: Fault,
}

type LastWords = Arc<Mutex<String>>;

impl StdioTransport {
    pub(super) fn spawn(
        program: &Program<'_>,
        server: &ServerId,
        secrets: &Secrets,
        max_bytes: usize,
        fault: Fault,
    ) -> Result<Self, CrawlError> {
        if let Some(cwd) = program.cwd.filter(|cwd| !cwd.is_dir()) {
            return Err(CrawlError::NoFolder(cwd.into()));
        }
        let mut command = Command::new(program.command);
        command
            .args(program.args)
            .env_clear()
            .envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .envs(program.env.iter().map(|(name, value)| (name, OsStr::new(value.expose_secret()))))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if let Some(cwd) = program.cwd {
            command.current_dir(cwd);
        }
        let mut child = command.spawn().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => CrawlError::CommandNotFound(program.command.into()),
            _ => CrawlError::Spawn { command: program.command.into(), source },
        })?;
        let no_pipe = || CrawlError::Closed(": the child has no pipes".into());
        let stdin = child.stdin.take().ok_or_else(no_pipe)?;
        let stdout = child.stdout.take().ok_or_else(no_pipe)?;
        let stderr = child.stderr.take().ok_or_else(no_pipe)?;
        let last_words = LastWords::default();
        let log = log(stderr, server.clone(), secrets.clone(), Arc::clone(&last_words));
        let stderr = tokio::spawn(log.in_current_span());
        let max_bytes = max_bytes.min(MAX_LINE);
        Ok(Self {
            group: Group::of(child),
            stdin: Arc::new(AsyncMutex::new(Some(stdin))),
            unread: Arc::default(),
            stalled: CancellationToken::new(),
            stdout: FramedRead::new(stdout, Lines::up_to(max_bytes)),
            stderr,
            last_words,
            tap: LineTap::default(),
            max_bytes,
            server: server.clone(),
            fault,
        })
    }

    /// Why there is no more to read.
    async fn ended(&mut self) -> CrawlError {
        let status = tokio::time::timeout(GRACE, self.group.child.wait()).await;
        let status = match status {
            Ok(Ok(status)) => status.to_string(),
            _ => "it closed its stdout".into(),
        };
        if !self.stderr.is_finished() {
            let _ = tokio::time::timeout(LAST_WORDS, &mut self.stderr).await;
        }
        let last_words = self.last_words.lock().unwrap_or_else(PoisonError::into_inner);
        CrawlError::Exited {
            status,
            last_words: match last_words.as_str() {
                "" => String::new(),
                line => format!("; its last words: {line}"),
            },
        }
    }
}

impl Transport<RoleClient> for StdioTransport {
    type Error = io::Error;

    fn name() -> Cow<'static, str> {
        "stdio".into()
    }

    fn send(
        &mut self,
        message: ClientJsonRpcMessage,
    ) -> impl Future<Output = Result<(), io::Error>> + Send + 'static {
        self.tap.sent(&message);
        let stdin = Arc::clone(&self.stdin);
        let unread = Arc::clone(&self.unread);
        let stalled = self.stalled.clone();
        async move {
            let mut line = serde_json::to_vec(&message)?;
            drop(message);
            line.push(b'\n');
            // Nobody takes back what was not read when its call is given up: the line would be cut.
            let _waits = Unread::within(&unread, line.len()).ok_or_else(not_read)?;
            let mut stdin = stdin.lock().await;
            let pipe = stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
            let mut rest = &line[..];
            while !rest.is_empty() {
                let Ok(written) = tokio::time::timeout(STALLED, pipe.write(rest)).await else {
                    // Those that wait behind this one learn it at once.
                    *stdin = None;
                    stalled.cancel();
                    return Err(not_read());
                };
                rest = &rest[written?..];
            }
            pipe.flush().await
        }
    }

    async fn receive(&mut self) -> Option<ServerJsonRpcMessage> {
        loop {
            let next = tokio::select! {
                next = self.stdout.next() => next,
                () = self.stalled.cancelled() => {
                    self.fault.set(CrawlError::Closed(format!(": {}", not_read())));
                    return None;
                }
            };
            let line = match next {
                Some(Ok(line)) if line.cut => {
                    self.fault.set(CrawlError::TooManyBytes(self.max_bytes));
                    return None;
                }
                Some(Ok(line)) => line.bytes,
                Some(Err(_)) | None => {
                    let why = self.ended().await;
                    self.fault.set(why);
                    return None;
                }
            };
            if line.trim_ascii().is_empty() {
                continue;
            }
            match self.tap.received(&line) {
                Ok(Some(message)) => return Some(message),
                Ok(None) => {}
                Err(_) => tracing::debug!(server = %self.server, bytes = line.len(),
                    "a line on stdout is not JSON-RPC: skipped"),
            }
        }
    }

    async fn close(&mut self) -> Result<(), io::Error> {
        // A send that hangs holds the lock; such a child is killed below.
        if let Ok(mut stdin) = self.stdin.try_lock() {
            *stdin = None;
        }
        let mut ended = tokio::time::timeout(GRACE, self.group.child.wait()).await.is_ok();
        if !ended {
            self.group.signal(Signal::TERM);
            ended = tokio::time::timeout(TERM, self.group.child.wait()).await.is_ok();
        }
        self.group.kill();
        if !ended {
            self.group.child.wait().await?;
        }
        Ok(())
    }
}

/// Bytes of a message that waits to be read.
struct Unread {
    all: Arc<AtomicUsize>,
    own: usize,
}

impl Unread {
    /// So many more, where they are the first or there is room for them.
    fn within(all: &Arc<AtomicUsize>, own: usize) -> Option<Self> {
        let more = |now: usize| (now == 0 || now + own <= MAX_UNREAD).then_some(now + own);
        all.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).ok()?;
        Some(Self { all: Arc::clone(all), own })
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.all.fetch_sub(self.own, Ordering::SeqCst);
    }
}

fn not_read() -> io::Error {
    io::Error::new(io::ErrorKind::WouldBlock, "it does not read what it was sent before")
}

/// A child that leads a process group of its own, and what it started.
struct Group {
    child: Child,
    id: Option<Pid>,
}

/// Every group there is, for an end that waits for no task.
struct Groups {
    running: BTreeSet<i32>,
    /// Killed, and perhaps not gone yet: their ids are looked at, and never signalled again.
    killed: BTreeSet<i32>,
}

static GROUPS: Mutex<Groups> =
    Mutex::new(Groups { running: BTreeSet::new(), killed: BTreeSet::new() });

impl Groups {
    fn lock() -> MutexGuard<'static, Self> {
        GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_gone(&mut self) {
        let is_there =
            |id: &i32| Pid::from_raw(*id).is_some_and(|id| test_kill_process(id).is_ok());
        self.killed.retain(is_there);
    }
}

/// Kills every group.
pub(super) fn kill_all() {
    for id in Groups::lock().running.iter().filter_map(|id| Pid::from_raw(*id)) {
        let _ = kill_process_group(id, Signal::KILL);
    }
}

/// Resolves when no child is left: one whose transport was dropped was killed without a wait.
pub(super) async fn all_gone() {
    loop {
        {
            let mut groups = Groups::lock();
            groups.forget_gone();
            if groups.running.is_empty() && groups.killed.is_empty() {
                return;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

impl Group {
    fn of(child: Child) -> Self {
        let id = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Groups::lock().running.extend(id.map(Pid::as_raw_pid));
        Self { child, id }
    }

    fn signal(&self, signal: Signal) {
        if let Some(id) = self.id {
            // Fails where the group has no process any more, which is what is wanted.
            let _ = kill_process_group(id, signal);
        }
    }

    fn kill(&mut self) {
        self.signal(Signal::KILL);
        if let Some(id) = self.id.take() {
            let (mut groups, id) = (Groups::lock(), id.as_raw_pid());
            groups.running.remove(&id);
            groups.forget_gone();
            groups.killed.insert(id);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn log(stderr: ChildStderr, server: ServerId, secrets: Secrets, last_words: LastWords) {
    let mut lines = FramedRead::new(stderr, Lines::up_to(MAX_LOGGED));
    while let Some(Ok(line)) = lines.next().await {
        let text = secrets.mask(&String::from_utf8_lossy(&line.bytes));
        if text.is_empty() {
            continue;
        }
        tracing::info!(%server, "stderr: {text}");
        *last_words.lock().unwrap_or_else(PoisonError::into_inner) = clip(&text, 200);
    }
}
