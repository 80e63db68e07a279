//! A caller of one tenant, who tries everything there is to hear of another: what comes out is what a
//! toolscout says that has nobody else.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use toolscout::serve::TENANT;

use crate::serve_events::open;
use crate::support::service::{Service, configure};
use crate::support::tenants::{Asker, Told, key};

/// Words that only the other tenant has, and only the main configuration.
const CANARIES: [&str; 2] = ["qqbeta", "qqmain"];

/// Tools of servers that both tenants have, of the same names, of some the same words.
const ACME: &[(&str, &str, &str)] = &[
    ("crm", "find_customer", "Find a customer by name"),
    ("crm", "merge", "Merge two records of a customer into one, and keep what both say"),
    ("mail", "send", "Send a letter qqacme to somebody"),
    ("mail", "read", "Read the letters of a customer"),
];
const BETA: &[(&str, &str, &str)] = &[
    ("crm", "find_customer", "Find a customer by qqbeta number"),
    ("crm", "merge", "Merge two records of a customer into one, and keep what both say"),
    ("crm", "drop_qqbeta", "Drop a customer qqbeta"),
    ("mail", "send", "Send a letter to somebody qqbeta"),
    ("qqbeta", "read", "Read the letters of a customer"),
];
const MAIN: &[(&str, &str, &str)] = &[
    ("crm", "find_qqmain", "Find qqmain a customer"),
    ("qqmain", "send", "Send a letter to somebody"),
];

fn write_catalog(folder: &Path, name: &str, tools: &[(&str, &str, &str)]) {
    let lines = tools.iter().map(|(server, name, description)| {
        let schema = json!({ "type": "object" });
        json!({"server": server, "name": name, "description": description, "inputSchema": schema})
            .to_string()
            + "\n"
    });
    std::fs::write(folder.join(format!("{name}.jsonl")), lines.collect::<String>()).unwrap();
}

/// The configuration of somebody with the catalog of that name.
fn of(name: &str) -> String {
    format!(
        "[servers.{name}-file]\ncatalog = '{name}.jsonl'\n[learn]\nenabled = true\n[call]\n\
         enabled = true\nallow = 'all'\n[profiles.{name}]\nservers = ['mail']\n\
         [profiles.both]\nallow = ['crm/*']\n"
    )
}

/// Where a toolscout has both tenants and something of its own.
fn shared() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_catalog(folder.path(), "acme", ACME);
    write_catalog(folder.path(), "beta", BETA);
    write_catalog(folder.path(), "main", MAIN);
    std::fs::write(folder.path().join("acme.toml"), of("acme")).unwrap();
    std::fs::write(folder.path().join("beta.toml"), of("beta")).unwrap();
    let main = of("main").replace("main-file", "files");
    let more = "[auth]\nkeys = true\n[tenants.acme]\nconfig = 'acme.toml'\n[tenants.beta]\n\
                config = 'beta.toml'\n";
    configure(folder.path(), &format!("{main}{more}"));
    folder
}

/// Where one has what acme has, and nobody else.
fn alone() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_catalog(folder.path(), "acme", ACME);
    configure(folder.path(), &format!("{}[auth]\nkeys = true\n", of("acme")));
    folder
}

async fn until_listed(asker: &Asker, service: &Service, count: usize) {
    service
        .until(&format!("{count} tools"), async || {
            let told = asker.get("/v1/status").await;
            told.status == 200 && told.json()["total"] == count
        })
        .await;
}

