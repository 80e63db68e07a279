//! One entry of a client as one of ours.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml_edit::{Array, Value};
use url::Url;

use super::super::edit::NewServer;
use super::super::raw::RawServer;
use crate::auth::guard::is_loopback;

/// Writes out what depends on where the client's file is: `base`, unless our own is in `folder`
/// as well.
pub(super) fn settle(raw: &mut RawServer, base: &Path, folder: &Path) {
    for path in [&mut raw.cwd, &mut raw.env_file].into_iter().flatten() {
        let is_literal = !path.starts_with("${");
        if is_literal && base != folder {
            *path = base.join(&path).components().collect::<PathBuf>().display().to_string();
        }
    }
    for (_, text) in raw.strings() {
        *text = text.replace("${env:", "${");
    }
}

/// It is this program: crawled, it would list what it found.
pub(super) fn is_ourselves(raw: &RawServer) -> bool {
    let program = raw.command.as_deref().map(Path::new).and_then(Path::file_stem);
    let url = raw.url.as_deref().and_then(|url| Url::parse(url).ok());
    program.is_some_and(|name| name == "toolscout")
        || url.is_some_and(|url| is_loopback(&url) && url.port() == Some(7420))
}

/// Both connect to the same server in the same way, whatever else was set.
pub(super) fn reach_the_same(one: &RawServer, other: &RawServer) -> bool {
    let plain = |raw: &RawServer| RawServer {
        command: raw.command.clone(),
        args: raw.args.clone().filter(|args| !args.is_empty()),
        env: raw.env.clone().filter(|env| !env.is_empty()),
        env_file: raw.env_file.clone(),
        cwd: raw.cwd.clone(),
        url: raw.url.clone(),
        headers: raw.headers.clone().filter(|headers| !headers.is_empty()),
        bearer_token: raw.bearer_token.clone(),
        bearer_token_file: raw.bearer_token_file.clone(),
        bearer_token_env: raw.bearer_token_env.clone(),
        catalog: raw.catalog.clone(),
        ..RawServer::default()
    };
    plain(one) == plain(other)
}

/// The entry as it is to be written.
pub(super) fn written(id: &str, raw: &RawServer) -> NewServer {
    let list = |list: &Option<Vec<String>>| {
        let array = |list: &Vec<String>| list.iter().map(String::as_str).collect::<Array>();
        list.as_ref().map(|list| Value::from(array(list)))
    };
    let text = |text: &Option<String>| text.as_deref().map(Value::from);
    let keys = [
        ("env_file", text(&raw.env_file)),
        ("bearer_token", text(&raw.bearer_token)),
        ("bearer_token_env", text(&raw.bearer_token_env)),
        ("timeout", text(&raw.timeout)),
        ("allow", list(&raw.allow)),
        ("deny", list(&raw.deny)),
    ];
    let map = |map: &Option<std::collections::BTreeMap<String, String>>| {
        map.clone().unwrap_or_default().into_iter().collect()
    };
    NewServer {
        id: id.to_owned(),
        title: raw.title.clone(),
        enabled: raw.enabled.filter(|enabled| !enabled),
        command: raw.command.clone(),
        args: raw.args.clone().unwrap_or_default(),
        env: map(&raw.env),
        cwd: raw.cwd.clone(),
        url: raw.url.clone(),
        headers: map(&raw.headers),
        keys: keys.into_iter().filter_map(|(key, value)| Some((key.into(), value?))).collect(),
        comment: Vec::new(),
    }
}

/// The variables without which an entry can't be used.
pub(super) fn references(server: &NewServer) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let texts = [&server.command, &server.cwd, &server.url].into_iter().flatten();
    let texts = texts.chain(&server.args).chain(server.env.values()).chain(server.headers.values());
    let keys = server.keys.values().filter_map(Value::as_str);
    for text in texts.map(String::as_str).chain(keys) {
        let behind = text.split("${").skip(1).filter_map(|rest| rest.split('}').next());
        names.extend(behind.filter(|name| !name.contains(":-")).map(str::to_owned));
    }
    if let Some(name) = server.keys.get("bearer_token_env").and_then(Value::as_str) {
        names.insert(name.to_owned());
    }
    names
}
