//! Logins from the running service: the URL that it shows, the way back, and what it never tells.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::oauth::{Browser, Site, log_in};
use crate::support::service::{Service, run, serve};

async fn login_url(service: &Service) -> String {
    service.until_state("guarded", "auth_required").await;
    let server = service.server("guarded").await;
    server["login_url"].as_str().unwrap_or_else(|| panic!("{server}")).to_owned()
}

/// A service whose server wants a login, and where to log in.
async fn logged_out() -> Option<(Site, tempfile::TempDir, Service, String)> {
    let site = Site::start().await?;
    let folder = site.configured("refresh = \"1h\"");
    let service = Service::start(folder.path(), &[]).await;
    let url = login_url(&service).await;
    Some((site, folder, service, url))
}

#[tokio::test]
async fn a_browser_logs_in_and_the_tools_are_there() {
    let Some((site, folder, service, url)) = logged_out().await else { return };
    assert!(url.starts_with(&format!("{}/oauth/start/guarded", service.url)), "{url}");
    // By another name of the same machine it comes to the same.
    let page = Browser::new().open(&url.replace("127.0.0.1", "localhost")).await;
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.text.contains("logged in at guarded"), "{page:?}");
    service.until_state("guarded", "ready").await;
    assert_eq!(service.tools().await, ["guarded/read_ledger"]);
    assert_eq!(service.server("guarded").await["login_url"], Value::Null);
    service.stop().await;
    // The login outlives the process.
    let service = Service::start(folder.path(), &[]).await;
    service.until_state("guarded", "ready").await;
    assert_eq!(site.count("code").await, 1);
}

#[tokio::test]
async fn a_login_by_the_command_line_wakes_the_service() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("refresh = \"1h\"");
    let service = Service::start(folder.path(), &[]).await;
    service.until_state("guarded", "auth_required").await;
    assert_eq!(log_in(folder.path()).await.code, 0);
    service.until_state("guarded", "ready").await;
}

#[tokio::test]
async fn what_was_listed_for_one_login_is_not_served_under_another() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("refresh = \"1h\"");
    site.control(json!({ "lists": "mine", "ttl": 3 })).await;
    assert_eq!(log_in(folder.path()).await.code, 0);
    let service = Service::start(folder.path(), &[]).await;
    service.until_state("guarded", "ready").await;
    assert_eq!(service.server("guarded").await["private"], json!(true));
    service.stop().await;
    // From now on nobody gets a listing. A refreshed token is the same login.
    site.control(json!({ "lists": "none", "ttl": 3600 })).await;
    let service = Service::start(folder.path(), &[]).await;
    let refreshed = async || site.count("refresh").await > 0;
    service.until("the token is refreshed", refreshed).await;
    let failed = async || service.server("guarded").await["error"].is_string();
    service.until("a crawl failed", failed).await;
    assert_eq!(service.tools().await, ["guarded/diary"]);

    assert_eq!(log_in(folder.path()).await.code, 0);
    service.until("it is gone", async || service.tools().await.is_empty()).await;
    service.stop().await;
    let service = Service::start(folder.path(), &[]).await;
    service
        .until("a crawl failed", async || service.server("guarded").await["error"].is_string())
        .await;
    assert!(service.tools().await.is_empty());
}

#[tokio::test]
async fn an_answer_counts_once_and_in_the_browser_that_asked() {
    let Some((site, _folder, service, url)) = logged_out().await else { return };
    let callback = format!("{}/oauth/callback", service.url);
    let mine = Browser::new();
    let page = mine.open_until(&url, &callback).await;
    for forged in [
        callback.clone(),
        format!("{callback}?code=x&state=y"),
        page.url.as_str().replace("state=", "state=x"),
    ] {
        let page = mine.open(&forged).await;
        assert_eq!(page.status, 400, "{page:?}");
        assert!(page.text.contains("login-failed"), "{page:?}");
    }
    // Somebody else's browser, made to open the address.
    assert_eq!(Browser::new().open(page.url.as_str()).await.status, 400);
    assert_eq!(site.count("code").await, 0);
    assert_eq!(mine.open(page.url.as_str()).await.status, 200);
    assert_eq!(mine.open(page.url.as_str()).await.status, 400);
    assert_eq!(site.count("code").await, 1);
    service.until_state("guarded", "ready").await;
}

