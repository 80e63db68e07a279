//! Which tools a query may find.
//!
//! Invariant: rights before ranking: decided before any tool has a score, and held to by every part
//! of the answer.

use super::Query;
use crate::catalog::ToolIdx;
use crate::index::Index;

/// By position; `None` is all of them.
#[derive(Debug, Default)]
pub struct Admitted(Option<Vec<bool>>);

impl Admitted {
    /// The tools of `index` that the filters of `query` let through.
    pub fn of(index: &Index, query: &Query) -> Self {
        let of_servers =
            (!query.servers.is_empty()).then(|| index.catalog.of_servers(&query.servers));
        if query.hints.is_empty() {
            return Self(of_servers);
        }
        let mut admitted = of_servers.unwrap_or_else(|| vec![true; index.catalog.len()]);
        for (admitted, document) in admitted.iter_mut().zip(&index.documents.all) {
            *admitted &= query.hints.admits(document.hints);
        }
        Self(Some(admitted))
    }

    /// The tool may be found.
    pub fn has(&self, tool: ToolIdx) -> bool {
        self.0.as_ref().is_none_or(|admitted| admitted[tool.as_usize()])
    }
}
