//! Servers on the transport of 2024: found, listed verbatim, followed, and not believed too much.

use toolscout::catalog::Outcome;
use toolscout::config::Transport;
use toolscout::crawl::crawl_once;

use crate::support::crawling::{
    Crawls, definitions, failure, http, limits, listing, names, outcome, page, server, until,
};
use crate::support::mock_sse::{MockSse, Plan};

#[tokio::test]
async fn an_old_server_is_found_and_its_definitions_are_kept_as_they_came() {
    let odd = r#"{"name":"odd", "n":1e400,"x":"\ud800","inputSchema":true}"#;
    let mock = MockSse::start(Plan::page(format!(r#"{{"tools":[{odd}]}}"#))).await;
    let transport = Transport::Http {
        url: mock.url.clone(),
        headers: vec![("Authorization".into(), "Bearer token-123".into())],
    };
    let listing = listing(outcome(transport).await);
    assert_eq!(definitions(&listing), [odd]);
    assert_eq!(listing.info.protocol.as_deref(), Some("2024-11-05"));
    assert_eq!(mock.asked(), ["initialize", "notifications/initialized", "tools/list"]);
    let token = Some("Bearer token-123".to_owned());
    assert_eq!(mock.header("authorization"), [token.clone(), token.clone(), token]);
    until("the stream is let go", || {
        mock.send(": still there?\n\n");
        mock.streams() == 0
    })
    .await;
}

#[tokio::test]
async fn a_known_old_server_is_not_asked_anything_that_it_refuses() {
    let mock = MockSse::start(Plan::page(page(&["a"], None))).await;
    let server = server("srv", http(&mock.url));
    let known = listing(crawl_once(&server, &limits(), None).await.remove(0).outcome).info;
    let refused = mock.refused();
    assert!(refused > 0 && known.event_stream);
    listing(crawl_once(&server, &limits(), Some(&known)).await.remove(0).outcome);
    assert_eq!(mock.refused(), refused);
}

#[tokio::test]
async fn changes_are_followed_and_none_is_lost_with_the_stream() {
    let mock = MockSse::start(Plan::page(page(&["first"], None))).await;
    let mut crawls = Crawls::start(vec![server("srv", http(&mock.url))], [].into());
    assert_eq!(names(&crawls.listing_of("srv").await), ["first"]);

    *mock.plan.page.lock().unwrap() = page(&["second"], None);
    mock.announce();
    assert_eq!(names(&crawls.listing_of("srv").await), ["second"]);
    let connected = mock.asked().iter().filter(|method| *method == "initialize").count();
    assert_eq!(connected, 1, "over the same stream");

    // What changes while there is no stream is seen once there is one again.
    *mock.plan.page.lock().unwrap() = page(&["third"], None);
    mock.cut();
    assert_eq!(names(&crawls.listing_of("srv").await), ["third"]);
    crawls.stop().await;
}

#[tokio::test]
async fn an_address_at_another_origin_gets_no_message() {
    let elsewhere = MockSse::start(Plan::page(page(&["stolen"], None))).await;
    let mut plan = Plan::page(page(&["a"], None));
    plan.endpoint = elsewhere.url.join("/messages").unwrap().to_string();
    let mock = MockSse::start(plan).await;
    let error = failure(outcome(http(&mock.url)).await);
    assert!(error.contains("another origin"), "{error}");
    assert!(elsewhere.asked().is_empty() && mock.asked().is_empty());
}

#[tokio::test]
async fn a_gated_stream_is_known_as_such() {
    let mut plan = Plan::page(page(&["a"], None));
    plan.status = 401;
    let mock = MockSse::start(plan).await;
    let gated = outcome(http(&mock.url)).await;
    assert!(matches!(gated, Outcome::AuthRequired { .. }), "{gated:?}");
}

#[tokio::test]
async fn an_event_without_end_is_cut_off() {
    let mock = MockSse::start(Plan::page(format!(
        r#"{{"tools":[{{"name":"a","description":"{}"}}]}}"#,
        "x".repeat(limits().max_bytes)
    )))
    .await;
    let error = failure(outcome(http(&mock.url)).await);
    assert!(error.contains("crawl.max_bytes"), "{error}");
}
