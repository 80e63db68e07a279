//! Servers are crawled again: when they say so, in time, after failures; none delays another.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use toolscout::catalog::{Outcome, ServerInfo};

use crate::support::crawling::{Crawls, failure, http, listing, names, page, server, until};
use crate::support::mock_http::{Answer, MockHttp, Speaks};
use crate::support::mock_stdio::MockStdio;

/// A server whose tools grow with every listing: `t0`, then `t0` and `t1` …
async fn growing(speaks: Speaks) -> MockHttp {
    let count = AtomicUsize::new(0);
    MockHttp::start(speaks, true, move |_| {
        let count = count.fetch_add(1, Ordering::Relaxed);
        let names: Vec<_> = (0..=count).map(|n| format!("t{n}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        Answer::Result(page(&names, None))
    })
    .await
}

fn is_connecting(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Connecting)
}

#[tokio::test]
async fn an_announced_change_is_crawled_over_http() {
    for speaks in [Speaks::Handshake(404, -32601), Speaks::Stateless] {
        let mock = growing(speaks).await;
        let mut crawls = Crawls::start(vec![server("srv", http(&mock.url))], [].into());
        let first = crawls.next().await;
        assert!(is_connecting(&first.outcome));
        let second = crawls.next().await;
        let due = second.next_crawl.unwrap().duration_since(Instant::now());
        assert!((3200..=3960).contains(&due.as_secs()), "{due:?}");
        assert_eq!(names(&listing(second.outcome)), ["t0"]);
        until("somebody listens", || mock.has_listener()).await;
        // A burst leads to one crawl.
        mock.announce();
        mock.announce();
        mock.announce();
        assert_eq!(names(&crawls.listing_of("srv").await), ["t0", "t1"]);
        mock.announce();
        assert_eq!(names(&crawls.listing_of("srv").await), ["t0", "t1", "t2"]);
        // All over one connection.
        let connected = match speaks {
            Speaks::Stateless => "server/discover",
            _ => "initialize",
        };
        assert_eq!(mock.count(connected), 1);
        crawls.stop().await;
    }
}

#[tokio::test]
async fn an_announced_change_is_crawled_over_stdio() {
    for stateless in [false, true] {
        let script =
            |name: &str| json!({"pages": [[null, page(&[name], None)]], "stateless": stateless});
        let mock = MockStdio::new(&script("old"));
        let mut crawls = Crawls::start(vec![server("srv", mock.transport())], [].into());
        assert_eq!(names(&crawls.listing_of("srv").await), ["old"]);
        mock.rewrite(&script("new"));
        mock.announce();
        assert_eq!(names(&crawls.listing_of("srv").await), ["new"]);
        assert_eq!(mock.count("start"), 1);
        crawls.stop().await;
    }
}

#[tokio::test]
async fn a_child_that_dies_is_started_again() {
    let mock = MockStdio::pages(&[(None, &page(&["a"], None))]);
    let mut crawls = Crawls::start(vec![server("srv", mock.transport())], [].into());
    crawls.listing_of("srv").await;
    mock.kill();
    crawls.listing_of("srv").await;
    assert_eq!(mock.count("start"), 2);
    // The era is remembered.
    assert_eq!(mock.count("server/discover"), 1);
    crawls.stop().await;
}

#[tokio::test]
async fn a_slow_or_dead_server_delays_nobody() {
    let slow = MockHttp::start(Speaks::Stateless, false, |_| Answer::Hang).await;
    let quick = growing(Speaks::Stateless).await;
    let servers = vec![
        server("a-slow", http(&slow.url)),
        server("b-dead", http(&"http://127.0.0.1:1/mcp".parse().unwrap())),
        server("c-quick", http(&quick.url)),
    ];
    let mut crawls = Crawls::start(servers, BTreeMap::new());
    assert_eq!(names(&crawls.listing_of("c-quick").await), ["t0"]);
    crawls.stop().await;
}

#[tokio::test]
async fn what_changes_while_nobody_listens_is_seen() {
    for speaks in [Speaks::Handshake(404, -32601), Speaks::Stateless] {
        let offered = Arc::new(Mutex::new("first"));
        let now = Arc::clone(&offered);
        let lister = move |_: &_| Answer::Result(page(&[*now.lock().unwrap()], None));
        let mock = MockHttp::start(speaks, true, lister).await;
        let mut crawls = Crawls::start(vec![server("srv", http(&mock.url))], [].into());
        assert_eq!(names(&crawls.listing_of("srv").await), ["first"]);
        // Whoever listens does so before the listing is read.
        assert!(mock.has_listener());
        *offered.lock().unwrap() = "second";
        mock.cut();
        assert_eq!(names(&crawls.listing_of("srv").await), ["second"]);
        // And goes on listening.
        assert!(mock.has_listener());
        *offered.lock().unwrap() = "third";
        mock.announce();
        assert_eq!(names(&crawls.listing_of("srv").await), ["third"]);
        crawls.stop().await;
    }
}

#[tokio::test]
async fn a_failing_server_is_tried_again_and_recovers() {
    let up = Arc::new(AtomicBool::new(false));
    let is_up = Arc::clone(&up);
    let mock = MockHttp::start(Speaks::Stateless, false, move |_| {
        if is_up.load(Ordering::SeqCst) {
            Answer::Result(page(&["a"], None))
        } else {
            Answer::Status(503, None)
        }
    })
    .await;
    let mut crawls = Crawls::start(vec![server("srv", http(&mock.url))], [].into());
    assert!(is_connecting(&crawls.next().await.outcome));
    let first = crawls.next().await;
    let second = crawls.next().await;
    let due = second.next_crawl.unwrap();
    assert!(due > first.next_crawl.unwrap());
    assert!(due < Instant::now() + Duration::from_mins(1), "the interval is an hour");
    assert!(failure(first.outcome).contains("503"));
    assert!(failure(second.outcome).contains("503"));
    up.store(true, Ordering::SeqCst);
    assert_eq!(names(&crawls.listing_of("srv").await), ["a"]);
    crawls.stop().await;
}

#[tokio::test]
async fn the_interval_leads_to_the_next_crawl() {
    let mock = growing(Speaks::Handshake(404, -32601)).await;
    let mut server = server("srv", http(&mock.url));
    server.refresh = Duration::from_millis(50);
    let mut crawls = Crawls::start(vec![server], [].into());
    for count in 1..4 {
        assert_eq!(crawls.listing_of("srv").await.tools.len(), count);
    }
    crawls.stop().await;
}

#[tokio::test]
async fn a_crawl_can_be_asked_for() {
    let mock = growing(Speaks::Stateless).await;
    let mut crawls = Crawls::start(vec![server("srv", http(&mock.url))], [].into());
    assert_eq!(names(&crawls.listing_of("srv").await), ["t0"]);
    assert!(crawls.crawler.refresh(&"srv".into()));
    assert_eq!(names(&crawls.listing_of("srv").await), ["t0", "t1"]);
    assert!(!crawls.crawler.refresh(&"other".into()));
    crawls.stop().await;
}

#[tokio::test]
async fn what_is_known_is_not_connecting_and_what_left_is_removed() {
    let mock = growing(Speaks::Stateless).await;
    let known = [
        ("srv".into(), ServerInfo::default()),
        ("off".into(), ServerInfo::default()),
        ("gone".into(), ServerInfo::default()),
    ];
    let mut off = server("off", http(&mock.url));
    off.enabled = false;
    let servers = vec![server("srv", http(&mock.url)), off];
    let mut crawls = Crawls::start(servers, known.into());
    let mut updates = BTreeMap::new();
    while updates.len() < 3 {
        let update = crawls.next().await;
        assert!(updates.insert(update.server.to_string(), update.outcome).is_none());
    }
    assert!(matches!(updates["srv"], Outcome::Listed(_)));
    assert!(matches!(updates["off"], Outcome::Disabled));
    assert!(matches!(updates["gone"], Outcome::Removed));
    assert_eq!(mock.count("tools/list"), 1);
    crawls.stop().await;
}

#[tokio::test]
async fn news_that_can_not_be_had_now_are_asked_for_again() {
    let mock = growing(Speaks::Handshake(404, -32601)).await;
    mock.refuse_news(503);
    let mut crawls = Crawls::start(vec![server("srv", http(&mock.url))], [].into());
    assert_eq!(names(&crawls.listing_of("srv").await), ["t0"]);
    assert!(!mock.has_listener());
    mock.refuse_news(0);
    let mut listed = 1;
    while !mock.has_listener() {
        listed = crawls.listing_of("srv").await.tools.len();
    }
    mock.announce();
    assert_eq!(crawls.listing_of("srv").await.tools.len(), listed + 1);
    crawls.stop().await;
}

#[tokio::test]
async fn a_server_without_news_keeps_its_session() {
    for status in [405, 404, 501] {
        let mock = growing(Speaks::Handshake(404, -32601)).await;
        mock.refuse_news(status);
        let mut crawls = Crawls::start(vec![server("srv", http(&mock.url))], [].into());
        for listed in 1..=5 {
            assert_eq!(crawls.listing_of("srv").await.tools.len(), listed);
            assert!(crawls.crawler.refresh(&"srv".into()));
        }
        assert_eq!(mock.count("initialize"), 1, "{status}");
        crawls.stop().await;
    }
}

#[tokio::test]
async fn what_a_fresh_connection_would_not_mend_is_asked_once() {
    type Bad = Box<dyn Fn() -> Answer + Send + Sync>;

    let many: Vec<_> = (0..1_001).map(|n| format!("t{n}")).collect();
    let many = page(&many.iter().map(String::as_str).collect::<Vec<_>>(), None);
    let cases: [(Bad, usize, &str); 4] = [
        (Box::new(|| Answer::Busy(429, "300".into())), 1, "left alone"),
        (Box::new(|| Answer::Status(401, None)), 1, "credentials"),
        (Box::new(move || Answer::Result(many.clone())), 1, "more than 1000 tools"),
        (Box::new(|| Answer::Result(page(&["a"], Some("again")))), 2, "no end"),
    ];
    for (bad, asked, said) in cases {
        let is_bad = Arc::new(AtomicBool::new(false));
        let now = Arc::clone(&is_bad);
        let mock = MockHttp::start(Speaks::Stateless, false, move |_| {
            if now.load(Ordering::SeqCst) { bad() } else { Answer::Result(page(&["a"], None)) }
        })
        .await;
        let mut crawls = Crawls::start(vec![server("srv", http(&mock.url))], [].into());
        crawls.listing_of("srv").await;
        is_bad.store(true, Ordering::SeqCst);
        assert!(crawls.crawler.refresh(&"srv".into()));
        let update = crawls.next().await;
        let (Outcome::Failed { error } | Outcome::AuthRequired { error }) = update.outcome else {
            panic!("{said}: {:?}", update.outcome);
        };
        assert!(error.contains(said), "{error}");
        assert_eq!(mock.count("tools/list"), 1 + asked, "{said}");
        assert_eq!(mock.count("server/discover"), 1, "{said}");
        if said == "left alone" {
            let due = update.next_crawl.unwrap().duration_since(Instant::now());
            assert!(due > Duration::from_secs(290), "{due:?}");
        }
        crawls.stop().await;
    }
}
