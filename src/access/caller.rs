//! Who asks: what a request was let in as.
//!
//! Invariant: made once, at the door, before anything else of a request is looked at; what it may
//! not do, no later room does for it. It never holds what was shown to prove it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// The name in the certificate that it showed and that was verified.
    pub certificate: Option<Arc<str>>,
}

/// How a caller showed who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Proof {
    /// Not at all: nobody is asked here.
    None,
    /// By the token of the data folder: whoever runs this toolscout.
    Operator,
    /// By an API key.
    Key,
    /// By an access token of an authorization server.
    Token,
    /// By a client certificate.
    Certificate,
}

/// One thing that a caller may do.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Search, read definitions, give feedback.
    Search,
    /// Have tools called.
    Call,
    /// Change servers, keys and learning, and see everything.
    Admin,
}

impl Scope {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Search, Self::Call, Self::Admin];

    /// As it is written in configurations, tokens and challenges.
    pub fn name(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Call => "call",
            Self::Admin => "admin",
        }
    }

    /// The scope of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

/// What a caller may do.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// Everything.
    pub const ALL: Self = Self(0b111);

    /// `scope` is one of them.
    pub fn has(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }

    /// Every one of them, in order.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |all, scope| all | 1 << scope as u8))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(Scope::name)).finish()
    }
}

/// How much a caller may do, where that differs from what `[limits]` says of everyone.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Allowance {
    /// Requests a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Requests at once above that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// Calls of tools a day (UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls_per_day: Option<u64>,
}

/// A caller.
#[derive(Debug, Clone, PartialEq)]
pub struct Caller {
    /// What it is called in logs and in the audit: a key's id, a token's subject, a certificate's
    /// name. Never a secret.
    pub name: Arc<str>,
    /// How it showed that.
    pub proof: Proof,
    /// What it may do.
    pub scopes: Scopes,
    /// The only view that it sees; `None` is any, and everything.
    pub profile: Option<Arc<str>>,
    /// Whose servers and tools it sees; `None` is those of the main configuration.
    pub tenant: Option<Arc<str>>,
    /// How much it may do.
    pub allowance: Allowance,
}

impl Caller {
    /// Whoever comes where nobody is asked. What administers wants its own token even then.
    pub fn anonymous() -> Self {
        Self {
            name: "anonymous".into(),
            proof: Proof::None,
            scopes: [Scope::Search, Scope::Call].into_iter().collect(),
            profile: None,
            tenant: None,
            allowance: Allowance::default(),
        }
    }

    /// Whoever has shown nothing where proof is asked for: for what is told to everybody.
    pub fn nobody() -> Self {
        Self { name: "nobody".into(), scopes: Scopes::default(), ..Self::anonymous() }
    }

    /// Whoever runs this toolscout.
    pub fn operator() -> Self {
        Self {
            name: "operator".into(),
            proof: Proof::Operator,
            scopes: Scopes::ALL,
            ..Self::anonymous()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_what_was_put_in() {
        let some: Scopes = [Scope::Admin, Scope::Search].into_iter().collect();
        assert!(some.has(Scope::Search) && !some.has(Scope::Call) && some.has(Scope::Admin));
        assert_eq!(Scope::ALL.into_iter().collect::<Scopes>(), Scopes::ALL);
        assert_eq!(format!("{some:?}"), r#"["search", "admin"]"#);
        for scope in Scope::ALL {
            assert_eq!(Scope::of_name(scope.name()), Some(scope));
        }
    }
}
