//! Bodies, received before anything is done for their sender.
//!
//! Invariant: one body is never larger than it may be, and all that are being received are bounded
//! together; the small ones get through all the same, so that whoever sends large ones slowly
//! keeps nobody from searching.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::extract::Request;
use axum::http::header;
use futures::StreamExt;
use tokio_util::bytes::{Bytes, BytesMut};

use super::shed;
use crate::serve::problem::Problem;

/// The part of a body that is not counted.
const SMALL: usize = 16 << 10;

/// What is read and thrown away of a body that is too large.
const MOST_DISCARDED: usize = 16 << 20;

/// Reads a body that is refused to its end, within bounds: a client that is still sending when the
/// connection is closed would not hear why.
async fn discard(mut chunks: BodyDataStream) {
    let mut seen = 0;
    while let Some(Ok(chunk)) = chunks.next().await {
        seen += chunk.len();
        if seen > MOST_DISCARDED {
            break;
        }
    }
}

/// What is held of all of them.
pub struct Bodies {
    most: usize,
    held: Arc<AtomicUsize>,
}

impl Bodies {
    /// At most so many bytes.
    pub fn up_to(most: usize) -> Self {
        Self { most, held: Arc::default() }
    }

    /// The request with its body, of at most `largest` bytes, in one piece.
    pub async fn receive(
        &self,
        request: Request,
        largest: usize,
    ) -> Result<(Request, Held), Problem> {
        let mut held = Held { all: Arc::clone(&self.held), own: 0 };
        let (parts, body) = request.into_parts();
        if body.is_end_stream() {
            return Ok((Request::from_parts(parts, Body::empty()), held));
        }
        if body.size_hint().lower() > largest as u64 {
            // Who asks first whether to send it hears the answer without sending anything.
            if !parts.headers.contains_key(header::EXPECT) {
                discard(body.into_data_stream()).await;
            }
            return Err(Problem::larger_than(largest));
        }
        let mut chunks = body.into_data_stream();
        let (mut first, mut all) = (Bytes::new(), BytesMut::new());
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| {
                Problem::invalid("the body could not be read to its end: send all of it")
            })?;
            let len = first.len() + all.len() + chunk.len();
            if len > largest {
                discard(chunks).await;
                return Err(Problem::larger_than(largest));
            }
            if !held.grow(len.saturating_sub(SMALL), self.most) {
                return Err(shed("bodies"));
            }
            // Most come in one chunk, which is then left where it is.
            if first.is_empty() && all.is_empty() {
                first = chunk;
            } else {
                all.extend_from_slice(&std::mem::take(&mut first));
                all.extend_from_slice(&chunk);
            }
        }
        let body = if all.is_empty() { first } else { all.freeze() };
        Ok((Request::from_parts(parts, Body::from(body)), held))
    }
}

/// What is held of one of them, until this is dropped.
pub struct Held {
    all: Arc<AtomicUsize>,
    own: usize,
}

impl Held {
    /// It is `own` bytes now; false where all together would be more than `most`.
    fn grow(&mut self, own: usize, most: usize) -> bool {
        let more = own - self.own;
        self.own = own;
        self.all.fetch_add(more, Ordering::Relaxed) + more <= most
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(self.own, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use futures::stream;

    use super::super::super::MAX_BODY_BYTES;
    use super::*;

    fn chunked(chunks: Vec<Vec<u8>>) -> Request {
        let chunks = chunks.into_iter().map(Ok::<_, std::io::Error>);
        Request::new(Body::from_stream(stream::iter(chunks)))
    }

    #[tokio::test]
    async fn a_body_comes_out_as_it_came_in() {
        let bodies = Bodies::up_to(1 << 20);
        for chunks in [vec![], vec![vec![1; 5]], vec![vec![1; 40_000], vec![], vec![2; 7]]] {
            let whole = chunks.concat();
            let (request, held) = bodies.receive(chunked(chunks), MAX_BODY_BYTES).await.unwrap();
            assert_eq!(to_bytes(request.into_body(), usize::MAX).await.unwrap(), whole);
            assert_eq!(bodies.held.load(Ordering::SeqCst), whole.len().saturating_sub(SMALL));
            drop(held);
            assert_eq!(bodies.held.load(Ordering::SeqCst), 0);
        }
    }

    #[tokio::test]
    async fn all_together_are_bounded_and_small_ones_get_through() {
        let bodies = Bodies::up_to(100_000);
        let large = || chunked(vec![vec![1; 30_000], vec![2; 30_000]]);
        let first = bodies.receive(large(), MAX_BODY_BYTES).await.unwrap();
        let second = bodies.receive(large(), MAX_BODY_BYTES).await.unwrap();
        let refused = bodies.receive(large(), MAX_BODY_BYTES).await.err().unwrap();
        assert_eq!(refused.code, "overloaded");
        assert!(bodies.receive(chunked(vec![vec![1; SMALL]]), MAX_BODY_BYTES).await.is_ok());
        drop((first, second));
        assert!(bodies.receive(large(), MAX_BODY_BYTES).await.is_ok());
        let endless = chunked(vec![vec![1; 300_000]; 4]);
        assert_eq!(
            Bodies::up_to(1 << 30).receive(endless, MAX_BODY_BYTES).await.err().unwrap().code,
            "body-too-large"
        );
        assert_eq!(bodies.held.load(Ordering::SeqCst), 0);
    }
}
