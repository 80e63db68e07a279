//! A view against an index that is built of what a naive reading of the profile leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::profile::{Limits, Profile, ToolGlobs, Toolset};
use super::view::View;
use crate::catalog::{Catalog, Server, ServerInfo, ToolIdx};
use crate::config::Names;
use crate::embed::{Embedder, Fixed, Role};
use crate::index::Index;
use crate::index::dense::Dense;
use crate::index::emphasis::Emphasis;
use crate::search::{self, PartVectors, Query};
use crate::text::fields;
use crate::tool::hints::HintFilter;
use crate::tool::{ServerId, Tool, ToolId};

const SERVERS: [&str; 4] = ["git", "github", "a", "a/b"];
const NAMES: [&str; 6] = ["list", "listIssues", "delete_branch", "b/list", "send", "find"];
const WORDS: [&str; 8] =
    ["invoice", "branch", "delete", "weather", "customer", "merge", "calendar", "report"];
const NEW_NAMES: [&str; 3] = ["list", "renamed_tool", "quux"];
const GLOBS: [&str; 7] = ["*", "list*", "git/*", "github/list", "*ss*", "a/*", "send"];

const LONG: &str = "aa bb cc dd ee ff gg hh ii jj kk ll mm nn oo pp qq rr ss invoice customer";

static ENCODER: LazyLock<Fixed> = LazyLock::new(|| Fixed::in_binary().unwrap());

fn embed(role: Role, text: &str) -> Vec<f32> {
    ENCODER.embed(role, &[text], None).unwrap().remove(0)
}

/// Words of a description, and what annotations say.
type Said = (Vec<&'static str>, Option<bool>, Option<bool>, Option<bool>);

/// By server and name: definitions, as values.
type Tools = BTreeMap<(usize, usize), Value>;

fn tools() -> impl Strategy<Value = Tools> {
    let word = || prop::sample::select(&WORDS[..]);
    let hint = || prop::option::of(any::<bool>());
    let tool = (prop::collection::vec(word(), 1..6), hint(), hint(), hint());
    let at = (0..SERVERS.len(), 0..NAMES.len());
    prop::collection::btree_map(at, tool, 0..16).prop_map(|tools| {
        let define = |(at, said): ((usize, usize), Said)| {
            let ((server, name), (words, read_only, destructive, open_world)) = (at, said);
            let marker = format!("secret{server}x{name}");
            let own = format!("{} {marker}", words.join(" "));
            let definition = json!({
                "name": NAMES[name],
                // One that is the same tool on every server.
                "description": if NAMES[name] == "send" { LONG.to_owned() } else { own },
                "annotations": {
                    "readOnlyHint": read_only,
                    "destructiveHint": destructive,
                    "openWorldHint": open_world,
                },
            });
            ((server, name), definition)
        };
        tools.into_iter().map(define).collect()
    })
}

fn id((server, name): (usize, usize)) -> ToolId {
    ToolId::join(&SERVERS[server].into(), NAMES[name])
}

fn globs() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(prop::sample::select(&GLOBS[..]).prop_map(str::to_owned), 0..3)
}

fn profile() -> impl Strategy<Value = Profile> {
    let servers = || prop::sample::subsequence(SERVERS.to_vec(), 0..3);
    let some_tool = || (0..SERVERS.len(), 0..NAMES.len()).prop_map(id);
    let hint = || prop::option::weighted(0.2, any::<bool>());
    let name = prop::sample::select(&NEW_NAMES[..]).prop_map(str::to_owned);
    let described = prop::sample::select(&WORDS[..]).prop_map(|word| format!("{word} \"anew\""));
    let seen = (
        prop::option::weighted(0.5, servers()),
        prop::option::weighted(0.5, globs()),
        globs().prop_map(|globs| globs.into_iter().filter(|glob| glob != "*").collect::<Vec<_>>()),
        (hint(), hint(), hint()),
        prop::option::weighted(0.3, (servers(), any::<bool>(), any::<bool>())),
    );
    let changed = (
        prop::collection::vec(some_tool(), 0..3),
        prop::collection::vec((globs(), 0.5_f32..2.0), 0..3),
        prop::collection::btree_map(some_tool(), described, 0..3),
        prop::collection::btree_map(some_tool(), name, 0..4),
        (prop::option::weighted(0.2, 1_usize..3), prop::option::weighted(0.2, 1_usize..6)),
    );
    (seen, changed).prop_map(|((servers, allow, deny, hints, sets), changed)| {
        let (mut pinned, boosts, descriptions, renames, (most_servers, most_tools)) = changed;
        let globs = |globs: Vec<String>| ToolGlobs::new(&globs).unwrap();
        let names = |names: Vec<&str>| {
            Names::new(&names.into_iter().map(str::to_owned).collect::<Vec<_>>()).unwrap()
        };
        let toolset = |(servers, enabled, list): (Vec<&str>, bool, bool)| {
            let set = Toolset { enabled, tools: [("list".to_owned(), list)].into() };
            servers.into_iter().map(|id| (ServerId::from(id), set.clone())).collect()
        };
        pinned.sort();
        pinned.dedup();
        Profile {
            name: "p".into(),
            servers: servers.map(names),
            toolsets: sets.map(toolset).unwrap_or_default(),
            allow: allow.map(globs),
            deny: globs(deny),
            hints: HintFilter { read_only: hints.0, destructive: hints.1, open_world: hints.2 },
            pinned,
            boosts: boosts.into_iter().map(|(of, factor)| (globs(of), factor)).collect(),
            descriptions,
            renames,
            limits: Limits { servers: most_servers, tools: most_tools, ..Limits::default() },
            ..Profile::default()
        }
    })
}

