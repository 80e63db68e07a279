//! When there is more to do than can be done, some are told so at once, and the rest are answered.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use reqwest::Method;
use toolscout::config::{Config, LimitsConfig};
use toolscout::live::Live;

use crate::support::app::{SERVERS, TestApp, catalog, config};
use crate::support::crawling::PATIENCE;

async fn start(limits: LimitsConfig) -> Arc<TestApp> {
    let config = Config { limits, ..config() };
    Arc::new(TestApp::serve(Live::from_catalog(catalog(SERVERS)), &config).await)
}

/// One seat, and one place to wait for it.
fn narrow() -> LimitsConfig {
    LimitsConfig {
        concurrent_requests: std::num::NonZero::new(1),
        queue: 1,
        queue_per_caller: 1,
        queue_wait: Duration::from_hours(1),
        queue_target: Duration::from_millis(1),
        ..LimitsConfig::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn those_who_find_no_place_are_refused_and_the_service_goes_on() {
    let app = start(narrow()).await;
    let (mut answered, mut refused) = (0, 0);
    // Whether two meet is up to the scheduler: until some have.
    while refused == 0 {
        let crowd = (0..64).map(|number| {
            let app = Arc::clone(&app);
            tokio::spawn(async move {
                let reply = app.get(&format!("/v1/tools?limit={}", number + 1)).await;
                let alive = app.get("/livez").await;
                assert_eq!(alive.status, 200);
                assert_eq!(app.get("/metrics").await.status, 200);
                reply
            })
        });
        for reply in join_all(crowd).await {
            let reply = reply.unwrap();
            if reply.status == 200 {
                answered += 1;
            } else {
                assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (503, "overloaded"));
                assert_eq!(reply.headers["retry-after"], "1");
                refused += 1;
            }
        }
    }
    assert!(answered > 0);
    // Every seat came back.
    for _ in 0..3 {
        assert_eq!(app.get("/v1/search?q=event").await.status, 200);
    }
    let metrics = app.get("/metrics").await.text;
    assert!(metrics.contains("toolscout_shed_total{reason=\"full\"}"), "{metrics}");
    // The gauge is the process's, and the other tests' queues are in it until they are done.
    until(async || app.get("/metrics").await.text.contains("toolscout_queue_length 0")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_burst_that_fits_is_answered_to_the_last() {
    let limits = LimitsConfig {
        concurrent_requests: std::num::NonZero::new(1),
        queue_wait: Duration::from_hours(1),
        ..LimitsConfig::default()
    };
    let app = start(limits).await;
    let crowd = (0..400).map(|_| {
        let app = Arc::clone(&app);
        tokio::spawn(async move { app.get("/v1/search?q=event").await.status.as_u16() })
    });
    let statuses = join_all(crowd).await;
    assert!(statuses.into_iter().all(|status| status.unwrap() == 200));
}

#[tokio::test]
async fn a_caller_has_so_many_streams_and_one_that_is_closed_makes_room() {
    let limits = LimitsConfig { streams_per_caller: 2, ..LimitsConfig::default() };
    let app = start(limits).await;
    let open = async || {
        let request = app.request(Method::GET, "/mcp").header("accept", "text/event-stream");
        request.send().await.unwrap()
    };
    let first = open().await;
    let second = open().await;
    assert_eq!((first.status().as_u16(), second.status().as_u16()), (200, 200));
    let third = open().await;
    assert_eq!(third.status(), 429);
    let told: serde_json::Value = third.json().await.unwrap();
    assert_eq!(told["type"], "urn:toolscout:problem:too-many-streams");
    // What is not a stream is answered all the same.
    assert_eq!(app.get("/v1/search?q=event").await.status, 200);
    drop(first);
    // When the server hears of it is up to the network.
    until(async || open().await.status() == 200).await;
}

async fn until(condition: impl AsyncFn() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("never so");
}
