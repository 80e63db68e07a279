//! The catalog as rows: what is known of each tool beside its definition, small enough that all
//! tools of a large catalog are read in a few pages.
//!
//! Invariant: a row says what `/v1/tools/{id}` and the history say of the same tool, in the caller's
//! view; its columns stand in the order of [`COLUMNS`].

use schemars::JsonSchema;
use serde::Serialize;

use crate::catalog::ToolIdx;
use crate::format::tokens::count_as;
use crate::index::Index;
use crate::live::trusted::Known;
use crate::tool::Tool;
use crate::trust::policy::Level;

/// Most rows in a page.
pub const MAX_ROWS: usize = 5_000;

/// What a row is made of.
const COLUMNS: [&str; 11] = [
    "name",
    "server",
    "title",
    "tokens",
    "bytes",
    "first_seen",
    "changed",
    "changes",
    "findings",
    "held",
    "twins",
];

/// A page of rows.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RowPage<'a> {
    /// The generation that was read.
    pub generation: u64,
    /// Tools there are, of the servers that were asked for.
    pub total: usize,
    /// The ids of the servers that the rows' second column counts from 0.
    pub servers: Vec<&'a str>,
    /// What each row has, in order.
    pub columns: [&'static str; 11],
    /// Ordered by id.
    pub rows: Vec<Row<'a>>,
    /// Give it as `cursor` to get the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<&'a str>,
}

/// A tool: name, position of its server, title, tokens (o200k) and bytes of the definition, since
/// when it is known, since when it has this definition (both in seconds since 1970; null where that
/// is unknown, or where it never had another), how often it changed, findings above a note, whether a
/// newer definition is held, and how many other servers have the same tool.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Row<'a>(
    &'a str,
    usize,
    Option<String>,
    usize,
    usize,
    Option<u64>,
    Option<u64>,
    u32,
    usize,
    bool,
    usize,
);

/// The page after `cursor` of the tools of these servers, all where there are none. Counts tokens, so
/// it takes a while where that is done for the first time.
pub fn page<'a>(
    index: &'a Index,
    known: &Known,
    servers: &[String],
    cursor: Option<&str>,
    limit: usize,
) -> RowPage<'a> {
    let tools = index.catalog.tools();
    let wanted = |tool: &Tool| {
        servers.is_empty() || servers.iter().any(|server| server == tool.server.as_str())
    };
    let total = if servers.is_empty() {
        tools.len()
    } else {
        tools.iter().filter(|tool| wanted(tool)).count()
    };
    let start = cursor.map_or(0, |last| tools.partition_point(|tool| tool.id.as_str() <= last));
    let mut rest = (0..).map(ToolIdx).zip(tools).skip(start).filter(|(_, tool)| wanted(tool));
    let mut page = RowPage {
        generation: index.generation,
        total,
        servers: Vec::new(),
        columns: COLUMNS,
        rows: Vec::new(),
        next_cursor: None,
    };
    let mut last = None;
    for (at, tool) in rest.by_ref().take(limit) {
        // Tools of one server mostly stand together.
        let server = tool.server.as_str();
        let position = page.servers.iter().rposition(|id| *id == server).unwrap_or_else(|| {
            page.servers.push(server);
            page.servers.len() - 1
        });
        page.rows.push(row(index, known, at, tool, position));
        last = Some(tool.id.as_str());
    }
    page.next_cursor = last.filter(|_| rest.next().is_some());
    page
}

fn row<'a>(index: &Index, known: &Known, at: ToolIdx, tool: &'a Tool, server: usize) -> Row<'a> {
    let definition = tool.definition.get();
    let entry = known.book.entry(tool.server.as_str(), tool.own_name());
    let version = entry.and_then(|entry| entry.served.as_ref());
    let findings = version.map_or(0, |version| {
        let rules = known.policy.of(&tool.server);
        let found = known.book.findings(tool.server.as_str(), &tool.name, version, rules);
        found.iter().filter(|(level, _)| *level > Level::Note).count()
    });
    let changed_ms =
        entry.zip(version).map(|(entry, version)| (entry.first_seen_ms, version.since_ms));
    let changed_ms = changed_ms.filter(|(first, since)| since > first).map(|(_, since)| since);
    Row(
        &tool.name,
        server,
        tool.view().title.map(std::borrow::Cow::into_owned),
        count_as(tool.hash, || definition),
        definition.len(),
        entry.map(|entry| entry.first_seen_ms / 1_000),
        changed_ms.map(|at| at / 1_000),
        entry.map_or(0, |entry| entry.changes),
        findings,
        entry.is_some_and(|entry| entry.held.is_some()),
        index.twins.of(at).len().saturating_sub(1),
    )
}
