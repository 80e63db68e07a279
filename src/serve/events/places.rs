//! The streams that are open, and how many may be.
//!
//! Invariant: at most [`MOST`] in all and [`MOST_EACH`] of one caller; a stream that has ended has
//! given its place back.

use axum::http::StatusCode;
use tokio_util::sync::CancellationToken;

use super::KEEP_ALIVE;
use crate::serve::limits::{Place, Places, Who};
use crate::serve::problem::Problem;

/// Streams at once.
const MOST: usize = 256;
/// Streams of one caller at once: a page in each of a few windows.
const MOST_EACH: usize = 16;

/// The streams that are open; cheap to clone.
#[derive(Clone)]
pub struct Streams {
    pub(super) shutdown: CancellationToken,
    open: Places,
}

impl Streams {
    /// None yet; all end at `shutdown`.
    pub fn until(shutdown: CancellationToken) -> Self {
        Self { shutdown, open: Places::default() }
    }

    /// A place for one more of this caller's.
    pub(super) fn take(&self, who: &Who) -> Result<Place, Problem> {
        self.open.take(who, |own, all| own < MOST_EACH && all < MOST).ok_or_else(|| {
            let told = "too many streams of events are open: close one, or ask /v1/status and \
                        /v1/servers from time to time";
            let refused = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-streams", told);
            refused.after(KEEP_ALIVE)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_in_all_and_for_each() {
        let streams = Streams::until(CancellationToken::new());
        let one = || Who::Address([127, 0, 0, 1].into());
        let own: Vec<Place> = (0..MOST_EACH).map(|_| streams.take(&one()).unwrap()).collect();
        assert_eq!(streams.take(&one()).err().unwrap().code, "too-many-streams");
        let mut all = own;
        for at in 0..MOST - MOST_EACH {
            let [.., high, low] = at.to_be_bytes();
            all.push(streams.take(&Who::Address([10, 0, high, low].into())).unwrap());
        }
        assert_eq!(streams.take(&Who::Anybody).err().unwrap().status, 429);
        all.pop();
        assert!(streams.take(&Who::Anybody).is_ok());
        drop(all);
        assert!(streams.open.take(&one(), |own, all| (own, all) == (0, 0)).is_some());
    }
}
