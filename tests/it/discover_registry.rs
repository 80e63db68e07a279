//! `toolscout registry search` and `add`: from a registry's list to an entry.

use serde_json::{Value, json};
use toolscout::config::NetworkConfig;
use toolscout::discover::registry::{Most, Registry, RegistryError, Wanted};

use crate::support::mock_registry::{MockRegistry, Mood, entry, said};
use crate::support::service::{Ran, run};

fn weather() -> Value {
    let mut weather = entry("io.github.user/weather", "https://{region}.weather.test/mcp", 1);
    weather["server"]["remotes"][0] = json!({
        "type": "streamable-http",
        "url": "https://{region}.weather.test/mcp?tenant={tenant}",
        "variables": {
            "region": {"description": "Where", "default": "eu", "choices": ["eu", "us"]},
            "tenant": {"description": "Your tenant", "isRequired": true},
        },
        "headers": [
            {"name": "X-API-Key", "value": "Key {key}", "isSecret": true, "isRequired": true,
             "variables": {"key": {"description": "From your account", "isRequired": true, "isSecret": true}}},
            {"name": "X-Optional", "description": "Rarely wanted"},
            {"name": "X-Mode", "value": "fast"},
        ],
    });
    weather["server"]["packages"] = json!([
        {"registryType": "nuget", "identifier": "Weather", "version": "1.0.0", "transport": {"type": "stdio"}},
        {"registryType": "npm", "registryBaseUrl": null, "identifier": "@user/weather", "version": "1.0.2",
         "transport": {"type": "stdio"},
         "packageArguments": [
            {"type": "positional", "value": "serve"},
            {"type": "named", "name": "--units", "default": "metric"},
            {"type": "named", "name": "--verbose"}],
         "environmentVariables": [
            {"name": "WEATHER_KEY", "description": "From your account", "isRequired": true, "isSecret": true},
            {"name": "WEATHER_LANG", "default": "en"},
            {"name": "WEATHER_LOG"}]},
        {"registryType": "pypi", "identifier": "weather-mcp", "version": "2.0", "transport": {"type": "stdio"},
         "runtimeArguments": [{"type": "named", "name": "--python", "value": "3.12"}]},
        {"registryType": "oci", "registryBaseUrl": "https://docker.io", "identifier": "user/weather", "version": "3",
         "transport": {"type": "stdio"}, "environmentVariables": [{"name": "WEATHER_KEY", "isRequired": true}]},
    ]);
    weather
}

async fn add(registry: &MockRegistry, name: &str, more: &[&str]) -> (Ran, String) {
    let folder = tempfile::tempdir().unwrap();
    let args = [&["registry", "add", name, "--registry", &registry.url], more].concat();
    let ran = run(folder.path(), &args).await;
    let written = std::fs::read_to_string(folder.path().join("toolscout.toml"));
    (ran, written.unwrap_or_default())
}

#[tokio::test]
async fn a_search_lists_what_matches_page_by_page() {
    let mut entries: Vec<_> =
        (0..5).map(|n| entry(&format!("a.b/w{n}"), "https://x.test/", n)).collect();
    said(&mut entries[3])["status"] = "deprecated".into();
    entries[4]["server"]["description"] = "moves \u{1b}[31m the \u{202e} cursor".into();
    entries.push(entry("a.b/other", "https://x.test/", 9));
    entries.push(json!({"server": {"name": "a.b/wrong", "remotes": 7}}));
    let registry = MockRegistry::start(entries).await;
    let folder = tempfile::tempdir().unwrap();
    let search = ["registry", "search", "/w", "--registry", &registry.url];
    let table = run(folder.path(), &search).await;
    assert_eq!(table.code, 0, "{}", table.stderr);
    let rows: Vec<_> = table.stdout.lines().filter(|line| line.contains("a.b/")).collect();
    assert_eq!(rows.len(), 5, "{}", table.stdout);
    assert!(rows[3].contains("deprecated") && rows[0].contains("streamable-http"));
    assert!(!table.stdout.contains(['\u{1b}', '\u{202e}']), "{:?}", table.stdout);
    assert!(table.stderr.contains("a.b/wrong"), "{}", table.stderr);
    assert!(registry.listings().len() >= 3);
    let query = &registry.listings()[0];
    assert!(query.contains(&("version".into(), "latest".into())), "{query:?}");

    let json = [&search[..], &["--json", "--limit", "3"]].concat();
    let json = run(folder.path(), &json).await.json();
    assert_eq!(json["servers"].as_array().unwrap().len(), 3);
    assert_eq!(json["servers"][0]["remotes"], json!(["streamable-http"]));
    let none =
        run(folder.path(), &["registry", "search", "zzz", "--registry", &registry.url]).await;
    assert_eq!(none.code, 0);
    assert!(none.stdout.contains("no server's name holds \"zzz\""), "{}", none.stdout);
}

