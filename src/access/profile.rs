//! A profile: which tools somebody sees, what they are called there, and what is returned first.
//!
//! Invariant: complete and valid; what a profile says of a tool that is not there (servers come and
//! go) is no error but a warning of its view.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::Names;
use crate::format::{Family, Format};
use crate::tool::hints::{HintFilter, Hints};
use crate::tool::{ServerId, Tool, ToolId};

/// All profiles, by name.
pub type Profiles = BTreeMap<Arc<str>, Arc<Profile>>;

/// A named view of the catalog.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Profile {
    /// Its name.
    pub name: Arc<str>,
    /// Globs on the ids of servers; `None` is all, or those of the toolsets if there are any.
    pub servers: Option<Names>,
    /// What of single servers is enabled.
    pub toolsets: BTreeMap<ServerId, Toolset>,
    /// Only these tools; `None` is all.
    pub allow: Option<ToolGlobs>,
    /// None of these, also of those allowed.
    pub deny: ToolGlobs,
    /// Only tools with these effects.
    pub hints: HintFilter,
    /// Tools that every answer has.
    pub pinned: Vec<ToolId>,
    /// What the scores of tools are multiplied by.
    pub boosts: Vec<(ToolGlobs, f32)>,
    /// Descriptions in place of the tools' own.
    pub descriptions: BTreeMap<ToolId, String>,
    /// Names in place of the tools' own.
    pub renames: BTreeMap<ToolId, String>,
    /// What holds where a request does not say.
    pub defaults: HostDefaults,
    /// How much there is of it all.
    pub limits: Limits,
}

/// The least and the largest that a score is multiplied by, whatever the boosts say together.
pub const BOOSTS: (f32, f32) = (0.5, 2.0);

/// Globs on tools: those with a `/` are on ids (`server/name`), the others on bare names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ToolGlobs {
    ids: Names,
    names: Names,
}

impl ToolGlobs {
    /// The tools that one of `patterns` matches, or what is wrong with each that is no glob.
    pub fn new(patterns: &[String]) -> Result<Self, Vec<globset::Error>> {
        let (ids, names): (Vec<_>, Vec<_>) =
            patterns.iter().cloned().partition(|pattern| pattern.contains('/'));
        match (Names::new(&ids), Names::new(&names)) {
            (Ok(ids), Ok(names)) => Ok(Self { ids, names }),
            (ids, names) => Err(ids.err().into_iter().chain(names.err()).flatten().collect()),
        }
    }

    /// The tool is one of them.
    pub fn matches(&self, tool: &Tool) -> bool {
        self.ids.matches(tool.id.as_str()) || self.names.matches(tool.own_name())
    }

    /// The patterns.
    pub fn patterns(&self) -> impl Iterator<Item = &String> {
        self.ids.patterns().iter().chain(self.names.patterns())
    }
}

/// What of a server is enabled, as an `mcp_toolset` says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolset {
    /// Tools that it does not name are.
    pub enabled: bool,
    /// By name.
    pub tools: BTreeMap<String, bool>,
}

impl Toolset {
    /// The tool of that name is enabled.
    pub fn admits(&self, name: &str) -> bool {
        self.tools.get(name).copied().unwrap_or(self.enabled)
    }
}

/// What holds for a host that does not say in its request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostDefaults {
    /// How many tools.
    pub limit: Option<usize>,
    /// The shape of answers.
    pub format: Option<Format>,
    /// Tokens that the tools of an answer may take.
    pub token_budget: Option<usize>,
    /// The models whose tokens are counted.
    pub family: Option<Family>,
}

/// How much a profile may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Servers with a tool, the first by id.
    pub servers: Option<usize>,
    /// Tools, the first by id.
    pub tools: Option<usize>,
    /// Tool calls at one time.
    pub concurrent_calls: Option<usize>,
}

impl Profile {
    /// The server may be in the view, as far as its id tells.
    pub fn admits_server(&self, server: &ServerId) -> bool {
        let by_name = match &self.servers {
            Some(names) => names.matches(server.as_str()),
            None => self.toolsets.is_empty(),
        };
        by_name || self.toolsets.contains_key(server)
    }

