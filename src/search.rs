//! A query, and the answer to it.
//!
//! Invariant: for one generation the same query gets the same answer; ties break by tool id.

mod admitted;
mod confidence;
mod explain;
pub mod fuse;
pub mod learned;
pub mod needs;
mod rerank;
mod select;
mod slots;
mod stages;
mod why;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

pub use needs::PartVectors;

use self::learned::{Learned, Lifted};
use crate::catalog::ToolIdx;
use crate::index::{Index, Ranked};
use crate::tool::hints::HintFilter;
use crate::tool::{ServerId, Tool, ToolId};

use admitted::Admitted;
use slots::Slot;

pub use confidence::{Features, Gauge};
pub use stages::Stages;
pub use why::{Verdict, Why};

/// The largest `limit`.
pub const MAX_LIMIT: usize = 50;
/// Longest query text that is read, in bytes.
pub const MAX_QUERY_BYTES: usize = 16 * 1024;
/// Most phrasings of one need.
pub const MAX_PHRASINGS: usize = 8;

/// What to look for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Query {
    /// One or more phrasings of one need; their rankings are fused.
    pub texts: Vec<String>,
    /// How many tools, 1 to [`MAX_LIMIT`]; absent means 5 to 10, by where the scores fall off, and
    /// up to 20 where several needs are found.
    pub limit: Option<usize>,
    /// Only tools of these servers; empty means all.
    pub servers: Vec<ServerId>,
    /// Only tools with these effects, by what their annotations say.
    pub hints: HintFilter,
    /// Fill in [`Hit::explain`].
    pub explain: bool,
    /// Say of this tool why it stands where it does, found or not.
    pub why: Option<ToolId>,
    /// Which arms rank.
    pub arms: Arms,
}

impl Query {
    /// Refuses what can't be searched; `known` says whether a server is configured.
    pub fn check(&self, known: impl Fn(&ServerId) -> bool) -> Result<(), QueryError> {
        if self.texts.len() > MAX_PHRASINGS {
            return Err(QueryError::TooMany(self.texts.len()));
        }
        if self.texts.is_empty() || self.texts.iter().any(|text| is_blank(text)) {
            return Err(QueryError::Empty);
        }
        if let Some(text) = self.texts.iter().find(|text| text.len() > MAX_QUERY_BYTES) {
            return Err(QueryError::TooLong { bytes: text.len() });
        }
        match self.limit {
            Some(limit) if !(1..=MAX_LIMIT).contains(&limit) => {
                return Err(QueryError::Limit(limit));
            }
            _ => {}
        }
        match self.servers.iter().find(|server| !known(server)) {
            Some(unknown) => Err(QueryError::UnknownServer(unknown.to_string())),
            None => Ok(()),
        }
    }
}

/// Nothing but spaces, punctuation and control characters.
fn is_blank(text: &str) -> bool {
    !text.chars().any(char::is_alphanumeric)
}

/// Which arms rank.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    serde::Deserialize,
    Serialize,
    schemars::JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Arms {
    /// Words alone.
    Lexical,
    /// Vectors alone.
    Dense,
    /// Both, fused.
    #[default]
    Hybrid,
}

/// Which arms an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// BM25F and vectors.
    Hybrid,
    /// BM25F alone.
    Lexical,
    /// Vectors alone (only on request).
    Dense,
}

impl Mode {
    /// The mode of an answer for `arms`, with or without vectors of the query.
    pub fn of(arms: Arms, vectors: bool) -> Self {
        match arms {
            Arms::Dense => Self::Dense,
            Arms::Hybrid if vectors => Self::Hybrid,
            Arms::Hybrid | Arms::Lexical => Self::Lexical,
        }
    }
}

/// The tools that fit.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The generation that was searched.
    pub generation: u64,
    /// The arms that ranked.
    pub mode: Mode,
    /// Why it is not `hybrid`, or not reranked although it should be, and what mends it.
    pub reason: Option<String>,
    /// Microseconds from the query to the ranking, embedding included.
    pub took_us: u64,
    /// Best first.
    pub hits: Vec<Hit>,
    /// None of them is likely to be what is looked for.
    pub no_good_match: bool,
    /// Why one tool stands where it does, when asked for.
    pub why: Option<Why>,
    /// Servers among the hits whose tools may be out of date.
    pub stale: Vec<Stale>,
    /// It was given before, in this generation.
    pub repeated: bool,
    /// What each stage took, unless it was given before.
    pub stages: Option<Stages>,
}

/// A server whose last crawl failed.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Stale {
    /// The server.
    #[schemars(with = "String")]
    pub server: ServerId,
    /// Seconds since its last complete listing.
    pub age_s: u64,
}

