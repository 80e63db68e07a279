//! Pages are followed to the end, within limits; what can be saved of a bad page is saved.

use serde_json::json;
use toolscout::catalog::Outcome;
use toolscout::config::{CrawlConfig, Names};
use toolscout::crawl::crawl_once;

use crate::support::crawling::{
    definitions, failure, http, limits, listing, names, outcome, page, server,
};
use crate::support::mock_http::{Answer, MockHttp, Speaks};
use crate::support::mock_stdio::MockStdio;

async fn of_pages(pages: Vec<(Option<&str>, String)>) -> Outcome {
    let mock = MockHttp::pages(Speaks::Stateless, false, pages).await;
    outcome(http(&mock.url)).await
}

async fn within(limits: CrawlConfig, pages: Vec<(Option<&str>, String)>) -> Outcome {
    let mock = MockHttp::pages(Speaks::Stateless, false, pages).await;
    let server = server("srv", http(&mock.url));
    crawl_once(&server, &limits, None).await.remove(0).outcome
}

fn two_pages() -> Vec<(Option<&'static str>, String)> {
    vec![(None, page(&["a", "b"], Some("2"))), (Some("2"), page(&["c"], None))]
}

#[tokio::test]
async fn every_page_is_read() {
    // An empty cursor is not the end, nor is a page without tools; null is.
    let pages = vec![
        (None, page(&["a"], Some(""))),
        (Some(""), page(&[], Some("3"))),
        (Some("3"), r#"{"tools":[{"name":"b","inputSchema":{}}],"nextCursor":null}"#.into()),
    ];
    assert_eq!(names(&listing(of_pages(pages.clone()).await)), ["a", "b"]);
    let pages: Vec<_> = pages.iter().map(|(at, page)| (*at, page.as_str())).collect();
    let mock = MockStdio::pages(&pages);
    assert_eq!(names(&listing(outcome(mock.transport()).await)), ["a", "b"]);
}

#[tokio::test]
async fn a_cursor_loop_ends() {
    let pages = vec![
        (None, page(&["a"], Some("2"))),
        (Some("2"), page(&["b"], Some("3"))),
        (Some("3"), page(&["c"], Some("2"))),
    ];
    let error = failure(of_pages(pages).await);
    assert_eq!(error, "page 3 has a cursor that was already followed: the listing has no end");
}

#[tokio::test]
async fn limits_hold() {
    let max_pages = CrawlConfig { max_pages: 1, ..limits() };
    assert!(failure(within(max_pages, two_pages()).await).contains("crawl.max_pages"));
    let max_tools = CrawlConfig { max_tools: 2, ..limits() };
    assert!(failure(within(max_tools, two_pages()).await).contains("crawl.max_tools"));
    let size = two_pages().iter().map(|(_, page)| page.len()).sum::<usize>();
    let max_bytes = CrawlConfig { max_bytes: size - 1, ..limits() };
    assert!(failure(within(max_bytes, two_pages()).await).contains("crawl.max_bytes"));
    let enough = CrawlConfig { max_pages: 2, max_tools: 3, ..limits() };
    assert_eq!(names(&listing(within(enough, two_pages()).await)), ["a", "b", "c"]);
}

#[tokio::test]
async fn pages_without_end_stop_at_the_limit() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let mock = MockHttp::start(Speaks::Stateless, true, move |_| {
        let next = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Answer::Result(page(&[], Some(&next.to_string())))
    })
    .await;
    assert!(failure(outcome(http(&mock.url)).await).contains("more than 20 pages"));
    assert_eq!(mock.count("tools/list"), 20);
}

