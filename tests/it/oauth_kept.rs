//! What must not cost a login: outages, requests and pages that are given up, and logins elsewhere.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::json;
use toolscout::auth::{Callback, Login, Verdict};
use url::Url;

use crate::oauth_tokens::{account, login_file};
use crate::support::crawling::PATIENCE;
use crate::support::oauth::{Browser, Site, assert_crawled, crawl, log_in};
use crate::support::service::{Service, run};

const REFRESH: [&str; 5] = ["auth", "refresh", "guarded", "--data", "data"];
const REFUSED: &str = "Bearer error=\"invalid_token\"";

/// Fails unless the login can be gone on with.
async fn assert_refreshes(folder: &Path) {
    let ran = run(folder, &REFRESH).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "never so: {what}");
}

#[tokio::test]
async fn a_page_in_place_of_the_server_ends_no_login() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("");
    assert_eq!(log_in(folder.path()).await.code, 0);
    let before = account(&site, folder.path()).record();
    for gone in [404, 200] {
        site.control(json!({ "gone": gone })).await;
        let ran = run(folder.path(), &REFRESH).await;
        assert_eq!(ran.code, 1);
        assert!(ran.stderr.contains("the authorization server can't be found"), "{}", ran.stderr);
        assert_eq!(account(&site, folder.path()).record(), before);
    }
    site.control(json!({ "gone": null })).await;
    assert_refreshes(folder.path()).await;
}

#[tokio::test]
async fn metadata_that_only_a_refusal_names_are_found_again() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("");
    site.control(json!({ "hidden": true })).await;
    assert_eq!(log_in(folder.path()).await.code, 0);
    // Nobody was refused in these processes.
    for _ in 0..2 {
        assert_refreshes(folder.path()).await;
    }
    site.control(json!({ "revokeAccess": true })).await;
    assert_crawled(folder.path()).await;
}

#[tokio::test]
async fn another_authorization_server_takes_a_login_and_costs_no_token() {
    let (Some(site), Some(other)) = (Site::start().await, Site::start().await) else { return };
    let folder = site.configured("");
    assert_eq!(log_in(folder.path()).await.code, 0);
    let before = account(&site, folder.path()).record();
    site.control(json!({ "as": other.issuer })).await;
    let ran = run(folder.path(), &REFRESH).await;
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("run `toolscout auth login guarded`"), "{}", ran.stderr);
    assert!(ran.stderr.contains(&other.issuer), "{}", ran.stderr);
    site.control(json!({ "revokeAccess": true })).await;
    assert_eq!(crawl(folder.path()).await.0, "auth_required");
    assert_eq!(account(&site, folder.path()).record(), before);
    assert_eq!(other.count("refresh").await, 0);
    site.control(json!({ "as": null })).await;
    assert_crawled(folder.path()).await;
}

#[tokio::test]
async fn a_refresh_outlives_the_request_that_began_it() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("");
    assert_eq!(log_in(folder.path()).await.code, 0);
    let account = account(&site, folder.path());
    let before = account.record();
    let sent = account.bearer().await.unwrap();
    site.control(json!({ "hold": "refresh_token" })).await;
    let asking = Arc::clone(&account);
    let request = tokio::spawn(async move { asking.refused(sent.as_ref(), REFUSED).await });
    // The server has given another one, which nobody here knows yet.
    until("refreshed", async || site.count("refresh").await == 1).await;
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
    site.control(json!({ "hold": null })).await;
    let kept = async || self::account(&site, folder.path()).record() != before;
    until("kept", kept).await;
    // It goes on from there.
    assert_refreshes(folder.path()).await;
}

#[tokio::test]
async fn a_refresh_outlives_the_end_of_the_service() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("refresh = \"1s\"");
    assert_eq!(log_in(folder.path()).await.code, 0);
    let mut service = Service::start(folder.path(), &[]).await;
    service.until_state("guarded", "ready").await;
    site.control(json!({ "hold": "refresh_token", "revokeAccess": true })).await;
    until("refreshed", async || site.count("refresh").await == 1).await;
    service.signal(rustix::process::Signal::TERM);
    service.until_logged("stopping").await;
    site.control(json!({ "hold": null })).await;
    assert_eq!(service.ended().await, Some(0));
    assert_refreshes(folder.path()).await;
    assert_eq!(site.count("refresh").await, 2);
}

