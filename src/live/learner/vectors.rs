//! The vectors of kept queries.
//!
//! Invariant: they are of the encoder that embeds queries now, and of the queries that are kept now;
//! never on disk, so that nothing is left of what is erased.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::super::Encoder;
use crate::embed::cache::Vector;
use crate::learn::book::Book;
use crate::search::learned::{Space, UNLIKE};

/// Texts that are embedded at once: queries wait behind them.
const BATCH: usize = 4;

/// The vectors, and what they call unlike.
#[derive(Default)]
pub(super) struct Vectors {
    pub space: Option<Space>,
    pub known: HashMap<Arc<str>, Vector>,
}

impl Vectors {
    /// Has those of all queries of `book` and no others; false where the encoder is too busy.
    pub async fn update(&mut self, encoder: &Encoder, book: &Book) -> bool {
        if encoder.id() != self.space.as_ref().map(|space| &*space.encoder) {
            *self = Self::default();
        }
        let Some(id) = encoder.id() else {
            return true;
        };
        let wanted: HashSet<&Arc<str>> =
            book.scopes().flat_map(|(_, pieces)| pieces.keys().map(|(text, _)| text)).collect();
        self.known.retain(|text, _| wanted.contains(text));
        let mut missing: Vec<Arc<str>> =
            wanted.into_iter().filter(|text| !self.known.contains_key(*text)).cloned().collect();
        missing.sort_unstable();
        if self.space.is_none() && !missing.is_empty() {
            let mut unlike = Vec::new();
            for texts in UNLIKE.chunks(BATCH) {
                let Ok(vectors) = encoder.embed(texts).await else { return false };
                unlike.extend(vectors);
            }
            self.space = Some(Space::of(id, &unlike));
        }
        for batch in missing.chunks(BATCH) {
            let texts: Vec<&str> = batch.iter().map(|text| &**text).collect();
            let Ok(vectors) = encoder.embed(&texts).await else { return false };
            let vectors = vectors.into_iter().map(Vector::from);
            self.known.extend(batch.iter().cloned().zip(vectors));
            tokio::task::yield_now().await;
        }
        true
    }
}
