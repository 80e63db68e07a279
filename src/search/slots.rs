//! A ranking becomes slots: tools that are the same tool on several servers take one.
//!
//! Invariant: every ranked tool is shown in one slot or named beside one; a slot stands where the
//! best of its tools ranked; a tool whose server the query names, or filters by, is shown.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::Query;
use crate::catalog::ToolIdx;
use crate::index::{Index, Ranked};
use crate::text::words;

/// One place in an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Slot {
    /// The tool that is shown, with the score of the best of the slot.
    pub shown: Ranked,
    /// The same tool on other servers, ordered by id.
    pub beside: Vec<ToolIdx>,
}

/// The first `most` slots of `ranked`, best first, without twins that `keep` does not let through.
pub fn group(
    index: &Index,
    query: &Query,
    ranked: &[Ranked],
    most: usize,
    keep: impl Fn(ToolIdx) -> bool,
) -> Vec<Slot> {
    let alone = |shown: &Ranked| Slot { shown: *shown, beside: Vec::new() };
    // A filter names every server that it lets through.
    if !query.servers.is_empty() {
        return ranked.iter().take(most).map(alone).collect();
    }
    let asked: HashSet<String> = query.texts.iter().flat_map(|text| words(text)).collect();
    let mut seen: BTreeSet<ToolIdx> = BTreeSet::new();
    // Of a group that is open: those of its tools that get a slot of their own.
    let mut open: BTreeSet<ToolIdx> = BTreeSet::new();
    let mut slots = Vec::new();
    for (at, best) in ranked.iter().enumerate() {
        if slots.len() == most {
            break;
        }
        let twins: Vec<ToolIdx> =
            index.twins.of(best.tool).iter().copied().filter(|tool| keep(*tool)).collect();
        if twins.len() < 2 || open.contains(&best.tool) {
            slots.push(alone(best));
            continue;
        }
        if seen.contains(&best.tool) {
            continue;
        }
        seen.extend(&twins);
        let named = named(index, &twins, &asked);
        // Of the named the best ranked; one that ranked nowhere is still the one that is meant.
        let shown = ranked[at..]
            .iter()
            .map(|ranked| ranked.tool)
            .find(|tool| named.contains(tool))
            .or(named.first().copied())
            .unwrap_or(best.tool);
        open.extend(named.iter().filter(|tool| **tool != shown));
        let is_beside = |tool: &ToolIdx| *tool != shown && !open.contains(tool);
        slots.push(Slot {
            shown: Ranked { tool: shown, score: best.score },
            beside: twins.into_iter().filter(is_beside).collect(),
        });
    }
    slots
}

/// Those of `twins` whose server the query names: it has a word of the server's id or title that
/// not all of their servers have.
fn named(index: &Index, twins: &[ToolIdx], asked: &HashSet<String>) -> BTreeSet<ToolIdx> {
    let names: BTreeMap<ToolIdx, HashSet<String>> =
        twins.iter().map(|tool| (*tool, server_words(index, *tool))).collect();
    let telling = |word: &String| {
        asked.contains(word)
            && word.chars().any(char::is_alphabetic)
            && !names.values().all(|words| words.contains(word))
    };
    names.iter().filter(|(_, words)| words.iter().any(telling)).map(|(tool, _)| *tool).collect()
}

