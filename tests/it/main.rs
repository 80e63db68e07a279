//! Integration tests: one binary, a file a behaviour.

mod config_check;
mod config_cli;
