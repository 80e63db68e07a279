use std::path::Path;

use super::*;

/// What a file lists, an entry a line, and what was told of it.
fn described(name: &str, text: &str) -> String {
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    let mut told = Told { errors: &mut errors, warnings: &mut warnings };
    let path = Path::new("/home/ada/one/.hidden").join(name);
    let read = read(name, &path, text, &mut told);
    let mut lines: Vec<String> =
        read.servers.iter().map(|(id, _, raw)| format!("{id}: {}", entry(raw))).collect();
    lines.extend(warnings.iter().map(|warning| format!("warning: {warning}")));
    lines.extend(errors.iter().map(|error| format!("error: {error}")));
    lines.join("\n")
}

fn entry(raw: &RawServer) -> String {
    let RawServer { enabled, allow, deny, timeout, command, args, env, env_file, cwd, .. } = raw;
    let RawServer { url, headers, bearer_token, bearer_token_env, .. } = raw;
    let mut all = Vec::new();
    let mut put = |key: &str, value: Option<String>| {
        all.extend(value.map(|value| format!("{key}={value}")));
    };
    let list =
        |list: &Option<Vec<String>>| list.as_ref().map(|list| format!("[{}]", list.join(" ")));
    let map = |map: &Option<std::collections::BTreeMap<String, String>>| {
        map.as_ref().map(|map| format!("{map:?}"))
    };
    put("enabled", enabled.map(|enabled| enabled.to_string()));
    put("command", command.clone());
    put("args", list(args));
    put("env", map(env));
    put("env_file", env_file.clone());
    put("cwd", cwd.clone());
    put("url", url.clone());
    put("headers", map(headers));
    put("bearer_token", bearer_token.clone());
    put("bearer_token_env", bearer_token_env.clone());
    put("timeout", timeout.clone());
    put("allow", list(allow));
    put("deny", list(deny));
    all.join(" ")
}

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/clients").join(name);
    described(name, &std::fs::read_to_string(path).unwrap())
}

