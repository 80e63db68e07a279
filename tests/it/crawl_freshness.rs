//! What a server says of how long its listing holds, and for whom it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use toolscout::catalog::Outcome;
use toolscout::config::{ServerConfig, Transport};
use toolscout::crawl::Wanted;

use crate::support::crawling::{Crawls, http, listing, names, outcome, page, server};
use crate::support::mock_http::{Answer, MockHttp, Speaks};
use crate::support::service::{Service, configure};

/// A page with these hints in it.
fn hinted(names: &[&str], next: Option<&str>, hints: &str) -> String {
    page(names, next).replacen('{', &format!("{{{hints},"), 1)
}

#[tokio::test]
async fn the_shortest_time_and_the_closest_circle_of_all_pages_count() {
    for (first, second, ttl, private) in [
        (
            r#""ttlMs":90000,"cacheScope":"public""#,
            r#""ttlMs":5000,"cacheScope":"public""#,
            5,
            false,
        ),
        (
            r#""ttlMs":1000,"cacheScope":"public""#,
            r#""ttlMs":5000,"cacheScope":"private""#,
            1,
            true,
        ),
        // What can't be understood is no hint, and for nobody else.
        (r#""ttlMs":"long","cacheScope":7"#, r#""ttlMs":2e3,"cacheScope":"public""#, 2, true),
    ] {
        let pages = vec![
            (None, hinted(&["a"], Some("2"), first)),
            (Some("2"), hinted(&["b"], None, second)),
        ];
        let mock = MockHttp::pages(Speaks::Stateless, false, pages).await;
        let info = listing(outcome(http(&mock.url)).await).info;
        assert_eq!(info.ttl, Some(Duration::from_secs(ttl)), "{first}");
        assert_eq!(info.private_to.is_some(), private, "{first}");
    }
    let mock = MockHttp::pages(Speaks::Stateless, false, vec![(None, page(&["a"], None))]).await;
    let info = listing(outcome(http(&mock.url)).await).info;
    assert_eq!((info.ttl, info.private_to), (None, None));
}

#[tokio::test]
async fn a_listing_that_holds_for_minutes_is_read_again_in_minutes() {
    for (hint, due) in [("600000", 540..=660), ("0", 3_240..=3_960), ("1", 54..=66)] {
        // It announces nothing, so there is only the time to go by.
        let hints = format!("\"ttlMs\":{hint}");
        let pages = vec![(None, hinted(&["a"], None, &hints))];
        let mock = MockHttp::pages(Speaks::Quiet, false, pages).await;
        let mut crawls = Crawls::start(vec![server("srv", http(&mock.url))], [].into());
        crawls.next().await;
        let next = crawls.next().await.next_crawl.unwrap();
        let wait = next.duration_since(std::time::Instant::now()).as_secs() + 1;
        assert!(due.contains(&wait), "{hint}: {wait}");
        crawls.stop().await;
    }
}

/// Restarts with this token; what is served before any crawl has succeeded.
async fn restarted(folder: &std::path::Path, mock: &MockHttp, token: &str) -> Vec<String> {
    let entry = format!("[servers.mine]\nurl = \"{}\"\nbearer_token = \"{token}\"\n", mock.url);
    configure(folder, &entry);
    let service = Service::start(folder, &[]).await;
    service.until("asked", async || service.server("mine").await != Value::Null).await;
    let tools = service.tools().await;
    service.stop().await;
    tools
}

#[tokio::test]
async fn a_private_listing_is_served_to_nobody_else() {
    for scope in ["private", "public"] {
        let hangs = Arc::new(AtomicBool::new(false));
        let now = Arc::clone(&hangs);
        let hints = format!("\"ttlMs\":0,\"cacheScope\":\"{scope}\"");
        let mock = MockHttp::start(Speaks::Stateless, false, move |_| {
            if now.load(Ordering::SeqCst) {
                return Answer::Hang;
            }
            Answer::Result(hinted(&["diary"], None, &hints))
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        let entry =
            format!("[servers.mine]\nurl = \"{}\"\nbearer_token = \"ada-1234\"\n", mock.url);
        configure(folder.path(), &entry);
        let service = Service::start(folder.path(), &[]).await;
        service.until_state("mine", "ready").await;
        let mine = service.server("mine").await;
        assert_eq!(mine["ttl_s"], json!(0.0));
        assert_eq!(mine["private"], if scope == "private" { json!(true) } else { Value::Null });
        service.stop().await;
        // The token is nowhere in what is kept.
        let kept = std::fs::read(crate::support::service::snapshot(folder.path())).unwrap();
        assert!(!kept.windows(8).any(|bytes| bytes == b"ada-1234"));

        hangs.store(true, Ordering::SeqCst);
        assert_eq!(restarted(folder.path(), &mock, "ada-1234").await, ["mine/diary"]);
        let of_others: &[&str] = if scope == "private" { &[] } else { &["mine/diary"] };
        assert_eq!(restarted(folder.path(), &mock, "bob-1234").await, of_others);
    }
}

#[tokio::test]
async fn an_entry_with_other_credentials_takes_over_only_what_everybody_may_see() {
    for scope in ["private", "public"] {
        let hints = format!("\"ttlMs\":0,\"cacheScope\":\"{scope}\"");
        let pages = vec![(None, hinted(&["diary"], None, &hints))];
        let mock = MockHttp::pages(Speaks::Stateless, false, pages).await;
        let entry = |token: &str, title: &str| {
            let headers = vec![("authorization".to_owned(), token.to_owned().into())];
            let transport = Transport::Http { url: mock.url.clone(), headers };
            let title = Some(title.to_owned());
            vec![Wanted::crawled(ServerConfig { title, ..server("mine", transport) })]
        };
        let mut crawls = Crawls::start(Vec::new(), [].into());
        crawls.crawler.apply(entry("Bearer ada", "Mine"));
        assert_eq!(names(&crawls.listing_of("mine").await), ["diary"]);
        for (token, title, kept) in
            [("ada", "Hers", true), ("bob", "His", scope == "public"), ("bob", "Still his", true)]
        {
            crawls.crawler.apply(entry(&format!("Bearer {token}"), title));
            let Outcome::Narrowed(filter) = crawls.next().await.outcome else {
                panic!("nothing is said of the tools that were known");
            };
            assert_eq!(filter.admits("diary"), kept, "{scope}: {title}");
            assert_eq!(names(&crawls.listing_of("mine").await), ["diary"]);
        }
        crawls.stop().await;
    }
}
