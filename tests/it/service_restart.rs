//! What a restart keeps: the tools of the last good crawls, whatever became of servers and disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::support::crawling::page;
use crate::support::mock_http::{Answer, MockHttp, Speaks};
use crate::support::service::{Service, catalog, configure, ids, serve, snapshot};

const WELL: u8 = 0;
const HANGING: u8 = 1;
const CUT: u8 = 2;
const DOWN: u8 = 3;

/// A server of two pages, with a switch that says how it does.
async fn server() -> (MockHttp, Arc<AtomicU8>) {
    let switch = Arc::new(AtomicU8::new(WELL));
    let health = Arc::clone(&switch);
    let mock = MockHttp::start(Speaks::Stateless, false, move |request| {
        match (health.load(Ordering::Relaxed), &request.cursor) {
            (HANGING, _) => Answer::Hang,
            (DOWN, _) => Answer::Status(503, None),
            (_, None) => Answer::Result(page(&["open_door", "close_door"], Some("more"))),
            (CUT, Some(_)) => Answer::Cut(r#"{"jsonrpc":"2.0","result":{"tools":["#.into()),
            (_, Some(_)) => Answer::Result(page(&["ring_bell"], None)),
        }
    })
    .await;
    (mock, switch)
}

fn point_at(folder: &Path, mock: &MockHttp, more: &str) {
    let entry = format!("[servers.house]\nurl = \"{}\"\nrefresh = \"1s\"\n{more}\n", mock.url);
    configure(folder, &entry);
}

const ALL: [&str; 3] = ["house/close_door", "house/open_door", "house/ring_bell"];

/// A folder whose snapshot has the tools of `house`.
async fn crawled(mock: &MockHttp) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    point_at(folder.path(), mock, "");
    let service = Service::start(folder.path(), &[]).await;
    service.until_state("house", "ready").await;
    assert_eq!(service.tools().await, ALL);
    service.stop().await;
    assert!(snapshot(folder.path()).is_file());
    folder
}

#[tokio::test]
async fn a_restart_serves_before_the_crawl_and_recovers() {
    let (mock, health) = server().await;
    let folder = crawled(&mock).await;
    for ill in [HANGING, DOWN] {
        health.store(ill, Ordering::Relaxed);
        let service = Service::start(folder.path(), &[]).await;
        // Ready with the first answer: nothing is waited for.
        assert_eq!(service.get("/readyz").await.0, 200);
        assert_eq!(service.tools().await, ALL);
        assert_eq!(service.server("house").await["state"], "stale");
        assert_eq!(service.server("house").await["tools"], 3);
        let answer = service.search("ring the bell").await;
        assert_eq!(ids(&answer)[0], "house/ring_bell");
        assert_eq!(answer["stale"][0]["server"], "house", "{answer}");
        if ill == DOWN {
            service
                .until("the failure is told", async || {
                    service.server("house").await["error"].is_string()
                })
                .await;
            assert_eq!(service.server("house").await["state"], "stale");
            health.store(WELL, Ordering::Relaxed);
            service.until_state("house", "ready").await;
            let answer = service.search("ring the bell").await;
            assert_eq!(answer["stale"], serde_json::json!([]));
        }
        service.stop().await;
    }
}

#[tokio::test]
async fn a_restart_without_the_server_serves_too() {
    let (mock, _) = server().await;
    let folder = crawled(&mock).await;
    drop(mock);
    let service = Service::start(folder.path(), &[]).await;
    assert_eq!(service.get("/readyz").await.0, 200);
    assert_eq!(service.tools().await, ALL);
    service.stop().await;
}

#[tokio::test]
async fn a_listing_that_breaks_off_takes_nothing_away() {
    let (mock, health) = server().await;
    let folder = tempfile::tempdir().unwrap();
    point_at(folder.path(), &mock, "");
    let service = Service::start(folder.path(), &[]).await;
    service.until_state("house", "ready").await;
    health.store(CUT, Ordering::Relaxed);
    service.until_state("house", "stale").await;
    assert_eq!(service.tools().await, ALL);
    let saved = std::fs::read(snapshot(folder.path())).unwrap();
    health.store(WELL, Ordering::Relaxed);
    service.until_state("house", "ready").await;
    assert_eq!(service.tools().await, ALL);
    // Nothing changed, so nothing was written either.
    assert_eq!(std::fs::read(snapshot(folder.path())).unwrap(), saved);
    service.stop().await;
}