/// Without what is of the moment, and of the address.
fn timeless(told: &Told, url: &str, path: &str) -> (u16, Value, String) {
    const MOMENTS: [&str; 6] =
        ["took_us", "uptime_s", "age_s", "next_crawl_s", "request_id", "generation"];
    // Of who asked and when; how often is told by `total`.
    const OF_ACTIVITY: [&str; 11] = [
        "now_s",
        "since_s",
        "at_ms",
        "last",
        "last_s",
        "number",
        "latency",
        "slots",
        "today",
        "per_second",
        "caller",
    ];
    fn without(value: &mut Value, keys: &[&str], has_seconds: bool) {
        match value {
            Value::Object(members) => {
                members.retain(|key, _| !keys.contains(&key.as_str()));
                members.values_mut().for_each(|value| without(value, keys, has_seconds));
            }
            Value::Array(items) => {
                for value in items {
                    without(value, keys, has_seconds);
                }
            }
            // Seconds since 1970.
            Value::Number(number)
                if has_seconds && number.as_u64().is_some_and(|it| it > 1_600_000_000) =>
            {
                *value = "then".into();
            }
            // A time, to the second.
            Value::String(text) if text.len() == 20 && text.as_bytes()[10] == b'T' => {
                assert!(text.ends_with('Z'), "{text}");
                "then".clone_into(text);
            }
            Value::String(text) => {
                if let Ok(mut inside @ Value::Object(_)) = serde_json::from_str::<Value>(text) {
                    without(&mut inside, keys, has_seconds);
                    *text = inside.to_string();
                }
            }
            _ => {}
        }
    }
    let is_activity = path.contains("/v1/admin/activity");
    let mut keys = MOMENTS.to_vec();
    keys.extend(OF_ACTIVITY.iter().filter(|_| is_activity));
    let has_seconds = is_activity || path.contains("view=rows");
    let text = told.text.replace(url, "http://here");
    let authority = url.trim_start_matches("http://");
    let text = text.replace(authority, "here");
    let body = match serde_json::from_str::<Value>(&text) {
        Ok(mut body) => {
            without(&mut body, &keys, has_seconds);
            body
        }
        Err(_) => Value::String(text),
    };
    let headers = format!("{:?}", told.headers).replace(authority, "here");
    (told.status, body, headers)
}

/// Everything that can be asked with GET, of what either tenant has.
fn paths() -> Vec<String> {
    let mut paths: Vec<String> = [
        "/v1/tools",
        "/v1/tools?limit=2",
        "/v1/tools?view=rows",
        "/v1/tools?cursor=crm/merge",
        "/v1/servers",
        "/v1/status",
        "/v1/changes",
        "/v1/findings",
        "/v1/map",
        "/v1/map/query?q=customer+letter",
        "/v1/anthropic/tools",
        "/v1/openai/tools",
        "/.well-known/mcp",
        "/mcp/server-card",
        "/openapi.json",
        "/v1/admin/config",
        "/v1/admin/pending",
        "/v1/admin/profiles",
        "/v1/admin/registries",
        "/v1/admin/learned",
        "/v1/admin/servers/x",
        "/v1/admin/evals",
        "/v1/admin/evals/files",
        "/v1/admin/evals/x",
        "/v1/admin/evals/1/compare?baseline=2",
        "/v1/admin/activity",
        "/oauth/start/crm",
        "/oauth/start/qqbeta",
        "/oauth/callback?state=x&code=y",
        "/no/such/path",
        "/v1/search",
        "/v1/search?q=customer&tenant=beta",
        "/v1/search?q=custmer+leter&explain=1",
        "/v1/search?q=merge+records&why=crm/merge",
    ]
    .map(str::to_owned)
    .into();
    for profile in ["acme", "beta", "main", "both", "none"] {
        paths.push(format!("/p/{profile}/v1/tools"));
        paths.push(format!("/p/{profile}/v1/status"));
        paths.push(format!("/v1/search?q=letter&profile={profile}"));
        paths.push(format!("/p/{profile}/mcp/server-card"));
    }
    for (server, name, description) in ACME.iter().chain(BETA).chain(MAIN) {
        let words = description.replace(' ', "+");
        paths.push(format!("/v1/tools/{server}/{name}"));
        paths.push(format!("/v1/tools/{server}%2F{name}"));
        paths.push(format!("/v1/tools/{server}/{name}?near=1&earlier=1&lint=1"));
        paths.push(format!("/v1/tools?server={server}"));
        paths.push(format!("/v1/tools?view=rows&server={server}"));
        paths.push(format!("/v1/findings?server={server}"));
        paths.push(format!("/v1/search?q={words}&explain=1&limit=50"));
        paths.push(format!("/v1/search?q={name}&server={server}"));
        paths.push(format!("/v1/search?q=customer&why={server}/{name}&explain=1"));
        paths.push(format!("/v1/search?q={name}&format=names"));
    }
    paths
}