    /// The tool, with these effects, may be in the view.
    pub fn admits(&self, tool: &Tool, hints: Hints) -> bool {
        self.admits_server(&tool.server)
            && self.toolsets.get(&tool.server).is_none_or(|set| set.admits(tool.own_name()))
            && self.allow.as_ref().is_none_or(|allow| allow.matches(tool))
            && !self.deny.matches(tool)
            && self.hints.admits(hints)
    }

    /// A server of which no tool is in the view is there all the same: the profile names it, or
    /// leaves nothing out.
    pub fn shows_empty(&self, server: &ServerId) -> bool {
        let narrows = self.allow.is_some()
            || self.deny != ToolGlobs::default()
            || !self.hints.is_empty()
            || self.limits.tools.is_some();
        let names_it = self.servers.is_some() || !self.toolsets.is_empty();
        self.limits.servers.is_none() && self.admits_server(server) && (names_it || !narrows)
    }

    /// What the tool's score is multiplied by.
    pub fn boost(&self, tool: &Tool) -> f32 {
        let of_it = self.boosts.iter().filter(|(globs, _)| globs.matches(tool));
        of_it.map(|(_, factor)| factor).product::<f32>().clamp(BOOSTS.0, BOOSTS.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(patterns: &[&str]) -> ToolGlobs {
        ToolGlobs::new(&patterns.iter().map(|&glob| glob.to_owned()).collect::<Vec<_>>()).unwrap()
    }

    fn tool(server: &str, name: &str) -> Tool {
        Tool::parse(&server.into(), &format!(r#"{{"name":"{name}"}}"#)).unwrap()
    }

    #[test]
    fn a_glob_without_a_slash_is_on_names_alone() {
        let git = globs(&["git*", "mail/*"]);
        assert!(git.matches(&tool("x", "git_log")) && git.matches(&tool("mail", "send")));
        assert!(!git.matches(&tool("github", "delete_repository")));
    }

    #[test]
    fn a_toolset_names_its_server_and_says_what_of_it() {
        let mut tools = BTreeMap::from([("read".to_owned(), true)]);
        let mut profile = Profile {
            toolsets: [("files".into(), Toolset { enabled: false, tools: tools.clone() })].into(),
            ..Profile::default()
        };
        let admits =
            |profile: &Profile, server, name| profile.admits(&tool(server, name), Hints::default());
        assert!(admits(&profile, "files", "read") && !admits(&profile, "files", "write"));
        assert!(!admits(&profile, "mail", "send"), "it has no toolset");
        profile.servers = Some(Names::new(&["mail".to_owned()]).unwrap());
        assert!(admits(&profile, "mail", "send") && !admits(&profile, "files", "write"));
        tools.insert("read".into(), false);
        profile.toolsets.insert("files".into(), Toolset { enabled: true, tools });
        assert!(admits(&profile, "files", "write") && !admits(&profile, "files", "read"));
        profile.deny = globs(&["files/*"]);
        assert!(!admits(&profile, "files", "write"), "deny goes before");
    }

    #[test]
    fn a_server_without_tools_is_told_of_where_it_is_no_news() {
        let (server, named) = (ServerId::from("files"), Names::new(&["f*".to_owned()]).unwrap());
        let all = Profile::default();
        assert!(all.shows_empty(&server));
        let some = Profile { allow: Some(globs(&["mail/*"])), ..Profile::default() };
        assert!(!some.shows_empty(&server));
        let named = Profile { servers: Some(named), ..some };
        assert!(named.shows_empty(&server) && !named.shows_empty(&"mail".into()));
        let limits = Limits { servers: Some(1), ..Limits::default() };
        assert!(!Profile { limits, ..named }.shows_empty(&server));
    }

    #[test]
    fn boosts_multiply_within_bounds() {
        let boosts =
            vec![(globs(&["read"]), 1.5), (globs(&["files/*"]), 1.2), (globs(&["x"]), 0.5)];
        let profile = Profile { boosts, ..Profile::default() };
        assert!((profile.boost(&tool("files", "read")) - 1.8).abs() < 1e-6);
        assert!((profile.boost(&tool("mail", "send")) - 1.0).abs() < 1e-6);
        let twice = Profile { boosts: vec![(globs(&["*"]), 2.0); 2], ..Profile::default() };
        assert!((twice.boost(&tool("mail", "send")) - BOOSTS.1).abs() < 1e-6);
    }
}
