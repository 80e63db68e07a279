//! toolscout as an MCP server: its tools, the same over HTTP and stdio.
//!
//! Invariant: whatever a model gets wrong comes back as a tool error that says what to do
//! instead; a protocol error is kept for requests that no tool here can answer.

mod aliases;
mod found;
pub mod news;
mod passed;
pub mod query;
pub mod refused;
mod schema;
mod servers;
pub mod stdio;

use std::sync::Arc;
use std::time::Instant;

use axum::http::request::Parts;
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock,
    Implementation, JsonObject, ListToolsResult, PaginatedRequestParams, ServerCapabilities,
    ServerConfig, SubscriptionFilter, Tool as McpTool,
};
use rmcp::service::{NotificationContext, RequestContext, RoleServer, SubscriptionContext};
use rmcp::{ErrorData, ServerHandler};
use schemars::generate::SchemaSettings;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use self::found::{Described, Found, GetTool};
use self::schema::{read, read_only, schema_of, structured};
use self::servers::Servers;
use super::call::Calls;
use super::digest::digest;
use super::formats::{self, Wants};
use super::metrics;
use super::observe::{Lifted, Observer};
use super::trail::Trail;
use super::wire::Need;
use crate::access::caller::{Caller, Proof};
use crate::audit::Audit;
use crate::config::McpConfig;
use crate::live::Live;
use crate::search::{Answer, Query, QueryError};
use crate::telemetry;

const INSTRUCTIONS: &str = "Call search_tools with what you need done before you decide that no \
    tool can do it: it finds the few fitting tools among all that are connected. It returns their \
    definitions; call them at their own server by the name given there.";

const INSTRUCTIONS_WITH_CALLS: &str = "Call search_tools with what you need done before you decide \
    that no tool can do it: it finds the few fitting tools among all that are connected. It returns \
    their definitions; call one with call_tool, by its id.";

const SEARCH: &str = "Find the tools that fit a need, among all tools of all connected MCP \
    servers. Describe one need in plain words, or spell a tool's exact name. Returns the \
    definitions of the best 5 to 10, best first; ";

const SEARCH_END: &str = ". One that says `reduced` is given whole by get_tool.";

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
    calls: Calls,
    config: Arc<McpConfig>,
    /// One client, on a connection that lasts: it hears of changes there.
    lasting: bool,
    /// Streams that only wait for news end with it; requests are answered first.
    ends: CancellationToken,
    /// Whoever asks may have tools called.
    may_call: bool,
    /// Where what it does is kept.
    audit: Audit,
}

/// How the tool list reads.
#[derive(PartialEq, Eq)]
struct Face {
    calls: bool,
    digest: String,
}

impl McpHandler {
    /// For requests that each stand alone.
    pub fn stateless(live: Live, calls: Calls, config: McpConfig) -> Self {
        let ends = CancellationToken::new();
        let (lasting, may_call, audit) = (false, true, Audit::off());
        Self { live, calls, config: Arc::new(config), lasting, ends, may_call, audit }
    }

    /// With streams of news that end with `shutdown`.
    pub fn until(self, shutdown: &CancellationToken) -> Self {
        Self { ends: shutdown.clone(), ..self }
    }

    /// For one connection that lasts.
    pub fn lasting(live: Live, calls: Calls, config: McpConfig, audit: Audit) -> Self {
        Self { lasting: true, audit, ..Self::stateless(live, calls, config) }
    }

    /// The same for those who see what `live` shows.
    pub fn scoped(&self, live: Live) -> Self {
        Self { calls: self.calls.scoped(live.clone()), live, ..self.clone() }
    }

    /// The same for those who may have tools called, or may not: to them it offers no calls.
    pub fn calling(&self, may_call: bool) -> Self {
        Self { may_call, ..self.clone() }
    }

    /// Calls are offered here.
    fn calls_are_on(&self) -> bool {
        self.may_call && self.calls.are_on()
    }

    fn tools(&self) -> Vec<McpTool> {
        let calls = self.calls_are_on();
        let how = if calls {
            "call one with call_tool, by its id"
        } else {
            "call them at their own server"
        };
        let search = format!("{SEARCH}{how}{SEARCH_END}\n\n{}", digest(&self.live.catalog()));
        let input = SchemaSettings::draft2020_12;
        let output = || SchemaSettings::draft2020_12().for_serialize();
        let mut tools = vec![
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
            McpTool::new(
                "list_servers",
                "The connected servers: their ids, titles, states and how many tools each has.",
                schema_of::<servers::ListServers>(input()),
            )
            .with_title("List servers")
            .with_raw_output_schema(schema_of::<Servers>(output()))
            .with_annotations(read_only()),
        ];
        tools.extend(aliases::searches(&self.config.aliases));
        if calls {
            tools.push(aliases::call_tool(&self.config.aliases));
        }
        tools
    }

