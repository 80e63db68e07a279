//! Reads a listing to its end: pages, limits, and what can be saved of a malformed page.
//!
//! Invariant: a [`Listing`] is complete. What is cut short in any way is an error.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use rmcp::model::ServerPeerInfo;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::{CrawlError, clip};
use super::session::{Era, Session, is_unknown_method};
use super::tap::Reply;
use crate::catalog::{Listing, ServerInfo};
use crate::config::{CrawlConfig, ServerConfig};
use crate::tool::Tool;

/// The longest name of a tool, in bytes: the protocol asks for 128 characters at most.
const MAX_NAME: usize = 1 << 10;
/// What is kept of a server's own description.
const MAX_DESCRIPTION: usize = 4 << 10;
/// Defects that are reported; the rest is counted.
const MAX_DEFECTS: usize = 100;

/// Asks for every page, as `who` logged in.
pub(super) async fn list(
    session: &Session,
    server: &ServerConfig,
    who: &str,
    limits: &CrawlConfig,
) -> Result<Listing, CrawlError> {
    let mut pages = Pages::new(server, limits);
    let mut cursor = None;
    loop {
        let reply = match session.page(cursor).await {
            Err(error) if is_unknown_method(&error) && !session.offers_tools() => break,
            reply => reply?,
        };
        cursor = pages.add(&reply)?;
        if cursor.is_none() {
            break;
        }
    }
    let info = ServerInfo {
        event_stream: session.era == Era::EventStream,
        ..describe(session.info(), server)
    };
    Ok(pages.finish(info, who))
}

/// The pages read so far.
pub(super) struct Pages<'a> {
    server: &'a ServerConfig,
    limits: &'a CrawlConfig,
    read: usize,
    bytes: usize,
    /// Every element, kept or not.
    elements: usize,
    cursors: HashSet<String>,
    names: HashSet<String>,
    tools: Vec<Tool>,
    defects: Vec<String>,
    more_defects: usize,
    /// The shortest time that any page holds.
    ttl: Option<Duration>,
    /// A page is not for everybody.
    private: bool,
}

/// The parts of a page, read one by one so that each error is named.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    #[serde(borrow)]
    next_cursor: Option<&'a RawValue>,
    #[serde(borrow)]
    ttl_ms: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_scope: Option<&'a RawValue>,
}

impl Page<'_> {
    /// How long it holds; hints that are none are passed over.
    fn ttl(&self) -> Option<Duration> {
        let millis: f64 = serde_json::from_str(self.ttl_ms?.get()).ok()?;
        Duration::try_from_secs_f64(millis / 1_000.0).ok()
    }

    /// It is for us alone: what is not said to be for everybody is not.
    fn is_private(&self) -> bool {
        self.cache_scope.is_some_and(|scope| scope.get() != "\"public\"")
    }
}

impl<'a> Pages<'a> {
    pub(super) fn new(server: &'a ServerConfig, limits: &'a CrawlConfig) -> Self {
        Self {
            server,
            limits,
            read: 0,
            bytes: 0,
            elements: 0,
            cursors: HashSet::new(),
            names: HashSet::new(),
            tools: Vec::new(),
            defects: Vec::new(),
            more_defects: 0,
            ttl: None,
            private: false,
        }
    }

    /// Takes a page in; the cursor of the next one, if there is one.
    pub(super) fn add(&mut self, reply: &Reply) -> Result<Option<String>, CrawlError> {
        self.read += 1;
        self.bytes += reply.raw.len();
        if self.bytes > self.limits.max_bytes {
            return Err(CrawlError::TooManyBytes(self.limits.max_bytes));
        }
        let malformed = |why: String| CrawlError::Page { page: self.read, why };
        let page: Page<'_> = serde_json::from_str(&reply.raw)
            .map_err(|error| malformed(clip(&error.to_string(), 200)))?;
        let elements: Vec<Box<RawValue>> = page
            .tools
            .and_then(|tools| serde_json::from_str(tools.get()).ok())
            .ok_or_else(|| malformed("`tools` is not an array".into()))?;
        // An empty cursor is one too.
        let cursor: Option<String> = page
            .next_cursor
            .map(|cursor| serde_json::from_str(cursor.get()))
            .transpose()
            .map_err(|_| malformed("`nextCursor` is not a string".into()))?;

        self.ttl = self.ttl.into_iter().chain(page.ttl()).min();
        self.private |= page.is_private();
        self.elements += elements.len();
        if self.elements > self.limits.max_tools {
            return Err(CrawlError::TooManyTools(self.limits.max_tools));
        }
        for (at, element) in elements.into_iter().enumerate() {
            match Tool::from_raw(&self.server.id, element) {
                Ok(tool) => self.keep(tool, reply),
                Err(why) => {
                    let page = self.read;
                    self.defect(format!("tool {} of page {page} left out: {why}", at + 1));
                }
            }
        }
        if let Some(cursor) = &cursor {
            if !self.cursors.insert(cursor.clone()) {
                return Err(CrawlError::CursorLoop(self.read));
            }
            if self.read >= self.limits.max_pages {
                return Err(CrawlError::TooManyPages(self.limits.max_pages));
            }
        }
        Ok(cursor)
    }

    fn keep(&mut self, tool: Tool, reply: &Reply) {
        if !self.server.names.admits(&tool.name) {
            return;
        }
        let name = clip(&tool.name, 200);
        if tool.name.len() > MAX_NAME {
            return self.defect(format!("{name} left out: its name has over {MAX_NAME} bytes"));
        }
        if reply.rejected.iter().any(|rejected| **rejected == *tool.name) {
            return self.defect(format!("{name} left out: its x-mcp-header is invalid"));
        }
        if !self.names.insert(tool.name.to_string()) {
            return self.defect(format!("{name} is listed again: the first one is kept"));
        }
        if let Some(defect) = tool.defect() {
            self.defect(format!("{name}: {defect}"));
        }
        self.tools.push(tool);
    }

    fn defect(&mut self, line: String) {
        if self.defects.len() < MAX_DEFECTS {
            self.defects.push(line);
        } else {
            self.more_defects += 1;
        }
    }

    pub(super) fn finish(mut self, mut info: ServerInfo, who: &str) -> Listing {
        info.ttl = self.ttl;
        info.private_to = self.private.then(|| self.server.mark(who));
        if self.more_defects > 0 {
            self.defects.push(format!("and {} more", self.more_defects));
        }
        Listing { info, tools: self.tools, crawled_at: SystemTime::now(), defects: self.defects }
    }
}

fn describe(said: &ServerPeerInfo, server: &ServerConfig) -> ServerInfo {
    let identity = said.server_info.as_ref();
    let texts = [
        identity.and_then(|identity| identity.description.as_deref()),
        said.instructions.as_deref(),
    ];
    let mut description = texts
        .into_iter()
        .flatten()
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join("\n\n");
    description.truncate(description.floor_char_boundary(MAX_DESCRIPTION));
    let title = server
        .title
        .as_deref()
        .or_else(|| identity?.title.as_deref())
        .or_else(|| Some(identity?.name.as_str()));
    ServerInfo {
        title: title.filter(|title| !title.is_empty()).map(str::to_owned),
        description: (!description.is_empty()).then_some(description),
        protocol: Some(said.protocol_version.to_string()),
        ..ServerInfo::default()
    }
}
