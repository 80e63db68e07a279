//! Which tools of a server are kept, by their names.
//!
//! Invariant: two filters are equal exactly when they were written the same way.

use globset::{Glob, GlobSet, GlobSetBuilder};

/// Globs on tool names.
#[derive(Debug, Clone, Default)]
pub struct Names {
    patterns: Vec<String>,
    set: GlobSet,
}

impl Names {
    /// The names that one of `patterns` matches, or what is wrong with each that is no glob.
    pub fn new(patterns: &[String]) -> Result<Self, Vec<globset::Error>> {
        let mut set = GlobSetBuilder::new();
        let mut wrong = Vec::new();
        for pattern in patterns {
            match Glob::new(pattern) {
                Ok(glob) => {
                    set.add(glob);
                }
                Err(error) => wrong.push(error),
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let set = set.build().map_err(|error| vec![error])?;
        Ok(Self { patterns: patterns.to_vec(), set })
    }

    /// One of the patterns matches.
    pub fn matches(&self, name: &str) -> bool {
        self.set.is_match(name)
    }

    /// The patterns, as they were written.
    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }
}

impl PartialEq for Names {
    fn eq(&self, other: &Self) -> bool {
        self.patterns == other.patterns
    }
}

/// The tools that are kept.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NameFilter {
    /// Only these; `None` keeps all.
    pub allow: Option<Names>,
    /// None of these, also of those allowed.
    pub deny: Names,
}

impl NameFilter {
    /// Keeps no tool at all.
    pub fn nothing() -> Self {
        Self { allow: Some(Names::default()), ..Self::default() }
    }

    /// The tool of that name is to be kept.
    pub fn admits(&self, name: &str) -> bool {
        self.allow.as_ref().is_none_or(|allow| allow.matches(name)) && !self.deny.matches(name)
    }
}