#[tokio::test]
async fn a_refused_login_leaves_the_url_for_the_next_try() {
    let Some((site, _folder, service, url)) = logged_out().await else { return };
    site.control(json!({ "consent": false })).await;
    let page = Browser::new().open(&url).await;
    assert!(page.status == 400 && page.text.contains("the user said no"), "{page:?}");
    assert_eq!(login_url(&service).await, url);
    site.control(json!({ "consent": true })).await;
    assert_eq!(Browser::new().open(&url).await.status, 200);
    service.until_state("guarded", "ready").await;
    // Where nobody has to log in, nobody can.
    let none = Browser::new().open(&url.replace("guarded", "none")).await;
    assert_eq!(none.status, 404, "{none:?}");
}

#[tokio::test]
async fn a_login_that_is_revoked_while_it_serves_is_asked_for_again() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("refresh = \"1s\"");
    assert_eq!(log_in(folder.path()).await.code, 0);
    let service = Service::start(folder.path(), &[]).await;
    service.until_state("guarded", "ready").await;
    site.control(json!({ "revoke": true })).await;
    let url = login_url(&service).await;
    // What was known is still found, and said to be stale.
    assert_eq!(service.tools().await, ["guarded/read_ledger"]);
    assert_eq!(Browser::new().open(&url).await.status, 200);
    service.until_state("guarded", "ready").await;
}

#[tokio::test]
async fn logins_go_on_side_by_side_and_nobody_locks_them() {
    let Some((site, _folder, service, url)) = logged_out().await else { return };
    let callback = format!("{}/oauth/callback", service.url);
    // Two windows of one browser.
    let mine = Browser::new();
    let one = mine.open_until(&url, &callback).await;
    let other = mine.open_until(&url, &callback).await;
    assert_eq!(mine.open(one.url.as_str()).await.status, 200);
    assert_eq!(mine.open(other.url.as_str()).await.status, 200);
    // More than wait at a time, none of which is ever answered.
    for _ in 0..40 {
        assert_eq!(Browser::new().open_until(&url, &site.issuer).await.status, 0);
    }
    assert_eq!(Browser::new().open(&url).await.status, 200);
}

#[tokio::test]
async fn a_page_can_not_begin_a_login_in_passing() {
    let Some((site, _folder, _service, url)) = logged_out().await else { return };
    let client = reqwest::Client::builder().no_proxy();
    let client = client.redirect(reqwest::redirect::Policy::none()).build().unwrap();
    for (within, status) in [("image", 403), ("iframe", 403), ("empty", 403), ("document", 302)] {
        let request = client.get(&url).header("sec-fetch-dest", within);
        assert_eq!(request.send().await.unwrap().status().as_u16(), status, "{within}");
        assert_eq!(site.count("register").await, u64::from(status == 302), "{within}");
    }
}

#[tokio::test]
async fn a_key_in_the_url_of_a_server_is_told_nobody() {
    let Some(site) = Site::start().await else { return };
    let folder = tempfile::tempdir().unwrap();
    site.configure(folder.path(), "mcp?api_key=s3cr3t", "refresh = \"1s\"");
    assert_eq!(log_in(folder.path()).await.code, 0);
    let service = Service::start(folder.path(), &[]).await;
    service.until_state("guarded", "ready").await;
    let start = format!("{}/oauth/start/guarded", service.url);
    for (change, said) in [
        (json!({ "resource": "https://elsewhere.example/mcp" }), "resource mismatch"),
        (json!({ "resource": null, "gone": 503 }), "503"),
    ] {
        site.control(change).await;
        let page = Browser::new().open(&start).await;
        assert!(page.status >= 400 && page.text.contains(said), "{page:?}");
        assert!(!page.text.contains("s3cr3t"), "{page:?}");
    }
    // A refresh that fails for the same reasons is told in the log and to everybody who asks.
    site.control(json!({ "gone": null, "resource": "https://elsewhere.example/mcp" })).await;
    site.control(json!({ "revokeAccess": true })).await;
    let failed = async || service.server("guarded").await["error"].to_string();
    service.until("it failed", async || failed().await.contains("resource mismatch")).await;
    assert!(!failed().await.contains("s3cr3t"), "{}", failed().await);
    assert!(!service.log().contains("s3cr3t"), "{}", service.log());
}

