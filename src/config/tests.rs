mod call;
mod encoder;
mod profile;
mod tenant;
mod trust;

use std::path::Path;

use super::audit::RawAudit;
use super::cluster::RawCluster;
use super::file::keys_of;
use super::inbound::RawAuth;
use super::limits::RawLimits;
use super::profile::{RawProfile, RawToolConfig, RawToolset};
use super::raw::{
    RawCall, RawConfig, RawCrawl, RawEmbed, RawEndpoint, RawLearn, RawMcp, RawOAuth, RawRegistry,
    RawRerank, RawServer, RawTrust,
};
use super::telemetry::RawTelemetry;
use super::tenant::RawTenant;
use super::tls::RawTls;
use super::*;

mod credentials;

/// A working folder with `files` in it.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn sources(folder: &Path) -> Sources {
    Sources { folder: folder.to_owned(), listens: true, ..Sources::default() }
}

fn environment(name: &str) -> Option<String> {
    match name {
        "TOKEN" => Some("s3cret".into()),
        "PATH" => Some("/bin:/usr/bin".into()),
        _ => None,
    }
}

pub(super) fn try_toml(text: &str) -> Result<Loaded, String> {
    let folder = folder(&[("toolscout.toml", text)]);
    load(&sources(folder.path()), &environment).map_err(|errors| errors.to_string())
}

/// The errors of a file.
fn errors(text: &str) -> String {
    match try_toml(text) {
        Ok(_) => panic!("it was taken"),
        Err(errors) => errors,
    }
}

/// The settings of the example, uncommented.
fn uncommented() -> String {
    let setting = |line: &&str| line.starts_with('#') && !line.starts_with("# ") && *line != "#";
    let lines: Vec<_> = EXAMPLE.lines().filter(setting).map(|line| &line[1..]).collect();
    lines.join("\n")
}

#[test]
fn the_example_is_the_default() {
    let folder = folder(&[("toolscout.toml", EXAMPLE), ("none.toml", "")]);
    let from = |file: &str| {
        let sources = Sources { config: Some(file.into()), ..sources(folder.path()) };
        let loaded = load(&sources, &environment).map_err(|errors| errors.to_string());
        format!("{:#?}", loaded.unwrap().config)
    };
    assert_eq!(from("toolscout.toml"), from("none.toml"));
    // The same with its defaults switched on, save for what has none.
    let without = [
        "data",
        "file",
        "key_file",
        "otlp_endpoint",
        "token_key_file",
        "model",
        "runtime",
        "ca_file",
        "client_cert_file",
        "client_key_file",
        "admin_listen",
        "resource",
        "cert_file",
        "key_file",
        "client",
        "client_ca_file",
        "client_crl_file",
        "hsts",
        "database_url",
        "read_url",
        "replica",
    ];
    let settings = uncommented();
    let settings = settings.split("[embed.endpoint]").next().unwrap();
    let kept: Vec<_> = settings
        .lines()
        .filter(|line| !without.iter().any(|key| line.starts_with(&format!("{key} ="))))
        .collect();
    std::fs::write(folder.path().join("on.toml"), kept.join("\n")).unwrap();
    assert_eq!(from("on.toml"), from("none.toml"));
}

