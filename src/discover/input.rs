//! Values that a document leaves to the operator: headers, variables in URLs, arguments.
//!
//! Invariant: nothing of a document is ever expanded from the environment but the variables that
//! are named after the entry or shown to the operator: a text that holds `${` is refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// A value that a document describes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Input {
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Without it nothing works.
    #[serde(deserialize_with = "or_default")]
    pub is_required: bool,
    /// It is a secret.
    #[serde(deserialize_with = "or_default")]
    pub is_secret: bool,
    /// Taken where the operator says nothing.
    #[serde(deserialize_with = "scalar", skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Fixed; may hold `{variables}`.
    #[serde(deserialize_with = "scalar", skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The values there are.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
}

/// What `{variables}` in a value mean.
pub type Inputs = BTreeMap<String, Input>;

/// A header or an environment variable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyValue {
    /// Its name.
    pub name: String,
    /// Its value.
    #[serde(flatten)]
    pub input: Input,
    /// What `{variables}` in the value mean.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: Inputs,
}

/// A variable of the environment that an entry refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Without it the configuration is refused.
    pub required: bool,
    /// It is a secret.
    pub secret: bool,
    /// What it is for, and its choices.
    pub description: Option<String>,
}

/// Why a value can't be written into a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// It would be filled in from the environment.
    #[error("{0} holds `${{`, which would be filled in from your environment")]
    Reference(String),
    /// Its default can't stand in `${VAR:-default}`.
    #[error("the default of {0} holds a brace and can't be written")]
    Default(String),
    /// A control character.
    #[error("{0} holds control characters")]
    Control(String),
}

/// Writes values with references to variables named `PREFIX_NAME`, and remembers those.
pub struct Writer {
    prefix: String,
    /// The variables referred to so far.
    pub variables: Vec<Variable>,
}

impl Writer {
    /// A writer whose variables begin with the id of an entry.
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), variables: Vec::new() }
    }

    /// The value of `name`; `None` where it can be left out.
    pub fn value(
        &mut self,
        name: &str,
        input: &Input,
        variables: &Inputs,
    ) -> Result<Option<String>, InputError> {
        if let Some(value) = &input.value {
            return self.template(name, value, variables).map(Some);
        }
        if !input.is_required && input.default.is_none() {
            return Ok(None);
        }
        let variable = self.variable_name(name);
        self.reference(variable, input).map(Some)
    }

    /// The value of the environment variable `name`, which keeps its name.
    pub fn environment(&mut self, given: &KeyValue) -> Result<Option<String>, InputError> {
        let KeyValue { name, input, variables } = given;
        if let Some(value) = &input.value {
            return self.template(name, value, variables).map(Some);
        }
        if !input.is_required && input.default.is_none() {
            return Ok(None);
        }
        self.reference(variable(name), input).map(Some)
    }

    /// `text` with every `{name}` of `inputs` replaced.
    pub fn template(
        &mut self,
        what: &str,
        text: &str,
        inputs: &Inputs,
    ) -> Result<String, InputError> {
        let mut written = String::with_capacity(text.len());
        for part in parts(text) {
            match part {
                Part::Text(text) => written.push_str(checked(what, text)?),
                Part::Name(name) => match inputs.get(name) {
                    None => {
                        let unchanged = format!("{{{name}}}");
                        // `$` before it would make a reference of the two.
                        if written.ends_with('$') {
                            return Err(InputError::Reference(what.into()));
                        }
                        written.push_str(&unchanged);
                    }
                    Some(Input { value: Some(value), .. }) => {
                        written.push_str(checked(name, value)?);
                    }
                    Some(input) => {
                        let variable = self.variable_name(name);
                        written.push_str(&self.reference(variable, input)?);
                    }
                },
            }
        }
        // A `$` at the end of one part and a `{` at the start of the next.
        let references = written.matches("${").count();
        let meant = parts(text)
            .filter(|part| matches!(part, Part::Name(name) if inputs.get(*name).is_some_and(|input| input.value.is_none())))
            .count();
        if references != meant {
            return Err(InputError::Reference(what.into()));
        }
        Ok(written)
    }

    fn variable_name(&self, name: &str) -> String {
        let name = name.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        variable(&format!("{}_{name}", self.prefix))
    }

    fn reference(&mut self, variable: String, input: &Input) -> Result<String, InputError> {
        let default = match &input.default {
            Some(default) if default.contains(['{', '}']) => {
                return Err(InputError::Default(variable));
            }
            Some(default) => Some(checked(&variable, default)?),
            None => (!input.is_required).then_some(""),
        };
        let written = match default {
            Some(default) => format!("${{{variable}:-{default}}}"),
            None => format!("${{{variable}}}"),
        };
        let choices = if input.choices.is_empty() {
            String::new()
        } else {
            format!(" (one of {})", input.choices.join(", "))
        };
        let description = input.description.clone().unwrap_or_default() + &choices;
        let known = self.variables.iter_mut().find(|known| known.name == variable);
        match known {
            Some(known) => known.required |= default.is_none(),
            None => self.variables.push(Variable {
                required: default.is_none(),
                secret: input.is_secret,
                description: Some(super::one_line(&description, 200))
                    .filter(|text| !text.is_empty()),
                name: variable,
            }),
        }
        Ok(written)
    }
}

/// `text` with every `{name}` at its fixed value or default; `None` where one has neither.
pub fn fixed(text: &str, inputs: &Inputs) -> Option<String> {
    let mut written = String::with_capacity(text.len());
    for part in parts(text) {
        match part {
            Part::Text(text) => written.push_str(text),
            Part::Name(name) => match inputs.get(name) {
                None => written.extend(["{", name, "}"]),
                Some(Input { value: Some(value), .. } | Input { default: Some(value), .. }) => {
                    written.push_str(value);
                }
                Some(_) => return None,
            },
        }
    }
    Some(written)
}

/// A name as a variable of the environment has it.
pub fn variable(name: &str) -> String {
    let mut variable: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
        .collect();
    if variable.starts_with(|c: char| c.is_ascii_digit()) {
        variable.insert(0, '_');
    }
    variable
}

fn checked<'a>(what: &str, text: &'a str) -> Result<&'a str, InputError> {
    if text.contains("${") {
        return Err(InputError::Reference(what.into()));
    }
    if text.chars().any(char::is_control) {
        return Err(InputError::Control(what.into()));
    }
    Ok(text)
}

enum Part<'a> {
    Text(&'a str),
    Name(&'a str),
}

/// Cuts `text` at its `{names}`.
fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut from = 0;
        while let Some(open) = rest[from..].find('{').map(|at| at + from) {
            let name = rest[open + 1..].split('}').next().unwrap_or_default();
            let is_name = !name.is_empty()
                && name.len() < rest.len() - open - 1
                && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
            if !is_name {
                from = open + 1;
                continue;
            }
            if open > 0 {
                let (text, behind) = rest.split_at(open);
                rest = behind;
                return Some(Part::Text(text));
            }
            rest = &rest[name.len() + 2..];
            return Some(Part::Name(name));
        }
        Some(Part::Text(std::mem::take(&mut rest)))
    })
}

/// `null` is as good as nothing.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Texts are also written as numbers and switches.
fn scalar<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text),
        other @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_)) => {
            Some(other.to_string())
        }
        _ => return Err(serde::de::Error::custom("a text is expected")),
    })
}
