//! JSON with comments, TOML and YAML as one tree, with the line of every key where that is known.

use std::path::Path;

use jsonc_parser::ast::{Object, Value as Ast};
use jsonc_parser::{CollectOptions, ParseOptions};
use serde_json::Value;
use toml::de::DeTable;

use super::super::error::{ConfigError, Lines, Place, Problem, line_at};
use super::super::file;

/// The tree of `text`; `None` when it is none, which is told.
pub(super) fn parse(
    shown: &str,
    path: &Path,
    text: &str,
    errors: &mut Vec<ConfigError>,
) -> Option<(Value, Lines)> {
    let parsed = match path.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => toml(text),
        Some("yaml" | "yml") => yaml(text),
        _ => json(text),
    };
    let wrong = |(line, message)| ConfigError {
        line,
        ..Place::new(shown, Lines::new()).error(Problem::Syntax(message))
    };
    parsed.map_err(|error| errors.push(wrong(error))).ok()
}

/// A line, and what is wrong there.
type Wrong = (Option<usize>, String);

fn json(text: &str) -> Result<(Value, Lines), Wrong> {
    // JSON and nothing else, but comments and trailing commas.
    let options = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let wrong = |error: jsonc_parser::errors::ParseError| {
        (Some(error.line_display()), error.kind().to_string())
    };
    let parsed = jsonc_parser::parse_to_ast(text, &CollectOptions::default(), &options);
    let tree = parsed.map_err(wrong)?.value;
    let mut lines = Lines::new();
    if let Some(Ast::Object(object)) = &tree {
        note_lines(text, object, &mut Vec::new(), &mut lines);
    }
    let value = jsonc_parser::parse_to_serde_value(text, &options).map_err(wrong)?;
    Ok((value, lines))
}

fn note_lines(text: &str, object: &Object<'_>, path: &mut Vec<String>, lines: &mut Lines) {
    for property in &object.properties {
        path.push(property.name.as_str().to_owned());
        lines.insert(path.clone(), line_at(text, property.range.start));
        if let Ast::Object(below) = &property.value {
            note_lines(text, below, path, lines);
        }
        path.pop();
    }
}

fn toml(text: &str) -> Result<(Value, Lines), Wrong> {
    let wrong = |error: toml::de::Error| {
        (error.span().map(|span| line_at(text, span.start)), error.message().to_owned())
    };
    let tree = DeTable::parse(text).map_err(wrong)?;
    let mut lines = Lines::new();
    file::note_lines(text, tree.get_ref(), &mut Vec::new(), &mut lines);
    Ok((toml::from_str(text).map_err(wrong)?, lines))
}

fn yaml(text: &str) -> Result<(Value, Lines), Wrong> {
    let value = serde_saphyr::from_str(text).map_err(|error| {
        // Its own words may quote the file, which may hold secrets.
        let line = error.location().and_then(|location| usize::try_from(location.line()).ok());
        (line, "no YAML that can be read".to_owned())
    })?;
    Ok((value, Lines::new()))
}
