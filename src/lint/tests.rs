use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use serde_json::{Value, json};

use super::*;
use crate::catalog::{Catalog, Server, ServerInfo};
use crate::search::{self, Mode};
use crate::tool::Tool;

/// A definition whose parameters all say what they are.
fn tool(name: &str, description: &str, params: &[&str]) -> Value {
    let properties: serde_json::Map<_, _> = params
        .iter()
        .map(|name| ((*name).to_owned(), json!({"description": format!("The {name} to use.")})))
        .collect();
    json!({"name": name, "description": description, "inputSchema": {"properties": properties}})
}

/// Nothing is wrong with these.
fn good() -> Vec<Value> {
    vec![
        tool("send_mail", "Send a letter to somebody over the network.", &["recipient", "body"]),
        tool("draw_circle", "Draw a round figure on the canvas.", &["radius"]),
        tool("weigh", "Tell how heavy a parcel is before it leaves the warehouse.", &["parcel"]),
        tool("forecast", "Predict tomorrow's weather in any city of Europe.", &["city"]),
    ]
}

fn index(servers: &[(&str, Vec<Value>)]) -> Index {
    let servers = servers.iter().map(|(id, tools)| Server {
        id: (*id).into(),
        info: ServerInfo::default(),
        tools: tools
            .iter()
            .map(|tool| Arc::new(Tool::parse(&(*id).into(), &tool.to_string()).unwrap()))
            .collect(),
        crawled_at: SystemTime::UNIX_EPOCH,
    });
    Index::build(1, Arc::new(Catalog::from_servers(servers)))
}

/// Answers with words alone.
#[expect(clippy::unnecessary_wraps, reason = "as the linter asks: its searches may fail")]
fn ask(index: &Index, query: &Query) -> Result<Answer, Infallible> {
    let ranking = search::rank(index, query, &[]);
    let served = search::answer(index, query, &[], &ranking);
    Ok(Answer {
        generation: 1,
        mode: Mode::Lexical,
        reason: None,
        took_us: 0,
        hits: served.hits,
        no_good_match: served.no_good_match,
        why: None,
        stale: Vec::new(),
        repeated: false,
        stages: None,
    })
}

/// The findings as `rule tool: message`.
fn found_with(servers: &[(&str, Vec<Value>)], settings: &Settings) -> Vec<String> {
    let index = index(servers);
    let Ok(findings) = lint(&index, settings, |query| ask(&index, query), || {});
    let line = |finding: &Finding| {
        format!("{} {}: {}", finding.rule.name(), finding.tool, finding.message)
    };
    findings.iter().map(line).collect()
}

/// What is found when these stand beside the good ones.
fn found(more: Vec<Value>) -> Vec<String> {
    found_with(&[("s", [good(), more].concat())], &Settings::default())
}

#[test]
fn good_tools_give_no_findings() {
    assert_eq!(found(Vec::new()), [""; 0]);
    assert_eq!(found_with(&[], &Settings::default()), [""; 0]);
}

#[test]
fn descriptions_that_say_nothing() {
    let without = json!({"name": "mute", "inputSchema": {}});
    let titled = json!({"name": "x1", "title": "Ring the bell", "description": "Ring the bell."});
    assert_eq!(
        found(vec![
            without,
            titled,
            tool("list_files", "List files.", &[]),
            tool("dash", "--", &[])
        ]),
        [
            "no-description s/dash: it has no description",
            "no-description s/list_files: its description is its name",
            "no-description s/mute: it has no description",
            "no-description s/x1: its description is its title",
        ]
    );
    assert_eq!(
        found(vec![
            tool("open", "Opens a door", &[]),
            tool("shut", "Closes a window quietly", &[])
        ]),
        ["short-description s/open: its description has 3 words, fewer than 4"]
    );
}

#[test]
fn parameters_that_say_nothing() {
    let mut half = tool("paint", "Colour a wall of the house.", &["wall"]);
    half["inputSchema"]["properties"]["tone"] = json!({"type": "string"});
    half["inputSchema"]["properties"]["mood"] = json!({"description": " "});
    let mut bare = tool("glue", "Stick two sheets of paper together.", &[]);
    for name in ["a", "b", "c", "d", "e", "f"] {
        bare["inputSchema"]["properties"][name] = json!(true);
    }
    assert_eq!(
        found(vec![half, bare]),
        [
            "undescribed-parameters s/glue: 6 of 6 parameters have no description: a, b, c, d, e, …",
            "undescribed-parameters s/paint: 2 of 3 parameters have no description: mood, tone",
        ]
    );
}

