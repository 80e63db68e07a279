//! Tools that lie near each other, and those among them that say nearly the same.
//!
//! Two tools are near-duplicates when nearly all terms of their names, titles, descriptions and
//! parameters are the same; only neighbours in a search are compared, so the time grows with the
//! tools and not with their pairs. Invariant: exact twins are near-duplicates, and all of a group
//! are like its first, since what is like one of them may be like no other.

use super::document::Document;
use super::{Index, Ranked, top_k};
use crate::catalog::ToolIdx;
use crate::text::fields;

/// So many neighbours of a tool are looked at.
pub const NEAREST: usize = 15;
/// Near-duplicates have at least this share of their terms in common …
pub const ALIKE: f32 = 0.8;
/// … where both have so many: `List users` is said by many.
const FEWEST_TERMS: usize = 8;
/// The fields that are a tool's own and not its server's.
const OWN: usize = 4;
/// Tools whose neighbours are looked for in one pass over the vectors.
const AT_ONCE: usize = 16;

/// The `k` tools nearest to each of these by the cosine of their vectors, best first, without
/// itself; nothing for a tool without a vector.
pub fn nearest(index: &Index, tools: &[ToolIdx], k: usize) -> Vec<Vec<Ranked>> {
    let Some(dense) = &index.dense else { return vec![Vec::new(); tools.len()] };
    let mut all = Vec::with_capacity(tools.len());
    for tools in tools.chunks(AT_ONCE) {
        let vectors: Vec<Option<Vec<f32>>> = tools.iter().map(|tool| dense.vector(*tool)).collect();
        let queries: Vec<&[f32]> = vectors.iter().flatten().map(Vec::as_slice).collect();
        let mut found = dense.search(&queries, k + 1, |_| true).into_iter();
        all.extend(tools.iter().zip(&vectors).map(|(tool, vector)| {
            let found = vector.as_ref().and_then(|_| found.next()).unwrap_or_default();
            found.into_iter().filter(|other| other.tool != *tool).take(k).collect::<Vec<_>>()
        }));
    }
    all
}

/// The near-duplicates of one tool with the share of terms that both have, the likest first: a
/// search, so cheap enough to be made when it is asked for.
pub fn near(index: &Index, tool: ToolIdx) -> Vec<Ranked> {
    let by_vector = nearest(index, &[tool], NEAREST).pop().unwrap_or_default();
    let found = if by_vector.is_empty() { by_words(index, tool) } else { by_vector };
    let twins = index.twins.of(tool).iter().copied();
    let mut others: Vec<ToolIdx> = found.into_iter().map(|ranked| ranked.tool).collect();
    others.extend(twins);
    others.retain(|other| *other != tool);
    others.sort_unstable();
    others.dedup();
    let shares =
        others.into_iter().map(|other| Ranked { tool: other, score: share(index, tool, other) });
    top_k(shares.filter(|near| near.score >= ALIKE).collect(), NEAREST)
}

/// Groups of two and more near-duplicates, each in the order of the catalog; `nearest` has the
/// neighbours of every tool of it, as [`nearest`] gives them.
pub fn groups(index: &Index, nearest: &[Vec<Ranked>]) -> Vec<Vec<ToolIdx>> {
    let like = like(index, nearest);
    let mut taken = vec![false; like.len()];
    let mut groups = Vec::new();
    for (first, mut others) in (0..).map(ToolIdx).zip(like) {
        if taken[first.as_usize()] {
            continue;
        }
        // All twins are taken with the first of them that is not, so each is looked at a few times.
        others.extend(index.twins.of(first).iter().filter(|twin| **twin > first));
        others.retain(|other| !std::mem::replace(&mut taken[other.as_usize()], true));
        if !others.is_empty() {
            others.push(first);
            others.sort_unstable();
            groups.push(others);
        }
    }
    groups
}

