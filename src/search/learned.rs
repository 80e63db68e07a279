//! What was chosen after queries like this one lifts the tools that were chosen.
//!
//! The kept queries nearest to this one vote for their tools, the more the nearer they are (the
//! kernel estimate of Nadaraya and of Watson, 1964), against a prior that stands for no evidence: one
//! choice says little, several that agree say much, and choices that contradict each other share.
//!
//! Invariant: the lifts of one query together are at most [`MOST`] of the best score, so that evidence
//! never passes an exact name; and where nothing like the query was asked before, the ranking is
//! what it is without evidence.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::PartVectors;
use crate::catalog::ToolIdx;
use crate::embed::cache::Vector;
use crate::index::Ranked;
use crate::index::dense::Dense;
use crate::text::terms;
use crate::tool::ToolId;

/// What all lifts of one query may add up to, as a share of the best score.
pub const MOST: f32 = 0.6;
/// A tool that is lifted so much is a good match whatever its words say: half of what can be said
/// speaks for it.
const SAYS_ENOUGH: f32 = MOST / 2.0;
/// What speaks against a lift: as much as a quarter of a choice of just this query.
const PRIOR: f32 = 0.25;
/// Queries less alike than this say nothing about each other: of the way from the cosine of unlike
/// texts, which differs much between encoders, to that of equal ones.
const FLOOR: f32 = 0.38;
/// The same for the terms that two queries share, where there are no vectors.
const WORD_FLOOR: f32 = 0.5;
/// So many of the nearest kept queries vote.
const VOTERS: usize = 32;

/// Texts that have nothing to do with each other: how near an encoder puts these is what it calls
/// unlike ([`Space::of`]).
pub const UNLIKE: [&str; 12] = [
    "book a table for dinner on friday",
    "list the open pull requests of a repository",
    "what is the weather like tomorrow",
    "convert an invoice to pdf",
    "restart the database server",
    "translate this letter into french",
    "find a song by its lyrics",
    "how many steps did I walk today",
    "compare prices of running shoes",
    "draw a chart of the sales by month",
    "remind me to water the plants",
    "who won the match last night",
];

/// The vectors of an encoder, and what they call unlike.
#[derive(Debug, Clone, PartialEq)]
pub struct Space {
    /// The encoder's id.
    pub encoder: String,
    /// The mean cosine of texts that have nothing to do with each other.
    pub unlike: f32,
}

impl Space {
    /// That of `encoder`, which gave these vectors of [`UNLIKE`].
    pub fn of(encoder: &str, vectors: &[Vec<f32>]) -> Self {
        let pairs = || {
            vectors.iter().enumerate().flat_map(|(at, a)| vectors[..at].iter().map(move |b| (a, b)))
        };
        let cosine =
            |(a, b): (&Vec<f32>, &Vec<f32>)| -> f32 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        #[expect(clippy::cast_precision_loss, reason = "66 pairs")]
        let unlike = pairs().map(cosine).sum::<f32>() / pairs().count().max(1) as f32;
        Self { encoder: encoder.to_owned(), unlike: unlike.clamp(0.0, 0.95) }
    }
}

/// A query, and what came of tools after it.
#[derive(Debug, Clone)]
pub struct Taught {
    /// The query.
    pub text: Arc<str>,
    /// Its vector, if there is one.
    pub vector: Option<Vector>,
    /// Tools and what their evidence weighs; below zero where they were wrong.
    pub tools: Vec<(ToolId, f32)>,
}

/// What one scope has learned, at one moment.
#[derive(Debug, Default)]
pub struct Learned {
    /// Where its vectors are from, if it has some.
    space: Option<Space>,
    kept: Vec<Kept>,
    dense: Option<Dense>,
}

#[derive(Debug)]
struct Kept {
    /// In order, each once.
    terms: Vec<String>,
    tools: Vec<(ToolId, f32)>,
}

/// How much a tool is lifted, and by what.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Lifted {
    /// What was added to its score, where the best is 1 without it.
    pub lift: f32,
    /// How many kept queries, like this one, it was chosen for.
    pub evidence: usize,
    /// How like this one the nearest of them is: 1 is the same.
    pub likeness: f32,
}

impl Lifted {
    /// It was chosen so clearly that it is likely to be what is looked for.
    pub fn says_enough(&self) -> bool {
        self.lift >= SAYS_ENOUGH
    }
}

impl Learned {
    /// What follows from `taught`, whose vectors are of `space`.
    pub fn of(taught: Vec<Taught>, space: Option<Space>) -> Self {
        let vectors: Vec<Option<Vector>> = taught.iter().map(|one| one.vector.clone()).collect();
        let kept = taught.into_iter().map(|one| Kept { terms: set(&one.text), tools: one.tools });
        Self { space, kept: kept.collect(), dense: Dense::build(&vectors) }
    }

