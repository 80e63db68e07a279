//! What a caller may see: profiles, and the views of the index that follow from them.
//!
//! Invariant: synchronous; a view is an index of its own, so that nothing of what it leaves out
//! has a score, a count or a name in it.

pub mod caller;
pub mod keys;
pub mod profile;
#[cfg(test)]
mod tests;
pub mod view;
