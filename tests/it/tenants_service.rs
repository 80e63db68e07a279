//! Tenants as operators have them: started, changed, administered and watched, one by one.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};
use toolscout::serve::TENANT;

use crate::support::crawling::page;
use crate::support::mock_http::{MockHttp, Speaks};
use crate::support::service::{Service, configure, run};
use crate::support::tenants::{Asker, key, operator};

fn catalog_of(folder: &Path, name: &str, tool: &str) {
    let line = json!({"server": name, "name": tool, "inputSchema": {"type": "object"}});
    std::fs::write(folder.join(format!("{name}.jsonl")), format!("{line}\n")).unwrap();
    let text = format!("[servers.{name}-file]\ncatalog = '{name}.jsonl'\n");
    std::fs::write(folder.join(format!("{name}.toml")), text).unwrap();
}

fn configure_with(folder: &Path, tenants: &[&str]) {
    let one = |name: &&str| format!("[tenants.{name}]\nconfig = '{name}.toml'\n");
    let tenants: String = tenants.iter().map(one).collect();
    configure(folder, &format!("[auth]\nkeys = true\n{tenants}"));
}

async fn listed(service: &Service, asker: &Asker, id: &str) {
    service
        .until(&format!("{id} is listed"), async || {
            let told = asker.get("/v1/tools").await;
            told.status == 200 && told.text.contains(&format!("{id:?}"))
        })
        .await;
}

async fn state(service: &Service, folder: &Path, name: &str) -> Value {
    let asker = Asker::new(service, Some(&operator(folder)));
    let told = asker.get("/v1/admin/tenants").await.json();
    let tenants = told["tenants"].as_array().unwrap().clone();
    tenants.into_iter().find(|tenant| tenant["name"] == name).unwrap_or_default()
}

async fn reload(service: &Service, folder: &Path) -> Value {
    let args = ["reload", "--json", "--data", "data", "--url", &service.url];
    run(folder, &args).await.json()
}

#[tokio::test]
async fn a_tenant_comes_changes_and_goes_with_a_reload() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    catalog_of(folder, "acme", "one");
    catalog_of(folder, "beta", "two");
    configure_with(folder, &["acme"]);
    let acme = key(folder, Some("acme"), &["search"]).await;
    let beta = key(folder, Some("beta"), &["search"]).await;
    let service = Service::start(folder, &[]).await;
    let (acme, beta) = (Asker::new(&service, Some(&acme)), Asker::new(&service, Some(&beta)));
    listed(&service, &acme, "acme/one").await;
    assert_eq!(beta.get("/v1/tools").await.problem(), "not-served");

    configure_with(folder, &["acme", "beta"]);
    assert_eq!(reload(&service, folder).await["warnings"], json!([]));
    listed(&service, &beta, "beta/two").await;
    assert_eq!(state(&service, folder, "beta").await["state"], "serving");
    // Its own file is looked at, too.
    catalog_of(folder, "other", "three");
    std::fs::rename(folder.join("other.toml"), folder.join("beta.toml")).unwrap();
    listed(&service, &beta, "other/three").await;
    // One that is wrong changes nothing, and is told of to whoever reloads and whoever asks.
    std::fs::write(folder.join("beta.toml"), "[servers.x]\ncomand = 'sh'\nlisten = 1").unwrap();
    let told = reload(&service, folder).await["warnings"].to_string();
    assert!(told.contains("tenant beta") && told.contains("unknown key"), "{told}");
    let known = state(&service, folder, "beta").await;
    assert!(known["error"].as_str().unwrap().contains("unknown key"), "{known}");
    listed(&service, &beta, "other/three").await;
    listed(&service, &acme, "acme/one").await;

    configure_with(folder, &["beta"]);
    let _ = reload(&service, folder).await;
    assert_eq!(acme.get("/v1/tools").await.problem(), "not-served");
    assert_eq!(state(&service, folder, "acme").await, Value::Null);
    // And back again, in the same folder.
    configure_with(folder, &["acme", "beta"]);
    let _ = reload(&service, folder).await;
    listed(&service, &acme, "acme/one").await;
    assert!(folder.join("data/tenants/acme/snapshots/catalog.snapshot").is_file());
    let mode = std::fs::metadata(folder.join("data/tenants/acme")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    service.stop().await;
}

#[tokio::test]
async fn a_wrong_file_stops_the_start_and_an_unreadable_folder_only_its_tenant() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    catalog_of(folder, "acme", "one");
    catalog_of(folder, "beta", "two");
    configure_with(folder, &["acme", "beta"]);
    std::fs::write(folder.join("beta.toml"), "[embed]\nenabled = false\n").unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data", "data"];
    for args in [&serve[..], &["config", "check", "--data", "data"]] {
        let ran = run(folder, args).await;
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert!(
            ran.stderr.contains("beta.toml:1: embed: belongs to the process"),
            "{}",
            ran.stderr
        );
    }
    catalog_of(folder, "beta", "two");
    assert_eq!(run(folder, &["config", "check", "--data", "data"]).await.code, 0);

    // Logins that others can read.
    let tokens = folder.join("data/tenants/beta/tokens");
    std::fs::create_dir_all(&tokens).unwrap();
    std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(0o755)).unwrap();
    let acme = key(folder, Some("acme"), &["search"]).await;
    let beta = key(folder, Some("beta"), &["search"]).await;
    let service = Service::start(folder, &[]).await;
    let (acme, beta) = (Asker::new(&service, Some(&acme)), Asker::new(&service, Some(&beta)));
    listed(&service, &acme, "acme/one").await;
    service
        .until("failed", async || state(&service, folder, "beta").await["state"] == "failed")
        .await;
    let told = beta.get("/v1/tools").await;
    assert_eq!((told.status, told.problem()), (503, "not-available".into()));
    assert!(!told.text.contains("tokens"), "{}", told.text);
    let why = state(&service, folder, "beta").await["error"].to_string();
    assert!(why.contains("chmod"), "{why}");
    // Mended, it is there at the next reload.
    std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(0o700)).unwrap();
    let _ = reload(&service, folder).await;
    listed(&service, &beta, "beta/two").await;
    service.stop().await;
}

