//! Integration tests: one binary, a file a behaviour.

mod demo;
mod eval;