#[test]
fn the_example_names_every_key_and_no_other() {
    let tree: toml::Table = toml::from_str(&uncommented()).unwrap();
    let sorted = |mut keys: Vec<String>| {
        keys.sort();
        keys.dedup();
        keys
    };
    let keys = |table: &toml::Value| -> Vec<String> {
        table.as_table().unwrap().keys().cloned().collect()
    };
    let servers = tree["servers"].as_table().unwrap();
    assert_eq!(sorted(tree.keys().cloned().collect()), sorted(keys_of::<RawConfig>()));
    assert_eq!(sorted(keys(&tree["crawl"])), sorted(keys_of::<RawCrawl>()));
    assert_eq!(sorted(keys(&tree["trust"])), sorted(keys_of::<RawTrust>()));
    assert_eq!(sorted(keys(&tree["call"])), sorted(keys_of::<RawCall>()));
    assert_eq!(sorted(keys(&tree["mcp"])), sorted(keys_of::<RawMcp>()));
    assert_eq!(sorted(keys(&tree["learn"])), sorted(keys_of::<RawLearn>()));
    assert_eq!(sorted(keys(&tree["auth"])), sorted(keys_of::<RawAuth>()));
    assert_eq!(sorted(keys(&tree["limits"])), sorted(keys_of::<RawLimits>()));
    assert_eq!(sorted(keys(&tree["tls"])), sorted(keys_of::<RawTls>()));
    assert_eq!(sorted(keys(&tree["telemetry"])), sorted(keys_of::<RawTelemetry>()));
    assert_eq!(sorted(keys(&tree["audit"])), sorted(keys_of::<RawAudit>()));
    assert_eq!(sorted(keys(&tree["cluster"])), sorted(keys_of::<RawCluster>()));
    assert_eq!(sorted(keys(&tree["tenants"]["acme"])), sorted(keys_of::<RawTenant>()));
    assert_eq!(sorted(keys(&tree["embed"])), sorted(keys_of::<RawEmbed>()));
    assert_eq!(sorted(keys(&tree["embed"]["endpoint"])), sorted(keys_of::<RawEndpoint>()));
    assert_eq!(sorted(keys(&tree["registry"][0])), sorted(keys_of::<RawRegistry>()));
    let profile = &tree["profiles"]["support"];
    assert_eq!(sorted(keys(profile)), sorted(keys_of::<RawProfile>()));
    let toolset = &profile["toolsets"]["crm"];
    assert_eq!(sorted(keys(toolset)), sorted(keys_of::<RawToolset>()));
    assert_eq!(keys(&toolset["configs"]["find_customer"]), keys_of::<RawToolConfig>());
    assert_eq!(sorted(keys(&tree["rerank"])), sorted(keys_of::<RawRerank>()));
    assert_eq!(sorted(servers.values().flat_map(keys).collect()), sorted(keys_of::<RawServer>()));
    assert_eq!(sorted(keys(&servers["crm"]["oauth"])), sorted(keys_of::<RawOAuth>()));
}

