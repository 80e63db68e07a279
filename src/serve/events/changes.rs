//! What a newer catalog has that an older one had not.
//!
//! Invariant: counts are exact; of the servers all are named, or none.

use std::sync::Arc;

use super::GenerationEvent;
use crate::catalog::Catalog;
use crate::tool::ServerId;

/// Servers whose tools changed are named up to this many.
const MOST_NAMED: usize = 50;

/// The event of the generation with this number, which has `new` in the place of `old`.
pub(super) fn changes<'a>(
    old: &'a Catalog,
    new: &'a Catalog,
    generation: u64,
) -> GenerationEvent<'a> {
    let mut told = GenerationEvent {
        generation,
        total: new.len(),
        added: 0,
        removed: 0,
        changed: 0,
        servers: None,
    };
    let mut names: Vec<&str> = Vec::new();
    let mut name = |server: &'a ServerId| {
        // Tools of one server mostly stand together.
        if names.last() != Some(&server.as_str()) {
            names.push(server.as_str());
        }
    };
    for (tool, place) in new.tools().iter().zip(new.places_in(old)) {
        let before = place.map(|place| old.tool(place));
        match before {
            Some(before) if Arc::ptr_eq(before, tool) || before.hash == tool.hash => continue,
            Some(_) => told.changed += 1,
            None => told.added += 1,
        }
        name(&tool.server);
    }
    for (tool, place) in old.tools().iter().zip(old.places_in(new)) {
        if place.is_none() {
            told.removed += 1;
            name(&tool.server);
        }
    }
    names.sort_unstable();
    names.dedup();
    told.servers = (names.len() <= MOST_NAMED).then_some(names);
    told
}

#[cfg(test)]
mod tests {

    use proptest::prelude::*;

    use super::*;
    use crate::catalog::listing_of;
    use crate::tool::Tool;

    fn catalog(servers: &[Vec<(u8, u8)>]) -> Catalog {
        Catalog::from_listings(servers.iter().enumerate().map(|(at, tools)| {
            let server = ServerId::from(format!("s{at}"));
            let tools = tools.iter().map(|(name, said)| {
                let definition = serde_json::json!({"name": format!("t{name}"), "description": said.to_string()});
                Tool::parse(&server, &definition.to_string()).unwrap()
            });
            let listing = listing_of(tools);
            (server, listing)
        }))
    }

    proptest! {
        #[test]
        fn changes_are_those_of_a_naive_comparison(
            old in prop::collection::vec(prop::collection::vec((0_u8..6, 0_u8..3), 0..6), 3),
            new in prop::collection::vec(prop::collection::vec((0_u8..6, 0_u8..3), 0..6), 3),
        ) {
            let (old, new) = (catalog(&old), catalog(&new));
            let told = changes(&old, &new, 7);
            let is_in = |catalog: &Catalog, tool: &Tool| catalog.get(tool.id.as_str()).is_some();
            let added = new.tools().iter().filter(|tool| !is_in(&old, tool));
            let removed = old.tools().iter().filter(|tool| !is_in(&new, tool));
            let changed = new.tools().iter().filter(|tool| {
                old.get(tool.id.as_str()).is_some_and(|before| before.hash != tool.hash)
            });
            let counts = (added.clone().count(), removed.clone().count(), changed.clone().count());
            prop_assert_eq!((told.added, told.removed, told.changed), counts);
            let of: std::collections::BTreeSet<&str> =
                added.chain(removed).chain(changed).map(|tool| tool.server.as_str()).collect();
            prop_assert_eq!(told.servers.unwrap(), of.into_iter().collect::<Vec<_>>());
        }
    }
}
