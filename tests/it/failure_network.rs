//! Servers that can't be reached, or not safely: what it says, and when they are tried again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use toolscout::catalog::{Outcome, ServerUpdate};
use toolscout::config::{NetworkConfig, ServerConfig};
use toolscout::crawl::crawl_once;

use crate::support::crawling::{Crawls, failure, http, limits, names, outcome, page, server};
use crate::support::front::{Authority, Flaw};
use crate::support::mock_http::{Answer, MockHttp, Speaks};

#[tokio::test]
async fn tls_failures_say_what_to_do() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    for (host, flaw, trusted, said) in [
        ("localhost", Flaw::None, false, "`ca_file`"),
        ("localhost", Flaw::Expired, true, "has expired"),
        ("localhost", Flaw::NotYetValid, true, "clock"),
        ("elsewhere.test", Flaw::None, true, "for another host"),
    ] {
        let tls = authority.server(host, flaw, false);
        let mock = MockHttp::over(Some(tls), Speaks::Stateless, false, |_| Answer::Hang).await;
        let ca = trusted.then(|| ca.clone());
        let network = NetworkConfig { ca, ..NetworkConfig::direct() };
        let server = ServerConfig { network, ..server("srv", http(&mock.url)) };
        let error = failure(crawl_once(&server, &limits(), None).await.remove(0).outcome);
        assert!(error.contains(said) && error.contains("no secure connection"), "{error}");
        // No other dialect was tried.
        assert_eq!(mock.connections(), 1);
    }
    // A server without TLS where there should be one.
    let mock = MockHttp::start(Speaks::Stateless, false, |_| Answer::Hang).await;
    let mut url = mock.url.clone();
    url.set_scheme("https").unwrap();
    let error = failure(outcome(http(&url)).await);
    assert!(error.contains("no secure connection"), "{error}");
}

#[tokio::test]
async fn a_host_that_no_name_server_knows_is_said_to_be_unknown() {
    let error = failure(outcome(http(&"https://tools.invalid/mcp".parse().unwrap())).await);
    assert!(error.contains("can't reach the server"), "{error}");
    assert!(error.contains("lookup") && error.contains("`url`"), "{error}");
}

/// The seconds to the next crawl.
fn due(update: &ServerUpdate) -> u64 {
    let due = update.next_crawl.unwrap().duration_since(Instant::now());
    due.as_secs()
}

#[tokio::test]
async fn a_busy_server_is_left_alone_for_as_long_as_it_says() {
    let date = |seconds| httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(seconds));
    let cases = [
        (429, "120".to_owned(), 110..=135),
        (503, date(300), 280..=335),
        (429, "1000000".to_owned(), 3_500..=4_000),
        // A date that is past, and words that mean nothing: as after any other failure.
        (503, "Sun, 06 Nov 1994 08:49:37 GMT".to_owned(), 0..=5),
        (429, "soon".to_owned(), 0..=5),
    ];
    for (status, after, expected) in cases {
        let said = after.clone();
        let mock =
            MockHttp::start(Speaks::Stateless, false, move |_| Answer::Busy(status, said.clone()))
                .await;
        let mut crawls = Crawls::start(vec![server("srv", http(&mock.url))], [].into());
        crawls.next().await;
        let update = crawls.next().await;
        assert!(expected.contains(&due(&update)), "{after}: {}", due(&update));
        let error = failure(update.outcome);
        assert!(error.contains(&format!("(HTTP {status})")), "{error}");
        crawls.stop().await;
    }
}

#[tokio::test]
async fn a_busy_server_is_not_asked_in_other_dialects() {
    for status in [429, 503] {
        let mock = MockHttp::start(Speaks::Busy(status, "120"), false, |_| Answer::Hang).await;
        let mut crawls = Crawls::start(vec![server("srv", http(&mock.url))], [].into());
        crawls.next().await;
        let update = crawls.next().await;
        assert!((110..=135).contains(&due(&update)), "{}", due(&update));
        assert_eq!(mock.seen().len(), 1);
        // Whoever asks for a crawl gets one.
        crawls.crawler.refresh(&"srv".into());
        failure(crawls.next().await.outcome);
        assert_eq!(mock.seen().len(), 2);
        crawls.stop().await;
    }
}

#[tokio::test]
async fn a_token_that_is_revoked_in_the_middle_takes_no_tool_away() {
    let crawls_so_far = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&crawls_so_far);
    let mock = MockHttp::start(Speaks::Stateless, false, move |request| {
        if request.cursor.is_none() {
            counted.fetch_add(1, Ordering::SeqCst);
            return Answer::Result(page(&["a"], Some("2")));
        }
        match counted.load(Ordering::SeqCst) {
            1 => Answer::Result(page(&["b"], None)),
            _ => Answer::Status(401, Some("Bearer error=\"invalid_token\"")),
        }
    })
    .await;
    let mut crawls = Crawls::start(vec![server("srv", http(&mock.url))], [].into());
    assert_eq!(names(&crawls.listing_of("srv").await), ["a", "b"]);
    crawls.crawler.refresh(&"srv".into());
    let gated = crawls.next().await.outcome;
    assert!(matches!(gated, Outcome::AuthRequired { .. }), "{gated:?}");
    crawls.stop().await;
}
