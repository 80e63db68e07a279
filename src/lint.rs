//! What is wrong with the tools of a catalog, for whoever finds them by searching.
//!
//! Invariant: findings follow from the index, the settings and the answers to searches alone; they
//! are ordered by tool, then by rule.

mod alike;
mod described;
mod searched;
mod sized;

use std::collections::BTreeMap;

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::Serialize;

use crate::catalog::ToolIdx;
use crate::index::Index;
use crate::search::{Answer, Query};
use crate::tool::ToolId;

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[schemars(rename = "LintRule")]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// There is no description, or it says no more than the name.
    NoDescription,
    /// The description has few words.
    ShortDescription,
    /// Parameters have no description.
    UndescribedParameters,
    /// Its own description does not find it among the first.
    Unfindable,
    /// Another tool says nearly the same.
    NearDuplicate,
    /// The whole definition is large.
    LargeDefinition,
    /// The input schema is large.
    LargeSchema,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::NoDescription,
        Self::ShortDescription,
        Self::UndescribedParameters,
        Self::Unfindable,
        Self::NearDuplicate,
        Self::LargeDefinition,
        Self::LargeSchema,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoDescription => "no-description",
            Self::ShortDescription => "short-description",
            Self::UndescribedParameters => "undescribed-parameters",
            Self::Unfindable => "unfindable",
            Self::NearDuplicate => "near-duplicate",
            Self::LargeDefinition => "large-definition",
            Self::LargeSchema => "large-schema",
        }
    }

    /// How bad it is, unless the settings say otherwise: a tool that can't be found is as good as
    /// none, all else is for people to weigh.
    pub fn level(self) -> Level {
        match self {
            Self::NoDescription | Self::Unfindable => Level::Error,
            _ => Level::Warning,
        }
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[schemars(rename = "LintLevel")]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Worth a look.
    Warning,
    /// To be mended.
    Error,
}

/// Which rules hold, and where their bounds are.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The rules, each with the level of its findings.
    pub rules: BTreeMap<Rule, Level>,
    /// A tool must be among the first so many.
    pub first: usize,
    /// The fewest words of a description.
    pub min_words: usize,
    /// The most bytes of a definition.
    pub max_definition: usize,
    /// The most bytes of an input schema.
    pub max_schema: usize,
    /// The share of words in common from which on two tools are nearly the same.
    pub similar: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rules: Rule::ALL.map(|rule| (rule, rule.level())).into(),
            first: 5,
            min_words: 4,
            max_definition: 16 << 10,
            max_schema: 8 << 10,
            similar: 0.9,
        }
    }
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// How bad it is.
    pub level: Level,
    /// The tool, or the first of several.
    pub tool: ToolId,
    /// The others that it is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<ToolId>,
    /// What was found, in words.
    pub message: String,
}

/// Looks through the tools of `index`. `ask` answers a query as the service would; `each` is called
/// when a tool was searched for.
pub fn lint<E: Send>(
    index: &Index,
    settings: &Settings,
    ask: impl Fn(&Query) -> Result<Answer, E> + Sync,
    each: impl Fn() + Sync,
) -> Result<Vec<Finding>, E> {
    let tools = index.catalog.tools();
    let is_on = |rule: &Rule| settings.rules.contains_key(rule);
    let mut findings: Vec<Finding> = tools
        .par_iter()
        .flat_map_iter(|tool| described::check(tool, settings).chain(sized::check(tool, settings)))
        .collect();
    if is_on(&Rule::Unfindable) || is_on(&Rule::NearDuplicate) {
        let count = u32::try_from(tools.len()).unwrap_or(u32::MAX);
        let answers: Vec<Vec<Vec<ToolIdx>>> = (0..count)
            .into_par_iter()
            .map(|tool| {
                let answer = searched::ask(index, ToolIdx(tool), settings.first, &ask);
                each();
                answer
            })
            .collect::<Result<_, E>>()?;
        findings.extend(searched::check(index, &answers, settings));
        findings.extend(alike::check(index, &answers, settings));
    }
    findings.retain(|finding| is_on(&finding.rule));
    findings.sort_by(|a, b| (&a.tool, a.rule).cmp(&(&b.tool, b.rule)));
    Ok(findings)
}

/// The same of one tool, but for the tools that say nearly the same: `index::neighbours` tells those.
pub fn one<E>(
    index: &Index,
    settings: &Settings,
    tool: ToolIdx,
    ask: impl Fn(&Query) -> Result<Answer, E>,
) -> Result<Vec<Finding>, E> {
    let checked = index.catalog.tool(tool);
    let told = described::check(checked, settings).chain(sized::check(checked, settings));
    let answer = searched::ask(index, tool, settings.first, ask)?;
    let unfindable = searched::finding(index, tool, &answer, settings);
    let mut findings: Vec<Finding> = told.chain(unfindable).collect();
    findings.retain(|finding| settings.rules.contains_key(&finding.rule));
    findings.sort_by_key(|finding| finding.rule);
    Ok(findings)
}

impl Settings {
    fn finding(&self, rule: Rule, tool: &ToolId, message: String) -> Finding {
        let level = self.rules.get(&rule).copied().unwrap_or(rule.level());
        Finding { rule, level, tool: tool.clone(), others: Vec::new(), message }
    }
}

#[cfg(test)]
mod tests;
