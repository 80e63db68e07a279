//! Tools that a search with their own words does not find.
//!
//! Invariant: the query never holds the tool's name as an identifier, which would find it in any
//! case.

use std::sync::Arc;

use super::{Finding, Rule, Settings};
use crate::catalog::ToolIdx;
use crate::index::Index;
use crate::search::{Answer, MAX_LIMIT, Query};
use crate::text::name_key;
use crate::tool::{Tool, ToolId};

/// So many of the nearest tools are looked at.
pub(super) const NEIGHBOURS: usize = 10;
/// A query has at most so many words …
const MOST_WORDS: usize = 24;
/// … and characters.
const MOST_CHARS: usize = 240;
/// A first sentence of fewer words is searched with the one behind it.
const FEW_WORDS: usize = 3;

/// The places of an answer, each with the tools that share it; none for a tool without words. A
/// first sentence may be a heading: where it does not bring the tool among the `first`, the
/// beginning of the description may.
pub(super) fn ask<E>(
    index: &Index,
    tool: ToolIdx,
    first: usize,
    ask: impl Fn(&Query) -> Result<Answer, E>,
) -> Result<Vec<Vec<ToolIdx>>, E> {
    let mut best: Option<Vec<Vec<ToolIdx>>> = None;
    let place = |places: &[Vec<ToolIdx>]| {
        places.iter().position(|place| place.contains(&tool)).unwrap_or(usize::MAX)
    };
    for text in queries(index.catalog.tool(tool)) {
        let places = places(index, text, first.max(NEIGHBOURS), &ask)?;
        if best.as_ref().is_none_or(|best| place(&places) < place(best)) {
            best = Some(places);
        }
        if best.as_ref().is_some_and(|best| place(best) < first) {
            break;
        }
    }
    Ok(best.unwrap_or_default())
}

fn places<E>(
    index: &Index,
    text: String,
    most: usize,
    ask: impl Fn(&Query) -> Result<Answer, E>,
) -> Result<Vec<Vec<ToolIdx>>, E> {
    let query = Query { texts: vec![text], limit: Some(most.min(MAX_LIMIT)), ..Query::default() };
    let position = |id: &ToolId| {
        let found = index.catalog.tools().binary_search_by(|tool: &Arc<Tool>| tool.id.cmp(id));
        found.ok().and_then(|at| u32::try_from(at).ok()).map(ToolIdx)
    };
    let places = ask(&query)?.hits.into_iter().map(|hit| {
        std::iter::once(&hit.tool.id).chain(&hit.duplicates).filter_map(position).collect()
    });
    Ok(places.collect())
}

/// Tools that are not among the first places of the answer to their own words.
pub(super) fn check(
    index: &Index,
    answers: &[Vec<Vec<ToolIdx>>],
    settings: &Settings,
) -> Vec<Finding> {
    let tools = (0..).map(ToolIdx).zip(answers);
    tools.filter_map(|(tool, answer)| finding(index, tool, answer, settings)).collect()
}

/// The same of one tool.
pub(super) fn finding(
    index: &Index,
    tool: ToolIdx,
    answer: &[Vec<ToolIdx>],
    settings: &Settings,
) -> Option<Finding> {
    let place = answer.iter().position(|place| place.contains(&tool));
    if answer.is_empty() || place.is_some_and(|place| place < settings.first) {
        return None;
    }
    let id = |at: ToolIdx| index.catalog.tool(at).id.clone();
    let before = answer.iter().take(settings.first.min(3)).filter_map(|place| place.first());
    let before: Vec<ToolId> = before.map(|tool| id(*tool)).collect();
    let where_it_is = match place {
        Some(place) => format!("its own description finds it in place {}", place + 1),
        None => format!("its own description does not find it in {} places", answer.len()),
    };
    let names: Vec<&str> = before.iter().map(ToolId::as_str).collect();
    let message = format!("{where_it_is}; first come {}", names.join(", "));
    let found = settings.finding(Rule::Unfindable, &id(tool), message);
    Some(Finding { others: before, ..found })
}

/// The first sentence of a tool's description, and its beginning, where that is more; both without
/// the tool's name, and left out when no word remains, or none but the name's.
fn queries(tool: &Tool) -> Vec<String> {
    let view = tool.view();
    let description = view.description.as_deref().unwrap_or_default();
    let own = name_key(&tool.name);
    // A name of one word is a word like any other.
    let is_identifier = |word: &str| {
        let inner = word.trim_matches(|c: char| !c.is_alphanumeric());
        let compound = inner.contains(|c: char| !c.is_alphanumeric())
            || inner.chars().skip(1).any(char::is_uppercase);
        compound && name_key(inner) == own
    };
    let mut words: Vec<&str> = Vec::new();
    let mut sentence_ends = 0;
    for sentence in sentences(description) {
        words.extend(sentence.split_whitespace().filter(|word| !is_identifier(word)));
        if sentence_ends < FEW_WORDS {
            sentence_ends = words.len();
        }
        if words.len() >= MOST_WORDS {
            break;
        }
    }
    let cut = |most: usize| -> String {
        let words = &words[..words.len().min(most).min(MOST_WORDS)];
        words.join(" ").chars().take(MOST_CHARS).collect()
    };
    let mut texts = vec![cut(sentence_ends), cut(MOST_WORDS)];
    texts.dedup();
    texts.retain(|text| !name_key(text).is_empty() && name_key(text) != own);
    texts
}

/// The sentences of a text: they end with a line, or with a stop that a space or a new line
/// follows and no small letter after it.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text.trim();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.char_indices().find(|(at, c)| {
            let behind = &rest[at + c.len_utf8()..];
            match c {
                '\n' | '。' | '！' | '？' => true,
                '.' | '!' | '?' => {
                    let next = behind.trim_start();
                    behind.len() > next.len() && !next.starts_with(char::is_lowercase)
                }
                _ => false,
            }
        });
        let end = end.map_or(rest.len(), |(at, c)| at + c.len_utf8());
        let (sentence, behind) = rest.split_at(end);
        rest = behind.trim_start();
        Some(sentence.trim())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn query_of(name: &str, description: &str) -> Option<String> {
        let definition = json!({"name": name, "description": description}).to_string();
        let queries = queries(&Tool::parse(&"s".into(), &definition).unwrap());
        queries.into_iter().next()
    }

    #[test]
    fn the_first_sentence_without_the_name_is_asked() {
        let asked = |name: &str, description: &str| query_of(name, description).unwrap();
        assert_eq!(
            asked("x", "List the files of a folder. Use it often."),
            "List the files of a folder."
        );
        assert_eq!(
            asked("x", "Lists files, e.g. of a folder\nMore"),
            "Lists files, e.g. of a folder"
        );
        assert_eq!(
            asked("x", "Search. Finds pages by their words."),
            "Search. Finds pages by their words."
        );
        assert_eq!(
            asked("list_files", "Use `list_files` or listFiles to list files."),
            "Use or to list files."
        );
        assert_eq!(asked("search", "Search all pages."), "Search all pages.");
        assert_eq!(asked("x", "查找文件。然后打开"), "查找文件。 然后打开");
        assert_eq!(asked("x", &"word ".repeat(99)).split(' ').count(), MOST_WORDS);
        assert_eq!(query_of("list_files", "List files"), None);
        assert_eq!(query_of("x", " -- "), None);
        let definition = json!({"name": "x", "description": "What it does\nDraws a circle."});
        let tool = Tool::parse(&"s".into(), &definition.to_string()).unwrap();
        assert_eq!(queries(&tool), ["What it does", "What it does Draws a circle."]);
    }
}