    async fn search(
        &self,
        arguments: Option<JsonObject>,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, String> {
        let need: Need = read(arguments, SEARCH_USAGE)?;
        let wants = Wants { token_budget: need.token_budget, ..Wants::default() };
        let wants = wants.by_profile(&self.live);
        wants.check().map_err(|problem| problem.detail)?;
        let query = need.into_query(false, None).map_err(|problem| problem.detail)?;
        let (answer, catalog) = (self.ask(&query, context).await?, self.live.catalog());
        let budget = wants.budget();
        let lifted = Lifted::of_mcp(context);
        let found = move || Found::of(answer, &catalog, budget);
        let found = formats::aside(&lifted, budget.is_some(), found);
        structured(&found.await.map_err(|problem| problem.detail)?, context)
    }

    async fn ask(
        &self,
        query: &Query,
        context: &RequestContext<RoleServer>,
    ) -> Result<Answer, String> {
        let began = Instant::now();
        let (trail, way) = Trail::of_mcp(context, &self.audit);
        let answer = self.look_up(query).await;
        trail.keep_search(way, &self.live, query, answer.as_ref(), began);
        if let Some(parts) = context.extensions.get::<Parts>()
            && let Some(observer) = parts.extensions.get::<Observer>()
        {
            observer.switches.sample(&query.texts, answer.as_ref().ok());
        }
        answer
    }

    async fn look_up(&self, query: &Query) -> Result<Answer, String> {
        if !self.live.is_ready() {
            return Err("the first crawl is under way: call again in a few seconds".to_owned());
        }
        let answer = self.live.search(query).await.map_err(|error| self.explain(error))?;
        metrics::count_search(&answer);
        Ok(answer)
    }

    async fn get(
        &self,
        arguments: Option<JsonObject>,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, String> {
        let GetTool { id } = read(arguments, "get_tool takes id, a text")?;
        let found = self.calls.find(&id).await;
        let (trail, way) = Trail::of_mcp(context, &self.audit);
        trail.keep_get(way, &self.live, &id, found.as_ref().ok().map(|tool| &tool.id));
        let tool = found.map_err(|refused| refused.to_string())?;
        structured(&Described::whole(&tool), context)
    }

    /// `tools/list` takes a query.
    pub fn lists_by_query(&self) -> bool {
        self.config.list_query
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

    /// What the tool list changes with.
    fn face(&self) -> Face {
        Face { calls: self.calls_are_on(), digest: digest(&self.live.catalog()) }
    }

    /// Waits until the tool list reads differently from `known`; returns how it reads then.
    async fn list_changed(&self, seen: &mut u64, known: &Face) -> Face {
        loop {
            tokio::select! {
                newer = self.live.changed(*seen) => *seen = newer,
                () = self.calls.switched(known.calls), if self.may_call => {}
            }
            let now = self.face();
            if now != *known {
                return now;
            }
        }
    }
}

/// Where callers are asked who they are, a list is made for one of them.
fn cache_scope(context: &RequestContext<RoleServer>) -> CacheScope {
    let parts = context.extensions.get::<Parts>();
    let caller = parts.and_then(|parts| parts.extensions.get::<Caller>());
    match caller.map_or(Proof::None, |caller| caller.proof) {
        Proof::None => CacheScope::Public,
        _ => CacheScope::Private,
    }
}

impl ServerHandler for McpHandler {
    fn get_info(&self) -> ServerConfig {
        let capabilities =
            ServerCapabilities::builder().enable_tools().enable_tool_list_changed().build();
        ServerConfig::new(capabilities)
            .with_server_info(
                Implementation::new("toolscout", env!("CARGO_PKG_VERSION")).with_title("toolscout"),
            )
            .with_instructions(if self.calls_are_on() {
                INSTRUCTIONS_WITH_CALLS
            } else {
                INSTRUCTIONS
            })
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        if !self.lasting {
            return;
        }
        let handler = self.clone();
        tokio::spawn(async move {
            let mut seen = handler.live.status().generation;
            let mut known = handler.face();
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
        let mut known = self.face();
        loop {
            tokio::select! {
                () = context.cancelled() => return Ok(()),
                () = self.ends.cancelled() => return Ok(()),
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
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = self.matching(&context).await?.unwrap_or_else(|| self.tools());
        Ok(ListToolsResult::with_all_items(tools)
            .with_ttl_ms(LIST_TTL_MS)
            .with_cache_scope(cache_scope(&context)))
    }

    async fn call_tool(
        &self,
        mut request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = request.arguments.take();
        let span = Trail::of_mcp(&context, &self.audit).0.span_of(&request.name);
        telemetry::join_meta(&span, &context.meta.0);
        self.do_call(request, arguments, context).instrument(span).await
    }
}

impl McpHandler {
    async fn do_call(
        &self,
        request: CallToolRequestParams,
        arguments: Option<JsonObject>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let result = match request.name.as_ref() {
            "search_tools" => self.search(arguments, &context).await,
            "get_tool" => self.get(arguments, &context).await,
            "list_servers" => self.list_servers(arguments, &context),
            "call_tool" if !self.may_call => Err(self.step_up(&context)),
            "call_tool" => self.pass_on(super::call::read(arguments), request, &context).await,
            name => match aliases::Search::of(name, &self.config.aliases) {
                Some(alias) => self.search_as(alias, arguments, &context).await,
                None => match self.named(name, arguments).await {
                    Some(_) if !self.may_call => Err(self.step_up(&context)),
                    Some(asked) => self.pass_on(Ok(asked), request, &context).await,
                    None => return Err(self.no_such_tool()),
                },
            },
        };
        let result = result
            .unwrap_or_else(|message| CallToolResult::error(vec![ContentBlock::text(message)]));
        Ok(CallToolResponse::Complete(result))
    }
}
