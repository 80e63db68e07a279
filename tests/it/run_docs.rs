//! `docs/operating.md` speaks of commands, paths and files that are there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::app::TestApp;
use crate::support::service::{Service, catalog, configure, run};

fn document() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(root.join("docs/operating.md")).unwrap()
}

/// What stands between backquotes, outside blocks of code.
fn quoted(document: &str) -> Vec<&str> {
    let mut code = false;
    let text = document.lines().filter(|line| {
        let fence = line.starts_with("```");
        code ^= fence;
        !code && !fence
    });
    text.flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// The commands of blocks and of the text, without what stands for something else.
fn commands(document: &str) -> BTreeSet<Vec<String>> {
    let blocks = document.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let lines = blocks.flat_map(str::lines).chain(quoted(document));
    let lines = lines.filter_map(|line| line.split('#').next()?.strip_prefix("toolscout "));
    lines
        .map(|line| line.split('>').next().unwrap().split_whitespace().map(str::to_owned).collect())
        .collect()
}

#[tokio::test]
async fn its_commands_and_flags_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let document = document();
    let commands = commands(&document);
    assert!(commands.len() > 10, "{commands:?}");
    for command in &commands {
        // Help is given once everything before it was understood.
        let mut args: Vec<&str> = command.iter().map(String::as_str).collect();
        args.push("--help");
        let ran = run(folder.path(), &args).await;
        assert_eq!(ran.code, 0, "{command:?}: {}", ran.stderr);
    }
    let help = run(folder.path(), &["serve", "--help"]).await.stdout
        + &run(folder.path(), &["doctor", "--help"]).await.stdout;
    for flag in quoted(&document).into_iter().filter(|word| word.starts_with("--")) {
        assert!(help.contains(flag), "{flag}");
    }
}

#[tokio::test]
async fn its_paths_are_served() {
    let app = TestApp::start().await;
    let served = app.get("/openapi.json").await.json();
    let document = document();
    let named: BTreeSet<&str> = quoted(&document)
        .into_iter()
        .map(|word| word.strip_prefix("GET ").unwrap_or(word))
        .filter(|word| {
            ["/v1/", "/livez", "/readyz", "/health", "/openapi"]
                .iter()
                .any(|path| word.starts_with(path))
        })
        .collect();
    assert!(named.len() >= 5, "{named:?}");
    for path in named {
        assert!(served["paths"].get(path).is_some(), "{path}");
    }
}

#[tokio::test]
async fn its_files_are_what_is_kept_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    catalog(folder.path(), &[("house", "ring_bell", "Ring the bell")]);
    configure(
        folder.path(),
        "[learn]\nenabled = true\n[servers.house]\ncatalog = \"catalog.jsonl\"\n",
    );
    let service = Service::start(folder.path(), &[]).await;
    service.until_ready().await;
    let paused =
        run(folder.path(), &["server", "pause", "house", "--url", &service.url, "--data", "data"])
            .await;
    assert_eq!(paused.code, 0, "{}", paused.stderr);
    service.stop().await;

    let document = document();
    let data = folder.path().join("data");
    let mut folders = vec![data.clone()];
    let mut found = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let shown = path.strip_prefix(&data).unwrap().display().to_string();
            if document.contains(&format!("`{shown}`")) || document.contains(&format!("`{shown}/`"))
            {
                found += 1;
            } else {
                assert!(path.is_dir(), "{shown} is kept, and docs/operating.md does not say so");
                folders.push(path);
            }
        }
    }
    assert!(found >= 4, "{found} files of docs/operating.md are there");
}

#[tokio::test]
async fn its_keys_stand_in_the_example() {
    let folder = tempfile::tempdir().unwrap();
    let example = run(folder.path(), &["config", "example"]).await.stdout;
    let document = document();
    let is_key = |word: &&str| {
        word.contains('_')
            && word.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_')
    };
    let keys: BTreeSet<&str> = quoted(&document).into_iter().filter(is_key).collect();
    assert!(keys.len() > 10, "{keys:?}");
    for key in keys {
        // The file of a Compose secret is called as variables are.
        assert!(key == "example_token" || example.contains(&format!("{key} = ")), "{key}");
    }
}

#[test]
fn what_it_links_to_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = document();
    let links = document.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
    let links = links.filter(|link| !link.starts_with("http"));
    let files = quoted(&document)
        .into_iter()
        .filter(|word| word.starts_with("scripts/") || word.starts_with("tests/"));
    let files = files.map(|word| word.split(' ').next().unwrap().to_owned());
    for path in links.map(|link| format!("docs/{link}")).chain(files) {
        assert!(root.join(&path).exists(), "{path}");
    }
}
