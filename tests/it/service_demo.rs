//! `serve --demo` as a newcomer runs it, and how it ends.

use std::sync::Mutex;

use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use toolscout::config::Transport;

use crate::support::crawling::{page, until};
use crate::support::mock_stdio::MockStdio;
use crate::support::service::{Service, configure, ids, run, serve};

/// The demo's servers that run as children of this process, as `/proc` has them.
fn demo_children(parent: u32) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap();
    let names = processes.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter(|pid| stat(pid).is_some_and(|(_, ppid)| ppid == parent.to_string()))
        .filter(|pid| is_demo_server(pid))
        .collect()
}

/// State and parent of a process.
fn stat(pid: &str) -> Option<(String, String)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut rest = stat.rsplit(") ").next()?.split(' ');
    Some((rest.next()?.into(), rest.next()?.into()))
}

fn is_demo_server(pid: &str) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).contains("demo-server")
}

/// A process that still runs; one that nobody has waited for yet does not.
fn runs(pid: &str) -> bool {
    is_demo_server(pid) && stat(pid).is_some_and(|(state, _)| state != "Z")
}

async fn demo() -> (tempfile::TempDir, Service) {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), &["--demo"]).await;
    let all_ready = async || service.status().await["servers"]["ready"] == 14;
    service.until("all 14 servers ready", all_ready).await;
    (folder, service)
}

#[tokio::test]
async fn the_demo_is_crawled_and_searched() {
    let (_folder, service) = demo().await;
    assert_eq!(service.get("/readyz").await.0, 200);
    let status = service.status().await;
    assert!(status["total"].as_u64().unwrap() >= 120, "{status}");
    let (_, list) = service.get("/v1/servers").await;
    let over = |transport| {
        let servers = list["servers"].as_array().unwrap().iter();
        servers.filter(|s| s["transport"] == transport).count()
    };
    assert_eq!((over("stdio"), over("http")), (7, 7), "{list}");
    let answer = service.search("refund a card payment").await;
    assert!(ids(&answer)[0].starts_with("payments/"), "{answer}");
    assert_eq!(answer["stale"], serde_json::json!([]));
    service.stop().await;
}

#[tokio::test]
async fn nothing_is_left_running() {
    for signal in [Signal::TERM, Signal::INT, Signal::KILL] {
        let folder = tempfile::tempdir().unwrap();
        // A server that can announce changes is kept; the demo's end when they are crawled.
        let lasting = MockStdio::pages(&[(None, &page(&["wait"], None))]);
        let Transport::Stdio { command, args, .. } = lasting.transport() else {
            unreachable!("it speaks on stdio");
        };
        configure(
            folder.path(),
            &format!("[servers.lasting]\ncommand = {command:?}\nargs = {args:?}"),
        );
        let mut service = Service::start(folder.path(), &["--demo"]).await;
        let children = Mutex::new(Vec::new());
        // Those of the demo may have come and gone between two looks.
        let begun = || {
            children.lock().unwrap().extend(demo_children(service.pid()));
            lasting.running().len() == 1
        };
        until("the crawl has begun", begun).await;
        let children = children.into_inner().unwrap();
        service.signal(signal);
        let code = service.ended().await;
        assert_eq!(code, (signal != Signal::KILL).then_some(0));
        until("the children have ended", || {
            !children.iter().any(|pid| runs(pid)) && lasting.running().is_empty()
        })
        .await;
    }
}

/// A search whose body has begun, and which the service is waiting for.
async fn half_a_search(service: &Service) -> TcpStream {
    let address = service.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/search HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         content-length: 17\r\nexpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut told = [0; 12];
    stream.read_exact(&mut told).await.unwrap();
    assert_eq!(&told, b"HTTP/1.1 100");
    stream
}

#[tokio::test]
async fn an_open_request_is_answered_before_the_end() {
    let (_folder, mut service) = demo().await;
    let mut stream = half_a_search(&service).await;
    service.signal(Signal::TERM);
    service.until_logged("stopping").await;
    stream.write_all(br#"{"query":"email"}"#).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("HTTP/1.1 200 OK"), "{answer}");
    let body: Value = serde_json::from_str(answer.rsplit("\r\n").next().unwrap()).unwrap();
    assert!(!ids(&body).is_empty());
    assert_eq!(service.ended().await, Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let (_folder, mut service) = demo().await;
    let _open = half_a_search(&service).await;
    service.signal(Signal::INT);
    service.until_logged("stopping").await;
    service.signal(Signal::INT);
    assert_eq!(service.ended().await, Some(130));
}

#[tokio::test]
async fn a_port_in_use_is_said_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = run(folder.path(), &["serve", "--demo", "--listen", &address]).await;
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains(&address) && ran.stderr.contains("--listen"), "{}", ran.stderr);
    assert_eq!(ran.stdout, "");
}

#[tokio::test]
async fn beyond_loopback_needs_consent() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(folder.path(), &["serve", "--demo", "--listen", "0.0.0.0:0"]).await;
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("allow-anonymous"), "{}", ran.stderr);
    let mut command = serve(folder.path(), &["--demo", "--allow-anonymous"]);
    command.env("TOOLSCOUT_LISTEN", "0.0.0.0:0");
    Service::of(command).await.stop().await;
}
