//! `toolscout add`: from an address to an entry, and what is said on the way.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::crawling::page;
use crate::support::mock_http::{MockHttp, Speaks};
use crate::support::mock_site::{MockSite, Reply};
use crate::support::service::{Ran, Service, catalog, configure, run};

fn written(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("toolscout.toml")).unwrap_or_default()
}

async fn server(speaks: Speaks) -> MockHttp {
    MockHttp::pages(speaks, false, vec![(None, page(&["one", "two"], None))]).await
}

/// A site with these documents, and nothing else.
async fn site(documents: Vec<(&'static str, Value)>) -> MockSite {
    MockSite::start(move |path| {
        let found = documents.iter().find(|(at, _)| *at == path);
        found.map_or(Reply::status(404), |(_, document)| Reply::of(document.to_string()))
    })
    .await
}

async fn add(url: &str, more: &[&str]) -> (Ran, String) {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(folder.path(), &[&["add", url], more].concat()).await;
    (ran, written(folder.path()))
}

#[tokio::test]
async fn toolscout_finds_toolscout() {
    let theirs = tempfile::tempdir().unwrap();
    catalog(theirs.path(), &[("mail", "send", "Send mail")]);
    let service = Service::start(theirs.path(), &["--catalog", "catalog.jsonl"]).await;
    service.until_ready().await;
    let mine = tempfile::tempdir().unwrap();
    configure(mine.path(), "# mine\n");
    let ran = run(mine.path(), &["add", &service.url]).await;
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("/.well-known/mcp: manifest: 1 server"), "{}", ran.stdout);
    assert_eq!(ran.stderr, "");
    assert!(ran.stdout.contains("3 tools, no credentials wanted"), "{}", ran.stdout);
    let config = written(mine.path());
    assert!(config.starts_with("# mine\n") && config.contains("[servers.toolscout]"), "{config}");
    assert!(config.contains(&format!("url = \"{}/mcp\"", service.url)), "{config}");
    let crawled = run(mine.path(), &["crawl", "--json"]).await.json();
    assert_eq!(crawled[0]["tools"], 3, "{crawled}");
    // By its card, too.
    let card = format!("{}/mcp/server-card", service.url);
    let ran = run(mine.path(), &["add", &card, "--id", "again", "--dry-run", "--json"]).await;
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("[servers.toolscout] leads to that address"), "{}", ran.stderr);
    service.stop().await;
}

#[tokio::test]
async fn an_endpoint_is_taken_as_it_is_in_every_dialect() {
    for speaks in
        [Speaks::Stateless, Speaks::Handshake(400, -32602), Speaks::Handshake(404, -32601)]
    {
        let server = server(speaks).await;
        let (ran, config) = add(server.url.as_str(), &["--id", "mine"]).await;
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        assert!(
            config.contains("[servers.mine]") && config.contains(server.url.as_str()),
            "{config}"
        );
        assert!(ran.stdout.contains("2 tools"), "{}", ran.stdout);
    }
    // Nothing but the host: the usual path is tried.
    let server = server(Speaks::Stateless).await;
    let (ran, config) = add(server.url.join("/").unwrap().as_str(), &[]).await;
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(config.contains("[servers.mock]"), "{config}");
}

