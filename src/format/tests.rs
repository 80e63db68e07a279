//! The shapes as they stand, and what holds for all of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::catalog::{Server, ServerInfo};
use crate::tool::Tool;

const ALL: [Format; 7] = [
    Format::Mcp,
    Format::Anthropic,
    Format::Openai,
    Format::ToolReference,
    Format::ToolSearchOutput,
    Format::Names,
    Format::Signatures,
];

fn catalog(servers: &[(&str, Vec<String>)]) -> Catalog {
    Catalog::from_servers(servers.iter().map(|(id, tools)| Server {
        id: (*id).into(),
        info: ServerInfo {
            title: id.starts_with('m').then(|| "Mail".to_owned()),
            description: id.starts_with('m').then(|| "Reads mail. And sends it.".to_owned()),
            ..ServerInfo::default()
        },
        tools:
            tools.iter().map(|text| Arc::new(Tool::parse(&(*id).into(), text).unwrap())).collect(),
        crawled_at: SystemTime::UNIX_EPOCH,
    }))
}

fn mail() -> Catalog {
    let send = r#"{"name":"send","description":"Send a mail. To anybody.","inputSchema":{"type":"object","properties":{"to":{"type":"string","description":"Whom"},"cc":{"type":"array","items":{"type":"string","description":"an address"}}},"required":["to"]},"outputSchema":{"type":"object"}}"#;
    catalog(&[
        ("mail", vec![send.into(), r#"{"name":"odd one","inputSchema":true}"#.into()]),
        ("post/office", vec![r#"{"name":"stamp","title":"Buy a stamp"}"#.into()]),
    ])
}

fn written(catalog: &Catalog, format: Format, budget: Option<Budget>) -> (Vec<&Tool>, Fitted) {
    let call = Call { tool_use_id: Some("toolu_1".into()), call_id: Some("call_1".into()) };
    // Mail, post, mail: the second namespace's tool stands between those of the first.
    let mut tools: Vec<&Tool> = catalog.tools().iter().map(|tool| &**tool).collect();
    tools.reverse();
    if tools.len() > 2 {
        tools.swap(0, 1);
    }
    let render = |at: usize, rung| piece(format, catalog, tools[at], rung);
    let join = |pieces: &[&str]| join(format, catalog, &call, tools.iter().copied(), pieces);
    let fitted = fit(tools.len(), budget, render, join);
    (tools, fitted)
}

#[test]
fn every_format_has_its_shape() {
    let catalog = mail();
    let shapes: BTreeMap<String, Value> = ALL
        .into_iter()
        .map(|format| {
            let text = written(&catalog, format, None).1.text;
            (format!("{format:?}"), serde_json::from_str(&text).unwrap())
        })
        .collect();
    insta::assert_json_snapshot!(shapes);
    let deferred = deferred(&catalog, &catalog.tools()[1]);
    let deferred: Value = serde_json::from_str(&deferred).unwrap();
    assert_eq!(deferred["defer_loading"], true);
}

#[test]
fn the_ladder_of_one_tool() {
    let catalog = mail();
    let tool = catalog.get("mail/send").unwrap();
    let rungs =
        [Rung::Full, Rung::NoOutput, Rung::Flat, Rung::Signature, Rung::Sentence, Rung::Name];
    let formats = [Format::Mcp, Format::Anthropic, Format::Signatures];
    let forms: Vec<String> = formats
        .into_iter()
        .flat_map(|format| rungs.map(|rung| piece(format, &catalog, tool, rung)))
        .collect();
    insta::assert_snapshot!(forms.join("\n"));
}

#[test]
fn what_is_ranked_last_goes_first_and_the_best_is_whole_longest() {
    let tool = |n: usize| {
        let text = "long words of no use ".repeat(30);
        json!({"name": format!("t{n}"), "description": "Does it. And it says so at length.",
            "inputSchema": {"type": "object", "properties": {"a": {"type": "object",
                "properties": {"b": {"type": "string", "description": text}}}}},
            "outputSchema": {"type": "object", "description": text}})
        .to_string()
    };
    let catalog = catalog(&[("s", (0..6).map(tool).collect())]);
    let rungs = |tokens| {
        let budget = Budget { tokens, family: Family::Openai };
        written(&catalog, Format::Mcp, Some(budget)).1.rungs
    };
    let whole =
        written(&catalog, Format::Mcp, Some(Budget { tokens: 1 << 20, family: Family::Openai }));
    let all = whole.1.tokens.unwrap();
    assert_eq!(rungs(all), [Rung::Full; 6]);
    let some = rungs(all * 3 / 4);
    assert_eq!((some[0], some[5]), (Rung::Full, Rung::NoOutput), "{some:?}");
    let few = rungs(all / 3);
    assert!(few[0] <= Rung::NoOutput && few[5] == Rung::Signature, "{few:?}");
    let least = rungs(1);
    assert_eq!(least, [Rung::Name; 6]);
    for tokens in (1..all).step_by(97) {
        let rungs = rungs(tokens);
        let lowest = rungs.iter().max().unwrap();
        assert!(*lowest <= Rung::Signature || rungs[0] >= Rung::Signature, "{tokens}: {rungs:?}");
    }
}

/// A definition with some of everything.
fn definition_text() -> impl Strategy<Value = String> {
    let param = (any::<bool>(), "[a-z ]{0,200}", "[a-z ]{0,200}").prop_map(|(text, own, deep)| {
        if text {
            json!({"type": "string", "description": own})
        } else {
            json!({"type": "array", "description": own, "items": {"description": deep}})
        }
    });
    let schema = prop_oneof![
        4 => prop::collection::btree_map("[a-z]{1,9}", param, 0..6)
            .prop_map(|properties| Some(json!({"type": "object", "properties": properties}))),
        1 => Just(Some(json!(true))),
        1 => Just(None),
    ];
    let output = prop::option::of("[a-z ]{0,300}");
    (prop::option::of("\\PC{0,400}"), schema, output).prop_map(|(text, schema, output)| {
        let mut definition = json!({"name": "x"});
        for (key, value) in [("description", text.map(Value::from)), ("inputSchema", schema)] {
            if let Some(value) = value {
                definition[key] = value;
            }
        }
        if let Some(output) = output {
            definition["outputSchema"] = json!({"type": "object", "description": output});
        }
        definition.to_string()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_the_budget_all_tools_stand_and_say_if_they_are_less(
        definitions in prop::collection::vec(definition_text(), 0..7),
        at in 0..ALL.len(),
        tokens in prop_oneof![1..40_usize, 40..4_000_usize],
        family in prop_oneof![Just(Family::Openai), Just(Family::Anthropic)],
    ) {
        let format = ALL[at];
        // The names differ, since a name is all that must be left of each.
        let definitions: Vec<String> = definitions
            .iter()
            .enumerate()
            .map(|(n, text)| text.replacen("\"name\":\"x\"", &format!("\"name\":\"tool{n}\""), 1))
            .collect();
        let catalog = catalog(&[("srv", definitions)]);
        let budget = Budget { tokens, family };
        let (tools, fitted) = written(&catalog, format, Some(budget));
        let whole = written(&catalog, format, None).1;
        prop_assert_eq!(fitted.tokens, Some(family.tokens(tokens::count(&fitted.text))));
        let last = match format {
            Format::Names | Format::ToolReference => Rung::Full,
            _ => Rung::Name,
        };
        if fitted.tokens.unwrap() > tokens {
            // What is not smaller further down may stay higher up.
            for (at, tool) in tools.iter().enumerate() {
                let least = tokens::count(&piece(format, &catalog, tool, last));
                let has = tokens::count(&piece(format, &catalog, tool, fitted.rungs[at]));
                prop_assert!(has <= least, "{:?}", fitted.rungs);
            }
        }
        if family.tokens(tokens::count(&whole.text)) <= tokens {
            prop_assert_eq!(&fitted.text, &whole.text);
        }
        let read: Value = serde_json::from_str(&fitted.text).unwrap();
        let list = match format {
            Format::ToolReference => read["content"].clone(),
            Format::ToolSearchOutput if tools.is_empty() => json!([]),
            Format::ToolSearchOutput => read["tools"][0]["tools"].clone(),
            _ => read,
        };
        let list = list.as_array().unwrap();
        prop_assert_eq!(list.len(), tools.len());
        for ((tool, rung), shown) in tools.iter().zip(&fitted.rungs).zip(list) {
            let name = catalog.api_names().name(tool);
            let shown_as = match format {
                Format::Mcp => shown["name"] == *tool.name,
                Format::Names | Format::Signatures => {
                    shown.as_str().unwrap().starts_with(tool.id.as_str())
                }
                Format::ToolReference => shown["tool_name"] == name,
                _ => shown["name"] == name,
            };
            prop_assert!(shown_as, "{shown}");
            let text = shown.to_string();
            let said = text.contains("reduced: see get_tool") || text.contains("toolscout/reduced");
            prop_assert_eq!(said, *rung != Rung::Full, "{:?}: {}", rung, text);
        }
        prop_assert_eq!(&fitted, &written(&catalog, format, Some(budget)).1);
    }
}

#[test]
fn a_baseline_is_the_sum_or_close_to_it() {
    let tool = |n: usize| {
        json!({"name": format!("t{n}"), "description": "words ".repeat(n % 90)}).to_string()
    };
    let few = catalog(&[("s", (0..40).map(tool).collect())]);
    let sum = |catalog: &Catalog| -> usize {
        let tools = catalog.tools().iter();
        tools.map(|tool| tokens::count(&piece(Format::Openai, catalog, tool, Rung::Full))).sum()
    };
    assert_eq!(baseline(&few, Format::Openai, Family::Openai), sum(&few));
    let many = catalog(&[("s", (0..2_000).map(tool).collect())]);
    let (told, true_sum) = (baseline(&many, Format::Openai, Family::Openai), sum(&many));
    assert!(told.abs_diff(true_sum) * 20 < true_sum, "{told} of {true_sum}");
    assert_eq!(baseline(&catalog(&[]), Format::Mcp, Family::Openai), 0);
}
