//! Adds servers to the text of a `toolscout.toml`, and writes such files in one step.
//!
//! Invariant: the text that was there is the beginning of the text that comes out, so every comment
//! and every space stays; and no literal secret goes into it.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use indexmap::IndexMap;
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, Value};

use super::error::ConfigErrors;
use super::{file, secret};

/// An entry to be added. What is empty is not written.
#[derive(Debug, Clone, Default)]
pub struct NewServer {
    /// Its id.
    pub id: String,
    /// Display title.
    pub title: Option<String>,
    /// Switched on; `None` leaves the default, which is on.
    pub enabled: Option<bool>,
    /// The program of a server on stdio.
    pub command: Option<String>,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment.
    pub env: IndexMap<String, String>,
    /// Its working folder.
    pub cwd: Option<String>,
    /// The endpoint of a server over HTTP.
    pub url: Option<String>,
    /// Headers of every request.
    pub headers: IndexMap<String, String>,
    /// Any other keys of `[servers.ID]`, as they are to be written.
    pub keys: IndexMap<String, Value>,
    /// Lines of a comment before the entry, without `#`.
    pub comment: Vec<String>,
}

/// Why nothing was added.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The text is no TOML.
    #[error("line {line}: {message}; correct the file, then try again")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// An id that is taken.
    #[error("there is a server {0:?} already; choose another id, or remove that entry")]
    Duplicate(String),
    /// `servers` is a value on one line, to which no table can be added.
    #[error("`servers` is no table; write its entries as [servers.ID], then try again")]
    NoTable,
    /// A secret would have been written.
    #[error("{key} of the server {id:?} is a literal secret; write ${{NAME}}, and set NAME")]
    Secret {
        /// The server.
        id: String,
        /// The key below it.
        key: String,
    },
    /// toolscout would not take what was added.
    #[error("the new entry would not be valid: {0}")]
    Invalid(ConfigErrors),
}

/// The ids of the servers in a text.
pub fn ids(text: &str) -> Result<Vec<String>, EditError> {
    let document = parse(text)?;
    let Some(servers) = document.get("servers") else { return Ok(Vec::new()) };
    let servers = servers.as_table_like().ok_or(EditError::NoTable)?;
    Ok(servers.iter().map(|(id, _)| id.to_owned()).collect())
}

/// `text` with `entries` at its end. Without entries it is `text`.
pub fn append(text: &str, entries: &[NewServer]) -> Result<String, EditError> {
    let document = parse(text)?;
    if document.get("servers").is_some_and(|servers| !servers.is_table()) {
        return Err(EditError::NoTable);
    }
    let mut taken = ids(text)?;
    for entry in entries {
        if taken.contains(&entry.id) {
            return Err(EditError::Duplicate(entry.id.clone()));
        }
        taken.push(entry.id.clone());
        if let Some(key) = entry.secret() {
            return Err(EditError::Secret { id: entry.id.clone(), key });
        }
    }
    let mut after = text.to_owned();
    for entry in entries {
        if !after.is_empty() {
            let gap = if after.ends_with('\n') { "\n" } else { "\n\n" };
            after.push_str(if after.trim_start_matches('\u{feff}').is_empty() { "" } else { gap });
        }
        after.push_str(&entry.to_toml());
    }
    if text.contains("\r\n") {
        let (old, new) = after.split_at(text.len());
        after = old.to_owned() + &new.replace('\n', "\r\n");
    }
    let (mut known, mut found) = (Vec::new(), Vec::new());
    file::read("", bare(text), &mut known);
    file::read("", bare(&after), &mut found);
    found.retain(|error| !known.contains(error));
    if found.is_empty() { Ok(after) } else { Err(EditError::Invalid(ConfigErrors(found))) }
}

/// Replaces the file in one step, so that nobody reads half of it; a link keeps pointing at what it
/// does, and permissions stay. A new file gets `mode`, less what the mask of this process takes.
pub fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = match real.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let permissions = fs::metadata(&real).map(|metadata| metadata.permissions());
    let is_new = permissions.is_err();
    let permissions = permissions.unwrap_or_else(|_| fs::Permissions::from_mode(mode));
    let mut builder = tempfile::Builder::new();
    let mut file =
        builder.permissions(permissions.clone()).prefix(".toolscout-").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    if !is_new {
        // What the mask of this process took away.
        file.as_file().set_permissions(permissions)?;
    }
    file.as_file().sync_all()?;
    file.persist(&real).map(drop).map_err(|error| error.error)
}

