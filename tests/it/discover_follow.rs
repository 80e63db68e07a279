//! `[[registry]]`: a registry is followed, and its servers are connected to once approved.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::crawling::page;
use crate::support::mock_http::{MockHttp, Speaks};
use crate::support::mock_registry::{MockRegistry, Mood, entry, said, time};
use crate::support::service::{Service, configure, run};

async fn server(tool: &str) -> MockHttp {
    MockHttp::pages(Speaks::Stateless, false, vec![(None, page(&[tool], None))]).await
}

/// A toolscout that follows `registry`.
async fn follow(folder: &Path, registry: &MockRegistry, more: &str) -> Service {
    let url = &registry.url;
    configure(
        folder,
        &format!("[[registry]]\nname = \"ours\"\nurl = \"{url}\"\nrefresh = \"1s\"\n{more}\n"),
    );
    Service::start(folder, &[]).await
}

fn token(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("data/admin.token")).unwrap().trim().to_owned()
}

async fn admin(folder: &Path, service: &Service, post: bool, path: &str) -> (u16, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/v1/admin/{path}", service.url);
    let request = if post { client.post(url).json(&json!({})) } else { client.get(url) };
    let response = request.bearer_auth(token(folder)).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap_or_default())
}

async fn registry_cli(folder: &Path, args: &[&str]) -> String {
    let ran = run(folder, &[&["registry"], args, &["--data", "data"]].concat()).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.stdout
}

async fn until_gone(service: &Service, id: &str) {
    service.until(&format!("{id} is gone"), async || service.server(id).await.is_null()).await;
}

#[tokio::test]
async fn servers_wait_for_approval_and_nobody_connects_before() {
    let (one, two) = (server("one").await, server("two").await);
    let mut inside = entry("a.b/inside", "http://10.0.0.1/mcp", 3);
    inside["server"]["packages"] = json!([{"registryType": "npm", "identifier": "evil",
        "version": "1", "transport": {"type": "stdio"}}]);
    let registry = MockRegistry::start(vec![
        entry("a.b/one", one.url.as_str(), 1),
        entry("a.b/two", two.url.as_str(), 2),
        inside,
        json!({"server": {"name": "a.b/broken", "remotes": "none"}}),
    ])
    .await;
    let folder = tempfile::tempdir().unwrap();
    let service = follow(folder.path(), &registry, "").await;
    service.until_state("a.b_one", "pending_approval").await;
    service.until_state("a.b_two", "pending_approval").await;
    assert!(service.server("a.b_inside").await.is_null());
    assert_eq!((one.seen().len(), two.seen().len()), (0, 0));

    // By the API.
    let (status, _) =
        admin(folder.path(), &service, true, "registries/servers/a.b_one/approve").await;
    assert_eq!(status, 200);
    service.until_state("a.b_one", "ready").await;
    assert_eq!(service.tools().await, ["a.b_one/one"]);
    let (status, body) =
        admin(folder.path(), &service, true, "registries/servers/a.b_none/approve").await;
    assert_eq!((status, &body["type"]), (404, &json!("urn:toolscout:problem:unknown-server")));
    let (_, status) = admin(folder.path(), &service, false, "registries").await;
    let ours = &status["registries"][0];
    assert_eq!((&ours["servers"], &ours["pending"]), (&json!(2), &json!(1)), "{status}");

    // By the command line, beside the running service.
    let waiting = registry_cli(folder.path(), &["pending"]).await;
    assert!(waiting.contains("a.b_two") && !waiting.contains("a.b_one"), "{waiting}");
    assert_eq!(two.seen().len(), 0);
    registry_cli(folder.path(), &["approve", "a.b_two"]).await;
    service.until_state("a.b_two", "ready").await;
    assert_eq!(registry_cli(folder.path(), &["pending"]).await.lines().next(), Some("none waits"));
    registry_cli(folder.path(), &["revoke", "a.b_two"]).await;
    service.until_state("a.b_two", "pending_approval").await;
    assert_eq!(service.tools().await, ["a.b_one/one"]);
    service.stop().await;
}

