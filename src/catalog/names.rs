//! Names that model APIs take, `[A-Za-z0-9_-]`, at most 64, and the way back to the tool.
//!
//! Invariant: a name is a function of the tool's server, name and id alone, `server__name` where
//! nothing is lost by that, else with a hash of the id; so it is the same at every start and
//! whatever else is in the catalog. Should two be the same all the same, the first by id keeps it.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};

use crate::tool::{ContentHash, Tool, ToolId};

/// The longest name.
pub const MAX_NAME: usize = 64;
/// Digits of a hash.
const DIGITS: usize = 10;
/// What is left of a server's id at least, where a long name is cut.
const LEAST_SERVER: usize = 12;

/// The names of one catalog.
#[derive(Debug, Clone, Default)]
pub struct ApiNames {
    /// From a name to the tool's position.
    back: HashMap<Box<str>, u32>,
    /// Tools that another one has taken the name of.
    moved: HashMap<ToolId, Box<str>>,
}

impl ApiNames {
    /// The names of `tools`, which are ordered by id.
    pub fn of(tools: &[Arc<Tool>]) -> Self {
        let mut names =
            Self { back: HashMap::with_capacity(tools.len()), moved: HashMap::default() };
        for (at, tool) in (0_u32..).zip(tools) {
            let mut name = api_name(tool);
            for salt in 1.. {
                if !names.back.contains_key(&*name) {
                    break;
                }
                name = hashed(tool, salt);
                names.moved.insert(tool.id.clone(), name.as_str().into());
            }
            names.back.insert(name.into(), at);
        }
        names
    }

    /// The tool's name here.
    pub fn name(&self, tool: &Tool) -> String {
        self.moved.get(&tool.id).map_or_else(|| api_name(tool), ToString::to_string)
    }

    /// The position of the tool of that name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.back.get(name).map(|at| *at as usize)
    }
}

/// The tool's name by itself.
fn api_name(tool: &Tool) -> String {
    let (server, name) = (tool.server.as_str(), &*tool.name);
    // Read from its start, the first `__` ends the server: two tools never join to one name.
    let apart = !server.contains("__") && !server.ends_with('_') && !name.starts_with('_');
    let joined = format!("{server}__{name}");
    let whole = joined.len() <= MAX_NAME && joined.chars().all(is_safe);
    if apart && whole && !looks_hashed(&joined) { joined } else { hashed(tool, 0) }
}

/// The name of an API's namespace for a server.
pub fn namespace(server: &str) -> String {
    if server.len() <= MAX_NAME && server.chars().all(is_safe) && !looks_hashed(server) {
        return server.to_owned();
    }
    let start: String = server.chars().map(safe).take(MAX_NAME - DIGITS - 1).collect();
    format!("{start}_{}", digits(server, 0))
}

fn hashed(tool: &Tool, salt: u32) -> String {
    let safe = |text: &str| text.chars().map(safe).collect::<String>();
    let (mut server, mut name) = (safe(tool.server.as_str()), safe(&tool.name));
    let room = MAX_NAME - DIGITS - "___".len();
    name.truncate(room - server.len().min(LEAST_SERVER));
    server.truncate(room - name.len());
    format!("{server}__{name}_{}", digits(tool.id.as_str(), salt))
}

fn digits(id: &str, salt: u32) -> String {
    let mut hex = match salt {
        0 => ContentHash::of(id).hex(),
        salt => ContentHash::of(&format!("{id}\n{salt}")).hex(),
    };
    hex.truncate(DIGITS);
    hex
}