#[tokio::test]
async fn a_catalog_of_several_servers_is_listed_and_one_is_chosen() {
    let (one, two) = (server(Speaks::Stateless).await, server(Speaks::Stateless).await);
    let card = |name: &str, url: &str| {
        json!({"$schema": "https://static.modelcontextprotocol.io/schemas/v1/server-card.schema.json",
            "name": format!("test.example/{name}"), "title": name.to_uppercase(), "version": "1", "description": "x",
            "remotes": [{"type": "sse", "url": "https://never.test/sse"}, {"type": "streamable-http", "url": url}]})
    };
    let site = site(vec![
        ("/.well-known/ai-catalog.json", json!({"specVersion": "1.0", "entries": [
            {"identifier": "urn:air:x.test:mcp:one", "type": "application/mcp-server-card+json", "url": "/one/server-card"},
            {"identifier": "urn:air:x.test:mcp:two", "type": "application/mcp-server-card+json",
             "data": card("two", two.url.as_str())},
            {"identifier": "urn:air:x.test:skill", "type": "application/agent-skills+zip", "url": "/skill.zip"}]})),
        ("/one/server-card", card("one", one.url.as_str())),
    ])
    .await;
    let (ran, config) = add(&site.url, &[]).await;
    assert_eq!((ran.code, config.as_str()), (1, ""));
    assert!(ran.stderr.contains("--id") && ran.stderr.contains("--all"), "{}", ran.stderr);
    assert!(ran.stdout.contains("one (ONE)") && ran.stdout.contains("two (TWO)"), "{}", ran.stdout);
    let (ran, config) = add(&site.url, &["--id", "two"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(config.contains("[servers.two]") && !config.contains("[servers.one]"), "{config}");
    let (ran, config) = add(&site.url, &["--all", "--json"]).await;
    let report = ran.json();
    assert_eq!(report["written"]["ids"].as_array().unwrap().len(), 2, "{report}");
    assert_eq!(report["found"][0]["state"], "open");
    assert_eq!(report["found"][0]["tools"], 2);
    assert!(config.contains("[servers.one]") && config.contains("title = \"TWO\""), "{config}");
    assert!(!site.seen().iter().any(|asked| asked.path == "/skill.zip"));
    let (ran, _) = add(&site.url, &["--id", "three"]).await;
    assert!(ran.code == 1 && ran.stderr.contains("choose among"), "{}", ran.stderr);
}

#[tokio::test]
async fn what_a_server_wants_is_told() {
    // Who gives tokens stands in the metadata of the resource.
    let closed = MockSite::start(|path| match path {
        "/mcp" => Reply::status(401)
            .with("www-authenticate", r#"Bearer resource_metadata="/meta", error="invalid_token""#),
        "/meta" => Reply::of(
            json!({"resource": "https://x.test/mcp", "authorization_servers": ["https://id.test"],
                   "scopes_supported": ["tools:read"]})
            .to_string(),
        ),
        _ => Reply::status(404),
    })
    .await;
    let (ran, config) = add(&format!("{}/mcp", closed.url), &["--id", "shop"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("wants credentials: oauth2"), "{}", ran.stdout);
    assert!(ran.stdout.contains("https://id.test") && ran.stdout.contains("tools:read"));
    assert!(ran.stdout.contains("toolscout auth login shop"), "{}", ran.stdout);
    assert!(config.contains("/mcp\"") && !config.contains("headers"), "{config}");

    // A bearer token alone: the entry asks for it.
    let token = MockSite::start(|path| match path {
        "/mcp" => Reply::status(401).with("www-authenticate", "Bearer realm=\"x\""),
        _ => Reply::status(404),
    })
    .await;
    let (ran, config) = add(&format!("{}/mcp", token.url), &["--id", "my-shop"]).await;
    assert!(
        config.contains(r#"headers = { Authorization = "Bearer ${MY_SHOP_TOKEN}" }"#),
        "{config}"
    );
    assert!(ran.stdout.contains("set MY_SHOP_TOKEN (a secret)"), "{}", ran.stdout);

    // A manifest says it, and the server's own word is not contradicted.
    let manifest = json!({"name": "Shop", "version": "1", "endpoint": format!("{}/mcp", token.url),
        "auth": {"type": "oauth2", "authorization_url": "https://id.test/a", "token_url": "https://id.test/t", "scopes": ["x"]}});
    let site = site(vec![("/.well-known/mcp", manifest)]).await;
    let (ran, _) = add(&site.url, &["--json"]).await;
    let auth = &ran.json()["found"][0]["auth"];
    assert_eq!(auth["type"], "oauth2", "{auth}");
    assert_eq!(auth["token_url"], "https://id.test/t", "{auth}");

    // A site that is closed as a whole is not taken for a server.
    let walled = MockSite::start(|_| Reply::status(403)).await;
    let (ran, config) = add(&walled.url, &[]).await;
    assert_eq!((ran.code, config.as_str()), (1, ""), "{}", ran.stdout);
}

#[tokio::test]
async fn what_documents_name_is_asked_only_if_it_is_public() {
    for (named, refusal) in [
        ("http://10.0.0.1/mcp", "it is not https"),
        ("https://192.168.1.1/mcp", "it is not a public address"),
        ("https://169.254.169.254/latest/meta-data", "it is not a public address"),
        ("https://[fd00::1]/mcp", "it is not a public address"),
        ("gopher://127.0.0.1/", "it is not https"),
    ] {
        let site = site(vec![("/.well-known/mcp", json!({"name": "x", "endpoint": named}))]).await;
        let (ran, config) = add(&site.url, &[]).await;
        assert_eq!((ran.code, config.as_str()), (1, ""), "{named}: {}", ran.stdout);
        assert!(ran.stdout.contains(&format!("not asked: {refusal}")), "{named}: {}", ran.stdout);
    }
}

#[tokio::test]
async fn documents_that_misbehave_are_told_and_left() {
    let site = MockSite::start(|path| match path {
        "/.well-known/mcp" => Reply::of(vec![b' '; 3 << 20]),
        "/.well-known/mcp.json" => Reply::to("/.well-known/mcp.json?again"),
        "/.well-known/mcp.json?again" => Reply::to("/.well-known/mcp.json"),
        "/.well-known/mcp/server-card.json" => {
            Reply::of("{").with("content-type", "application/json")
        }
        "/.well-known/mcp/server-card" => Reply::of(r#"{"name":"x"}"#).cut(),
        "/.well-known/ai-catalog.json" => Reply::to("http://10.1.2.3/internal"),
        "/.well-known/mcp/catalog.json" => {
            Reply::of(r#"{"mcpServers": {"evil": {"command": "touch", "args": ["/tmp/evil"]}}}"#)
        }
        _ => Reply::status(404),
    })
    .await;
    let (ran, config) = add(&site.url, &[]).await;
    assert_eq!((ran.code, config.as_str()), (1, ""));
    let line = |path: &str| {
        let line = ran.stdout.lines().find(|line| line.contains(&format!("{path}: ")));
        line.unwrap_or_else(|| panic!("{path}: {}", ran.stdout)).to_owned()
    };
    assert!(line("/mcp").contains("more than 1048576 bytes"));
    assert!(line("/mcp.json").contains("too many"));
    assert!(line("/server-card.json").contains("not about MCP servers"));
    assert!(line("/ai-catalog.json").contains("not https"));
    assert!(line("/catalog.json").contains("not about MCP servers"));
}

#[tokio::test]
async fn a_document_fills_in_nothing_from_the_environment() {
    let server = server(Speaks::Stateless).await;
    let list = json!({"mcpServers": {"x": {"url": server.url, "headers": {"X-Home": "${HOME}"}}}});
    let site = site(vec![("/.well-known/mcp.json", list)]).await;
    let (ran, config) = add(&site.url, &[]).await;
    assert_eq!((ran.code, config.as_str()), (1, ""), "{}", ran.stdout);
    assert!(ran.stdout.contains("filled in from your environment"), "{}", ran.stdout);
}

#[tokio::test]
async fn a_command_comes_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let add =
        ["add", "--name", "git", "--env", "GIT_TOKEN", "--", "uvx", "mcp-server-git", "--depth=1"];
    let ran = run(folder.path(), &add).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let config = written(folder.path());
    assert!(config.contains("[servers.git]"), "{config}");
    assert!(config.contains(r#"args = ["mcp-server-git", "--depth=1"]"#), "{config}");
    assert!(config.contains(r#"env = { GIT_TOKEN = "${GIT_TOKEN}" }"#), "{config}");
    let again = run(folder.path(), &add).await;
    assert!(again.code == 1 && again.stderr.contains("already"), "{}", again.stderr);
    let secret = [
        "add",
        "--name",
        "b",
        "--",
        "npx",
        "b",
        "--token",
        "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    ];
    let ran = run(folder.path(), &secret).await;
    assert!(ran.code == 1 && ran.stderr.contains("literal secret"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("ghp_") && written(folder.path()) == config);
    for wrong in
        [&["add"][..], &["add", "x.test", "--", "npx"], &["add", "x.test", "--all", "--id", "x"]]
    {
        assert_eq!(run(folder.path(), wrong).await.code, 2, "{wrong:?}");
    }
    let unnamed = run(folder.path(), &["add", "--", "npx", "x"]).await;
    assert!(unnamed.code == 1 && unnamed.stderr.contains("--name ID"), "{}", unnamed.stderr);
}
