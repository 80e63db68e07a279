//! Reads `toolscout.toml` into a [`RawConfig`], with every unknown key and wrong type at once.
//!
//! Invariant: what is returned is what could be read; everything left out is in the errors.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::Deserialize;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Lines, Place, Problem, line_at};
use super::raw::RawConfig;

/// A file that was read.
pub(super) struct Read {
    pub raw: RawConfig,
    pub place: Place,
    /// Servers that lost a key to an error: what they lack may not be missing at all.
    pub damaged: BTreeSet<String>,
}

/// Reads `text`, the file shown as `file`.
pub(super) fn read(file: &str, text: &str, errors: &mut Vec<ConfigError>) -> Read {
    let mut damaged = BTreeSet::new();
    let (mut tree, syntax) = DeTable::parse_recoverable(text);
    let mut lines = Lines::new();
    note_lines(text, tree.get_ref(), &mut Vec::new(), &mut lines);
    let place = Place::new(file, lines);
    if !syntax.is_empty() {
        errors.extend(syntax.iter().map(|error| ConfigError {
            line: error.span().map(|span| line_at(text, span.start)),
            ..place.error(Problem::Syntax(error.message().into()))
        }));
        let raw = RawConfig::default();
        return Read { raw, place, damaged };
    }
    // serde stops at the first error: take the offending key out, and read again.
    loop {
        let error = match RawConfig::deserialize(toml::de::Deserializer::from(tree.clone())) {
            Ok(raw) => {
                return Read { raw, place, damaged };
            }
            Err(error) => error,
        };
        let path = error.span().and_then(|span| take(tree.get_mut(), &span));
        let key = path.iter().flatten().fold(place.clone(), |at, key| at.at(key));
        errors.push(key.error(typed(error.message())));
        match path.as_deref() {
            None => {
                let raw = RawConfig::default();
                return Read { raw, place, damaged };
            }
            Some([servers, id, ..]) if servers == "servers" => {
                damaged.insert(id.clone());
            }
            Some(_) => {}
        }
    }
}

/// Removes the innermost key whose name or value encloses `span`, and returns its path.
fn take(table: &mut DeTable<'_>, span: &Range<usize>) -> Option<Vec<String>> {
    let encloses = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    // A header names a table, which spans no more than that header: look inside by its members.
    let mut inner = None;
    for (key, value) in table.iter_mut() {
        if let DeValue::Table(below) = value.get_mut()
            && let Some(path) = take(below, span)
        {
            let name = key.get_ref().to_string();
            return Some([vec![name], path].concat());
        }
        if encloses(key.span()) || encloses(value.span()) {
            inner = Some(key.get_ref().to_string());
        }
    }
    let name = inner?;
    table.remove(name.as_str());
    Some(vec![name])
}

pub(super) fn note_lines(
    text: &str,
    table: &DeTable<'_>,
    path: &mut Vec<String>,
    lines: &mut Lines,
) {
    for (key, value) in table {
        path.push(key.get_ref().to_string());
        lines.insert(path.clone(), line_at(text, key.span().start));
        if let DeValue::Table(below) = value.get_ref() {
            note_lines(text, below, path, lines);
        }
        path.pop();
    }
}

/// A message of serde as a problem. Its text may quote the value, which may be secret: only what
/// kind of value it was is kept.
pub(super) fn typed(message: &str) -> Problem {
    if message.starts_with("unknown field") {
        let known: Vec<_> = message.split('`').skip(3).step_by(2).collect();
        return Problem::UnknownKey { known: known.join(", ") };
    }
    let expected =
        message.rsplit_once(", expected ").map_or("another value", |(_, expected)| expected);
    let expected = match expected {
        "a sequence" => "a list",
        "a map" => "a table",
        "usize" => "a whole number",
        other => other,
    };
    let found = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))
        .and_then(|rest| rest.split([',', '"', '`']).next())
        .map_or("something else", str::trim);
    Problem::WrongType(format!("expected {expected}, found {found}"))
}

/// The keys that `T` knows, as serde tells them.
#[cfg(test)]
pub(super) fn keys_of<T: for<'de> Deserialize<'de>>() -> Vec<String> {
    let Err(error) = toml::from_str::<T>("__none__ = 1") else {
        panic!("an unknown key was taken");
    };
    match typed(error.message()) {
        Problem::UnknownKey { known } => known.split(", ").map(str::to_owned).collect(),
        other => panic!("unexpected: {other}"),
    }
}
