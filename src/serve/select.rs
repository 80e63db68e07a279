//! `POST /v1/select`: a conversation comes in, the tools for the next request to the model go out.
//!
//! Invariant: nothing is kept between two calls. What was given before (`previous`) stays first and
//! in its order, so that a model's prompt cache holds; the same request gets the same answer from
//! one generation.

use std::collections::BTreeSet;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::conversation::Conversation;
use super::formats::{self, Shaped, Wants};
use super::http;
use super::observe::Lifted;
use super::problem::Problem;
use super::scope::{self, Scoped};
use super::trail::Trail;
use crate::catalog::Catalog;
use crate::format::{self, Call, Family, Format, Rung, tokens};
use crate::search::{Answer, Hit, Mode, Query, QueryError, Stale};
use crate::tool::hints::HintFilter;
use crate::tool::{ServerId, Tool};

/// Tools in all, where the caller doesn't say: models choose worse among more.
const TOOLS: usize = 30;
/// The most tools that can be asked for.
pub const MAX_TOOLS: usize = 200;
/// The most names in `pinned`, and in `previous`: all are held against each other.
const MAX_NAMED: usize = 1_000;

/// The body: a conversation (`messages`, `input` or `text`), and what the tools are to be like.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SelectRequest {
    /// The messages of the Anthropic Messages API or of OpenAI's chat completions, as they are.
    #[serde(default)]
    messages: Option<Vec<Value>>,
    /// The input of OpenAI's Responses API, as it is: a text or items.
    #[serde(default)]
    #[schemars(with = "Option<Input>")]
    input: Option<Value>,
    /// Or what is wanted, in words.
    #[serde(default)]
    text: Option<String>,
    /// How many tools in all, 1 to 200; without it 30.
    #[serde(default)]
    #[schemars(range(min = 1, max = MAX_TOOLS))]
    limit: Option<usize>,
    /// The most tokens that the tools may take, an estimate.
    #[serde(default)]
    #[schemars(range(min = 1))]
    token_budget: Option<usize>,
    /// Whose tokens; without it what the format tells.
    #[serde(default)]
    family: Option<Family>,
    /// The shape of `result`; without it `openai` for `input`, `anthropic` for `messages` and `mcp`
    /// for `text`.
    #[serde(default)]
    format: Option<Format>,
    /// Tools that are always given, by id or by name in the model API.
    #[serde(default)]
    #[schemars(length(max = MAX_NAMED))]
    pinned: Vec<String>,
    /// Tools that were given for the turn before (`ids` of that answer): they stay as long as there
    /// is room.
    #[serde(default)]
    #[schemars(length(max = MAX_NAMED))]
    previous: Vec<String>,
    /// Look only among tools of these servers.
    #[serde(default)]
    servers: Vec<String>,
    /// The profile whose view is searched; without it all tools are.
    #[serde(default)]
    profile: Option<String>,
    /// Look only among tools that say (true) or do not say (false) that they change nothing.
    #[serde(default)]
    read_only: Option<bool>,
    /// Look only among tools that may (true) or do not (false) delete or overwrite.
    #[serde(default)]
    destructive: Option<bool>,
    /// Look only among tools that reach (true) or do not reach (false) beyond their server.
    #[serde(default)]
    open_world: Option<bool>,
    /// With `tool_reference`: the id of the `tool_use` that is answered.
    #[serde(default)]
    tool_use_id: Option<String>,
    /// With `tool_search_output`: the id of the `tool_search_call` that is answered.
    #[serde(default)]
    call_id: Option<String>,
}

/// A text or items, for the schema.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used: what is in it is read as it comes")]
enum Input {
    Text(String),
    Items(Vec<Value>),
}

/// The tools for the next request.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Selected<'a> {
    /// The generation of the index that was searched.
    generation: u64,
    /// The arms that ranked.
    mode: Mode,
    /// Why that is not `hybrid`, or not reranked although it should be, and what mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// The tools, those of before first.
    #[serde(flatten)]
    shaped: Shaped<'a>,
    /// The ids that are new.
    added: Vec<&'a str>,
    /// Of `previous`: what had to make room, or is not there any more.
    removed: Vec<&'a str>,
    /// Of `pinned`: what is not there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    missing: Vec<&'a str>,
    /// None that was found for this turn is likely to be what is needed.
    no_good_match: bool,
    /// Servers among those found whose tools may be out of date.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schemars(default)]
    stale: &'a [Stale],
}

