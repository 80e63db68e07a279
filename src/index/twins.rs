//! The same tool on several servers: forks of one server, or one server connected twice.
//!
//! Two tools of different servers are twins when their names, parameter names and the terms of
//! their descriptions are the same, and either the description is long enough that nobody writes
//! it twice, or the servers are kin: nearly all tools of the smaller one stand in the other too.
//! One term that differs is another product (`a GitHub repository`, `a Gitee repository`), so
//! nothing is fuzzy here. Invariant: strict beats loose, since a wrong merge hides a tool.

use std::collections::HashMap;

use super::document::Documents;
use crate::catalog::{Catalog, ToolIdx};
use crate::tool::ContentHash;

/// Kin share at least this many tools …
const KIN_TOOLS: u32 = 2;
/// … and this share of the smaller server's, as a fraction. Of 20,338 tools of public servers the
/// pairs of servers just below it are often one code base turned to another product.
const KIN_SHARE: (u32, u32) = (9, 10);
/// A tool is compared with so many of its kind before it: this bounds the time when a name and
/// description stand on a thousand servers.
const COMPARED: usize = 16;

/// Groups of twins.
#[derive(Debug, Default)]
pub struct Twins {
    group_of: HashMap<ToolIdx, u32>,
    groups: Vec<Vec<ToolIdx>>,
}

/// Tools that look the same.
struct Kind {
    telling: bool,
    /// Server and tool; a server once, ordered.
    tools: Vec<(u32, ToolIdx)>,
}

impl Kind {
    /// The pairs that are compared, as positions in `tools`.
    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.tools.len())
            .flat_map(|at| (at.saturating_sub(COMPARED)..at).map(move |before| (before, at)))
    }
}

impl Twins {
    /// The twins of `catalog`, whose documents these are.
    pub fn build(catalog: &Catalog, documents: &Documents) -> Self {
        let (kinds, sizes) = kinds(catalog, documents);
        let mut shared: HashMap<(u32, u32), u32> = HashMap::new();
        for kind in &kinds {
            for (a, b) in kind.pairs() {
                *shared.entry((kind.tools[a].0, kind.tools[b].0)).or_default() += 1;
            }
        }
        let are_kin = |a: u32, b: u32| {
            let shared = shared.get(&(a, b)).copied().unwrap_or(0);
            let smaller = sizes[a as usize].min(sizes[b as usize]);
            shared >= KIN_TOOLS && shared * KIN_SHARE.1 >= smaller * KIN_SHARE.0
        };
        let mut twins = Self::default();
        for kind in &kinds {
            // Each tool's position in the group of the first tool that it is joined to.
            let mut first: Vec<usize> = (0..kind.tools.len()).collect();
            for (a, b) in kind.pairs() {
                if kind.telling || are_kin(kind.tools[a].0, kind.tools[b].0) {
                    let (low, high) = (first[a].min(first[b]), first[a].max(first[b]));
                    if low != high {
                        first[..=b].iter_mut().filter(|at| **at == high).for_each(|at| *at = low);
                    }
                }
            }
            twins.add(kind, &first);
        }
        twins
    }

    fn add(&mut self, kind: &Kind, first: &[usize]) {
        let mut groups: Vec<Vec<ToolIdx>> = vec![Vec::new(); first.len()];
        for ((_, tool), first) in kind.tools.iter().zip(first) {
            groups[*first].push(*tool);
        }
        for mut group in groups.into_iter().filter(|group| group.len() > 1) {
            group.sort_unstable();
            let id = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
            self.group_of.extend(group.iter().map(|tool| (*tool, id)));
            self.groups.push(group);
        }
    }

    /// `tool` and its twins ordered by id, or nothing if it has none.
    pub fn of(&self, tool: ToolIdx) -> &[ToolIdx] {
        self.group_of.get(&tool).map_or(&[], |group| &self.groups[*group as usize])
    }
}