fn server(at: usize, tools: Vec<Tool>) -> Server {
    let title = format!("Title of {}", SERVERS[at]);
    Server {
        id: SERVERS[at].into(),
        info: ServerInfo { title: Some(title), ..ServerInfo::default() },
        tools: tools.into_iter().map(Arc::new).collect(),
        crawled_at: SystemTime::UNIX_EPOCH,
    }
}

/// An index with the vectors of all its tools.
fn index(servers: Vec<Server>) -> Index {
    let index = Index::build(1, Arc::new(Catalog::from_servers(servers)));
    let vectors = (0..).map(ToolIdx).zip(index.catalog.tools());
    let vectors: Vec<_> = vectors.map(|(at, _)| vector(&index, at)).collect();
    Index { dense: Dense::build(&vectors).map(Arc::new), ..index }
}

#[expect(clippy::unnecessary_wraps, reason = "as views ask for it")]
fn vector(index: &Index, at: ToolIdx) -> Option<Arc<[f32]>> {
    let text = fields::embedded_in(&index.catalog, index.catalog.tool(at));
    Some(embed(Role::Tool, &text).into())
}

fn whole(tools: &Tools) -> Index {
    let of = |at: usize| {
        let of_server = tools.iter().filter(|((server, _), _)| *server == at);
        of_server
            .map(|(_, definition)| {
                Tool::parse(&SERVERS[at].into(), &definition.to_string()).unwrap()
            })
            .collect()
    };
    index((0..SERVERS.len()).map(|at| server(at, of(at))).collect())
}

