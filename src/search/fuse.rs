//! The evidence of both arms, for a text and for each of its pieces, becomes one score.
//!
//! A tool's score is its cosine plus its BM25F at a fixed exchange rate. Neither is scaled to the
//! other's range first, as in the convex combination of Bruch, Gai and Ingber ("An analysis of
//! fusion functions for hybrid retrieval", TOIS 2023): BM25F is a sum of evidence, so it weighs
//! more where many rare words match and less where a chat-like text matches by common ones. That
//! is a weight that follows the query, without a rule for it (benches/QUALITY.md compares them).
//!
//! A text of several clauses is also searched clause by clause, each with the whole as context: a
//! tool gets a share for its best cosine with a piece, and a share for how sure a piece is of it
//! (a softmax over the candidates). A piece that fits nothing spreads its share thin, so chatter
//! adds little, and each need lifts its own tool.
//!
//! Invariant: ties break by tool id, and every score is between 0 and 1, 1 the best.

use std::time::{Duration, Instant};

use super::needs::{PartVectors, Parts};
use super::{Arms, Query, Stages};
use crate::catalog::ToolIdx;
use crate::index::lexical::Asked;
use crate::index::{Index, Ranked};

/// How deep each arm ranks.
pub const DEPTH: usize = 100;
/// How much cosine one unit of BM25F is worth.
const LEXICAL_WEIGHT: f32 = 0.04;
/// The share of the best cosine with a piece, against that with the whole text.
const PIECE_SHARE: f32 = 0.5;
/// What it is worth to be the one tool that a piece is about.
const NEED_WEIGHT: f32 = 0.45;
/// Differences of this much evidence make one tool e times likelier than another.
const NEED_TEMPERATURE: f32 = 0.05;
/// A piece that gives a tool this share is sure that it needs it.
const SURE: f32 = 0.3;
/// How much of a piece's evidence is the whole text's.
const CONTEXT: f32 = 0.2;

/// What each arm said of one text, best first.
#[derive(Debug, Default)]
pub struct ArmLists {
    /// BM25F.
    pub lexical: Vec<Ranked>,
    /// Vectors.
    pub dense: Vec<Ranked>,
    /// The terms that the text asks for.
    pub asked: Vec<Asked>,
    /// Every tool's BM25F; empty without that arm.
    scores: Vec<f32>,
    /// What they said of the text's pieces.
    pub pieces: Vec<ArmLists>,
    /// What the arms took, pieces included; `None` where the vectors' did not rank.
    took: (Duration, Option<Duration>),
}

/// What the arms took and found.
pub fn stages(lists: &[ArmLists]) -> Stages {
    let mut stages = Stages::default();
    for list in lists {
        stages.lexical += list.took.0;
        if let Some(dense) = list.took.1 {
            stages.dense = Some(stages.dense.unwrap_or_default() + dense);
        }
        for list in std::iter::once(list).chain(&list.pieces) {
            stages.of_lexical += list.lexical.len();
            stages.of_dense += list.dense.len();
        }
    }
    stages
}

/// Ranks every text of `query`, and its pieces, in every arm it asks for. `vectors` are the
/// texts' in order, or empty when there are none.
pub fn rank_arms(
    index: &Index,
    query: &Query,
    vectors: &[PartVectors],
    keep: impl Fn(ToolIdx) -> bool + Copy,
) -> Vec<ArmLists> {
    let lexical = |text: &str| {
        let asked = index.lexical.asked(text);
        let (lexical, scores) = match query.arms {
            Arms::Hybrid | Arms::Lexical => index.lexical.rank(&asked, DEPTH, keep),
            Arms::Dense => Default::default(),
        };
        ArmLists { lexical, asked, scores, ..ArmLists::default() }
    };
    let parts = |(at, parts): (usize, Parts<'_>)| {
        let begun = Instant::now();
        let mut lists = tracing::debug_span!("lexical").in_scope(|| {
            let mut lists = lexical(parts.whole);
            lists.pieces = parts.pieces.iter().map(|piece| lexical(piece)).collect();
            lists
        });
        lists.took.0 = begun.elapsed();
        if let (Arms::Hybrid | Arms::Dense, Some(dense), Some(vectors)) =
            (query.arms, &index.dense, vectors.get(at))
        {
            let _span = tracing::debug_span!("dense").entered();
            let begun = Instant::now();
            let texts: Vec<&[f32]> = vectors.texts().collect();
            let mut found = dense.search(&texts, DEPTH, keep).into_iter();
            lists.dense = found.next().unwrap_or_default();
            for (piece, found) in lists.pieces.iter_mut().zip(found) {
                piece.dense = found;
            }
            lists.took.1 = Some(begun.elapsed());
        }
        lists
    };
    query.parts().into_iter().enumerate().map(parts).collect()
}

