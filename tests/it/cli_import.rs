//! `toolscout import`: from the files of real clients' formats to servers that are crawled, with no
//! secret on the way.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use toolscout::config::Transport;

use crate::config_check::toolscout;
use crate::support::crawling::page;
use crate::support::mock_http::{MockHttp, Speaks};
use crate::support::mock_stdio::MockStdio;

/// Values of the fixtures that are to be seen nowhere.
const SECRETS: [&str; 5] =
    ["ghp_madeUp", "pa55word", "k-made-up", "t0k-made-up", "Bearer made-up-token"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/clients").join(name)
}

/// A home folder with these fixtures in these places, and a project in it.
fn home(files: &[(&str, &str)]) -> (TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let project = home.path().join("project");
    fs::create_dir(&project).unwrap();
    for (name, place) in files {
        let place = home.path().join(place);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(fixture(name), place).unwrap();
    }
    (home, project)
}

/// `toolscout` in the project of a home folder.
fn program(home: &TempDir, args: &[&str]) -> Command {
    let mut command = toolscout(&home.path().join("project"));
    command.env("HOME", home.path()).args(args);
    command
}

/// Exit code, stdout and stderr; none of the secrets is in them.
fn ran(mut command: Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    for secret in SECRETS {
        assert!(!stdout.contains(secret) && !stderr.contains(secret), "{secret}: {stdout}{stderr}");
    }
    (output.status.code().unwrap(), stdout, stderr)
}

/// The row of a server in what was shown.
fn row<'a>(shown: &'a str, server: &str) -> &'a str {
    let has = |line: &&str| line.split_whitespace().any(|word| word == server);
    shown.lines().find(has).unwrap_or_else(|| panic!("no {server}: {shown}"))
}

#[test]
fn the_usual_places_are_looked_through() {
    let (home, project) = home(&[
        ("claude-code.json", ".claude.json"),
        ("claude-desktop.json", ".config/Claude/claude_desktop_config.json"),
        ("windsurf.json", ".codeium/windsurf/mcp_config.json"),
        ("gemini.json", ".gemini/settings.json"),
        ("codex.toml", ".codex/config.toml"),
        ("opencode.jsonc", ".config/opencode/opencode.jsonc"),
        ("goose.yaml", ".config/goose/config.yaml"),
        ("project.mcp.json", "project/.mcp.json"),
        ("cursor.json", "project/.cursor/mcp.json"),
        ("tickets.env", "project/tickets.env"),
        ("vscode.json", "project/.vscode/mcp.json"),
    ]);
    fs::create_dir_all(home.path().join(".config/Code/User")).unwrap();
    fs::write(home.path().join(".config/Code/User/settings.json"), "{\"a\": 1}").unwrap();
    let own = project.join("toolscout.toml");

    let (code, shown, _) = ran(program(&home, &["import", "--dry-run"]));
    assert_eq!(code, 0);
    assert!(shown.contains("[servers.github]") && !own.exists(), "{shown}");

    let before =
        "# ours\nlisten = \"127.0.0.1:7421\"\n\n[servers.docs]\nurl = \"https://ours.test/\"\n";
    fs::write(&own, before).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o640)).unwrap();
    let (code, shown, complaints) = ran(program(&home, &["import"]));
    assert_eq!(code, 0, "{complaints}");
    for (server, said) in [
        ("github", "new"),
        ("perplexity", "servers.perplexity.env_file"),
        ("tickets", "new"),
        ("time", "new"),
    ] {
        let place = shown.find(said).unwrap_or_else(|| panic!("{said}: {shown}"));
        assert!(place > 0 && shown.contains(server), "{shown}");
    }
    assert!(row(&shown, "docs").contains("new, as docs-2"), "{shown}");
    assert!(row(&shown, "github").contains("~/.claude.json"), "{shown}");
    assert!(shown.contains("it runs inside its client (builtin)"), "{shown}");
    assert!(!shown.contains("Code/User"), "settings without servers are told of: {shown}");
    let variables: Vec<_> = shown
        .lines()
        .skip_while(|line| !line.starts_with("variables"))
        .skip(1)
        .map_while(|line| line.strip_prefix("  "))
        .collect();
    for name in ["GITHUB_TOKEN", "POSTGRES_PASSWORD", "SEARCH_API_KEY", "TICKETS_TOKEN"] {
        assert!(variables.contains(&name), "{name}: {variables:?}");
    }
    let text = fs::read_to_string(&own).unwrap();
    assert!(text.starts_with(before), "{text}");
    assert_eq!(fs::metadata(&own).unwrap().permissions().mode() & 0o777, 0o640);
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    // Nothing is missing but the variables, and they are just those that were told.
    let (code, _, complaints) = ran(program(&home, &["config", "check"]));
    assert_eq!(code, 2);
    assert!(
        complaints.lines().all(|line| !line.starts_with("error:") || line.contains("is not set"))
    );
    let mut check = program(&home, &["config", "check"]);
    check.envs(variables.iter().map(|name| (name, "value")));
    let (code, checked, complaints) = ran(check);
    assert_eq!(code, 0, "{complaints}");
    assert!(checked.contains("TICKETS_NAME = \"****\""), "{checked}");

    let (code, shown, _) = ran(program(&home, &["import"]));
    assert_eq!(code, 0);
    assert!(shown.contains("nothing to add"), "{shown}");
    assert_eq!(fs::read_to_string(&own).unwrap(), text);
}

