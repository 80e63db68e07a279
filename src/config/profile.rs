//! `[profiles.NAME]`: what somebody sees of the catalog.
//!
//! Invariant: what is wrong is told by its key; what a profile says of tools is not compared with
//! the tools there are, which come and go.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::Names;
use super::error::{ConfigError, Place, Problem};
use crate::access::profile::{BOOSTS, HostDefaults, Limits, Profile, Profiles, ToolGlobs, Toolset};
use crate::search::MAX_LIMIT;
use crate::tool::hints::HintFilter;
use crate::tool::{ServerId, ToolId};

/// The shapes of answers.
const FORMATS: &str = "\"mcp\", \"anthropic\", \"openai\", \"tool_reference\", \
    \"tool_search_output\", \"names\" or \"signatures\"";
/// The families of models whose tokens are counted.
const FAMILIES: &str = "\"openai\" or \"anthropic\"";
/// Most tools that every answer has.
const MOST_PINNED: usize = 20;
/// The longest name of a profile, and what MCP allows for that of a tool.
const LONGEST: usize = 64;
const LONGEST_TOOL: usize = 128;

/// `[profiles.NAME]` as it is written.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawProfile {
    pub servers: Option<Vec<String>>,
    pub allow: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
    pub read_only: Option<bool>,
    pub destructive: Option<bool>,
    pub open_world: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pinned: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub boost: BTreeMap<String, f32>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub describe: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rename: BTreeMap<String, String>,
    pub limit: Option<usize>,
    pub format: Option<String>,
    pub token_budget: Option<usize>,
    pub family: Option<String>,
    pub max_servers: Option<usize>,
    pub max_tools: Option<usize>,
    pub max_concurrent_calls: Option<usize>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub toolsets: BTreeMap<String, RawToolset>,
}

/// `[profiles.NAME.toolsets.SERVER]`.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawToolset {
    pub enabled: Option<bool>,
    pub configs: BTreeMap<String, RawToolConfig>,
}

/// `[profiles.NAME.toolsets.SERVER.configs.TOOL]`.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawToolConfig {
    pub enabled: Option<bool>,
}

/// Resolves every profile, or says what is wrong with each.
pub(super) fn resolve(
    raws: BTreeMap<String, RawProfile>,
    place: &Place,
    errors: &mut Vec<ConfigError>,
) -> Profiles {
    let place = place.at("profiles");
    let mut profiles = Profiles::new();
    for (name, raw) in raws {
        let place = place.at(&name);
        let plain = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_');
        if name.is_empty() || name.len() > LONGEST || !name.chars().all(plain) {
            errors.push(place.error(Problem::ProfileName));
            continue;
        }
        let name: Arc<str> = name.into();
        let profile = Check { place: &place, errors }.profile(&name, raw);
        profiles.insert(name, Arc::new(profile));
    }
    profiles
}

/// Checks the keys of one profile.
struct Check<'a> {
    place: &'a Place,
    errors: &'a mut Vec<ConfigError>,
}

