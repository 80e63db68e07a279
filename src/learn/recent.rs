//! The searches of the last minutes, so that a call can be put down to the one that it follows.
//!
//! Invariant: a call counts for the latest search of its scope that had the tool among its answers,
//! and once for each; nothing is kept longer than [`KEPT_FOR`], or of more than [`KEPT`] searches.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::MAX_TEXT_BYTES;
use crate::tool::ToolId;

/// Searches of each scope.
const KEPT: usize = 64;
/// After this time a call follows from something else.
const KEPT_FOR: Duration = Duration::from_mins(5);

/// Searches by scope, the latest last.
#[derive(Debug, Default)]
pub struct Recent(BTreeMap<Arc<str>, VecDeque<Search>>);

#[derive(Debug)]
struct Search {
    at: Instant,
    texts: Vec<String>,
    /// Those that were found and have not been called since.
    tools: Vec<ToolId>,
    called: Vec<ToolId>,
}

impl Recent {
    /// Notes a search and what it found.
    pub fn note(&mut self, scope: &str, texts: &[String], tools: Vec<ToolId>, now: Instant) {
        if texts.iter().any(|text| text.len() > MAX_TEXT_BYTES) || tools.is_empty() {
            return;
        }
        let searches = match self.0.get_mut(scope) {
            Some(searches) => searches,
            None => self.0.entry(scope.into()).or_default(),
        };
        while searches.len() >= KEPT || searches.front().is_some_and(|first| first.is_over(now)) {
            searches.pop_front();
        }
        searches.push_back(Search { at: now, texts: texts.to_vec(), tools, called: Vec::new() });
    }

    /// The query that a call of `tool` follows from, unless it was put down to that already.
    pub fn take(&mut self, scope: &str, tool: &ToolId, now: Instant) -> Option<Vec<String>> {
        let searches = self.0.get_mut(scope)?.iter_mut().rev();
        let mut searches = searches.take_while(|search| !search.is_over(now));
        let latest =
            searches.find(|search| search.tools.contains(tool) || search.called.contains(tool))?;
        let at = latest.tools.iter().position(|found| found == tool)?;
        let called = latest.tools.swap_remove(at);
        latest.called.push(called);
        Some(latest.texts.clone())
    }

    /// Forgets all of it: nobody's query outlives an erasure here.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl Search {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) > KEPT_FOR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools(ids: &[&str]) -> Vec<ToolId> {
        ids.iter().map(|id| ToolId::from(*id)).collect()
    }

    #[test]
    fn a_call_counts_once_for_the_latest_search_that_found_it() {
        let mut recent = Recent::default();
        let now = Instant::now();
        let ask = |recent: &mut Recent, scope, text: &str, found: &[&str], at| {
            recent.note(scope, &[text.to_owned()], tools(found), at);
        };
        ask(&mut recent, "a", "first", &["s/x", "s/y"], now);
        ask(&mut recent, "a", "second", &["s/y"], now);
        ask(&mut recent, "b", "other", &["s/x"], now);
        ask(&mut recent, "a", &"long ".repeat(500), &["s/z"], now);
        let mut take = |scope, tool: &str, at| {
            recent.take(scope, &tool.into(), at).map(|texts| texts.concat())
        };
        assert_eq!(take("a", "s/y", now).as_deref(), Some("second"));
        assert_eq!(take("a", "s/y", now), None, "it was put down to that already");
        assert_eq!(take("a", "s/z", now), None, "no need is that long");
        assert_eq!(take("c", "s/x", now), None);
        let later = now + KEPT_FOR + Duration::from_secs(1);
        assert_eq!(take("b", "s/x", later), None);
        assert_eq!(take("b", "s/x", now).as_deref(), Some("other"));
        assert_eq!(take("a", "s/x", now).as_deref(), Some("first"));
        for number in 0..1_000 {
            ask(&mut recent, "a", &format!("q{number}"), &["s/x"], now);
        }
        assert_eq!(recent.0["a"].len(), KEPT);
    }
}
