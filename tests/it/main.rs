//! Integration tests: one binary, a file a behaviour.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail the test")]

mod crawl_files;
mod crawl_http;
mod crawl_pages;
mod crawl_refresh;
mod crawl_stdio;
mod crawl_verbatim;

mod support {
    pub mod crawling;
    pub mod mock_http;
    pub mod mock_stdio;
}
