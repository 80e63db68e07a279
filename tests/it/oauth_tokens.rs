//! The life of a token: refreshed ahead and once, rotated, revoked, kept, and never shown.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use toolscout::auth::{Account, Accounts};
use toolscout::config::{Auth, OAuthConfig, Transport};

use crate::support::crawling;
use crate::support::oauth::{Site, assert_crawled, crawl, log_in};
use crate::support::service::run;

/// The login of a folder that `toolscout` ran in, as another process would have it.
pub fn account(site: &Site, folder: &Path) -> Arc<Account> {
    let url = format!("{}/mcp", site.mcp).parse().unwrap();
    let mut server = crawling::server("guarded", Transport::Http { url, headers: Vec::new() });
    server.auth = Auth::OAuth(OAuthConfig::default());
    let mut config = crawling::config(Vec::new());
    config.data = folder.join("data");
    Accounts::open(&config).unwrap().of(&server).unwrap()
}

pub fn login_file(folder: &Path) -> std::path::PathBuf {
    let files = std::fs::read_dir(folder.join("data/tokens")).unwrap();
    let mut files = files.map(|entry| entry.unwrap().path());
    files.find(|path| path.extension().is_some_and(|kind| kind == "login")).unwrap()
}

async fn until_due(account: &Arc<Account>) {
    let due = async {
        while account.record().unwrap().tokens.unwrap().left().unwrap() > 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crawling::PATIENCE, due).await.unwrap();
}

#[tokio::test]
async fn many_requests_make_one_refresh_ahead_of_the_end() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("");
    site.control(json!({ "ttl": 4 })).await;
    assert_eq!(log_in(folder.path()).await.code, 0);
    site.control(json!({ "ttl": 3600 })).await;
    let account = account(&site, folder.path());
    let before = account.record().unwrap().tokens.unwrap();
    until_due(&account).await;
    let asked = (0..50).map(|_| {
        let account = Arc::clone(&account);
        async move { account.bearer().await.unwrap().unwrap() }
    });
    let tokens = futures::future::join_all(asked).await;
    assert!(tokens.iter().all(|token| *token == tokens[0] && *token != before.access));
    assert_eq!(site.count("refresh").await, 1);
    // It was rotated, and what is kept is the new one.
    let after = account.record().unwrap().tokens.unwrap();
    assert_ne!(after.refresh, before.refresh);
    assert_eq!(self::account(&site, folder.path()).record(), account.record());
}

#[tokio::test]
async fn two_processes_make_one_refresh() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("");
    assert_eq!(log_in(folder.path()).await.code, 0);
    let (one, other) = (account(&site, folder.path()), account(&site, folder.path()));
    let sent = one.bearer().await.unwrap();
    site.control(json!({ "revokeAccess": true })).await;
    let challenge = "Bearer error=\"invalid_token\"";
    let (a, b) = tokio::join!(
        one.refused(sent.as_ref(), challenge),
        other.refused(sent.as_ref(), challenge)
    );
    let token = |verdict| match verdict {
        Ok(toolscout::auth::Verdict::Retry(token)) => token,
        other => panic!("{other:?}"),
    };
    assert_eq!(token(a), token(b));
    assert_eq!(site.count("refresh").await, 1);
}

#[tokio::test]
async fn a_revoked_token_is_replaced_and_a_revoked_login_is_over() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("");
    assert_eq!(log_in(folder.path()).await.code, 0);
    site.control(json!({ "revokeAccess": true })).await;
    assert_crawled(folder.path()).await;
    assert_eq!(site.count("refresh").await, 1);

    site.control(json!({ "revoke": true })).await;
    let (state, error) = crawl(folder.path()).await;
    assert_eq!(state, "auth_required");
    assert!(error.contains("the login has ended") && error.contains("invalid_grant"), "{error}");
    // The second time nobody is asked again.
    assert_eq!(crawl(folder.path()).await.0, "auth_required");
    let status = run(folder.path(), &["auth", "status", "--json", "--data", "data"]).await.json();
    assert_eq!(status["servers"][0]["state"], "ended");
    assert_eq!(log_in(folder.path()).await.code, 0);
    assert_crawled(folder.path()).await;
}

#[tokio::test]
async fn an_expired_token_is_replaced_also_after_a_long_sleep() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("");
    site.control(json!({ "ttl": 1 })).await;
    assert_eq!(log_in(folder.path()).await.code, 0);
    site.control(json!({ "ttl": 3600 })).await;
    until_due(&account(&site, folder.path())).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_crawled(folder.path()).await;
    assert_eq!(site.count("refresh").await, 1);
}

#[tokio::test]
async fn a_token_for_somebody_else_is_refused_and_nothing_goes_in_circles() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("");
    site.control(json!({ "audience": "https://other.example/mcp" })).await;
    assert_eq!(log_in(folder.path()).await.code, 0);
    let (state, error) = crawl(folder.path()).await;
    assert_eq!(state, "auth_required");
    assert!(error.contains("it refused the token (invalid_token)"), "{error}");
    assert!(site.count("refresh").await <= 1);
}

