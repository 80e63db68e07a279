//! `toolscout config check`, as a user runs it.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// The program in `folder`, with a clean environment but PATH and HOME.
pub fn toolscout(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toolscout"));
    command
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", folder);
    command
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// Exit code, stdout and stderr of a run, with the folder's name replaced.
fn told(folder: &Path, output: Output) -> (i32, String, String) {
    let real = folder.canonicalize().unwrap();
    let text = |bytes| {
        String::from_utf8(bytes)
            .unwrap()
            .replace(real.to_str().unwrap(), "HERE")
            .replace(folder.to_str().unwrap(), "HERE")
    };
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn check(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = toolscout(folder);
    command.args(["config", "check"]).args(arguments);
    command.envs(variables.iter().copied());
    told(folder, command.output().unwrap())
}

#[test]
#[expect(clippy::too_many_lines, reason = "a configuration as a whole is shown")]
fn a_good_configuration_is_shown_without_its_secrets() {
    let folder = folder(&[
        (
            "toolscout.toml",
            r#"
data = "state"
[embed]
threads = 1
[servers."team/git"]
command = "sh"
args = ["-c", "serve --token ${GIT_TOKEN}"]
env = { GIT_TOKEN = "${GIT_TOKEN}" }
[servers.tracker]
url = "https://u:p@tracker.test/mcp?key=sk-1"
bearer_token_file = "token"
deny = ["*_delete"]
"#,
        ),
        ("token", "sk-from-file\n"),
        (
            "mcp.json",
            r#"{"mcpServers": {
                "off": {"command": "sh", "disabled": true},
                // as Gemini writes it
                "docs": {"httpUrl": "http://127.0.0.1:1/mcp", "headers": {"X-Key": "${KEY:-sk-2}"}, "trust": true},
            }}"#,
        ),
        ("all.jsonl", ""),
        ("names.jsonl", ""),
    ]);
    let (code, shown, complaints) = check(
        folder.path(),
        &["--mcp-config", "mcp.json", "--catalog", "all.jsonl", "--servers", "names.jsonl"],
        &[("GIT_TOKEN", "sk-3")],
    );
    assert_eq!((code, complaints.as_str()), (0, ""));
    assert!(!shown.contains("sk-") && !shown.contains("u:p"), "{shown}");
    let readable: toml::Table = toml::from_str(&shown).unwrap();
    assert_eq!(readable["servers"].as_table().unwrap().len(), 5);
    insta::assert_snapshot!(shown, @r#"
    # read: HERE/toolscout.toml
    # read: HERE/mcp.json
    # read: HERE/token
    listen = "127.0.0.1:7420"
    allow_anonymous = false
    allowed_hosts = []
    allowed_origins = []
    data = "HERE/state"
    token_key = "keyring, else file"

    [crawl]
    concurrency = 8
    max_pages = 200
    max_tools = 20000
    max_bytes = 67108864

    [trust]
    pin = false
    hidden_text = "warn"
    injection = "warn"
    lookalike = "warn"
    shadow = "warn"
    stuffing = "warn"

    [call]
    enabled = false
    allow = "read_only"
    timeout = "1m"
    max_timeout = "10m"
    idle = "5m"
    max_result_bytes = 1048576
    max_concurrent = 64
    max_per_server = 16

    [mcp]
    aliases = []
    list_query = false

    [embed]
    enabled = true
    model = "scout"
    threads = 1
    deadline = "200ms"

    [auth]

    [limits]
    max_connections = 10000
    max_connections_per_address = 1000
    head_timeout = "1m"
    request_timeout = "30s"
    write_timeout = "1m"
    max_head_bytes = 65536
    max_headers = 100
    max_uri_bytes = 16384
    max_held_bytes = 67108864
    trusted_proxies = []
    rate_per_address = 0.0
    burst_per_address = 0
    rate_per_caller = 0.0
    burst_per_caller = 0
    failed_auth_per_minute = 60
    concurrent_requests = 0
    queue = 2048
    queue_per_caller = 512
    queue_wait = "1s"
    queue_target = "50ms"
    streams_per_caller = 64
    calls_per_day = 0

    [tls]

    [telemetry]
    access_log = false
    sample_queries = 0.0

    [audit]
    enabled = false
    max_bytes = 67108864
    keep = 30
    queries = "redact"
    arguments = "hash"

    [servers.all]
    enabled = true
    catalog = "HERE/all.jsonl"
    catalog_servers = "HERE/names.jsonl"
    timeout = "1m"
    refresh = "15m"

    [servers.docs]
    enabled = true
    url = "http://127.0.0.1:1/mcp"
    timeout = "1m"
    refresh = "15m"

    [servers.docs.headers]
    X-Key = "****"

    [servers.off]
    enabled = false
    command = "sh"
    args = []
    timeout = "1m"
    refresh = "15m"

    [servers."team/git"]
    enabled = true
    command = "sh"
    args = ["-c", "serve --token ****"]
    timeout = "1m"
    refresh = "15m"

    [servers."team/git".env]
    GIT_TOKEN = "****"

    [servers.tracker]
    enabled = true
    url = "https://****@tracker.test/mcp?****"
    deny = ["*_delete"]
    timeout = "1m"
    refresh = "15m"

    [servers.tracker.headers]
    authorization = "****"
    "#);
}

#[test]
fn every_error_of_every_file_is_told_at_once() {
    let folder = folder(&[
        (
            "toolscout.toml",
            "listen = '0.0.0.0:1'\nallowd_hosts = []\n[servers.git]\nurl = 'htp://x.test'\n",
        ),
        (
            "mcp.json",
            "{\"servers\": {\n\"git\": {\"command\": \"sh\", \"args\": [\"${NO_SUCH}\"]},\n\
             \"old\": {\"type\": \"pigeon\", \"url\": \"https://x.test/sse\"}}}",
        ),
    ]);
    let arguments = ["--mcp-config", "mcp.json", "--mcp-config", "none.json"];
    let (code, shown, complaints) = check(folder.path(), &arguments, &[]);
    assert_eq!((code, shown.as_str()), (2, ""));
    insta::assert_snapshot!(complaints, @r#"
    error: toolscout.toml:1: listen: 0.0.0.0:1 is reachable from other machines, and nobody is asked who they are
      remedy: listen on 127.0.0.1, have callers asked by [auth] (`keys = true` is the least), or pass --allow-anonymous (allow_anonymous = true) when something in front of it asks
    error: toolscout.toml:2: allowd_hosts: unknown key
      remedy: remove it; known here: listen, allow_anonymous, allowed_hosts, allowed_origins, data, crawl, trust, call, mcp, learn, embed, rerank, registry, profiles, token_key_file, token_keyring, auth, limits, tls, telemetry, audit, cluster, tenants, servers
    error: toolscout.toml:4: servers.git.url: the URL scheme "htp" is not supported
      remedy: use http:// or https://
    error: mcp.json:2: servers.git: the server id "git" is also in toolscout.toml:3
      remedy: rename one of the two, or remove it
    error: mcp.json:2: servers.git.args: the variable NO_SUCH is not set
      remedy: set NO_SUCH, or give a default: ${NO_SUCH:-default}
    error: mcp.json:3: servers.old.type: unknown server type "pigeon"
      remedy: use "stdio" or "http"
    error: none.json: can't be read: No such file or directory (os error 2)
      remedy: check the path and its permissions
    "#);
}

#[test]
fn a_missing_command_is_a_warning() {
    let folder = folder(&[("a.toml", "[servers.a]\ncommand = 'no-such-program-here'")]);
    let (code, shown, complaints) = check(folder.path(), &[], &[("TOOLSCOUT_CONFIG", "a.toml")]);
    assert_eq!(code, 0, "{complaints}");
    assert!(shown.contains("[servers.a]"), "{shown}");
    insta::assert_snapshot!(complaints, @r#"
    warning: a.toml:2: servers.a.command: the program "no-such-program-here" is not found
      remedy: install it, or give its full path
    "#);
}

#[test]
fn a_named_file_must_be_there_and_the_default_one_need_not() {
    let folder = folder(&[]);
    let (code, _, complaints) = check(folder.path(), &[], &[]);
    assert_eq!(code, 0);
    insta::assert_snapshot!(complaints, @r#"
    warning: toolscout.toml: no servers are configured
      remedy: add [servers.ID] to toolscout.toml, or pass --mcp-config FILE
    "#);
    let (code, _, complaints) = check(folder.path(), &["--config", "none.toml"], &[]);
    assert_eq!(code, 2);
    insta::assert_snapshot!(complaints, @r#"
    error: none.toml: can't be read: No such file or directory (os error 2)
      remedy: check the path and its permissions
    "#);
}

#[test]
fn flags_win_over_variables_and_variables_over_the_file() {
    let folder = folder(&[("toolscout.toml", "listen = '127.0.0.1:1'")]);
    let listen = |arguments: &[&str], variables: &[(&str, &str)]| {
        let (code, shown, complaints) = check(folder.path(), arguments, variables);
        assert_eq!(code, 0, "{complaints}");
        let shown: toml::Table = toml::from_str(&shown).unwrap();
        shown["listen"].as_str().unwrap().to_owned()
    };
    let variables = [("TOOLSCOUT_LISTEN", "127.0.0.1:2")];
    assert_eq!(listen(&[], &[]), "127.0.0.1:1");
    assert_eq!(listen(&[], &variables), "127.0.0.1:2");
    assert_eq!(listen(&["--listen", "127.0.0.1:3"], &variables), "127.0.0.1:3");
}

#[test]
fn strangers_are_let_in_only_on_purpose() {
    let folder = folder(&[]);
    let (code, _, complaints) = check(folder.path(), &["--listen", "0.0.0.0:7420"], &[]);
    assert_eq!(code, 2);
    insta::assert_snapshot!(complaints, @r#"
    error: --listen: 0.0.0.0:7420 is reachable from other machines, and nobody is asked who they are
      remedy: listen on 127.0.0.1, have callers asked by [auth] (`keys = true` is the least), or pass --allow-anonymous (allow_anonymous = true) when something in front of it asks
    "#);
    let arguments = ["--listen", "0.0.0.0:7420", "--allow-anonymous"];
    assert_eq!(check(folder.path(), &arguments, &[]).0, 0);
    // Nothing listens when the program only crawls, or speaks over stdio.
    std::fs::write(folder.path().join("toolscout.toml"), "listen = '0.0.0.0:1'").unwrap();
    let refused = |arguments: &[&str]| {
        let output = toolscout(folder.path()).args(arguments).output().unwrap();
        let (_, _, complaints) = told(folder.path(), output);
        complaints.contains("reachable from other machines")
    };
    assert!(refused(&["config", "check"]));
    assert!(!refused(&["crawl"]));
}

#[test]
fn a_client_that_lists_toolscout_does_not_make_it_start_itself() {
    let folder = folder(&[(
        "mcp.json",
        r#"{"mcpServers": {
            "finder": {"command": "/opt/bin/toolscout", "args": ["serve", "--stdio"]},
            "here": {"url": "http://localhost:7420/mcp"},
            "other": {"command": "sh"}
        }}"#,
    )]);
    let (code, shown, told) = check(folder.path(), &["--mcp-config", "mcp.json"], &[]);
    assert_eq!(code, 0, "{told}");
    assert!(shown.contains("[servers.other]"), "{shown}");
    for id in ["finder", "here"] {
        assert!(!shown.contains(&format!("[servers.{id}]")), "{shown}");
        let said = format!("mcpServers.{id}: it is toolscout itself, so it is left out");
        assert!(told.contains(&said), "{told}");
    }
}