#[test]
fn claude_code() {
    insta::assert_snapshot!(fixture("claude-code.json"), @r#"
    github: enabled=true url=https://mcp.example.com/github/ headers={"Authorization": "Bearer ghp_madeUp0123456789abcdefghijklmnop"}
    time: enabled=true command=uvx args=[mcp-server-time] env={}
    files: enabled=true command=npx args=[-y @modelcontextprotocol/server-filesystem .] cwd=/home/ada/one
    files-2: enabled=true command=npx args=[-y @modelcontextprotocol/server-filesystem .] cwd=/home/ada/two
    warning: claude-code.json:21: projects."/home/ada/two".mcpServers.files: another entry has that id; this one is called "files-2"
      remedy: rename one of the two, if you like
    error: claude-code.json:22: projects."/home/ada/two".mcpServers.stream.type: unknown server type "ws"
      remedy: use "stdio" or "http"
    "#);
    insta::assert_snapshot!(fixture("project.mcp.json"), @r"
    docs: enabled=true url=${DOCS_URL:-https://docs.example.com}/mcp
    time: enabled=true command=uvx args=[mcp-server-time]
    ");
}

#[test]
fn claude_desktop() {
    insta::assert_snapshot!(fixture("claude-desktop.json"), @r#"
    postgres: enabled=true command=npx args=[-y @modelcontextprotocol/server-postgres postgresql://ada:pa55word@db.example.com/app]
    search: enabled=true command=npx args=[-y some-search] env={"SEARCH_API_KEY": "k-made-up", "SEARCH_LIMIT": "10"}
    "#);
}

#[test]
fn cursor_and_windsurf() {
    insta::assert_snapshot!(fixture("cursor.json"), @r#"
    tickets: enabled=true command=/home/ada/one/bin/tickets args=[--token t0k-made-up --cache=${HOME}/.cache] env_file=/home/ada/one/tickets.env
    wiki: enabled=true url=https://wiki.example.com/mcp headers={"X-Api-Key": "${env:WIKI_KEY}"}
    "#);
    insta::assert_snapshot!(fixture("windsurf.json"), @r#"
    figma: enabled=true url=https://figma.example.com/mcp headers={"API_KEY": "Bearer ${env:FIGMA_TOKEN}"}
    off: enabled=false command=off-server deny=[drop_[*]]
    "#);
}

#[test]
fn vs_code() {
    insta::assert_snapshot!(fixture("vscode.json"), @r#"
    perplexity: enabled=true command=npx args=[-y server-perplexity --region=${REGION:-eu}] env={"PERPLEXITY_API_KEY": "${PERPLEXITY_KEY}"} env_file=/home/ada/one/.env
    remote: enabled=true url=https://api.example.com/mcp/ headers={"Authorization": "Bearer ${PERPLEXITY_KEY}", "X-Team": "core"}
    "#);
    let settings = r#"{"editor.tabSize": 2, "mcp": {"servers": {"a": {"command": "x"}}}}"#;
    insta::assert_snapshot!(described("settings.json", settings), @r"a: enabled=true command=x");
}

#[test]
fn gemini() {
    insta::assert_snapshot!(fixture("gemini.json"), @r#"
    python: enabled=true command=python args=[-m tools] env={"API_KEY": "${MY_API_TOKEN}"} cwd=./server
    cloud: enabled=true url=https://cloud.example.com/mcp allow=[read_[*] list] deny=[list]
    "#);
}

#[test]
fn codex() {
    insta::assert_snapshot!(fixture("codex.toml"), @r#"
    docs: command=npx args=[-y docs-mcp] env={"DOCS_MODE": "fast", "LOCAL_TOKEN": "${LOCAL_TOKEN}"} timeout=121s
    figma: enabled=false url=https://figma.example.com/mcp headers={"X-Figma-Region": "us-east-1", "X-Figma-User": "${FIGMA_USER}"} bearer_token_env=FIGMA_OAUTH_TOKEN allow=[open screenshot]
    "#);
}

#[test]
fn opencode() {
    insta::assert_snapshot!(fixture("opencode.jsonc"), @r#"
    everything: enabled=true command=npx args=[-y @modelcontextprotocol/server-everything] env={"COLOR": "1", "TOKEN": "${EVERYTHING_TOKEN}"}
    sentry: enabled=false url=https://sentry.example.com/mcp headers={"Authorization": "Bearer ${SENTRY_TOKEN}"}
    "#);
}

#[test]
fn goose() {
    insta::assert_snapshot!(fixture("goose.yaml"), @r#"
    asana: enabled=false url=https://asana.example.com/mcp headers={"Authorization": "Bearer made-up-token"}
    fetch: enabled=true command=uvx args=[mcp-server-fetch] env={"FETCH_AGENT": "goose", "FETCH_TOKEN": "${FETCH_TOKEN}"}
    warning: goose.yaml: extensions.developer: it runs inside its client (builtin), so it is left out
      remedy: nothing is to be done
    "#);
}

#[test]
fn messages() {
    insta::assert_snapshot!(fixture("messages.json"), @r#"
    calendar: url=https://calendar.example.com/mcp bearer_token=made-up-token allow=[create[[]event[]] search_events]
    mail: url=https://mail.example.com/sse deny=[delete_mail]
    crm: enabled=false url=https://crm.example.com/mcp
    warning: messages.json:4: mcp_servers.2: no `mcp_toolset` names the server "crm", so it is switched off
      remedy: add {"type": "mcp_toolset", "mcp_server_name": …} to `tools`
    "#);
    let odd = r#"{
        "mcp_servers": [{"type": "stdio", "name": "a"}, {"name": "b", "url": "https://b.test/"}, 1],
        "tools": [
            {"type": "mcp_toolset", "mcp_server_name": "none"},
            {"type": "mcp_toolset", "mcp_server_name": "b", "default_config": {"enabled": "yes"}},
            {"type": "mcp_toolset", "mcp_server_name": "b"}
        ]
    }"#;
    insta::assert_snapshot!(described("odd.json", odd), @r#"
    error: odd.json:2: mcp_servers.0.type: unknown server type "stdio"
      remedy: use "stdio" or "http"
    error: odd.json:2: mcp_servers.2: wrong type: expected a table, found number
      remedy: give a value of that type; see `toolscout config example`
    error: odd.json:3: tools.0.mcp_server_name: there is no server "none" in `mcp_servers`
      remedy: correct `mcp_server_name`, or add the server
    error: odd.json:3: tools.1.default_config: wrong type: expected a table with a boolean `enabled`, found another value
      remedy: give a value of that type; see `toolscout config example`
    error: odd.json:3: tools.2.mcp_server_name: the server "b" has a toolset already
      remedy: merge the two: each server has exactly one toolset
    "#);
}

#[test]
fn every_bad_entry_is_named_and_the_good_ones_stay() {
    let text = r#"{"mcpServers": {
            "a": {"type": "websocket", "url": "wss://x.test/"},
            "b": {"type": "carrier-pigeon"},
            "c": {"command": "x", "args": "sk-secret"},
            "d": {"command": "x", "env": {"A": ["sk-secret"]}, "disabled": 1},
            "e": "sk-secret",
            "f": {"command": "x"}
        }}"#;
    insta::assert_snapshot!(described("mcp.json", text), @r#"
    f: enabled=true command=x
    error: mcp.json:2: mcpServers.a.type: unknown server type "websocket"
      remedy: use "stdio" or "http"
    error: mcp.json:3: mcpServers.b.type: unknown server type "carrier-pigeon"
      remedy: use "stdio" or "http"
    error: mcp.json:4: mcpServers.c.args: wrong type: expected a list, found string
      remedy: give a value of that type; see `toolscout config example`
    error: mcp.json:5: mcpServers.d.disabled: wrong type: expected a boolean, found number
      remedy: give a value of that type; see `toolscout config example`
    error: mcp.json:5: mcpServers.d.env: wrong type: expected a table of strings, found list
      remedy: give a value of that type; see `toolscout config example`
    error: mcp.json:6: mcpServers.e: wrong type: expected a table, found string
      remedy: give a value of that type; see `toolscout config example`
    "#);
}

#[test]
fn tells_syntax_from_a_missing_list() {
    let all = [
        described("a.json", "{\n \"mcpServers\": {,}}"),
        described("b.json", r#"{"context_servers": {}}"#),
        described("c.json", ""),
        described("d.toml", "a = 1\nb"),
        described("e.yaml", "key: [sk-secret\nb: }"),
        described("f.yaml", "- a\n- b"),
        described("g.json", r#"{"mcpServers": {}}"#),
    ];
    let all = all.join("\n");
    assert!(!all.contains("sk-secret"));
    insta::assert_snapshot!(all, @r#"
    error: a.json:2: syntax: Unexpected token in object
      remedy: correct the file at that line
    error: b.json: no list of servers (`mcpServers`, `servers`, `mcp_servers`, `mcp` or `extensions`)
      remedy: wrap the entries: {"mcpServers": {"my-server": {…}}}
    error: c.json: no list of servers (`mcpServers`, `servers`, `mcp_servers`, `mcp` or `extensions`)
      remedy: wrap the entries: {"mcpServers": {"my-server": {…}}}
    error: d.toml:2: syntax: key with no value, expected `=`
      remedy: correct the file at that line
    error: e.yaml:2: syntax: no YAML that can be read
      remedy: correct the file at that line
    error: f.yaml: no list of servers (`mcpServers`, `servers`, `mcp_servers`, `mcp` or `extensions`)
      remedy: wrap the entries: {"mcpServers": {"my-server": {…}}}
    "#);
}

#[test]
fn one_id_of_two_projects_is_told_apart() {
    let text = r#"{"mcpServers": {"a": {"command": "x"}}, "projects": {
        "/p": {"mcpServers": {"a": {"command": "x"}, "b": {"command": "./b"}}},
        "/q": {"mcpServers": {"a": {"command": "y"}, "b": {"command": "./b"}}}
    }}"#;
    insta::assert_snapshot!(described("claude.json", text), @r#"
    a: enabled=true command=x
    b: enabled=true command=./b cwd=/p
    a-2: enabled=true command=y
    b-2: enabled=true command=./b cwd=/q
    warning: claude.json:3: projects."/q".mcpServers.a: another entry has that id; this one is called "a-2"
      remedy: rename one of the two, if you like
    warning: claude.json:3: projects."/q".mcpServers.b: another entry has that id; this one is called "b-2"
      remedy: rename one of the two, if you like
    "#);
}

#[test]
fn an_input_that_is_not_declared_still_has_a_name() {
    let text = r#"{"servers": {"a": {"url": "https://${input:2nd host}/${workspaceFolderBasename}/${/}/${file}"}}}"#;
    insta::assert_snapshot!(described("mcp.json", text), @r"a: enabled=true url=https://${VAR_2ND_HOST}/one///${file}");
}
