//! What is to be done about a definition: by rule, and by server.
//!
//! Invariant: what the checks found does not depend on a policy; a policy only says what follows.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use crate::tool::ServerId;

/// What a definition is checked for.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    SchemaWrite,
    SchemaRead,
)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Text that gives orders to the model that reads it.
    Injection,
    /// Characters that nobody sees: tags, directions, zero width, terminal escapes.
    HiddenText,
    /// A text that says the same words over and over.
    Stuffing,
    /// The name of another server's tool.
    Shadow,
    /// A name that looks like that of another server's tool, in other characters.
    Lookalike,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 5] =
        [Self::Injection, Self::HiddenText, Self::Stuffing, Self::Shadow, Self::Lookalike];

    /// Its name, as it is configured and told.
    pub fn name(self) -> &'static str {
        match self {
            Self::Injection => "injection",
            Self::HiddenText => "hidden_text",
            Self::Stuffing => "stuffing",
            Self::Shadow => "shadow",
            Self::Lookalike => "lookalike",
        }
    }
}

/// What follows when a rule is broken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing, and nothing is told.
    Off,
    /// It is told.
    #[default]
    Warn,
    /// It is told, and the tool is not served until an operator approves it.
    Quarantine,
}

/// How much a finding means.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Worth knowing, and mostly harmless.
    Note,
    /// An operator should look at it.
    Warn,
    /// The tool is not served until an operator approves it.
    Quarantine,
}

/// What is done about each rule, and whether definitions are pinned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// A changed definition, and a new tool, wait for an operator.
    pub pin: bool,
    /// For rules that are not at their default.
    pub actions: BTreeMap<Rule, Action>,
}

impl Rules {
    /// What follows from breaking `rule`.
    pub fn action(&self, rule: Rule) -> Action {
        self.actions.get(&rule).copied().unwrap_or_default()
    }

    /// The level of a finding; `None` where the rule is off.
    pub fn level(&self, rule: Rule, is_note: bool) -> Option<Level> {
        match self.action(rule) {
            Action::Off => None,
            _ if is_note => Some(Level::Note),
            Action::Warn => Some(Level::Warn),
            Action::Quarantine => Some(Level::Quarantine),
        }
    }

    /// These rules, where an entry of a server says nothing else.
    #[must_use]
    pub fn with(&self, own: &OwnRules) -> Self {
        let mut rules = self.clone();
        rules.pin = own.pin.unwrap_or(rules.pin);
        rules.actions.extend(&own.actions);
        rules
    }
}

/// What the entry of one server says of trust.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnRules {
    /// `pin`, if it is there.
    pub pin: Option<bool>,
    /// The rules that are.
    pub actions: BTreeMap<Rule, Action>,
}

/// The rules of every server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Where a server has none of its own.
    pub general: Rules,
    /// Complete rules of servers that have some of their own.
    pub servers: BTreeMap<ServerId, Rules>,
}

impl Policy {
    /// The rules of a server.
    pub fn of(&self, server: &ServerId) -> &Rules {
        self.servers.get(server).unwrap_or(&self.general)
    }
}