fn server_words(index: &Index, tool: ToolIdx) -> HashSet<String> {
    let id = &index.catalog.tool(tool).server;
    let server = index.catalog.server(id.as_str());
    let title = server.and_then(|server| server.info.title.as_deref()).unwrap_or("");
    words(id.as_str()).into_iter().chain(words(title)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::catalog::{Catalog, Listing, ServerInfo};
    use crate::tool::{ServerId, Tool};

    const SERVERS: [&str; 4] = ["acme-forge", "beta-forge", "forge", "gamma forge"];
    const WORDS: [&str; 6] = ["acme", "beta", "gamma", "forge", "merge", "the"];

    /// Tool `t0` to `t3` on those of the servers that `on` says; one number is one tool.
    fn index(on: &[[bool; 4]]) -> Index {
        let listings = SERVERS.iter().enumerate().map(|(at, server)| {
            let id = ServerId::from(*server);
            let tools = on.iter().enumerate().filter(|(_, on)| on[at]).map(|(tool, _)| {
                let long = "aa bb cc dd ee ff gg hh ii jj kk ll mm nn oo pp qq rr ss";
                let definition =
                    format!(r#"{{"name":"t{tool}","description":"{long} tool{tool}"}}"#);
                Tool::parse(&id, &definition).unwrap()
            });
            let listing = Listing {
                info: ServerInfo::default(),
                tools: tools.collect(),
                crawled_at: std::time::SystemTime::UNIX_EPOCH,
                defects: Vec::new(),
            };
            (id, listing)
        });
        Index::build(1, Arc::new(Catalog::from_listings(listings)))
    }

    fn query(text: &str, servers: &[&str]) -> Query {
        Query {
            texts: vec![text.into()],
            servers: servers.iter().map(|id| ServerId::from(*id)).collect(),
            ..Query::default()
        }
    }

    fn ranked(index: &Index, order: &[&str]) -> Vec<Ranked> {
        let at = |id: &str| index.catalog.tools().iter().position(|t| t.id.as_str() == id).unwrap();
        let place = |(place, id): (u16, &&str)| Ranked {
            tool: ToolIdx(u32::try_from(at(id)).unwrap()),
            score: 1.0 / f32::from(place + 1),
        };
        (0..).zip(order).map(place).collect()
    }

    fn shown(index: &Index, slots: &[Slot]) -> Vec<String> {
        let id = |tool: ToolIdx| index.catalog.tool(tool).id.to_string();
        slots
            .iter()
            .map(|slot| {
                let beside: Vec<String> = slot.beside.iter().map(|tool| id(*tool)).collect();
                format!("{} ({})", id(slot.shown.tool), beside.join(" "))
            })
            .collect()
    }

    #[test]
    fn one_slot_unless_the_query_names_a_server() {
        let index = index(&[[true, true, true, false], [false, false, true, false]]);
        let order = ranked(&index, &["forge/t0", "forge/t1", "beta-forge/t0", "acme-forge/t0"]);
        let slots = |text, servers: &[_]| {
            shown(&index, &group(&index, &query(text, servers), &order, usize::MAX, |_| true))
        };
        assert_eq!(slots("merge", &[]), ["forge/t0 (acme-forge/t0 beta-forge/t0)", "forge/t1 ()"]);
        assert_eq!(slots("merge in the forge", &[]), slots("merge", &[]), "all have that word");
        assert_eq!(
            slots("merge at Acme", &[]),
            ["acme-forge/t0 (beta-forge/t0 forge/t0)", "forge/t1 ()"]
        );
        assert_eq!(
            slots("from acme to beta", &[]),
            ["beta-forge/t0 (forge/t0)", "forge/t1 ()", "acme-forge/t0 ()"]
        );
        assert_eq!(slots("merge", &["forge", "beta-forge", "acme-forge"]).len(), 4);
        // What is not to be seen is not named beside what is, nor shown in its place.
        let keep = |tool: ToolIdx| index.catalog.tool(tool).server.as_str() != "acme-forge";
        let seen = ranked(&index, &["forge/t0", "forge/t1", "beta-forge/t0"]);
        for (text, first) in
            [("merge", "forge/t0 (beta-forge/t0)"), ("at Acme", "forge/t0 (beta-forge/t0)")]
        {
            let slots = group(&index, &query(text, &[]), &seen, usize::MAX, keep);
            assert_eq!(shown(&index, &slots), [first, "forge/t1 ()"], "{text}");
        }
    }

    #[test]
    fn a_named_server_is_shown_even_if_its_tool_did_not_rank() {
        let index = index(&[[true, true, false, false]]);
        let order = ranked(&index, &["beta-forge/t0"]);
        let slots = group(&index, &query("acme", &[]), &order, usize::MAX, |_| true);
        assert_eq!(shown(&index, &slots), ["acme-forge/t0 (beta-forge/t0)"]);
    }

    proptest! {
        #[test]
        fn agrees_with_a_naive_model(
            on in prop::collection::vec(any::<[bool; 4]>(), 1..4),
            text in prop::collection::vec(prop::sample::select(&WORDS[..]), 1..3),
            shuffle in any::<u64>(),
            drop in 0_usize..4,
        ) {
            let index = index(&on);
            let mut ids: Vec<String> =
                index.catalog.tools().iter().map(|tool| tool.id.to_string()).collect();
            fastrand::Rng::with_seed(shuffle).shuffle(&mut ids);
            ids.truncate(ids.len().saturating_sub(drop));
            let order: Vec<&str> = ids.iter().map(String::as_str).collect();
            let order = ranked(&index, &order);
            let query = query(&text.join(" "), &[]);
            let found = shown(&index, &group(&index, &query, &order, usize::MAX, |_| true));
            let first = shown(&index, &group(&index, &query, &order, 2, |_| true));
            prop_assert_eq!(&first, &found[..2.min(found.len())]);

            // The model knows that `forge` tells the servers apart only where one lacks it: never.
            let server = |id: &str| id.rsplit_once('/').unwrap().0.to_owned();
            let is_named =
                |id: &str| text.iter().any(|w| *w != "forge" && server(id).contains(w));
            let mut wanted = Vec::new();
            let mut done: Vec<String> = Vec::new();
            for id in &ids {
                if done.contains(id) { continue; }
                let name = id.rsplit_once('/').unwrap().1;
                let all: Vec<String> = index.catalog.tools().iter()
                    .map(|tool| tool.id.to_string())
                    .filter(|other| other.ends_with(&format!("/{name}")))
                    .collect();
                let grouped = done.iter().any(|other| all.contains(other));
                if all.len() == 1 || (grouped && is_named(id)) {
                    done.push(id.clone());
                    wanted.push(format!("{id} ()"));
                    continue;
                }
                if grouped { continue; }
                let first = ids.iter().chain(&all)
                    .find(|other| all.contains(other) && is_named(other)).unwrap_or(id).clone();
                let beside: Vec<String> = all.iter()
                    .filter(|other| **other != first && !is_named(other)).cloned().collect();
                wanted.push(format!("{first} ({})", beside.join(" ")));
                done.push(first);
                done.extend(beside);
            }
            prop_assert_eq!(found, wanted);
        }
    }
}