#[tokio::test]
async fn an_operator_administers_a_tenant_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    catalog_of(folder, "acme", "one");
    let door = MockHttp::pages(Speaks::Stateless, false, vec![(None, page(&["open"], None))]).await;
    std::fs::write(folder.join("acme.toml"), format!("[servers.door]\nurl = '{}'\n", door.url))
        .unwrap();
    let tenant = "[tenants.acme]\nconfig = 'acme.toml'\n";
    configure(folder, &format!("[auth]\nkeys = true\n[audit]\nenabled = true\n{tenant}"));
    let acme = key(folder, Some("acme"), &["search"]).await;
    let plain = key(folder, None, &["search", "call"]).await;
    let service = Service::start(folder, &[]).await;
    let acme = Asker::new(&service, Some(&acme));
    listed(&service, &acme, "door/open").await;
    let cli = async |args: &[&str]| {
        run(folder, &[args, &["--data", "data", "--url", &service.url]].concat()).await
    };
    let paused = cli(&["server", "pause", "door", "--tenant", "acme"]).await;
    assert_eq!(paused.stdout, "door is paused\n", "{}", paused.stderr);
    let state = async || acme.get("/v1/servers").await.json()["servers"][0]["state"].clone();
    service.until("paused", async || state().await == "paused").await;
    // Without the name it is about the main configuration, which has no such server.
    let unknown = cli(&["server", "resume", "door"]).await;
    assert!(unknown.code != 0 && unknown.stderr.contains("no server `door`"), "{}", unknown.stderr);
    let unknown = cli(&["server", "resume", "door", "--tenant", "gamma"]).await;
    assert!(unknown.stderr.contains("no tenant of this name"), "{}", unknown.stderr);
    // Twice is once too often; and who is no operator names nobody.
    let token = operator(folder);
    let mut twice = Asker::with(&service, Some(&token), (TENANT, "acme"));
    assert_eq!(twice.get("/v1/tools").await.json()["tools"][0]["id"], "door/open");
    twice.more.push((TENANT, "acme".to_owned()));
    assert_eq!(twice.get("/v1/tools").await.status, 400);
    let plain = Asker::with(&service, Some(&plain), (TENANT, "acme"));
    assert!(!plain.get("/v1/tools").await.text.contains("door/open"));
    service.stop().await;
    // The audit log says whose it was, and that nobody of theirs did it.
    let kept = std::fs::read_to_string(folder.join("data/audit/audit.jsonl")).unwrap();
    let kept: Vec<Value> = kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let tenant_of = |target: &str| {
        let found = kept.iter().find(|event| event["target"] == target).unwrap();
        (found["proof"].as_str().unwrap(), found["tenant"].as_str())
    };
    assert_eq!(tenant_of("POST /v1/admin/servers/door/pause"), ("operator", Some("acme")));
    assert_eq!(tenant_of("POST /v1/admin/servers/door/resume"), ("operator", None));
}

#[tokio::test]
async fn gauges_and_log_lines_say_whose_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    catalog_of(folder, "acme", "one");
    catalog_of(folder, "beta", "two");
    configure_with(folder, &["acme", "beta"]);
    let acme = key(folder, Some("acme"), &["search"]).await;
    let beta = key(folder, Some("beta"), &["search"]).await;
    let service = Service::start(folder, &["--log-format", "json"]).await;
    for (key, id) in [(acme, "acme/one"), (beta, "beta/two")] {
        listed(&service, &Asker::new(&service, Some(&key)), id).await;
    }
    let metrics = Asker::new(&service, Some(&operator(folder))).get("/metrics").await;
    assert_eq!(metrics.status, 200);
    for line in [
        "toolscout_tools 0",
        r#"toolscout_tools{tenant="acme"} 1"#,
        r#"toolscout_tools{tenant="beta"} 1"#,
        r#"toolscout_servers{state="ready",tenant="acme"} 1"#,
    ] {
        assert!(metrics.text.lines().any(|told| told == line), "{line}: {}", metrics.text);
    }
    assert!(
        !metrics.text.contains("acme/one") && !metrics.text.contains("two"),
        "{}",
        metrics.text
    );
    let once = metrics.text.matches("# TYPE toolscout_tools gauge").count();
    assert_eq!(once, 1, "{}", metrics.text);
    let log = service.log();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let published: Vec<Value> =
        lines.filter(|line| line["fields"]["message"] == "published").collect();
    for name in ["acme", "beta"] {
        let of = |line: &&Value| line["spans"][0]["tenant"] == name;
        assert!(published.iter().any(|line| of(&line)), "{name}: {published:?}");
    }
    service.stop().await;
}
