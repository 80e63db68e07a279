//! What several tests need.

pub mod app;
