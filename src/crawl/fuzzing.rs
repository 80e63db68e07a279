//! What servers send, as a fuzzer has it.

use futures::stream;
use rmcp::model::{RequestId, ServerJsonRpcMessage};

use super::list::Pages;
use super::sse::Events;
use super::tap::{self, LineTap, Reply};
use crate::catalog::{Listing, ServerInfo};
use crate::config::{CrawlConfig, ServerConfig};

/// The longest event that is read.
const MAX_EVENT: usize = 1 << 10;

/// The listing that a message makes, if it is a reply to `tools/list`, and the one that it makes as
/// a page by itself.
pub(crate) fn listings(server: &ServerConfig, text: &str) -> Vec<Listing> {
    let mut pages = vec![Reply { raw: text.to_owned(), rejected: Vec::new() }];
    let message = tap::decode(text, Some(&RequestId::Number(1)));
    if let Some(ServerJsonRpcMessage::Response(response)) = message
        && let Some(reply) = Reply::of(response.result)
    {
        assert!(text.contains(&reply.raw), "the result is not what came");
        pages.push(reply);
    }
    let limits = CrawlConfig { concurrency: 1, max_pages: 3, max_tools: 100, max_bytes: 1 << 20 };
    let listing = |reply: &Reply| {
        let mut pages = Pages::new(server, &limits);
        let next = pages.add(reply).ok()?;
        // A second one that says the same.
        if next.is_some() {
            let again = pages.add(reply);
            assert!(again.is_err(), "a cursor that leads back is not noticed");
        }
        Some(pages.finish(ServerInfo::default(), "nobody"))
    };
    pages.iter().filter_map(listing).collect()
}

/// Reads a stream of events that comes in these pieces to its end.
pub(crate) async fn events(pieces: Vec<Vec<u8>>) {
    let bytes: usize = pieces.iter().map(Vec::len).sum();
    let pieces = pieces.into_iter().map(Ok::<_, std::io::Error>);
    let body = reqwest::Body::wrap_stream(stream::iter(pieces));
    let response = reqwest::Response::from(axum::http::Response::new(body));
    let mut events = Events::of(response, MAX_EVENT);
    let tap = LineTap::default();
    let mut count = 0;
    while let Ok(event) = events.next().await {
        count += 1;
        assert!(count <= bytes, "events without end");
        let data = event.data.unwrap_or_default();
        assert!(data.len() <= MAX_EVENT);
        let _ = tap.received(data.as_bytes());
    }
}
