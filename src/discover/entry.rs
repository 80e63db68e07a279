//! From what a document says of a server to the entry that the configuration gets.
//!
//! Invariant: a package becomes a command only here, on behalf of someone at the command line, and
//! no argument of it is anything else than what its place says: an option can't pose as a name.

use serde::Serialize;
use url::Url;

use super::input::{InputError, KeyValue, Variable, Writer, variable};
use super::one_line;
use super::server::{Argument, Package, Remote};

/// An entry of `[servers]`, as it is to be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its key.
    pub id: String,
    /// Its display title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// How it is reached.
    #[serde(flatten)]
    pub reach: Reach,
    /// Variables that it refers to.
    pub variables: Vec<Variable>,
    /// What the operator should know of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Entry {
    /// Gives a server over HTTP another id, and its variables the names that follow from it.
    pub fn rename(&mut self, id: &str) {
        let Reach::Http { url, headers } = &mut self.reach else { return };
        let (old, new) = (variable(&self.id) + "_", variable(id) + "_");
        let (before, after) = (format!("${{{old}"), format!("${{{new}"));
        *url = url.replace(&before, &after);
        for (_, value) in headers {
            *value = value.replace(&before, &after);
        }
        for variable in &mut self.variables {
            if let Some(name) = variable.name.strip_prefix(&old) {
                variable.name = format!("{new}{name}");
            }
        }
        id.clone_into(&mut self.id);
    }
}

/// How a server is reached; texts may hold `${VAR}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Reach {
    /// Over HTTP.
    Http {
        /// Its endpoint.
        url: String,
        /// Headers of every request.
        headers: Vec<(String, String)>,
    },
    /// As a child.
    Stdio {
        /// The program.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// Its environment.
        env: Vec<(String, String)>,
    },
}

/// Why an entry can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// A value of it.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Its address.
    #[error("{0:?} is no address of a server over HTTP")]
    Url(String),
    /// A header that can't be sent, or must not be.
    #[error("the header {0:?} is not one that a server may ask for")]
    Header(String),
    /// A registry of packages that has no command.
    #[error("packages of {0:?} can't be run: npm, pypi and oci can")]
    Kind(String),
    /// A package that listens.
    #[error(
        "the package speaks {0} once it runs: start it yourself, then `toolscout add` its address"
    )]
    Listens(String),
    /// What poses as the name or version of a package.
    #[error("{0:?} is not the name or version of a package")]
    Package(String),
    /// What poses as a variable of the environment.
    #[error("{0:?} is not the name of a variable")]
    Environment(String),
}

/// Headers that belong to the connection, or would change who is asked.
const OURS: [&str; 8] = [
    "host",
    "connection",
    "content-length",
    "content-type",
    "transfer-encoding",
    "upgrade",
    "accept",
    "te",
];

/// A header that a document may set.
pub fn is_free_header(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    reqwest::header::HeaderName::try_from(name).is_ok()
        && !OURS.contains(&lower.as_str())
        && !lower.starts_with("mcp-")
}

/// The entry of a remote.
pub fn of_remote(id: &str, title: Option<&str>, remote: &Remote) -> Result<Entry, EntryError> {
    let mut writer = Writer::new(id);
    let url = writer.template("url", &remote.url, &remote.variables)?;
    if !leads_somewhere(remote) {
        return Err(EntryError::Url(one_line(&remote.url, 120)));
    }
    let mut headers = Vec::new();
    for header in &remote.headers {
        if !is_free_header(&header.name) {
            return Err(EntryError::Header(one_line(&header.name, 80)));
        }
        if let Some(value) = writer.value(&header.name, &header.input, &header.variables)? {
            headers.push((header.name.clone(), value));
        }
    }
    Ok(Entry {
        id: id.to_owned(),
        title: title.map(|title| one_line(title, 100)),
        reach: Reach::Http { url, headers },
        variables: writer.variables,
        notes: left_out("header", &remote.headers),
    })
}