/// A tool that fits.
#[derive(Debug, Clone)]
pub struct Hit {
    /// The tool.
    pub tool: Arc<Tool>,
    /// Comparable within one answer only.
    pub score: f32,
    /// How likely it meets the need, 0 to 1; comparable between answers.
    pub confidence: f32,
    /// The same tool on other servers.
    pub duplicates: Vec<ToolId>,
    /// It is in every answer, beside those that the limit counts.
    pub pinned: bool,
    /// How it came to its place, when asked for.
    pub explain: Option<Explain>,
}

/// How a tool came to its place.
#[derive(Debug, Clone, Default, Serialize, schemars::JsonSchema)]
pub struct Explain {
    /// The query spells this tool's name.
    pub exact_name: bool,
    /// Its place in the lexical arm, if it is there.
    pub lexical: Option<Placed>,
    /// Its place in the dense arm, if it is there.
    pub dense: Option<Placed>,
    /// Its place among the tools that the reranker put in order, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reranked: Option<Placed>,
    /// What the profile multiplies its score by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boost: Option<f32>,
    /// How much it was lifted since it was chosen after queries like this one, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learned: Option<Lifted>,
    /// Query terms found in it, by field (`name`, `title`, `description`, `params`,
    /// `server`, `server_description`).
    pub matched: BTreeMap<&'static str, Vec<String>>,
    /// The words that the lexical arm counted, as they stand in it, by field: also other forms of
    /// the query's words, synonyms, and what a misspelt word was read as.
    pub words: BTreeMap<&'static str, Vec<String>>,
}

/// A place in one arm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Placed {
    /// 1 is the best.
    pub rank: usize,
    /// The arm's own score.
    pub score: f32,
}

/// Why a query can't be searched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// No text with anything to search for.
    #[error("the query is empty: say in a few words what the tool should do")]
    Empty,
    /// Too many phrasings.
    #[error("there are {0} phrasings, at most {MAX_PHRASINGS} are fused: send several needs apart")]
    TooMany(usize),
    /// A text is too long.
    #[error("the query has {bytes} bytes, at most {MAX_QUERY_BYTES} are read: shorten it")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// `limit` is out of range.
    #[error("limit is {0}, it must be 1 to {MAX_LIMIT}")]
    Limit(usize),
    /// A server that is not configured.
    #[error("no server {0:?}: GET /v1/servers lists them")]
    UnknownServer(String),
}

/// A whole ranking and what it came from.
#[derive(Debug)]
pub struct Ranking {
    /// Best first; at most a few hundred.
    pub ranked: Vec<Ranked>,
    /// How many needs were found in the query.
    pub needs: usize,
    /// The tools that the query names; they are first in `ranked`.
    named: BTreeSet<ToolIdx>,
    /// What the query may find.
    admitted: Admitted,
    /// What the reranker made of the tools that it read.
    reranked: BTreeMap<ToolIdx, Placed>,
    /// What was lifted for having been chosen after such queries.
    lifted: BTreeMap<ToolIdx, Lifted>,
    lists: Vec<fuse::ArmLists>,
    /// What it took.
    pub stages: Stages,
}

/// Ranks `index` for a query that was checked. `vectors` are those of [`Query::parts`] in order;
/// without them only the lexical arm ranks.
pub fn rank(index: &Index, query: &Query, vectors: &[PartVectors]) -> Ranking {
    rank_with(index, query, vectors, None)
}

/// As [`rank`], with what was learned from use, and the id of the encoder that `vectors` are of.
pub fn rank_with(
    index: &Index,
    query: &Query,
    vectors: &[PartVectors],
    learned: Option<(&Learned, Option<&str>)>,
) -> Ranking {
    let admitted = Admitted::of(index, query);
    let keep = |tool: ToolIdx| admitted.has(tool);
    let lists = fuse::rank_arms(index, query, vectors, keep);
    let begun = Instant::now();
    let (mut ranked, needs) =
        tracing::debug_span!("fuse").in_scope(|| fuse::fuse(index, &lists, vectors));
    let fuse = begun.elapsed();
    index.emphasis.apply(&mut ranked);
    let lifted = learned.map_or_else(BTreeMap::new, |(learned, encoder)| {
        let place = |id: &ToolId| index.catalog.position(id.as_str()).filter(|tool| keep(*tool));
        learned.lifts(&query.texts, vectors, encoder, place)
    });
    learned::lift(&mut ranked, &lifted);
    let named: BTreeSet<ToolIdx> = query
        .texts
        .iter()
        .flat_map(|text| index.names.find(text))
        .filter(|tool| keep(*tool))
        .collect();
    for tool in &named {
        // Fused scores end at 1, lifted or not, so a named tool is before every other.
        match ranked.iter_mut().find(|ranked| ranked.tool == *tool) {
            Some(ranked) => ranked.score = 1.0 + ranked.score.max(f32::EPSILON),
            None => ranked.push(Ranked { tool: *tool, score: 1.0 + f32::EPSILON }),
        }
    }
    ranked.sort_unstable_by(Ranked::order);
    let stages = Stages { fuse, ranked: ranked.len(), ..fuse::stages(&lists) };
    Ranking { ranked, needs, named, admitted, reranked: BTreeMap::new(), lifted, lists, stages }
}

