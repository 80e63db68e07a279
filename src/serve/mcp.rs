//! toolscout as an MCP server: `search_tools` and `get_tool`, the same over HTTP and stdio.
//!
//! Invariant: whatever a model gets wrong comes back as a tool error that says what to do
//! instead; a protocol error is kept for requests that no tool here can answer.

use std::sync::Arc;

use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock,
    Implementation, InitializeRequestParams, InitializeResult, JsonObject, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, SubscriptionFilter, Tool as McpTool,
    ToolAnnotations,
};
use rmcp::service::{NotificationContext, RequestContext, RoleServer, SubscriptionContext};
use rmcp::{ErrorData, ServerHandler};
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::digest::digest;
use super::formats::{self, Tokens, Wants};
use super::metrics;
use super::raw;
use super::reduce::{self, reduce};
use super::wire::Need;
use crate::catalog::Catalog;
use crate::format::{self, Budget, Format, Rung};
use crate::live::Live;
use crate::search::{Hit, Mode, QueryError, Stale};
use crate::tool::Tool;

const INSTRUCTIONS: &str = "Call search_tools with what you need done before you decide that no \
    tool can do it: it finds the few fitting tools among all that are connected. It returns their \
    definitions; call them at their own server by the name given there.";

const SEARCH: &str = "Find the tools that fit a need, among all tools of all connected MCP \
    servers. Describe one need in plain words, or spell a tool's exact name. Returns the \
    definitions of the best 5 to 10, best first; call them at their own server. One that says \
    `reduced` is given whole by get_tool.";

const SEARCH_USAGE: &str = "search_tools takes query (a text) or queries (a list of texts), and \
    if wanted limit and token_budget (numbers) and servers (a list of ids)";

/// How long a client may keep the tool list before it asks again; changes are also announced.
const LIST_TTL_MS: u64 = 60_000;
/// Most servers that an error names.
const MAX_NAMED: usize = 50;

/// The MCP server; cheap to clone.
#[derive(Clone)]
pub struct McpHandler {
    live: Live,
    /// One client, on a connection that lasts: changes can be told to clients of every era.
    lasting: bool,
}

/// The arguments of `get_tool`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GetTool {
    /// The tool's id, as `search_tools` gives it (`server/name`).
    id: String,
}

