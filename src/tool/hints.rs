//! What a tool's annotations say of its effects, and filters on that.
//!
//! Invariant: what is not said is taken as MCP takes it, which is the worst: a tool may write,
//! destroy and reach the outside. Annotations are the server's own word, not a proof.

use serde_json::value::RawValue;

use super::Members;

/// The effects of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hints {
    /// `readOnlyHint`: it changes nothing.
    pub read_only: bool,
    /// `destructiveHint`: it may delete or overwrite. One that is read-only does not, unless it
    /// says both.
    pub destructive: bool,
    /// `openWorldHint`: it reaches beyond its server.
    pub open_world: bool,
}

impl Default for Hints {
    /// Those of a tool that says nothing.
    fn default() -> Self {
        Self { read_only: false, destructive: true, open_world: true }
    }
}

impl Hints {
    /// Reads `annotations`; a hint that is no boolean says nothing.
    pub(super) fn of(annotations: &RawValue) -> Self {
        let Some(members) = Members::of(annotations) else {
            return Self::default();
        };
        let said = |name| serde_json::from_str::<bool>(members.get(name)?.get()).ok();
        let read_only = said("readOnlyHint").unwrap_or(false);
        Self {
            read_only,
            destructive: said("destructiveHint").unwrap_or(!read_only),
            open_world: said("openWorldHint").unwrap_or(true),
        }
    }
}

/// The effects that are wanted; what is `None` may be either.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct HintFilter {
    /// As in [`Hints`].
    pub read_only: Option<bool>,
    /// As in [`Hints`].
    pub destructive: Option<bool>,
    /// As in [`Hints`].
    pub open_world: Option<bool>,
}

impl HintFilter {
    /// It lets everything through.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// A tool with these effects is wanted.
    pub fn admits(&self, hints: Hints) -> bool {
        let fits = |wanted: Option<bool>, is: bool| wanted.is_none_or(|wanted| wanted == is);
        fits(self.read_only, hints.read_only)
            && fits(self.destructive, hints.destructive)
            && fits(self.open_world, hints.open_world)
    }

    /// This one, with what it leaves open taken from `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            read_only: self.read_only.or(other.read_only),
            destructive: self.destructive.or(other.destructive),
            open_world: self.open_world.or(other.open_world),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::Tool;

    fn hints(annotations: &str) -> Hints {
        let definition = format!(r#"{{"name":"x","annotations":{annotations}}}"#);
        Tool::parse(&"s".into(), &definition).unwrap().view().hints
    }

    #[test]
    fn what_is_not_said_is_the_worst() {
        let all = |read_only, destructive, open_world| Hints { read_only, destructive, open_world };
        for nothing in ["{}", "7", r#"{"readOnlyHint":"yes","destructiveHint":null}"#] {
            assert_eq!(hints(nothing), all(false, true, true), "{nothing}");
        }
        assert_eq!(hints(r#"{"readOnlyHint":true}"#), all(true, false, true));
        assert_eq!(hints(r#"{"readOnlyHint":true,"destructiveHint":true}"#), all(true, true, true));
        assert_eq!(
            hints(r#"{"destructiveHint":false,"openWorldHint":false}"#),
            all(false, false, false)
        );
        assert_eq!(
            Tool::parse(&"s".into(), r#"{"name":"x"}"#).unwrap().view().hints,
            Hints::default()
        );
    }
}