/// Tools that look the same and stand on several servers, and how many tools each server has.
fn kinds(catalog: &Catalog, documents: &Documents) -> (Vec<Kind>, Vec<u32>) {
    let mut positions = HashMap::new();
    let mut sizes: Vec<u32> = Vec::new();
    let servers: Vec<u32> = catalog
        .tools()
        .iter()
        .map(|tool| {
            let next = u32::try_from(positions.len()).unwrap_or(u32::MAX);
            let server = *positions.entry(&tool.server).or_insert(next);
            if server == next {
                sizes.push(0);
            }
            sizes[server as usize] += 1;
            server
        })
        .collect();
    let mut signed: Vec<(ContentHash, bool, u32, ToolIdx)> = (0_u32..)
        .map(ToolIdx)
        .zip(servers)
        .zip(&documents.all)
        .map(|((at, server), document)| (document.signature, document.telling, server, at))
        .collect();
    signed.sort_unstable();
    // Of two alike on one server (an old name kept beside the new one) the first stands for both.
    signed.dedup_by_key(|(signature, _, server, _)| (*signature, *server));
    let kinds = signed
        .chunk_by(|a, b| a.0 == b.0)
        .filter(|alike| alike.len() > 1)
        .map(|alike| Kind {
            telling: alike[0].1,
            tools: alike.iter().map(|(_, _, server, tool)| (*server, *tool)).collect(),
        })
        .collect();
    (kinds, sizes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::time::SystemTime;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::catalog::{Server, ServerInfo};
    use crate::tool::{ServerId, Tool};

    const LONG: &str = "alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima \
        mike november oscar papa quebec";

    fn catalog(servers: &[Vec<(String, String, Vec<String>)>]) -> Catalog {
        Catalog::from_servers(servers.iter().enumerate().map(|(at, tools)| {
            let id = ServerId::from(format!("server{at}"));
            let tools = tools.iter().map(|(name, description, params)| {
                let properties: serde_json::Map<_, _> =
                    params.iter().map(|name| (name.clone(), json!({}))).collect();
                let definition = json!({"name": name, "description": description,
                    "inputSchema": {"properties": properties}});
                Arc::new(Tool::parse(&id, &definition.to_string()).unwrap())
            });
            Server {
                tools: tools.collect(),
                id: id.clone(),
                info: ServerInfo::default(),
                crawled_at: SystemTime::UNIX_EPOCH,
            }
        }))
    }

    fn groups(catalog: &Catalog) -> BTreeSet<Vec<String>> {
        let twins = Twins::build(catalog, &Documents::read(catalog));
        let id = |at: &ToolIdx| catalog.tool(*at).id.to_string();
        twins.groups.iter().map(|group| group.iter().map(id).collect()).collect()
    }

    fn tool(name: &str, description: &str, params: &[&str]) -> (String, String, Vec<String>) {
        (name.into(), description.into(), params.iter().map(|p| (*p).into()).collect())
    }

    #[test]
    fn a_long_description_is_evidence_and_a_short_one_is_not() {
        let found = groups(&catalog(&[
            vec![tool("search", "Search", &["q"]), tool("listIssues", LONG, &["a", "b"])],
            vec![
                tool("search", "Search", &["p"]),
                tool("list_issues", LONG, &["b", "a"]),
                tool("ring", "Ring", &[]),
            ],
            vec![tool("search", "Search", &["q"]), tool("ping", "", &[]), tool("pong", "", &[])],
            vec![tool("list_issues", LONG, &["b"]), tool("list_bugs", LONG, &["a", "b"])],
        ]));
        let twins = vec!["server0/listIssues".to_owned(), "server1/list_issues".to_owned()];
        assert_eq!(found, BTreeSet::from([twins]));
    }

    #[test]
    fn forks_share_their_short_tools_as_well_but_not_those_that_name_another_product() {
        let of = |product: &str| {
            let about = format!("Get a {product} issue");
            vec![tool("search", "Search", &[]), tool("add", "", &[]), tool("get", &about, &[])]
        };
        assert_eq!(groups(&catalog(&[of("GitHub"), of("GitHub")])).len(), 3);
        assert_eq!(groups(&catalog(&[of("GitHub"), of("Gitee")])).len(), 0, "2 of 3 are alike");
    }

    #[test]
    fn tools_of_one_server_are_never_twins() {
        let twice = vec![tool("a_b", LONG, &[]), tool("aB", LONG, &[])];
        assert!(groups(&catalog(&[twice])).is_empty());
    }

    proptest! {
        #[test]
        fn agrees_with_comparing_all_with_all(
            servers in prop::collection::vec(
                prop::collection::btree_map("[a-c]", ("[xy]{0,1}", any::<bool>()), 0..4), 0..5),
        ) {
            let servers: Vec<Vec<_>> = servers.into_iter().map(|tools| tools.into_iter()
                .map(|(name, (word, long))| {
                    let description = if long { format!("{LONG} {word}") } else { word };
                    tool(&name, &description, &[])
                }).collect()).collect();
            let alike = |a: usize, b: usize| {
                servers[a].iter().filter(|tool| servers[b].contains(tool)).count()
            };
            let twins = |a: usize, b: usize, tool: &(String, String, Vec<String>)| {
                let smaller = servers[a].len().min(servers[b].len());
                a != b && servers[a].contains(tool) && servers[b].contains(tool)
                    && (tool.1.len() > 20 || alike(a, b) >= 2 && alike(a, b) * 10 >= smaller * 9)
            };
            let mut wanted = BTreeSet::new();
            for (at, tools) in servers.iter().enumerate() {
                for tool in tools {
                    // Everything that is reached from here, until nothing is added.
                    let mut group = BTreeSet::from([at]);
                    loop {
                        let before = group.len();
                        let more: Vec<usize> = (0..servers.len())
                            .filter(|b| group.iter().any(|a| twins(*a, *b, tool)))
                            .collect();
                        group.extend(more);
                        if group.len() == before { break; }
                    }
                    if group.len() > 1 {
                        let ids = group.iter().map(|at| format!("server{at}/{}", tool.0));
                        wanted.insert(ids.collect::<Vec<_>>());
                    }
                }
            }
            prop_assert_eq!(groups(&catalog(&servers)), wanted);
        }
    }
}
