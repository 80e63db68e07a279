//! Goose: `extensions` of its `config.yaml`. Those that run inside Goose are left out.

use super::super::error::Problem;
use super::super::raw::RawServer;
use super::fields::Fields;

/// The entry as our own file would have it; `None` when it can't be served.
pub(super) fn read(fields: &mut Fields<'_, '_>) -> Option<RawServer> {
    let kind = fields.text(&["type"]).unwrap_or_default();
    match kind.as_str() {
        "stdio" | "sse" | "streamable_http" => {}
        "builtin" | "platform" | "frontend" | "inline_python" => {
            let problem = Problem::Inside(kind);
            fields.told.warnings.push(fields.place.error(problem));
            return None;
        }
        _ => {
            fields.error("type", Problem::UnknownType(kind));
            return None;
        }
    }
    let stdio = kind == "stdio";
    let mut env = fields.map(&["envs"]).unwrap_or_default();
    // Those are in Goose's keyring.
    for name in fields.texts(&["env_keys"]).unwrap_or_default() {
        env.entry(name.clone()).or_insert(format!("${{{name}}}"));
    }
    Some(RawServer {
        enabled: fields.switch(&["enabled"]),
        command: fields.text(&["cmd"]).filter(|_| stdio),
        args: fields.texts(&["args"]).filter(|_| stdio),
        env: Some(env).filter(|env| stdio && !env.is_empty()),
        url: fields.text(&["uri"]).filter(|_| !stdio),
        headers: fields.map(&["headers"]).filter(|_| !stdio),
        allow: fields.tools(&["available_tools"]).filter(|tools| !tools.is_empty()),
        ..RawServer::default()
    })
}