#[test]
fn tools_that_their_own_words_do_not_find() {
    // Each of the others says the same, and in its name too.
    let others = (0..5).map(|at| tool(&format!("ship_goods_{at}"), "Ship goods by sea.", &[]));
    let lost = tool("zz", "Ship goods by sea.", &[]);
    let all: Vec<Value> = others.chain([lost]).collect();
    let lines = found(all.clone());
    let of = |rule: &str| -> Vec<&String> {
        lines.iter().filter(|line| line.starts_with(rule)).collect()
    };
    let [only] = of("unfindable")[..] else { panic!("{lines:?}") };
    assert!(
        only.starts_with(
            "unfindable s/zz: its own description finds it in place 6; first come s/ship_"
        ),
        "{only}"
    );
    let patient = Settings { first: 6, ..Settings::default() };
    let lines = found_with(&[("s", [good(), all].concat())], &patient);
    assert!(!lines.iter().any(|line| line.starts_with("unfindable")), "{lines:?}");
}

const LONG: &str = "Show the opening hours, address and telephone number of one of our shops in the \
    old town, with a map and the name of whoever is in charge there, as of this morning, \
    before the market opens its gates.";

#[test]
fn tools_that_say_nearly_the_same() {
    let one = tool("show_shop", LONG, &["shop"]);
    let twin = tool("showShop", LONG, &["shop"]);
    let near = tool("show_store", &LONG.replace("shops", "stores"), &["shop"]);
    let far = tool(
        "shut_shop",
        "Close one of our shops for good, and tell whoever is in charge there.",
        &["shop"],
    );
    let alone = found(vec![one.clone(), far.clone()]);
    assert_eq!(alone, [""; 0]);
    assert_eq!(
        found(vec![one.clone(), near.clone(), far]),
        [
            "near-duplicate s/show_shop: it says nearly the same as s/show_store: they differ in shop, store"
        ]
    );
    let servers = [("s", good()), ("t", vec![one.clone()]), ("u", vec![twin, near])];
    assert_eq!(
        found_with(&servers, &Settings::default()),
        [
            "near-duplicate t/show_shop: it says nearly the same as u/showShop, u/show_store: they differ in shop, store"
        ]
    );
    let strict = Settings { similar: 1.0, ..Settings::default() };
    assert_eq!(
        found_with(&servers, &strict),
        ["near-duplicate t/show_shop: it says the same as u/showShop"]
    );
}

#[test]
fn definitions_that_are_large() {
    let mut wide = tool("map", "Draw a plan of the whole city.", &["scale"]);
    wide["outputSchema"] = json!({"description": "x".repeat(17 << 10)});
    let mut deep = tool("knit", "Make a pullover out of wool.", &["size"]);
    deep["inputSchema"]["$comment"] = json!("x".repeat(9 << 10));
    let lines = found(vec![wide, deep]);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("large-schema s/knit: its input schema has 9"), "{lines:?}");
    assert!(lines[1].starts_with("large-definition s/map: its definition has 17"), "{lines:?}");
}

#[test]
fn rules_that_are_off_find_nothing_and_search_nothing() {
    let index = index(&[("s", vec![json!({"name": "mute"}), tool("a", "b", &[])])]);
    let asked = AtomicUsize::new(0);
    let with = |rules: &[(Rule, Level)]| {
        let settings = Settings { rules: rules.iter().copied().collect(), ..Settings::default() };
        let each = || {
            asked.fetch_add(1, Ordering::Relaxed);
        };
        let Ok(findings) = lint(&index, &settings, |query| ask(&index, query), each);
        findings
    };
    assert!(with(&[]).is_empty());
    let found = with(&[(Rule::ShortDescription, Level::Error)]);
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].tool.as_str(), found[0].level), ("s/a", Level::Error));
    assert!(with(&[(Rule::Unfindable, Level::Error)]).is_empty());
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}
