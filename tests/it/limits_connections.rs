//! Connections that do nothing, or do it slowly, keep nobody else from being answered and hold
//! little.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use toolscout::config::{Config, LimitsConfig};
use toolscout::live::Live;

use crate::support::app::{SERVERS, TestApp, catalog, config};
use crate::support::service::{self, Service, configure};

fn address(service: &Service) -> SocketAddr {
    service.url.strip_prefix("http://").unwrap().parse().unwrap()
}

/// Memory of a process in kB.
fn resident(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Opens so many connections that say nothing, to a service of its own.
async fn idle(count: usize) {
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let folder = tempfile::tempdir().unwrap();
    service::catalog(folder.path(), &[("files", "read_file", "Read a file from disk")]);
    let limits = "max_connections = 12000\nmax_connections_per_address = 12000";
    configure(
        folder.path(),
        &format!("[limits]\n{limits}\n[servers.files]\ncatalog = 'catalog.jsonl'"),
    );
    let service = Service::start(folder.path(), &[]).await;
    service.until_ready().await;
    let before = resident(service.pid());
    let mut open = Vec::new();
    for number in 0..count {
        let mut stream = TcpStream::connect(address(&service)).await.unwrap();
        // Half of them have begun a request.
        if number % 2 == 0 {
            stream.write_all(b"GET /v1/search?q=file HTTP/1.1\r\nhost: loc").await.unwrap();
        }
        open.push(stream);
    }
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let all = count as f64;
    let are_open = async || service.metric("toolscout_connections").await >= all;
    service.until("all are open", are_open).await;
    let answer = service.search("read a file").await;
    assert_eq!(answer["tools"][0]["id"], "files/read_file");
    let each = (resident(service.pid()).saturating_sub(before) << 10) / count;
    eprintln!("{count} idle connections: {each} bytes of memory each");
    assert!(each < 64 << 10, "{each} bytes each");
    drop(open);
    let are_gone = async || service.metric("toolscout_connections").await < 10.0;
    service.until("all are gone", are_gone).await;
    service.stop().await;
}

#[tokio::test]
async fn a_thousand_idle_connections_are_no_burden() {
    idle(1_000).await;
}

#[tokio::test]
#[ignore = "ten thousand sockets: scripts/test-long.sh long"]
async fn long_ten_thousand_idle_connections_are_no_burden() {
    idle(9_500).await;
}

#[tokio::test]
async fn one_address_has_its_share_of_connections_and_gets_it_back() {
    let limits = LimitsConfig { max_connections_per_address: 3, ..LimitsConfig::default() };
    let config = Config { limits, ..config() };
    let app = TestApp::serve(Live::from_catalog(catalog(SERVERS)), &config).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(ask(app.address, "/livez").await);
    }
    for stream in &mut open {
        assert!(head(stream).await.starts_with("HTTP/1.1 200"));
    }
    let mut refused = ask(app.address, "/livez").await;
    assert_eq!(head(&mut refused).await, "");
    // One that is closed makes room for another.
    drop(open.pop());
    loop {
        let mut stream = ask(app.address, "/livez").await;
        if head(&mut stream).await.starts_with("HTTP/1.1 200") {
            break;
        }
    }
}

async fn ask(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    // A connection that was refused may be closed before this.
    let _ = stream.write_all(head.as_bytes()).await;
    stream
}

/// What comes first; empty where the connection is closed instead.
async fn head(stream: &mut TcpStream) -> String {
    let mut bytes = [0; 12];
    match stream.read_exact(&mut bytes).await {
        Ok(_) => String::from_utf8(bytes.into()).unwrap(),
        Err(_) => String::new(),
    }
}

/// Whoever sends a body drop by drop takes no seat.
#[tokio::test]
async fn half_a_body_keeps_nobody_waiting() {
    let limits =
        LimitsConfig { concurrent_requests: std::num::NonZero::new(1), ..LimitsConfig::default() };
    let config = Config { limits, ..config() };
    let app = TestApp::serve(Live::from_catalog(catalog(SERVERS)), &config).await;
    let mut slow = Vec::new();
    for _ in 0..5 {
        let mut stream = TcpStream::connect(app.address).await.unwrap();
        let head = "POST /v1/search HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n\
                    content-type: application/json\r\ncontent-length: 17\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut told = [0; 25];
        // It waits for the body.
        stream.read_exact(&mut told).await.unwrap();
        assert!(told.starts_with(b"HTTP/1.1 100"));
        slow.push(stream);
    }
    assert_eq!(app.get("/v1/search?q=event").await.status, 200);
    for stream in &mut slow {
        stream.write_all(br#"{"query":"event"}"#).await.unwrap();
        assert!(head(stream).await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn a_target_that_is_too_long_is_told_so() {
    let app = TestApp::start().await;
    let reply = app.get(&format!("/v1/search?q={}", "x".repeat(20_000))).await;
    assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (414, "uri-too-long"));
}
