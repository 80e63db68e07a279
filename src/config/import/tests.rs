use std::path::PathBuf;

use super::super::{Sources, load};
use super::*;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/clients")
}

fn named(names: &[&str]) -> Vec<ClientFile> {
    names.iter().map(|name| ClientFile { client: "", path: fixtures().join(name) }).collect()
}

fn nothing(_: &str) -> Option<String> {
    None
}

fn imported(names: &[&str], text: &str) -> Import {
    import(&named(names), true, text, Path::new("/etc/toolscout"), &nothing).unwrap()
}

const ALL: [&str; 11] = [
    "claude-code.json",
    "project.mcp.json",
    "claude-desktop.json",
    "cursor.json",
    "vscode.json",
    "windsurf.json",
    "gemini.json",
    "codex.toml",
    "opencode.jsonc",
    "goose.yaml",
    "messages.json",
];

/// Values that no file but the clients' own may hold.
const SECRETS: [&str; 6] =
    ["ghp_madeUp", "pa55word", "k-made-up", "t0k-made-up", "made-up-token", "Bearer made"];

#[test]
fn every_client_at_once() {
    let import = imported(&ALL, "# mine\n");
    let here = fixtures();
    let text = import.text.replace(here.parent().unwrap().to_str().unwrap(), "FIXTURES");
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    insta::assert_snapshot!(text, @r#"
    # mine

    [servers.github]
    url = "https://mcp.example.com/github/"
    headers = { Authorization = "Bearer ${GITHUB_TOKEN}" }

    [servers.time]
    command = "uvx"
    args = ["mcp-server-time"]

    [servers.files]
    command = "npx"
    args = ["-y", "@modelcontextprotocol/server-filesystem", "."]
    cwd = "/home/ada/one"

    [servers.files-2]
    command = "npx"
    args = ["-y", "@modelcontextprotocol/server-filesystem", "."]
    cwd = "/home/ada/two"

    [servers.docs]
    url = "${DOCS_URL:-https://docs.example.com}/mcp"

    [servers.postgres]
    command = "npx"
    args = ["-y", "@modelcontextprotocol/server-postgres", "postgresql://ada:${POSTGRES_PASSWORD}@db.example.com/app"]

    [servers.search]
    command = "npx"
    args = ["-y", "some-search"]
    env = { SEARCH_API_KEY = "${SEARCH_API_KEY}", SEARCH_LIMIT = "10" }

    [servers.tickets]
    command = "FIXTURES/clients/bin/tickets"
    args = ["--token", "${TICKETS_TOKEN}", "--cache=${HOME}/.cache"]
    env_file = "FIXTURES/clients/tickets.env"

    [servers.wiki]
    url = "https://wiki.example.com/mcp"
    headers = { X-Api-Key = "${WIKI_KEY}" }

    [servers.remote]
    url = "https://api.example.com/mcp/"
    headers = { Authorization = "Bearer ${PERPLEXITY_KEY}", X-Team = "core" }

    [servers.figma]
    url = "https://figma.example.com/mcp"
    headers = { API_KEY = "Bearer ${FIGMA_TOKEN}" }

    [servers.off]
    command = "off-server"
    enabled = false
    deny = ["drop_[*]"]

    [servers.python]
    command = "python"
    args = ["-m", "tools"]
    env = { API_KEY = "${MY_API_TOKEN}" }
    cwd = "FIXTURES/clients/server"

    [servers.cloud]
    url = "https://cloud.example.com/mcp"
    allow = ["read_[*]", "list"]
    deny = ["list"]

    [servers.docs-2]
    command = "npx"
    args = ["-y", "docs-mcp"]
    env = { DOCS_MODE = "fast", LOCAL_TOKEN = "${LOCAL_TOKEN}" }
    timeout = "121s"

    [servers.figma-2]
    url = "https://figma.example.com/mcp"
    headers = { X-Figma-Region = "us-east-1", X-Figma-User = "${FIGMA_USER}" }
    enabled = false
    bearer_token_env = "FIGMA_OAUTH_TOKEN"
    allow = ["open", "screenshot"]

    [servers.everything]
    command = "npx"
    args = ["-y", "@modelcontextprotocol/server-everything"]
    env = { COLOR = "1", TOKEN = "${EVERYTHING_TOKEN}" }

    [servers.sentry]
    url = "https://sentry.example.com/mcp"
    headers = { Authorization = "Bearer ${SENTRY_TOKEN}" }
    enabled = false

    [servers.asana]
    url = "https://asana.example.com/mcp"
    headers = { Authorization = "Bearer ${ASANA_TOKEN}" }
    enabled = false

    [servers.fetch]
    command = "uvx"
    args = ["mcp-server-fetch"]
    env = { FETCH_AGENT = "goose", FETCH_TOKEN = "${FETCH_TOKEN}" }

    [servers.calendar]
    url = "https://calendar.example.com/mcp"
    bearer_token = "${CALENDAR_TOKEN}"
    allow = ["create[[]event[]]", "search_events"]

    [servers.mail]
    url = "https://mail.example.com/sse"
    deny = ["delete_mail"]

    [servers.crm]
    url = "https://crm.example.com/mcp"
    enabled = false
    "#);
}

#[test]
fn what_is_told_of_every_client() {
    let (import, here) = (imported(&ALL, ""), fixtures());
    let variables: Vec<_> = import
        .variables
        .iter()
        .map(|(name, variable)| {
            format!("{name}{}", if variable.value.is_some() { " *" } else { "" })
        })
        .collect();
    insta::assert_snapshot!(variables.join("\n"), @r"
    ASANA_TOKEN *
    CALENDAR_TOKEN *
    EVERYTHING_TOKEN
    FETCH_TOKEN
    FIGMA_OAUTH_TOKEN
    FIGMA_TOKEN
    FIGMA_USER
    GITHUB_TOKEN *
    HOME
    LOCAL_TOKEN
    MY_API_TOKEN
    PERPLEXITY_KEY
    POSTGRES_PASSWORD *
    SEARCH_API_KEY *
    SENTRY_TOKEN
    TICKETS_TOKEN *
    WIKI_KEY
    ");
    let told: Vec<String> = import
        .files
        .iter()
        .flat_map(|file| {
            let servers = file.servers.iter().map(|server| format!("{server:?}"));
            let skipped = file.skipped.iter().map(|skipped| format!("skipped {skipped}"));
            let skipped = skipped.chain(file.notes.iter().map(|note| format!("note {note}")));
            std::iter::once(file.client.clone()).chain(servers).chain(skipped).collect::<Vec<_>>()
        })
        .collect();
    let told = told.join("\n").replace(here.to_str().unwrap(), "HERE");
    insta::assert_snapshot!(told, @r#"
    mcpServers
    ImportedServer { id: "github", state: Added, name: "github" }
    ImportedServer { id: "time", state: Added, name: "time" }
    ImportedServer { id: "files", state: Added, name: "files" }
    ImportedServer { id: "files-2", state: Added, name: "files-2" }
    skipped projects."/home/ada/two".mcpServers.stream.type: unknown server type "ws"
    note projects."/home/ada/two".mcpServers.files: another entry has that id; this one is called "files-2"
    mcpServers
    ImportedServer { id: "docs", state: Added, name: "docs" }
    ImportedServer { id: "time", state: Known, name: "time" }
    mcpServers
    ImportedServer { id: "postgres", state: Added, name: "postgres" }
    ImportedServer { id: "search", state: Added, name: "search" }
    mcpServers
    ImportedServer { id: "tickets", state: Added, name: "tickets" }
    ImportedServer { id: "wiki", state: Added, name: "wiki" }
    VS Code
    ImportedServer { id: "remote", state: Added, name: "remote" }
    skipped servers.perplexity.env_file: can't be read: HERE/.env: No such file or directory (os error 2)
    mcpServers
    ImportedServer { id: "figma", state: Added, name: "figma" }
    ImportedServer { id: "off", state: Added, name: "off" }
    mcpServers
    ImportedServer { id: "python", state: Added, name: "python" }
    ImportedServer { id: "cloud", state: Added, name: "cloud" }
    Codex
    ImportedServer { id: "docs", state: Renamed, name: "docs-2" }
    ImportedServer { id: "figma", state: Renamed, name: "figma-2" }
    OpenCode
    ImportedServer { id: "everything", state: Added, name: "everything" }
    ImportedServer { id: "sentry", state: Added, name: "sentry" }
    Goose
    ImportedServer { id: "asana", state: Added, name: "asana" }
    ImportedServer { id: "fetch", state: Added, name: "fetch" }
    skipped extensions.developer: it runs inside its client (builtin), so it is left out
    Messages API
    ImportedServer { id: "calendar", state: Added, name: "calendar" }
    ImportedServer { id: "mail", state: Added, name: "mail" }
    ImportedServer { id: "crm", state: Added, name: "crm" }
    note mcp_servers.2: no `mcp_toolset` names the server "crm", so it is switched off
    "#);
}

#[test]
fn a_second_import_adds_nothing() {
    let first = imported(&ALL, "");
    let second = imported(&ALL, &first.text);
    assert_eq!(second.text, first.text);
    assert!(second.added.is_empty() && second.variables.is_empty());
    let states = second.files.iter().flat_map(|file| &file.servers);
    assert!(states.clone().all(|server| server.state == State::Known));
    assert_eq!(states.count(), first.files.iter().flat_map(|file| &file.servers).count());
}

#[test]
fn what_was_changed_by_hand_is_still_known() {
    let first = imported(&["windsurf.json"], "");
    let edited = first.text.replace("[servers.figma]", "[servers.design]\ndeny = [\"x\"]");
    let second = imported(&["windsurf.json"], &edited);
    assert_eq!(second.text, edited);
    assert_eq!(second.files[0].servers[0].name, "design");
}

#[test]
fn what_comes_out_is_a_configuration() {
    let import = imported(&ALL, "");
    let folder = tempfile::tempdir().unwrap();
    assert!(import.text.contains("\nenv_file = "));
    std::fs::write(folder.path().join("toolscout.toml"), &import.text).unwrap();
    let sources = Sources { folder: folder.path().to_owned(), ..Sources::default() };
    let environment = |name: &str| {
        let value = import.variables.get(name).map(|_| "v".to_owned());
        value.or_else(|| (name == "HOME").then(|| "/h".into()))
    };
    let loaded = load(&sources, &environment).map_err(|errors| errors.to_string()).unwrap();
    assert_eq!(loaded.config.servers.len(), import.added.len());
}

/// Imports one file of this content.
fn of(name: &str, content: &str, text: &str) -> Result<Import, ImportError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    import(&[ClientFile { client: "", path }], true, text, folder.path(), &nothing)
}

#[test]
fn one_id_of_two_servers_gets_a_number() {
    let content = r#"{"mcpServers": {"a": {"url": "https://other.test/mcp"}}}"#;
    let before = "[servers.a]\nurl = 'https://a.test/mcp'\n\n[servers.a-2]\ncommand = 'x'\n";
    let import = of("mcp.json", content, before).unwrap();
    let server = &import.files[0].servers[0];
    assert_eq!((server.state, server.name.as_str()), (State::Renamed, "a-3"));
    assert!(import.text.starts_with(before), "{}", import.text);
}

#[test]
fn two_secrets_never_share_a_variable() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, token: &str| {
        let path = folder.path().join(name);
        let content = format!(
            r#"{{"mcpServers": {{"gh": {{"url": "https://x.test/", "headers": {{"Authorization": "Bearer {token}"}}}}}}}}"#
        );
        std::fs::write(&path, content).unwrap();
        ClientFile { client: "", path }
    };
    let files = [file("one.json", "one"), file("two.json", "two"), file("three.json", "one")];
    let first = import(&files, true, "", folder.path(), &nothing).unwrap();
    let value = |name: &str| {
        let value = first.variables[name].value.as_ref().unwrap();
        secrecy::ExposeSecret::expose_secret(value).to_owned()
    };
    assert_eq!((value("GH_TOKEN").as_str(), value("GH_TOKEN_2").as_str()), ("one", "two"));
    let names: Vec<_> = first.files.iter().map(|file| file.servers[0].name.as_str()).collect();
    assert_eq!(names, ["gh", "gh-2", "gh"]);
    let second = import(&files, true, &first.text, folder.path(), &nothing).unwrap();
    assert!(second.added.is_empty(), "{}", second.text);
}

#[test]
fn a_variable_given_to_the_program_is_filled_in() {
    let content = r#"{"mcpServers": {"r": {"command": "npx",
        "args": ["mcp-remote", "https://x.test/sse", "--header", "Authorization: ${AUTH}"],
        "env": {"AUTH": "Bearer abc"}}}}"#;
    let import = of("mcp.json", content, "").unwrap();
    assert!(import.text.contains(r#""Authorization: Bearer ${R_AUTH}""#), "{}", import.text);
    assert_eq!(import.variables.keys().collect::<Vec<_>>(), ["R_AUTH"]);
}

#[test]
fn this_program_is_not_its_own_upstream() {
    let content = r#"{"mcpServers": {
        "me": {"command": "/usr/bin/toolscout", "args": ["serve", "--stdio"]},
        "too": {"url": "http://127.0.0.1:7420/mcp"},
        "odd": {"url": "https://x.test/${file:/etc/passwd}"},
        "none": {"env": {"A": "b"}}}}"#;
    let import = of("mcp.json", content, "").unwrap();
    assert!(import.added.is_empty());
    insta::assert_snapshot!(import.files[0].skipped.join("\n"), @r"
    mcpServers.me: it is toolscout itself, so it is left out
    mcpServers.too: it is toolscout itself, so it is left out
    mcpServers.odd.url: `${file:/etc/passwd}` is not a variable that can be filled in
    mcpServers.none: no way to reach the server
    ");
}

#[test]
fn files_that_were_named_must_be_of_use() {
    let told = |name: &str, content: &str| of(name, content, "").err().unwrap().to_string();
    for (name, content) in [("a.json", "{"), ("b.json", "{}"), ("c.toml", "x"), ("d.yaml", "[")] {
        assert!(told(name, content).contains(name), "{content}");
    }
    let error = of("a.json", r#"{"mcpServers": {}}"#, "a = \n").err().unwrap();
    assert!(matches!(error, ImportError::Edit(EditError::Syntax { line: 1, .. })), "{error}");
    let gone = [ClientFile { client: "x", path: "/no/such/file.json".into() }];
    assert!(import(&gone, true, "", Path::new("/"), &nothing).is_err());
    let import = import(&gone, false, "", Path::new("/"), &nothing).unwrap();
    assert!(import.files.is_empty() && import.text.is_empty());
}