/// One ranking out of the arms' of all texts, best first; and how many needs the texts have.
pub fn fuse(index: &Index, lists: &[ArmLists], vectors: &[PartVectors]) -> (Vec<Ranked>, usize) {
    let mut ranking: Vec<Ranked> = Vec::new();
    let mut most_needs = 1;
    for (at, lists) in lists.iter().enumerate() {
        let (scored, needs) = fuse_text(index, lists, vectors.get(at));
        most_needs = most_needs.max(needs);
        ranking.extend(scored);
    }
    if lists.len() > 1 {
        // The phrasings' scores of one tool add up, always in the same order.
        ranking.sort_by_key(|ranked| ranked.tool);
        ranking.dedup_by(|later, first| {
            let same = later.tool == first.tool;
            first.score += if same { later.score } else { 0.0 };
            same
        });
    }
    ranking.sort_unstable_by(Ranked::order);
    let best = ranking.first().map_or(1.0, |ranked| ranked.score).max(f32::MIN_POSITIVE);
    for ranked in &mut ranking {
        ranked.score = (ranked.score / best).clamp(0.0, 1.0);
    }
    (ranking, most_needs)
}

/// The candidates of one text with their scores, ordered by tool; and how many needs it has: the
/// different tools that a piece is sure of.
fn fuse_text(
    index: &Index,
    lists: &ArmLists,
    vectors: Option<&PartVectors>,
) -> (Vec<Ranked>, usize) {
    let mut candidates: Vec<ToolIdx> = std::iter::once(lists)
        .chain(&lists.pieces)
        .flat_map(|lists| lists.lexical.iter().chain(&lists.dense))
        .map(|ranked| ranked.tool)
        .collect();
    candidates.sort_unstable();
    candidates.dedup();
    let mut evidence = evidence(index, lists, vectors, &candidates).into_iter();
    let whole = evidence.next().unwrap_or_default();
    let of_whole = whole.total();
    let mut best_cosine = vec![f32::MIN; candidates.len()];
    let mut best_share = vec![0.0_f32; candidates.len()];
    for piece in evidence {
        let share =
            softmax(piece.total().iter().zip(&of_whole).map(|(piece, whole)| {
                ((1.0 - CONTEXT) * piece + CONTEXT * whole) / NEED_TEMPERATURE
            }));
        for (best, share) in best_share.iter_mut().zip(share) {
            *best = best.max(share);
        }
        for (best, cosine) in best_cosine.iter_mut().zip(piece.cosine) {
            *best = best.max(cosine);
        }
    }
    let needs = best_share.iter().filter(|share| **share >= SURE).count();
    let mut scores = of_whole;
    if !lists.pieces.is_empty() {
        for (at, score) in scores.iter_mut().enumerate() {
            *score += PIECE_SHARE * (best_cosine[at] - whole.cosine[at]);
            *score += NEED_WEIGHT * best_share[at];
        }
    }
    let ranked = std::iter::zip(candidates, scores).map(|(tool, score)| Ranked { tool, score });
    (ranked.collect(), needs.max(1))
}

/// What both arms say of every candidate.
#[derive(Default)]
struct Evidence {
    lexical: Vec<f32>,
    cosine: Vec<f32>,
}

/// The evidence of the text and of each of its pieces.
fn evidence(
    index: &Index,
    lists: &ArmLists,
    vectors: Option<&PartVectors>,
    candidates: &[ToolIdx],
) -> Vec<Evidence> {
    let mut cosines = match (&index.dense, vectors) {
        (Some(dense), Some(vectors)) if !lists.dense.is_empty() => {
            dense.scores(&vectors.texts().collect::<Vec<_>>(), candidates)
        }
        _ => Vec::new(),
    }
    .into_iter();
    let parts = std::iter::once(lists).chain(&lists.pieces);
    let part = |lists: &ArmLists| {
        let bm25 = |tool: &ToolIdx| lists.scores.get(tool.as_usize()).copied().unwrap_or(0.0);
        let cosine = match cosines.next() {
            Some(known) if !lists.dense.is_empty() => {
                // A tool without a vector yet competes by the lexical arm: it is taken to be as
                // near as the others are on average.
                let assumed = mean(known.iter().flatten().copied());
                known.into_iter().map(|cosine| cosine.unwrap_or(assumed)).collect()
            }
            _ => vec![0.0; candidates.len()],
        };
        Evidence { lexical: candidates.iter().map(bm25).collect(), cosine }
    };
    parts.map(part).collect()
}

impl Evidence {
    fn total(&self) -> Vec<f32> {
        let sum = |(bm25, cosine): (&f32, &f32)| LEXICAL_WEIGHT * bm25 + cosine;
        self.lexical.iter().zip(&self.cosine).map(sum).collect()
    }
}