/// What a plain reading of the profile shows, and its index.
fn model(tools: &Tools, profile: &Profile) -> Index {
    let matches = |globs: &ToolGlobs, key: (usize, usize)| {
        globs.patterns().any(|glob| {
            let glob_set = globset::Glob::new(glob).unwrap().compile_matcher();
            glob_set.is_match(if glob.contains('/') {
                id(key).to_string()
            } else {
                NAMES[key.1].to_owned()
            })
        })
    };
    let named = |at: usize| {
        let patterns = profile.servers.as_ref().map(|names| names.patterns().to_vec());
        let by_glob = match patterns {
            Some(patterns) => patterns.iter().any(|id| id == SERVERS[at]),
            None => profile.toolsets.is_empty(),
        };
        by_glob || profile.toolsets.contains_key(SERVERS[at])
    };
    let fits = |(key, definition): (&(usize, usize), &Value)| {
        let said = |hint: &str| definition["annotations"][hint].as_bool();
        let read_only = said("readOnlyHint") == Some(true);
        let is = [
            (profile.hints.read_only, read_only),
            (profile.hints.destructive, said("destructiveHint").unwrap_or(!read_only)),
            (profile.hints.open_world, said("openWorldHint").unwrap_or(true)),
        ];
        let by_set = profile
            .toolsets
            .get(SERVERS[key.0])
            .is_none_or(|set| if NAMES[key.1] == "list" { set.tools["list"] } else { set.enabled });
        named(key.0)
            && by_set
            && profile.allow.as_ref().is_none_or(|allow| matches(allow, *key))
            && !matches(&profile.deny, *key)
            && is.iter().all(|(wanted, is)| wanted.is_none_or(|wanted| wanted == *is))
    };
    // Of `a/b` + `list` and `a` + `b/list`, which are one id, the first server's stands.
    let mut by_id: BTreeMap<ToolId, (usize, usize)> = BTreeMap::new();
    let mut order: Vec<(usize, usize)> = tools.keys().copied().collect();
    order.sort_by_key(|key| (id(*key), SERVERS[key.0]));
    for key in order {
        by_id.entry(id(key)).or_insert(key);
    }
    let mut seen: Vec<(usize, usize)> =
        by_id.into_values().filter(|key| fits((key, &tools[key]))).collect();
    if let Some(most) = profile.limits.servers {
        let mut first: Vec<&str> = seen.iter().map(|key| SERVERS[key.0]).collect();
        first.sort_unstable();
        first.dedup();
        first.truncate(most);
        seen.retain(|key| first.contains(&SERVERS[key.0]));
    }
    seen.truncate(profile.limits.tools.unwrap_or(99));
    let mut taken: BTreeSet<(usize, String)> =
        seen.iter().map(|key| (key.0, NAMES[key.1].to_owned())).collect();
    let mut servers: BTreeMap<usize, Vec<Tool>> = BTreeMap::new();
    for key in seen {
        let mut definition = tools[&key].clone();
        if let Some(text) = profile.descriptions.get(&id(key)) {
            definition["description"] = text.as_str().into();
        }
        if let Some(name) = profile.renames.get(&id(key))
            && taken.insert((key.0, name.clone()))
        {
            definition["name"] = name.as_str().into();
        }
        let mut tool = Tool::parse(&SERVERS[key.0].into(), &definition.to_string()).unwrap();
        tool.id = id(key);
        servers.entry(key.0).or_default().push(tool);
    }
    let is_narrow = profile.allow.is_some()
        || profile.deny.patterns().next().is_some()
        || !profile.hints.is_empty()
        || profile.limits.tools.is_some();
    let names_some = profile.servers.is_some() || !profile.toolsets.is_empty();
    for at in 0..SERVERS.len() {
        if profile.limits.servers.is_none() && named(at) && (names_some || !is_narrow) {
            servers.entry(at).or_default();
        }
    }
    let index = index(servers.into_iter().map(|(at, tools)| server(at, tools)).collect());
    let find = |id: &ToolId| index.catalog.position(id.as_str());
    let factor = |tool: &Tool| {
        let key =
            tools.keys().find(|key| id(**key) == tool.id && SERVERS[key.0] == tool.server.as_str());
        let of_it = profile.boosts.iter().filter(|(globs, _)| matches(globs, *key.unwrap()));
        of_it.map(|(_, factor)| *factor).fold(1.0, |all, factor| all * factor).clamp(0.5, 2.0)
    };
    let boosts = (0..).map(ToolIdx).zip(index.catalog.tools());
    let boosts = boosts
        .map(|(at, tool)| (at, factor(tool)))
        .filter(|(_, factor)| (*factor - 1.0).abs() > f32::EPSILON);
    let emphasis = Emphasis {
        pinned: profile.pinned.iter().filter_map(find).collect(),
        boosts: boosts.collect(),
    };
    Index { emphasis: Arc::new(emphasis), ..index }
}

fn query() -> impl Strategy<Value = Query> {
    let word = prop_oneof![
        3 => prop::sample::select(&WORDS[..]).prop_map(str::to_owned),
        2 => (0..SERVERS.len(), 0..NAMES.len()).prop_map(|key| id(key).to_string()),
        1 => prop::sample::select(&NAMES[..]).prop_map(str::to_owned),
        1 => prop::sample::select(&NEW_NAMES[..]).prop_map(str::to_owned),
        1 => (0..SERVERS.len(), 0..NAMES.len()).prop_map(|(a, b)| format!("secret{a}x{b}")),
        1 => Just("custmer".to_owned()),
    ];
    let why = prop_oneof![
        (0..SERVERS.len(), 0..NAMES.len()).prop_map(|key| id(key).to_string()),
        Just("github/listIsues".to_owned()),
    ];
    let hint = || prop::option::weighted(0.2, any::<bool>());
    (
        prop::collection::vec(word, 1..6),
        prop::option::of(1_usize..5),
        prop::sample::subsequence(SERVERS.to_vec(), 0..3),
        (hint(), hint(), hint()),
        prop::option::of(why),
    )
        .prop_map(|(words, limit, servers, hints, why)| Query {
            texts: vec![words.join(" ")],
            limit,
            servers: servers.into_iter().map(ServerId::from).collect(),
            hints: HintFilter { read_only: hints.0, destructive: hints.1, open_world: hints.2 },
            explain: true,
            why: why.map(ToolId::from),
            ..Query::default()
        })
}

