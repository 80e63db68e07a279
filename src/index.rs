//! One generation of the index: a catalog and everything that finds tools in it.
//!
//! Invariant: immutable once built; all parts speak of the same catalog.

pub mod dense;
pub mod document;
pub mod emphasis;
pub mod lexical;
pub mod names;
pub mod neighbours;
pub mod picture;
pub mod snapshot;
pub mod twins;

use std::sync::Arc;

use crate::catalog::{Catalog, ToolIdx};
use dense::Dense;
use document::Documents;
use emphasis::Emphasis;
use lexical::Lexical;
use names::Names;
use twins::Twins;

/// A tool and its score in one arm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranked {
    /// The tool.
    pub tool: ToolIdx,
    /// The arm's own score; larger is better.
    pub score: f32,
}

impl Ranked {
    /// Better first; ties by tool id, which is the order of positions.
    pub fn order(&self, other: &Self) -> std::cmp::Ordering {
        other.score.total_cmp(&self.score).then(self.tool.cmp(&other.tool))
    }
}

/// The best `k` of `scored`, best first.
pub fn top_k(mut scored: Vec<Ranked>, k: usize) -> Vec<Ranked> {
    if k == 0 {
        return Vec::new();
    }
    if scored.len() > k {
        scored.select_nth_unstable_by(k - 1, Ranked::order);
        scored.truncate(k);
    }
    scored.sort_unstable_by(Ranked::order);
    scored
}

/// The best of the tools that it is shown in the order of their positions.
struct Best {
    most: usize,
    kept: Vec<Ranked>,
    /// What a tool must surpass.
    floor: f32,
}

/// Scores that are looked over together.
const LANES: usize = 16;

impl Best {
    /// The best `most` with a score above zero.
    fn of(most: usize) -> Self {
        Self::above(most, 0.0)
    }

    /// The best `most` with a score above `floor`.
    fn above(most: usize, floor: f32) -> Self {
        let floor = if most == 0 { f32::INFINITY } else { floor };
        Self { most, kept: Vec::with_capacity(most * 2), floor }
    }

    /// Shows it some tools, by their scores; `position` and `keep` take the place among those.
    fn add_all(
        &mut self,
        scores: &[f32],
        position: impl Fn(u32) -> ToolIdx,
        keep: impl Fn(u32) -> bool,
    ) {
        for (start, lanes) in (0_u32..).step_by(LANES).zip(scores.chunks(LANES)) {
            // Most are worse than what is kept, and that is seen of all lanes at once.
            let better = lanes.iter().map(|score| u32::from(*score > self.floor)).sum::<u32>();
            if better == 0 {
                continue;
            }
            for (at, score) in (start..).zip(lanes) {
                if *score > self.floor && keep(at) {
                    self.add(Ranked { tool: position(at), score: *score });
                }
            }
        }
    }

    fn add(&mut self, ranked: Ranked) {
        self.kept.push(ranked);
        if self.kept.len() == self.most * 2 {
            self.kept.select_nth_unstable_by(self.most - 1, Ranked::order);
            self.kept.truncate(self.most);
            // A later tool with the same score would lose to it.
            self.floor = self.kept[self.most - 1].score;
        }
    }

    /// Best first.
    fn ranked(self) -> Vec<Ranked> {
        top_k(self.kept, self.most)
    }
}

/// What can be searched.
#[derive(Debug, Clone)]
pub struct Index {
    /// Number of this generation; 0 is the empty one before the first.
    pub generation: u64,
    /// The tools.
    pub catalog: Arc<Catalog>,
    /// What was read of them.
    pub documents: Arc<Documents>,
    /// BM25F.
    pub lexical: Arc<Lexical>,
    /// Exact names.
    pub names: Arc<Names>,
    /// The same tool on several servers.
    pub twins: Arc<Twins>,
    /// Vectors of the tools that have one; `None` when none has.
    pub dense: Option<Arc<Dense>>,
    /// Tools that a view wants returned always or sooner.
    pub emphasis: Arc<Emphasis>,
    /// Bytes of all definitions.
    pub definition_bytes: u64,
}

impl Index {
    /// An index of `catalog` without vectors.
    pub fn build(generation: u64, catalog: Arc<Catalog>) -> Self {
        let documents = Arc::new(Documents::read(&catalog));
        let (lexical, (names, twins)) = rayon::join(
            || Lexical::build(Arc::clone(&documents), None),
            || rayon::join(|| Names::build(&catalog), || Twins::build(&catalog, &documents)),
        );
        Self {
            generation,
            lexical: Arc::new(lexical),
            names: Arc::new(names),
            twins: Arc::new(twins),
            documents,
            definition_bytes: definition_bytes(&catalog),
            catalog,
            dense: None,
            emphasis: Arc::default(),
        }
    }

