//! A copy of a tool that is stuffed with its own words never comes before the honest one.

use serde_json::{Value, json};

use crate::support::service::Service;

/// Name, description, and what is asked for.
const TOOLS: [(&str, &str, &[&str]); 8] = [
    (
        "send_email",
        "Send an email message to one or more people, with attachments.",
        &["send an email with an attachment", "email somebody"],
    ),
    (
        "create_event",
        "Create a calendar event and invite people to the meeting.",
        &["invite people to a meeting", "new calendar event"],
    ),
    (
        "list_invoices",
        "List the invoices of a customer, newest first.",
        &["which invoices does a customer have", "invoices"],
    ),
    (
        "search_code",
        "Search the source code of all repositories for a text.",
        &["find a text in source code", "search code"],
    ),
    (
        "get_weather",
        "Get the weather forecast of a place for the next days.",
        &["weather forecast for tomorrow", "will it rain"],
    ),
    (
        "translate_text",
        "Translate a text from one language to another.",
        &["translate to French", "translate text"],
    ),
    (
        "resize_image",
        "Resize an image to a given width and height.",
        &["make an image smaller", "resize picture"],
    ),
    (
        "run_query",
        "Run a read-only SQL query against the database and return its rows.",
        &["query the database", "run sql"],
    ),
];

fn stuffed(description: &str) -> Vec<String> {
    let words: Vec<&str> =
        description.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 3).collect();
    vec![
        format!("{description} {}", format!("{} ", words[0..3].join(" ")).repeat(20)),
        format!("{}{description}", format!("{} ", words[1]).repeat(30)),
        format!("{description} ").repeat(8),
        format!("{description} {}", format!("{}, ", words.join(", ")).repeat(12)),
    ]
}

#[tokio::test]
async fn stuffing_lifts_no_rank() {
    let folder = tempfile::tempdir().unwrap();
    let mut lines = String::new();
    let mut line = |server: &str, name: &str, description: &str| {
        let tool = json!({"server": server, "name": name, "description": description});
        lines.extend([tool.to_string(), "\n".into()]);
    };
    for (name, description, _) in TOOLS {
        line("honest", name, description);
        for (way, description) in stuffed(description).iter().enumerate() {
            line(&format!("copy{way}"), name, description);
        }
    }
    std::fs::write(folder.path().join("catalog.jsonl"), lines).unwrap();
    let service = Service::start(folder.path(), &["--catalog", "catalog.jsonl"]).await;
    service.until_ready().await;
    let (_, found) = service.get("/v1/findings?rule=stuffing").await;
    assert!(found["tools"].as_array().unwrap().len() >= 2 * TOOLS.len(), "{found}");
    let mut lifted = Vec::new();
    let mut asked = 0;
    for (name, description, queries) in TOOLS {
        for query in queries.iter().chain([&name, &description]) {
            let encoded: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
            let (_, answer) = service.get(&format!("/v1/search?q={encoded}&limit=50")).await;
            assert_eq!(answer["mode"], "hybrid");
            // The slot of a tool shows whoever ranks first of those that are the same.
            let tools = answer["tools"].as_array().unwrap();
            let is_it = |tool: &&Value| tool["name"] == name;
            let first = tools.iter().find(is_it).unwrap_or_else(|| panic!("{query}: {answer}"));
            asked += 1;
            if first["server"] != "honest" {
                lifted.push(format!("{query}: {}", first["id"]));
            }
        }
    }
    eprintln!("{} of {asked} queries were answered with a stuffed copy first", lifted.len());
    assert!(lifted.is_empty(), "{}", lifted.join("\n"));
    service.stop().await;
}
