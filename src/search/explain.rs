//! How a tool came to its place, for the one who asks.
//!
//! Invariant: read from the same lists and fields that ranked, never from a second computation
//! that could tell another story.

use std::collections::{BTreeMap, BTreeSet};

use super::fuse::ArmLists;
use super::{Explain, Placed};
use crate::catalog::ToolIdx;
use crate::index::lexical::Asked;
use crate::index::{Index, Ranked};
use crate::text::fields::{self, FIELD_NAMES};
use crate::text::{each_said, term, terms};

/// Words as they stand in a tool, by field.
pub type Words = BTreeMap<&'static str, Vec<String>>;

/// The explanation of `tool`'s place in the answer to `texts`.
pub fn explain(
    index: &Index,
    texts: &[String],
    lists: &[ArmLists],
    tool: ToolIdx,
    exact_name: bool,
) -> Explain {
    let asked: BTreeSet<String> = texts.iter().flat_map(|text| terms(text)).collect();
    let found = index.catalog.tool(tool);
    let server = index.catalog.server(found.server.as_str()).map(|server| &**server);
    let mut matched = BTreeMap::new();
    for (name, text) in FIELD_NAMES.iter().zip(fields::lexical(found, &found.view(), server)) {
        let there: BTreeSet<String> = terms(&text).into_iter().collect();
        let both: Vec<String> = asked.intersection(&there).cloned().collect();
        if !both.is_empty() {
            matched.insert(*name, both);
        }
    }
    Explain {
        exact_name,
        lexical: best_place(lists.iter().map(|lists| &*lists.lexical), tool),
        dense: best_place(lists.iter().map(|lists| &*lists.dense), tool),
        matched,
        words: words(index, lists, tool),
        ..Explain::default()
    }
}

/// The words of `tool` that the lexical arm counts for the texts of `lists`, as they stand there, each
/// once: also those of other forms, synonyms, and what a misspelt word was read as.
pub fn words(index: &Index, lists: &[ArmLists], tool: ToolIdx) -> Words {
    let parts = lists.iter().flat_map(|lists| std::iter::once(lists).chain(&lists.pieces));
    let asked: BTreeSet<&str> = parts.flat_map(|part| &part.asked).map(Asked::term).collect();
    let found = index.catalog.tool(tool);
    let server = index.catalog.server(found.server.as_str()).map(|server| &**server);
    let mut words = Words::new();
    for (name, text) in FIELD_NAMES.iter().zip(fields::lexical(found, &found.view(), server)) {
        let mut said: Vec<String> = Vec::new();
        each_said(&text, |surface, word| {
            let counts = term(word).is_some_and(|term| asked.contains(term.as_str()));
            if counts && !said.iter().any(|before| before == surface) {
                said.push(surface.to_owned());
            }
        });
        if !said.is_empty() {
            words.insert(*name, said);
        }
    }
    words
}

/// The tool's best place over the rankings of all phrasings.
fn best_place<'a>(lists: impl Iterator<Item = &'a [Ranked]>, tool: ToolIdx) -> Option<Placed> {
    lists
        .filter_map(|list| {
            let at = list.iter().position(|ranked| ranked.tool == tool)?;
            Some(Placed { rank: at + 1, score: list[at].score })
        })
        .min_by_key(|placed| placed.rank)
}
