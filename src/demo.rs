//! The demo's servers.

use crate::config::ServerConfig;

/// The servers that `--demo` adds.
pub fn servers() -> Vec<ServerConfig> {
    Vec::new()
}