#[test]
fn secrets_go_to_a_private_file_if_asked() {
    let (home, project) = home(&[]);
    let listed = json!({"mcpServers": {
        "a": {"url": "https://a.test/", "headers": {"X-Key": "it's a \"secret\" $HOME"}},
        "b": {"command": "sh", "args": ["--token=t1"], "env": {"B_PASSWORD": "plain"}},
    }});
    let client = project.join("client.json");
    fs::write(&client, listed.to_string()).unwrap();
    let keep = project.join("keep.env");
    fs::write(&keep, "B_PASSWORD=older").unwrap();
    let args = ["import", "client.json", "--env-file", "keep.env", "--out", "own.toml"];
    let (code, shown, complaints) = ran(program(&home, &args));
    assert_eq!(code, 0, "{complaints}");
    assert!(complaints.contains("keep.env has B_PASSWORD already"), "{complaints}");
    assert!(!shown.contains("t1") && !shown.contains("plain"), "{shown}");
    assert_eq!(fs::metadata(&keep).unwrap().permissions().mode() & 0o777, 0o600);
    // As a shell reads it.
    let script =
        "set -a; . ./keep.env; printf '%s|%s|%s' \"$A_X_KEY\" \"$B_PASSWORD\" \"$B_TOKEN\"";
    let read = Command::new("sh").args(["-c", script]).current_dir(&project).output().unwrap();
    let read = String::from_utf8(read.stdout).unwrap();
    assert_eq!(read, "it's a \"secret\" $HOME|older|t1");
    let dry = ["import", "client.json", "--env-file", "keep.env", "--dry-run"];
    assert_eq!(ran(program(&home, &dry)).0, 2);
}

#[test]
fn machines_are_told_the_same() {
    let (home, project) = home(&[]);
    let file = fixture("messages.json").display().to_string();
    let (code, report, _) = ran(program(&home, &["import", "--json", &file]));
    assert_eq!(code, 0);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["written"], true);
    assert_eq!(report["files"][0]["client"], "Messages API");
    let states = report["files"][0]["servers"].as_array().unwrap();
    assert_eq!(states.iter().map(|server| &server["state"]).collect::<Vec<_>>(), ["added"; 3]);
    assert!(report["files"][0]["notes"][0].as_str().unwrap().contains("\"crm\""));
    assert_eq!(report["variables"], json!([{"name": "CALENDAR_TOKEN", "set": false}]));
    let text = fs::read_to_string(project.join("toolscout.toml")).unwrap();
    assert!(text.contains("deny = [\"delete_mail\"]"), "{text}");
}

