use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn update(server: &str, outcome: Outcome) -> ServerUpdate {
    ServerUpdate { server: server.into(), transport: "http", outcome, next_crawl: None }
}

fn listed(server: &str, tools: &BTreeMap<String, u8>) -> Outcome {
    let tools = tools
        .iter()
        .map(|(name, version)| {
            let definition = format!(r#"{{"name":"{name}","v":{version}}}"#);
            Tool::parse(&server.into(), &definition).unwrap()
        })
        .collect();
    Outcome::Listed(Listing {
        info: ServerInfo::default(),
        tools,
        crawled_at: SystemTime::UNIX_EPOCH,
        defects: Vec::new(),
    })
}

/// What a step does to the naive model: a map from tool id to version.
#[derive(Debug, Clone)]
enum Step {
    List(usize, BTreeMap<String, u8>),
    Fail(usize),
    Confirm(usize),
    Remove(usize),
}

const SERVERS: [&str; 3] = ["a", "a-b", "c"];

fn step() -> impl Strategy<Value = Step> {
    let tools = prop::collection::btree_map("[a-e]", 0_u8..3, 0..4);
    prop_oneof![
        3 => (0..SERVERS.len(), tools).prop_map(|(server, tools)| Step::List(server, tools)),
        1 => (0..SERVERS.len()).prop_map(Step::Fail),
        1 => (0..SERVERS.len()).prop_map(Step::Confirm),
        1 => (0..SERVERS.len()).prop_map(Step::Remove),
    ]
}

proptest! {
    #[test]
    fn folding_agrees_with_a_naive_map(steps in prop::collection::vec(step(), 0..20)) {
        let mut catalog = Catalog::default();
        let mut model: BTreeMap<String, u8> = BTreeMap::new();
        for step in steps {
            let before = model.clone();
            let update = match step {
                Step::List(at, tools) => {
                    let server = SERVERS[at];
                    model.retain(|id, _| !id.starts_with(&format!("{server}/")));
                    for (name, version) in &tools {
                        model.insert(format!("{server}/{name}"), *version);
                    }
                    update(server, listed(server, &tools))
                }
                Step::Fail(at) => {
                    update(SERVERS[at], Outcome::Failed { error: "down".into() })
                }
                Step::Confirm(at) => {
                    let at_last = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
                    update(SERVERS[at], Outcome::Confirmed { at: at_last })
                }
                Step::Remove(at) => {
                    model.retain(|id, _| !id.starts_with(&format!("{}/", SERVERS[at])));
                    update(SERVERS[at], Outcome::Removed)
                }
            };
            let (next, diff) = catalog.fold(&update);
            catalog = next;
            let seen: Vec<(String, String)> = catalog
                .tools()
                .iter()
                .map(|tool| (tool.id.to_string(), tool.definition.get().into()))
                .collect();
            let wanted: Vec<(String, String)> = model
                .iter()
                .map(|(id, version)| {
                    let name = id.rsplit('/').next().unwrap();
                    (id.clone(), format!(r#"{{"name":"{name}","v":{version}}}"#))
                })
                .collect();
            prop_assert_eq!(seen, wanted);
            let ids = |from: &BTreeMap<String, u8>, keep: &dyn Fn(&str) -> bool| {
                from.keys().filter(|id| keep(id)).map(|id| id.as_str().into()).collect::<Vec<ToolId>>()
            };
            prop_assert_eq!(diff.added, ids(&model, &|id| !before.contains_key(id)));
            prop_assert_eq!(diff.removed, ids(&before, &|id| !model.contains_key(id)));
            prop_assert_eq!(
                diff.changed,
                ids(&model, &|id| before.get(id).is_some_and(|old| *old != model[id]))
            );
        }
    }
}

#[test]
fn ids_that_join_alike_are_kept_once() {
    let tools = |name: &str| BTreeMap::from([(name.to_owned(), 0)]);
    let (catalog, _) = Catalog::default().fold(&update("a", listed("a", &tools("b/c"))));
    let (catalog, _) = catalog.fold(&update("a/b", listed("a/b", &tools("c"))));
    assert_eq!(catalog.len(), 1);
    assert_eq!(catalog.get("a/b/c").unwrap().server.as_str(), "a");
}
