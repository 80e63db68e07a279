//! What a folder holds, as far as its files say so: nothing is loaded but an encoder of pieces,
//! which is a moment's work.

use std::path::Path;

use super::Embedder;
use super::fixed::Fixed;
use super::manifest::{ENCODER, Manifest};

/// A model in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// An encoder, and the length of its vectors where that is known.
    Encoder(Option<usize>),
    /// A cross-encoder: its manifest names no pooling.
    Reranker,
}

/// The model in `folder`; one that will not load is found all the same.
pub fn found_in(folder: &Path) -> Option<Found> {
    if Fixed::is_in(folder) {
        return Some(Found::Encoder(Fixed::load(folder).ok().map(|encoder| encoder.dims())));
    }
    match Manifest::read(folder, ENCODER) {
        Err(_) => Some(Found::Encoder(None)),
        Ok(manifest) if !manifest.has_model(folder) => None,
        Ok(Manifest { pooling: None, .. }) => Some(Found::Reranker),
        Ok(manifest) => Some(Found::Encoder(manifest.dimensions)),
    }
}
