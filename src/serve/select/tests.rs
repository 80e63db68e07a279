//! Which tools stay and which go, for any request.

use std::sync::Arc;
use std::time::SystemTime;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::catalog::{Server, ServerInfo};

const TOOLS: usize = 12;

fn catalog() -> Catalog {
    let tool = |n: usize| {
        let text = json!({"name": format!("t{n:02}"), "description": "words ".repeat(10 + 9 * n)});
        Arc::new(Tool::parse(&"s".into(), &text.to_string()).unwrap())
    };
    Catalog::from_servers([Server {
        id: "s".into(),
        info: ServerInfo::default(),
        tools: (0..TOOLS).map(tool).collect(),
        crawled_at: SystemTime::UNIX_EPOCH,
    }])
}

fn answer(catalog: &Catalog, found: &[usize]) -> Answer {
    let hit = |at: &usize| Hit {
        tool: Arc::clone(&catalog.tools()[*at]),
        score: 1.0,
        confidence: 1.0,
        duplicates: Vec::new(),
        pinned: false,
        explain: None,
    };
    Answer {
        generation: 1,
        mode: Mode::Lexical,
        reason: None,
        took_us: 0,
        hits: found.iter().map(hit).collect(),
        no_good_match: false,
        why: None,
        stale: Vec::new(),
        repeated: false,
        stages: None,
    }
}

fn ids(tools: &[usize]) -> Vec<String> {
    tools.iter().map(|n| format!("s/t{n:02}")).collect()
}

fn some() -> impl Strategy<Value = Vec<usize>> {
    Just((0..TOOLS).collect::<Vec<_>>())
        .prop_shuffle()
        .prop_flat_map(|all| (0..=TOOLS / 2).prop_map(move |n| all[..n].to_vec()))
}

#[test]
fn once_tools_have_to_go_the_next_turns_keep_all() {
    let (catalog, called) = (catalog(), BTreeSet::new());
    let mut previous = ids(&[0, 1, 2, 3, 4, 5]);
    let mut kept_all = Vec::new();
    for new in 6..12 {
        let answer = answer(&catalog, &[new]);
        let request = SelectRequest { previous: previous.clone(), ..SelectRequest::default() };
        let turn = Turn::of(&request, &catalog, &answer, &called);
        let given = turn.choose(6, |_| true);
        let given: Vec<String> = given.iter().map(|tool| tool.id.to_string()).collect();
        kept_all.push(given.starts_with(&previous));
        previous = given;
    }
    assert_eq!(kept_all, [false, true, true, false, true, true]);
}

proptest! {
    #[test]
    fn what_was_given_stays_in_its_order_as_long_as_there_is_room(
        previous in some(),
        pinned in some(),
        found in some(),
        called in some(),
        limit in 1..=TOOLS,
        token_budget in prop::option::of(1..2_000_usize),
    ) {
        let catalog = catalog();
        let answer = answer(&catalog, &found);
        let request = SelectRequest {
            previous: ids(&previous),
            pinned: ids(&pinned[..pinned.len().min(3)]),
            token_budget,
            ..SelectRequest::default()
        };
        let called: BTreeSet<String> = called.iter().map(|n| format!("s__t{n:02}")).collect();
        let format = Format::Anthropic;
        let wants = Wants { format: Some(format), ..request.wants() };
        let select = || {
            let turn = Turn::of(&request, &catalog, &answer, &called);
            serde_json::to_value(turn.selected(limit, format, &wants)).unwrap()
        };
        let selected = select();
        prop_assert_eq!(&selected, &select());

        let list = |key: &str| -> Vec<String> { serde_json::from_value(selected[key].clone()).unwrap() };
        let (given, added, removed) = (list("ids"), list("added"), list("removed"));
        // Those of before first, in their order; then the new ones.
        let kept: Vec<String> =
            request.previous.iter().filter(|id| given.contains(id)).cloned().collect();
        prop_assert_eq!(&given[..kept.len()], &kept[..]);
        prop_assert_eq!(&given[kept.len()..], &added[..]);
        let gone: Vec<String> =
            request.previous.iter().filter(|id| !given.contains(id)).cloned().collect();
        prop_assert_eq!(&gone, &removed);
        for id in &request.pinned {
            prop_assert!(given.contains(id), "pinned {id} is missing");
        }
        prop_assert!(given.len() <= limit.max(request.pinned.len()));
        let found = ids(&found);
        if let Some(best) = found.first() {
            prop_assert!(given.contains(best) || request.pinned.len() >= limit);
        }
        let used = |id: &String| called.contains(&id.replace('/', "__"));
        let idle = |id: &&String| !used(id) && !found.contains(id) && !request.pinned.contains(id);
        // Of two that nobody needs the older goes first, and one that was called goes after all.
        let idle_kept = request.previous.iter().filter(idle).skip_while(|id| !given.contains(id));
        prop_assert!(idle_kept.clone().all(|id| given.contains(id)));
        if removed.iter().any(used) {
            let others = given.iter().filter(|id| !request.pinned.contains(id) && found.first() != Some(id));
            for id in others {
                prop_assert!(used(id), "{id} stays");
            }
        }
        let union: BTreeSet<&String> = request.previous.iter().chain(&request.pinned).chain(&found).collect();
        if token_budget.is_none() && union.len() <= limit {
            prop_assert_eq!(given.len(), union.len());
        }
        if let Some(budget) = token_budget {
            let tokens = &selected["tokens"];
            let over = tokens["returned"].as_u64().unwrap() > budget as u64;
            prop_assert_eq!(over, tokens["over_budget"] == true);
            // Only who is idle goes for tokens.
            let without = Turn::of(&request, &catalog, &answer, &called).choose(limit, |_| true);
            let for_tokens = without.iter().map(|tool| tool.id.to_string()).filter(|id| !given.contains(id));
            for id in for_tokens {
                prop_assert!(idle(&&id), "{id} is gone");
            }
        }
    }
}
