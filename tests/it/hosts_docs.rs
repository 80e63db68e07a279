//! `docs/hosts.md` shows what the examples do, and the hosts' own files in `examples/` are read by
//! their clients' rules and lead to a toolscout that answers.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::app::TestApp;
use crate::support::fakes::example;
use crate::support::service::run;

/// Stands for lines of the file that are left out.
const LEFT_OUT: &str = "…";

/// The code blocks of the document: the file that each is said to be from, and its lines.
fn blocks(document: &str) -> Vec<(&str, Vec<&str>)> {
    let mut blocks = Vec::new();
    let mut lines = document.lines();
    let mut before = "";
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            let code = lines.by_ref().take_while(|line| *line != "```").collect();
            let file = before.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
            blocks.push((file.unwrap_or_else(|| panic!("{line} is of no file: {before}")), code));
        }
        before = line;
    }
    blocks
}

#[test]
fn what_the_document_shows_stands_in_the_examples() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("docs/hosts.md")).unwrap();
    let blocks = blocks(&document);
    assert!(blocks.len() > 10);
    for (file, code) in blocks {
        let text = fs::read_to_string(root.join(file)).unwrap();
        let mut rest = text.as_str();
        for part in code.split(|line| *line == LEFT_OUT) {
            let part = part.join("\n");
            let at = rest.find(&part).unwrap_or_else(|| panic!("{file} has no\n{part}"));
            rest = &rest[at + part.len()..];
        }
    }
    for file in fs::read_dir(root.join("examples")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(document.contains(&name) || name.ends_with(".mcp.json"), "{name} is not told of");
    }
}

#[tokio::test]
async fn the_files_of_hosts_lead_to_toolscout() {
    let app = TestApp::start().await;
    let folder = tempfile::tempdir().unwrap();
    for file in ["claude-code.mcp.json", "cursor.mcp.json", "vscode.mcp.json"] {
        let text = fs::read_to_string(example(file)).unwrap();
        let here = app.url("");
        assert!(text.contains("http://127.0.0.1:7420/mcp"));
        fs::write(folder.path().join(file), text.replace("http://127.0.0.1:7420", &here)).unwrap();

        let imported = run(folder.path(), &["import", file, "--dry-run"]).await;
        assert_eq!(imported.code, 0, "{}", imported.stderr);
        assert!(imported.stdout.contains("[servers.toolscout]"), "{}", imported.stdout);
        let crawled = run(folder.path(), &["crawl", "--mcp-config", file, "--json"]).await.json();
        let Value::Array(servers) = &crawled else { panic!("{crawled}") };
        assert_eq!(servers.len(), 1, "{crawled}");
        assert_eq!(servers[0]["state"], "ready", "{crawled}");
        assert_eq!(servers[0]["tools"], 3, "{crawled}");
    }
}
