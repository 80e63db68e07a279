//! A view: the index that a toolscout would have which knows only what a profile shows.
//!
//! Invariant: made of one generation of the whole index, and equal to one that is built of the
//! view's tools alone; what was read of the tools and their vectors are taken over. A tool keeps
//! its id under whatever name, and a definition its bytes but for the name and description.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::profile::{Profile, Profiles};
use crate::catalog::{Catalog, Server, ToolIdx};
use crate::embed::cache::Vector;
use crate::index::Index;
use crate::index::dense::Dense;
use crate::index::emphasis::Emphasis;
use crate::tool::{ServerId, Tool, ToolId};

/// The views of one generation, by the names of their profiles.
pub type Views = BTreeMap<Arc<str>, Arc<View>>;

/// What a profile shows of one generation.
#[derive(Debug)]
pub struct View {
    /// Whose view it is.
    pub profile: Arc<Profile>,
    /// What can be searched in it.
    pub index: Arc<Index>,
    /// What the profile says that could not be done: a line each, for operators.
    pub warnings: Vec<String>,
}

/// The views of `main`; those of `earlier` are gone on from. `vector` gives a tool's, where there
/// is one already.
pub fn derive_all(
    main: &Index,
    profiles: &Profiles,
    earlier: &Views,
    vector: impl Fn(&Index, ToolIdx) -> Option<Vector>,
) -> Views {
    let view = |(name, profile): (&Arc<str>, &Arc<Profile>)| {
        let earlier = earlier.get(name).map(|view| &**view);
        (Arc::clone(name), Arc::new(View::derive(main, profile, earlier, &vector)))
    };
    profiles.iter().map(view).collect()
}

impl View {
    /// The view of `main` that `profile` has.
    pub fn derive(
        main: &Index,
        profile: &Arc<Profile>,
        earlier: Option<&Self>,
        vector: impl Fn(&Index, ToolIdx) -> Option<Vector>,
    ) -> Self {
        let mut warnings = Vec::new();
        let tools = rewrite(admitted(main, profile), profile, &mut warnings);
        let catalog = Arc::new(assemble(&main.catalog, tools, profile));
        let emphasis = emphasis(&catalog, profile, &mut warnings);
        let generation = main.generation;
        let same = earlier.filter(|earlier| reads_as(&earlier.index.catalog, &catalog));
        let index = match same {
            // One that leaves nothing out and changes no text takes no room.
            _ if reads_as(&main.catalog, &catalog) => Index::clone(main),
            Some(earlier) => {
                let index = Index { generation, catalog, ..Index::clone(&earlier.index) };
                Index { dense: vectors(main, &index, vector), ..index }
            }
            None => {
                let index = main.updated(generation, catalog);
                Index { dense: vectors(main, &index, vector), ..index }
            }
        };
        let index = Index { emphasis: Arc::new(emphasis), ..index };
        Self { profile: Arc::clone(profile), index: Arc::new(index), warnings }
    }

    /// The tools whose text is another than that of the tool in `main`; with their servers.
    pub fn rewritten(&self, main: &Catalog) -> Catalog {
        self.index
            .catalog
            .retain(|tool| main.get(tool.id.as_str()).is_none_or(|own| **own != *tool))
    }

    /// The server is there in this view.
    pub fn has_server(&self, server: &ServerId) -> bool {
        self.index.catalog.server(server.as_str()).is_some() || self.profile.shows_empty(server)
    }
}

/// The tools that the profile shows, within its limits.
fn admitted(main: &Index, profile: &Profile) -> Vec<Arc<Tool>> {
    // Of two tools with one id only the first is anywhere to be found.
    let all = main.catalog.tools().iter().zip(&main.documents.all);
    let mut tools: Vec<Arc<Tool>> = all
        .filter(|(tool, document)| profile.admits(tool, document.hints))
        .map(|(tool, _)| Arc::clone(tool))
        .collect();
    if let Some(most) = profile.limits.servers {
        let servers: BTreeSet<ServerId> = tools.iter().map(|tool| tool.server.clone()).collect();
        let first: BTreeSet<ServerId> = servers.into_iter().take(most).collect();
        tools.retain(|tool| first.contains(&tool.server));
    }
    tools.truncate(profile.limits.tools.unwrap_or(usize::MAX));
    tools
}

