//! Names and shapes of other tool searches, for agents that were made for those.
//!
//! Invariant: they are shapes alone: what they find and call is what our own tools find and call.

use std::sync::Arc;

use rmcp::model::{CallToolResult, JsonObject, Tool as McpTool, ToolAnnotations};
use rmcp::service::{RequestContext, RoleServer};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::formats;
use super::super::observe::Lifted;
use super::McpHandler;
use super::schema::{read, read_only, schema_of, structured};
use crate::catalog::Catalog;
use crate::config::Alias;
use crate::format::tokens::{Family, count_as};
use crate::format::{self, Format};
use crate::search::Query;
use crate::tool::Tool;

const CALL: &str = "Call a tool at its server, by the id or name that the search gives, with arguments \
    that fit the inputSchema of its definition. Returns the server's own result.";

/// The arguments of `call_tool`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "a schema alone: arguments are read in more forms than this one")]
struct CallTool {
    /// The tool's id, as `search_tools` gives it (`server/name`).
    id: String,
    /// Its arguments, by the inputSchema of its definition.
    #[schemars(default)]
    arguments: Map<String, Value>,
}

/// The same as `FastMCP` has it.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "a schema alone")]
struct CallByName {
    /// The tool's id, as the search gives it.
    name: String,
    /// Its arguments, by the inputSchema of its definition.
    #[schemars(default)]
    arguments: Map<String, Value>,
}

/// The same as `ToolHive` has it.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "a schema alone")]
struct CallFound {
    /// The tool's name, as `find_tool` gives it.
    tool_name: String,
    /// Its arguments, by the inputSchema of its definition.
    #[schemars(default)]
    parameters: Map<String, Value>,
}

/// The arguments of `AgentCore`'s search.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SearchText {
    /// What the tool should do, in a few words, or its name.
    query: String,
}

/// The arguments of `find_tool`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FindTool {
    /// What the tool should do, in a few words.
    tool_description: String,
    /// Words that tools may have, one after another.
    #[serde(default)]
    tool_keywords: Option<Keywords>,
}

/// In one text, or in a list.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum Keywords {
    Text(String),
    List(Vec<String>),
}

/// The tools that were found, under names by which they are called here.
#[derive(Serialize, JsonSchema)]
struct FoundHere {
    /// Best first.
    tools: Vec<Map<String, Value>>,
    /// What the search saves.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_metrics: Option<TokenMetrics>,
}

/// What a search saves, in estimated tokens.
#[derive(Serialize, JsonSchema)]
struct TokenMetrics {
    /// The definitions of all tools.
    baseline_tokens: usize,
    /// The definitions that were returned.
    returned_tokens: usize,
    /// The share that was saved.
    savings_percent: f64,
}

/// A search under another name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    AgentCore,
    FindTool,
}

impl Search {
    const ALL: [(Self, Alias, &'static str); 2] = [
        (Self::AgentCore, Alias::AgentCore, "x_amz_bedrock_agentcore_search"),
        (Self::FindTool, Alias::ToolHive, "find_tool"),
    ];

    /// The search of this name, where it is switched on.
    pub(super) fn of(name: &str, on: &[Alias]) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, alias, own)| *own == name && on.contains(alias));
        found.map(|(search, ..)| *search)
    }
}

/// The searches that are switched on.
pub(super) fn searches(on: &[Alias]) -> Vec<McpTool> {
    let told = "Find the tools that fit a need, among all tools of all connected servers. Returns \
                their definitions, best first, under the names by which they are called.";
    let on = Search::ALL.iter().filter(|(_, alias, _)| on.contains(alias));
    let tools = on.map(|(search, _, name)| {
        let schema = match search {
            Search::AgentCore => schema_of::<SearchText>(SchemaSettings::draft2020_12()),
            Search::FindTool => schema_of::<FindTool>(SchemaSettings::draft2020_12()),
        };
        McpTool::new(*name, told, schema).with_annotations(read_only())
    });
    tools.collect()
}

/// `call_tool`, with its arguments as the first of the aliases has them.
pub(super) fn call_tool(on: &[Alias]) -> McpTool {
    let own = on.iter().find(|alias| **alias != Alias::AgentCore);
    let schema = match own {
        Some(Alias::FastMcp) => schema_of::<CallByName>(SchemaSettings::draft2020_12()),
        Some(Alias::ToolHive) => schema_of::<CallFound>(SchemaSettings::draft2020_12()),
        _ => schema_of::<CallTool>(SchemaSettings::draft2020_12()),
    };
    McpTool::new("call_tool", CALL, schema)
        .with_title("Call a tool")
        .with_annotations(ToolAnnotations::default().read_only(false).open_world(true))
}

/// A definition under the name that model APIs take, by which the tool can be called here: the `/` of
/// an id is in no name that MCP allows.
pub(super) fn callable(catalog: &Catalog, tool: &Tool) -> Map<String, Value> {
    let mut definition: Map<String, Value> = serde_json::from_str(tool.definition.get())
        .unwrap_or_else(|_| {
            // It holds what a value can't: the rest is given by get_tool.
            let mut bare = Map::new();
            if let Some(description) = tool.view().description {
                bare.insert("description".into(), description.into_owned().into());
            }
            bare.insert("inputSchema".into(), serde_json::json!({ "type": "object" }));
            bare
        });
    definition.insert("name".into(), catalog.api_names().name(tool).into());
    definition
}

impl McpHandler {
    pub(super) async fn search_as(
        &self,
        search: Search,
        arguments: Option<JsonObject>,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, String> {
        let texts = match search {
            Search::AgentCore => {
                let usage = "x_amz_bedrock_agentcore_search takes query, a text";
                vec![read::<SearchText>(arguments, usage)?.query]
            }
            Search::FindTool => {
                let usage =
                    "find_tool takes tool_description (a text), and if wanted tool_keywords";
                let FindTool { tool_description, tool_keywords } = read(arguments, usage)?;
                let keywords = match tool_keywords {
                    None => String::new(),
                    Some(Keywords::Text(text)) => text,
                    Some(Keywords::List(words)) => words.join(" "),
                };
                let texts = [tool_description, keywords];
                texts.into_iter().filter(|text| !text.trim().is_empty()).collect()
            }
        };
        let answer = self.ask(&Query { texts, ..Query::default() }, context).await?;
        let catalog = self.live.catalog();
        let metrics = match search {
            Search::AgentCore => None,
            Search::FindTool => {
                let (catalog, hits) = (Arc::clone(&catalog), answer.hits.clone());
                // The first count loads the tokenizer.
                let counted = move || {
                    let all = format::baseline(&catalog, Format::Mcp, Family::Openai);
                    TokenMetrics::of(all, hits.iter().map(|hit| tokens(&hit.tool)).sum())
                };
                formats::aside(&Lifted::of_mcp(context), true, counted).await.ok()
            }
        };
        let tools = answer.hits.iter().map(|hit| callable(&catalog, &hit.tool)).collect();
        structured(&FoundHere { tools, token_metrics: metrics }, context)
    }
}

impl TokenMetrics {
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    fn of(baseline: usize, returned: usize) -> Self {
        let saved = 1.0 - returned as f64 / baseline.max(1) as f64;
        Self {
            baseline_tokens: baseline,
            returned_tokens: returned,
            savings_percent: (saved * 1000.0).round().max(0.0) / 10.0,
        }
    }
}

/// The tokens of a definition, of the family that the baseline is told in.
fn tokens(tool: &Tool) -> usize {
    Family::Openai.tokens(count_as(tool.hash, || tool.definition.get()))
}
