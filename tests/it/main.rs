//! Integration tests: one binary, a file a behaviour.