#[tokio::test]
async fn what_is_no_page_fails() {
    for (bad, why) in [
        (r#"{"tools":[],"nextCursor":7}"#, "page 1 is malformed: `nextCursor` is not a string"),
        (r#"{"tools":{}}"#, "page 1 is malformed: `tools` is not an array"),
        (r"{}", "page 1 is malformed: `tools` is not an array"),
        (r"[]", "page 1 is malformed"),
        (r#""tools""#, "page 1 is malformed"),
    ] {
        let error = failure(of_pages(vec![(None, bad.into())]).await);
        assert!(error.contains(why), "{bad}: {error}");
    }
}

#[tokio::test]
async fn a_half_read_listing_is_no_listing() {
    for events in [false, true] {
        let mock = MockHttp::start(Speaks::Stateless, events, |request| match request.cursor {
            None => Answer::Result(page(&["a"], Some("2"))),
            Some(_) => Answer::Cut(r#"{"jsonrpc":"2.0","id":"#.into()),
        })
        .await;
        let error = failure(outcome(http(&mock.url)).await);
        assert!(error.contains("ended before the listing was complete"), "{error}");
    }
    let pages = vec![(None, page(&["a"], Some("2")))];
    let error = failure(of_pages(pages).await);
    assert!(error.contains("no such cursor (-32602)"), "{error}");
}

#[tokio::test]
async fn neighbours_of_a_malformed_tool_stay() {
    let first = concat!(
        r#"{"tools":[{"name":"a","inputSchema":{}},17,{"name":""},{"description":"no name"},"#,
        r#"{"name":"b"},{"name":"a","inputSchema":{"other":1}}],"nextCursor":"2"}"#
    );
    let second =
        r#"{"tools":[null,{"name":"c","inputSchema":null},{"name":"d","inputSchema":{}}]}"#;
    let listing = listing(of_pages(vec![(None, first.into()), (Some("2"), second.into())]).await);
    assert_eq!(names(&listing), ["a", "b", "c", "d"]);
    assert_eq!(definitions(&listing)[0], r#"{"name":"a","inputSchema":{}}"#);
    assert_eq!(
        listing.defects,
        [
            "tool 2 of page 1 left out: not a JSON object: another JSON value",
            "tool 3 of page 1 left out: no usable name",
            "tool 4 of page 1 left out: no usable name",
            "b: no inputSchema",
            "a is listed again: the first one is kept",
            "tool 1 of page 2 left out: not a JSON object: another JSON value",
            "c: inputSchema is not an object",
        ]
    );
}

#[tokio::test]
async fn a_name_of_more_than_a_kilobyte_is_left_out() {
    let (long, longest) = ("n".repeat(1025), "m".repeat(1024));
    let outcome = of_pages(vec![(None, page(&[&long, &longest, "a"], None))]).await;
    let listing = listing(outcome);
    assert_eq!(names(&listing), [&longest, "a"]);
    let [defect] = &listing.defects[..] else { panic!("{:?}", listing.defects) };
    assert!(defect.starts_with("nnn") && defect.len() < 300, "{defect}");
    assert!(defect.ends_with("left out: its name has over 1024 bytes"), "{defect}");
}

#[tokio::test]
async fn reported_defects_are_bounded() {
    let page = format!(r#"{{"tools":[{}1]}}"#, "1,".repeat(499));
    let listing = listing(of_pages(vec![(None, page)]).await);
    assert_eq!(listing.defects.len(), 101);
    assert_eq!(listing.defects[100], "and 400 more");
}

#[tokio::test]
async fn names_are_allowed_and_denied() {
    let glob = |pattern: &str| Names::new(&[pattern.to_owned()]).unwrap();
    let pages = vec![(None, page(&["get_a", "get_b", "set_a"], None))];
    let mock = MockHttp::pages(Speaks::Stateless, false, pages).await;
    let mut server = server("srv", http(&mock.url));
    server.names.allow = Some(glob("get_*"));
    server.names.deny = glob("*_b");
    let outcome = crawl_once(&server, &limits(), None).await.remove(0).outcome;
    assert_eq!(names(&listing(outcome)), ["get_a"]);
}

#[tokio::test]
async fn a_server_says_what_it_is() {
    let mock = MockHttp::pages(Speaks::Handshake(404, -32601), false, two_pages()).await;
    let mut server = server("srv", http(&mock.url));
    let info = listing(outcome(http(&mock.url)).await).info;
    assert_eq!(info.title.as_deref(), Some("Mock"));
    assert_eq!(info.description.as_deref(), Some("Ask me anything."));
    assert_eq!(info.protocol.as_deref(), Some("2025-06-18"));
    server.title = Some("Ours".into());
    let outcome = crawl_once(&server, &limits(), None).await.remove(0).outcome;
    assert_eq!(listing(outcome).info.title.as_deref(), Some("Ours"));

    let pages = page(&["a"], None);
    let mock = MockStdio::new(&json!({"pages": [[null, pages]], "instructions": 9_000}));
    let info = listing(crate::support::crawling::outcome(mock.transport()).await).info;
    assert_eq!(info.title.as_deref(), Some("mock"));
    let description = info.description.unwrap();
    assert!(description.starts_with("A mock.\n\niiii"));
    assert_eq!(description.len(), 4096);
}
