//! Every shape for a model API is what the official SDKs' own types say, over the demo's tools and
//! over those of real servers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::{Value, json};
use tokio::process::Command;
use toolscout::catalog::{Catalog, Server, ServerInfo, file};
use toolscout::demo;
use toolscout::live::Live;

use crate::support::app::{SERVERS, TestApp, catalog, config};
use crate::support::peers::{self, output};
use crate::support::shared::shared;

const NEEDS: [&str; 6] = [
    "send a mail to the team",
    "create a calendar event and invite people",
    "merge a pull request",
    "query logs of the last hour",
    "list files in a folder",
    "carrier pigeon",
];

/// The results of this app in every shape, as the script reads them.
async fn results(app: &TestApp) -> Vec<Value> {
    let mut results = Vec::new();
    for need in NEEDS {
        for format in ["anthropic", "openai", "tool_reference", "tool_search_output"] {
            for budget in [None, Some(2_000), Some(300)] {
                let asked = json!({"query": need, "limit": 20, "format": format,
                    "tool_use_id": "toolu_1", "call_id": "call_1", "token_budget": budget});
                let answer = app.post("/v1/search", asked.to_string()).await.json();
                assert!(answer["result"].is_object() || answer["result"].is_array(), "{answer}");
                results.push(json!({"is": format, "value": answer["result"]}));
            }
        }
    }
    let list = async |path: &str| app.get(path).await.json()["tools"].clone();
    results.push(json!({"is": "anthropic", "value": list("/v1/anthropic/tools").await}));
    results.push(json!({"is": "openai_list", "value": list("/v1/openai/tools").await}));
    results
}

fn demo_catalog() -> Catalog {
    Catalog::from_listings(demo::catalog().unwrap())
}

fn real_catalog() -> Option<Catalog> {
    let path = shared("benchmarks/real-servers/catalog.jsonl.gz")?;
    let listings = file::read(&path, None).unwrap();
    Some(Catalog::from_servers(listings.into_iter().map(|(id, listing)| Server {
        id,
        info: ServerInfo::default(),
        tools: listing.tools.into_iter().map(Into::into).collect(),
        crawled_at: SystemTime::now(),
    })))
}

#[tokio::test]
async fn the_official_sdks_types_accept_every_shape() {
    let Some(hosts) = peers::folder("hosts", &[".venv"]) else { return };
    let catalogs = [Some(catalog(SERVERS)), Some(demo_catalog()), real_catalog()];
    let mut all = Vec::new();
    for catalog in catalogs.into_iter().flatten() {
        let app = TestApp::serve(Live::from_catalog(catalog), &config()).await;
        all.extend(results(&app).await);
    }
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("results.json");
    std::fs::write(&path, serde_json::to_string(&all).unwrap()).unwrap();
    let mut check = Command::new(hosts.join(".venv/bin/python"));
    let accepted = output(check.arg(hosts.join("py_formats.py")).arg(&path)).await;
    let accepted: BTreeMap<String, usize> = serde_json::from_value(accepted).unwrap();
    assert_eq!(accepted.values().sum::<usize>(), all.len(), "{accepted:?}");
    assert_eq!(accepted.len(), 5, "{accepted:?}");
}

#[test]
fn the_names_of_real_tools_lead_back() {
    for catalog in [Some(demo_catalog()), real_catalog()].into_iter().flatten() {
        for tool in catalog.tools() {
            let name = catalog.api_names().name(tool);
            let safe = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            assert!((1..=64).contains(&name.len()) && name.chars().all(safe), "{name}");
            assert_eq!(catalog.find(&name).unwrap().id, tool.id);
        }
    }
}
