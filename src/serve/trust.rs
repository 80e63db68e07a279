//! What operators are told of definitions: their history, what changed, what was found in them.
//!
//! Invariant: a definition itself is served by `/v1/tools` alone; here it is spoken of, and what
//! can't be seen of it is written out.

use std::sync::Arc;

use axum::extract::RawQuery;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;

use super::http::{MAX_PAGE, PAGE, Params, json};
use super::problem::Problem;
use super::scope::{Scoped, whole};
use crate::live::trusted::Known;
use crate::search::QueryError;
use crate::tool::{ContentHash, Tool, ToolId};
use crate::trust::checks::Finding;
use crate::trust::earlier::Earlier;
use crate::trust::feed::{Event, EventKind, Part};
use crate::trust::history::{Entry, Held, Version, Why};
use crate::trust::policy::{Level, Rule};

/// Since when a definition is known.
#[derive(Debug, Serialize, JsonSchema)]
pub struct History {
    /// When the tool was first seen.
    pub first_seen: String,
    /// Since when it has the definition that is served; null if it never had another.
    pub changed_at: Option<String>,
    /// BLAKE3 of the definition's bytes.
    pub hash: String,
    /// How often its server changed the definition.
    pub changes: u32,
}

/// Something odd in a definition.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Found {
    /// The rule that it breaks.
    pub rule: Rule,
    /// How much that means.
    pub level: Level,
    /// What it is.
    pub what: String,
    /// Where, as a JSON pointer into the definition.
    #[serde(rename = "where")]
    pub pointer: String,
    /// The place itself, with what can't be seen written out.
    pub excerpt: String,
}

/// A definition that is offered and not served.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HeldDefinition {
    /// BLAKE3 of its bytes.
    pub hash: String,
    /// Since when it is offered.
    pub since: String,
    /// Why it is not served.
    pub why: Why,
    /// What differs from the definition before, where that is known.
    pub parts: Vec<Part>,
    /// An operator has seen it and does not want it.
    pub rejected: bool,
    /// What was found in it.
    pub findings: Vec<Found>,
}

/// A definition that was served before.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EarlierDefinition {
    /// BLAKE3 of its bytes.
    pub hash: String,
    /// Until when it was served.
    pub until: String,
    /// Its bytes, as text.
    pub definition: String,
}

impl EarlierDefinition {
    /// Those of a tool, newest first.
    pub fn of(known: &Known, tool: &Tool) -> Vec<Self> {
        let earlier = known.book.earlier.of(&tool.id).iter().rev();
        let one = |it: &Earlier| Self {
            hash: it.hash.hex(),
            until: shown(it.until_ms),
            definition: it.definition.clone(),
        };
        earlier.map(one).collect()
    }
}

/// What is known of a tool beside its definition.
#[derive(Debug)]
pub struct About {
    /// See [`History`].
    pub history: Option<History>,
    /// Of the definition that is served.
    pub findings: Vec<Found>,
    /// A newer one.
    pub held: Option<HeldDefinition>,
}

impl About {
    /// What is known of a tool that is served.
    pub fn of(known: &Known, tool: &Tool) -> Self {
        let entry = known.book.entry(tool.server.as_str(), tool.own_name());
        let served = entry.and_then(|entry| entry.served.as_ref());
        let history = entry.zip(served).map(|(entry, served)| History {
            first_seen: shown(entry.first_seen_ms),
            changed_at: (served.since_ms > entry.first_seen_ms).then(|| shown(served.since_ms)),
            hash: tool.hash.hex(),
            changes: entry.changes,
        });
        let (of, name) = (tool.server.as_str(), &*tool.name);
        Self {
            history,
            findings: served.map(|it| found(known, of, name, it)).unwrap_or_default(),
            held: entry.and_then(|entry| Some(held(known, of, name, entry.held.as_ref()?))),
        }
    }
}

pub(super) fn held(known: &Known, server: &str, name: &str, held: &Held) -> HeldDefinition {
    HeldDefinition {
        hash: held.version.hash.hex(),
        since: shown(held.version.since_ms),
        why: held.why,
        parts: held.parts.clone(),
        rejected: held.rejected,
        findings: found(known, server, name, &held.version),
    }
}

fn found(known: &Known, server: &str, name: &str, version: &Version) -> Vec<Found> {
    let rules = known.policy.of(&server.into());
    let found = known.book.findings(server, name, version, rules);
    found.into_iter().map(|(level, finding)| Found::of(level, finding)).collect()
}

impl Found {
    /// A finding with its level.
    pub fn of(level: Level, finding: &Finding) -> Self {
        let Finding { rule, note: _, what, pointer, excerpt } = finding.clone();
        Self { rule, level, what, pointer, excerpt }
    }
}

/// A page of the feed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ChangePage {
    /// Oldest first.
    pub events: Vec<Change>,
    /// Give it as `since` to go on from here.
    pub next: u64,
    /// There are more already.
    pub more: bool,
    /// The number of the oldest event that is kept.
    pub oldest: u64,
    /// Events between `since` and the first of these are not kept any more.
    pub gap: bool,
}

