//! Integration tests: one binary, a file a behaviour.
#![allow(
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests may panic and say what they skip, as tests do"
)]

mod admin;
mod answers;
mod call_everything;
mod call_guard;
mod call_sdk;
mod call_upstream;
mod cli_crawl;
mod cli_eval;
mod cli_import;
mod cli_lint;
mod cli_search;
mod config_check;
mod config_cli;
mod conformance_server;
mod crawl_files;
mod crawl_fleet;
mod crawl_freshness;
mod crawl_http;
mod crawl_network;
mod crawl_pages;
mod crawl_refresh;
mod crawl_sse;
mod crawl_stdio;
mod crawl_verbatim;
mod demo;
mod discover_add;
mod discover_follow;
mod discover_registry;
mod embed_endpoint;
mod embed_folder;
mod embed_rerank;
mod eval;
mod failure_crowd;
mod failure_network;
mod failure_server;
mod format_lists;
mod format_sdk;
mod format_search;
mod hosts_docs;
mod hosts_examples;
mod hosts_fakes;
mod learn_feedback;
mod learn_scopes;
mod model_list;
mod model_pull;
mod model_use;
mod oauth_kept;
mod oauth_keyring;
mod oauth_login;
mod oauth_places;
mod oauth_service;
mod oauth_tokens;
mod reload;
mod secrets;
mod select;
mod serve_aliases;
mod serve_guard;
mod serve_http;
mod serve_mcp;
mod serve_news;
mod serve_openapi;
mod serve_sdk;
mod serve_stdio;
mod service_change;
mod service_demo;
mod service_encoder;
mod service_restart;
mod support;
mod trust_checks;
mod trust_decide;
mod trust_files;
mod trust_history;
mod trust_quarantine;
mod trust_rules;
mod trust_stuffing;
mod upstreams;
mod views_answers;
mod views_calls;
mod views_hidden;
mod views_service;
