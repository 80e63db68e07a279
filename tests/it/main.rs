//! Integration tests: one binary, a file a behaviour.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests may panic, as tests do"
)]

mod config_check;
mod config_cli;
mod demo;
mod eval;