#[tokio::test]
async fn only_this_machine_is_shown_where_to_log_in() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("");
    let mut command = crate::config_check::toolscout(folder.path());
    command.args(["serve", "--listen", "0.0.0.0:0", "--allow-anonymous", "--data", "data"]);
    let mut service = Service::of(command).await;
    service.url = service.url.replace("0.0.0.0", "127.0.0.1");
    service.until_state("guarded", "auth_required").await;
    let server = service.server("guarded").await;
    assert!(server.get("login_url").is_none(), "{server}");
    assert!(server["error"].as_str().unwrap().contains("toolscout auth login guarded"), "{server}");
    assert_eq!(service.get("/oauth/start/guarded").await.0, 404);
}

/// Every secret of the login in that folder.
fn secrets(site: &Site, folder: &Path) -> Vec<String> {
    use toolscout::auth::Accounts;
    use toolscout::config::{Auth, OAuthConfig, Transport};

    let url = format!("{}/mcp", site.mcp).parse().unwrap();
    let transport = Transport::Http { url, headers: Vec::new() };
    let mut server = crate::support::crawling::server("guarded", transport);
    server.auth = Auth::OAuth(OAuthConfig::default());
    let mut config = crate::support::crawling::config(Vec::new());
    config.data = folder.join("data");
    let secrets = Accounts::open(&config).unwrap().of(&server).unwrap().secrets();
    assert_eq!(secrets.len(), 2);
    secrets
}

/// Every file below this folder, with its bytes as text.
fn files(folder: &Path) -> Vec<(std::path::PathBuf, String)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all = Vec::new();
    for path in entries {
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            all.push((path, text));
        }
    }
    all
}

#[tokio::test]
async fn no_token_is_told_anywhere() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("refresh = \"1s\"");
    let mut command = serve(folder.path(), &[]);
    command.env("TOOLSCOUT_LOG", "trace,rmcp::transport::auth=trace");
    let service = Service::of(command).await;
    let url = login_url(&service).await;
    let browser = Browser::new();
    let page = browser.open_until(&url, &format!("{}/oauth/callback", service.url)).await;
    let code = page.url.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    assert_eq!(browser.open(page.url.as_str()).await.status, 200);
    service.until_state("guarded", "ready").await;
    let mut hidden = secrets(&site, folder.path());
    hidden.push(code);
    // Refreshed, and refused in the end.
    site.control(json!({ "revokeAccess": true })).await;
    service.until("refreshed", async || site.count("refresh").await > 0).await;
    service.until_state("guarded", "ready").await;
    hidden.extend(secrets(&site, folder.path()));
    site.control(json!({ "revoke": true })).await;
    service.until_state("guarded", "auth_required").await;

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut told = vec![("the log".to_owned(), service.log())];
    for path in ["/v1/servers", "/v1/status", "/v1/tools", "/metrics", "/openapi.json"] {
        let request = client.request(Method::GET, format!("{}{path}", service.url));
        told.push((path.to_owned(), request.send().await.unwrap().text().await.unwrap()));
    }
    service.stop().await;
    for args in [["config", "check"].as_slice(), &["auth", "status"], &["auth", "status", "--json"]]
    {
        let ran = run(folder.path(), &[args, &["--data", "data"]].concat()).await;
        told.push((format!("{args:?}"), ran.stdout + &ran.stderr));
    }
    told.extend(
        files(folder.path()).into_iter().map(|(path, text)| (path.display().to_string(), text)),
    );
    assert!(told.len() > 10 && told[0].1.len() > 10_000);
    for (place, text) in told {
        for secret in &hidden {
            assert!(!text.contains(secret.as_str()), "{place} has {secret}");
        }
    }
}
