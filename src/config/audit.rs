//! `[audit]`.
//!
//! Invariant: nothing is written unless it is asked for, and a key that others can read is refused.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::{Place, Problem};
use super::load::Section;

/// A shorter key can be guessed.
const LEAST_KEY: usize = 32;
/// A smaller file would be mostly rotation.
const LEAST_BYTES: u64 = 4096;

/// `[audit]`.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAudit {
    pub enabled: Option<bool>,
    pub file: Option<String>,
    pub max_bytes: Option<u64>,
    pub keep: Option<usize>,
    pub queries: Option<String>,
    pub arguments: Option<String>,
    pub key_file: Option<String>,
}

/// How much of a text is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// As it was said.
    Full,
    /// Without what looks like a person's or a secret.
    Redact,
    /// A keyed hash: the same text is told to be the same, and no more.
    Hash,
    /// Not at all.
    None,
}

impl Told {
    const NAMES: [(Self, &'static str); 4] = [
        (Self::Full, "full"),
        (Self::Redact, "redact"),
        (Self::Hash, "hash"),
        (Self::None, "none"),
    ];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Redact => "redact",
            Self::Hash => "hash",
            Self::None => "none",
        }
    }
}

/// What is kept of who did what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditConfig {
    /// It is kept at all.
    pub enabled: bool,
    /// The file; without it `audit/audit.jsonl` of the data folder.
    pub file: Option<PathBuf>,
    /// A file that has grown to this size is followed by the next.
    pub max_bytes: u64,
    /// Full files that are kept; 0 is all.
    pub keep: usize,
    /// What is kept of queries.
    pub queries: Told,
    /// What is kept of the arguments of calls.
    pub arguments: Told,
    /// The key of the chain; without it anybody can compute one.
    pub key_file: Option<PathBuf>,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            file: None,
            max_bytes: 64 << 20,
            keep: 30,
            queries: Told::Redact,
            arguments: Told::Hash,
            key_file: None,
        }
    }
}

impl AuditConfig {
    /// Where it is written, for this data folder.
    pub fn path(&self, data: &Path) -> PathBuf {
        self.file.clone().unwrap_or_else(|| data.join("audit/audit.jsonl"))
    }
}

/// Checks the section.
pub(super) fn resolve(raw: RawAudit, section: &mut Section<'_>) -> AuditConfig {
    let usual = AuditConfig::default();
    let place = section.place.at("audit");
    let mut told = |key: &str, text: Option<String>, usual: Told| {
        let Some(text) = text else { return usual };
        let known = Told::NAMES.iter().find(|(_, name)| *name == text);
        let Some((told, _)) = known else {
            let values = "\"full\", \"redact\", \"hash\" or \"none\"";
            section.errors.push(place.at(key).error(Problem::OneOf(values)));
            return usual;
        };
        *told
    };
    let queries = told("queries", raw.queries, usual.queries);
    let arguments = told("arguments", raw.arguments, usual.arguments);
    let max_bytes = raw.max_bytes.unwrap_or(usual.max_bytes);
    if max_bytes < LEAST_BYTES {
        let problem = Problem::TooSmall { least: "4096" };
        section.errors.push(place.at("max_bytes").error(problem));
    }
    let key_file = raw.key_file.map(|path| section.base.join(path));
    if let Some(path) = &key_file {
        check_key(path, &place.at("key_file"), section);
    }
    AuditConfig {
        enabled: raw.enabled.unwrap_or(usual.enabled),
        file: raw.file.map(|path| section.base.join(path)),
        max_bytes,
        keep: raw.keep.unwrap_or(usual.keep),
        queries,
        arguments,
        key_file,
    }
}

/// The key is there, its owner's alone, and long enough.
fn check_key(path: &Path, place: &Place, section: &mut Section<'_>) {
    let read = std::fs::metadata(path)
        .and_then(|found| Ok((found.permissions().mode(), std::fs::read(path)?)));
    let problem = match read {
        Err(error) => Problem::Unreadable(error.to_string()),
        Ok((mode, _)) if mode & 0o077 != 0 => Problem::OpenKey(path.display().to_string()),
        Ok((_, key)) if key.trim_ascii().len() < LEAST_KEY => {
            Problem::TooSmall { least: "32 characters" }
        }
        Ok(_) => return section.files.push(path.to_owned()),
    };
    section.errors.push(place.error(problem));
}

/// The section as it was resolved, for `config check`: no secret is in it.
pub(super) fn shown(config: &AuditConfig) -> RawAudit {
    let path = |path: &PathBuf| path.display().to_string();
    RawAudit {
        enabled: Some(config.enabled),
        file: config.file.as_ref().map(path),
        max_bytes: Some(config.max_bytes),
        keep: Some(config.keep),
        queries: Some(config.queries.name().into()),
        arguments: Some(config.arguments.name().into()),
        key_file: config.key_file.as_ref().map(path),
    }
}