impl Check<'_> {
    fn profile(&mut self, name: &Arc<str>, raw: RawProfile) -> Profile {
        Profile {
            name: Arc::clone(name),
            servers: raw.servers.as_deref().map(|globs| self.globs("servers", Names::new(globs))),
            toolsets: raw.toolsets.into_iter().map(|(server, set)| toolset(server, set)).collect(),
            allow: raw.allow.as_deref().map(|globs| self.globs("allow", ToolGlobs::new(globs))),
            deny: self.globs("deny", ToolGlobs::new(&raw.deny)),
            hints: HintFilter {
                read_only: raw.read_only,
                destructive: raw.destructive,
                open_world: raw.open_world,
            },
            pinned: self.pinned(raw.pinned),
            boosts: self.boosts(raw.boost),
            descriptions: raw
                .describe
                .into_iter()
                .map(|(id, text)| (ToolId::from(id), text))
                .collect(),
            renames: self.renames(raw.rename),
            defaults: HostDefaults {
                limit: self.count("limit", raw.limit, Some(MAX_LIMIT)),
                format: self.word("format", raw.format, FORMATS),
                token_budget: self.count("token_budget", raw.token_budget, None),
                family: self.word("family", raw.family, FAMILIES),
            },
            limits: Limits {
                servers: self.count("max_servers", raw.max_servers, None),
                tools: self.count("max_tools", raw.max_tools, None),
                concurrent_calls: self.count(
                    "max_concurrent_calls",
                    raw.max_concurrent_calls,
                    None,
                ),
            },
        }
    }

    fn wrong(&mut self, key: &str, problem: Problem) {
        self.errors.push(self.place.at(key).error(problem));
    }

    fn globs<T: Default>(&mut self, key: &str, globs: Result<T, Vec<globset::Error>>) -> T {
        globs.unwrap_or_else(|wrong| {
            for glob in wrong {
                self.wrong(key, Problem::Glob(glob.to_string()));
            }
            T::default()
        })
    }

    fn pinned(&mut self, ids: Vec<String>) -> Vec<ToolId> {
        if ids.len() > MOST_PINNED {
            self.wrong("pinned", Problem::TooMany(MOST_PINNED));
        }
        let mut pinned: Vec<ToolId> = Vec::new();
        for id in ids.into_iter().map(ToolId::from) {
            if !pinned.contains(&id) {
                pinned.push(id);
            }
        }
        pinned
    }

    fn boosts(&mut self, raw: BTreeMap<String, f32>) -> Vec<(ToolGlobs, f32)> {
        let (least, most) = BOOSTS;
        let mut boosts = Vec::new();
        for (glob, factor) in raw {
            let place = self.place.at("boost").at(&glob);
            if !(least..=most).contains(&factor) {
                self.errors.push(place.error(Problem::OneOf("a number from 0.5 to 2")));
            }
            match ToolGlobs::new(&[glob]) {
                Ok(globs) => boosts.push((globs, factor)),
                Err(wrong) => self
                    .errors
                    .extend(wrong.iter().map(|glob| place.error(Problem::Glob(glob.to_string())))),
            }
        }
        boosts
    }

    fn renames(&mut self, raw: BTreeMap<String, String>) -> BTreeMap<ToolId, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        for (id, name) in &raw {
            if name.is_empty() || name.len() > LONGEST_TOOL || !name.chars().all(plain) {
                self.errors.push(self.place.at("rename").at(id).error(Problem::ToolName));
            }
        }
        raw.into_iter().map(|(id, name)| (ToolId::from(id), name)).collect()
    }

    fn count(&mut self, key: &str, value: Option<usize>, most: Option<usize>) -> Option<usize> {
        match (value, most) {
            (Some(0), _) => self.wrong(key, Problem::TooSmall { least: "1" }),
            (Some(value), Some(most)) if value > most => self.wrong(key, Problem::TooMany(most)),
            _ => {}
        }
        value
    }

    fn word<T: ValueEnum>(
        &mut self,
        key: &str,
        value: Option<String>,
        known: &'static str,
    ) -> Option<T> {
        let word = T::from_str(&value?, false).ok();
        if word.is_none() {
            self.wrong(key, Problem::OneOf(known));
        }
        word
    }
}

fn toolset(server: String, raw: RawToolset) -> (ServerId, Toolset) {
    let enabled = raw.enabled.unwrap_or(true);
    let said = |(tool, config): (String, RawToolConfig)| Some((tool, config.enabled?));
    let tools = raw.configs.into_iter().filter_map(said).collect();
    (ServerId::from(server), Toolset { enabled, tools })
}

impl From<&Profile> for RawProfile {
    /// As it could be written.
    fn from(profile: &Profile) -> Self {
        let texts = |map: &BTreeMap<ToolId, String>| {
            map.iter().map(|(id, text)| (id.to_string(), text.clone())).collect()
        };
        let globs = |globs: &ToolGlobs| -> Vec<String> { globs.patterns().cloned().collect() };
        let boost = |(of, factor): &(ToolGlobs, f32)| {
            of.patterns().map(|glob| (glob.clone(), *factor)).collect::<Vec<_>>()
        };
        Self {
            servers: profile.servers.as_ref().map(|names| names.patterns().to_vec()),
            allow: profile.allow.as_ref().map(globs),
            deny: globs(&profile.deny),
            read_only: profile.hints.read_only,
            destructive: profile.hints.destructive,
            open_world: profile.hints.open_world,
            pinned: profile.pinned.iter().map(ToString::to_string).collect(),
            boost: profile.boosts.iter().flat_map(boost).collect(),
            describe: texts(&profile.descriptions),
            rename: texts(&profile.renames),
            limit: profile.defaults.limit,
            format: profile.defaults.format.as_ref().and_then(word),
            token_budget: profile.defaults.token_budget,
            family: profile.defaults.family.as_ref().and_then(word),
            max_servers: profile.limits.servers,
            max_tools: profile.limits.tools,
            max_concurrent_calls: profile.limits.concurrent_calls,
            toolsets: (profile.toolsets.iter())
                .map(|(server, set)| (server.to_string(), RawToolset::from(set)))
                .collect(),
        }
    }
}

fn word(value: &impl ValueEnum) -> Option<String> {
    value.to_possible_value().map(|word| word.get_name().to_owned())
}

impl From<&Toolset> for RawToolset {
    fn from(set: &Toolset) -> Self {
        let config = |(tool, enabled): (&String, &bool)| {
            (tool.clone(), RawToolConfig { enabled: Some(*enabled) })
        };
        Self { enabled: Some(set.enabled), configs: set.tools.iter().map(config).collect() }
    }
}
