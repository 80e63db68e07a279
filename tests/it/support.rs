//! What several tests need.

pub mod app;
pub mod cluster;
pub mod crawling;
pub mod fakes;
pub mod faults;
pub mod front;
pub mod issuer;
pub mod mock_embeddings;
pub mod mock_http;
pub mod mock_registry;
pub mod mock_site;
pub mod mock_sse;
pub mod mock_stdio;
pub mod oauth;
pub mod peers;
pub mod proxy;
pub mod service;
pub mod shared;
pub mod tenants;