#[test]
fn a_server_without_times_takes_those_of_the_crawl() {
    let loaded = try_toml(
        "[crawl]\ntimeout = '5s'\n[servers.a]\nurl = 'http://localhost:1/mcp'\nrefresh = '2h'\n\
         bearer_token = '${TOKEN}'\nallow = ['get_*', 'list/**']\ndeny = ['*delete*']",
    )
    .unwrap();
    let server = &loaded.config.servers[0];
    assert_eq!(server.timeout, Duration::from_secs(5));
    assert_eq!(server.refresh, Duration::from_hours(2));
    assert!(server.names.admits("list/all"));
    assert!(!server.names.admits("put"));
    assert!(!server.names.admits("get_deleted"));
    let Transport::Http { headers, .. } = &server.transport else {
        panic!("not HTTP");
    };
    assert_eq!(headers[0].0, "authorization");
    assert_eq!(secrecy::ExposeSecret::expose_secret(&headers[0].1), "Bearer s3cret");
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn every_error_comes_at_once_with_its_line() {
    insta::assert_snapshot!(errors(
        r#"listen = "localhost"
lissten = 1
[crawl]
concurrency = "many"
max_pages = 0
timeout = "soon"
[servers.a]
comand = "x"
[servers.b]
url = "ftp://x.test"
headers = { "bad name" = "x", X-Ok = "line\nbreak" }
timeout = "0s"
[servers.c]
url = "https://${UNSET}/mcp"
[servers.d]
command = "x"
url = "https://x.test"
[servers.e]
command = "x"
headers = {}
[servers.f]
[servers.g]
catalog = "/no/such.jsonl"
allow = ["[a"]
[servers.h]
url = "https://x.test/mcp"
headers = "Bearer sk-secret"
"#
    ), @r#"
    toolscout.toml:1: listen: "localhost" is not an address
      remedy: write an IP address and a port, as in "127.0.0.1:7420"
    error: toolscout.toml:2: lissten: unknown key
      remedy: remove it; known here: listen, allow_anonymous, allowed_hosts, allowed_origins, data, crawl, trust, call, mcp, learn, embed, rerank, registry, profiles, token_key_file, token_keyring, auth, limits, tls, telemetry, audit, cluster, tenants, servers
    error: toolscout.toml:4: crawl.concurrency: wrong type: expected a whole number, found string
      remedy: give a value of that type; see `toolscout config example`
    error: toolscout.toml:5: crawl.max_pages: too small
      remedy: use 1 or more
    error: toolscout.toml:6: crawl.timeout: "soon" is not a duration
      remedy: write a number and a unit, as in "30s" or "15m"
    error: toolscout.toml:8: servers.a.comand: unknown key
      remedy: remove it; known here: title, enabled, allow, deny, timeout, refresh, pin, trust, call, command, args, env, env_file, cwd, url, headers, bearer_token, bearer_token_file, bearer_token_env, basic_user, basic_password, basic_password_file, basic_password_env, api_key, api_key_file, api_key_env, api_key_header, auth, oauth, proxy, ca_file, client_cert_file, client_key_file, catalog, catalog_servers
    error: toolscout.toml:10: servers.b.url: the URL scheme "ftp" is not supported
      remedy: use http:// or https://
    error: toolscout.toml:11: servers.b.headers.X-Ok: holds characters that a header can't carry
      remedy: remove line breaks and other control characters
    error: toolscout.toml:11: servers.b.headers."bad name": not a header name
      remedy: use letters, digits and dashes
    error: toolscout.toml:12: servers.b.timeout: too small
      remedy: use 1s or more
    error: toolscout.toml:14: servers.c.url: the variable UNSET is not set
      remedy: set UNSET, or give a default: ${UNSET:-default}
    error: toolscout.toml:15: servers.d: several ways to reach one server: `command`, `url`
      remedy: keep one of them
    error: toolscout.toml:20: servers.e.headers: means nothing for a server with `command`
      remedy: remove it, or remove `command`
    error: toolscout.toml:21: servers.f: no way to reach the server
      remedy: give it one of `command`, `url` or `catalog`
    error: toolscout.toml:23: servers.g.catalog: no such file: /no/such.jsonl
      remedy: check the path and its permissions
    error: toolscout.toml:24: servers.g.allow: error parsing glob '[a': unclosed character class; missing ']'
      remedy: write `*`, `?`, `[a-z]` or `{a,b}`, and a backslash before them to mean themselves
    error: toolscout.toml:27: servers.h.headers: wrong type: expected a table, found string
      remedy: give a value of that type; see `toolscout config example`
    "#);
}

#[test]
fn a_broken_file_names_its_line() {
    insta::assert_snapshot!(errors("listen = \"127.0.0.1:1\"\n[servers.a\nurl = 1\n"), @r#"
    toolscout.toml:2: syntax: unclosed table, expected `]`
      remedy: correct the file at that line
    "#);
}

#[test]
fn ids_are_unique_over_all_files() {
    let folder = folder(&[
        ("toolscout.toml", "[servers.git]\nurl = 'https://x.test/mcp'"),
        ("a.json", r#"{"mcpServers": {"git": {"command": "sh"}, "b": {"command": "sh"}}}"#),
        ("b.jsonl", ""),
    ]);
    let sources = Sources {
        mcp_config: vec!["a.json".into()],
        catalogs: vec![("b.jsonl".into(), None)],
        ..sources(folder.path())
    };
    let errors = load(&sources, &environment).err().unwrap().to_string();
    insta::assert_snapshot!(errors, @r#"
    a.json:1: mcpServers.git: the server id "git" is also in toolscout.toml:1
      remedy: rename one of the two, or remove it
    error: --catalog b.jsonl: the server id "b" is also in a.json:1
      remedy: rename one of the two, or remove it
    "#);
}

#[test]
fn a_switched_off_entry_never_stands_in_the_way() {
    let loaded = try_toml("[servers.a]\nenabled = false\nurl = '${UNSET}'").unwrap();
    assert_eq!(loaded.config.servers.len(), 0);
    assert_eq!(
        loaded.warnings[0].problem,
        Problem::LeftOut("the variable UNSET is not set".into())
    );
}

#[test]
fn flags_go_before_variables_before_the_file() {
    let folder = folder(&[(
        "toolscout.toml",
        "listen = '127.0.0.1:1'\ndata = 'file'\n[embed]\nmodel = 'file'",
    )]);
    std::fs::create_dir(folder.path().join("file")).unwrap();
    let variables = |name: &str| match name {
        "TOOLSCOUT_LISTEN" => Some("127.0.0.1:2".into()),
        "TOOLSCOUT_DATA" | "TOOLSCOUT_MODEL" => Some("variable".into()),
        _ => None,
    };
    let told = |sources: &Sources, environment: &Environment<'_>| {
        let config = load(sources, environment).map_err(|e| e.to_string()).unwrap().config;
        let end = |path: &Path| path.strip_prefix(folder.path()).unwrap().to_owned();
        let model = config.embed.model.unwrap();
        (config.listen.port(), end(&config.data), end(&model))
    };
    let file = sources(folder.path());
    let flags = Sources {
        listen: Some(([127, 0, 0, 1], 3).into()),
        data: Some("flag".into()),
        model: Some("flag".into()),
        ..file.clone()
    };
    assert_eq!(told(&file, &environment), (1, "file".into(), "file".into()));
    let named = |folder: &str| format!("{folder}/models/{folder}").into();
    assert_eq!(told(&file, &variables), (2, "variable".into(), named("variable")));
    assert_eq!(told(&flags, &variables), (3, "flag".into(), named("flag")));
}

#[test]
fn a_model_is_a_folder_or_a_name_in_the_data_folder() {
    let folder = folder(&[("toolscout.toml", "data = 'data'\n[embed]\nmodel = 'named'")]);
    for name in ["data/models/named", "data/models/here", "here"] {
        std::fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    let model = |flag: Option<&str>| {
        let sources = Sources { model: flag.map(Into::into), ..sources(folder.path()) };
        let model = load(&sources, &environment).ok().unwrap().config.embed.model?;
        Some(model.strip_prefix(folder.path()).unwrap().display().to_string())
    };
    assert_eq!(model(None).unwrap(), "data/models/named");
    assert_eq!(model(Some("here")).unwrap(), "here");
    assert_eq!(model(Some("absent")).unwrap(), "data/models/absent");
    assert_eq!(model(Some("./absent")).unwrap(), "absent");
    // The one in the binary goes by its name even where the file names another.
    assert_eq!(model(Some("scout")), None);
}

#[test]
fn data_is_here_where_its_folder_is() {
    let folder = folder(&[]);
    let data = || load(&sources(folder.path()), &environment).ok().unwrap().config.data;
    assert!(!data().starts_with(folder.path()));
    std::fs::create_dir(folder.path().join("index-data")).unwrap();
    assert_eq!(data(), folder.path().join("index-data"));
}

#[test]
fn strangers_are_let_in_only_on_purpose() {
    insta::assert_snapshot!(errors("listen = '0.0.0.0:7420'"), @r#"
    toolscout.toml:1: listen: 0.0.0.0:7420 is reachable from other machines, and nobody is asked who they are
      remedy: listen on 127.0.0.1, have callers asked by [auth] (`keys = true` is the least), or pass --allow-anonymous (allow_anonymous = true) when something in front of it asks
    "#);
    assert!(try_toml("listen = '0.0.0.0:7420'\nallow_anonymous = true").is_ok());
    assert!(try_toml("listen = '[::1]:7420'").is_ok());
}

#[test]
fn what_is_legal_but_odd_is_a_warning() {
    let loaded = try_toml(
        "[servers.a]\ncommand = 'no-such-program-here'\n[servers.b]\n\
         url = 'http://mcp.x.test'\nbearer_token = 'x'\n[servers.c]\ncommand = 'sh'\n\
         [servers.d]\nurl = 'http://localhost.:9/mcp'\nbearer_token = 'x'",
    )
    .unwrap();
    let shown: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    toolscout.toml:2: servers.a.command: the program "no-such-program-here" is not found
      remedy: install it, or give its full path
    toolscout.toml:4: servers.b.url: credentials travel unencrypted over plain http
      remedy: use https://
    "#);
}

#[test]
fn secrets_are_shown_nowhere() {
    let text = r#"
[servers.a]
command = "sh"
args = ["--api-key=sk-a", "--token", "sk-b", "-v", "--header", "Authorization: Bearer sk-c", "x-${TOKEN}"]
env = { KEY = "sk-env" }
[servers.b]
url = "https://user:sk-user@x.test/${TOKEN}/mcp?key=sk-query#sk-fragment"
bearer_token = "sk-bearer"
headers = { X-Key = "sk-header" }
deny = ["*_delete"]
"#;
    let loaded = try_toml(text).unwrap();
    let shown = loaded.shown().unwrap();
    assert!(!shown.contains("sk-") && !shown.contains("s3cret"), "{shown}");
    let servers = shown.split_once("[servers.a]").unwrap().1;
    insta::assert_snapshot!(servers, @r#"
    enabled = true
    command = "sh"
    args = ["--api-key=****", "--token", "****", "-v", "--header", "Authorization:****", "x-****"]
    timeout = "1m"
    refresh = "15m"

    [servers.a.env]
    KEY = "****"

    [servers.b]
    enabled = true
    url = "https://****@x.test/****/mcp?****"
    deny = ["*_delete"]
    timeout = "1m"
    refresh = "15m"

    [servers.b.headers]
    X-Key = "****"
    authorization = "****"
    "#);
}

#[test]
fn variables_of_a_file_go_behind_those_of_the_entry() {
    let with = |env: &str| {
        let text = "[servers.a]\ncommand = 'sh'\nenv_file = 'a.env'\nenv = { A = '9' }";
        let folder = folder(&[("toolscout.toml", text), ("a.env", env)]);
        load(&sources(folder.path()), &environment).map_err(|errors| errors.to_string())
    };
    let loaded = with("\u{feff}# some\nA=1\nexport B=\"two words\"\n").unwrap();
    let Transport::Stdio { env, .. } = &loaded.config.servers[0].transport else {
        panic!("not stdio");
    };
    let env: Vec<_> = env
        .iter()
        .map(|(name, value)| (name.as_str(), secrecy::ExposeSecret::expose_secret(value)))
        .collect();
    assert_eq!(env, [("A", "9"), ("B", "two words")]);
    let told = with("A=1\nsk-secret oops\n").err().unwrap();
    assert!(told.contains("servers.a.env_file: a.env: line 2 is no `NAME=value`"), "{told}");
    assert!(!told.contains("sk-secret"), "{told}");
    let told = errors("[servers.a]\ncommand = 'sh'\nenv_file = 'none.env'");
    assert!(told.contains("servers.a.env_file: can't be read: none.env"), "{told}");
    let told = errors("[servers.a]\nurl = 'https://x.test/'\nenv_file = 'none.env'");
    assert!(told.contains("servers.a.env_file: means nothing for a server with `url`"), "{told}");
}

#[test]
fn every_file_that_is_read_is_told() {
    let files = [
        (
            "toolscout.toml",
            "[embed.endpoint]\nurl = 'https://e.test/v1'\nmodel = 'm'\n\
          dimensions = 3\napi_key_file = 'embed.key'\n[servers.a]\ncommand = 'sh'\n\
          env_file = '${NONE:-a.env}'\n[servers.b]\nurl = 'https://b.test/mcp'\n\
          bearer_token_file = 'b.token'\n[servers.c]\nurl = 'https://c.test/mcp'\n\
          oauth = { client_id = 'c', client_secret_file = 'c.secret' }",
        ),
        ("embed.key", "k"),
        ("a.env", "A=1"),
        ("b.token", "t"),
        ("c.secret", "s"),
    ];
    let folder = folder(&files);
    let loaded = load(&sources(folder.path()), &environment).map_err(|errors| errors.to_string());
    let mut read = loaded.unwrap().files;
    let mut expected: Vec<_> = files.iter().map(|(name, _)| folder.path().join(name)).collect();
    read.sort();
    expected.sort();
    assert_eq!(read, expected);
}
