use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::config::{NameFilter, Names, RemoteKind};
use crate::discover::server::Server;

fn config() -> RegistryConfig {
    RegistryConfig {
        name: "r".into(),
        url: "https://registry.test".parse().unwrap(),
        filter: NameFilter::default(),
        remotes: RemoteKind::ALL.into(),
        max: 10,
        approve: Approve::Ask,
        refresh: Duration::from_mins(1),
        allow_private: false,
    }
}

fn listed(name: &str, updated: u64, status: Status) -> Listed {
    let server = json!({"name": name, "version": updated.to_string(),
        "remotes": [{"type": "streamable-http", "url": "https://x.test/mcp"}]});
    Listed { server: serde_json::from_value(server).unwrap(), status, updated, ..Listed::default() }
}

fn state(entries: Vec<Listed>) -> State {
    let mut state = State::default();
    for entry in entries {
        state.fold(entry);
    }
    state
}

fn with_remote(remote: serde_json::Value) -> Picked {
    let mut entry = listed("a.b/c", 1, Status::Active);
    entry.server.remotes = vec![serde_json::from_value(remote).unwrap()];
    pick(&state(vec![entry]), &config(), &Approvals::default())
}

#[test]
fn an_approval_is_of_one_address() {
    let state = state(vec![listed("a.b/c", 1, Status::Active), listed("a.b/d", 1, Status::Active)]);
    let approvals =
        Approvals::of(&[("a.b_c", "https://x.test/mcp"), ("a.b_d", "https://elsewhere.test/mcp")]);
    let picked = pick(&state, &config(), &approvals);
    let approved: Vec<_> = picked.servers.iter().map(|one| (&*one.id, one.approved)).collect();
    assert_eq!(approved, [("a.b_c", true), ("a.b_d", false)]);
    let all = RegistryConfig { approve: Approve::All, ..config() };
    assert!(pick(&state, &all, &approvals).servers.iter().all(|one| one.approved));
}

#[test]
fn what_is_approved_stays_within_the_cap() {
    let names = ["a.b/a", "a.b/b", "a.b/z"].map(|name| listed(name, 1, Status::Active));
    let approvals = Approvals::of(&[("a.b_z", "https://x.test/mcp")]);
    let two = RegistryConfig { max: 2, ..config() };
    let picked = pick(&state(names.into()), &two, &approvals);
    let ids: Vec<_> = picked.servers.iter().map(|one| one.id.as_str()).collect();
    assert_eq!((ids, picked.beyond), (vec!["a.b_z", "a.b_a"], 1));
}

#[test]
fn filters_transports_and_deletions_are_respected() {
    let mut sse = listed("a.b/sse", 1, Status::Active);
    sse.server.remotes[0].r#type = "sse".into();
    let mut none = listed("a.b/none", 1, Status::Active);
    none.server = Server { remotes: Vec::new(), ..none.server };
    let mut old = listed("a.b/old", 1, Status::Deprecated);
    old.message = Some("use sse".into());
    let state = state(vec![
        sse,
        none,
        old,
        listed("a.b/gone", 1, Status::Deleted),
        listed("c.d/other", 1, Status::Active),
    ]);
    let filter = NameFilter {
        allow: Some(Names::new(&["a.b/*".to_owned()]).unwrap()),
        ..NameFilter::default()
    };
    let ids = |config: &RegistryConfig| -> Vec<String> {
        let picked = pick(&state, config, &Approvals::default());
        picked.servers.into_iter().map(|one| one.id).collect()
    };
    let filtered = RegistryConfig { filter, ..config() };
    assert_eq!(ids(&filtered), ["a.b_old", "a.b_sse"]);
    let only = RegistryConfig { remotes: vec![RemoteKind::Sse], ..filtered };
    assert_eq!(ids(&only), ["a.b_sse"]);
    let picked = pick(&state, &config(), &Approvals::default());
    assert_eq!(picked.servers[0].deprecated.as_deref(), Some("use sse"));
}