#[tokio::test]
async fn an_outage_of_the_authorization_server_ends_no_login() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("");
    site.control(json!({ "ttl": 4 })).await;
    assert_eq!(log_in(folder.path()).await.code, 0);
    site.control(json!({ "fails": "refresh_token" })).await;
    let account = account(&site, folder.path());
    until_due(&account).await;
    let old = account.record().unwrap().tokens.unwrap();
    while old.left().unwrap() > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (state, error) = crawl(folder.path()).await;
    assert!(state == "failed" && error.contains("could not be refreshed"), "{state}: {error}");
    site.control(json!({ "fails": null, "ttl": 3600 })).await;
    assert_crawled(folder.path()).await;
}

#[tokio::test]
async fn a_crash_before_the_new_token_was_kept_leaves_the_old_login() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("");
    assert_eq!(log_in(folder.path()).await.code, 0);
    let file = login_file(folder.path());
    let old = std::fs::read(&file).unwrap();
    let refresh = ["auth", "refresh", "guarded", "--data", "data"];
    assert_eq!(run(folder.path(), &refresh).await.code, 0);
    // As if the process had ended between the answer and the file.
    std::fs::write(&file, old).unwrap();
    assert_crawled(folder.path()).await;
    // The refresh token was used before: this server revokes everything then, and says so.
    let ran = run(folder.path(), &refresh).await;
    assert!(ran.stderr.contains("invalid_grant"), "{}", ran.stderr);
    site.control(json!({ "revoke": true })).await;
    assert_eq!(crawl(folder.path()).await.0, "auth_required");
    assert_eq!(log_in(folder.path()).await.code, 0);
    assert_crawled(folder.path()).await;
}

#[tokio::test]
async fn a_token_that_can_not_be_kept_is_used_and_kept_later() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("");
    assert_eq!(log_in(folder.path()).await.code, 0);
    let account = account(&site, folder.path());
    let before = account.record().unwrap();
    // In the way of the new file, as a full disk is.
    let (file, aside) = (login_file(folder.path()), folder.path().join("aside"));
    std::fs::rename(&file, &aside).unwrap();
    std::fs::create_dir_all(file.join("in the way")).unwrap();
    site.control(json!({ "revokeAccess": true })).await;
    let sent = account.bearer().await.unwrap();
    let verdict = account.refused(sent.as_ref(), "Bearer").await;
    std::fs::remove_dir_all(&file).unwrap();
    std::fs::rename(&aside, &file).unwrap();
    assert!(matches!(verdict, Ok(toolscout::auth::Verdict::Retry(_))), "{verdict:?}");
    let error = account.saved().err().unwrap().to_string();
    assert!(error.contains("can't be kept"), "{error}");
    assert_eq!(self::account(&site, folder.path()).record(), Some(before));
    // With the next request it is tried again.
    let fresh = account.bearer().await.unwrap();
    assert_ne!(fresh, sent);
    assert!(account.saved().is_ok());
    assert_eq!(self::account(&site, folder.path()).record(), account.record());
    assert_crawled(folder.path()).await;
}

#[tokio::test]
async fn a_token_goes_to_the_server_it_was_got_for_and_no_other() {
    let (Some(site), Some(other)) = (Site::start().await, Site::start().await) else { return };
    let folder = site.configured("");
    assert_eq!(log_in(folder.path()).await.code, 0);
    other.configure(folder.path(), "mcp", "");
    let (state, error) = crawl(folder.path()).await;
    assert_eq!(state, "auth_required");
    // It was not refused: there was none.
    assert!(error.contains("it wants a login"), "{error}");
}

#[tokio::test]
async fn logins_that_others_could_read_are_not_used() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("");
    assert_eq!(log_in(folder.path()).await.code, 0);
    let file = login_file(folder.path());
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    for args in [["serve", "--listen", "127.0.0.1:0"].as_slice(), &["crawl"], &["auth", "status"]] {
        let ran = run(folder.path(), &[args, &["--data", "data"]].concat()).await;
        assert_eq!(ran.code, 1, "{args:?}");
        assert!(ran.stderr.contains("run `chmod 600 "), "{}", ran.stderr);
        assert!(ran.stderr.contains(file.file_name().unwrap().to_str().unwrap()), "{}", ran.stderr);
    }
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_crawled(folder.path()).await;
}

#[tokio::test]
async fn a_full_disk_costs_neither_the_old_login_nor_the_new_token() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("refresh = \"1s\"");
    assert_eq!(log_in(folder.path()).await.code, 0);
    let old = std::fs::read(login_file(folder.path())).unwrap();
    // Every write to a file fails, as on a full disk.
    let mut command = std::process::Command::new("sh");
    let full = "trap '' XFSZ; ulimit -f 0; exec \"$@\"";
    let real = crate::support::service::serve(folder.path(), &[]);
    command.args(["-c", full, "sh"]).arg(real.get_program()).args(real.get_args());
    command.current_dir(folder.path()).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    let service = crate::support::service::Service::of(command).await;
    service.until_state("guarded", "ready").await;
    let listed = site.control(json!({ "revokeAccess": true })).await["list"].as_u64().unwrap();
    service.until_logged("the token is in use, but not kept").await;
    service.until("listed with it", async || site.count("list").await > listed).await;
    service.until_state("guarded", "ready").await;
    assert_eq!(std::fs::read(login_file(folder.path())).unwrap(), old);
    assert_eq!(site.count("refresh").await, 1);
}