/// With something in place of every variable it is an address.
fn leads_somewhere(remote: &Remote) -> bool {
    let mut at = remote.url.clone();
    for (name, input) in &remote.variables {
        let some = input.value.as_ref().or(input.default.as_ref()).or(input.choices.first());
        // A variable may be the whole base of an address, or a part of one.
        let some = match some {
            Some(some) => some.as_str(),
            None if remote.url.starts_with(&format!("{{{name}}}")) => "https://x.invalid",
            None => "1",
        };
        at = at.replace(&format!("{{{name}}}"), some);
    }
    let url = Url::parse(&at);
    url.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

fn left_out(what: &str, given: &[KeyValue]) -> Vec<String> {
    let optional = given.iter().filter(|given| {
        let input = &given.input;
        !input.is_required && input.value.is_none() && input.default.is_none()
    });
    let shown = |given: &KeyValue| {
        let purpose = given.input.description.as_deref().map(|text| one_line(text, 120));
        let purpose = purpose.map(|text| format!(" ({text})")).unwrap_or_default();
        format!("{what} {} is optional and left out{purpose}", one_line(&given.name, 80))
    };
    optional.map(shown).collect()
}

/// The entry of a package: a command, for someone at the command line.
pub fn of_package(id: &str, title: Option<&str>, package: &Package) -> Result<Entry, EntryError> {
    if package.transport.r#type != "stdio" {
        return Err(EntryError::Listens(one_line(&package.transport.r#type, 40)));
    }
    let mut writer = Writer::new(id);
    let mut notes = left_out("variable", &package.environment_variables);
    let mut env = Vec::new();
    for given in &package.environment_variables {
        if given.name.is_empty() || variable(&given.name) != given.name.to_ascii_uppercase() {
            return Err(EntryError::Environment(one_line(&given.name, 80)));
        }
        if let Some(value) = writer.environment(given)? {
            env.push((given.name.clone(), value));
        }
    }
    let (command, mut args) = match package.registry_type.as_str() {
        "npm" => ("npx", vec!["-y".to_owned()]),
        "pypi" => ("uvx", Vec::new()),
        "oci" => {
            let mut args = vec!["run".to_owned(), "-i".into(), "--rm".into()];
            for (name, _) in &env {
                args.extend(["-e".to_owned(), name.clone()]);
            }
            ("docker", args)
        }
        other => return Err(EntryError::Kind(one_line(other, 40))),
    };
    let own = ["-y", "--yes", "-i", "--interactive", "--rm", "run"];
    for argument in arguments(&mut writer, &package.runtime_arguments)? {
        if !own.contains(&argument.as_str()) {
            args.push(argument);
        }
    }
    args.push(artifact(package)?);
    args.extend(arguments(&mut writer, &package.package_arguments)?);
    if package.version.is_none() && package.registry_type != "oci" {
        notes.push("no version is named: whatever is the newest is run".into());
    }
    if let Some(base) = &package.registry_base_url
        && package.registry_type != "oci"
    {
        let base = one_line(base, 120);
        notes.push(format!("published at {base}; {command} takes it from where it is set to"));
    }
    Ok(Entry {
        id: id.to_owned(),
        title: title.map(|title| one_line(title, 100)),
        reach: Reach::Stdio { command: command.into(), args, env },
        variables: writer.variables,
        notes,
    })
}

fn arguments(writer: &mut Writer, given: &[Argument]) -> Result<Vec<String>, EntryError> {
    let mut args = Vec::new();
    for argument in given {
        let name = argument.name.as_deref().or(argument.value_hint.as_deref()).unwrap_or("arg");
        let value = writer.value(name, &argument.input, &argument.variables)?;
        match (argument.r#type.as_str(), value) {
            ("named", value) => {
                let is_wanted = argument.input.is_required || value.is_some();
                // A flag without a value is a switch; an optional one with none is left out.
                let is_switch = argument.input
                    == super::input::Input {
                        description: argument.input.description.clone(),
                        ..super::input::Input::default()
                    };
                if is_wanted || is_switch {
                    args.push(writer.template(name, name, &argument.variables)?);
                    args.extend(value);
                }
            }
            (_, value) => args.extend(value),
        }
    }
    Ok(args)
}

/// `name@version`, as the command wants it.
fn artifact(package: &Package) -> Result<String, EntryError> {
    let Package { identifier, version, .. } = package;
    let odd = || EntryError::Package(one_line(identifier, 120));
    let plain = |text: &str, more: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    let version = version.as_deref().filter(|version| *version != "latest" && !version.is_empty());
    if let Some(version) = version
        && !plain(version, ".-+_!")
        && !version.starts_with("sha256:")
    {
        return Err(EntryError::Package(one_line(version, 80)));
    }
    match package.registry_type.as_str() {
        "npm" => {
            let bare = match identifier.strip_prefix('@') {
                Some(scoped) => {
                    let (scope, name) = scoped.split_once('/').ok_or_else(odd)?;
                    plain(scope, "._-~") && plain(name, "._-~")
                }
                None => plain(identifier, "._-~"),
            };
            bare.then(|| match version {
                Some(version) => format!("{identifier}@{version}"),
                None => identifier.clone(),
            })
            .ok_or_else(odd)
        }
        "pypi" => plain(identifier, "._-")
            .then(|| match version {
                Some(version) => format!("{identifier}=={version}"),
                None => identifier.clone(),
            })
            .ok_or_else(odd),
        _ => {
            if !plain(identifier, "._-/:@") {
                return Err(odd());
            }
            let last = identifier.rsplit('/').next().unwrap_or_default();
            let is_whole = last.contains([':', '@']);
            let host = package.registry_base_url.as_deref().and_then(|base| Url::parse(base).ok());
            let first = identifier.split('/').next().unwrap_or_default();
            let names_host = first.contains(['.', ':']) && identifier.contains('/');
            let mut image = identifier.clone();
            if let (false, Some(host)) = (names_host, host.as_ref().and_then(Url::host_str)) {
                image = format!("{host}/{image}");
            }
            Ok(match version {
                Some(version) if !is_whole && version.starts_with("sha256:") => {
                    format!("{image}@{version}")
                }
                Some(version) if !is_whole => format!("{image}:{version}"),
                _ => image,
            })
        }
    }
}
