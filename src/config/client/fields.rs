//! The keys of an entry, read one by one, each with an error of its own.
//!
//! Invariant: no message holds a value.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::error::{Place, Problem};
use super::Told;

/// An entry.
pub(super) struct Fields<'a, 't> {
    pub place: &'a Place,
    object: &'a Map<String, Value>,
    pub told: &'a mut Told<'t>,
    /// A key had a value of the wrong type.
    pub is_wrong: bool,
}

impl<'a, 't> Fields<'a, 't> {
    /// `None` when it is no table, which is told.
    pub fn of(value: &'a Value, place: &'a Place, told: &'a mut Told<'t>) -> Option<Self> {
        match value {
            Value::Object(object) => Some(Self { place, object, told, is_wrong: false }),
            other => {
                told.errors.push(place.error(wrong("a table", other)));
                None
            }
        }
    }

    /// The first of these keys that has a value.
    fn get(&self, keys: &[&'static str]) -> Option<(&'static str, &'a Value)> {
        let given = |key: &&'static str| Some((*key, self.object.get(*key)?));
        keys.iter().find_map(given).filter(|(_, value)| !value.is_null())
    }

    fn wrong<T>(&mut self, key: &str, expected: &str, found: &Value) -> Option<T> {
        self.error(key, wrong(expected, found));
        None
    }

    /// Tells that the entry can't be used for what stands under a key.
    pub fn error(&mut self, key: &str, problem: Problem) {
        self.is_wrong = true;
        self.told.errors.push(self.place.at(key).error(problem));
    }

    pub fn text(&mut self, keys: &[&'static str]) -> Option<String> {
        let (key, value) = self.get(keys)?;
        value.as_str().map(str::to_owned).or_else(|| self.wrong(key, "a string", value))
    }

    pub fn switch(&mut self, keys: &[&'static str]) -> Option<bool> {
        let (key, value) = self.get(keys)?;
        value.as_bool().or_else(|| self.wrong(key, "a boolean", value))
    }

    pub fn number(&mut self, keys: &[&'static str]) -> Option<f64> {
        let (key, value) = self.get(keys)?;
        value.as_f64().or_else(|| self.wrong(key, "a number", value))
    }

    pub fn texts(&mut self, keys: &[&'static str]) -> Option<Vec<String>> {
        let (key, value) = self.get(keys)?;
        let Some(list) = value.as_array() else { return self.wrong(key, "a list", value) };
        let texts: Option<Vec<_>> = list.iter().map(scalar).collect();
        texts.or_else(|| self.wrong(key, "a list of strings", value))
    }

    /// A table of strings; numbers and booleans are written out, as clients do.
    pub fn map(&mut self, keys: &[&'static str]) -> Option<BTreeMap<String, String>> {
        let (key, value) = self.get(keys)?;
        let Some(table) = value.as_object() else { return self.wrong(key, "a table", value) };
        let mut map = BTreeMap::new();
        for (name, value) in table.iter().filter(|(_, value)| !value.is_null()) {
            match scalar(value) {
                Some(text) => {
                    map.insert(name.clone(), text);
                }
                None => return self.wrong(key, "a table of strings", value),
            }
        }
        Some(map)
    }

    /// A table as it is.
    pub fn table(&mut self, key: &'static str) -> Option<&'a Map<String, Value>> {
        let (key, value) = self.get(&[key])?;
        value.as_object().or_else(|| self.wrong(key, "a table", value))
    }

    /// Names of tools as the globs that mean just them.
    pub fn tools(&mut self, keys: &[&'static str]) -> Option<Vec<String>> {
        Some(self.texts(keys)?.iter().map(|name| globset::escape(name)).collect())
    }

    /// A time to start in; `unit` is how many of it are a second. Ours is for the whole crawl, so
    /// only a longer one says something about the server.
    pub fn time(&mut self, keys: &[&'static str], unit: f64) -> Option<String> {
        let seconds = (self.number(keys)? / unit).min(86_400.0).ceil();
        (seconds > 60.0).then(|| format!("{seconds}s"))
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(switch) => Some(switch.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn wrong(expected: &str, found: &Value) -> Problem {
    let found = match found {
        Value::Null => "nothing",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "table",
    };
    Problem::WrongType(format!("expected {expected}, found {found}"))
}