fn bare(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

fn parse(text: &str) -> Result<DocumentMut, EditError> {
    let text = bare(text);
    text.parse().map_err(|error: toml_edit::TomlError| EditError::Syntax {
        line: error.span().map_or(1, |span| super::error::line_at(text, span.start)),
        message: error.message().trim().to_owned(),
    })
}

impl NewServer {
    /// The first key with a literal secret in it.
    fn secret(&self) -> Option<String> {
        let in_map = |name: &str, map: &IndexMap<String, String>| {
            let found = map.iter().find(|(key, value)| !secret::in_value(key, value).is_empty());
            found.map(|(key, _)| format!("{name}.{key}"))
        };
        let url = self.url.as_deref().unwrap_or_default();
        let keys = self.keys.iter().find(|(key, value)| {
            // Names of variables and files are not what they lead to.
            let named = key.ends_with("_env") || key.ends_with("_file");
            let text = value.as_str().filter(|_| !named);
            text.is_some_and(|text| !secret::in_value(key, text).is_empty())
        });
        (!secret::in_url(url).is_empty())
            .then(|| "url".to_owned())
            .or_else(|| (!secret::in_args(&self.args).is_empty()).then(|| "args".to_owned()))
            .or_else(|| in_map("env", &self.env))
            .or_else(|| in_map("headers", &self.headers))
            .or_else(|| keys.map(|(key, _)| key.clone()))
    }

    /// `[servers.ID]` and what is below it.
    fn to_toml(&self) -> String {
        let mut table = Table::new();
        let comment: Vec<_> =
            self.comment.iter().map(|line| format!("# {}\n", line.trim())).collect();
        table.decor_mut().set_prefix(comment.concat());
        let texts = [("title", &self.title), ("command", &self.command)];
        for (key, text) in texts {
            put(&mut table, key, text.as_deref().map(Value::from));
        }
        let args: Array = self.args.iter().map(String::as_str).collect();
        put(&mut table, "args", Some(args).filter(|args| !args.is_empty()).map(Value::from));
        put(&mut table, "env", inline(&self.env));
        put(&mut table, "cwd", self.cwd.as_deref().map(Value::from));
        put(&mut table, "url", self.url.as_deref().map(Value::from));
        put(&mut table, "headers", inline(&self.headers));
        put(&mut table, "enabled", self.enabled.map(Value::from));
        for (key, value) in &self.keys {
            put(&mut table, key, Some(value.clone()));
        }
        let mut servers = Table::new();
        servers.set_implicit(true);
        servers.insert(&self.id, Item::Table(table));
        let mut document = DocumentMut::new();
        document.insert("servers", Item::Table(servers));
        document.to_string()
    }
}

fn put(table: &mut Table, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        table.insert(key, Item::Value(value));
    }
}

