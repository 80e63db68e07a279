//! Logins by the command line, at a real authorization server; and all that must stop one.

use serde_json::json;

use crate::support::oauth::{Browser, Site, assert_crawled, begin, crawl, log_in};
use crate::support::service::run;

/// A login without anybody's help.
const MACHINE: &str = "[servers.guarded.oauth]\ngrant = \"client_credentials\"\n\
    client_id = \"machine\"\nclient_secret = \"machine-secret-0123456789\"";

#[tokio::test]
async fn a_login_is_all_that_it_takes() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("");
    let (state, error) = crawl(folder.path()).await;
    assert_eq!(state, "auth_required");
    assert!(error.contains("run `toolscout auth login guarded`"), "{error}");

    let ran = log_in(folder.path()).await;
    assert_eq!((ran.code, &*ran.stdout), (0, "guarded: logged in for tools:read\n"));
    assert_crawled(folder.path()).await;
    let status = ["auth", "status", "--json", "--data", "data"];
    let status = run(folder.path(), &status).await.json();
    let login = &status["servers"][0];
    assert_eq!((&login["state"], &login["refreshable"]), (&json!("logged in"), &json!(true)));
    assert_eq!(login["issuer"], site.issuer);
    assert_eq!(status["store"]["key"], "file");

    let refresh = ["auth", "refresh", "guarded", "--data", "data"];
    let ran = run(folder.path(), &refresh).await;
    assert!(
        ran.code == 0 && ran.stdout.starts_with("guarded: refreshed, good for "),
        "{}",
        ran.stdout
    );
    assert_crawled(folder.path()).await;
    assert_eq!(site.count("refresh").await, 1);

    let logout = ["auth", "logout", "guarded", "--data", "data"];
    assert_eq!(run(folder.path(), &logout).await.stdout, "guarded: logged out\n");
    assert_eq!(run(folder.path(), &logout).await.stdout, "guarded: there was no login\n");
    assert_eq!(crawl(folder.path()).await.0, "auth_required");
    let ran = run(folder.path(), &refresh).await;
    assert!(ran.code == 1 && ran.stderr.contains("auth login guarded"), "{}", ran.stderr);
}

#[tokio::test]
async fn a_url_can_be_pasted_where_there_is_no_browser() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("");
    let mut waiting = begin(folder.path(), &["--paste"]).await.unwrap();
    let page = Browser::new().open_until(&waiting.url, "http://127.0.0.1:").await;
    // The authorization server is on loopback too: go on to the callback.
    let browser = Browser::new();
    let page = match page.url.path() {
        "/callback" => page,
        _ => browser.open_until(&waiting.url, &callback_of(&waiting.url)).await,
    };
    waiting.paste("what is it?").await;
    waiting.paste(&page.url.as_str().replace("state=", "state=x")).await;
    waiting.paste(page.url.as_str()).await;
    let ran = waiting.ended().await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("not the address of this login").count(), 2, "{}", ran.stderr);
    assert_crawled(folder.path()).await;
}

/// Where the authorization server is to send the browser back to.
fn callback_of(url: &str) -> String {
    let url = url::Url::parse(url).unwrap();
    url.query_pairs().find(|(name, _)| name == "redirect_uri").unwrap().1.into_owned()
}

#[tokio::test]
async fn the_request_is_what_oauth_2_1_and_mcp_ask_for() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("");
    let waiting = begin(folder.path(), &["--no-browser"]).await.unwrap();
    let url = url::Url::parse(&waiting.url).unwrap();
    let get = |name: &str| url.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
    assert_eq!(get("code_challenge_method"), "S256");
    assert_eq!(get("resource"), format!("{}/mcp", site.mcp));
    assert_eq!(get("scope"), "tools:read offline_access");
    assert!(get("state").len() >= 22 && get("code_challenge").len() == 43);
}

#[tokio::test]
async fn a_refused_consent_ends_the_login() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("");
    site.control(json!({ "consent": false })).await;
    let ran = log_in(folder.path()).await;
    assert_eq!(ran.code, 1);
    let said = "the login was refused: access_denied: the user said no";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    assert_eq!(crawl(folder.path()).await.0, "auth_required");
}

#[tokio::test]
async fn an_answer_to_another_login_is_not_taken() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("");
    let waiting = begin(folder.path(), &["--no-browser"]).await.unwrap();
    let browser = Browser::new();
    let page = browser.open_until(&waiting.url, &callback_of(&waiting.url)).await;
    let forged = page.url.as_str().replace("state=", "state=forged");
    assert_eq!(browser.open(&forged).await.status, 400);
    assert_eq!(browser.open(&callback_of(&waiting.url)).await.status, 400);
    // The real one is still waited for.
    assert_eq!(browser.open(page.url.as_str()).await.status, 200);
    assert_eq!(waiting.ended().await.code, 0);
    assert_eq!(site.count("code").await, 1);
}

#[tokio::test]
async fn an_answer_from_somebody_else_is_not_taken() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("");
    site.control(json!({ "wrongIssuer": true })).await;
    let ran = log_in(folder.path()).await;
    assert_eq!(ran.code, 1);
    let said = "another authorization server than was asked: https://elsewhere.example, not";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    // The code was never sent to anybody.
    assert_eq!(site.count("code").await, 0);
    // Nor are documents believed that say they are somebody else's.
    site.control(json!({ "wrongIssuer": false, "metadataIssuer": true })).await;
    let said = begin(folder.path(), &["--no-browser"]).await.err().unwrap();
    assert!(said.contains("another authorization server than was asked"), "{said}");
}