/// Everything that is posted.
fn bodies() -> Vec<(String, Value)> {
    let ids: Vec<String> =
        BETA.iter().chain(MAIN).map(|(server, name, _)| format!("{server}/{name}")).collect();
    let mut bodies = vec![
        ("/v1/search".to_owned(), json!({"batch": [{"query": "merge"}, {"query": "qqbeta"}]})),
        ("/v1/search".to_owned(), json!({"query": "letter", "tenant": "beta"})),
        ("/v1/select".to_owned(), json!({"text": "merge records of customers", "pinned": ids})),
        ("/v1/select".to_owned(), json!({"text": "send a letter", "previous": ids, "limit": 50})),
        ("/v1/admin/servers/qqbeta/pause".to_owned(), json!({})),
        ("/v1/admin/servers/beta-file/refresh".to_owned(), json!({})),
        ("/v1/admin/servers/files/refresh".to_owned(), json!({})),
        ("/v1/admin/servers/crm/approve".to_owned(), json!({"tools": []})),
        ("/v1/admin/servers/qqbeta/login".to_owned(), json!({})),
        ("/v1/admin/registries/servers/qqbeta/approve".to_owned(), json!({})),
        ("/v1/admin/servers".to_owned(), json!({"id": "files"})),
        ("/v1/admin/evals".to_owned(), json!({"file": "beta.jsonl"})),
    ];
    for format in ["mcp", "anthropic", "openai", "signatures"] {
        let body = json!({"query": "customer letter", "limit": 50, "format": format});
        bodies.push(("/v1/search".to_owned(), body));
    }
    for id in ids {
        bodies.push(("/v1/call".to_owned(), json!({"id": id, "arguments": {}})));
        bodies.push(("/v1/feedback".to_owned(), json!({"query": "customer", "tool": id})));
    }
    bodies
}

/// Everything over MCP.
fn messages() -> Vec<(&'static str, Value)> {
    let call = |name: &str, arguments: Value| {
        ("tools/call", json!({"name": name, "arguments": arguments}))
    };
    vec![
        (
            "initialize",
            json!({"protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": {"name": "x", "version": "1"}}),
        ),
        ("tools/list", json!({})),
        ("resources/list", json!({})),
        call("search_tools", json!({"query": "customer"})),
        call("search_tools", json!({"query": "drop qqbeta"})),
        call("search_tools", json!({"query": "letter", "servers": ["qqbeta"]})),
        call("get_tool", json!({"id": "crm/drop_qqbeta"})),
        call("get_tool", json!({"id": "crm/find_customer"})),
        call("list_servers", json!({})),
        call("call_tool", json!({"id": "qqbeta/read", "arguments": {}})),
        call("qqbeta__read", json!({})),
    ]
}

