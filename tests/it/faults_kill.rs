//! `kill -9` at random moments of crawl, build and save: whoever starts next finds all that was
//! acknowledged, is ready at once, and finds nothing else that adds up.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use toolscout::{index, learn};

use crate::support::faults::{LONG_ROUNDS, ROUNDS, age, ask, kill, litter};
use crate::support::mock_http::{Answer, MockHttp, Speaks};
use crate::support::oauth::{Site, assert_crawled, log_in};
use crate::support::service::{Service, configure, snapshot};

/// So long is waited before a kill, at most.
const MOST: u64 = 1_500;

/// A definition of some size, so that writing all of them takes its time.
fn definition(number: usize) -> String {
    let name = format!("tool_{number:05}");
    json!({"name": name, "description": "so much to say. ".repeat(60), "inputSchema": {}})
        .to_string()
}

/// A server with a list that only grows, or that is down.
struct Growing {
    mock: MockHttp,
    tools: Arc<AtomicUsize>,
    down: Arc<AtomicBool>,
}

impl Growing {
    async fn start() -> Self {
        let tools = Arc::new(AtomicUsize::new(200));
        let down = Arc::<AtomicBool>::default();
        let (count, is_down) = (Arc::clone(&tools), Arc::clone(&down));
        let mock = MockHttp::start(Speaks::Stateless, false, move |_| {
            if is_down.load(Ordering::SeqCst) {
                return Answer::Status(503, None);
            }
            let all: Vec<_> = (0..count.load(Ordering::SeqCst)).map(definition).collect();
            Answer::Result(format!(r#"{{"tools":[{}]}}"#, all.join(",")))
        })
        .await;
        Self { mock, tools, down }
    }

    /// Grows, and says so, until this is dropped.
    async fn grow(&self, mut random: fastrand::Rng) {
        loop {
            self.tools.fetch_add(1, Ordering::SeqCst);
            self.mock.announce();
            tokio::time::sleep(Duration::from_millis(random.u64(0..120))).await;
        }
    }
}

/// Generation and number of tools that a restart can't fall behind.
fn on_disk(folder: &Path) -> (u64, usize) {
    let saved = index::snapshot::load(&snapshot(folder)).expect("never half a snapshot");
    saved.map_or((0, 0), |(generation, catalog)| (generation, catalog.len()))
}

async fn killed_while_tools_change(rounds: usize) {
    let server = Growing::start().await;
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), &format!("[servers.big]\nurl = \"{}\"", server.mock.url));
    let mut random = fastrand::Rng::with_seed(8);
    let mut with_litter = 0;
    for round in 0..rounds {
        server.down.store(false, Ordering::SeqCst);
        let service = Service::start(folder.path(), &[]).await;
        let delay = Duration::from_millis(random.u64(0..MOST));
        let _ = tokio::time::timeout(delay, server.grow(random.fork())).await;
        let (generation, count) = on_disk(folder.path());
        kill(service).await;

        server.down.store(true, Ordering::SeqCst);
        let before = on_disk(folder.path());
        assert!(before >= (generation, count), "round {round}: {before:?}");
        let service = Service::start(folder.path(), &[]).await;
        // Ready with the first answer, from what is on disk alone.
        assert_eq!(service.get("/readyz").await.0, if before.1 > 0 { 200 } else { 503 });
        let status = service.status().await;
        assert!(status["generation"].as_u64().unwrap() >= before.0, "round {round}: {status}");
        assert_eq!(status["total"], before.1, "round {round}");
        assert!(before.1 <= server.tools.load(Ordering::SeqCst));
        assert!(!service.log().contains("set aside"), "round {round}: {}", service.log());
        kill(service).await;
        let left = litter(folder.path());
        with_litter += usize::from(!left.is_empty());
        age(&left);
    }
    // What was left goes with the next write.
    server.down.store(false, Ordering::SeqCst);
    server.tools.fetch_add(1, Ordering::SeqCst);
    let service = Service::start(folder.path(), &[]).await;
    let all = server.tools.load(Ordering::SeqCst);
    service.until("all is there", async || service.status().await["total"] == all).await;
    service.stop().await;
    assert_eq!(litter(folder.path()), [""; 0].map(std::path::PathBuf::from));
    eprintln!(
        "killed {rounds} times, {all} tools at the end, {with_litter} times half a file left"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_tools_change_loses_none_of_those_on_disk() {
    killed_while_tools_change(ROUNDS).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: scripts/test-long.sh"]
async fn long_a_kill_while_tools_change_loses_none_of_those_on_disk() {
    killed_while_tools_change(LONG_ROUNDS).await;
}

/// A pinned shop with one tool, whose definition says which version it is.
async fn shop() -> (MockHttp, Arc<AtomicUsize>) {
    let version = Arc::<AtomicUsize>::default();
    let offered = Arc::clone(&version);
    let mock = MockHttp::start(Speaks::Stateless, false, move |_| {
        let said = format!("version {}", offered.load(Ordering::SeqCst));
        Answer::Result(json!({"tools": [{"name": "buy", "description": said}]}).to_string())
    })
    .await;
    (mock, version)
}

/// What a client was told is done.
#[derive(Default)]
struct Acknowledged {
    approved: usize,
    servers: BTreeSet<String>,
    /// Asked for, and not answered before the end.
    open: Option<String>,
}

/// Has definitions approved, servers added and removed, and tools chosen, until nobody answers.
async fn operate(
    folder: &Path,
    url: &str,
    shop: &(MockHttp, Arc<AtomicUsize>),
    done: &Mutex<Acknowledged>,
) -> Option<()> {
    let (mock, version) = shop;
    let post = async |path: &str, body| ask(folder, url, Method::POST, path, Some(body)).await;
    loop {
        let offered = version.load(Ordering::SeqCst);
        let (status, said) = post("/v1/admin/servers/shop/approve", json!({})).await?;
        assert_eq!(status, 200, "{said}");
        let (_, served) = ask(folder, url, Method::GET, "/v1/tools/shop/buy", None).await?;
        if served["definition"]["description"] == format!("version {offered}") {
            done.lock().unwrap().approved = offered;
            version.store(offered + 1, Ordering::SeqCst);
            mock.announce();
        } else {
            // It has not been crawled yet, so nothing waited.
            assert_eq!(said["tools"], json!({}), "approved, and not served: {served}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let known = done.lock().unwrap().servers.clone();
        if known.len() < 3 {
            let id = format!("extra-{}", fastrand::u32(..));
            done.lock().unwrap().open = Some(id.clone());
            let (status, said) =
                post("/v1/admin/servers", json!({"id": id, "url": mock.url})).await?;
            assert_eq!(status, 201, "{said}");
            done.lock().unwrap().servers.insert(id);
        } else {
            let id = fastrand::choice(&known).unwrap();
            done.lock().unwrap().open = Some(id.clone());
            let path = format!("/v1/admin/servers/{id}");
            let (status, said) = ask(folder, url, Method::DELETE, &path, None).await?;
            assert_eq!(status, 200, "{said}");
            done.lock().unwrap().servers.remove(id);
        }
        done.lock().unwrap().open = None;
        let query = format!("get me thing {}", fastrand::u32(..));
        post("/v1/feedback", json!({"query": query, "tool": "shop/buy"})).await?;
    }
}

/// How many choices are on disk.
fn choices(folder: &Path) -> usize {
    let file = std::fs::read_dir(folder.join("data/learned")).ok().into_iter().flatten().flatten();
    let mut books = file
        .map(|entry| entry.path())
        .filter(|path| !path.file_name().unwrap().to_str().unwrap().starts_with('.'));
    let book = books.next().and_then(|path| learn::file::load(&path).expect("never half a book"));
    book.map_or(0, |book| book.len())
}

/// The servers that were added, as the data folder has them.
fn added(folder: &Path) -> BTreeSet<String> {
    let text = std::fs::read(folder.join("data/servers.json")).unwrap_or_else(|_| b"{}".to_vec());
    let book: serde_json::Value = serde_json::from_slice(&text).expect("never half a file");
    let servers = book["servers"].as_object().into_iter().flatten();
    servers.map(|(id, _)| id.clone()).collect()
}

async fn killed_while_operators_work(rounds: usize) {
    let shop = shop().await;
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "[learn]\nenabled = true\n[servers.shop]\nurl = \"{}\"\nrefresh = \"1s\"\npin = true",
        shop.0.url
    );
    configure(folder.path(), &text);
    let done = Mutex::new(Acknowledged::default());
    let mut random = fastrand::Rng::with_seed(9);
    let mut service = Service::start(folder.path(), &[]).await;
    service.until_state("shop", "ready").await;
    shop.1.store(1, Ordering::SeqCst);
    for round in 0..rounds {
        let delay = Duration::from_millis(random.u64(200..MOST));
        let work = operate(folder.path(), &service.url, &shop, &done);
        let _ = tokio::time::timeout(delay, work).await;
        let chosen = choices(folder.path());
        kill(service).await;
        age(&litter(folder.path()));

        service = Service::start(folder.path(), &[]).await;
        let kept = choices(folder.path());
        assert!(kept >= chosen, "round {round}: {kept} of {chosen} choices");
        let extra = async || {
            let (_, list) = service.get("/v1/servers").await;
            let listed = list["servers"].as_array().unwrap().iter();
            let ids = listed.map(|server| server["id"].as_str().unwrap().to_owned());
            ids.filter(|id| id != "shop").collect::<BTreeSet<String>>()
        };
        // Only what was not answered may have come to either.
        let written = added(folder.path());
        {
            let mut done = done.lock().unwrap();
            let differ: Vec<_> = written.symmetric_difference(&done.servers).cloned().collect();
            assert!(
                differ.iter().all(|id| Some(id) == done.open.as_ref()),
                "round {round}: {differ:?} beside {:?}",
                done.open
            );
            done.servers.clone_from(&written);
            done.open = None;
        }
        // Each is listed as its crawl begins.
        service.until("they are crawled", async || extra().await == written).await;
        // At once, whatever the server offers by now.
        let (status, tool) = service.get("/v1/tools/shop/buy").await;
        assert_eq!(status, 200, "round {round}: {tool}");
        let said = tool["definition"]["description"].as_str().unwrap();
        let served: usize = said.strip_prefix("version ").unwrap().parse().unwrap();
        let approved = done.lock().unwrap().approved;
        assert!(served >= approved, "round {round}: {served} is served, {approved} was approved");
        assert!(!service.log().contains("set aside"), "round {round}: {}", service.log());
    }
    let approved = done.lock().unwrap().approved;
    assert!(approved > 0 && choices(folder.path()) > 0, "nothing was acknowledged");
    eprintln!("killed {rounds} times: {approved} approvals, {} choices", choices(folder.path()));
    service.stop().await;
    assert!(litter(folder.path()).len() <= 3, "{:?}", litter(folder.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_operators_work_loses_nothing_that_was_acknowledged() {
    killed_while_operators_work(ROUNDS).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: scripts/test-long.sh"]
async fn long_a_kill_while_operators_work_loses_nothing_that_was_acknowledged() {
    killed_while_operators_work(LONG_ROUNDS).await;
}

async fn killed_while_tokens_are_refreshed(rounds: usize) {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("refresh = \"1s\"");
    site.control(json!({ "ttl": 2 })).await;
    assert_eq!(log_in(folder.path()).await.code, 0);
    let mut random = fastrand::Rng::with_seed(10);
    let mut lost = 0;
    for round in 0..rounds {
        let service = Service::start(folder.path(), &[]).await;
        tokio::time::sleep(Duration::from_millis(random.u64(0..MOST))).await;
        let reused = site.count("reused").await;
        kill(service).await;

        let service = Service::start(folder.path(), &[]).await;
        let settled = async || {
            let server = service.server("guarded").await;
            server["state"] == "ready" || server["state"] == "auth_required"
        };
        service.until("crawled, or a login is wanted", settled).await;
        let log = service.log();
        assert!(!log.contains("can't be decrypted"), "round {round}: {log}");
        if service.server("guarded").await["state"] == "auth_required" {
            // The one case that nobody can help: it died between the server's answer and the disk,
            // and the server, which takes a refresh token once, says so.
            assert!(site.count("reused").await > reused, "round {round}: {log}");
            lost += 1;
            kill(service).await;
            assert_eq!(log_in(folder.path()).await.code, 0);
        } else {
            kill(service).await;
        }
        age(&litter(folder.path()));
    }
    assert!(site.count("refresh").await > 0, "nothing was refreshed");
    eprintln!(
        "killed {rounds} times: {lost} logins ended by a refresh that was answered to nobody"
    );
    assert_crawled(folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_tokens_are_refreshed_leaves_a_login_that_can_be_read() {
    killed_while_tokens_are_refreshed(ROUNDS).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: scripts/test-long.sh"]
async fn long_a_kill_while_tokens_are_refreshed_leaves_a_login_that_can_be_read() {
    killed_while_tokens_are_refreshed(LONG_ROUNDS).await;
}
