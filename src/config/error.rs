//! What can be wrong with a configuration: where it stands, what it is, and how to mend it.
//!
//! Invariant: no message holds a value that may be secret; keys, names and files only.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// One thing that is wrong, or (as a warning) odd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, flag or variable it stands in.
    pub file: String,
    /// The line in that file, from 1.
    pub line: Option<usize>,
    /// The key, dotted; empty when it is the whole file.
    pub key: String,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(": ")?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}\n  remedy: {}", self.problem, self.problem.remedy())
    }
}

impl std::error::Error for ConfigError {}

/// Everything that is wrong, in the order of the files. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, error) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str("\nerror: ")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// What is wrong, without the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A file can't be read.
    #[error("can't be read: {0}")]
    Unreadable(String),
    /// A file is no TOML or JSON.
    #[error("syntax: {0}")]
    Syntax(String),
    /// A key that means nothing here.
    #[error("unknown key")]
    UnknownKey {
        /// The keys that do.
        known: String,
    },
    /// A value of the wrong type.
    #[error("wrong type: {0}")]
    WrongType(String),
    /// No duration.
    #[error("{0:?} is not a duration")]
    Duration(String),
    /// A number or duration below its minimum.
    #[error("too small")]
    TooSmall {
        /// The minimum.
        least: &'static str,
    },
    /// A time within which another one would never be over.
    #[error("is shorter than `{0}`, which would never be over")]
    ShorterThan(&'static str),
    /// No socket address.
    #[error("{0:?} is not an address")]
    Address(String),
    /// Open to the network without anybody asked who they are.
    #[error("{0} is reachable from other machines, and nobody is asked who they are")]
    NotLoopback(std::net::SocketAddr),
    /// No folder for data can be derived.
    #[error("no folder for data: neither `index-data` here nor a home folder")]
    NoDataFolder,
    /// A variable that is not in the environment.
    #[error("the variable {0} is not set")]
    Unset(String),
    /// A named variable that is not in the environment.
    #[error("the variable {0} is not set")]
    NotSet(String),
    /// A `${…}` that is none.
    #[error("{0} is not a variable that can be filled in")]
    Reference(String),
    /// A character that no header, path or argument may hold.
    #[error("holds a NUL character")]
    Nul,
    /// An empty value where one is needed.
    #[error("is empty")]
    Empty,
    /// A key without which its table means nothing.
    #[error("is missing")]
    Needed,
    /// A model that is not there.
    #[error("there is no model {0:?}")]
    NoModel(String),
    /// A key both from the environment and from a file.
    #[error("the key is given twice")]
    KeyTwice,
    /// More than one encoder.
    #[error("vectors come from a folder (`model`) or from an endpoint, not from both")]
    SeveralEncoders,
    /// A server id that can't be used.
    #[error("the server id is empty or holds control characters")]
    Id,
    /// The same server id twice.
    #[error("the server id {id:?} is also in {other}")]
    Duplicate {
        /// The id.
        id: String,
        /// Where it was first.
        other: String,
    },
    /// No way to reach a server.
    #[error("no way to reach the server")]
    NoTransport,
    /// More than one way to reach a server.
    #[error("several ways to reach one server: {0}")]
    SeveralTransports(String),
    /// A key of another transport.
    #[error("means nothing for a server with `{0}`")]
    Misplaced(&'static str),
    /// No URL.
    #[error("not a URL: {0}")]
    Url(String),
    /// A URL of another scheme.
    #[error("the URL scheme {0:?} is not supported")]
    Scheme(String),
    /// No database of the kind that is spoken to.
    #[error("a database can't be reached by {0}://")]
    NotPostgres(String),
    /// No header name.
    #[error("not a header name")]
    HeaderName,
    /// A header value with line breaks or other control characters.
    #[error("holds characters that a header can't carry")]
    HeaderValue,
    /// The same header twice.
    #[error("the header is given twice")]
    HeaderTwice,
    /// No proxy.
    #[error("not a proxy")]
    Proxy,
    /// A file without certificates.
    #[error("no certificate in PEM form in that file")]
    NoCertificate,
    /// Files without a certificate and its key.
    #[error("not one certificate with its key, both in PEM form")]
    NoIdentity,
    /// No name of an environment variable.
    #[error("not the name of an environment variable")]
    EnvName,
    /// No network.
    #[error("{0:?} is not a network")]
    Network(String),
    /// No glob.
    #[error("{0}")]
    Glob(String),
    /// No name of a registry.
    #[error("not a name for a registry")]
    RegistryName,
    /// The same registry twice.
    #[error("there are two registries called {0:?}")]
    RegistryTwice(String),
    /// No name of a profile.
    #[error("not a name for a profile")]
    ProfileName,
    /// No name of a tool.
    #[error("not a name for a tool")]
    ToolName,
    /// More than there may be.
    #[error("too many")]
    TooMany(usize),
    /// None of the values that there are.
    #[error("not one of the values that there are")]
    OneOf(&'static str),
    /// Nothing that can be done about a finding.
    #[error("{0:?} is nothing that can follow from a finding")]
    Action(String),
    /// Rules for the servers of a file.
    #[error("a catalog file may hold many servers, which have names of their own")]
    OfFile,
    /// Another transport.
    #[error("unknown server type {0:?}")]
    UnknownType(String),
    /// A client's file without servers.
    #[error("no list of servers (`mcpServers`, `servers`, `mcp_servers`, `mcp` or `extensions`)")]
    NoServers,
    /// A toolset of a server that is not listed.
    #[error("there is no server {0:?} in `mcp_servers`")]
    NoServer(String),
    /// A second toolset of the same server.
    #[error("the server {0:?} has a toolset already")]
    SecondToolset(String),
    /// A file of variables that can't be used.
    #[error("{path}: line {line} is no `NAME=value`")]
    EnvFile {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
    },
    /// Warning: a server without a toolset.
    #[error("no `mcp_toolset` names the server {0:?}, so it is switched off")]
    NoToolset(String),
    /// This program in another's list.
    #[error("it is toolscout itself, so it is left out")]
    Ourselves,
    /// Warning: what only the client itself can run.
    #[error("it runs inside its client ({0}), so it is left out")]
    Inside(String),
    /// Warning: two entries of one file with one id.
    #[error("another entry has that id; this one is called {0:?}")]
    Renamed(String),
    /// A file that is not there.
    #[error("no such file: {0}")]
    NoFile(String),
    /// Credentials of more than one kind.
    #[error("credentials of several kinds: OAuth and others, or OAuth and none")]
    SeveralCredentials,
    /// A word that means nothing here.
    #[error("{given:?} means nothing here")]
    NotOneOf {
        /// The word.
        given: String,
        /// Those that do.
        known: &'static str,
    },
    /// A client's metadata document that can't be one.
    #[error("not the URL of a client metadata document")]
    DocumentUrl,
    /// Others could read the key.
    #[error("other users can read {0}")]
    OpenKey(String),
    /// A name that can't be a tenant's.
    #[error("not a name for a tenant")]
    TenantName,
    /// A folder that somebody else has.
    #[error("another tenant, or toolscout itself, has this folder")]
    FolderTwice,
    /// A tenant's file says what is the same for all.
    #[error("belongs to the process, which tenants share")]
    OfProcess,
    /// A variable that is set, and not for this tenant.
    #[error("the variable {0} is not for this tenant")]
    NotOfTenant(String),
    /// Warning: a program that is not there yet.
    #[error("the program {0:?} is not found")]
    NoCommand(String),
    /// Warning: credentials in the clear.
    #[error("credentials travel unencrypted over plain http")]
    PlainHttp,
    /// Warning: a switched-off server that could not be used.
    #[error("switched off, and left out because its entry has errors ({0})")]
    LeftOut(String),
    /// No such profile.
    #[error("there is no profile {0:?}")]
    NoProfile(String),
    /// No such tenant.
    #[error("there is no tenant {0:?}")]
    NoTenant(String),
    /// The same twice.
    #[error("{0} is there twice")]
    Twice(String),
    /// Warning: nobody is anonymous where everybody is asked.
    #[error("means nothing here, since [auth] has everybody asked who they are")]
    Asked,
    /// Warning: nothing to crawl.
    #[error("no servers are configured")]
    Nothing,
}

impl Problem {
    /// The next step for whoever reads it.
    pub fn remedy(&self) -> String {
        let fixed = match self {
            Self::UnknownKey { known } => return format!("remove it; known here: {known}"),
            Self::TooSmall { least } => return format!("use {least} or more"),
            Self::Unset(name) => {
                return format!("set {name}, or give a default: ${{{name}:-default}}");
            }
            Self::NotSet(name) => return format!("set {name}"),
            Self::ShorterThan(key) => {
                return format!("make it as long as `{key}`, or shorten that");
            }
            Self::Misplaced(transport) => {
                return format!("remove it, or remove `{transport}`");
            }
            Self::NotOneOf { known, .. } => return format!("use {known}"),
            Self::OpenKey(path) => return format!("run `chmod 600 {path}`"),
            Self::DocumentUrl => {
                "use https:// and a path, as in \"https://example.com/client.json\""
            }
            Self::Unreadable(_) | Self::NoFile(_) => "check the path and its permissions",
            Self::Syntax(_) => "correct the file at that line",
            Self::WrongType(_) => "give a value of that type; see `toolscout config example`",
            Self::Duration(_) => "write a number and a unit, as in \"30s\" or \"15m\"",
            Self::Address(_) => "write an IP address and a port, as in \"127.0.0.1:7420\"",
            Self::NotLoopback(_) => {
                "listen on 127.0.0.1, have callers asked by [auth] (`keys = true` is the least), or \
                 pass --allow-anonymous (allow_anonymous = true) when something in front of it asks"
            }
            Self::NoDataFolder => "pass --data DIR or set TOOLSCOUT_DATA",
            Self::Reference(_) => "write ${NAME} or ${NAME:-default}, with NAME in the environment",
            Self::Nul | Self::Asked => "remove it",
            Self::Empty => "give it a value, or remove the key",
            Self::Needed => "give it a value; see `toolscout config example`",
            Self::NoModel(_) => {
                "fetch it with `toolscout model pull`, name one of `toolscout model list`, or name \
                 the folder that it is in"
            }
            Self::SeveralEncoders | Self::KeyTwice | Self::Twice(_) => "remove one of the two",
            Self::Id => "give the server a readable id",
            Self::Duplicate { .. } => "rename one of the two, or remove it",
            Self::NoTransport => "give it one of `command`, `url` or `catalog`",
            Self::SeveralTransports(_) | Self::SeveralCredentials => "keep one of them",
            Self::Url(_) => "write the whole endpoint, as in \"https://mcp.example.com/mcp\"",
            Self::Scheme(_) => "use http:// or https://",
            Self::NotPostgres(_) => "use postgres://",
            Self::HeaderName => "use letters, digits and dashes",
            Self::HeaderValue => "remove line breaks and other control characters",
            Self::HeaderTwice => "keep one; a bearer token is an Authorization header",
            Self::Proxy => "write \"http://proxy.example.com:3128\", \"none\" or \"environment\"",
            Self::NoCertificate => "name a file with BEGIN CERTIFICATE in it",
            Self::NoIdentity => {
                "put the certificate and its key in one file, or name the key as `client_key_file`"
            }
            Self::EnvName => "use a name without `=`",
            Self::Network(_) => "write an IP address or a network, as in \"10.0.0.0/8\"",
            Self::Glob(_) => {
                "write `*`, `?`, `[a-z]` or `{a,b}`, and a backslash before them to mean themselves"
            }
            Self::RegistryName => "use letters, digits, dashes and underscores, at most 64",
            Self::ProfileName => {
                "use lower-case letters, digits, dashes and underscores, at most 64"
            }
            Self::ToolName => "use letters, digits, dashes, underscores and dots, at most 128",
            Self::TooMany(most) => return format!("use {most} or fewer"),
            Self::RegistryTwice(_) => "give one of them another name",
            Self::OneOf(values) => return format!("use {values}"),
            Self::Action(_) => "use \"off\", \"warn\" or \"quarantine\"",
            Self::OfFile => "say it in [trust], which holds for all servers that say nothing else",
            Self::UnknownType(_) => "use \"stdio\" or \"http\"",
            Self::NoServers => "wrap the entries: {\"mcpServers\": {\"my-server\": {…}}}",
            Self::NoServer(_) => "correct `mcp_server_name`, or add the server",
            Self::SecondToolset(_) => "merge the two: each server has exactly one toolset",
            Self::EnvFile { .. } => "correct the line; quote values that hold spaces or `#`",
            Self::NoToolset(_) => {
                "add {\"type\": \"mcp_toolset\", \"mcp_server_name\": …} to `tools`"
            }
            Self::Inside(_) | Self::Ourselves => "nothing is to be done",
            Self::Renamed(_) => "rename one of the two, if you like",
            Self::TenantName => "use lower-case letters, digits and dashes, at most 63",
            Self::FolderTwice => "give each tenant a folder of its own",
            Self::OfProcess => "say it in the configuration that names this tenant",
            Self::NotOfTenant(name) => {
                return format!("if it is, add {name} to `variables` of its [tenants.NAME]");
            }
            Self::NoCommand(_) => "install it, or give its full path",
            Self::PlainHttp => "use https://",
            Self::LeftOut(_) => "correct the entry before it is switched on",
            Self::NoProfile(name) => return format!("add [profiles.{name}], or name another"),
            Self::NoTenant(name) => return format!("add [tenants.{name}], or name another"),
            Self::Nothing => "add [servers.ID] to toolscout.toml, or pass --mcp-config FILE",
        };
        fixed.into()
    }
}

/// The line that every key path of a file stands on.
pub(super) type Lines = BTreeMap<Vec<String>, usize>;

/// The line of a byte offset, from 1.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    before.split(|byte| *byte == b'\n').count()
}

/// A key in a file.
#[derive(Debug, Clone)]
pub(super) struct Place {
    file: Arc<str>,
    lines: Arc<Lines>,
    path: Vec<String>,
}

impl Place {
    pub(super) fn new(file: impl Into<Arc<str>>, lines: Lines) -> Self {
        Self { file: file.into(), lines: lines.into(), path: Vec::new() }
    }

    /// A key below this one.
    pub(super) fn at(&self, key: &str) -> Self {
        let mut below = self.clone();
        below.path.push(key.into());
        below
    }

    /// The file and line, for a message about another place.
    pub(super) fn shown(&self) -> String {
        match self.line() {
            Some(line) => format!("{}:{line}", self.file),
            None => self.file.to_string(),
        }
    }

    /// Another key beside this one.
    pub(super) fn sibling(&self, key: &str) -> Self {
        let mut beside = self.clone();
        beside.path.pop();
        beside.at(key)
    }

    /// The file has the key itself.
    pub(super) fn is_written(&self) -> bool {
        self.lines.contains_key(&self.path)
    }

    pub(super) fn error(&self, problem: Problem) -> ConfigError {
        ConfigError {
            file: self.file.to_string(),
            line: self.line(),
            key: dotted(&self.path),
            problem,
        }
    }

    /// The line of the key, or of the nearest one above it that has one.
    pub(super) fn line(&self) -> Option<usize> {
        (1..=self.path.len()).rev().find_map(|depth| self.lines.get(&self.path[..depth]).copied())
    }
}

/// A key path as TOML writes it.
fn dotted(path: &[String]) -> String {
    let bare = |key: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !key.is_empty() && key.chars().all(plain) { key.to_owned() } else { format!("{key:?}") }
    };
    let parts: Vec<_> = path.iter().map(|key| bare(key)).collect();
    parts.join(".")
}
