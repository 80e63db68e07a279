//! Credentials for upstreams: where they are kept, how they are got, and how far they may go.
//!
//! Stands between `config` and `crawl`.
//!
//! Invariant: a secret leaves this room only in a request to the server it was issued for, and a
//! URL that a remote document names is asked only if [`guard`] lets it through.

pub mod guard;
