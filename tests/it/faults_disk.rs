//! A full disk: what is asked is answered, what can't be kept is said, and when there is room again
//! all of it is kept without anybody's doing.
//!
//! As root on a small tmpfs that is filled up; else by a limit on what the process may write, which
//! is lifted again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::Method;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;
use toolscout::{index, learn};

use crate::support::faults::{LONG_ROUNDS, ROUNDS, ask, kill, litter};
use crate::support::mock_http::{Answer, MockHttp, Speaks};
use crate::support::service::{Service, configure, ids, serve, snapshot};

/// How the disk of a service becomes full.
enum Disk {
    /// The data folder is a file system of its own.
    Small(PathBuf),
    /// The process may write nothing.
    Limited,
}

impl Disk {
    fn of(folder: &Path) -> Self {
        let data = folder.join("data");
        std::fs::create_dir(&data).unwrap();
        let options = ["-t", "tmpfs", "-o", "size=2m,mode=755", "tmpfs"];
        let mounted = std::process::Command::new("mount").args(options).arg(&data).output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Self::Small(data);
        }
        eprintln!("no tmpfs can be mounted: the process gets a limit instead");
        Self::Limited
    }

    fn fill(&self, service: &Service) {
        match self {
            Self::Small(data) => {
                let mut file = std::fs::File::create(data.join("filler")).unwrap();
                let full = std::io::copy(&mut std::io::repeat(7), &mut file);
                assert_eq!(full.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
            }
            Self::Limited => limit(service, Some(0)),
        }
    }

    fn make_room(&self, service: &Service) {
        match self {
            Self::Small(data) => std::fs::remove_file(data.join("filler")).unwrap(),
            Self::Limited => limit(service, None),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Self::Small(data) = self {
            let _ = std::process::Command::new("umount").arg("-l").arg(data).status();
        }
    }
}

fn limit(service: &Service, current: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(service.pid()).unwrap());
    prlimit(pid, Resource::Fsize, Rlimit { current, maximum: None }).unwrap();
}

/// As [`serve`]; a write beyond the limit fails instead of ending the process.
fn unharmed(folder: &Path) -> std::process::Command {
    let plain = serve(folder, &[]);
    let mut command = std::process::Command::new("sh");
    command.current_dir(folder).env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.args(["-c", r#"trap "" XFSZ; exec "$0" "$@""#]);
    command.arg(plain.get_program()).args(plain.get_args());
    command
}

async fn filled_up(rounds: usize) {
    let version = Arc::<AtomicUsize>::default();
    let offered = Arc::clone(&version);
    let mock = MockHttp::start(Speaks::Stateless, false, move |_| {
        let version = offered.load(Ordering::SeqCst);
        let tools: Vec<_> = (0..=version)
            .map(|at| json!({"name": format!("ring_{at}"), "description": "Ring the bell"}))
            .chain([json!({"name": "buy", "description": format!("Buy version {version}")})])
            .collect();
        Answer::Result(json!({ "tools": tools }).to_string())
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let disk = Disk::of(folder);
    let text = format!(
        "[learn]\nenabled = true\n[trust]\npin = true\n[servers.shop]\nurl = \"{}\"\nrefresh = \"1s\"",
        mock.url
    );
    configure(folder, &text);
    let service = Service::of(unharmed(folder)).await;
    service.until_state("shop", "ready").await;
    service.until("it is saved", async || snapshot(folder).is_file()).await;
    let post = async |path: &str, body| {
        ask(folder, &service.url, Method::POST, path, Some(body)).await.unwrap()
    };
    let approve = "/v1/admin/servers/shop/approve";
    for round in 1..=rounds {
        disk.fill(&service);
        version.store(round, Ordering::SeqCst);
        service.until("something waits", async || service.server("shop").await["held"] == 2).await;
        // It is done, and said to be for now only.
        let (status, said) = post(approve, json!({})).await;
        assert_eq!(
            (status, &said["type"]),
            (500, &json!("urn:toolscout:problem:not-kept")),
            "{said}"
        );
        assert_eq!(service.tools().await.len(), round + 2);
        assert!(!ids(&service.search("ring the bell").await).is_empty());
        let (status, _) = post("/v1/admin/servers", json!({"id": "more", "url": mock.url})).await;
        assert_eq!(status, 500);
        assert!(service.server("more").await.is_null(), "what can't be kept is not in force");
        let query = format!("get me thing {round}");
        assert_eq!(post("/v1/feedback", json!({"query": query, "tool": "shop/buy"})).await.0, 202);
        assert_eq!(service.get("/readyz").await.0, 200);
        assert!(index::snapshot::load(&snapshot(folder)).is_ok(), "the last whole one stays");

        disk.make_room(&service);
        // Nobody changes anything any more.
        service
            .until("it is kept", async || {
                let saved = index::snapshot::load(&snapshot(folder)).unwrap();
                saved.is_some_and(|(_, catalog)| catalog.len() == round + 2)
            })
            .await;
    }
    service.until_logged("a restart will have to crawl").await;
    service.until_logged("a restart will not know").await;
    service.until_logged("the snapshot can be saved again").await;
    let book = folder.join("data/learned/evidence.book");
    service
        .until("choices are kept", async || {
            learn::file::load(&book).unwrap().is_some_and(|book| book.len() == rounds)
        })
        .await;
    kill(service).await;
    drop(mock);
    // From the disk alone: the server is gone.
    let service = Service::start(folder, &[]).await;
    assert_eq!(service.tools().await.len(), rounds + 2);
    let (_, buy) = service.get("/v1/tools/shop/buy").await;
    assert_eq!(buy["definition"]["description"], format!("Buy version {rounds}"));
    assert_eq!(litter(folder), [""; 0].map(PathBuf::from));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_and_recovered_from() {
    filled_up(ROUNDS).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: scripts/test-long.sh"]
async fn long_a_full_disk_is_said_and_recovered_from() {
    filled_up(LONG_ROUNDS).await;
}
