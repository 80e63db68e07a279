//! What requests tell the learner, and what they get of it, by the handle that they have.
//!
//! Invariant: all of it is of the scope of that handle, and of tools that are in its catalog.

use std::sync::Arc;

use super::super::Live;
use super::Learner;
use crate::learn::{LearnError, Outcome};
use crate::search::learned::Learned;
use crate::search::{Answer, Query, QueryError};
use crate::tool::ToolId;

impl Live {
    /// Learns from use from now on.
    pub fn learn(&self, learner: Learner) {
        // A second one would know nothing of the first one's evidence.
        let _ = self.0.learner.set(learner);
    }

    /// What is learned from use, where that is switched on.
    pub fn learner(&self) -> Option<&Learner> {
        self.0.learner.get()
    }

    /// Whose evidence counts here, and who is heard: the profile, or all who name none.
    fn learns_in(&self) -> &str {
        self.scope().unwrap_or_default()
    }

    /// Notes what came of a tool, by its id or its name in a model API, after a query of these
    /// texts; gives its id.
    pub fn feedback(
        &self,
        texts: &[String],
        tool: &str,
        outcome: Outcome,
    ) -> Result<ToolId, LearnError> {
        let learner = self.learner().ok_or(LearnError::Off)?;
        let catalog = self.catalog();
        let tool = catalog.find(tool).ok_or_else(|| LearnError::UnknownTool(tool.to_owned()))?;
        learner.note(self.learns_in(), texts, &tool.id, outcome)?;
        Ok(tool.id.clone())
    }

    /// Notes that a tool was called, which says something where a search found it just before.
    pub fn note_use(&self, tool: &ToolId) {
        if let Some(learner) = self.learner()
            && self.catalog().get(tool.as_str()).is_some()
        {
            learner.note_use(self.learns_in(), tool);
        }
    }

    /// Answers a query as [`Live::look_up`] does, and notes it for [`Live::note_use`]; not where it is to be
    /// explained, which is for people who look at how it is answered.
    pub async fn search(&self, query: &Query) -> Result<Answer, QueryError> {
        let answer = self.look_up(query).await?;
        if let Some(learner) = self.learner().filter(|_| !query.explain) {
            let hits = answer.hits.iter();
            let ids = hits.flat_map(|hit| std::iter::once(&hit.tool.id).chain(&hit.duplicates));
            learner.note_search(self.learns_in(), &query.texts, ids.cloned().collect());
        }
        Ok(answer)
    }

    /// What the evidence of this scope says.
    pub(in crate::live) fn learned(&self) -> Option<Arc<Learned>> {
        self.learner()?.learned(self.learns_in())
    }
}
