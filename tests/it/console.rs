//! The console as it is sent to a browser. What stands on its pages is for tests/console.

use reqwest::{Method, header};
use serde_json::json;
use toolscout::config::{Config, Sources, load};
use toolscout::live::Live;

use crate::support::app::{SERVERS, TestApp, catalog, config};
use crate::support::service::{Service, configure, run};

/// What a first load may take, as it is sent.
const BUDGET: usize = 200_000;

#[tokio::test]
async fn a_first_load_is_small_and_a_second_asks_only_whether_it_changed() {
    let app = TestApp::start().await;
    // Names its encodings itself, and so is given the bytes as they are sent.
    let client = reqwest::Client::builder().no_proxy().no_gzip().no_deflate().build().unwrap();
    let get = async |path: &str, headers: &[(header::HeaderName, &str)]| {
        let mut request = client.get(format!("http://{}{path}", app.address));
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        (status, headers, response.bytes().await.unwrap())
    };
    let (_, _, page) = get("/", &[]).await;
    let page = String::from_utf8(page.to_vec()).unwrap();
    let named = ["src=\"", "href=\""].iter().flat_map(|attribute| page.split(attribute).skip(1));
    let named: Vec<&str> = named.map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(named.len() >= 3 && named.iter().all(|path| path.starts_with("/console/")), "{page}");

    let mut sent = 0;
    for path in ["/"].iter().chain(&named) {
        let (status, headers, body) = get(path, &[(header::ACCEPT_ENCODING, "gzip")]).await;
        assert_eq!(status, 200, "{path}");
        sent += body.len();
        if ["app.js", "app.css"].iter().any(|name| path.ends_with(name)) {
            assert_eq!(headers[header::CONTENT_ENCODING], "gzip", "{path}");
        }
        let tag = headers[header::ETAG].to_str().unwrap();
        for (tags, expected) in [(tag, 304), (&format!("\"x\", {tag}"), 304), ("W/\"x\"", 200)] {
            let (status, again, body) = get(path, &[(header::IF_NONE_MATCH, tags)]).await;
            assert_eq!((status, body.is_empty()), (expected, expected == 304), "{path}");
            assert_eq!(again[header::ETAG], tag);
            assert_eq!(again[header::CACHE_CONTROL], "no-cache");
        }
    }
    assert!(sent < BUDGET, "{sent} bytes");
    assert_eq!(get("/console/app.map", &[]).await.0, 404);
}

#[tokio::test]
async fn who_asks_is_told_who_that_is() {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), "[auth]\nkeys = true\n[profiles.mail]\nservers = ['mail']\n");
    let service = Service::start(folder.path(), &[]).await;
    let key = ["key", "create", "agents", "--profile", "mail", "--json", "--data", "data"];
    let key = run(folder.path(), &key).await.json();
    let token = std::fs::read_to_string(folder.path().join("data/admin.token")).unwrap();
    let me = async |shown: &str| {
        let request = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = request.get(format!("{}/v1/me", service.url)).bearer_auth(shown);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json::<serde_json::Value>().await.unwrap())
    };
    service
        .until("the key counts", async || me(key["secret"].as_str().unwrap()).await.0 == 200)
        .await;
    let (_, agents) = me(key["secret"].as_str().unwrap()).await;
    let name = agents["name"].as_str().unwrap();
    assert!(name.contains(key["id"].as_str().unwrap()), "{name}");
    assert_eq!(agents, json!({ "name": name, "scopes": ["search"], "profile": "mail" }));
    let operator = me(token.trim()).await.1;
    assert_eq!(operator["scopes"], json!(["search", "call", "admin"]));
    assert_eq!(me("nothing").await.0, 401);
    service.stop().await;
    // Where nobody is asked, one is nobody.
    let open = TestApp::start().await;
    let me = open.get("/v1/me").await.json();
    assert_eq!(me, json!({ "name": null, "scopes": ["search", "call"] }));
    let odd = open.get("/v1/me?name=ada").await;
    assert_eq!(odd.problem(), "invalid-request");
    assert!(odd.text.contains("this path takes none"), "{}", odd.text);
    for path in ["/v1/servers?name=ada", "/v1/status?name=ada"] {
        assert_eq!(open.get(path).await.problem(), "invalid-request", "{path}");
    }
    let odd = open.get("/console/%ff").await;
    assert_eq!((odd.status.as_u16(), odd.problem()), (400, "invalid-request".into()));
}

fn configured(toml: &str) -> Config {
    let sources = Sources { text: Some(toml.to_owned()), ..Sources::default() };
    let loaded = load(&sources, &|_| None).map_err(|errors| errors.to_string()).unwrap();
    Config { auth: loaded.config.auth, ..config() }
}

#[tokio::test]
async fn it_may_ask_whom_the_configuration_names_for_logins_and_nobody_else() {
    let toml = "[auth]\nkeys = true\nresource = 'https://tools.test/mcp'\n\
        [[auth.issuers]]\nurl = 'https://id.test/realm'\n\
        console = { client_id = 'page', scopes = ['search', 'admin'] }\n\
        [[auth.issuers]]\nurl = 'https://own.test'\naudience = 'api://tools'\n\
        console = { client_id = 'other' }\n\
        [[auth.issuers]]\nurl = 'https://machines.test'\n";
    for (toml, expected, asked) in [
        ("", json!({ "asks": false, "keys": false, "issuers": [] }), "'self'"),
        (
            toml,
            json!({ "asks": true, "keys": true, "issuers": [
                { "url": "https://id.test/realm", "client_id": "page",
                  "scopes": ["search", "admin"], "resource": "https://tools.test/mcp" },
                { "url": "https://own.test", "client_id": "other", "scopes": ["search", "call"] },
            ]}),
            "'self' https://id.test https://own.test",
        ),
    ] {
        let live = Live::from_catalog(catalog(SERVERS));
        let app = TestApp::serve(live, &configured(toml)).await;
        let mut settings = app.get("/console/settings.json").await.json();
        let version = settings.as_object_mut().unwrap().remove("version");
        assert_eq!(version, Some(env!("CARGO_PKG_VERSION").into()));
        assert_eq!(settings, expected);
        for path in ["/", "/login", "/console/app.js"] {
            let reply = app.send(app.request(Method::GET, path)).await;
            let policy = reply.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            let asks = policy.split(';').find_map(|rule| rule.trim().strip_prefix("connect-src "));
            assert_eq!(asks, Some(asked), "{path}");
            assert!(!policy.contains("unsafe"), "{policy}");
        }
    }
}

#[tokio::test]
async fn the_command_prints_an_address_that_keeps_the_token_to_the_browser() {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), "[auth]\nkeys = true\n");
    // Nothing runs: no address would be of use.
    let none = run(folder.path(), &["console", "--data", "data"]).await;
    assert!(none.code != 0 && none.stdout.is_empty(), "{} {}", none.code, none.stdout);
    let service = Service::start(folder.path(), &["--demo"]).await;
    let ran = run(folder.path(), &["console", "--data", "data", "--url", &service.url]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let token = std::fs::read_to_string(folder.path().join("data/admin.token")).unwrap();
    assert_eq!(ran.stdout, format!("{}/#key={}\n", service.url, token.trim()));
    let tenant = ["console", "--data", "data", "--url", &service.url, "--tenant", "acme"];
    assert_ne!(run(folder.path(), &tenant).await.code, 0, "there is no such tenant");
    assert!(!service.log().contains(token.trim()));
    service.stop().await;
}