    /// The tools that are lifted for a query of these texts, whose vectors come of `encoder`. Where
    /// that is not the one of the evidence, the words say what is alike. Of several phrasings the
    /// one that lifts a tool the most counts. `place` knows the tools that may be found: evidence
    /// of others is as if there were none.
    pub fn lifts(
        &self,
        texts: &[String],
        vectors: &[PartVectors],
        encoder: Option<&str>,
        place: impl Fn(&ToolId) -> Option<ToolIdx>,
    ) -> BTreeMap<ToolIdx, Lifted> {
        let space = self.space.as_ref().filter(|space| encoder == Some(&*space.encoder));
        let votes = |at: usize| self.kept[at].tools.iter().any(|(tool, _)| place(tool).is_some());
        let mut lifts: BTreeMap<ToolIdx, Lifted> = BTreeMap::new();
        for (at, text) in texts.iter().enumerate() {
            let alike = match (&self.dense, space, vectors.get(at)) {
                (Some(dense), Some(space), Some(vectors)) => {
                    near(dense, space, &vectors.whole, votes)
                }
                _ => self.by_words(text, votes),
            };
            for (tool, lifted) in self.count(&alike, &place) {
                let known = lifts.entry(tool).or_insert(lifted);
                if known.lift < lifted.lift {
                    *known = lifted;
                }
            }
        }
        let all: f32 = lifts.values().map(|lifted| lifted.lift).sum();
        if all > MOST {
            for lifted in lifts.values_mut() {
                lifted.lift *= MOST / all;
            }
        }
        lifts
    }

    /// The kept queries that share most terms with `text`.
    fn by_words(&self, text: &str, keep: impl Fn(usize) -> bool) -> Vec<Alike> {
        let asked = set(text);
        let alike = |(at, kept): (usize, &Kept)| {
            let both = kept.terms.iter().filter(|term| asked.binary_search(term).is_ok()).count();
            #[expect(clippy::cast_precision_loss, reason = "texts are short")]
            let likeness = both as f32 / ((asked.len() * kept.terms.len()).max(1) as f32).sqrt();
            Alike { at, likeness, votes: above(likeness, WORD_FLOOR) }
        };
        let mut near: Vec<Alike> = self.kept.iter().enumerate().map(alike).collect();
        near.retain(|alike| alike.votes > 0.0 && keep(alike.at));
        near.sort_by(|a, b| b.likeness.total_cmp(&a.likeness).then(a.at.cmp(&b.at)));
        near.truncate(VOTERS);
        near
    }

    /// What the votes of these queries come to.
    fn count(
        &self,
        alike: &[Alike],
        place: impl Fn(&ToolId) -> Option<ToolIdx>,
    ) -> Vec<(ToolIdx, Lifted)> {
        // Votes, choices, and the nearest, by tool.
        let mut counted: BTreeMap<ToolIdx, (f32, usize, f32)> = BTreeMap::new();
        for Alike { at, likeness, votes } in alike {
            for (tool, weight) in &self.kept[*at].tools {
                let Some(tool) = place(tool) else { continue };
                let (sum, evidence, nearest) = counted.entry(tool).or_default();
                *sum += votes * weight;
                if *weight > 0.0 {
                    *evidence += 1;
                    *nearest = nearest.max(*likeness);
                }
            }
        }
        counted.retain(|_, (sum, ..)| *sum > 0.0);
        let all: f32 = counted.values().map(|(sum, ..)| sum).sum();
        let lifted = |(tool, (sum, evidence, likeness))| {
            (tool, Lifted { lift: MOST * sum / (all + PRIOR), evidence, likeness })
        };
        counted.into_iter().map(lifted).collect()
    }
}

/// A kept query that is like the one that is asked.
struct Alike {
    at: usize,
    likeness: f32,
    /// What one choice after it counts here.
    votes: f32,
}

/// The kept queries nearest to `vector`.
fn near(dense: &Dense, space: &Space, vector: &[f32], keep: impl Fn(usize) -> bool) -> Vec<Alike> {
    let keep = |row: ToolIdx| keep(row.as_usize());
    let found = dense.search(&[vector], VOTERS, keep).into_iter().flatten();
    let alike = found.map(|near| {
        let likeness = ((near.score - space.unlike) / (1.0 - space.unlike)).clamp(0.0, 1.0);
        Alike { at: near.tool.as_usize(), likeness, votes: above(likeness, FLOOR) }
    });
    alike.take_while(|alike| alike.votes > 0.0).collect()
}

/// From 0 at the floor to 1 where both are the same.
fn above(likeness: f32, floor: f32) -> f32 {
    ((likeness - floor) / (1.0 - floor)).clamp(0.0, 1.0)
}

/// The terms of a text in order, each once.
fn set(text: &str) -> Vec<String> {
    let mut terms = terms(text);
    terms.sort_unstable();
    terms.dedup();
    terms
}

/// Lifts tools of a fused ranking, and scales it so that the best has 1 again. One that no arm had
/// among its candidates comes in behind them.
pub(super) fn lift(ranked: &mut Vec<Ranked>, lifts: &BTreeMap<ToolIdx, Lifted>) {
    if lifts.is_empty() {
        return;
    }
    let behind = ranked.iter().map(|ranked| ranked.score).reduce(f32::min).unwrap_or(0.0);
    for (tool, lifted) in lifts {
        match ranked.iter_mut().find(|ranked| ranked.tool == *tool) {
            Some(ranked) => ranked.score += lifted.lift,
            None => ranked.push(Ranked { tool: *tool, score: behind + lifted.lift }),
        }
    }
    let best = ranked.iter().map(|ranked| ranked.score).fold(f32::MIN_POSITIVE, f32::max);
    for ranked in ranked {
        ranked.score /= best;
    }
}

#[cfg(test)]
mod tests;