#[tokio::test]
async fn a_login_outlives_the_page_that_was_closed() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("refresh = \"1h\"");
    let service = Service::start(folder.path(), &[]).await;
    service.until_state("guarded", "auth_required").await;
    let url = format!("{}/oauth/start/guarded", service.url);
    let browser = Arc::new(Browser::new());
    let page = browser.open_until(&url, &format!("{}/oauth/callback", service.url)).await;
    site.control(json!({ "hold": "authorization_code" })).await;
    let tab = tokio::spawn(async move { browser.open(page.url.as_str()).await });
    until("exchanged", async || site.count("code").await == 1).await;
    tab.abort();
    assert!(tab.await.unwrap_err().is_cancelled());
    // The connection is gone, and is seen to be.
    assert_eq!(service.server("guarded").await["state"], "auth_required");
    site.control(json!({ "hold": null })).await;
    service.until_state("guarded", "ready").await;
}

#[tokio::test]
async fn a_later_login_elsewhere_stands() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("");
    assert_eq!(log_in(folder.path()).await.code, 0);
    let account = account(&site, folder.path());
    // Refreshed here, and not kept: in the way of the new file.
    let (file, aside) = (login_file(folder.path()), folder.path().join("aside"));
    std::fs::rename(&file, &aside).unwrap();
    std::fs::create_dir_all(file.join("in the way")).unwrap();
    site.control(json!({ "revokeAccess": true })).await;
    let sent = account.bearer().await.unwrap();
    let verdict = account.refused(sent.as_ref(), REFUSED).await;
    assert!(matches!(verdict, Ok(Verdict::Retry(_))), "{verdict:?}");
    assert!(account.saved().is_err());
    std::fs::remove_dir_all(&file).unwrap();
    std::fs::rename(&aside, &file).unwrap();
    // Somebody logs in from the command line, in another second.
    let ours = account.record().unwrap();
    let received = Duration::from_secs(ours.tokens.unwrap().received.unwrap());
    let later =
        async || SystemTime::now() > SystemTime::UNIX_EPOCH + received + Duration::from_secs(1);
    until("a second later", later).await;
    assert_eq!(log_in(folder.path()).await.code, 0);
    let theirs = self::account(&site, folder.path()).record().unwrap();
    assert_ne!(theirs.who, ours.who);
    let used = account.bearer().await.unwrap();
    assert_eq!(used, theirs.tokens.as_ref().map(|tokens| tokens.access.clone()));
    assert!(account.saved().is_ok());
    assert_eq!(account.record().as_ref(), Some(&theirs));
    assert_eq!(self::account(&site, folder.path()).record(), Some(theirs));
}

#[tokio::test]
async fn a_login_in_the_middle_of_a_refresh_stands() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("");
    assert_eq!(log_in(folder.path()).await.code, 0);
    let account = account(&site, folder.path());
    let redirect = Url::parse("http://127.0.0.1:9/callback").unwrap();
    let login = Login::begin(&account, &redirect).await.unwrap();
    let page = Browser::new().open_until(login.url.as_str(), redirect.as_str()).await;
    let callback = Callback::parse(page.url.as_str()).unwrap();
    let sent = account.bearer().await.unwrap();
    site.control(json!({ "hold": "refresh_token" })).await;
    let asking = Arc::clone(&account);
    let refresh = tokio::spawn(async move { asking.refused(sent.as_ref(), REFUSED).await });
    until("refreshed", async || site.count("refresh").await == 1).await;
    let before = account.who();
    let finish = tokio::spawn(async move { login.finish(&callback).await });
    until("logged in", async || account.who() != before).await;
    let record = account.record();
    site.control(json!({ "hold": null })).await;
    refresh.await.unwrap().unwrap();
    finish.await.unwrap().unwrap();
    assert_eq!(account.record(), record);
    assert_eq!(self::account(&site, folder.path()).record(), record);
    assert_crawled(folder.path()).await;
}
