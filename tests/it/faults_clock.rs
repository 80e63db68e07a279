//! A clock that jumps, by years and both ways, while it serves: ages are never negative, nobody is
//! crawled the more for it, tokens are renewed, and nothing is forgotten.
//!
//! libfaketime (Debian: `apt-get install faketime`) lies to the process about the clock on the wall;
//! the monotonic one goes on, as it does when a machine sets its clock.

use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::crawling::page;
use crate::support::faults::{LONG_ROUNDS, ROUNDS, ask};
use crate::support::mock_http::{Answer, MockHttp, Speaks};
use crate::support::oauth::{Site, log_in};
use crate::support::service::{Service, configure, ids, serve};

/// libfaketime, unless it is not installed.
fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten();
    let places = folders.map(|entry| entry.path().join("faketime/libfaketime.so.1"));
    let found = places.into_iter().find(|path| path.is_file());
    if found.is_none() {
        eprintln!("SKIPPED for want of libfaketime (Debian: apt-get install faketime)");
    }
    found
}

/// A service that reads the time off a file.
async fn start(folder: &Path, library: &Path) -> Service {
    set(folder, 0);
    let mut command = serve(folder, &[]);
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", folder.join("clock"))
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    Service::of(command).await
}

/// Sets its clock so many seconds off the true one.
fn set(folder: &Path, seconds: i64) {
    let fresh = folder.join("clock.new");
    std::fs::write(&fresh, format!("{seconds:+}")).unwrap();
    std::fs::rename(fresh, folder.join("clock")).unwrap();
}

const DAY: i64 = 86_400;

/// An hour, a day, ten years, forth or back.
fn jump(random: &mut fastrand::Rng) -> i64 {
    let far = *random.choice(&[3_600, DAY, 40 * DAY, 3_650 * DAY]).unwrap();
    if random.bool() { far } else { -far }
}

async fn jumps(rounds: usize) {
    let Some(library) = library() else { return };
    let mock = MockHttp::start(Speaks::Quiet, false, |_| {
        Answer::Result(page(&["open_door", "ring_bell"], None))
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "[learn]\nenabled = true\n[servers.house]\nurl = \"{}\"\nrefresh = \"1s\"\n\
         [servers.slow]\nurl = \"{}\"\nrefresh = \"1h\"",
        mock.url, mock.url
    );
    configure(folder.path(), &text);
    let service = start(folder.path(), &library).await;
    for server in ["house", "slow"] {
        service.until_state(server, "ready").await;
    }
    let mut random = fastrand::Rng::with_seed(12);
    for round in 0..rounds {
        let seconds = jump(&mut random);
        set(folder.path(), seconds);
        let seen = mock.count("tools/list");
        service.until("it is crawled as before", async || mock.count("tools/list") > seen).await;
        let house = service.server("house").await;
        assert_eq!(house["state"], "ready", "round {round}: {house}");
        // The next crawl is due when it was, by the clock that goes on.
        let next = |server: &Value| server["next_crawl_s"].as_u64().unwrap();
        assert!(next(&house) <= 2, "round {round}, {seconds}: {house}");
        let slow = service.server("slow").await;
        assert!((3_000..=3_960).contains(&next(&slow)), "round {round}, {seconds}: {slow}");
        assert!(slow["age_s"].is_u64(), "{slow}");
        assert_eq!(ids(&service.search("ring the bell").await)[0], "house/ring_bell");
        let choice = json!({"query": format!("let me in {round}"), "tool": "house/open_door"});
        let told = ask(folder.path(), &service.url, Method::POST, "/v1/feedback", Some(choice));
        assert_eq!(told.await.unwrap().0, 202);
        assert_eq!(service.get("/v1/changes").await.0, 200);
    }
    // Whatever the clock said, the hour of the other one is not over.
    let house = mock.seen().len();
    assert!(house > rounds);
    assert!(!service.log().contains("panicked"), "{}", service.log());
    set(folder.path(), 0);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_changes_no_answer_and_no_crawl() {
    jumps(ROUNDS).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: scripts/test-long.sh"]
async fn long_a_clock_that_jumps_changes_no_answer_and_no_crawl() {
    jumps(LONG_ROUNDS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_outlives_a_clock_that_jumps() {
    let Some(library) = library() else { return };
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("refresh = \"1s\"");
    site.control(json!({ "ttl": 5 })).await;
    assert_eq!(log_in(folder.path()).await.code, 0);
    let service = start(folder.path(), &library).await;
    service.until_state("guarded", "ready").await;
    // By its clock the token has long been over; by the server's it is not, and the other way round.
    for seconds in [3_650 * DAY, -3_650 * DAY, 0] {
        set(folder.path(), seconds);
        let before = site.count("refresh").await;
        service
            .until("the token is refreshed", async || site.count("refresh").await > before)
            .await;
        service.until_state("guarded", "ready").await;
        let refreshed = site.count("refresh").await - before;
        assert!(refreshed < 5, "{refreshed} refreshes at {seconds}");
    }
    service.stop().await;
}
