//! The HTTP API under `/v1`: read the request, ask the live index, write the answer.
//!
//! Invariant: what is not understood (an unknown parameter, a wrong type) is refused by name, and
//! JSON is written once, straight from the stored bytes.

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, RawQuery};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use tokio::runtime::Handle;

use super::call::{Calls, Way};
use super::debug;
use super::door::Door;
use super::events::Front;
use super::formats::{self, Answers, Wants};
use super::limits::quota::Purse;
use super::metrics;
use super::oauth::Logins;
use super::observe::{Lifted, Observer};
use super::problem::Problem;
use super::rows::{self, MAX_ROWS};
use super::scope::{self, AtId, IdPath, Scoped};
use super::trail::Trail;
use super::trust::{About, EarlierDefinition};
use super::wire::{
    Asked, CallAnswer, CallRequest, IndexStatus, KnownTool, Lint, NearTool, Need, SearchRequest,
    ServerList, ToolPage,
};
use crate::audit;
use crate::catalog::ToolIdx;
use crate::format::Call;
use crate::index::Index;
use crate::lint;
use crate::live::Live;
use crate::search::{Answer, Query};

/// Tools in a page, where the caller doesn't say.
pub(super) const PAGE: usize = 100;
/// Most tools in a page.
pub const MAX_PAGE: usize = 1_000;
/// How tools can be listed.
pub(super) const VIEWS: [&str; 2] = ["definitions", "rows"];
/// What `GET /v1/search` takes.
const SEARCH_PARAMS: [&str; 16] = [
    "q",
    "limit",
    "server",
    "explain",
    "why",
    "arm",
    "read_only",
    "destructive",
    "open_world",
    "format",
    "token_budget",
    "family",
    "tool_use_id",
    "call_id",
    "debug",
    scope::PROFILE,
];