fn softmax(logits: impl Iterator<Item = f32>) -> Vec<f32> {
    let mut shares: Vec<f32> = logits.collect();
    let largest = shares.iter().copied().fold(f32::MIN, f32::max);
    let mut sum = 0.0;
    for share in &mut shares {
        *share = (*share - largest).exp();
        sum += *share;
    }
    for share in &mut shares {
        *share /= sum;
    }
    shares
}

#[expect(clippy::cast_precision_loss, reason = "a few hundred candidates")]
fn mean(values: impl Iterator<Item = f32>) -> f32 {
    let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), value| (sum + value, count + 1));
    sum / count.max(1) as f32
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, LazyLock};
    use std::time::SystemTime;

    use proptest::prelude::*;

    use super::*;
    use crate::catalog::{Catalog, Listing, ServerInfo};
    use crate::embed::{Embedder, Fixed, Role};
    use crate::index::dense::Dense;
    use crate::text::fields;
    use crate::tool::{ServerId, Tool};

    const SERVERS: usize = 8;
    pub const WORDS: [&str; 12] = [
        "invoice", "calendar", "delete", "search", "weather", "branch", "merge", "customer",
        "report", "send", "list", "update",
    ];

    pub static ENCODER: LazyLock<Fixed> = LazyLock::new(|| Fixed::in_binary().unwrap());

    /// Eight servers of eight tools: fewer than an arm ranks, so nothing falls off its end.
    pub static INDEX: LazyLock<Index> = LazyLock::new(|| {
        let listing = |server: usize| {
            let id = ServerId::from(format!("server{server}").as_str());
            let tool = |tool: usize| {
                let word = |at: usize| WORDS[(server * 5 + tool * 7 + at * at) % WORDS.len()];
                let definition = serde_json::json!({
                    "name": format!("{}_{}_{tool}", word(0), word(1)),
                    "description": format!("{} the {} of a {}", word(2), word(3), word(4)),
                });
                Tool::parse(&id, &definition.to_string()).unwrap()
            };
            let tools = (0..8).map(tool).collect();
            let (info, crawled_at) = (ServerInfo::default(), SystemTime::UNIX_EPOCH);
            (id.clone(), Listing { info, tools, crawled_at, defects: Vec::new() })
        };
        let catalog = Arc::new(Catalog::from_listings((0..SERVERS).map(listing)));
        let mut index = Index::build(1, Arc::clone(&catalog));
        let text = |tool: &Arc<Tool>| fields::embedded_in(&catalog, tool);
        let texts: Vec<_> = catalog.tools().iter().map(text).collect();
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        let vectors = ENCODER.embed(Role::Tool, &texts, None).unwrap();
        let vectors: Vec<_> = vectors.iter().map(|v| Some(v.as_slice().into())).collect();
        index.dense = Dense::build(&vectors).map(Arc::new);
        index
    });

    pub fn vectors_of(query: &Query) -> Vec<PartVectors> {
        let embed = |text: &str| {
            let made = ENCODER.embed(Role::Query, &[text], None).unwrap();
            made.into_iter().next().unwrap()
        };
        let parts = query.parts();
        let part = |parts: &Parts<'_>| PartVectors {
            whole: embed(parts.whole),
            pieces: parts.pieces.iter().map(|piece| embed(piece)).collect(),
        };
        parts.iter().map(part).collect()
    }

    fn kept(lists: &mut ArmLists, keep: &impl Fn(ToolIdx) -> bool) {
        lists.lexical.retain(|ranked| keep(ranked.tool));
        lists.dense.retain(|ranked| keep(ranked.tool));
        for piece in &mut lists.pieces {
            kept(piece, keep);
        }
    }

    /// Every tool's score for one text, and its needs, written down once more from what is said above.
    fn by_hand(lists: &ArmLists, vectors: &PartVectors) -> (Vec<f64>, usize) {
        let tools: Vec<ToolIdx> = (0..).map(ToolIdx).take(INDEX.catalog.len()).collect();
        let dense = INDEX.dense.as_ref().unwrap();
        let parts = std::iter::once(lists).chain(&lists.pieces).zip(vectors.texts());
        // Of each part, for each tool: its cosine, and all of its evidence.
        let mut parts = parts.map(|(part, vector)| {
            let cosines = dense.scores(&[vector], &tools).remove(0).into_iter();
            let both = cosines.map(Option::unwrap).zip(&part.scores);
            both.map(|(cosine, bm25)| (f64::from(cosine), f64::from(0.04 * bm25 + cosine)))
                .collect::<Vec<_>>()
        });
        let whole = parts.next().unwrap();
        let pieces: Vec<_> = parts.collect();
        let share = |piece: &[(f64, f64)], tool: usize| {
            let weight = |at: usize| ((0.8 * piece[at].1 + 0.2 * whole[at].1) / 0.05).exp();
            weight(tool) / (0..tools.len()).map(weight).sum::<f64>()
        };
        let shares = |tool: usize| {
            pieces.iter().map(|piece| share(piece, tool)).reduce(f64::max).unwrap_or(0.0)
        };
        let score = |tool: usize| {
            let nearest = pieces.iter().map(|piece| piece[tool].0).reduce(f64::max);
            let nearer = nearest.map_or(0.0, |nearest| nearest - whole[tool].0);
            whole[tool].1 + 0.5 * nearer + 0.45 * shares(tool)
        };
        let needs = (0..tools.len()).filter(|tool| shares(*tool) >= 0.3).count().max(1);
        ((0..tools.len()).map(score).collect(), needs)
    }

    #[test]
    fn scores_and_needs_are_as_by_hand() {
        // Each half says all that a tool says of itself.
        let two = "invoice calendar 0 weather the send of a weather, then delete search 3 merge the update of a merge";
        let mut most = 0;
        for texts in [vec!["delete invoice"], vec![two], vec![two, "search weather report"]] {
            let texts = texts.into_iter().map(str::to_owned).collect();
            let query = Query { texts, ..Query::default() };
            let vectors = vectors_of(&query);
            let lists = rank_arms(&INDEX, &query, &vectors, |_| true);
            let (ranked, needs) = fuse(&INDEX, &lists, &vectors);

            let texts: Vec<_> = lists
                .iter()
                .zip(&vectors)
                .map(|(lists, vectors)| by_hand(lists, vectors))
                .collect();
            let sum = |tool: usize| texts.iter().map(|(scores, _)| scores[tool]).sum::<f64>();
            let best = (0..INDEX.catalog.len()).map(sum).reduce(f64::max).unwrap();
            assert_eq!(ranked.len(), INDEX.catalog.len());
            for Ranked { tool, score } in &ranked {
                let wanted = (sum(tool.as_usize()) / best).clamp(0.0, 1.0);
                assert!((f64::from(*score) - wanted).abs() < 1e-4, "{tool:?}: {score} {wanted}");
            }
            assert!(ranked.is_sorted_by(|a, b| a.score >= b.score));
            assert_eq!(Some(needs), texts.iter().map(|(_, needs)| *needs).max());
            most = most.max(needs);

            let found = stages(&lists);
            let parts = || lists.iter().flat_map(|list| std::iter::once(list).chain(&list.pieces));
            assert_eq!(found.of_lexical, parts().map(|list| list.lexical.len()).sum::<usize>());
            assert_eq!(found.of_dense, parts().count() * INDEX.catalog.len());
            assert_eq!(found.lexical, lists.iter().map(|list| list.took.0).sum::<Duration>());
            assert_eq!(found.dense, lists.iter().map(|list| list.took.1).sum::<Option<Duration>>());
        }
        assert!(most > 1, "one of them is to have several");
        assert!((mean([1.0, 2.0, 6.0].into_iter()) - 3.0).abs() < f32::EPSILON);
        assert!(mean(std::iter::empty()).abs() < f32::EPSILON);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// What is left out before it is ranked changes nothing among the rest.
        #[test]
        fn a_filter_is_as_if_the_arms_had_been_filtered(
            words in prop::collection::vec(prop::sample::select(WORDS.as_slice()), 1..14),
            comma in any::<bool>(),
            servers in prop::collection::btree_set(0..SERVERS, 1..SERVERS),
        ) {
            let text = words.join(if comma { ", then " } else { " " });
            let query = Query { texts: vec![text], ..Query::default() };
            let vectors = vectors_of(&query);
            let servers: Vec<_> =
                servers.iter().map(|n| ServerId::from(format!("server{n}").as_str())).collect();
            let wanted = INDEX.catalog.of_servers(&servers);
            let keep = |tool: ToolIdx| wanted[tool.as_usize()];

            let filtered = rank_arms(&INDEX, &query, &vectors, keep);
            let mut whole = rank_arms(&INDEX, &query, &vectors, |_| true);
            for lists in &mut whole {
                kept(lists, &keep);
            }
            for (ours, theirs) in std::iter::zip(&filtered, &whole) {
                prop_assert_eq!(&ours.lexical, &theirs.lexical);
                prop_assert_eq!(&ours.dense, &theirs.dense);
                prop_assert!(!ours.dense.is_empty());
            }
            prop_assert_eq!(
                fuse(&INDEX, &filtered, &vectors),
                fuse(&INDEX, &whole, &vectors)
            );
            let query = Query { servers, ..query };
            let ranked = super::super::rank(&INDEX, &query, &vectors).ranked;
            prop_assert!(ranked.iter().all(|ranked| keep(ranked.tool)));
        }
    }
}