#[tokio::test]
async fn a_tenant_hears_what_a_toolscout_of_its_own_would_say() {
    let (folder, own) = (shared(), alone());
    let all = ["search", "call", "admin"];
    let mine = key(folder.path(), Some("acme"), &all).await;
    let beta = key(folder.path(), Some("beta"), &all).await;
    let theirs = key(own.path(), None, &all).await;
    let shared = Service::start(folder.path(), &[]).await;
    let alone = Service::start(own.path(), &[]).await;
    let mine = Asker::new(&shared, Some(&mine));
    let beta = Asker::new(&shared, Some(&beta));
    let theirs = Asker::new(&alone, Some(&theirs));
    until_listed(&mine, &shared, ACME.len()).await;
    until_listed(&beta, &shared, BETA.len()).await;
    until_listed(&theirs, &alone, ACME.len()).await;

    let same = |what: &str, told: Told, wanted: Told| {
        for canary in CANARIES.into_iter().filter(|canary| !what.contains(canary)) {
            let headers = format!("{:?}", told.headers);
            assert!(!told.text.contains(canary), "{what}: {}", told.text);
            assert!(!headers.contains(canary), "{what}: {headers}");
        }
        let (told, wanted) =
            (timeless(&told, &mine.url, what), timeless(&wanted, &theirs.url, what));
        assert_eq!(told, wanted, "{what}");
    };
    for path in paths() {
        same(&path, mine.get(&path).await, theirs.get(&path).await);
        for method in [Method::PUT, Method::HEAD, Method::OPTIONS, Method::DELETE] {
            if method == Method::DELETE && path == "/v1/admin/learned" {
                continue;
            }
            let ask = async |asker: &Asker| asker.send(asker.request(method.clone(), &path)).await;
            same(&format!("{method} {path}"), ask(&mine).await, ask(&theirs).await);
        }
    }
    // Streams of events begin with the same, and what becomes of another tenant is told to it alone.
    let mut heard = open(mine.request(Method::GET, "/v1/events")).await;
    let begun = |state: Value| Told {
        status: 200,
        headers: std::collections::BTreeMap::new(),
        text: state.to_string(),
    };
    let wanted = open(theirs.request(Method::GET, "/v1/events")).await.told("state").await;
    same("/v1/events", begun(heard.told("state").await), begun(wanted));
    let mut of_beta = open(beta.request(Method::GET, "/v1/events")).await;
    of_beta.told("state").await;
    write_catalog(folder.path(), "beta", &BETA[1..]);
    let refreshed = beta.post("/v1/admin/servers/beta-file/refresh", &json!({})).await;
    assert_eq!(refreshed.status, 200, "{}", refreshed.text);
    while of_beta.next().await.unwrap().0 != "generation" {}
    let refreshed = mine.post("/v1/admin/servers/acme-file/refresh", &json!({})).await;
    assert_eq!(refreshed.status, 200, "{}", refreshed.text);
    // Their own are younger, and nothing else was told.
    let told = heard.told("servers").await;
    let ids: Vec<&Value> = told["servers"].as_array().unwrap().iter().map(|it| &it["id"]).collect();
    assert_eq!(ids, ["crm", "mail"], "{told}");
    // But for what its key is called.
    let me = async |asker: &Asker| {
        let mut me = asker.get("/v1/me").await.json();
        me["name"] = json!(null);
        me
    };
    assert_eq!(me(&mine).await, me(&theirs).await);
    for (method, params) in messages() {
        for path in ["/mcp", "/p/beta/mcp", "/p/acme/mcp"] {
            let what = format!("{path} {method} {params}");
            let told = mine.mcp(path, method, params.clone()).await;
            same(&what, told, theirs.mcp(path, method, params.clone()).await);
        }
    }
    // What was asked in all, of which others have asked as well.
    for canary in ["qqbeta", "letter", "merge"] {
        let path = format!("/v1/search?q={canary}");
        assert_eq!(beta.get(&path).await.status, 200);
    }
    let path = "/v1/admin/activity";
    let told = mine.get(path).await;
    // Those that ask for an explanation are not counted.
    assert!(told.json()["total"]["searches"].as_u64() >= Some(50), "{}", told.text);
    let wanted = timeless(&theirs.get(path).await, &theirs.url, path);
    assert_eq!(timeless(&told, &mine.url, path), wanted);
    assert_eq!(beta.get(path).await.json()["total"]["searches"], 3);
    // No header makes another tenant of it.
    for name in [TENANT, "x-forwarded-tenant", "x-tenant", "tenant"] {
        let named = Asker::with(&shared, mine.key.as_deref(), (name, "beta"));
        for path in ["/v1/tools", "/v1/servers", "/v1/search?q=drop+customer", "/v1/status"] {
            same(&format!("{name} {path}"), named.get(path).await, theirs.get(path).await);
        }
    }
    // Last, since what is chosen is learned.
    for (path, body) in bodies() {
        let what = format!("{path} {body}");
        same(&what, mine.post(&path, &body).await, theirs.post(&path, &body).await);
    }
}

