//! Hundreds of servers at once, some of them dead: the others wait for none of those.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::support::crawling::page;
use crate::support::mock_http::{Answer, MockHttp, Speaks};
use crate::support::mock_stdio::MockStdio;
use crate::support::service::{Service, configure};
use toolscout::config::Transport;

const ALL: usize = 500;
/// The last ones die: half of them hang, half of them are gone.
const DEAD: usize = 50;

/// How many servers are in this state.
async fn count(service: &Service, state: &str) -> usize {
    let (_, list) = service.get("/v1/servers").await;
    let servers = list["servers"].as_array().unwrap();
    servers.iter().filter(|server| server["state"] == state).count()
}

#[tokio::test]
async fn fifty_dead_among_five_hundred_delay_nobody_and_lose_nothing() {
    let hangs = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&hangs);
    let number = |path: &str| -> usize { path.split('/').nth(1).unwrap().parse().unwrap() };
    let mock = MockHttp::start(Speaks::Stateless, false, move |request| {
        let number = number(&request.path);
        if number >= ALL - DEAD && now.load(Ordering::SeqCst) {
            return Answer::Hang;
        }
        Answer::Result(page(&[&format!("tool_{number}")], None))
    })
    .await;
    let fleeting = MockHttp::start(Speaks::Stateless, false, move |request| {
        Answer::Result(page(&[&format!("tool_{}", number(&request.path))], None))
    })
    .await;
    // A few are children.
    let child = MockStdio::pages(&[(None, &page(&["tool"], None))]);
    let Transport::Stdio { command, args, .. } = child.transport() else {
        panic!("not stdio");
    };
    let mut entries = String::new();
    for number in 0..ALL {
        let mock = if number >= ALL - DEAD / 2 { &fleeting } else { &mock };
        let way = if number % 100 == 7 {
            format!("command = {command:?}\nargs = {args:?}")
        } else {
            format!("url = \"{}\"", mock.url.join(&format!("/{number}/mcp")).unwrap())
        };
        writeln!(entries, "[servers.s{number:03}]\n{way}").unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), &entries);
    let service = Service::start(folder.path(), &[]).await;
    service.until("all are ready", async || count(&service, "ready").await == ALL).await;
    assert_eq!(service.status().await["total"], ALL);
    service.stop().await;

    drop(fleeting);
    hangs.store(true, Ordering::SeqCst);
    let service = Service::start(folder.path(), &[]).await;
    // What was known is there at once.
    assert_eq!(service.status().await["total"], ALL);
    service
        .until("the living are ready", async || count(&service, "ready").await == ALL - DEAD)
        .await;
    // They did not wait until those that hang were given up.
    let hanging = service.server("s460").await;
    assert_eq!(hanging["state"], "stale");
    assert_eq!(hanging["error"], Value::Null, "{hanging}");
    service
        .until("who is gone is said to be", async || {
            service.server("s490").await["error"].is_string()
        })
        .await;
    assert_eq!(service.status().await["total"], ALL);
    service.stop().await;
}