/// Which tools are like which later one, whoever of the two is near the other.
fn like(index: &Index, nearest: &[Vec<Ranked>]) -> Vec<Vec<ToolIdx>> {
    let mut like: Vec<Vec<ToolIdx>> = vec![Vec::new(); index.catalog.len()];
    for (tool, found) in (0..).map(ToolIdx).zip(nearest) {
        for other in found.iter().map(|ranked| ranked.tool) {
            if other != tool && share(index, tool, other) >= ALIKE {
                like[tool.min(other).as_usize()].push(tool.max(other));
            }
        }
    }
    like
}

/// The neighbours of a tool by its own words.
fn by_words(index: &Index, tool: ToolIdx) -> Vec<Ranked> {
    let tool = index.catalog.tool(tool);
    let view = tool.view();
    let text = fields::lexical(tool, &view, None)[..OWN].join(" ");
    index.lexical.rank(&index.lexical.asked(&text), NEAREST + 1, |_| true).0
}

/// The share of terms that both have; 1 of twins, 0 of two that say too little to tell.
#[expect(clippy::cast_precision_loss, reason = "counts of words")]
fn share(index: &Index, one: ToolIdx, other: ToolIdx) -> f32 {
    if index.twins.of(one).binary_search(&other).is_ok() {
        return 1.0;
    }
    let said = |tool: ToolIdx| own_terms(&index.documents.all[tool.as_usize()]);
    let (mut a, mut b) = (said(one).peekable(), said(other).peekable());
    let (mut both, mut only_a, mut only_b) = (0_usize, 0_usize, 0_usize);
    loop {
        match (a.peek(), b.peek()) {
            (None, None) => break,
            (Some(x), Some(y)) if x == y => {
                both += 1;
                a.next();
                b.next();
            }
            (Some(x), y) if y.is_none_or(|y| x < y) => {
                only_a += 1;
                a.next();
            }
            _ => {
                only_b += 1;
                b.next();
            }
        }
    }
    if both + only_a.min(only_b) < FEWEST_TERMS {
        return 0.0;
    }
    both as f32 / (both + only_a + only_b) as f32
}