/// `POST /v1/select`
pub async fn select(
    Scoped(live): Scoped,
    (trail, lifted): (Trail, Lifted),
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let request: SelectRequest = serde_json::from_slice(&body?)
        .map_err(|error| Problem::invalid(format!("the body is not a select request: {error}")))?;
    let limit = request.limit.unwrap_or(TOOLS);
    if !(1..=MAX_TOOLS).contains(&limit) {
        return Err(Problem::invalid(format!("limit is {limit}, it must be 1 to {MAX_TOOLS}")));
    }
    for (list, names) in [("pinned", &request.pinned), ("previous", &request.previous)] {
        let count = names.len();
        if count > MAX_NAMED {
            let told = format!("{list} names {count} tools, it may name {MAX_NAMED}");
            return Err(Problem::invalid(told));
        }
    }
    let live = scope::within(&live, request.profile.as_deref())?;
    let (conversation, dialect) = request.conversation()?;
    let wants = request.wants();
    wants.check()?;
    let wants = wants.by_profile(&live);
    let format = wants.format.unwrap_or(dialect);
    let wants = Wants { format: Some(format), ..wants };
    let query = Query {
        texts: conversation.phrasings(),
        hints: HintFilter {
            read_only: request.read_only,
            destructive: request.destructive,
            open_world: request.open_world,
        },
        servers: request.servers.iter().map(|id| ServerId::from(id.as_str())).collect(),
        ..Query::default()
    };
    if query.texts.is_empty() {
        return Err(QueryError::Empty.into());
    }
    let began = Instant::now();
    let answer = http::ask(&live, &query).await?;
    let catalog = live.catalog();
    let write = move || {
        let mut turn = Turn::of(&request, &catalog, &answer, &conversation.called);
        if conversation.goes_on() {
            turn.add_nothing();
        }
        let selected = turn.selected(limit, format, &wants);
        trail.keep_select(&live, query, &answer, &selected.shaped.ids, began);
        http::json(&selected)
    };
    Ok(formats::aside(&lifted, true, write).await.unwrap_or_else(Problem::into_response))
}

impl SelectRequest {
    /// The conversation, and the format that goes with its dialect.
    fn conversation(&self) -> Result<(Conversation, Format), Problem> {
        let (conversation, format) = match (&self.messages, &self.input, &self.text) {
            (Some(messages), None, None) => (Conversation::of_items(messages), Format::Anthropic),
            (None, Some(Value::String(text)), None) => {
                (Conversation::of_text(text), Format::Openai)
            }
            (None, Some(Value::Array(items)), None) => {
                (Conversation::of_items(items), Format::Openai)
            }
            (None, Some(_), None) => {
                return Err(Problem::invalid("input must be a text or an array of items"));
            }
            (None, None, Some(text)) => (Conversation::of_text(text), Format::Mcp),
            _ => return Err(Problem::invalid("give one of messages, input and text")),
        };
        Ok((conversation, format))
    }

    fn wants(&self) -> Wants {
        Wants {
            format: self.format,
            token_budget: self.token_budget,
            family: self.family,
            call: Call { tool_use_id: self.tool_use_id.clone(), call_id: self.call_id.clone() },
            debug: false,
        }
    }
}

/// One turn of a conversation.
struct Turn<'a> {
    catalog: &'a Catalog,
    answer: &'a Answer,
    /// In the order in which they were given.
    previous: Vec<&'a Tool>,
    removed: Vec<&'a str>,
    pinned: Vec<&'a Tool>,
    missing: Vec<&'a str>,
    /// Best first.
    found: Vec<&'a Tool>,
    /// Ids of tools that the conversation has called.
    used: BTreeSet<&'a str>,
}