#[tokio::test]
async fn changes_are_followed_and_deletions_respected() {
    let (one, two) = (server("one").await, server("two").await);
    let registry = MockRegistry::start(vec![
        entry("a.b/one", one.url.as_str(), 1),
        entry("a.b/two", two.url.as_str(), 2),
        entry("c.d/other", two.url.as_str(), 3),
    ])
    .await;
    let folder = tempfile::tempdir().unwrap();
    let more = "approve = \"all\"\nfilter = [\"a.b/*\"]";
    let service = follow(folder.path(), &registry, more).await;
    service.until_state("a.b_one", "ready").await;
    service.until_state("a.b_two", "ready").await;
    assert!(service.server("c.d_other").await.is_null());
    // Only what changed is asked for, once all is known.
    service
        .until("asked for changes", async || {
            let last = registry.listings().pop().unwrap();
            last.iter().any(|(name, _)| name == "updated_since")
        })
        .await;
    registry.change(|entries| {
        said(&mut entries[0])["status"] = "deleted".into();
        said(&mut entries[0])["updatedAt"] = time(4000).into();
        said(&mut entries[1])["status"] = "deprecated".into();
        said(&mut entries[1])["statusMessage"] = "use three".into();
        said(&mut entries[1])["updatedAt"] = time(4001).into();
        entries.push(entry("a.b/three", two.url.as_str(), 4002));
    });
    until_gone(&service, "a.b_one").await;
    service.until_state("a.b_three", "ready").await;
    service.until_state("a.b_two", "ready").await;
    service
        .until("the deprecation is told", async || {
            let (_, status) = admin(folder.path(), &service, false, "registries").await;
            status["registries"][0]["deprecated"] == json!([["a.b_two", "use three"]])
        })
        .await;
    service.until_logged("use three").await;
    service.stop().await;
}

#[tokio::test]
async fn an_approval_is_of_one_address_and_outlives_a_restart() {
    let (one, moved) = (server("one").await, server("moved").await);
    let registry = MockRegistry::start(vec![entry("a.b/one", one.url.as_str(), 1)]).await;
    let folder = tempfile::tempdir().unwrap();
    let service = follow(folder.path(), &registry, "").await;
    service.until_state("a.b_one", "pending_approval").await;
    registry_cli(folder.path(), &["approve", "--all"]).await;
    service.until_state("a.b_one", "ready").await;
    service.until("saved", async || folder.path().join("data/registry/ours.json").exists()).await;
    service.stop().await;

    // The registry is down: what was known is served, and crawled.
    registry.be(Mood::Down);
    let service = follow(folder.path(), &registry, "").await;
    service.until_state("a.b_one", "ready").await;
    assert_eq!(service.tools().await, ["a.b_one/one"]);
    service
        .until("its failure is told", async || {
            let (_, status) = admin(folder.path(), &service, false, "registries").await;
            status["registries"][0]["error"].as_str().is_some_and(|error| error.contains("500"))
        })
        .await;
    for mood in [Mood::Huge, Mood::Garbage, Mood::Endless] {
        registry.be(mood);
        let before = registry.site.seen().len();
        service.until("asked again", async || registry.site.seen().len() > before + 1).await;
        assert_eq!(service.tools().await, ["a.b_one/one"], "{mood:?}");
    }
    // It moves the server: that is another question.
    registry.change(|entries| {
        entries[0]["server"]["remotes"][0]["url"] = moved.url.as_str().into();
        said(&mut entries[0])["updatedAt"] = time(5000).into();
    });
    registry.be(Mood::Well);
    service.until_state("a.b_one", "pending_approval").await;
    assert_eq!(moved.seen().len(), 0);
    assert!(service.tools().await.is_empty());
    service.stop().await;
}