#[tokio::test]
async fn what_belongs_to_the_process_is_for_operators() {
    let folder = shared();
    let all = ["search", "call", "admin"];
    let acme = key(folder.path(), Some("acme"), &all).await;
    let beta = key(folder.path(), Some("beta"), &all).await;
    let gamma = key(folder.path(), Some("gamma"), &all).await;
    let main = key(folder.path(), None, &["search"]).await;
    let operator = key(folder.path(), None, &all).await;
    let shared = Service::start(folder.path(), &[]).await;
    let acme = Asker::new(&shared, Some(&acme));
    let main = Asker::new(&shared, Some(&main));
    until_listed(&acme, &shared, ACME.len()).await;
    for path in ["/metrics", "/v1/admin/tenants", "/v1/admin/quotas", "/v1/admin/log"] {
        let told = acme.get(path).await;
        assert_eq!((told.status, told.problem()), (404, "no-such-path".into()), "{path}");
        assert!(main.get(path).await.status == 403, "{path}");
    }
    // Keys: its own alone, whatever it asks for.
    let keys = acme.get("/v1/admin/keys").await.json();
    let keys = keys["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 1, "{keys:?}");
    assert_eq!(keys[0]["tenant"], "acme");
    let refused = acme.post("/v1/admin/keys", &json!({"name": "x", "tenant": "beta"})).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    let made = acme.post("/v1/admin/keys", &json!({"name": "x"})).await.json();
    assert_eq!(made["tenant"], "acme", "{made}");
    let operator = Asker::new(&shared, Some(&operator));
    let every = operator.get("/v1/admin/keys").await.json();
    let of_beta = every["keys"].as_array().unwrap().iter().find(|key| key["tenant"] == "beta");
    let id = of_beta.unwrap()["id"].as_str().unwrap();
    let path = format!("/v1/admin/keys/{id}");
    let revoked = acme.send(acme.request(Method::DELETE, &path)).await;
    assert_eq!(revoked.status, 404, "{revoked:?}");
    assert_eq!(Asker::new(&shared, Some(&beta)).get("/v1/status").await.status, 200);
    // A key of a tenant that never was tells nothing of those that are.
    let nobody = Asker::new(&shared, Some(&gamma));
    for path in ["/v1/tools", "/mcp", "/v1/admin/keys", "/metrics"] {
        let told = nobody.get(path).await;
        assert_eq!((told.status, told.problem()), (403, "not-served".into()), "{path}");
        assert!(!told.text.contains("acme") && !told.text.contains("beta"), "{}", told.text);
    }
}

#[tokio::test]
async fn what_another_does_changes_nothing_for_a_tenant() {
    let folder = shared();
    let all = ["search", "call", "admin"];
    let acme = key(folder.path(), Some("acme"), &all).await;
    let beta = key(folder.path(), Some("beta"), &all).await;
    let shared = Service::start(folder.path(), &[]).await;
    let (acme, beta) = (Asker::new(&shared, Some(&acme)), Asker::new(&shared, Some(&beta)));
    until_listed(&acme, &shared, ACME.len()).await;
    until_listed(&beta, &shared, BETA.len()).await;
    let stream = acme.request(Method::GET, "/mcp").header("accept", "text/event-stream");
    let mut stream = stream.send().await.unwrap();
    assert_eq!(stream.status(), 200);
    let before = acme.get("/v1/status").await.json()["generation"].clone();
    let changes = acme.get("/v1/changes").await.json();
    // A query that the other asked first is no repetition here, and teaches nothing.
    for _ in 0..3 {
        assert_eq!(beta.get("/v1/search?q=read+letters").await.status, 200);
        let chosen = json!({"query": "read letters", "tool": "mail/send"});
        assert_eq!(beta.post("/v1/feedback", &chosen).await.status, 202);
    }
    let evidence =
        async |asker: &Asker| asker.get("/v1/admin/learned").await.json()["total"].clone();
    shared.until("learned", async || evidence(&beta).await == 1).await;
    assert_eq!(evidence(&acme).await, 0);
    // Its catalog changes.
    write_catalog(folder.path(), "beta", &BETA[..2]);
    assert_eq!(beta.post("/v1/admin/servers/beta-file/refresh", &json!({})).await.status, 200);
    until_listed(&beta, &shared, 2).await;
    assert_eq!(acme.get("/v1/status").await.json()["generation"], before);
    assert_eq!(acme.get("/v1/changes").await.json(), changes);
    assert_ne!(beta.get("/v1/changes").await.json()["events"], json!([]));
    let heard = tokio::time::timeout(Duration::from_millis(300), stream.chunk()).await;
    assert!(heard.is_err(), "news of another: {heard:?}");
    // Its own does.
    write_catalog(folder.path(), "acme", &ACME[..1]);
    assert_eq!(acme.post("/v1/admin/servers/acme-file/refresh", &json!({})).await.status, 200);
    let heard = tokio::time::timeout(crate::support::crawling::PATIENCE, stream.chunk()).await;
    let heard = heard.unwrap().unwrap().unwrap();
    assert!(String::from_utf8_lossy(&heard).contains("list_changed"), "{heard:?}");
}