/// The tools under the names and with the descriptions that the profile gives them.
fn rewrite(tools: Vec<Arc<Tool>>, profile: &Profile, warnings: &mut Vec<String>) -> Vec<Arc<Tool>> {
    if profile.renames.is_empty() && profile.descriptions.is_empty() {
        return tools;
    }
    let mut names: HashSet<(ServerId, Arc<str>)> =
        tools.iter().map(|tool| (tool.server.clone(), Arc::clone(&tool.name))).collect();
    let rewrite = |tool: Arc<Tool>| {
        let name = profile.renames.get(&tool.id).filter(|name| {
            // The names that the server has here are taken too, also by those that are renamed.
            let is_free = names.insert((tool.server.clone(), name.as_str().into()));
            if !is_free && ***name != *tool.name {
                let id = &tool.id;
                warnings.push(format!(
                    "rename: {id} keeps its name, since its server has another tool {name:?}"
                ));
            }
            is_free
        });
        let description = profile.descriptions.get(&tool.id);
        if name.is_none() && description.is_none() {
            return tool;
        }
        let name = name.map(String::as_str);
        tool.rewritten(name, description.map(String::as_str)).map_or(tool, Arc::new)
    };
    tools.into_iter().map(rewrite).collect()
}

/// A catalog of `tools` and their servers, and of those that are there without any.
fn assemble(main: &Catalog, tools: Vec<Arc<Tool>>, profile: &Profile) -> Catalog {
    let mut of_servers: BTreeMap<ServerId, Vec<Arc<Tool>>> = BTreeMap::new();
    for tool in tools {
        of_servers.entry(tool.server.clone()).or_default().push(tool);
    }
    Catalog::from_servers(main.servers().filter_map(|server| {
        let tools = of_servers.remove(&server.id);
        let tools = tools.or_else(|| profile.shows_empty(&server.id).then(Vec::new))?;
        let Server { id, info, crawled_at, .. } = &**server;
        Some(Server { id: id.clone(), info: info.clone(), tools, crawled_at: *crawled_at })
    }))
}

/// Pins and boosts as far as their tools are in the view.
fn emphasis(catalog: &Catalog, profile: &Profile, warnings: &mut Vec<String>) -> Emphasis {
    let mut find = |key: &str, id: &ToolId| {
        let found = catalog.position(id.as_str());
        if found.is_none() {
            warnings.push(format!("{key}: there is no tool {id} in this view"));
        }
        found
    };
    let pinned = profile.pinned.iter().filter_map(|id| find("pinned", id)).collect();
    for id in profile.renames.keys() {
        find("rename", id);
    }
    for id in profile.descriptions.keys() {
        find("describe", id);
    }
    let factors =
        (0..).map(ToolIdx).zip(catalog.tools()).map(|(at, tool)| (at, profile.boost(tool)));
    let boosts = if profile.boosts.is_empty() {
        BTreeMap::new()
    } else {
        factors.filter(|(_, factor)| (factor - 1.0).abs() > f32::EPSILON).collect()
    };
    Emphasis { pinned, boosts }
}

/// A search reads the same in both.
fn reads_as(a: &Catalog, b: &Catalog) -> bool {
    let same = |a: &Arc<Tool>, b: &Arc<Tool>| a.id == b.id && a.hash == b.hash;
    let told = |a: &Arc<Server>, b: &Arc<Server>| a.id == b.id && a.info.reads_as(&b.info);
    a.len() == b.len()
        && a.servers().count() == b.servers().count()
        && a.tools().iter().zip(b.tools()).all(|(a, b)| same(a, b))
        && a.servers().zip(b.servers()).all(|(a, b)| told(a, b))
}

/// The vectors of the view: rows of the whole index where the text is the same. That of the tool as
/// it was stands in for one that a rewritten tool does not have yet.
fn vectors(
    main: &Index,
    index: &Index,
    vector: impl Fn(&Index, ToolIdx) -> Option<Vector>,
) -> Option<Arc<Dense>> {
    let all = main.dense.as_deref()?;
    let mut own: BTreeMap<ToolIdx, Vector> = BTreeMap::new();
    let places = index.catalog.places_in(&main.catalog);
    let known: Vec<Option<ToolIdx>> = (0..)
        .map(ToolIdx)
        .zip(places)
        .map(|(at, place)| {
            let text = |index: &Index, at: ToolIdx| index.documents.all[at.as_usize()].embedded;
            if place.is_some_and(|place| text(main, place) == text(index, at)) {
                return place;
            }
            match vector(index, at) {
                Some(vector) => own.insert(at, vector).and(None),
                None => place,
            }
        })
        .collect();
    Dense::updated(all.dims(), &known, Some(all), |tool| own.get(&tool).cloned()).map(Arc::new)
}
