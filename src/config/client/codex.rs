//! Codex: `[mcp_servers.ID]` of its `config.toml`.

use super::super::raw::RawServer;
use super::fields::Fields;

/// The entry as our own file would have it.
pub(super) fn read(fields: &mut Fields<'_, '_>) -> RawServer {
    let command = fields.text(&["command"]);
    let url = fields.text(&["url"]);
    let (stdio, http) = (command.is_some(), url.is_some());
    let from_variable = |name: String| format!("${{{name}}}");
    let mut env = fields.map(&["env"]).unwrap_or_default();
    for name in fields.texts(&["env_vars"]).unwrap_or_default() {
        env.entry(name.clone()).or_insert(from_variable(name));
    }
    let mut headers = fields.map(&["http_headers"]).unwrap_or_default();
    for (header, name) in fields.map(&["env_http_headers"]).unwrap_or_default() {
        headers.insert(header, from_variable(name));
    }
    let millis = fields.time(&["startup_timeout_ms"], 1_000.0);
    RawServer {
        enabled: fields.switch(&["enabled"]),
        command,
        args: fields.texts(&["args"]).filter(|_| stdio),
        env: Some(env).filter(|env| stdio && !env.is_empty()),
        cwd: fields.text(&["cwd"]).filter(|_| stdio),
        url,
        headers: Some(headers).filter(|headers| http && !headers.is_empty()),
        bearer_token_env: fields.text(&["bearer_token_env_var"]).filter(|_| http),
        bearer_token: fields.text(&["bearer_token"]).filter(|_| http),
        timeout: fields.time(&["startup_timeout_sec"], 1.0).or(millis),
        allow: fields.tools(&["enabled_tools"]),
        deny: fields.tools(&["disabled_tools"]),
        ..RawServer::default()
    }
}
