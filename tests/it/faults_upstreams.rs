//! Upstreams that do something else whenever they are asked: no tool goes, nobody is asked all the
//! time, and neither connections nor children add up.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use toolscout::config::Transport;

use crate::support::crawling::page;
use crate::support::faults::{LONG_ROUNDS, ROUNDS, open_files};
use crate::support::mock_http::{Answer, MockHttp, Speaks};
use crate::support::mock_stdio::MockStdio;
use crate::support::service::{Service, configure, ids};

const HTTP: usize = 6;
const STDIO: usize = 2;
/// Requests that a crawl takes at most: it finds out how the server speaks, listens, and reads two
/// pages.
const A_CRAWL: usize = 8;

/// Any of the ways to answer wrongly.
fn wrong(random: &mut fastrand::Rng) -> Answer {
    match random.u8(0..9) {
        0 => Answer::Hang,
        1 => Answer::Status(503, None),
        2 => Answer::Cut(r#"{"jsonrpc":"2.0","result":{"tools":["#.into()),
        3 => Answer::Body("application/json", (0..200).map(|_| random.u8(..)).collect()),
        4 => Answer::Body("text/html", b"<p>Sorry</p>".to_vec()),
        5 => Answer::Error(-32603, "the roof is on fire"),
        6 => Answer::Status(401, Some("Bearer")),
        7 => Answer::Result(r#"{"tools":{}}"#.into()),
        _ => Answer::Result(page(&["open_door"], Some("nowhere"))),
    }
}

/// A server of two pages that answers wrongly half of the time while `ill` is set.
async fn flapping(seed: u64, ill: &Arc<AtomicBool>) -> MockHttp {
    let random = Mutex::new(fastrand::Rng::with_seed(seed));
    let ill = Arc::clone(ill);
    // Each speaks in another of the ways that there are.
    let speaks = [Speaks::Stateless, Speaks::Handshake(404, -32601), Speaks::Quiet];
    let speaks = speaks[usize::try_from(seed).unwrap() % speaks.len()];
    MockHttp::start(speaks, seed.is_multiple_of(2), move |request| {
        let mut random = random.lock().unwrap();
        if ill.load(Ordering::SeqCst) && random.bool() {
            return wrong(&mut random);
        }
        match request.cursor.as_deref() {
            None => Answer::Result(page(&["open_door"], Some("more"))),
            Some("more") => Answer::Result(page(&["ring_bell"], None)),
            Some(_) => Answer::Error(-32602, "no such cursor"),
        }
    })
    .await
}

fn script(ill: &str) -> serde_json::Value {
    let pages =
        [(None, page(&["open_door"], Some("more"))), (Some("more"), page(&["ring_bell"], None))];
    json!({"pages": pages, ill: true})
}

async fn flaps(rounds: usize) {
    let ill = Arc::<AtomicBool>::default();
    let (mut mocks, mut children, mut text) = (Vec::new(), Vec::new(), String::new());
    let often = "refresh = \"1s\"\ntimeout = \"1s\"";
    for at in 0..HTTP {
        let mock = flapping(at as u64, &ill).await;
        writeln!(text, "[servers.http-{at}]\nurl = \"{}\"\n{often}", mock.url).unwrap();
        mocks.push(mock);
    }
    for at in 0..STDIO {
        let mock = MockStdio::new(&script("well"));
        let Transport::Stdio { command, args, .. } = mock.transport() else { panic!() };
        writeln!(text, "[servers.stdio-{at}]\ncommand = {command:?}\nargs = {args:?}\n{often}")
            .unwrap();
        children.push(mock);
    }
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), &text);
    let service = Service::start(folder.path(), &[]).await;
    let all = 2 * (HTTP + STDIO);
    let complete = async || service.tools().await.len() == all;
    service.until("all is there", complete).await;
    let files = open_files(&service);

    let mut random = fastrand::Rng::with_seed(11);
    let (begun, before) = (Instant::now(), asked(&mocks));
    ill.store(true, Ordering::SeqCst);
    for round in 0..rounds {
        for child in &children {
            match random.u8(0..5) {
                0 => child.kill(),
                1 => child.announce(),
                2 => child.rewrite(&script("junk")),
                3 => child.rewrite(&script("hang")),
                _ => child.rewrite(&script("cut")),
            }
        }
        for mock in &mocks {
            match random.u8(0..4) {
                0 => mock.announce(),
                1 => mock.cut(),
                _ => {}
            }
        }
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until {
            assert!(complete().await, "round {round}: {:?}", service.tools().await);
            assert!(!ids(&service.search("ring the bell").await).is_empty());
            let running: usize = children.iter().map(|child| child.running().len()).sum();
            // One that is being ended, and the next one.
            assert!(running <= 2 * STDIO, "round {round}: {running} children");
            // Of each upstream a stream, a request, and one that is being closed; the test itself.
            let open = open_files(&service);
            assert!(open <= files + 3 * all, "round {round}: {open} files, {files} at first");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    // Nobody is crawled more than twice a second, whatever happens: it is announced, tried again, due.
    let most = usize::try_from(begun.elapsed().as_secs()).unwrap() * 2 + 4;
    for (mock, before) in mocks.iter().zip(before) {
        let asked = mock.seen().len() - before;
        assert!(asked <= most * A_CRAWL, "{asked} requests, where {} would do", most * A_CRAWL);
    }
    ill.store(false, Ordering::SeqCst);
    for child in &children {
        child.rewrite(&script("well"));
    }
    for at in 0..HTTP {
        service.until_state(&format!("http-{at}"), "ready").await;
    }
    for at in 0..STDIO {
        service.until_state(&format!("stdio-{at}"), "ready").await;
    }
    let settled = async || open_files(&service) <= files + HTTP + STDIO;
    service.until("no more files are open than at first", settled).await;
    assert!(complete().await);
    service.stop().await;
    assert!(children.iter().all(|child| child.running().is_empty()), "no child is left");
}

fn asked(mocks: &[MockHttp]) -> Vec<usize> {
    mocks.iter().map(|mock| mock.seen().len()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_that_flap_take_no_tool_away_and_add_nothing_up() {
    flaps(ROUNDS).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: scripts/test-long.sh"]
async fn long_upstreams_that_flap_take_no_tool_away_and_add_nothing_up() {
    flaps(LONG_ROUNDS).await;
}
