//! Logins at servers that stand in no file, and beside entries that are wrong.

use serde_json::json;

use crate::support::mock_http::{MockHttp, Speaks};
use crate::support::mock_registry::{MockRegistry, entry};
use crate::support::oauth::{Site, log_in};
use crate::support::service::{Ran, Service, configure, run};

async fn auth(folder: &std::path::Path, args: &[&str]) -> Ran {
    run(folder, &[&["auth"], args, &["--data", "data"]].concat()).await
}

#[tokio::test]
async fn a_server_that_was_added_while_it_served_is_logged_in_at() {
    let Some(site) = Site::start().await else { return };
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), "");
    let service = Service::start(folder.path(), &[]).await;
    let url = format!("{}/mcp", site.mcp);
    let add = ["server", "add", "guarded", &url, "--data", "data", "--url", &service.url];
    assert_eq!(run(folder.path(), &add).await.code, 0);
    service.until_state("guarded", "auth_required").await;
    let ran = log_in(folder.path()).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    service.until_state("guarded", "ready").await;

    let status = auth(folder.path(), &["status", "--json"]).await.json();
    assert_eq!(status["servers"][0]["server"], "guarded");
    assert_eq!(status["servers"][0]["state"], "logged in");
    let ran = auth(folder.path(), &["refresh", "guarded"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(auth(folder.path(), &["logout", "guarded"]).await.stdout, "guarded: logged out\n");
    service.stop().await;
}

#[tokio::test]
async fn a_server_of_a_registry_is_known_once_it_is_approved() {
    let closed = MockHttp::pages(Speaks::Nothing(401, None), false, Vec::new()).await;
    let registry = MockRegistry::start(vec![entry("a.b/one", closed.url.as_str(), 1)]).await;
    let folder = tempfile::tempdir().unwrap();
    let text = format!("[[registry]]\nname = \"ours\"\nurl = \"{}\"\n", registry.url);
    configure(folder.path(), &text);
    let service = Service::start(folder.path(), &[]).await;
    service.until_state("a.b_one", "pending_approval").await;
    let known = async || {
        let status = auth(folder.path(), &["status", "--json"]).await.json();
        status["servers"].as_array().unwrap().clone()
    };
    assert!(known().await.is_empty());
    let ran = run(folder.path(), &["registry", "approve", "a.b_one", "--data", "data"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    service.until_state("a.b_one", "auth_required").await;
    assert_eq!(known().await[0]["server"], "a.b_one");
    service.stop().await;
    assert_eq!(auth(folder.path(), &["logout", "a.b_one"]).await.code, 0);
}

#[tokio::test]
async fn an_entry_that_is_wrong_stops_nothing_but_its_own_login() {
    let folder = tempfile::tempdir().unwrap();
    let client = json!({"mcpServers": {"odd": {"url": 7}, "fine": {"url": "http://127.0.0.1:9/"}}});
    std::fs::write(folder.path().join("mcp.json"), client.to_string()).unwrap();
    configure(
        folder.path(),
        "[servers.tracker]\nurl = \"http://127.0.0.1:9/\"\n\
         [servers.unset]\nurl = \"http://127.0.0.1:9/${NOWHERE_SET}\"\n\
         [servers.typo]\nurl = \"http://127.0.0.1:9/\"\noath = {}\n",
    );
    let status = auth(folder.path(), &["status", "--json", "--mcp-config", "mcp.json"]).await;
    for told in ["servers.unset.url: ", "NOWHERE_SET", "servers.typo.oath: ", "mcpServers.odd"] {
        assert!(status.stderr.contains(told), "{told}: {}", status.stderr);
    }
    let status = status.json();
    let ids = status["servers"].as_array().unwrap().iter().map(|server| &server["server"]);
    assert_eq!(ids.collect::<Vec<_>>(), ["fine", "tracker"]);
    let ran = auth(folder.path(), &["logout", "tracker"]).await;
    assert_eq!(ran.stdout, "tracker: there was no login\n");
    for wrong in ["unset", "typo"] {
        let ran = auth(folder.path(), &["login", wrong]).await;
        assert_eq!(ran.code, 1);
        assert!(ran.stderr.contains("or its entry is wrong (see above)"), "{}", ran.stderr);
    }
    // What is wrong elsewhere is as wrong as ever.
    configure(folder.path(), "token_key_file = \"none\"");
    let ran = auth(folder.path(), &["status"]).await;
    assert!(ran.code != 0 && ran.stderr.contains("token_key_file"), "{}", ran.stderr);
}