/// It ends as a name with a hash does.
fn looks_hashed(name: &str) -> bool {
    name.len().checked_sub(DIGITS + 1).is_some_and(|at| {
        let tail = &name.as_bytes()[at..];
        tail[0] == b'_' && tail[1..].iter().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn is_safe(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn safe(c: char) -> char {
    if is_safe(c) { c } else { '_' }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::catalog::{Catalog, Server, ServerInfo};

    fn tool(server: &str, name: &str) -> Tool {
        let definition = serde_json::json!({ "name": name }).to_string();
        Tool::parse(&server.into(), &definition).unwrap()
    }

    fn catalog(tools: &[(String, String)]) -> Catalog {
        let servers: BTreeSet<&str> = tools.iter().map(|(server, _)| &**server).collect();
        Catalog::from_servers(servers.into_iter().map(|id| {
            Server {
                id: id.into(),
                info: ServerInfo::default(),
                tools: tools
                    .iter()
                    .filter(|(server, _)| server == id)
                    .map(|(server, name)| Arc::new(tool(server, name)))
                    .collect(),
                crawled_at: std::time::SystemTime::UNIX_EPOCH,
            }
        }))
    }

    #[test]
    fn plain_names_stay_and_what_is_lost_is_a_hash() {
        assert_eq!(api_name(&tool("git", "log-all")), "git__log-all");
        let odd = api_name(&tool("post/office", "sénd"));
        assert!(odd.starts_with("post_office__s_nd_"), "{odd}");
        assert_eq!(odd.len(), "post_office__s_nd_".len() + DIGITS);
        let long = api_name(&tool(&"s".repeat(80), &"n".repeat(80)));
        assert_eq!(long.len(), MAX_NAME);
        assert!(long.starts_with("ssssssssssss__nnn"), "{long}");
        // Pinned: hosts keep these names between runs.
        assert_eq!(api_name(&tool("a b", "c")), "a_b__c_817614f358");
    }

    #[test]
    fn names_that_would_join_to_one_stay_apart() {
        let names: BTreeSet<String> = [("a", "b__c"), ("a__b", "c"), ("a_", "_b__c"), ("a", "_b")]
            .map(|(server, name)| api_name(&tool(server, name)))
            .into();
        assert_eq!(names.len(), 4, "{names:?}");
        // A plain name that is spelt as another's name with its hash gets a hash of its own.
        let taken = api_name(&tool("a b", "c"));
        let (server, name) = taken.split_once("__").unwrap();
        assert_ne!(api_name(&tool(server, name)), taken);
        assert_ne!(namespace("a/b"), namespace("a_b"));
        assert_eq!(namespace("a_b"), "a_b");
    }

    #[test]
    fn the_first_by_id_keeps_a_name_that_two_have() {
        // As a view may have it: two tools renamed alike.
        let mut second = tool("a", "z");
        second.name = "b".into();
        let tools = [Arc::new(tool("a", "b")), Arc::new(second)];
        let names = ApiNames::of(&tools);
        assert_eq!(names.name(&tools[0]), "a__b");
        let moved = names.name(&tools[1]);
        assert!(moved.starts_with("a__b_"), "{moved}");
        assert_eq!((names.find("a__b"), names.find(&moved)), (Some(0), Some(1)));
    }

    proptest! {
        #[test]
        fn names_are_safe_unique_and_lead_back(
            tools in prop::collection::btree_set(("[a_/é]{1,3}|[a-z_]{60,70}", "[b_./-]{1,4}|\\PC{1,90}"), 1..40),
        ) {
            let tools: Vec<_> = tools.into_iter().collect();
            let catalog = catalog(&tools);
            let names = catalog.api_names();
            let mut seen = BTreeSet::new();
            for (at, tool) in catalog.tools().iter().enumerate() {
                let name = names.name(tool);
                prop_assert!((1..=MAX_NAME).contains(&name.len()) && name.chars().all(is_safe), "{name}");
                prop_assert_eq!(names.find(&name), Some(at));
                prop_assert_eq!(&catalog.find(&name).unwrap().id, &tool.id);
                // The same in any other catalog, but for the hash collisions that nobody has seen.
                prop_assert_eq!(&name, &api_name(tool));
                prop_assert!(seen.insert(name));
            }
        }
    }
}
