//! Streams of events: answers that do not end by themselves.
//!
//! Invariant: no caller opens more of them than it may, whatever the route, so that none takes those
//! of the others; a stream is counted until its body is dropped, and one that tells how something
//! ends that was begun is never refused.

use axum::http::header;
use axum::response::Response;

use super::Who;
use super::places::Places;
use crate::serve::held::Held;

/// Those that are open; cheap to clone.
#[derive(Clone)]
pub struct Streams {
    most_each: usize,
    open: Places,
}

impl Streams {
    /// At most so many of a caller.
    pub fn of(most_each: usize) -> Self {
        Self { most_each, open: Places::default() }
    }

    /// The answer, counted while it lasts where it is a stream; `None` where it is one too many and
    /// may be refused.
    pub fn count(&self, who: &Who, answer: Response, may_refuse: bool) -> Option<Response> {
        let kind = answer.headers().get(header::CONTENT_TYPE);
        if kind.is_none_or(|kind| !kind.as_bytes().starts_with(b"text/event-stream")) {
            return Some(answer);
        }
        let place = self.open.take(who, |own, _| own < self.most_each || !may_refuse)?;
        Some(answer.map(|body| Held::by(body, place)))
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

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
        assert!(streams.open.take(&one, |own, all| (own, all) == (0, 0)).is_some());
    }
}