#[tokio::test]
async fn a_remote_is_written_with_its_variables() {
    let registry = MockRegistry::start(vec![weather()]).await;
    let (ran, written) = add(&registry, "io.github.user/weather", &[]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    insta::assert_snapshot!(written, @r#"
    # io.github.user/weather 1.0.0, as listed by 127.0.0.1.
    [servers.weather]
    title = "The io.github.user/weather"
    url = "https://${WEATHER_REGION:-eu}.weather.test/mcp?tenant=${WEATHER_TENANT}"
    headers = { X-API-Key = "Key ${WEATHER_KEY}", X-Mode = "fast" }
    "#);
    insta::assert_snapshot!(ran.stdout, @r#"
    also: --from npm, --from pypi, --from oci
    wrote [servers.weather] to toolscout.toml
    note: weather: header X-Optional is optional and left out (Rarely wanted)
    may be set WEATHER_REGION: Where (one of eu, us)
    set WEATHER_TENANT: Your tenant
    set WEATHER_KEY (a secret): From your account
    next: toolscout config check; a running `toolscout serve` takes it up by itself
    "#);
}

#[tokio::test]
async fn packages_become_commands() {
    let registry = MockRegistry::start(vec![weather()]).await;
    let name = "io.github.user/weather";
    let (_, npm) = add(&registry, name, &["--from", "npm", "--id", "w"]).await;
    insta::assert_snapshot!(npm, @r#"
    # io.github.user/weather 1.0.0, as listed by 127.0.0.1.
    [servers.w]
    title = "The io.github.user/weather"
    command = "npx"
    args = ["-y", "@user/weather@1.0.2", "serve", "--units", "${W_UNITS:-metric}", "--verbose"]
    env = { WEATHER_KEY = "${WEATHER_KEY}", WEATHER_LANG = "${WEATHER_LANG:-en}" }
    "#);
    let (_, pypi) = add(&registry, name, &["--from", "pypi"]).await;
    assert!(pypi.contains(r#"command = "uvx""#), "{pypi}");
    assert!(pypi.contains(r#"args = ["--python", "3.12", "weather-mcp==2.0"]"#), "{pypi}");
    let (shown, oci) = add(&registry, name, &["--from", "oci", "--dry-run"]).await;
    assert_eq!(oci, "");
    let args = r#"args = ["run", "-i", "--rm", "-e", "WEATHER_KEY", "docker.io/user/weather:3"]"#;
    assert!(shown.stdout.contains(args), "{}", shown.stdout);
}

#[tokio::test]
async fn what_was_deleted_is_refused_and_what_is_deprecated_is_said() {
    let mut old = entry("a.b/old", "https://old.test/mcp", 1);
    said(&mut old)["status"] = "deprecated".into();
    said(&mut old)["statusMessage"] = "use a.b/new".into();
    let mut gone = entry("a.b/gone", "https://gone.test/mcp", 1);
    said(&mut gone)["status"] = "deleted".into();
    let registry = MockRegistry::start(vec![old, gone]).await;
    let (ran, written) = add(&registry, "a.b/old", &[]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("deprecated: use a.b/new"), "{}", ran.stderr);
    assert!(written.contains("https://old.test/mcp"));
    let (ran, written) = add(&registry, "a.b/gone", &[]).await;
    assert_eq!((ran.code, written.as_str()), (1, ""));
    assert!(ran.stderr.contains("deleted"), "{}", ran.stderr);
    let (ran, _) = add(&registry, "a.b/none", &[]).await;
    assert!(ran.code == 1 && ran.stderr.contains("registry search"), "{}", ran.stderr);
}

#[tokio::test]
async fn nothing_of_a_registry_reads_the_environment_or_poses_as_an_option() {
    let remote = |url: &str, header: Value| json!({"remotes": [{"type": "streamable-http", "url": url, "headers": [header]}]});
    let header = |header: Value| remote("https://odd.test/mcp", header);
    let package = |kind: &str, identifier: &str, version: &str| {
        let stdio = json!({"type": "stdio"});
        json!({"packages": [{"registryType": kind, "identifier": identifier, "version": version,
            "transport": stdio}]})
    };
    let fine = json!({"name": "X-Fine", "value": "1"});
    let listens = json!({"packages": [
        {"registryType": "npm", "identifier": "a", "transport": {"type": "sse"}}]});
    let halves = json!({"name": "X", "value": "${x}", "variables": {"x": {"value": "{HOME}"}}});
    for (server, problem) in [
        (remote("https://odd.test/${HOME}", fine.clone()), "filled in from your environment"),
        (remote("file:///etc/passwd", fine.clone()), "no address"),
        (header(json!({"name": "X", "value": "${AWS_SECRET_ACCESS_KEY}"})), "filled in"),
        (header(halves), "filled in"),
        (header(json!({"name": "X", "default": "a}${HOME}"})), "brace"),
        (header(json!({"name": "Host", "value": "internal"})), "header"),
        (header(json!({"name": "X\r\nY", "value": "v"})), "header"),
        (package("npm", "--call=id", "1"), "name or version"),
        (package("npm", "git+https://x.test/y", "1"), "name or version"),
        (package("npm", "fine", "1 --call id"), "name or version"),
        (package("pypi", "../local", "1"), "name or version"),
        (package("oci", "--privileged", "1"), "name or version"),
        (package("mcpb", "https://x.test/y.mcpb", "1"), "of packages mcpb"),
        (listens, "speaks sse"),
        (json!({}), "nothing"),
    ] {
        let mut odd = entry("a.b/odd", "", 1);
        odd["server"]["remotes"] = server["remotes"].clone();
        odd["server"]["packages"] = server["packages"].clone();
        let registry = MockRegistry::start(vec![odd]).await;
        let (ran, written) = add(&registry, "a.b/odd", &[]).await;
        assert_eq!((ran.code, written.as_str()), (1, ""), "{server}: {}", ran.stdout);
        assert!(ran.stderr.contains(problem), "{problem}: {}", ran.stderr);
    }
}

#[tokio::test]
async fn a_registry_that_misbehaves_is_told_and_left() {
    let registry = MockRegistry::start(vec![entry("a.b/c", "https://x.test/", 1)]).await;
    let folder = tempfile::tempdir().unwrap();
    for (mood, problem) in
        [(Mood::Down, "HTTP 500"), (Mood::Huge, "more than"), (Mood::Garbage, "no MCP registry")]
    {
        registry.be(mood);
        let ran =
            run(folder.path(), &["registry", "search", "c", "--registry", &registry.url]).await;
        assert_eq!(ran.code, 1, "{mood:?}: {}", ran.stdout);
        assert!(ran.stderr.contains(problem), "{mood:?}: {}", ran.stderr);
    }
    for mood in [Mood::Endless, Mood::Growing] {
        registry.be(mood);
        let ran =
            run(folder.path(), &["registry", "search", "c", "--registry", &registry.url]).await;
        assert_eq!(ran.code, 0, "{mood:?}: {}", ran.stderr);
    }
    // Asked again where it may pass, and not for ever.
    assert!(registry.listings().len() < 40, "{}", registry.listings().len());
    let nobody = ["registry", "search", "c", "--registry", "http://127.0.0.1:9"];
    let ran = run(folder.path(), &nobody).await;
    assert!(ran.code == 1 && ran.stderr.contains("no answer"), "{}", ran.stderr);
}

#[tokio::test]
async fn an_address_that_is_there_already_is_not_added_twice() {
    let registry = MockRegistry::start(vec![entry("a.b/c", "https://x.test/mcp", 1)]).await;
    let folder = tempfile::tempdir().unwrap();
    let add = ["registry", "add", "a.b/c", "--registry", &registry.url];
    assert_eq!(run(folder.path(), &add).await.code, 0);
    let again = run(folder.path(), &[&add[..], &["--id", "d"]].concat()).await;
    assert!(
        again.code == 1 && again.stderr.contains("[servers.c] leads there")
            || again.stderr.contains("[servers.c] leads to that address"),
        "{}",
        again.stderr
    );
}

#[tokio::test]
async fn a_listing_is_bounded_in_bytes_and_in_entries() {
    let entries = (0..6).map(|n| entry(&format!("a.b/w{n}"), "https://x.test/", n)).collect();
    let registry = MockRegistry::start(entries).await;
    registry.change(|entries| entries[1]["server"]["description"] = "x".repeat(70_000).into());
    let url = registry.url.parse().unwrap();
    let asked = Registry::new(&url, &NetworkConfig::default()).unwrap();
    let most = Most { pages: 10, servers: 10, bytes: 1 << 20 };
    let mut names = Vec::new();
    let everything = Wanted::default();
    let list = asked.list(&everything, most, |listed| names.push(listed.server.name));
    assert_eq!(list.await.unwrap(), ["a.b/w1: more than 65536 bytes"]);
    assert_eq!(names, ["a.b/w0", "a.b/w2", "a.b/w3", "a.b/w4", "a.b/w5"]);
    // The first page alone has more.
    for most in [Most { bytes: 70_000, ..most }, Most { servers: 4, ..most }] {
        let error = asked.list(&everything, most, drop).await.unwrap_err();
        assert!(matches!(error, RegistryError::TooMany { .. }), "{error}");
    }
}
