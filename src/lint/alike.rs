//! Tools that say nearly the same, on one server or on several.
//!
//! Invariant: only neighbours in a search are compared, so the time grows with the tools and not
//! with their pairs.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::{Finding, Rule, Settings};
use crate::catalog::ToolIdx;
use crate::index::Index;
use crate::text::{name_key, term as term_of, terms, words};
use crate::tool::{Tool, ToolId};

/// Fewer terms are too few to tell by: `List users` is said by many.
const FEWEST_TERMS: usize = 8;
/// So many names or words are written out.
const SHOWN: usize = 5;

/// Groups of tools that are nearly the same, a finding each.
pub(super) fn check(
    index: &Index,
    answers: &[Vec<Vec<ToolIdx>>],
    settings: &Settings,
) -> Vec<Finding> {
    let tools = index.catalog.tools();
    let said: Vec<BTreeSet<String>> = tools.par_iter().map(|tool| said(tool)).collect();
    // Which tools are like which later one, whoever of the two is near the other.
    let mut like: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    let mut pair = |a: usize, b: usize| {
        like.entry(a.min(b)).or_default().insert(a.max(b));
    };
    for (at, answer) in answers.iter().enumerate() {
        for other in answer.iter().flatten().map(|other| other.as_usize()) {
            if other != at && alike(&said[at], &said[other]) >= settings.similar {
                pair(at, other);
            }
        }
        let own = ToolIdx(u32::try_from(at).unwrap_or(u32::MAX));
        for twin in index.twins.of(own).iter().filter(|twin| **twin != own) {
            pair(at, twin.as_usize());
        }
    }
    let mut taken = BTreeSet::new();
    let mut findings = Vec::new();
    for (first, others) in like {
        // All of a group are like its first: what is like one of them may be like no other.
        if taken.contains(&first) {
            continue;
        }
        let others = others.into_iter().filter(|other| taken.insert(*other));
        let group: Vec<usize> = std::iter::once(first).chain(others).collect();
        if group.len() > 1 {
            findings.push(finding(tools, &said, &group, settings));
        }
    }
    findings
}

fn finding(
    tools: &[std::sync::Arc<Tool>],
    said: &[BTreeSet<String>],
    group: &[usize],
    settings: &Settings,
) -> Finding {
    let others: Vec<ToolId> = group[1..].iter().map(|at| tools[*at].id.clone()).collect();
    let in_all = |term: &&String| group.iter().all(|at| said[*at].contains(*term));
    let all: BTreeSet<&String> = group.iter().flat_map(|at| &said[*at]).collect();
    let spelt = spelt(group.iter().map(|at| &*tools[*at]));
    let shown = |term: &&String| match term.strip_prefix(MARK) {
        Some(param) => param.to_owned(),
        None => spelt.get(*term).unwrap_or(term).clone(),
    };
    let differing: BTreeSet<String> = all.iter().filter(|term| !in_all(term)).map(shown).collect();
    let names: Vec<&str> = others.iter().take(SHOWN).map(ToolId::as_str).collect();
    let more = others.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let message = if differing.is_empty() {
        format!("it says the same as {}{more}", names.join(", "))
    } else {
        let dots = if differing.len() > SHOWN { ", …" } else { "" };
        let words = differing.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
        format!(
            "it says nearly the same as {}{more}: they differ in {words}{dots}",
            names.join(", ")
        )
    };
    let found = settings.finding(Rule::NearDuplicate, &tools[group[0]].id, message);
    Finding { others, ..found }
}

/// A word for each term of these tools, since terms are cut to their stems.
fn spelt<'a>(tools: impl Iterator<Item = &'a Tool>) -> BTreeMap<String, String> {
    let mut spelt = BTreeMap::new();
    for tool in tools {
        let view = tool.view();
        let description = view.description.as_deref().unwrap_or_default();
        for word in words(&tool.name).into_iter().chain(words(description)) {
            if let Some(term) = term_of(&word) {
                spelt.entry(term).or_insert(word);
            }
        }
    }
    spelt
}

/// Before the name of a parameter, which is not the same as a word.
const MARK: char = '$';

/// What a tool says of itself.
fn said(tool: &Tool) -> BTreeSet<String> {
    let view = tool.view();
    let mut said: BTreeSet<String> = terms(&tool.name).into_iter().collect();
    if said.len() > 1 {
        // `showShop` is also read as one word, which no other spelling of it is.
        said.retain(|term| term_of(&name_key(&tool.name)).as_ref() != Some(term));
    }
    said.extend(terms(view.description.as_deref().unwrap_or_default()));
    said.extend(view.params.iter().map(|param| format!("{MARK}{}", param.name)));
    said
}

/// The share of terms that both have.
#[expect(clippy::cast_precision_loss, reason = "counts of words")]
fn alike(one: &BTreeSet<String>, other: &BTreeSet<String>) -> f64 {
    if one.len().min(other.len()) < FEWEST_TERMS {
        return 0.0;
    }
    let both = one.intersection(other).count();
    both as f64 / (one.len() + other.len() - both) as f64
}