#[test]
fn nothing_is_taken_that_wants_a_value_or_leads_inside() {
    let fine = with_remote(json!({"type": "streamable-http", "url": "https://{r}.x.test/mcp",
        "variables": {"r": {"default": "eu"}},
        "headers": [{"name": "X-Mode", "value": "fast"}, {"name": "X-Optional"}]}));
    assert_eq!(fine.servers[0].url, "https://eu.x.test/mcp");
    assert_eq!(fine.servers[0].headers["X-Mode"], "fast");
    assert!(fine.servers[0].found(&config()).is_some_and(|found| found.server.guard.is_some()));
    for remote in [
        json!({"url": "https://{r}.x.test/mcp", "variables": {"r": {"isRequired": true}}}),
        json!({"url": "https://x.test/{unknown}"}),
        json!({"url": "https://x.test/${HOME}"}),
        json!({"url": "https://x.test/", "headers": [{"name": "Authorization", "isRequired": true}]}),
        json!({"url": "https://x.test/", "headers": [{"name": "X", "value": "${TOKEN}"}]}),
        json!({"url": "https://x.test/", "headers": [{"name": "Host", "value": "inside"}]}),
        json!({"url": "http://x.test/"}),
        json!({"url": "https://127.0.0.1/mcp"}),
        json!({"url": "https://169.254.169.254/latest"}),
        json!({"url": "https://user:pass@x.test/"}),
    ] {
        let mut remote = remote;
        remote["type"] = "streamable-http".into();
        let picked = with_remote(remote.clone());
        assert_eq!((picked.servers.len(), picked.wanting), (0, 1), "{remote}");
    }
}

#[test]
fn packages_are_forgotten_and_texts_made_plain() {
    let mut entry = listed("a.b/c", 1, Status::Active);
    entry.server.packages.push(super::super::server::Package::default());
    entry.server.description = Some("one\u{1b}[2J\ntwo".into());
    let state = state(vec![entry]);
    let server = &state.servers["a.b/c"].server;
    assert!(server.packages.is_empty());
    assert_eq!(server.description.as_deref(), Some("one [2J two"));
}

fn entries() -> impl Strategy<Value = Vec<Listed>> {
    let status = prop_oneof![Just(Status::Active), Just(Status::Deprecated), Just(Status::Deleted)];
    let entry = (0..5_u8, 0..4_u64, status, any::<bool>()).prop_map(|(name, at, status, old)| {
        Listed { superseded: old && at < 2, ..listed(&format!("n.s/{name}"), at, status) }
    });
    prop::collection::vec(entry, 0..24)
}

proptest! {
    /// Pages in any order, any of them twice, come to the same; and that is the latest word on
    /// each server.
    #[test]
    fn any_order_of_pages_comes_to_the_latest_word(
        (entries, shuffled) in entries().prop_flat_map(|entries| {
            let twice: Vec<_> = entries.iter().chain(entries.iter().take(5)).cloned().collect();
            (Just(entries), Just(twice).prop_shuffle())
        })
    ) {
        let told = state(entries.clone());
        prop_assert_eq!(&told, &state(shuffled));
        // The naive model: all words on a server, sorted; the last one counts.
        let mut words: BTreeMap<String, Vec<(u64, u8)>> = BTreeMap::new();
        for entry in entries.iter().filter(|entry| !entry.superseded) {
            let gravity = match entry.status {
                Status::Active => 0,
                Status::Deprecated => 1,
                Status::Deleted => 2,
            };
            words.entry(entry.server.name.clone()).or_default().push((entry.updated, gravity));
        }
        let present: Vec<(String, u64)> = words
            .into_iter()
            .filter_map(|(name, mut words)| {
                words.sort_unstable();
                let (at, gravity) = words.pop()?;
                (gravity < 2).then_some((name, at))
            })
            .collect();
        let seen: Vec<_> =
            told.present().map(|entry| (entry.server.name.clone(), entry.updated)).collect();
        prop_assert_eq!(seen, present);
    }

    #[test]
    fn no_two_names_share_an_id(a in "[a-c.-]{1,4}/[a-c._-]{1,4}", b in "[a-c.-]{1,4}/[a-c._-]{1,4}") {
        prop_assert_eq!(a == b, id_of(&a) == id_of(&b));
    }
}