#[tokio::test]
async fn an_authorization_server_without_pkce_is_not_used() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("");
    site.control(json!({ "pkce": false })).await;
    let said = begin(folder.path(), &["--no-browser"]).await.err().unwrap();
    assert!(said.contains("does not say that it does PKCE with S256"), "{said}");
    assert_eq!(site.count("register").await, 0);
}

#[tokio::test]
async fn documents_can_not_lead_anywhere_they_like() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("");
    for (endpoint, why) in [
        ("http://169.254.169.254/latest/meta-data/", "is not https"),
        ("https://169.254.169.254/latest/meta-data/", "is not a public address"),
        ("https://10.0.0.1/token", "is not a public address"),
        ("https://[fd00:ec2::254]/token", "is not a public address"),
        ("http://example.com/token", "is not https"),
    ] {
        site.control(json!({ "endpoint": endpoint })).await;
        let said = begin(folder.path(), &["--no-browser"]).await.err().unwrap();
        assert!(said.contains(why), "{endpoint}: {said}");
    }
}

#[tokio::test]
async fn a_client_is_registered_or_known_and_else_says_what_is_missing() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("");
    site.control(json!({ "registration": false })).await;
    let said = begin(folder.path(), &["--no-browser"]).await.err().unwrap();
    assert!(said.contains("set `oauth.client_id`"), "{said}");

    let known = "[servers.guarded.oauth]\nclient_id = \"known\"\nclient_secret_file = \"secret\"";
    std::fs::write(folder.path().join("secret"), "known-secret-0123456789\n").unwrap();
    site.configure(folder.path(), "mcp", known);
    let ran = log_in(folder.path()).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_crawled(folder.path()).await;
    // The secret goes with refreshes too.
    let ran = run(folder.path(), &["auth", "refresh", "guarded", "--data", "data"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(site.count("register").await, 0);
}

#[tokio::test]
async fn a_machine_logs_in_by_itself() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured(MACHINE);
    assert_crawled(folder.path()).await;
    assert_crawled(folder.path()).await;
    assert_eq!(site.count("machine").await, 1);
    let said = begin(folder.path(), &["--no-browser"]).await.err().unwrap();
    assert!(said.contains("logs in by itself"), "{said}");
    // What it lacks it asks for.
    site.control(json!({ "need": "tools:read tools:admin" })).await;
    assert_crawled(folder.path()).await;
    assert_eq!(site.count("machine").await, 2);

    site.configure(folder.path(), "mcp", &MACHINE.replace("0123456789", "wrong"));
    site.control(json!({ "revoke": true })).await;
    run(folder.path(), &["auth", "logout", "guarded", "--data", "data"]).await;
    let (state, error) = crawl(folder.path()).await;
    assert!(state == "auth_required" && error.contains("invalid_client"), "{state}: {error}");
    assert!(!error.contains("machine-secret"), "{error}");
}

#[tokio::test]
async fn a_machine_asks_for_more_scopes_until_it_gets_them() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured(MACHINE);
    assert_crawled(folder.path()).await;
    site.control(json!({ "need": "tools:read tools:admin", "fails": "client_credentials" })).await;
    assert_ne!(crawl(folder.path()).await.0, "ready");
    site.control(json!({ "fails": null })).await;
    assert_crawled(folder.path()).await;
    assert_eq!(site.count("machine").await, 2);
    // What it gets and is not enough is said.
    site.control(json!({ "need": "tools:read tools:none" })).await;
    let (state, error) = crawl(folder.path()).await;
    assert_eq!(state, "auth_required");
    assert!(error.contains("it wants the scopes `tools:read tools:none`"), "{error}");
}

#[tokio::test]
async fn more_scopes_take_another_login_that_asks_for_all_of_them() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("");
    assert_eq!(log_in(folder.path()).await.code, 0);
    site.control(json!({ "need": "tools:read tools:admin" })).await;
    let (state, error) = crawl(folder.path()).await;
    assert_eq!(state, "auth_required");
    assert!(error.contains("it wants the scopes `tools:read tools:admin`"), "{error}");
    let ran = log_in(folder.path()).await;
    assert!(
        ran.stdout.contains("tools:read") && ran.stdout.contains("tools:admin"),
        "{}",
        ran.stdout
    );
    assert_crawled(folder.path()).await;
}

#[tokio::test]
async fn the_transport_of_2024_has_the_token_too() {
    let Some(site) = Site::start().await else { return };
    let folder = tempfile::tempdir().unwrap();
    site.configure(folder.path(), "sse", "");
    assert_eq!(crawl(folder.path()).await.0, "auth_required");
    let ran = log_in(folder.path()).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_crawled(folder.path()).await;
    site.control(json!({ "revokeAccess": true })).await;
    assert_crawled(folder.path()).await;
    assert_eq!(site.count("refresh").await, 1);
}

#[tokio::test]
async fn a_server_that_wants_no_login_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[servers.guarded]\nurl = \"http://127.0.0.1:9/\"\nbearer_token = \"t\"\n\
        [servers.other]\nurl = \"http://127.0.0.1:9/\"\n[servers.child]\ncommand = \"cat\"\n";
    crate::support::service::configure(folder.path(), text);
    let said = async |server: &str| {
        let ran = run(folder.path(), &["auth", "login", server, "--data", "data"]).await;
        assert_eq!(ran.code, 1);
        ran.stderr
    };
    assert!(said("guarded").await.contains("has its credentials in the configuration"));
    assert!(said("child").await.contains("is not reached over HTTP"));
    assert!(said("none").await.contains("those that may want a login: other"));
    assert!(said("other").await.contains("the authorization server can't be found"));
}
