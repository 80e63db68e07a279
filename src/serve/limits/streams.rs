//! Streams of events: answers that do not end by themselves.
//!
//! Invariant: no caller opens more of them than it may, whatever the route, so that none takes those
//! of the others; a stream is counted until its body is dropped, and one that tells how something
//! ends that was begun is never refused.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::http::header;
use axum::response::Response;
use http_body::{Frame, SizeHint};

use super::Who;

/// Those that are open; cheap to clone.
#[derive(Clone)]
pub struct Streams {
    most_each: usize,
    open: Arc<Mutex<HashMap<Who, usize>>>,
}

impl Streams {
    /// At most so many of a caller.
    pub fn of(most_each: usize) -> Self {
        Self { most_each, open: Arc::default() }
    }

    /// The answer, counted while it lasts where it is a stream; `None` where it is one too many and
    /// may be refused.
    pub fn count(&self, who: &Who, answer: Response, may_refuse: bool) -> Option<Response> {
        let kind = answer.headers().get(header::CONTENT_TYPE);
        if kind.is_none_or(|kind| !kind.as_bytes().starts_with(b"text/event-stream")) {
            return Some(answer);
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let own = open.entry(who.clone()).or_default();
        if *own >= self.most_each && may_refuse {
            return None;
        }
        *own += 1;
        let place = Place { streams: self.clone(), who: who.clone() };
        Some(answer.map(|body| Body::new(Counted { body, _place: place })))
    }
}

struct Place {
    streams: Streams,
    who: Who,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.streams.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = open.get_mut(&self.who) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.who);
            }
        }
    }
}

struct Counted {
    body: Body,
    _place: Place,
}

impl HttpBody for Counted {
    type Data = <Body as HttpBody>::Data;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Response {
        Response::builder().header("content-type", "text/event-stream").body(Body::empty()).unwrap()
    }

    #[test]
    fn each_caller_has_so_many_and_gets_them_back() {
        let streams = Streams::of(2);
        let (one, two) = (Who::Anybody, Who::Address([192, 0, 2, 1].into()));
        let first = streams.count(&one, stream(), true);
        assert!(first.is_some());
        let second = streams.count(&one, stream(), true);
        assert!(second.is_some() && streams.count(&one, stream(), true).is_none());
        let told = streams.count(&one, stream(), false);
        assert!(told.is_some());
        drop(told);
        assert!(streams.count(&two, stream(), true).is_some());
        assert!(streams.count(&one, Response::default(), true).is_some());
        drop(second);
        assert!(streams.count(&one, stream(), true).is_some());
        drop(first);
        assert!(streams.open.lock().unwrap().is_empty());
    }
}
