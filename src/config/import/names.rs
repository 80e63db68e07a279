//! Literal secrets become variables, named after their server and key.
//!
//! Invariant: one name never stands for two values, and names follow from the order of the files
//! alone, so that a second import finds what the first one wrote.

use std::collections::BTreeMap;

use super::super::client::variable;
use super::super::raw::RawServer;
use super::super::secret::{self, Found};

/// The names that were given, and their values.
#[derive(Default)]
pub(super) struct Names(BTreeMap<String, String>);

impl Names {
    /// What a client's file had where the name stands now.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The entry with variables for its secrets.
    pub fn hide(&mut self, server: &str, mut raw: RawServer) -> RawServer {
        let mut own = Vec::new();
        for (key, value) in raw.env.iter_mut().chain(raw.headers.iter_mut()).flatten() {
            self.replace(server, &mut own, value, secret::in_value(key, value));
        }
        if let Some(args) = &mut raw.args {
            let mut found: BTreeMap<usize, Vec<Found>> = BTreeMap::new();
            for (place, secret) in secret::in_args(args) {
                found.entry(place).or_default().push(secret);
            }
            for (place, found) in found {
                self.replace(server, &mut own, &mut args[place], found);
            }
        }
        if let Some(url) = &mut raw.url {
            let found = secret::in_url(url);
            self.replace(server, &mut own, url, found);
        }
        if let Some(token) = &mut raw.bearer_token {
            let found = secret::in_value("authorization", token);
            self.replace(server, &mut own, token, found);
        }
        raw
    }

    fn replace(
        &mut self,
        server: &str,
        own: &mut Vec<String>,
        text: &mut String,
        mut found: Vec<Found>,
    ) {
        // From the end on, so that what is before stays where it is.
        found.sort_by_key(|found| std::cmp::Reverse(found.range.start));
        for Found { range, name } in found {
            let name = self.name(server, own, &name, &text[range.clone()]);
            text.replace_range(range, &format!("${{{name}}}"));
        }
    }

    fn name(&mut self, server: &str, own: &mut Vec<String>, key: &str, value: &str) -> String {
        let same = own.iter().find(|name| self.0.get(*name).is_some_and(|other| other == value));
        if let Some(name) = same {
            return name.clone();
        }
        let (server, key) = (variable(server), variable(key));
        let key = if key == "AUTHORIZATION" { "TOKEN".to_owned() } else { key };
        let first = if key.starts_with(&server) { key } else { format!("{server}_{key}") };
        let mut name = first.clone();
        let mut number = 1;
        while self.0.get(&name).is_some_and(|other| other != value) {
            number += 1;
            name = format!("{first}_{number}");
        }
        self.0.insert(name.clone(), value.to_owned());
        own.push(name.clone());
        name
    }
}