/// What a ranking says to the one who asked.
#[derive(Debug, Clone)]
pub struct Served {
    /// As in [`Answer`].
    pub hits: Vec<Hit>,
    /// As in [`Answer`].
    pub no_good_match: bool,
    /// As in [`Answer`].
    pub why: Option<Why>,
}

/// The tools that answer `query`: the ranking in slots, cut to the limit, explained if asked for.
/// `vectors` are those that [`rank`] was given.
pub fn answer(index: &Index, query: &Query, vectors: &[PartVectors], ranking: &Ranking) -> Served {
    // Whoever asks why a tool is missing wants to know of every slot.
    let most =
        if query.why.is_some() { usize::MAX } else { query.limit.unwrap_or(select::MOST_OF_ALL) };
    // Pinned tools stand beside the others: they take no place, and none is named twice.
    let is_pinned = |tool: ToolIdx| index.emphasis.is_pinned(tool);
    let mut ranked = Cow::Borrowed(&ranking.ranked);
    if !index.emphasis.pinned.is_empty() {
        ranked.to_mut().retain(|ranked| !is_pinned(ranked.tool));
    }
    let keep = |tool: ToolIdx| ranking.admitted.has(tool) && !is_pinned(tool);
    let slots = slots::group(index, query, &ranked, most, keep);
    let count = query.limit.unwrap_or_else(|| select::cut(&slots, ranking.needs)).min(slots.len());
    let gauge = Gauge::new(index, vectors, ranking);
    let hit = |slot: &Slot| Hit {
        tool: Arc::clone(index.catalog.tool(slot.shown.tool)),
        score: slot.shown.score,
        confidence: gauge.confidence(slot.shown.tool),
        duplicates: slot.beside.iter().map(|tool| index.catalog.tool(*tool).id.clone()).collect(),
        pinned: is_pinned(slot.shown.tool),
        explain: query.explain.then(|| {
            let tool = slot.shown.tool;
            let named = ranking.named.contains(&tool);
            let reranked = ranking.reranked.get(&tool).copied();
            let boost = index.emphasis.boosts.get(&tool).copied();
            let arms = explain::explain(index, &query.texts, &ranking.lists, tool, named);
            let learned = ranking.lifted.get(&tool).copied();
            Explain { reranked, boost, learned, ..arms }
        }),
    };
    let pinned = pinned(index, ranking);
    let mut hits: Vec<Hit> = slots[..count].iter().chain(&pinned).map(hit).collect();
    if !pinned.is_empty() {
        hits.sort_by(|a, b| b.score.total_cmp(&a.score));
    }
    let confidences = hits.iter().map(|hit| hit.confidence);
    let was_chosen = slots[..count]
        .iter()
        .chain(&pinned)
        .any(|slot| ranking.lifted.get(&slot.shown.tool).is_some_and(Lifted::says_enough));
    let returned = hits.len();
    let (slots, gauge) = (&slots[..], &gauge);
    let case = why::Case { index, query, vectors, ranking, slots, count, returned, gauge };
    Served {
        no_good_match: !was_chosen && confidence::no_good_match(!vectors.is_empty(), confidences),
        why: query.why.as_ref().map(|id| case.why(id)),
        hits,
    }
}

/// The pinned tools that the query may find, each with the score that it ranked with, if it did.
fn pinned(index: &Index, ranking: &Ranking) -> Vec<Slot> {
    let score = |tool: ToolIdx| {
        let found = ranking.ranked.iter().find(|ranked| ranked.tool == tool);
        found.map_or(0.0, |ranked| ranked.score)
    };
    let pinned = index.emphasis.pinned.iter().filter(|tool| ranking.admitted.has(**tool));
    pinned
        .map(|tool| Ranked { tool: *tool, score: score(*tool) })
        .map(|shown| Slot { shown, beside: Vec::new() })
        .collect()
}