/// The terms that a tool says of itself, ordered by number.
fn own_terms(document: &Document) -> impl Iterator<Item = u32> {
    let is_own = |frequency: &&super::document::Frequency| {
        frequency.fields[..OWN].iter().any(|count| *count > 0)
    };
    document.terms.iter().filter(is_own).map(|frequency| frequency.term)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::catalog::{Catalog, listing_of};
    use crate::embed::{Embedder as _, Fixed, Role};
    use crate::index::dense::Dense;
    use crate::tool::{ServerId, Tool};

    const WORDS: [&str; 12] = [
        "alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india",
        "juliett", "kilo", "lima",
    ];

    const NAMES: [&str; 12] =
        ["qa", "qb", "qc", "qd", "qe", "qf", "qg", "qh", "qj", "qk", "ql", "qm"];

    fn index(descriptions: &[String], with_vectors: bool) -> Index {
        built(&[("mail".to_owned(), descriptions)], with_vectors)
    }

    fn built(servers: &[(String, &[String])], with_vectors: bool) -> Index {
        let listing = |(server, descriptions): &(String, &[String])| {
            let server = ServerId::from(server.as_str());
            let tools = descriptions.iter().enumerate().map(|(at, description)| {
                let definition = serde_json::json!({"name": NAMES[at], "description": description});
                Tool::parse(&server, &definition.to_string()).unwrap()
            });
            let listing = listing_of(tools);
            (server, listing)
        };
        let catalog = Catalog::from_listings(servers.iter().map(listing));
        let mut index = Index::build(1, Arc::new(catalog));
        if with_vectors {
            let encoder = Fixed::in_binary().unwrap();
            let texts: Vec<&str> =
                servers.iter().flat_map(|(_, texts)| texts.iter()).map(String::as_str).collect();
            let vectors = encoder.embed(Role::Tool, &texts, None).unwrap();
            let vectors: Vec<_> =
                vectors.into_iter().map(|vector| Some(vector.as_slice().into())).collect();
            index.dense = Dense::build(&vectors).map(Arc::new);
        }
        index
    }

    #[test]
    fn a_tool_of_many_servers_is_one_group_and_is_compared_with_its_neighbours_alone() {
        const SERVERS: usize = 600;
        let said =
            ["Merge a branch of a repository into another once every reviewer agreed and checks \
                     passed, delete the source and tell everybody in the channel of its team"
                .to_owned()];
        let servers: Vec<_> =
            (0..SERVERS).map(|at| (format!("server{at:03}"), said.as_slice())).collect();
        let index = built(&servers, true);
        let nearest = nearest(&index, &all(&index), NEAREST);
        let compared: usize = like(&index, &nearest).iter().map(Vec::len).sum();
        assert!(compared <= SERVERS * NEAREST, "{compared}");
        assert_eq!(groups(&index, &nearest), [all(&index)]);
    }

    fn all(index: &Index) -> Vec<ToolIdx> {
        (0..).map(ToolIdx).take(index.catalog.len()).collect()
    }

    #[test]
    fn tools_that_differ_in_a_word_are_near_and_others_are_not() {
        let said = "Merge a branch of a repository into another once every reviewer agreed and checks \
                    passed, delete the source and tell everybody in the channel of its team";
        let texts = [
            said.to_owned(),
            format!("{said} today"),
            "Send a letter to somebody by post, with a stamp that the office has paid for"
                .to_owned(),
            "Merge".to_owned(),
        ];
        for with_vectors in [false, true] {
            let index = index(&texts, with_vectors);
            let near_to = |tool| -> Vec<u32> {
                near(&index, ToolIdx(tool)).iter().map(|near| near.tool.0).collect()
            };
            assert_eq!((near_to(0), near_to(1)), (vec![1], vec![0]), "{with_vectors}");
            assert_eq!((near_to(2), near_to(3)), (vec![], vec![]), "{with_vectors}");
        }
        let index = index(&texts, true);
        let nearest = nearest(&index, &all(&index), NEAREST);
        assert_eq!(groups(&index, &nearest), [[ToolIdx(0), ToolIdx(1)]]);
        assert_eq!(nearest[0][0].tool, ToolIdx(1));
    }

    proptest! {
        #[test]
        fn groups_are_as_comparing_all_pairs_gives_them(
            picks in prop::collection::vec(prop::collection::btree_set(0..WORDS.len(), 7..11), 2..12),
        ) {
            let texts: Vec<String> = picks.iter()
                .map(|words| words.iter().map(|at| WORDS[*at]).collect::<Vec<_>>().join(" "))
                .collect();
            let index = index(&texts, true);
            // Each has its name beside its words.
            let like = |a: usize, b: usize| {
                let both = picks[a].intersection(&picks[b]).count();
                let least = picks[a].len().min(picks[b].len()) + 1;
                let all = picks[a].union(&picks[b]).count() + 2;
                least >= FEWEST_TERMS && both * 10 >= all * 8
            };
            let mut taken = BTreeSet::new();
            let mut wanted = Vec::new();
            for first in 0..texts.len() {
                if taken.contains(&first) { continue; }
                let others: Vec<usize> = (first + 1..texts.len())
                    .filter(|other| like(first, *other) && taken.insert(*other)).collect();
                if !others.is_empty() {
                    wanted.push(std::iter::once(first).chain(others).collect::<Vec<_>>());
                }
            }
            let found = groups(&index, &nearest(&index, &all(&index), NEAREST));
            let found: Vec<Vec<usize>> = found.iter()
                .map(|group| group.iter().map(|tool| tool.as_usize()).collect()).collect();
            prop_assert_eq!(found, wanted);
        }
    }
}
