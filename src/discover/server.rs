//! A server as registries and server cards describe it: who it is, where it runs, what it is
//! installed from.
//!
//! Invariant: what is read is checked for its name alone; every other part is looked at where it
//! is used, so that one odd remote does not hide the others.

use serde::{Deserialize, Serialize};

use super::input::{Inputs, KeyValue, or_default};
use crate::config::RemoteKind;

/// The longest name.
const MAX_NAME: usize = 200;

/// What `server.json` and server cards have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Server {
    /// `namespace/name`, the namespace as domains are written backwards.
    pub name: String,
    /// Its display title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where it runs.
    #[serde(deserialize_with = "or_default")]
    pub remotes: Vec<Remote>,
    /// What it is installed from.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<Package>,
}

impl Server {
    /// Its name has the form that names have, and so its id is its own.
    pub fn is_named(&self) -> bool {
        let plain = |text: &str, more: &str| {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
            !text.is_empty() && text.chars().all(is_plain)
        };
        self.name.len() <= MAX_NAME
            && (self.name.split_once('/'))
                .is_some_and(|(space, name)| plain(space, ".-") && plain(name, "._-"))
    }
}

/// A place where a server runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// `streamable-http` or `sse`.
    pub r#type: String,
    /// Its address, with `{variables}`.
    pub url: String,
    /// Headers that it wants.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<KeyValue>,
    /// What `{variables}` in the address mean.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Inputs::is_empty")]
    pub variables: Inputs,
}

impl Remote {
    /// Its transport, if it is one of ours.
    pub fn kind(&self) -> Option<RemoteKind> {
        match self.r#type.as_str() {
            "streamable-http" | "streamable_http" | "http" => Some(RemoteKind::StreamableHttp),
            "sse" => Some(RemoteKind::Sse),
            _ => None,
        }
    }
}

/// What a server is installed from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Package {
    /// `npm`, `pypi`, `oci` and others.
    pub registry_type: String,
    /// Where that registry is, if not at its usual place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry_base_url: Option<String>,
    /// Its name there.
    pub identifier: String,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How it is spoken to.
    pub transport: PackageTransport,
    /// Arguments of the command that runs it.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub runtime_arguments: Vec<Argument>,
    /// Its own arguments.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub package_arguments: Vec<Argument>,
    /// Its environment.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub environment_variables: Vec<KeyValue>,
}

/// How a package is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageTransport {
    /// `stdio`, `streamable-http` or `sse`.
    pub r#type: String,
}

impl Default for PackageTransport {
    fn default() -> Self {
        Self { r#type: "stdio".into() }
    }
}

/// An argument of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Argument {
    /// `positional` or `named`.
    pub r#type: String,
    /// The flag of a named one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What a positional one is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_hint: Option<String>,
    /// Its value.
    #[serde(flatten)]
    pub input: super::input::Input,
    /// What `{variables}` in the value mean.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Inputs::is_empty")]
    pub variables: Inputs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_slash_and_plain_characters() {
        let named = |name: &str| Server { name: name.into(), ..Server::default() }.is_named();
        assert!(named("io.github.user/weather") && named("a-b/C_d.e"));
        let long = format!("a/{}", "b".repeat(199));
        for odd in ["weather", "a/b/c", "a_b/c", "/c", "a/", "a/b c", "a/\u{1b}[31m", "", &long] {
            assert!(!named(odd), "{odd:?}");
        }
    }

    #[test]
    fn null_and_numbers_are_taken_as_registries_write_them() {
        let text = r#"{"name":"a/b","remotes":[{"type":"sse","url":"https://x.test/","headers":[
            {"name":"X-N","default":5,"isRequired":null,"choices":null,"variables":null}],"variables":null}],
            "packages":null,"unknown":1}"#;
        let server: Server = serde_json::from_str(text).unwrap();
        let header = &server.remotes[0].headers[0];
        assert_eq!((header.name.as_str(), header.input.default.as_deref()), ("X-N", Some("5")));
        assert_eq!(server.remotes[0].kind(), Some(RemoteKind::Sse));
    }
}