/// Everything that is said in answer.
fn answer(index: &Index, query: &Query) -> String {
    let vectors = |text: &str| PartVectors { whole: embed(Role::Query, text), pieces: Vec::new() };
    let vectors: Vec<_> = match index.dense {
        Some(_) => query.texts.iter().map(|text| vectors(text)).collect(),
        None => Vec::new(),
    };
    let ranking = search::rank(index, query, &vectors);
    format!("{:?}", search::answer(index, query, &vectors, &ranking))
}

fn definitions(index: &Index) -> Vec<(String, String, String)> {
    let tools = index.catalog.tools().iter();
    tools
        .map(|tool| (tool.id.to_string(), tool.name.to_string(), tool.definition.get().to_owned()))
        .collect()
}

fn servers(index: &Index) -> Vec<String> {
    index.catalog.servers().map(|server| server.id.to_string()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// A view answers as a toolscout that has its tools alone, and goes on from an earlier one as
    /// if it were made anew.
    #[test]
    fn a_view_is_as_if_there_were_nothing_else(
        before in tools(), after in tools(), profile in profile(), queries in prop::collection::vec(query(), 4),
    ) {
        let profile = Arc::new(profile);
        let first = View::derive(&whole(&before), &profile, None, vector);
        let main = whole(&before).updated(2, whole(&after).catalog);
        let dense = whole(&after).dense;
        let main = Index { dense, ..main };
        for (main, tools, earlier) in [
            (whole(&before), &before, None),
            (whole(&before), &before, Some(&first)),
            (main, &after, Some(&first)),
        ] {
            let view = View::derive(&main, &profile, earlier, vector);
            let alone = model(tools, &profile);
            prop_assert_eq!(definitions(&view.index), definitions(&alone));
            prop_assert_eq!(servers(&view.index), servers(&alone));
            prop_assert_eq!(view.index.embedded(), alone.embedded());
            for at in (0..SERVERS.len()).map(|at| ServerId::from(SERVERS[at])) {
                prop_assert_eq!(view.has_server(&at), alone.catalog.server(at.as_str()).is_some());
            }
            for query in &queries {
                let told = answer(&view.index, query);
                prop_assert_eq!(&told, &answer(&alone, query));
                for key in tools.keys() {
                    let is_seen = view.index.catalog.get(id(*key).as_str()).is_some();
                    let asked = query.why.as_ref().is_some_and(|why| *why == id(*key));
                    let marker = format!("secret{}x{}", key.0, key.1);
                    let is_asked = query.texts[0].contains(&marker);
                    prop_assert!(is_seen || is_asked || !told.contains(&marker), "{}", told);
                    let named = format!("{:?}", id(*key));
                    prop_assert!(is_seen || asked || !told.contains(&named), "{}", told);
                }
            }
        }
    }

    #[test]
    fn every_pin_that_may_be_found_is_returned_once(
        tools in tools(), profile in profile(), query in query(),
    ) {
        let profile = Arc::new(profile);
        let view = View::derive(&whole(&tools), &profile, None, vector);
        let index = &*view.index;
        let ranking = search::rank(index, &query, &[]);
        let hits = search::answer(index, &query, &[], &ranking).hits;
        let keep = |tool: &Tool| {
            (query.servers.is_empty() || query.servers.contains(&tool.server))
                && query.hints.admits(tool.view().hints)
        };
        for id in &profile.pinned {
            let times = hits.iter().filter(|hit| hit.tool.id == *id && hit.pinned).count();
            let there = index.catalog.get(id.as_str()).is_some_and(|tool| keep(tool));
            prop_assert_eq!(times, usize::from(there));
        }
        let mut all: Vec<&ToolId> = hits.iter().map(|hit| &hit.tool.id)
            .chain(hits.iter().flat_map(|hit| &hit.duplicates)).collect();
        let count = all.len();
        all.sort();
        all.dedup();
        prop_assert_eq!(all.len(), count, "none is named twice");
        let beside = hits.iter().flat_map(|hit| &hit.duplicates);
        prop_assert!(hits.iter().all(|hit| keep(&hit.tool)));
        prop_assert!(beside.into_iter().all(|id| keep(index.catalog.get(id.as_str()).unwrap())));
        if let Some(limit) = query.limit {
            prop_assert!(hits.iter().filter(|hit| !hit.pinned).count() <= limit);
        }
    }
}
