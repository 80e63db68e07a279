//! toolscout: the few tools that fit a query, out of all the tools of all of a team's MCP servers.
//!
//! The way through, one direction and no way back:
//!
//! ```text
//! config ─▶ crawl ─▶ catalog ─▶ index ─▶ live ─▶ search ─▶ serve
//! (servers) (rmcp)   (verbatim  (lexical (one    (rank,    (MCP, HTTP)
//!                     tools)    + dense)  swap)   explain)
//! ```
//!
//! `tool`, `catalog`, `text`, `index` and `search` are synchronous and know nothing of tokio,
//! axum, rmcp or reqwest. ARCHITECTURE.md has the map, the promises and the measurements.

pub mod access;
pub mod activity;
pub mod audit;
pub mod auth;
pub mod catalog;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod crawl;
pub mod demo;
pub mod discover;
pub mod embed;
pub mod eval;
pub mod format;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod hub;
pub mod index;
pub mod learn;
pub mod lint;
pub mod live;
pub mod memory;
pub mod quality;
pub mod redact;
pub mod roster;
pub mod sealed;
pub mod search;
pub mod serve;
pub mod telemetry;
pub mod text;
pub mod tool;
pub mod troubles;
pub mod trust;