fn inline(map: &IndexMap<String, String>) -> Option<Value> {
    let table: InlineTable =
        map.iter().map(|(key, value)| (key.as_str(), Value::from(value.as_str()))).collect();
    (!table.is_empty()).then(|| Value::from(table))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn http(id: &str) -> NewServer {
        NewServer { id: id.into(), url: Some("https://x.test/mcp".into()), ..NewServer::default() }
    }

    #[test]
    fn entries_come_behind_what_is_there() {
        let before = "# mine\nlisten = \"127.0.0.1:1\" # here\n\n[servers.a]\nurl='https://a.test'";
        let entry = NewServer {
            id: "team/files".into(),
            title: Some("Files".into()),
            enabled: Some(false),
            command: Some("npx".into()),
            args: vec!["-y".into(), "say \"hi\"".into()],
            env: [("HOME_DIR".into(), "${HOME}".into())].into(),
            cwd: Some(".".into()),
            keys: [("timeout".into(), "5s".into())].into(),
            comment: vec!["from a test".into()],
            ..NewServer::default()
        };
        let other = NewServer {
            headers: [("X-Team".into(), "core".into())].into(),
            keys: [("bearer_token_env".into(), "B_TOKEN".into())].into(),
            ..http("b")
        };
        let after = append(before, &[entry, other]).unwrap();
        insta::assert_snapshot!(after, @r#"
        # mine
        listen = "127.0.0.1:1" # here

        [servers.a]
        url='https://a.test'

        # from a test
        [servers."team/files"]
        title = "Files"
        command = "npx"
        args = ["-y", 'say "hi"']
        env = { HOME_DIR = "${HOME}" }
        cwd = "."
        enabled = false
        timeout = "5s"

        [servers.b]
        url = "https://x.test/mcp"
        headers = { X-Team = "core" }
        bearer_token_env = "B_TOKEN"
        "#);
        assert_eq!(ids(&after).unwrap(), ["a", "team/files", "b"]);
    }

    #[test]
    fn an_empty_file_begins_with_the_entry() {
        assert!(append("", &[http("a")]).unwrap().starts_with("[servers.a]\n"));
        assert!(append("\u{feff}", &[http("a")]).unwrap().starts_with("\u{feff}[servers.a]\n"));
        assert_eq!(append("a = ", &[]).unwrap_err().to_string().split(':').next(), Some("line 1"));
        assert_eq!(append("# only this", &[]).unwrap(), "# only this");
    }

    #[test]
    fn lines_end_as_those_of_the_file() {
        let after = append("[crawl]\r\nconcurrency = 2\r\n", &[http("a")]).unwrap();
        assert!(!after.replace("\r\n", "").contains('\n'), "{after:?}");
        assert_eq!(ids(&after).unwrap(), ["a"]);
    }

    #[test]
    fn what_can_not_be_added_is_told() {
        let told = |text: &str, entry: NewServer| append(text, &[entry]).unwrap_err().to_string();
        let secret = |key: &str| NewServer {
            headers: [(key.into(), "Bearer abc".into())].into(),
            ..http("a")
        };
        let all = [
            told("[servers.a]\nurl = 'x'", http("a")),
            told("servers = { a = { url = 'x' } }", http("b")),
            told("servers = 1", http("b")),
            told("a = 1\n[b", http("a")),
            told("", secret("Authorization")),
            told("", NewServer { url: Some("https://u:pw@x.test".into()), ..http("a") }),
            told("", NewServer { keys: [("nonsense".into(), "1".into())].into(), ..http("a") }),
        ];
        let all = all.map(|told| told.split("; known here").next().unwrap().to_owned()).join("\n");
        assert!(!all.contains("abc") && !all.contains("pw"), "{all}");
        insta::assert_snapshot!(all, @r#"
        there is a server "a" already; choose another id, or remove that entry
        `servers` is no table; write its entries as [servers.ID], then try again
        `servers` is no table; write its entries as [servers.ID], then try again
        line 2: unclosed table, expected `]`; correct the file, then try again
        headers.Authorization of the server "a" is a literal secret; write ${NAME}, and set NAME
        url of the server "a" is a literal secret; write ${NAME}, and set NAME
        the new entry would not be valid: :3: servers.a.nonsense: unknown key
          remedy: remove it
        "#);
        assert!(matches!(append("", &[http("a"), http("a")]), Err(EditError::Duplicate(_))));
        // What was wrong before is not what was added.
        assert!(append("nonsense = 1", &[http("a")]).is_ok());
    }

    #[test]
    fn a_file_is_replaced_and_keeps_its_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        write(&real, "one", 0o600).unwrap();
        let mode = || fs::metadata(&real).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&real, fs::Permissions::from_mode(0o666)).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        write(&link, "two", 0o600).unwrap();
        assert_eq!((fs::read_to_string(&real).unwrap().as_str(), mode()), ("two", 0o666));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    proptest! {
        #[test]
        fn what_was_there_stays_and_what_is_new_is_read_back(
            comment in "(# \\PC{0,12}\n){0,2}",
            id in "[^\\p{Cc}]{1,12}",
            value in "[^$]{0,16}",
        ) {
            let entry = NewServer {
                id: id.clone(),
                command: Some(value.clone()),
                ..NewServer::default()
            };
            let after = append(&comment, &[entry]).unwrap();
            prop_assert!(after.starts_with(&comment));
            let tree: toml::Table = after.parse().unwrap();
            prop_assert_eq!(tree["servers"][&id]["command"].as_str(), Some(value.as_str()));
        }
    }
}
