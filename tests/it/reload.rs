//! A configuration that changes while toolscout serves: what changed is connected to anew, what
//! did not runs on, and what is wrong changes nothing.

use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::crawling::page;
use crate::support::mock_http::{Answer, MockHttp, Speaks};
use crate::support::mock_registry::{self, MockRegistry};
use crate::support::service::{Service, catalog, configure, run};

async fn mock(tools: &[&str]) -> MockHttp {
    MockHttp::pages(Speaks::Stateless, false, vec![(None, page(tools, None))]).await
}

fn entry(id: &str, mock: &MockHttp, more: &str) -> String {
    format!("[servers.{id}]\nurl = \"{}\"\n{more}\n", mock.url)
}

async fn reload(folder: &Path, service: &Service) -> Value {
    let args = ["reload", "--json", "--data", "data", "--url", &service.url];
    run(folder, &args).await.json()
}

#[tokio::test]
async fn only_what_changed_reconnects() {
    let (door, bell, lamp) =
        (mock(&["open", "shut"]).await, mock(&["ring"]).await, mock(&["light"]).await);
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), &(entry("door", &door, "") + &entry("bell", &bell, "")));
    let service = Service::start(folder.path(), &[]).await;
    service.until_state("door", "ready").await;
    service.until_state("bell", "ready").await;
    let asked = door.seen().len();

    let next = entry("door", &door, "") + &entry("lamp", &lamp, "");
    configure(folder.path(), &next);
    let told = reload(folder.path(), &service).await;
    // The watch may have been quicker.
    if told["unchanged"] != 2 {
        assert_eq!(told["added"], serde_json::json!(["lamp"]), "{told}");
        assert_eq!(told["removed"], serde_json::json!(["bell"]), "{told}");
    }
    service.until_state("lamp", "ready").await;
    service.until("the bell is gone", async || service.server("bell").await.is_null()).await;
    assert_eq!(service.tools().await, ["door/open", "door/shut", "lamp/light"]);
    assert_eq!(door.seen().len(), asked, "a server that did not change was asked again");

    let told = reload(folder.path(), &service).await;
    assert_eq!(told["unchanged"], 2, "{told}");
    service.stop().await;
}

#[tokio::test]
async fn a_tool_that_is_denied_goes_also_where_its_server_is_down() {
    let door = mock(&["open", "shut"]).await;
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), &entry("door", &door, ""));
    let service = Service::start(folder.path(), &[]).await;
    service.until_state("door", "ready").await;
    // Another address under the same id, and nobody there.
    configure(folder.path(), "[servers.door]\nurl = \"http://127.0.0.1:1/mcp\"\ndeny = [\"open\"]");
    service.until("the denied tool is gone", async || service.tools().await == ["door/shut"]).await;
    service.until_state("door", "stale").await;
    service.stop().await;
}

#[tokio::test]
async fn a_wrong_file_changes_nothing_and_says_why() {
    let door = mock(&["open"]).await;
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), &entry("door", &door, ""));
    let service = Service::start(folder.path(), &[]).await;
    service.until_state("door", "ready").await;

    configure(folder.path(), "[servers.door]\nurl = \"${NOT_SET_ANYWHERE}\"");
    service.until_logged("NOT_SET_ANYWHERE").await;
    let args = ["reload", "--data", "data", "--url", &service.url];
    let refused = run(folder.path(), &args).await;
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("stays in force"), "{}", refused.stderr);
    assert!(refused.stderr.contains("toolscout.toml:2"), "{}", refused.stderr);
    assert_eq!(service.server("door").await["state"], "ready");

    configure(folder.path(), &entry("gate", &door, ""));
    service.signal(Signal::HUP);
    service.until_state("gate", "ready").await;
    assert_eq!(service.tools().await, ["gate/open"]);
    service.stop().await;
}

#[tokio::test]
async fn a_file_of_tools_comes_and_goes() {
    let door = mock(&["open"]).await;
    let folder = tempfile::tempdir().unwrap();
    catalog(folder.path(), &[("bell", "ring", "Rings"), ("door", "knock", "Knocks")]);
    configure(folder.path(), "[servers.all]\ncatalog = \"catalog.jsonl\"");
    let service = Service::start(folder.path(), &[]).await;
    service.until_ready().await;
    assert_eq!(service.tools().await, ["bell/ring", "door/knock"]);
    // The door speaks for itself now, and the bell is nobody's any more.
    configure(folder.path(), &entry("door", &door, ""));
    service.until("the file is gone", async || service.tools().await == ["door/open"]).await;
    configure(folder.path(), "[servers.all]\ncatalog = \"catalog.jsonl\"\ndeny = [\"ring\"]");
    service.until("the file is back", async || service.tools().await == ["door/knock"]).await;
    service.stop().await;
}

#[tokio::test]
async fn what_takes_a_restart_is_named() {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), "");
    let service = Service::start(folder.path(), &["--demo"]).await;
    service.until_ready().await;
    configure(folder.path(), "allowed_hosts = [\"tools.test\"]\n[embed]\nenabled = false");
    let told = reload(folder.path(), &service).await;
    let named = serde_json::json!(["allowed_hosts, allowed_origins", "[embed]"]);
    assert_eq!(told["needs_restart"], named, "{told}");
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = certificate.cert.pem() + &certificate.signing_key.serialize_pem();
    std::fs::write(folder.path().join("both.pem"), pem).unwrap();
    configure(
        folder.path(),
        "[auth]\nkeys = true\n[limits]\nqueue = 9\n[tls]\ncert_file = \"both.pem\"\n\
         key_file = \"both.pem\"\n[telemetry]\naccess_log = true\n[audit]\nenabled = true",
    );
    let told = reload(folder.path(), &service).await;
    let named = serde_json::json!(["[auth]", "[limits]", "[tls]", "[telemetry]", "[audit]"]);
    assert_eq!(told["needs_restart"], named, "{told}");
    // Nothing of the demo was asked to go.
    assert_eq!(told["removed"], serde_json::json!([]), "{told}");
    service.stop().await;
}