#[tokio::test]
async fn what_the_configuration_no_longer_admits_is_gone_before_the_crawl() {
    let (mock, health) = server().await;
    let folder = crawled(&mock).await;
    health.store(HANGING, Ordering::Relaxed);
    point_at(folder.path(), &mock, "deny = [\"*_door\"]");
    let service = Service::start(folder.path(), &[]).await;
    assert_eq!(service.tools().await, ["house/ring_bell"]);
    service.stop().await;

    // Nothing is left of what was known: hosts are to wait for a crawl.
    configure(folder.path(), &format!("[servers.home]\nurl = \"{}\"", mock.url));
    let service = Service::start(folder.path(), &[]).await;
    assert_eq!(service.tools().await, [""; 0]);
    assert_eq!(service.get("/readyz").await.0, 503);
    service.stop().await;

    // No crawl will come: nothing is all there is.
    let off = format!("[servers.house]\nurl = \"{}\"\nenabled = false", mock.url);
    configure(folder.path(), &off);
    let service = Service::start(folder.path(), &[]).await;
    service.until("ready", async || service.get("/readyz").await.0 == 200).await;
    assert_eq!(service.tools().await, [""; 0]);
    service.stop().await;
}

#[tokio::test]
async fn a_snapshot_that_cant_be_used_is_set_aside() {
    let (mock, _) = server().await;
    let folder = crawled(&mock).await;
    let path = snapshot(folder.path());
    let good = std::fs::read(&path).unwrap();
    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let mut newer = good.clone();
    newer[8] = 200;
    for (bad, said) in [
        (damaged, "is damaged"),
        (newer, "has format 200"),
        (good[..50].to_vec(), "is damaged"),
        (Vec::new(), "is damaged"),
    ] {
        std::fs::write(&path, &bad).unwrap();
        let service = Service::start(folder.path(), &[]).await;
        service.until_state("house", "ready").await;
        assert_eq!(service.tools().await, ALL);
        let log = service.log();
        assert!(log.contains(said) && log.contains("set aside as"), "{log}");
        service.stop().await;
        let kept = std::fs::read_dir(path.parent().unwrap()).unwrap();
        let aside: Vec<_> =
            kept.map(|entry| entry.unwrap().path()).filter(|other| *other != path).collect();
        assert_eq!(aside.len(), 1, "{aside:?}");
        assert_eq!(std::fs::read(&aside[0]).unwrap(), bad);
        std::fs::remove_file(&aside[0]).unwrap();
    }
}

#[tokio::test]
async fn a_data_folder_that_cant_be_written_costs_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    catalog(folder.path(), &[("house", "ring_bell", "Ring the bell")]);
    std::fs::write(folder.path().join("file"), "").unwrap();
    for data in ["file/data", "/proc/toolscout"] {
        let args = ["--catalog", "catalog.jsonl", "--data", data];
        let service = Service::start(folder.path(), &args).await;
        service.until_ready().await;
        assert_eq!(ids(&service.search("bell").await), ["house/ring_bell"]);
        service.until_logged("a restart will have to crawl").await;
        assert!(!service.log().contains("set aside"), "{}", service.log());
        service.stop().await;
    }
}

#[tokio::test]
async fn a_full_disk_keeps_the_last_snapshot_whole() {
    let (mock, _) = server().await;
    let folder = crawled(&mock).await;
    let path = snapshot(folder.path());
    let before = std::fs::read(&path).unwrap();
    point_at(folder.path(), &mock, "");
    let more = format!(
        "{}\n[servers.other]\nurl = \"{}\"",
        std::fs::read_to_string(folder.path().join("toolscout.toml")).unwrap(),
        mock.url
    );
    configure(folder.path(), &more);
    // Every write to a file fails, as on a full disk.
    let mut command = serve(folder.path(), &[]);
    let program = command.get_program().to_owned();
    let args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    let variables: Vec<_> = command
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect();
    command = std::process::Command::new("sh");
    command
        .current_dir(folder.path())
        .env_clear()
        .envs(variables)
        .args(["-c", r#"trap "" XFSZ; ulimit -f 0; exec "$0" "$@""#])
        .arg(program)
        .args(args);
    let service = Service::of(command).await;
    service.until_state("other", "ready").await;
    service.until_logged("a restart will have to crawl").await;
    assert_eq!(service.tools().await.len(), 2 * ALL.len());
    service.stop().await;
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let files = std::fs::read_dir(path.parent().unwrap()).unwrap();
    assert_eq!(files.count(), 1, "nothing half-written is left");
}