/// A body as JSON.
pub fn json(body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => ([(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(error) => {
            tracing::error!(%error, "a body could not be written as JSON");
            Problem::internal().into_response()
        }
    }
}

/// `GET /v1/search`
pub async fn search_get(
    Scoped(live): Scoped,
    (trail, lifted): (Trail, Lifted),
    Extension(observer): Extension<Observer>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let params = Params::parse(query.as_deref(), &SEARCH_PARAMS)?;
    let queries: Vec<String> = params.all("q");
    if queries.is_empty() {
        return Err(Problem::invalid("say what to look for: ?q=…"));
    }
    let need = Need {
        query: None,
        queries: Some(queries),
        limit: params.number("limit")?,
        servers: params.all("server"),
        read_only: params.switch("read_only")?,
        destructive: params.switch("destructive")?,
        open_world: params.switch("open_world")?,
        token_budget: params.number("token_budget")?,
    };
    let wants = Wants {
        format: params.word("format")?,
        token_budget: need.token_budget,
        family: params.word("family")?,
        call: Call {
            tool_use_id: params.one("tool_use_id")?.map(str::to_owned),
            call_id: params.one("call_id")?.map(str::to_owned),
        },
        debug: params.switch("debug")?.unwrap_or(false),
    };
    wants.check()?;
    debug::check(wants.debug, &trail)?;
    let wants = wants.by_profile(&live);
    let explain = params.switch("explain")?.unwrap_or(false);
    let arms = params.word("arm")?.unwrap_or_default();
    let query = Query { arms, ..need.into_query(explain, params.one("why")?)? };
    let answer = search(&live, &query, &trail, &observer).await?;
    Ok(formats::respond(&live, &lifted, Answers::One(answer.into(), wants)).await)
}

/// `POST /v1/search`
pub async fn search_post(
    Scoped(live): Scoped,
    (trail, lifted): (Trail, Lifted),
    Extension(observer): Extension<Observer>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let request: SearchRequest = serde_json::from_slice(&body?)
        .map_err(|error| Problem::invalid(format!("the body is not a search request: {error}")))?;
    let live = scope::within(&live, request.profile.as_deref())?;
    debug::check(request.debug, &trail)?;
    let answers = match request.into_queries()? {
        Asked::One(query, wants) => {
            let answer = search(&live, &query, &trail, &observer).await?;
            Answers::One(answer.into(), wants.by_profile(&live))
        }
        Asked::Batch(queries) => {
            let asked = queries.into_iter().enumerate().map(async |(at, (query, wants))| {
                let answer = search(&live, &query, &trail, &observer).await;
                let answer = answer.map_err(|problem| problem.within(&format!("batch[{at}]")))?;
                Ok::<_, Problem>((answer, wants.by_profile(&live)))
            });
            Answers::Batch(futures::future::try_join_all(asked).await?)
        }
    };
    Ok(formats::respond(&live, &lifted, answers).await)
}

/// A search that is kept in the audit log.
async fn search(
    live: &Live,
    query: &Query,
    trail: &Trail,
    observer: &Observer,
) -> Result<Answer, Problem> {
    let began = Instant::now();
    let answer = ask(live, query).await;
    trail.keep_search(audit::Way::Http, live, query, answer.as_ref(), began);
    observer.switches.sample(&query.texts, answer.as_ref().ok());
    answer
}

pub(super) async fn ask(live: &Live, query: &Query) -> Result<Answer, Problem> {
    if !live.is_ready() {
        return Err(Problem::not_ready());
    }
    let answer = live.search(query).await?;
    metrics::count_search(&answer);
    Ok(answer)
}

/// `POST /v1/call`
pub async fn call(
    Scoped(live): Scoped,
    Extension(calls): Extension<Calls>,
    lifted: Lifted,
    purse: Option<Extension<Purse>>,
    trail: Trail,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let CallRequest(mut asked) = serde_json::from_slice(&body?)
        .map_err(|error| Problem::invalid(format!("the body is not a call: {error}")))?;
    // Else it would be an argument, of a call that is not kept to that profile.
    let live = match asked.remove(scope::PROFILE) {
        None => live,
        Some(Value::String(profile)) => scope::within(&live, Some(&profile))?,
        Some(_) => return Err(Problem::invalid("profile must be a text")),
    };
    // A call has a time limit of its own.
    lifted.lift();
    let asked = super::call::read(Some(asked));
    let purse = purse.map(|Extension(purse)| purse);
    let way = Way { purse, ..Way::of(trail, audit::Way::Http) };
    let answered = calls.scoped(live).pass_on(asked, way).await?;
    let result = serde_json::from_str(&answered.result).map_err(|_| Problem::internal())?;
    let (id, server) = (answered.tool.id.as_str(), answered.tool.server.as_str());
    Ok(json(&CallAnswer { id, server, result }))
}

/// `GET /v1/tools`
pub async fn tools(
    Scoped(live): Scoped,
    lifted: Lifted,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let known = ["server", "cursor", "limit", "view", scope::PROFILE];
    let params = Params::parse(query.as_deref(), &known)?;
    let in_rows = match params.one("view")? {
        None => false,
        Some(view) if VIEWS.contains(&view) => view == VIEWS[1],
        Some(view) => {
            let views = VIEWS.join(" or ");
            return Err(Problem::invalid(format!("view must be {views}, not {}", quoted(view))));
        }
    };
    let limit = params.number("limit")?.unwrap_or(PAGE);
    let most = if in_rows { MAX_ROWS } else { MAX_PAGE };
    if !(1..=most).contains(&limit) {
        return Err(Problem::invalid(format!("limit is {limit}, it must be 1 to {most}")));
    }
    let servers: Vec<String> = params.all("server");
    let known = live.servers();
    let index = live.index();
    let catalog = &index.catalog;
    if let Some(unknown) =
        servers.iter().find(|id| !known.contains_key(id.as_str()) && catalog.server(id).is_none())
    {
        return Err(crate::search::QueryError::UnknownServer(unknown.clone()).into());
    }
    // A cursor is the last id of the page before, so it still means the same place when tools
    // come and go.
    let cursor = params.one("cursor")?;
    if in_rows {
        let (index, known, cursor) = (Arc::clone(&index), live.known(), cursor.map(str::to_owned));
        let rows = move || json(&rows::page(&index, &known, &servers, cursor.as_deref(), limit));
        return formats::aside(&lifted, true, rows).await;
    }
    let start =
        cursor.map_or(0, |last| catalog.tools().partition_point(|tool| tool.id.as_str() <= last));
    let mut rest = catalog.tools()[start..].iter().filter(|tool| {
        servers.is_empty() || servers.iter().any(|server| server == tool.server.as_str())
    });
    let tools: Vec<KnownTool<'_>> =
        rest.by_ref().take(limit).map(|tool| KnownTool::from(&**tool)).collect();
    let next_cursor = match rest.next() {
        Some(_) => tools.last().map(|tool| tool.id),
        None => None,
    };
    Ok(json(&ToolPage { generation: index.generation, tools, next_cursor }))
}

/// `GET /v1/tools/{id}`; the `/` in an id may be percent-encoded or not. A tool's name in a model
/// API will do as well.
pub async fn tool(
    Scoped(live): Scoped,
    (trail, lifted): (Trail, Lifted),
    id: Result<AtId, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let Path(IdPath { id }) = id?;
    let params = Params::parse(query.as_deref(), &["earlier", "near", "lint", scope::PROFILE])?;
    let wants = |name| Ok::<_, Problem>(params.switch(name)? == Some(true));
    let (wants_earlier, wants_near, wants_lint) =
        (wants("earlier")?, wants("near")?, wants("lint")?);
    let index = live.index();
    let (catalog, known) = (&index.catalog, live.known());
    let found = catalog.find(&id);
    trail.keep_get(audit::Way::Http, &live, &id, found.map(|tool| &tool.id));
    let Some(tool) = found else {
        return Err(Problem::no_tool_served(known.book.is_held(&id)));
    };
    let mut told = KnownTool::from(&**tool).with(About::of(&known, tool));
    if wants_earlier {
        told.earlier = Some(EarlierDefinition::of(&known, tool));
    }
    if let Some(at) = catalog.position(tool.id.as_str()) {
        told.near = wants_near.then(|| NearTool::of(&index, at));
        if wants_lint {
            told.lint = Some(lint_of(&live, &lifted, &index, at).await?);
        }
    }
    Ok(json(&told))
}

/// What `toolscout lint` says of a tool. It searches for it, so this is done aside.
async fn lint_of(
    live: &Live,
    lifted: &Lifted,
    index: &Arc<Index>,
    tool: ToolIdx,
) -> Result<Vec<Lint>, Problem> {
    let (live, index, runtime) = (live.clone(), Arc::clone(index), Handle::current());
    let found = move || {
        // It is nobody's search, so nothing is learned from it.
        let ask = |query: &Query| runtime.block_on(live.look_up(query));
        lint::one(&index, &lint::Settings::default(), tool, ask)
    };
    let found = formats::aside(lifted, true, found).await??;
    Ok(found.into_iter().map(Lint::from).collect())
}

/// `GET /v1/servers`
pub async fn servers(
    Scoped(live): Scoped,
    Extension(logins): Extension<Arc<Logins>>,
    Extension(door): Extension<Door>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Params::parse(query.as_deref(), &[scope::PROFILE])?;
    let (servers, known) = (live.servers(), live.known());
    let front = Front::new(&logins, &door);
    let shown = |(id, status)| front.shows(&live, &known, id, status);
    let servers = servers.iter().map(shown).collect();
    Ok(json(&ServerList { servers }))
}

/// `GET /v1/status`
pub async fn status(
    Scoped(live): Scoped,
    Extension(observer): Extension<Observer>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Params::parse(query.as_deref(), &[scope::PROFILE])?;
    let audit_failing = observer.audit.health().is_some_and(|health| health.trouble.is_some());
    let status = live.status();
    Ok(json(&IndexStatus { audit_failing, ..IndexStatus::of(&status, &live.servers()) }))
}

/// Query parameters, of which every one is known.
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn parse(query: Option<&str>, known: &[&str]) -> Result<Self, Problem> {
        let pairs: Vec<(String, String)> =
            url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        match pairs.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => {
                let known = if known.is_empty() { "none".into() } else { known.join(", ") };
                let told =
                    format!("there is no parameter {}: this path takes {known}", quoted(name));
                Err(Problem::invalid(told))
            }
            None => Ok(Self(pairs)),
        }
    }

    pub(super) fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    }

    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.0.iter().filter(|(key, _)| key == name);
        match (values.next(), values.next()) {
            (Some(_), Some(_)) => Err(Problem::invalid(format!("{name} is given twice"))),
            (first, _) => Ok(first.map(|(_, value)| value.as_str())),
        }
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<usize>, Problem> {
        let Some(value) = self.one(name)? else {
            return Ok(None);
        };
        value.parse().map(Some).map_err(|_| {
            Problem::invalid(format!("{name} must be a number, not {}", quoted(value)))
        })
    }

    /// One of a few words.
    pub(super) fn word<T: clap::ValueEnum>(&self, name: &str) -> Result<Option<T>, Problem> {
        let Some(value) = self.one(name)? else {
            return Ok(None);
        };
        T::from_str(value, false).map(Some).map_err(|_| {
            let words = T::value_variants().iter().filter_map(clap::ValueEnum::to_possible_value);
            let words: Vec<_> = words.map(|word| word.get_name().to_owned()).collect();
            let known = words.join(", ");
            Problem::invalid(format!("{name} must be one of {known}, not {}", quoted(value)))
        })
    }

    fn switch(&self, name: &str) -> Result<Option<bool>, Problem> {
        match self.one(name)? {
            None => Ok(None),
            Some("0" | "false") => Ok(Some(false)),
            Some("1" | "true") => Ok(Some(true)),
            Some(value) => {
                Err(Problem::invalid(format!("{name} must be 1 or 0, not {}", quoted(value))))
            }
        }
    }
}

/// A caller's text in a message, cut to a readable length.
fn quoted(text: &str) -> String {
    let cut: String = text.chars().take(40).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("{cut:?}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_known_single_and_typed() {
        let parse = |text| Params::parse(Some(text), &["q", "limit"]);
        let params = parse("q=a&q=b%20c&limit=7").unwrap();
        assert_eq!(params.all("q"), ["a", "b c"]);
        assert_eq!(params.number("limit").unwrap(), Some(7));
        assert!(parse("Q=a").is_err());
        assert!(parse("limit=1&limit=2").unwrap().number("limit").is_err());
        assert!(parse("limit=-1").unwrap().number("limit").is_err());
        assert!(parse("limit=").unwrap().number("limit").is_err());
    }

    #[test]
    fn a_callers_text_is_cut_and_escaped() {
        assert_eq!(quoted("a\nb"), r#""a\nb""#);
        assert!(quoted(&"é".repeat(10_000)).len() < 100);
    }
}
