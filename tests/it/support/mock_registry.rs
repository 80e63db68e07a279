//! A registry that follows the schema of MCP registries, or breaks it as a test tells it.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use url::form_urlencoded;

use super::mock_site::{MockSite, Reply};

/// How it answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// As it should.
    #[default]
    Well,
    /// With HTTP 500.
    Down,
    /// The same cursor with every page.
    Endless,
    /// A new cursor with every page.
    Growing,
    /// More bytes than anybody reads.
    Huge,
    /// Something else.
    Garbage,
}

/// What it holds.
#[derive(Default)]
struct Held {
    entries: Vec<Value>,
    mood: Mood,
    page: usize,
}

/// The running registry.
pub struct MockRegistry {
    pub url: String,
    pub site: MockSite,
    held: Arc<Mutex<Held>>,
}

/// An entry: a server with one remote, changed at this second of a day.
pub fn entry(name: &str, url: &str, second: u32) -> Value {
    json!({
        "server": {
            "$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
            "name": name, "title": format!("The {name}"), "description": "For tests", "version": "1.0.0",
            "remotes": [{"type": "streamable-http", "url": url}],
        },
        "_meta": {"io.modelcontextprotocol.registry/official": {
            "status": "active", "publishedAt": time(0), "updatedAt": time(second), "isLatest": true,
        }},
    })
}

/// That second, as registries write it.
pub fn time(second: u32) -> String {
    format!("2026-07-28T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// What the registry itself says of an entry.
pub fn said(entry: &mut Value) -> &mut Value {
    &mut entry["_meta"]["io.modelcontextprotocol.registry/official"]
}

impl MockRegistry {
    pub async fn start(entries: Vec<Value>) -> Self {
        let held = Arc::new(Mutex::new(Held { entries, page: 2, ..Held::default() }));
        let state = Arc::clone(&held);
        let site = MockSite::start(move |path| answer(&state.lock().unwrap(), path)).await;
        Self { url: site.url.clone(), site, held }
    }

    /// Changes what it holds.
    pub fn change(&self, change: impl FnOnce(&mut Vec<Value>)) {
        change(&mut self.held.lock().unwrap().entries);
    }

    pub fn be(&self, mood: Mood) {
        self.held.lock().unwrap().mood = mood;
    }

    /// The queries of every listing so far.
    pub fn listings(&self) -> Vec<Vec<(String, String)>> {
        let seen = self.site.seen();
        let queries = seen.iter().filter_map(|asked| asked.path.split_once("/servers?"));
        queries.map(|(_, query)| pairs(query)).collect()
    }
}

fn pairs(query: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

fn answer(held: &Held, path: &str) -> Reply {
    let json =
        |value: &Value| Reply::of(value.to_string()).with("content-type", "application/json");
    match held.mood {
        Mood::Down => return Reply::status(500),
        Mood::Huge => return Reply::of(vec![b' '; 20 << 20]),
        Mood::Garbage => return Reply::of("<!doctype html>"),
        _ => {}
    }
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let Some(rest) = path.strip_prefix("/v0.1/servers") else { return Reply::status(404) };
    if let Some(name) =
        rest.strip_prefix('/').and_then(|rest| rest.strip_suffix("/versions/latest"))
    {
        let name = name.replace("%2F", "/");
        let found = held.entries.iter().find(|entry| entry["server"]["name"] == *name);
        return found.map_or(Reply::status(404), json);
    }
    let query = pairs(query);
    let asked =
        |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let since = asked("updated_since");
    let search = asked("search").unwrap_or_default();
    let wanted = |entry: &&Value| {
        let said = &entry["_meta"]["io.modelcontextprotocol.registry/official"];
        let is_new = since.is_none_or(|since| {
            // Both in UTC, to the second.
            said["updatedAt"].as_str().unwrap_or_default().get(..19) >= since.get(..19)
        });
        let is_there = asked("include_deleted") == Some("true") || said["status"] != "deleted";
        let name = entry["server"]["name"].as_str().unwrap_or_default();
        is_new && is_there && name.contains(search)
    };
    let matching: Vec<&Value> = held.entries.iter().filter(wanted).collect();
    let from: usize = asked("cursor").and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
    let page: Vec<_> = matching.iter().skip(from).take(held.page).collect();
    let next = match held.mood {
        Mood::Endless => Some("0".to_owned()),
        Mood::Growing => Some((from + 1).to_string()),
        _ => (from + held.page < matching.len()).then(|| (from + held.page).to_string()),
    };
    json(&json!({"servers": page, "metadata": {"nextCursor": next, "count": page.len()}}))
}