#[test]
fn what_can_not_be_read_changes_nothing() {
    let (home, project) = home(&[]);
    let (code, _, complaints) = ran(program(&home, &["import"]));
    assert_eq!(code, 1);
    assert!(complaints.contains("no client has servers"), "{complaints}");
    for (name, content) in
        [("none.json", None), ("bad.json", Some("{")), ("no.toml", Some("a = 1"))]
    {
        if let Some(content) = content {
            fs::write(project.join(name), content).unwrap();
        }
        let good = fixture("project.mcp.json").display().to_string();
        let (code, _, complaints) = ran(program(&home, &["import", &good, name]));
        assert_eq!(code, 2, "{complaints}");
        assert!(complaints.contains(name), "{complaints}");
        assert!(!project.join("toolscout.toml").exists());
    }
    fs::write(project.join("toolscout.toml"), "listen = ").unwrap();
    let good = fixture("project.mcp.json").display().to_string();
    let (code, _, complaints) = ran(program(&home, &["import", &good]));
    assert_eq!(code, 1);
    assert!(complaints.contains("line 1"), "{complaints}");
    assert_eq!(fs::read_to_string(project.join("toolscout.toml")).unwrap(), "listen = ");
}

#[test]
fn every_format_is_taken_by_mcp_config_too() {
    let (home, _) = home(&[]);
    for (name, server) in [
        ("claude-desktop.json", "postgres"),
        ("cursor.json", "tickets"),
        ("windsurf.json", "figma"),
        ("gemini.json", "cloud"),
        ("codex.toml", "figma"),
        ("opencode.jsonc", "everything"),
        ("goose.yaml", "fetch"),
        ("messages.json", "calendar"),
    ] {
        let file = fixture(name).display().to_string();
        let mut check = program(&home, &["config", "check", "--mcp-config", &file]);
        for name in [
            "WIKI_KEY",
            "FIGMA_TOKEN",
            "MY_API_TOKEN",
            "LOCAL_TOKEN",
            "FIGMA_USER",
            "FIGMA_OAUTH_TOKEN",
            "EVERYTHING_TOKEN",
            "SENTRY_TOKEN",
            "FETCH_TOKEN",
        ] {
            check.env(name, "value");
        }
        let (code, shown, complaints) = ran(check);
        assert_eq!(code, 0, "{name}: {complaints}");
        assert!(shown.contains(&format!("[servers.{server}]")), "{name}: {shown}");
    }
}

#[tokio::test]
async fn imported_servers_are_crawled() {
    let mock = MockStdio::new(&json!({"pages": [(None::<&str>, page(&["draw", "paint"], None))]}));
    let Transport::Stdio { command, args, .. } = mock.transport() else { unreachable!() };
    let http = vec![(None, page(&["send"], None))];
    let http = MockHttp::pages(Speaks::Stateless, false, http).await;
    let (home, project) = home(&[]);
    let codex = format!(
        "[mcp_servers.art]\ncommand = {command:?}\nargs = {args:?}\ndisabled_tools = [\"paint\"]\n"
    );
    fs::write(project.join("codex.toml"), codex).unwrap();
    let body = json!({
        "mcp_servers": [{"type": "url", "name": "post", "url": http.url}],
        "tools": [{"type": "mcp_toolset", "mcp_server_name": "post"}],
    });
    fs::write(project.join("body.json"), body.to_string()).unwrap();
    let in_project = |args: &[&str]| {
        let command = program(&home, args);
        tokio::task::spawn_blocking(|| ran(command))
    };
    let (code, _, complaints) = in_project(&["import", "codex.toml", "body.json"]).await.unwrap();
    assert_eq!(code, 0, "{complaints}");
    let (code, report, complaints) = in_project(&["crawl", "--json"]).await.unwrap();
    assert_eq!(code, 0, "{complaints}");
    let report: Value = serde_json::from_str(&report).unwrap();
    let tools = |place: usize| (report[place]["server"].clone(), report[place]["tools"].clone());
    assert_eq!(tools(0), (json!("art"), json!(1)));
    assert_eq!(tools(1), (json!("post"), json!(1)));
}
