//! The demo servers speak MCP over both transports, their tools are sound, and the demo's
//! labelled queries name tools that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use rmcp::ServiceExt;
use rmcp::model::{CallToolRequestParams, Tool};
use rmcp::service::{RoleClient, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use toolscout::catalog::Catalog;
use toolscout::catalog::{Outcome, ServerUpdate};
use toolscout::config::Transport;
use toolscout::demo::{self, DemoError};
use toolscout::eval::read_queries;

type Client = RunningService<RoleClient, ()>;

/// A client of every demo server, over HTTP or over a pipe in the place of stdin and stdout.
async fn connect_all(shutdown: &CancellationToken) -> BTreeMap<String, Client> {
    let program = Path::new("toolscout");
    let entries = demo::start(program, shutdown.clone()).await.unwrap();
    let mut clients = BTreeMap::new();
    for entry in entries {
        let client = match &entry.transport {
            Transport::Http { url, .. } => {
                let transport = StreamableHttpClientTransport::from_uri(url.as_str());
                ().serve(transport).await.unwrap()
            }
            Transport::Stdio { args, .. } => {
                assert_eq!(*args, [demo::CHILD_COMMAND, entry.id.as_str()]);
                let (ours, theirs) = tokio::io::duplex(4096);
                let name = entry.id.to_string();
                tokio::spawn(async move {
                    demo::run_over(&name, tokio::io::split(theirs)).await.unwrap();
                });
                ().serve(ours).await.unwrap()
            }
            Transport::Catalog { .. } => panic!("{} is a file", entry.id),
        };
        clients.insert(entry.id.to_string(), client);
    }
    clients
}

fn demo_catalog() -> Catalog {
    let mut catalog = Catalog::default();
    for (server, listing) in demo::catalog().unwrap() {
        assert_eq!(listing.defects, Vec::<String>::new(), "{server}");
        let update = ServerUpdate {
            server,
            transport: "file",
            outcome: Outcome::Listed(listing),
            next_crawl: None,
        };
        catalog = catalog.fold(&update).0;
    }
    catalog
}

#[tokio::test]
async fn every_server_lists_its_tools() {
    let shutdown = CancellationToken::new();
    let clients = connect_all(&shutdown).await;
    assert_eq!(clients.len(), demo::names().count());

    let catalog = demo_catalog();
    let mut listed = BTreeSet::new();
    for (server, client) in &clients {
        let tools = client.list_all_tools().await.unwrap();
        assert!(!tools.is_empty(), "{server}");
        for tool in tools {
            let id = format!("{server}/{}", tool.name);
            let known = catalog.get(&id).unwrap_or_else(|| panic!("{id} is not in the catalog"));
            let known: Value = serde_json::from_str(known.definition.get()).unwrap();
            assert_eq!(serde_json::to_value(&tool).unwrap(), known, "{id}");
            assert!(listed.insert(id.clone()), "{id} is listed twice");
        }
        let info = client.peer_info().unwrap();
        let known = catalog.server(server).unwrap();
        assert_eq!(info.server_info.as_ref().unwrap().title, known.info.title);
        assert_eq!(info.instructions, known.info.description);
    }
    assert_eq!(listed.len(), catalog.len());
    assert!(listed.len() >= 130, "{} tools", listed.len());
    shutdown.cancel();
}

#[tokio::test]
async fn a_call_says_that_nothing_was_done_and_fits_the_output_schema() {
    let shutdown = CancellationToken::new();
    for (server, client) in connect_all(&shutdown).await {
        for tool in client.list_all_tools().await.unwrap() {
            let request = CallToolRequestParams::new(tool.name.clone())
                .with_arguments(required_arguments(&tool));
            let result = client.call_tool(request).await.unwrap();
            let id = format!("{server}/{}", tool.name);
            assert_eq!(result.is_error, Some(false), "{id}");
            let text = serde_json::to_string(&result.content).unwrap();
            assert!(text.contains("nothing was done"), "{text}");
            assert!(text.contains(&id), "{text}");
            let fits = match (&tool.output_schema, &result.structured_content) {
                (Some(schema), Some(value)) => jsonschema::is_valid(&as_value(schema), value),
                (None, None) => true,
                _ => false,
            };
            assert!(fits, "{id}: {:?}", result.structured_content);
        }
    }
    shutdown.cancel();
}

#[tokio::test]
async fn a_wrong_call_is_refused_with_what_it_lacks() {
    let shutdown = CancellationToken::new();
    let clients = connect_all(&shutdown).await;
    for (server, tool, lacks) in
        [("calendar", "find_free_slots", "attendees"), ("crm", "contacts.merge", "dropId")]
    {
        let request = CallToolRequestParams::new(tool);
        let result = clients[server].call_tool(request).await.unwrap();
        assert_eq!(result.is_error, Some(true));
        let text = serde_json::to_string(&result.content).unwrap();
        assert!(text.contains(lacks), "{text}");
        let request = CallToolRequestParams::new("no_such_tool");
        let error = clients[server].call_tool(request).await.unwrap_err();
        assert!(error.to_string().contains("no_such_tool"), "{error}");
    }
    shutdown.cancel();
}

#[tokio::test]
async fn an_unknown_name_is_refused_with_those_that_exist() {
    let error =
        demo::run_over("toaster", (tokio::io::empty(), tokio::io::sink())).await.unwrap_err();
    assert!(matches!(error, DemoError::UnknownServer(_)));
    assert!(error.to_string().contains("calendar"), "{error}");
}

#[tokio::test]
async fn a_child_ends_when_its_input_closes() {
    let (ours, theirs) = tokio::io::duplex(4096);
    let child = tokio::spawn(demo::run_over("mail", tokio::io::split(theirs)));
    let client = ().serve(ours).await.unwrap();
    assert!(!child.is_finished());
    client.cancel().await.unwrap();
    child.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_child_whose_client_leaves_at_once_ends_in_peace() {
    demo::run_over("mail", (tokio::io::empty(), tokio::io::sink())).await.unwrap();
}

#[tokio::test]
async fn cancelling_frees_the_port() {
    let shutdown = CancellationToken::new();
    let entries = demo::start(Path::new("toolscout"), shutdown.clone()).await.unwrap();
    let url = entries
        .iter()
        .find_map(|entry| match &entry.transport {
            Transport::Http { url, .. } => Some(url.clone()),
            _ => None,
        })
        .unwrap();
    let address = ("127.0.0.1", url.port().unwrap());
    tokio::net::TcpStream::connect(address).await.unwrap();
    shutdown.cancel();
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[test]
fn every_definition_has_the_shape_of_mcp() {
    let catalog = demo_catalog();
    for tool in catalog.tools() {
        let definition: Value = serde_json::from_str(tool.definition.get()).unwrap();
        let id = &tool.id;
        let name_fits = tool.name.len() <= 64
            && tool.name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
        assert!(name_fits, "{id}");
        assert!(definition["description"].as_str().unwrap().len() >= 20, "{id}");
        let input = &definition["inputSchema"];
        assert_eq!(input["type"], "object", "{id}");
        for schema in [Some(input), definition.get("outputSchema")].into_iter().flatten() {
            assert_eq!(schema["type"], "object", "{id}");
            assert!(jsonschema::meta::is_valid(schema), "{id}");
            let properties = schema["properties"].as_object().unwrap();
            for required in schema["required"].as_array().into_iter().flatten() {
                assert!(properties.contains_key(required.as_str().unwrap()), "{id}: {required}");
            }
        }
        for (name, property) in input["properties"].as_object().unwrap() {
            assert!(property["description"].is_string(), "{id}: {name} is not described");
            if let Some(default) = property.get("default") {
                assert!(jsonschema::is_valid(property, default), "{id}: {name} = {default}");
            }
        }
    }
}

#[test]
fn every_label_names_a_tool() {
    let catalog = demo_catalog();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("index-data/demo/queries.jsonl");
    let queries = read_queries(&path).unwrap();
    let mut categories: BTreeMap<&str, usize> = BTreeMap::new();
    let mut texts = BTreeSet::new();
    for query in &queries {
        let category = query.category.as_deref().unwrap();
        *categories.entry(category).or_default() += 1;
        assert!(texts.insert(&query.query), "{} is asked twice", query.query);
        let relevant = query.relevant.as_ref().unwrap();
        assert_eq!(relevant.is_empty(), category == "none", "{}", query.id);
        for id in relevant.iter().chain(query.alternatives.values().flatten()) {
            assert!(catalog.get(id).is_some(), "{}: no tool {id}", query.id);
        }
        for id in query.alternatives.keys() {
            assert!(relevant.contains(id), "{}: {id} is no need", query.id);
        }
    }
    assert!(queries.len() >= 160);
    let expected =
        ["direct", "disambiguate", "multi", "name", "noisy", "none", "paraphrase", "turn"];
    assert!(categories.keys().eq(&expected), "{categories:?}");
    assert!(categories.values().all(|&n| n >= 18), "{categories:?}");
}

fn required_arguments(tool: &Tool) -> Map<String, Value> {
    let required =
        tool.input_schema.get("required").and_then(Value::as_array).into_iter().flatten();
    required.map(|name| (name.as_str().unwrap().to_owned(), json!("x"))).collect()
}

fn as_value(schema: &Arc<Map<String, Value>>) -> Value {
    Value::Object(schema.as_ref().clone())
}