#[tokio::test]
async fn calls_are_switched_on_while_it_runs() {
    let look = r#"{"tools":[{"name":"look","annotations":{"readOnlyHint":true},"inputSchema":{"type":"object"}}]}"#;
    let door = MockHttp::start(Speaks::Stateless, false, move |request| {
        let is_list = request.method == "tools/list";
        Answer::Result(if is_list { look.into() } else { r#"{"content":[]}"#.into() })
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), &entry("door", &door, ""));
    let service = Service::start(folder.path(), &[]).await;
    service.until_state("door", "ready").await;
    let call = async || {
        let url = format!("{}/v1/call", service.url);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let body = serde_json::json!({"id": "door/look"});
        let answer = client.post(url).json(&body).send().await.unwrap();
        answer.json::<serde_json::Value>().await.unwrap()
    };
    assert_eq!(call().await["type"], "urn:toolscout:problem:calls-off");
    configure(folder.path(), &format!("[call]\nenabled = true\n{}", entry("door", &door, "")));
    let told = reload(folder.path(), &service).await;
    assert_eq!(told["needs_restart"], serde_json::json!([]), "{told}");
    assert_eq!(told["unchanged"], 1, "{told}");
    assert_eq!(call().await["result"], serde_json::json!({"content": []}));
    let off = format!("[call]\nenabled = true\n{}", entry("door", &door, "call = \"off\""));
    configure(folder.path(), &off);
    let told = reload(folder.path(), &service).await;
    assert_eq!(told["unchanged"], 1, "{told}");
    assert_eq!(call().await["type"], "urn:toolscout:problem:calls-off");
    service.stop().await;
}

#[tokio::test]
async fn what_crawl_says_holds_for_servers_that_no_file_names() {
    let bell = MockHttp::start(Speaks::Stateless, false, |_| Answer::Hang).await;
    let listed = vec![mock_registry::entry("a.b/lamp", bell.url.as_str(), 1)];
    let registry = MockRegistry::start(listed).await;
    let registry =
        format!("[[registry]]\nname = \"ours\"\nurl = \"{}\"\napprove = \"all\"\n", registry.url);
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), &registry);
    let service = Service::start(folder.path(), &[]).await;
    let place = ["--data", "data", "--url", &service.url];
    let add = ["server", "add", "bell", bell.url.as_str()];
    assert_eq!(run(folder.path(), &[&add[..], &place].concat()).await.code, 0);
    let both = ["bell", "a.b_lamp"];
    for id in both {
        service.until_state(id, "connecting").await;
    }
    let until_said = async |said: &str| {
        for id in both {
            let what = format!("{id}: {said}");
            let error = async || service.server(id).await["error"].clone();
            service
                .until(&what, async || error().await.as_str().is_some_and(|e| e.contains(said)))
                .await;
        }
    };
    let crawl = format!("{registry}[crawl]\ntimeout = \"1s\"\n");
    configure(folder.path(), &crawl);
    let told = reload(folder.path(), &service).await;
    assert_eq!(told["needs_restart"], serde_json::json!([]), "{told}");
    until_said("within 1s").await;

    // Nobody is behind that proxy.
    configure(folder.path(), &format!("{crawl}proxy = \"http://127.0.0.1:1\"\n"));
    for _ in 0..2 {
        let told = reload(folder.path(), &service).await;
        let named = serde_json::json!(["[crawl], for [[registry]] alone"]);
        assert_eq!(told["needs_restart"], named, "{told}");
    }
    until_said("can't reach").await;
    service.stop().await;
}

#[tokio::test]
async fn a_secret_in_a_file_of_its_own_is_followed() {
    let door = mock(&["open"]).await;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("door.token");
    std::fs::write(&token, "first\n").unwrap();
    configure(folder.path(), &entry("door", &door, "bearer_token_file = \"door.token\""));
    let service = Service::start(folder.path(), &[]).await;
    service.until_state("door", "ready").await;
    for next in ["second", "third"] {
        std::fs::write(&token, next).unwrap();
        let sent = format!("Bearer {next}");
        let is_sent = async || {
            let seen = door.seen();
            seen.iter().any(|request| {
                request.headers.get("authorization").is_some_and(|value| *value == *sent)
            })
        };
        service.until("the new token is sent", is_sent).await;
    }
    service.stop().await;
}

#[tokio::test]
async fn what_is_edited_while_it_starts_is_read() {
    let (door, bell) = (mock(&["open"]).await, mock(&["ring"]).await);
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), &entry("door", &door, ""));
    // It reads what operators did after the configuration, and waits there for the other end.
    std::fs::create_dir(folder.path().join("data")).unwrap();
    let pipe = folder.path().join("data/servers.json");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let next = entry("bell", &bell, "");
    let path = folder.path().to_owned();
    let edit = tokio::task::spawn_blocking(move || {
        let mut opened = std::fs::File::options().write(true).open(&pipe).unwrap();
        configure(&path, &next);
        std::io::Write::write_all(&mut opened, b"{}").unwrap();
    });
    let (service, edited) = tokio::join!(Service::start(folder.path(), &[]), edit);
    edited.unwrap();
    service.until_state("bell", "ready").await;
    assert_eq!(service.tools().await, ["bell/ring"]);
    service.stop().await;
}