impl<'a> Turn<'a> {
    fn of(
        request: &'a SelectRequest,
        catalog: &'a Catalog,
        answer: &'a Answer,
        called: &BTreeSet<String>,
    ) -> Self {
        let find = |names: &'a [String]| {
            let (mut tools, mut missing): (Vec<&Tool>, Vec<&str>) = Default::default();
            for name in names {
                match catalog.find(name) {
                    Some(tool) if tools.iter().all(|other| other.id != tool.id) => tools.push(tool),
                    Some(_) => {}
                    None => missing.push(name),
                }
            }
            (tools, missing)
        };
        let (previous, removed) = find(&request.previous);
        let (mut pinned, missing) = find(&request.pinned);
        let (by_profile, hits): (Vec<&Hit>, Vec<&Hit>) =
            answer.hits.iter().partition(|hit| hit.pinned);
        pinned.extend(by_profile.into_iter().map(|hit| &*hit.tool));
        let pinned = unique(pinned.into_iter());
        let has = |id: &str| previous.iter().chain(&pinned).find(|tool| tool.id.as_str() == id);
        // Where the same tool of another server is there already, that one was found.
        let found = hits.into_iter().map(|hit| {
            let twin = hit.duplicates.iter().find_map(|id| has(id.as_str()));
            has(hit.tool.id.as_str()).or(twin).copied().unwrap_or(&hit.tool)
        });
        let names = catalog.api_names();
        let known_as = |tool: &&&Tool| {
            called.contains(&names.name(tool))
                || called.contains(tool.id.as_str())
                || called.contains(&*tool.name)
        };
        Self {
            catalog,
            answer,
            used: previous.iter().filter(known_as).map(|tool| tool.id.as_str()).collect(),
            found: unique(found),
            previous,
            removed,
            pinned,
            missing,
        }
    }

    /// Finds what was given before alone, if anything was: a turn that asks for nothing costs no
    /// prompt cache.
    fn add_nothing(&mut self) {
        if !self.previous.is_empty() {
            let previous = &self.previous;
            self.found.retain(|tool| previous.iter().any(|other| other.id == tool.id));
        }
    }

    fn selected(mut self, limit: usize, format: Format, wants: &Wants) -> Selected<'a> {
        let tools = self.choose(limit, |tools| self.fits(tools, format, wants));
        let (mut added, mut removed) = (Vec::new(), std::mem::take(&mut self.removed));
        let is_in = |list: &[&Tool], tool: &Tool| list.iter().any(|other| other.id == tool.id);
        added.extend(
            tools.iter().filter(|tool| !is_in(&self.previous, tool)).map(|t| t.id.as_str()),
        );
        removed.extend(
            self.previous.iter().filter(|tool| !is_in(&tools, tool)).map(|t| t.id.as_str()),
        );
        Selected {
            generation: self.answer.generation,
            mode: self.answer.mode,
            reason: self.answer.reason.as_deref(),
            shaped: formats::shape(self.catalog, &tools, format, wants),
            added,
            removed,
            missing: self.missing,
            no_good_match: self.answer.no_good_match,
            stale: &self.answer.stale,
        }
    }

    /// The tools in the order in which they are given: those of before, then the pinned and the
    /// found. Over the limit they go as [`Turn::need`] has it, the pinned never. For tokens only
    /// the idle ones go: the others are shortened.
    fn choose(&self, limit: usize, fits: impl Fn(&[&'a Tool]) -> bool) -> Vec<&'a Tool> {
        let all = self.previous.iter().chain(&self.pinned).chain(&self.found);
        let mut tools = unique(all.copied());
        // The oldest of before, and the last of those that are new.
        let (before, new) = tools.split_at(self.previous.len());
        let mut order: Vec<&Tool> = before.iter().chain(new.iter().rev()).copied().collect();
        order.sort_by_cached_key(|tool| self.need(tool));
        // Where one goes a prompt cache ends: once any has to, a third of the places is made free
        // of idle ones, so that the next turns can do without.
        let idle_most = if tools.len() > limit { limit - limit / 3 } else { limit };
        for tool in order {
            let need = self.need(tool);
            let room = tools.len() <= if need == Need::Idle { idle_most } else { limit };
            if need == Need::Pinned || room && (need > Need::Idle || fits(&tools)) {
                break;
            }
            tools.retain(|other| other.id != tool.id);
        }
        tools
    }

    fn need(&self, tool: &Tool) -> Need {
        let is_in = |list: &[&Tool]| list.iter().any(|other| other.id == tool.id);
        if is_in(&self.pinned) {
            Need::Pinned
        } else if self.found.first().is_some_and(|best| best.id == tool.id) {
            Need::Best
        } else if self.used.contains(tool.id.as_str()) {
            Need::Called
        } else if !is_in(&self.previous) {
            Need::Found
        } else if is_in(&self.found) {
            Need::FoundAgain
        } else {
            Need::Idle
        }
    }

    /// All of them whole are within the budget.
    fn fits(&self, tools: &[&Tool], format: Format, wants: &Wants) -> bool {
        let Some(budget) = wants.budget() else { return true };
        let piece = |tool: &&Tool| format::piece(format, self.catalog, tool, Rung::Full);
        let whole: usize = tools.iter().map(|tool| tokens::count_kept(&piece(tool))).sum();
        budget.family.tokens(whole) <= budget.tokens
    }
}

/// How much a tool is needed; the least needed goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    /// It was given before, and neither called nor found again.
    Idle,
    /// It was found for this turn.
    Found,
    /// It was given before and found again.
    FoundAgain,
    /// The conversation has called it.
    Called,
    /// It is what this turn most likely needs.
    Best,
    Pinned,
}

/// Each tool where it comes first.
fn unique<'a>(tools: impl Iterator<Item = &'a Tool>) -> Vec<&'a Tool> {
    let mut seen = BTreeSet::new();
    tools.filter(|tool| seen.insert(tool.id.as_str())).collect()
}

#[cfg(test)]
mod tests;
