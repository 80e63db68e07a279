//! `OpenCode`: `mcp` of its `opencode.json`, where a command is a list and variables are `{env:X}`.

use super::super::error::Problem;
use super::super::raw::RawServer;
use super::fields::Fields;

/// The entry as our own file would have it; `None` when its type can't be served.
pub(super) fn read(fields: &mut Fields<'_, '_>) -> Option<RawServer> {
    let kind = fields.text(&["type"]);
    match kind.as_deref() {
        None | Some("local" | "remote") => {}
        Some(other) => {
            fields.error("type", Problem::UnknownType(other.to_owned()));
            return None;
        }
    }
    let mut words = fields.texts(&["command"]).unwrap_or_default().into_iter();
    let command = words.next().filter(|_| kind.as_deref() != Some("remote"));
    let url = fields.text(&["url"]).filter(|_| kind.as_deref() != Some("local"));
    let (stdio, http) = (command.is_some(), url.is_some());
    let mut raw = RawServer {
        enabled: fields.switch(&["enabled"]),
        command,
        args: Some(words.collect()).filter(|_| stdio),
        env: fields.map(&["environment"]).filter(|_| stdio),
        cwd: fields.text(&["cwd"]).filter(|_| stdio),
        url,
        headers: fields.map(&["headers"]).filter(|_| http),
        ..RawServer::default()
    };
    for (_, text) in raw.strings() {
        *text = text.replace("{env:", "${");
    }
    Some(raw)
}
