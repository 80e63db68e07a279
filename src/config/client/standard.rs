//! `mcpServers` and its relatives: Claude Code and Desktop, Cursor, Windsurf (`serverUrl`), Gemini
//! (`httpUrl`, `includeTools`), and VS Code, whose entries have an `envFile` as well.

use std::collections::BTreeMap;

use super::super::error::Problem;
use super::super::raw::RawServer;
use super::fields::Fields;

/// The entry as our own file would have it; `None` when its type can't be served.
pub(super) fn read(fields: &mut Fields<'_, '_>) -> Option<RawServer> {
    let mut command = fields.text(&["command"]);
    let mut url = fields.text(&["url", "httpUrl", "serverUrl"]);
    match fields.text(&["type"]).as_deref() {
        None => {}
        // Some clients keep the keys of both; the type says which of them count.
        Some("stdio" | "local") => url = None,
        // The crawl finds out which of the two a server speaks.
        Some(
            "http" | "streamable-http" | "streamable_http" | "streamableHttp" | "sse" | "remote",
        ) => command = None,
        Some(other) => {
            fields.error("type", Problem::UnknownType(other.to_owned()));
            return None;
        }
    }
    let (stdio, http) = (command.is_some(), url.is_some());
    let disabled = fields.switch(&["disabled"]).unwrap_or(false);
    let enabled = fields.switch(&["enabled"]).unwrap_or(true) && !disabled;
    Some(RawServer {
        enabled: Some(enabled),
        command,
        args: fields.texts(&["args"]).filter(|_| stdio),
        env: fields.map(&["env"]).filter(|_| stdio).map(named),
        env_file: fields.text(&["envFile"]).filter(|_| stdio),
        cwd: fields.text(&["cwd"]).filter(|_| stdio),
        url,
        headers: fields.map(&["headers"]).filter(|_| http).map(named),
        allow: fields.tools(&["includeTools"]),
        deny: fields.tools(&["excludeTools", "disabledTools"]),
        ..RawServer::default()
    })
}

/// Values that are `$NAME` and nothing else, which Gemini fills in.
fn named(mut map: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
            && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    for value in map.values_mut() {
        if let Some(name) = value.strip_prefix('$').filter(|name| is_name(name)) {
            *value = format!("${{{name}}}");
        }
    }
    map
}
