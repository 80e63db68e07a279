//! `[trust]`, and what an entry of a server says of it.
//!
//! Invariant: a server that says nothing has the general rules; one that says something has
//! complete rules of its own.

use std::collections::BTreeMap;

use super::error::{ConfigError, Place, Problem};
use super::raw::{RawRules, RawTrust};
use super::server::Entry;
use crate::trust::policy::{Action, OwnRules, Policy, Rule, Rules};

type Given<'a> = [(Rule, &'a Option<String>); Rule::ALL.len()];

fn actions(
    given: Given<'_>,
    place: &Place,
    errors: &mut Vec<ConfigError>,
) -> BTreeMap<Rule, Action> {
    let mut actions = BTreeMap::new();
    for (rule, text) in given {
        let action = match text.as_deref() {
            None => continue,
            Some("off") => Action::Off,
            Some("warn") => Action::Warn,
            Some("quarantine") => Action::Quarantine,
            Some(other) => {
                errors.push(place.at(rule.name()).error(Problem::Action(other.into())));
                continue;
            }
        };
        actions.insert(rule, action);
    }
    actions
}

/// The rules of everything.
pub(super) fn resolve(
    raw: &RawTrust,
    entries: &[Entry],
    place: &Place,
    errors: &mut Vec<ConfigError>,
) -> Policy {
    let mut policy = general(raw, &place.at("trust"), errors);
    for entry in entries {
        of_server(&mut policy, entry, errors);
    }
    policy
}

/// The general rules, at `[trust]`.
fn general(raw: &RawTrust, place: &Place, errors: &mut Vec<ConfigError>) -> Policy {
    let RawTrust { pin, injection, hidden_text, stuffing, shadow, lookalike } = raw;
    let rules = [
        (Rule::Injection, injection),
        (Rule::HiddenText, hidden_text),
        (Rule::Stuffing, stuffing),
        (Rule::Shadow, shadow),
        (Rule::Lookalike, lookalike),
    ];
    let mut all: BTreeMap<_, _> = Rule::ALL.map(|rule| (rule, Action::default())).into();
    all.extend(actions(rules, place, errors));
    Policy { general: Rules { pin: pin.unwrap_or(false), actions: all }, ..Policy::default() }
}

/// Takes in what the entry of a server says.
fn of_server(policy: &mut Policy, entry: &Entry, errors: &mut Vec<ConfigError>) {
    let raw = &entry.raw;
    if raw.pin.is_none() && raw.trust.is_none() {
        return;
    }
    if raw.catalog.is_some() {
        for (key, is_given) in [("pin", raw.pin.is_some()), ("trust", raw.trust.is_some())] {
            if is_given {
                errors.push(entry.place.at(key).error(Problem::OfFile));
            }
        }
        return;
    }
    let mut own = OwnRules { pin: raw.pin, ..OwnRules::default() };
    if let Some(RawRules { injection, hidden_text, stuffing, shadow, lookalike }) = &raw.trust {
        let rules = [
            (Rule::Injection, injection),
            (Rule::HiddenText, hidden_text),
            (Rule::Stuffing, stuffing),
            (Rule::Shadow, shadow),
            (Rule::Lookalike, lookalike),
        ];
        own.actions = actions(rules, &entry.place.at("trust"), errors);
    }
    let rules = policy.general.with(&own);
    policy.servers.insert(entry.id.as_str().into(), rules);
}