/// Something that happened to a definition.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Change {
    /// Its number; they only grow.
    pub number: u64,
    /// When.
    pub at: String,
    /// What happened.
    pub kind: EventKind,
    /// The server that it happened to.
    pub server: String,
    /// The tool's id, unless it happened to the server as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// What of the definition changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub parts: Vec<Part>,
    /// BLAKE3 of the definition before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_hash: Option<String>,
    /// BLAKE3 of the definition that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_hash: Option<String>,
    /// The rules that it breaks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub rules: Vec<Rule>,
    /// How many tools, where it happened to the server as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<u64>,
}

impl From<&Event> for Change {
    fn from(event: &Event) -> Self {
        let hex = |hash: Option<[u8; 32]>| hash.map(|hash| ContentHash(hash).hex());
        Self {
            number: event.number,
            at: shown(event.at_ms),
            kind: event.kind,
            server: event.server.clone(),
            tool: event.tool.clone(),
            parts: event.parts.clone(),
            old_hash: hex(event.old),
            new_hash: hex(event.new),
            rules: event.rules.clone(),
            tools: event.tools,
        }
    }
}

/// `GET /v1/changes`
pub async fn changes(scoped: Scoped, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let live = whole(scoped)?;
    let params = Params::parse(query.as_deref(), &["since", "server", "limit"])?;
    let limit = limit(&params)?;
    let since = params.number("since")?.unwrap_or(0) as u64;
    let servers: Vec<String> = params.all("server");
    let known = live.known();
    // A server that is gone may still be asked for.
    let page = known
        .book
        .feed
        .page(since, limit, |event| servers.is_empty() || servers.contains(&event.server));
    Ok(json(&ChangePage {
        events: page.events.iter().map(|event| Change::from(&**event)).collect(),
        next: page.next,
        more: page.more,
        oldest: known.book.feed.range().1,
        gap: page.gap,
    }))
}

/// A page of findings.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FindingPage {
    /// Ordered by the tools' ids.
    pub tools: Vec<FoundTool>,
    /// Give it as `cursor` to get the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A tool in which something was found.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FoundTool {
    /// `server/name`.
    pub id: String,
    /// The server that offers it.
    pub server: String,
    /// Its name at that server.
    pub name: String,
    /// BLAKE3 of the definition that it was found in.
    pub hash: String,
    /// Why that definition is not served; absent if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<Why>,
    /// What was found.
    pub findings: Vec<Found>,
}

/// `GET /v1/findings`
pub async fn findings(scoped: Scoped, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let live = whole(scoped)?;
    let params = Params::parse(query.as_deref(), &["server", "rule", "level", "cursor", "limit"])?;
    let limit = limit(&params)?;
    let rules: Vec<Rule> = named(&params, "rule")?;
    let levels: Vec<Level> = named(&params, "level")?;
    let wanted = |found: &Found| {
        (rules.is_empty() || rules.contains(&found.rule))
            && (levels.is_empty() || levels.contains(&found.level))
    };
    let servers: Vec<String> = params.all("server");
    let known = live.known();
    if let Some(unknown) = servers.iter().find(|id| !known.book.servers.contains_key(id.as_str()))
        && !live.servers().contains_key(unknown.as_str())
    {
        return Err(QueryError::UnknownServer(unknown.clone()).into());
    }
    let cursor = params.one("cursor")?.unwrap_or("");
    let mut all: Vec<FoundTool> = Vec::new();
    for (server, name, entry) in known.book.offered() {
        if !servers.is_empty() && !servers.iter().any(|id| id == server.as_str()) {
            continue;
        }
        let Some(version) = entry.offered() else { continue };
        let mut findings = found(&known, server.as_str(), name, version);
        findings.retain(wanted);
        let id = ToolId::join(server, name);
        if !findings.is_empty() && id.as_str() > cursor {
            all.push(FoundTool {
                id: id.to_string(),
                server: server.to_string(),
                name: name.to_string(),
                hash: version.hash.hex(),
                held: why(entry),
                findings,
            });
        }
    }
    all.sort_by(|a, b| a.id.cmp(&b.id));
    let more = all.len() > limit;
    all.truncate(limit);
    let next_cursor = if more { all.last().map(|tool| tool.id.clone()) } else { None };
    Ok(json(&FindingPage { tools: all, next_cursor }))
}

fn why(entry: &Arc<Entry>) -> Option<Why> {
    entry.held.as_ref().map(|held| held.why)
}

fn limit(params: &Params) -> Result<usize, Problem> {
    let limit = params.number("limit")?.unwrap_or(PAGE);
    if (1..=MAX_PAGE).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::invalid(format!("limit is {limit}, it must be 1 to {MAX_PAGE}")))
}

/// The values of a parameter that has a few.
fn named<T: serde::de::DeserializeOwned>(params: &Params, name: &str) -> Result<Vec<T>, Problem> {
    let read = |text: String| {
        serde_json::from_value(serde_json::Value::String(text))
            .map_err(|error| Problem::invalid(format!("{name}: {error}")))
    };
    params.all(name).into_iter().map(read).collect()
}

/// A time as it is told, in UTC.
pub fn shown(at_ms: u64) -> String {
    let at = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(at_ms);
    humantime::format_rfc3339_seconds(at).to_string()
}