/// The result of `search_tools`.
#[derive(Debug, Serialize, JsonSchema)]
struct Found {
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
struct Described {
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
enum Definition {
    /// The bytes that its server sent.
    Stored(Arc<RawValue>),
    /// A smaller form.
    Reduced(Map<String, Value>),
}

impl Described {
    /// A tool with its whole definition.
    fn whole(tool: &Tool) -> Self {
        let plain = tool.is_plain();
        Self {
            id: tool.id.to_string(),
            server: tool.server.to_string(),
            name: tool.name.to_string(),
            score: None,
            confidence: None,
            duplicates: Vec::new(),
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
    fn brief(hit: &Hit) -> Self {
        let tool = &hit.tool;
        let mut described = Self {
            score: Some(hit.score),
            confidence: Some(hit.confidence),
            duplicates: hit.duplicates.iter().map(ToString::to_string).collect(),
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

impl McpHandler {
    /// For requests that each stand alone.
    pub fn stateless(live: Live) -> Self {
        Self { live, lasting: false }
    }

    /// For one connection that lasts.
    pub fn lasting(live: Live) -> Self {
        Self { live, lasting: true }
    }

    fn tools(&self) -> Vec<McpTool> {
        let search = format!("{SEARCH}\n\n{}", digest(&self.live.catalog()));
        let input = SchemaSettings::draft2020_12;
        let output = || SchemaSettings::draft2020_12().for_serialize();
        vec![
            McpTool::new("search_tools", search, schema_of::<Need>(input()))
                .with_title("Search tools")
                .with_raw_output_schema(schema_of::<Found>(output()))
                .with_annotations(read_only()),
            McpTool::new(
                "get_tool",
                "The full definition of one tool, by the id that search_tools gives.",
                schema_of::<GetTool>(input()),
            )
            .with_title("Get a tool's definition")
            .with_raw_output_schema(schema_of::<Described>(output()))
            .with_annotations(read_only()),
        ]
    }

    async fn search(
        &self,
        arguments: Option<JsonObject>,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, String> {
        let need: Need = read(arguments, SEARCH_USAGE)?;
        let wants = Wants { token_budget: need.token_budget, ..Wants::default() };
        wants.check().map_err(|problem| problem.detail)?;
        let query = need.into_query(false, None).map_err(|problem| problem.detail)?;
        if !self.live.is_ready() {
            return Err("the first crawl is under way: call again in a few seconds".to_owned());
        }
        let answer = self.live.search(&query).await.map_err(|error| self.explain(error))?;
        metrics::count_search(&answer);
        let (hits, catalog, budget) = (answer.hits, self.live.catalog(), wants.budget());
        let describe = move || Described::fitted(&hits, &catalog, budget);
        let (tools, tokens) =
            formats::aside(budget.is_some(), describe).await.map_err(|problem| problem.detail)?;
        let found = Found {
            generation: answer.generation,
            mode: answer.mode,
            reason: answer.reason.clone(),
            tools,
            tokens,
            no_good_match: answer.no_good_match,
            stale: answer.stale,
        };
        structured(&found, context)
    }

    fn get(
        &self,
        arguments: Option<JsonObject>,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, String> {
        let GetTool { id } = read(arguments, "get_tool takes id, a text")?;
        let catalog = self.live.catalog();
        let tool = catalog.find(&id).ok_or_else(|| {
            "no tool has this id: take an id from a search_tools result (server/name), or search \
             for the name"
                .to_owned()
        })?;
        structured(&Described::whole(tool), context)
    }

    /// The message of a query error, with what a model needs to mend the call.
    fn explain(&self, error: QueryError) -> String {
        let QueryError::UnknownServer(unknown) = error else {
            return error.to_string();
        };
        let servers = self.live.servers();
        let named: Vec<&str> =
            servers.keys().take(MAX_NAMED).map(crate::tool::ServerId::as_str).collect();
        format!(
            "no server {unknown:?}: leave servers out, or take from these: {}",
            named.join(", ")
        )
    }

    /// Waits until the tool list reads differently from `known`; returns how it reads then.
    async fn list_changed(&self, seen: &mut u64, known: &str) -> String {
        loop {
            *seen = self.live.changed(*seen).await;
            let now = digest(&self.live.catalog());
            if now != known {
                return now;
            }
        }
    }
}

/// A schema that every client can read and no longer than it must be: nothing to look up
/// elsewhere, no formats of Rust's own, and no word of null (what is absent is left out, and a
/// null in the arguments is taken as absent).
fn schema_of<T: JsonSchema>(mut settings: SchemaSettings) -> Arc<JsonObject> {
    settings.meta_schema = None;
    settings.inline_subschemas = true;
    let mut schema = settings
        .with_transform(RecursiveTransform(|schema: &mut Schema| {
            schema.remove("format");
            if schema.get("default").is_some_and(Value::is_null) {
                schema.remove("default");
            }
            if let Some(Value::Array(kinds)) = schema.get_mut("type") {
                kinds.retain(|kind| kind != "null");
                if let [kind] = &mut kinds[..] {
                    let kind = kind.take();
                    schema.insert("type".into(), kind);
                }
            }
        }))
        .into_generator()
        .into_root_schema_for::<T>();
    schema.remove("title");
    schema.remove("description");
    Arc::new(schema.as_object().cloned().unwrap_or_default())
}

fn read_only() -> ToolAnnotations {
    ToolAnnotations::default().read_only(true).idempotent(true).open_world(false)
}

fn read<T: DeserializeOwned>(arguments: Option<JsonObject>, usage: &str) -> Result<T, String> {
    serde_json::from_value(Value::Object(arguments.unwrap_or_default()))
        .map_err(|error| format!("the arguments can't be read: {error}; {usage}"))
}

fn structured(
    result: &impl Serialize,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResult, String> {
    let failed = |error: serde_json::Error| {
        tracing::error!(%error, "a tool result could not be written as JSON");
        "toolscout failed on this call: its log has the reason".to_owned()
    };
    raw::result(serde_json::to_string(result).map_err(failed)?, context)
        .or_else(|text| serde_json::from_str(&text).map(CallToolResult::structured).map_err(failed))
}

impl ServerHandler for McpHandler {
    fn get_info(&self) -> ServerConfig {
        let capabilities =
            ServerCapabilities::builder().enable_tools().enable_tool_list_changed().build();
        ServerConfig::new(capabilities)
            .with_server_info(
                Implementation::new("toolscout", env!("CARGO_PKG_VERSION")).with_title("toolscout"),
            )
            .with_instructions(INSTRUCTIONS)
    }

    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        context.peer.set_peer_info(request.clone());
        let mut info = self.negotiate_initialize(&request)?;
        // Over HTTP such a client has no stream that a change could be told on.
        if !self.lasting
            && let Some(tools) = &mut info.capabilities.tools
        {
            tools.list_changed = None;
        }
        Ok(info)
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        if !self.lasting {
            return;
        }
        let handler = self.clone();
        tokio::spawn(async move {
            let mut seen = handler.live.status().generation;
            let mut known = digest(&handler.live.catalog());
            loop {
                known = handler.list_changed(&mut seen, &known).await;
                if context.peer.notify_tool_list_changed().await.is_err() {
                    return;
                }
            }
        });
    }

    fn accepted_subscription_filter(
        &self,
        _requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(SubscriptionFilter::builder().tools_list_changed().build())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut seen = self.live.status().generation;
        let mut known = digest(&self.live.catalog());
        loop {
            tokio::select! {
                () = context.cancelled() => return Ok(()),
                now = self.list_changed(&mut seen, &known) => known = now,
            }
            if context.sink().notify_tool_list_changed().await.is_err() {
                return Ok(());
            }
        }
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.tools())
            .with_ttl_ms(LIST_TTL_MS)
            .with_cache_scope(CacheScope::Public))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let result = match request.name.as_ref() {
            "search_tools" => self.search(request.arguments, &context).await,
            "get_tool" => self.get(request.arguments, &context),
            _ => {
                return Err(ErrorData::invalid_params(
                    "no such tool here: toolscout offers search_tools and get_tool; the tools they \
                     name are called at their own servers",
                    None,
                ));
            }
        };
        let result = result
            .unwrap_or_else(|message| CallToolResult::error(vec![ContentBlock::text(message)]));
        Ok(CallToolResponse::Complete(result))
    }
}