    /// The same as [`Index::build`], from what this one has already of an earlier catalog, and on
    /// this thread alone unless most of it is new.
    #[must_use]
    pub fn updated(&self, generation: u64, catalog: Arc<Catalog>) -> Self {
        if self.catalog.len() < catalog.len() / 2 {
            return Self::build(generation, catalog);
        }
        let documents = Arc::new(Documents::update(&catalog, &self.catalog, &self.documents));
        Self {
            generation,
            lexical: Arc::new(Lexical::build(Arc::clone(&documents), Some(&self.lexical))),
            names: Arc::new(Names::build(&catalog)),
            twins: Arc::new(Twins::build(&catalog, &documents)),
            documents,
            definition_bytes: definition_bytes(&catalog),
            catalog,
            dense: None,
            emphasis: Arc::default(),
        }
    }

    /// How many tools have a vector.
    pub fn embedded(&self) -> usize {
        self.dense.as_ref().map_or(0, |dense| dense.len())
    }
}

/// What a host would have to send that has every tool. Counted here and not where it is asked for,
/// which is at every search.
fn definition_bytes(catalog: &Catalog) -> u64 {
    catalog.tools().iter().map(|tool| tool.definition.get().len() as u64).sum()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use proptest::prelude::*;

    use super::*;
    use crate::catalog::{Listing, Outcome, ServerInfo, ServerUpdate};
    use crate::tool::Tool;

    const SERVERS: [&str; 3] = ["a", "a/b", "c"];

    fn update(server: &str, title: u8, tools: &[(u8, String)]) -> ServerUpdate {
        let tools = tools.iter().map(|(name, description)| {
            let definition =
                serde_json::json!({"name": format!("t{name}"), "description": description});
            Tool::parse(&server.into(), &definition.to_string()).unwrap()
        });
        let listing = Listing {
            info: ServerInfo { title: Some(format!("title{title}")), ..ServerInfo::default() },
            tools: tools.collect(),
            crawled_at: SystemTime::UNIX_EPOCH,
            defects: Vec::new(),
        };
        let outcome = match title {
            0 => Outcome::Removed,
            _ => Outcome::Listed(listing),
        };
        ServerUpdate { server: server.into(), transport: "http", outcome, next_crawl: None }
    }

    proptest! {
        #[test]
        fn an_update_is_as_building_anew(
            steps in prop::collection::vec(
                (0_usize..3, 0_u8..3, prop::collection::vec((0_u8..5, "([a-e]{4,5} ){0,5}"), 0..5)),
                1..6,
            ),
            query in "([a-e]{4,5} ){1,3}|title[12]",
        ) {
            let mut index = Index::build(0, Arc::default());
            for (server, title, tools) in steps {
                let (catalog, _) = index.catalog.fold(&update(SERVERS[server], title, &tools));
                index = index.updated(1, Arc::new(catalog));
                let anew = Index::build(1, Arc::clone(&index.catalog));
                let rank = |index: &Index| index.lexical.rank(&index.lexical.asked(&query), 9, |_| true);
                prop_assert_eq!(rank(&index), rank(&anew));
                let names = |index: &Index| index.names.find("t1");
                prop_assert_eq!(names(&index), names(&anew));
                for at in (0..).map(ToolIdx).take(index.catalog.len()) {
                    prop_assert_eq!(index.twins.of(at), anew.twins.of(at));
                }
                let ids = |index: &Index| -> Vec<_> {
                    index.documents.all.iter().map(|document| document.embedded).collect()
                };
                prop_assert_eq!(ids(&index), ids(&anew));

                let wanted = [SERVERS[0].into(), SERVERS[2].into()];
                let naive: Vec<bool> =
                    index.catalog.tools().iter().map(|tool| wanted.contains(&tool.server)).collect();
                prop_assert_eq!(index.catalog.of_servers(&wanted), naive);
            }
        }
    }

    #[test]
    fn the_best_are_kept_whatever_is_shown() {
        let mut random = fastrand::Rng::with_seed(1);
        for count in [0, 1, 15, 16, 17, 100, 1_000] {
            let scores: Vec<f32> = (0..count).map(|_| f32::from(random.u8(..)) - 20.0).collect();
            let keep = |at: u32| !at.is_multiple_of(3);
            for most in [0, 1, 10, 2_000] {
                let mut best = Best::of(most);
                best.add_all(&scores, ToolIdx, keep);
                let all = (0..).zip(&scores).filter(|(at, score)| keep(*at) && **score > 0.0);
                let all = all.map(|(at, score)| Ranked { tool: ToolIdx(at), score: *score });
                assert_eq!(best.ranked(), top_k(all.collect(), most), "{most} of {count}");
            }
        }
    }
}
