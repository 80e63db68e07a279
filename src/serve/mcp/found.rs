//! Tools as `search_tools` and `get_tool` give them.
//!
//! Invariant: a definition is whole, or says that it is not and how to get it whole.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::super::formats::{self, Tokens};
use super::super::reduce::{self, reduce};
use crate::catalog::Catalog;
use crate::format::{self, Budget, Format, Rung};
use crate::search::{Answer, Hit, Mode, Stale};
use crate::tool::Tool;

/// The arguments of `get_tool`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GetTool {
    /// The tool's id, as `search_tools` gives it (`server/name`).
    pub(super) id: String,
}

/// The result of `search_tools`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Found {
    /// The generation of the index that was searched.
    generation: u64,
    /// The arms that ranked.
    mode: Mode,
    /// Why that is not `hybrid`, or not reranked although it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Best first.
    tools: Vec<Described>,
    /// What they take, where there is a budget.
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<Tokens>,
    /// None of them is likely to be what is looked for.
    no_good_match: bool,
    /// Servers among them whose tools may be out of date.
    stale: Vec<Stale>,
}

/// A tool and its definition.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Described {
    /// `server/name`, unique.
    id: String,
    /// The server that offers it.
    server: String,
    /// Its name at that server.
    name: String,
    /// Comparable within this answer only.
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f32>,
    /// How likely it meets the need, 0 to 1; comparable between answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<f32>,
    /// Ids of the same tool on other servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    duplicates: Vec<String>,
    /// It is in every answer, whatever is asked.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pinned: bool,
    /// The definition as its server sent it, unless `reduced` says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Map<String, Value>>")]
    definition: Option<Definition>,
    /// In place of `definition`, where it holds something that JSON readers commonly refuse (a
    /// number beyond all range, say): the definition's own text.
    #[serde(skip_serializing_if = "Option::is_none")]
    definition_text: Option<String>,
    /// What was left out of a definition too large for a search result, and how to get it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reduced: Option<String>,
}

/// The definition of a tool.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Definition {
    /// The bytes that its server sent.
    Stored(Arc<RawValue>),
    /// A smaller form.
    Reduced(Map<String, Value>),
}

impl Described {
    /// A tool with its whole definition.
    pub(super) fn whole(tool: &Tool) -> Self {
        let plain = tool.is_plain();
        Self {
            id: tool.id.to_string(),
            server: tool.server.to_string(),
            name: tool.name.to_string(),
            score: None,
            confidence: None,
            duplicates: Vec::new(),
            pinned: false,
            definition_text: (!plain).then(|| tool.definition.get().to_owned()),
            definition: plain.then(|| Definition::Stored(Arc::clone(&tool.definition))),
            reduced: None,
        }
    }

    /// Tools that have no more tokens than the budget, if there is one.
    fn fitted(
        hits: &[Hit],
        catalog: &Catalog,
        budget: Option<Budget>,
    ) -> (Vec<Self>, Option<Tokens>) {
        if budget.is_none() {
            return (hits.iter().map(Self::brief).collect(), None);
        }
        let fitted = formats::fit_written(hits.len(), budget, |at, rung| Self::at(&hits[at], rung));
        let tools = hits.iter().zip(&fitted.rungs).map(|(hit, rung)| Self::at(hit, *rung));
        (tools.collect(), Tokens::of(&fitted, budget, catalog, Format::Mcp))
    }

    /// A tool among others, at `rung`.
    fn at(hit: &Hit, rung: Rung) -> Self {
        let brief = Self::brief(hit);
        let Some(reduced) = format::reduced(rung) else { return brief };
        let form = format::definition(&hit.tool, rung, None).into_owned();
        // Readers commonly refuse what some definitions hold: that stays text.
        let plain = serde_json::from_str::<Value>(&form).is_ok();
        Self {
            definition: RawValue::from_string(form.clone())
                .ok()
                .filter(|_| plain)
                .map(|form| Definition::Stored(form.into())),
            definition_text: (!plain).then_some(form),
            reduced: Some(reduced),
            ..brief
        }
    }

    /// A tool among others: a large definition comes in a smaller form that says so.
    pub(super) fn brief(hit: &Hit) -> Self {
        let tool = &hit.tool;
        let mut described = Self {
            score: Some(hit.score),
            confidence: Some(hit.confidence),
            duplicates: hit.duplicates.iter().map(ToString::to_string).collect(),
            pinned: hit.pinned,
            ..Self::whole(tool)
        };
        let text = tool.definition.get();
        if text.len() <= reduce::MAX_BYTES {
            return described;
        }
        let reduced = if let Ok(definition) = serde_json::from_str(text) {
            reduce(&definition)
        } else {
            let view = tool.view();
            let description = view.description.as_deref().map(Value::from);
            let name = Value::from(&*tool.name);
            let form = reduce::bare(Some(&name), description.as_ref());
            Some((form, "all but the name and description is left out"))
        };
        if let Some((form, left_out)) = reduced {
            let id = Value::from(tool.id.as_str());
            described.definition = Some(Definition::Reduced(form));
            described.definition_text = None;
            described.reduced =
                Some(format!("{left_out}; get_tool {{\"id\": {id}}} returns it whole"));
        }
        described
    }
}

impl Found {
    /// What was found in `catalog`, within the budget, if there is one.
    pub(super) fn of(answer: Answer, catalog: &Catalog, budget: Option<Budget>) -> Self {
        let (tools, tokens) = Described::fitted(&answer.hits, catalog, budget);
        Self {
            generation: answer.generation,
            mode: answer.mode,
            reason: answer.reason,
            tools,
            tokens,
            no_good_match: answer.no_good_match,
            stale: answer.stale,
        }
    }
}