#[tokio::test]
async fn what_is_approved_is_the_address_that_was_looked_at() {
    let (one, two) = (server("one").await, server("two").await);
    let registry = MockRegistry::start(vec![
        entry("a.b/one", one.url.as_str(), 1),
        entry("a.b/two", two.url.as_str(), 2),
    ])
    .await;
    let folder = tempfile::tempdir().unwrap();
    let service = follow(folder.path(), &registry, "").await;
    service.until_state("a.b_two", "pending_approval").await;
    let (_, status) = admin(folder.path(), &service, false, "registries").await;
    let (one_url, two_url) = (one.url.as_str(), two.url.as_str());
    let waiting = json!([{"id": "a.b_one", "url": one_url}, {"id": "a.b_two", "url": two_url}]);
    assert_eq!(status["registries"][0]["waiting"], waiting, "{status}");

    let url = format!("{}/v1/admin/registries/servers/a.b_one/approve", service.url);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let approve = async |body: Value| {
        let request = client.post(&url).bearer_auth(token(folder.path())).json(&body);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    for (body, status, code) in [
        (json!({"url": two_url}), 409, "server-moved"),
        (json!({"url": "elsewhere"}), 409, "server-moved"),
        (json!({"address": one_url}), 400, "invalid-request"),
    ] {
        let (got, problem) = approve(body).await;
        assert_eq!(got, status, "{problem}");
        assert_eq!(problem["type"], format!("urn:toolscout:problem:{code}"));
    }
    let at = |id, url| ["registry", "approve", id, "--data", "data", "--at", url];
    let ran = run(folder.path(), &at("a.b_two", one_url)).await;
    assert!(ran.code == 1 && ran.stderr.contains(two_url), "{}", ran.stderr);
    let both = [&at("a.b_two", two_url)[..], &["a.b_one"]].concat();
    assert_eq!(run(folder.path(), &both).await.code, 1);
    assert_eq!((one.seen().len(), two.seen().len()), (0, 0));

    assert_eq!(approve(json!({"url": one_url})).await.0, 200);
    service.until_state("a.b_one", "ready").await;
    let ran = run(folder.path(), &at("a.b_two", two_url)).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    service.until_state("a.b_two", "ready").await;
    service.stop().await;
}

#[tokio::test]
async fn a_configured_server_is_never_shadowed_and_a_cap_holds() {
    let (mine, theirs) = (server("mine").await, server("theirs").await);
    let entries = ["a", "b", "c"].map(|name| entry(&format!("x.y/{name}"), theirs.url.as_str(), 1));
    let registry = MockRegistry::start(entries.into()).await;
    let folder = tempfile::tempdir().unwrap();
    let more = format!(
        "approve = \"all\"\nmax = 2\n[servers.\"x.y_a\"]\nurl = \"{}\"\nenabled = true",
        mine.url
    );
    let service = follow(folder.path(), &registry, &more).await;
    service.until_state("x.y_b", "ready").await;
    service.until_state("x.y_a", "ready").await;
    let mut tools = service.tools().await;
    tools.sort();
    assert_eq!(tools, ["x.y_a/mine", "x.y_b/theirs"]);
    assert!(service.server("x.y_c").await.is_null());
    let (_, status) = admin(folder.path(), &service, false, "registries").await;
    assert_eq!(status["registries"][0]["beyond_max"], 1, "{status}");
    service.stop().await;
}

#[tokio::test]
async fn a_registry_that_tells_no_times_is_read_as_a_whole() {
    let one = server("one").await;
    let mut entries =
        vec![entry("a.b/one", one.url.as_str(), 1), entry("a.b/two", one.url.as_str(), 1)];
    for entry in &mut entries {
        entry["_meta"] = Value::Null;
    }
    let registry = MockRegistry::start(entries).await;
    let folder = tempfile::tempdir().unwrap();
    let service = follow(folder.path(), &registry, "").await;
    service.until_state("a.b_two", "pending_approval").await;
    registry.change(|entries| {
        entries.pop();
    });
    until_gone(&service, "a.b_two").await;
    assert!(!service.server("a.b_one").await.is_null());
    service.stop().await;
}

#[tokio::test]
async fn a_damaged_state_is_set_aside() {
    let one = server("one").await;
    let registry = MockRegistry::start(vec![entry("a.b/one", one.url.as_str(), 1)]).await;
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("data/registry/ours.json");
    std::fs::create_dir_all(state.parent().unwrap()).unwrap();
    std::fs::write(&state, "{\"servers\": 7").unwrap();
    let service = follow(folder.path(), &registry, "").await;
    service.until_state("a.b_one", "pending_approval").await;
    assert!(state.with_extension("json.damaged").exists());
    service.stop().await;
}
