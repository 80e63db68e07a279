//! The operations that find tools: their parameters, the types of their bodies.
//!
//! Invariant: as of its siblings, a parameter that is not here is refused by the route.

use serde_json::{Value, json};

use super::super::formats::Body;
use super::super::lists::DeferredTools;
use super::super::select::{SelectRequest, Selected};
use super::super::wire::{BatchAnswer, SearchRequest};
use super::operations::{many, query, switch};
use super::{Operation, Schemas};
use crate::format::{Family, Format};
use crate::search::{Arms, MAX_LIMIT};

pub(super) fn operations(schemas: &mut Schemas) -> Vec<Operation> {
    let mut operations = vec![search(schemas), search_many(schemas), select(schemas)];
    operations.extend(lists(schemas));
    operations
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn search(schemas: &mut Schemas) -> Operation {
    Operation {
        parameters: vec![
            many(
                "q",
                "What the tool should do, or its name; several are phrasings of one need",
                true,
            ),
            query(
                "limit",
                "How many tools; without it 5 to 10, and up to 20 for a task of several needs",
                &json!({ "type": "integer", "minimum": 1, "maximum": MAX_LIMIT }),
            ),
            many("server", "Only tools of this server; repeatable", false),
            switch("explain", "Say of each tool how it came to its place"),
            query("why", "A tool's id: say why it stands where it does, found or not", &text()),
            query(
                "arm",
                "Which arms rank, to see what each of them does; without it both",
                &schemas.read::<Arms>(),
            ),
            switch("debug", "Say what each stage of the search took and found; for operators"),
            switch("read_only", "Only tools that say, or do not say, that they change nothing"),
            switch("destructive", "Only tools that may, or do not, delete or overwrite"),
            switch("open_world", "Only tools that reach, or do not, beyond their server"),
            query(
                "format",
                "The shape that the tools come in, as `result`",
                &schemas.read::<Format>(),
            ),
            query(
                "token_budget",
                "The most tokens that the tools may take: the last are shortened until all fit",
                &json!({ "type": "integer", "minimum": 1 }),
            ),
            query(
                "family",
                "Whose tokens; without it what the format tells",
                &schemas.read::<Family>(),
            ),
            query(
                "tool_use_id",
                "With tool_reference: the id of the tool_use that is answered",
                &text(),
            ),
            query(
                "call_id",
                "With tool_search_output: the id of the tool_search_call that is answered",
                &text(),
            ),
        ],
        problems: &[400, 403, 503],
        ..Operation::get(
            "/v1/search",
            "search",
            "Find the tools that fit a need",
            schemas.written::<Body<'_>>(),
        )
    }
}

fn search_many(schemas: &mut Schemas) -> Operation {
    let answer = schemas.written::<Body<'_>>();
    let batch = schemas.written::<BatchAnswer<'_>>();
    Operation {
        method: "post",
        body: Some(schemas.read::<SearchRequest>()),
        problems: &[400, 403, 413, 415, 503],
        ..Operation::get(
            "/v1/search",
            "searchMany",
            "Find the tools that fit a need, or those that fit each of several",
            json!({ "anyOf": [answer, batch] }),
        )
    }
}

fn select(schemas: &mut Schemas) -> Operation {
    Operation {
        method: "post",
        body: Some(schemas.read::<SelectRequest>()),
        problems: &[400, 413, 415, 503],
        ..Operation::get(
            "/v1/select",
            "select",
            "The tools for the next turn of a conversation",
            schemas.written::<Selected<'_>>(),
        )
    }
}

fn lists(schemas: &mut Schemas) -> [Operation; 2] {
    let answer = schemas.written::<DeferredTools>();
    let list = |path, id, summary| Operation {
        parameters: vec![many("server", "Only tools of this server; repeatable", false)],
        problems: &[400, 503],
        ..Operation::get(path, id, summary, answer.clone())
    };
    [
        list(
            "/v1/anthropic/tools",
            "listAnthropicTools",
            "Every tool deferred, and a custom tool search, for the Anthropic Messages API",
        ),
        list(
            "/v1/openai/tools",
            "listOpenaiTools",
            "Every tool deferred, and a client's tool search, for the OpenAI Responses API",
        ),
    ]
}
