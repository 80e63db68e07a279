//! What is kept of one event, and how it is written.
//!
//! Invariant: queries and arguments are written as the configuration says and in no other place of
//! a line; nothing of a result is.

use std::borrow::Cow;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::{Map, Value};

use super::Seal;
use crate::access::caller::{Caller, Proof};
use crate::config::{AuditConfig, Told};
use crate::redact;
use crate::sealed::write_new;
use crate::tool::ToolId;

/// The longest text that a caller chooses and that is kept, but for queries and arguments.
const LONGEST: usize = 256;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Tools were looked for.
    Search,
    /// Tools were chosen for a conversation.
    Select,
    /// One definition was read.
    Get,
    /// Definitions or servers were listed.
    List,
    /// A tool was called, or was to be.
    Call,
    /// An operator's route was used.
    Admin,
    /// A login at a server was begun or ended.
    Login,
    /// A request was refused for who sent it.
    Refused,
    /// The log was opened: the service began.
    Opened,
    /// Events are missing here.
    Dropped,
    /// The oldest file was let go.
    Pruned,
}

/// Which way it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// The HTTP API.
    Http,
    /// MCP over HTTP.
    Mcp,
    /// MCP over stdin and stdout.
    Stdio,
    /// Nobody asked: the log speaks of itself.
    Own,
}

/// An event.
#[derive(Debug, Clone)]
pub struct Event {
    /// When it ended.
    pub at: SystemTime,
    /// The id of its request.
    pub request: Option<Arc<str>>,
    /// Which way it came.
    pub way: Way,
    /// Who asked.
    pub caller: Option<Caller>,
    /// From where.
    pub address: Option<IpAddr>,
    /// Through which profile.
    pub profile: Option<Arc<str>>,
    /// What was done.
    pub action: Action,
    /// To what: a path, a server.
    pub target: Option<String>,
    /// What was looked for.
    pub queries: Vec<String>,
    /// Which tools came back, best first, or which one was called.
    pub tools: Vec<ToolId>,
    /// How many did, or were dropped, where they are not named.
    pub count: Option<u64>,
    /// The generation that answered.
    pub generation: Option<u64>,
    /// What a tool was called with.
    pub arguments: Option<Map<String, Value>>,
    /// How it ended, in a word.
    pub outcome: Cow<'static, str>,
    /// How long it took.
    pub took: Option<Duration>,
}

impl Event {
    /// An event of the log itself.
    pub fn own(action: Action, outcome: impl Into<Cow<'static, str>>) -> Self {
        Self {
            at: SystemTime::now(),
            request: None,
            way: Way::Own,
            caller: None,
            address: None,
            profile: None,
            action,
            target: None,
            queries: Vec::new(),
            tools: Vec::new(),
            count: None,
            generation: None,
            arguments: None,
            outcome: outcome.into(),
            took: None,
        }
    }

    /// How many bytes it has, roughly.
    pub(super) fn size(&self) -> usize {
        let queries: usize = self.queries.iter().map(String::len).sum();
        let arguments = self.arguments.iter().flatten();
        let arguments: usize = arguments.map(|(name, value)| name.len() + size_of(value)).sum();
        let tools = self.tools.len() * std::mem::size_of::<ToolId>();
        std::mem::size_of::<Self>() + queries + arguments + tools
    }

    /// So many events are missing.
    pub(super) fn dropped(count: u64) -> Self {
        Self { count: Some(count), ..Self::own(Action::Dropped, "lost") }
    }
}

/// Bytes of a value; it was read by something that bounds how deep it is.
fn size_of(value: &Value) -> usize {
    std::mem::size_of::<Value>()
        + match value {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(size_of).sum(),
            Value::Object(members) => {
                members.iter().map(|(name, value)| name.len() + size_of(value)).sum()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
}

/// A line, but for its place in the chain.
#[derive(Serialize)]
struct Line<'a> {
    at: String,
    action: Action,
    outcome: &'a str,
    way: Way,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    queries: Vec<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tools: &'a [ToolId],
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    took_us: Option<u64>,
}

/// What is kept of texts, and the key of their hashes.
pub(super) struct Kept {
    queries: Told,
    arguments: Told,
    key: [u8; 32],
}

impl Kept {
    /// As configured. Without a key of the chain the hashes have one of their own, kept beside the log:
    /// a short text could be guessed from a hash that anybody can make.
    pub(super) fn new(config: &AuditConfig, path: &Path, seal: &Seal) -> std::io::Result<Self> {
        let context = "toolscout audit log, hashes of texts";
        let key = match seal.derived(context) {
            Some(key) => key,
            None => blake3::derive_key(context, &salt(&path.with_extension("salt"))?),
        };
        Ok(Self { queries: config.queries, arguments: config.arguments, key })
    }

    /// The event as an object.
    pub(super) fn of(&self, event: &Event) -> String {
        let caller = event.caller.as_ref();
        let profile = event.profile.as_deref().or_else(|| caller?.profile.as_deref());
        let line = Line {
            at: humantime::format_rfc3339_millis(event.at).to_string(),
            action: event.action,
            outcome: &event.outcome,
            way: event.way,
            request: event.request.as_deref(),
            caller: caller.map(|caller| cut(&caller.name)),
            proof: caller.map(|caller| proof(caller.proof)),
            tenant: caller.and_then(|caller| caller.tenant.as_deref()),
            profile,
            address: event.address,
            target: event.target.as_deref().map(cut),
            queries: event.queries.iter().filter_map(|query| self.query(query)).collect(),
            tools: &event.tools,
            count: event.count,
            generation: event.generation,
            arguments: event.arguments.as_ref().and_then(|arguments| self.arguments(arguments)),
            took_us: event.took.map(|took| u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
        };
        // Strings, numbers and values: this can't fail to be written.
        serde_json::to_string(&line).unwrap_or_else(|_| "{}".to_owned())
    }

    fn query(&self, query: &str) -> Option<String> {
        match self.queries {
            Told::Full => Some(query.to_owned()),
            Told::Redact => Some(redact::text(query)),
            Told::Hash => Some(self.hash(query)),
            Told::None => None,
        }
    }

    fn arguments(&self, arguments: &Map<String, Value>) -> Option<Value> {
        match self.arguments {
            Told::Full => Some(Value::Object(arguments.clone())),
            Told::Redact => Some(Value::Object(redact::object(arguments))),
            Told::Hash => {
                let text = serde_json::to_string(arguments).unwrap_or_default();
                Some(self.hash(&text).into())
            }
            Told::None => None,
        }
    }

    fn hash(&self, text: &str) -> String {
        let hash = blake3::keyed_hash(&self.key, text.as_bytes()).to_hex();
        format!("blake3:{}", &hash[..32])
    }
}

fn proof(proof: Proof) -> &'static str {
    match proof {
        Proof::None => "none",
        Proof::Operator => "operator",
        Proof::Key => "key",
        Proof::Token => "token",
        Proof::Certificate => "certificate",
    }
}

fn cut(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

/// What is in this file, made if there is none.
fn salt(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    write_new(path, &blake3::Hash::from(bytes).to_hex())?;
    std::fs::read(path)
}
