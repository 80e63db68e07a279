//! Every operation: its path, its parameters, the types of its bodies.
//!
//! Invariant: a parameter that is not here is refused by the route.

use serde_json::{Value, json};

use super::super::admin::registry::{ApproveServer, Registries};
use super::super::admin::{ConfigStatus, Done, NewServer};
use super::super::decide::{Decide, DecidedList, PendingList};
use super::super::health::{Alive, Health, Ready};
use super::super::http::{self, VIEWS};
use super::super::learned::{Feedback, FeedbackTaken, Forgotten, LearnedPage};
use super::super::manifest::{Manifest, ServerCard};
use super::super::profiles::ProfileList;
use super::super::rows::{MAX_ROWS, RowPage};
use super::super::switches::{LogSwitches, SwitchLog};
use super::super::tenants::TenantList;
use super::super::wire::{CallAnswer, CallRequest, IndexStatus, KnownTool, ServerList, ToolPage};
use super::{Operation, Schemas, activity, console, definitions, evals, finding, keys, map};
use crate::roster::Reload;

pub(super) fn operations(schemas: &mut Schemas) -> Vec<Operation> {
    let mut operations = finding::operations(schemas);
    operations.extend(api(schemas));
    operations.extend(map::operations(schemas));
    operations.extend(definitions::operations(schemas));
    operations.extend(logins());
    operations.extend(ops(schemas));
    operations.extend(admin(schemas));
    operations.extend(switches(schemas));
    operations.extend(registries(schemas));
    operations.push(profiles(schemas));
    operations.push(tenants(schemas));
    operations.extend(keys::operations(schemas));
    operations.extend(evals::operations(schemas));
    operations.extend(activity::operations(schemas));
    operations.extend(learned(schemas));
    operations.extend(console::operations(schemas));
    operations
}

fn api(schemas: &mut Schemas) -> Vec<Operation> {
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": MAX_ROWS });
    let pages = [schemas.written::<ToolPage<'_>>(), schemas.written::<RowPage<'_>>()];
    vec![
        Operation {
            parameters: vec![
                many("server", "Only tools of this server; repeatable", false),
                query("cursor", "next_cursor of the page before", &json!({ "type": "string" })),
                query(
                    "limit",
                    "Tools in the page; without it 100, at most 1,000, of rows 5,000",
                    &limit,
                ),
                query("view", "How: with definitions, or in rows", &json!({ "enum": VIEWS })),
            ],
            problems: &[400],
            ..Operation::get(
                "/v1/tools",
                "listTools",
                "All tools, by id",
                json!({ "anyOf": pages }),
            )
        },
        Operation {
            parameters: vec![
                json!({
                    "in": "path", "name": "id", "required": true, "schema": { "type": "string" },
                    "description": "server/name, the slash percent-encoded or not; or the tool's name in \
                        a model API",
                }),
                switch("earlier", "Also the definitions that were served before"),
                switch("near", "Also the tools that say nearly the same"),
                switch("lint", "Also what makes it hard to find or to use"),
            ],
            problems: &[400, 404],
            ..Operation::get(
                "/v1/tools/{id}",
                "getTool",
                "One tool",
                schemas.written::<KnownTool<'_>>(),
            )
        },
        Operation {
            method: "post",
            body: Some(schemas.read::<CallRequest>()),
            problems: &[400, 403, 404, 413, 415, 422, 429, 501, 502, 503, 504],
            ..Operation::get(
                "/v1/call",
                "callTool",
                "Call a tool at its server, where the operator allows it",
                schemas.written::<CallAnswer<'_>>(),
            )
        },
        Operation {
            problems: &[400],
            ..Operation::get(
                "/v1/servers",
                "listServers",
                "Every configured server and its state",
                schemas.written::<ServerList<'_>>(),
            )
        },
        Operation {
            problems: &[400],
            ..Operation::get(
                "/v1/status",
                "getStatus",
                "The state of the index",
                schemas.written::<IndexStatus<'_>>(),
            )
        },
    ]
}

fn logins() -> Vec<Operation> {
    let text = || json!({ "type": "string" });
    vec![
        Operation {
            parameters: vec![json!({
                "in": "path", "name": "server", "required": true, "schema": text(),
                "description": "the server's id",
            })],
            status: "302",
            kind: "text/plain",
            problems: &[400, 404, 502, 503],
            ..Operation::get(
                "/oauth/start/{server}",
                "startLogin",
                "Begin a login at a server, in a browser; on a listener on loopback",
                text(),
            )
        },
        Operation {
            parameters: ["code", "state", "iss", "error", "error_description"]
                .map(|name| query(name, "As OAuth 2.1 has it", &text()))
                .to_vec(),
            kind: "text/plain",
            problems: &[400, 502],
            ..Operation::get(
                "/oauth/callback",
                "endLogin",
                "Where the authorization server sends the browser back to",
                text(),
            )
        },
    ]
}

/// All of these want the token of the data folder.
fn admin(schemas: &mut Schemas) -> Vec<Operation> {
    let done = schemas.written::<Done>();
    let change = |path, id, summary, problems| Operation {
        method: "post",
        parameters: vec![json!({
            "in": "path", "name": "id", "required": true, "schema": { "type": "string" },
            "description": "the server's id, percent-encoded",
        })],
        problems,
        ..Operation::get(path, id, summary, done.clone())
    };
    vec![
        Operation {
            problems: &[401],
            ..Operation::get(
                "/v1/admin/config",
                "getConfig",
                "Since when the configuration is in force, and why a later one is not",
                schemas.written::<ConfigStatus>(),
            )
        },
        Operation {
            method: "post",
            problems: &[401, 422],
            ..Operation::get(
                "/v1/admin/reload",
                "reload",
                "Read the configuration anew and apply what changed of its servers",
                schemas.written::<Reload>(),
            )
        },
        Operation {
            method: "post",
            body: Some(schemas.read::<NewServer>()),
            status: "201",
            problems: &[400, 401, 409, 413],
            ..Operation::get(
                "/v1/admin/servers",
                "addServer",
                "Add a server over HTTP",
                done.clone(),
            )
        },
        Operation {
            method: "delete",
            ..change(
                "/v1/admin/servers/{id}",
                "removeServer",
                "Remove a server that was added here",
                &[401, 404, 409],
            )
        },
        change(
            "/v1/admin/servers/{id}/pause",
            "pauseServer",
            "Stop a server's crawls; its tools stay",
            &[401, 404],
        ),
        change(
            "/v1/admin/servers/{id}/resume",
            "resumeServer",
            "Let a server's crawls go on",
            &[401, 404],
        ),
        change(
            "/v1/admin/servers/{id}/refresh",
            "refreshServer",
            "Crawl a server now",
            &[401, 404, 409],
        ),
        Operation {
            parameters: vec![many("server", "Only tools of this server; repeatable", false)],
            problems: &[400, 401],
            ..Operation::get(
                "/v1/admin/pending",
                "listPending",
                "Definitions that are held back",
                schemas.written::<PendingList>(),
            )
        },
        Operation {
            body: Some(schemas.read::<Decide>()),
            answer: schemas.written::<DecidedList>(),
            ..change(
                "/v1/admin/servers/{id}/approve",
                "approveTools",
                "Serve definitions that are held back",
                &[400, 401, 404, 409],
            )
        },
        Operation {
            body: Some(schemas.read::<Decide>()),
            answer: schemas.written::<DecidedList>(),
            ..change(
                "/v1/admin/servers/{id}/reject",
                "rejectTools",
                "Keep definitions back, and stop asking",
                &[400, 401, 404, 409],
            )
        },
    ]
}

/// These want the token as well.
fn registries(schemas: &mut Schemas) -> Vec<Operation> {
    let done = schemas.written::<Done>();
    let change = |path, id, summary| Operation {
        method: "post",
        parameters: vec![json!({
            "in": "path", "name": "id", "required": true, "schema": { "type": "string" },
            "description": "the server's id, percent-encoded",
        })],
        problems: &[401, 404],
        ..Operation::get(path, id, summary, done.clone())
    };
    vec![
        Operation {
            problems: &[401],
            ..Operation::get(
                "/v1/admin/registries",
                "listRegistries",
                "The registries that are followed, and how they do",
                schemas.written::<Registries>(),
            )
        },
        Operation {
            body: Some(schemas.read::<ApproveServer>()),
            problems: &[400, 401, 404, 409],
            ..change(
                "/v1/admin/registries/servers/{id}/approve",
                "approveServer",
                "Let a server that a registry lists be connected to, at the address that it has now",
            )
        },
        change(
            "/v1/admin/registries/servers/{id}/revoke",
            "revokeServer",
            "Take such an approval back; the server's tools go",
        ),
    ]
}

/// What is switched while it runs; for operators as well.
fn switches(schemas: &mut Schemas) -> Vec<Operation> {
    let log = schemas.written::<LogSwitches>();
    vec![
        Operation {
            problems: &[401, 403],
            ..Operation::get("/v1/admin/log", "getLog", "What is logged", log.clone())
        },
        Operation {
            method: "put",
            body: Some(schemas.read::<SwitchLog>()),
            problems: &[400, 401, 403, 409, 413, 415],
            ..Operation::get(
                "/v1/admin/log",
                "switchLog",
                "Switch what is logged, for a time or until it is switched again",
                log,
            )
        },
    ]
}

/// As does this.
fn profiles(schemas: &mut Schemas) -> Operation {
    Operation {
        problems: &[401],
        ..Operation::get(
            "/v1/admin/profiles",
            "listProfiles",
            "What each profile shows, and what of it can't be done",
            schemas.written::<ProfileList>(),
        )
    }
}

/// And this.
fn tenants(schemas: &mut Schemas) -> Operation {
    Operation {
        problems: &[401],
        ..Operation::get(
            "/v1/admin/tenants",
            "listTenants",
            "Every tenant, and how it does",
            schemas.written::<TenantList>(),
        )
    }
}

/// What is learned from use; all but the first want the token.
fn learned(schemas: &mut Schemas) -> Vec<Operation> {
    let text = json!({ "type": "string" });
    let which = || {
        vec![
            query("scope", "Only that of this profile; empty is that of no profile", &text),
            query("tool", "Only that of this tool, by its id", &text),
            query("query", "Only that of this query, as it was asked", &text),
        ]
    };
    let mut shown = which();
    shown.push(query("cursor", "next_cursor of the page before", &text));
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": http::MAX_PAGE });
    shown.push(query("limit", "Pieces in the page; without it 100", &limit));
    vec![
        Operation {
            method: "post",
            body: Some(schemas.read::<Feedback>()),
            status: "202",
            problems: &[400, 404, 409, 413, 415, 429],
            ..Operation::get(
                "/v1/feedback",
                "giveFeedback",
                "Say which tool was chosen after a query, or was wrong",
                schemas.written::<FeedbackTaken>(),
            )
        },
        Operation {
            parameters: shown,
            problems: &[400, 401, 409],
            ..Operation::get(
                "/v1/admin/learned",
                "listLearned",
                "What was learned from use",
                schemas.written::<LearnedPage>(),
            )
        },
        Operation {
            method: "delete",
            parameters: which(),
            problems: &[400, 401, 409],
            ..Operation::get(
                "/v1/admin/learned",
                "forgetLearned",
                "Erase what was learned: that which the parameters name, or all of it",
                schemas.written::<Forgotten>(),
            )
        },
    ]
}

fn ops(schemas: &mut Schemas) -> Vec<Operation> {
    let message = json!({ "type": "object", "required": ["jsonrpc"] });
    vec![
        Operation {
            method: "post",
            body: Some(message.clone()),
            problems: &[400, 406, 413, 415],
            ..Operation::get(
                "/mcp",
                "mcp",
                "Model Context Protocol, streamable HTTP: one JSON-RPC message",
                message,
            )
        },
        Operation::get(
            "/mcp/server-card",
            "getServerCard",
            "MCP server card (SEP-2127)",
            schemas.written::<ServerCard>(),
        ),
        Operation::get(
            "/.well-known/mcp",
            "getManifest",
            "Where the MCP endpoint is",
            schemas.written::<Manifest>(),
        ),
        Operation::get("/livez", "live", "The process answers", schemas.written::<Alive>()),
        Operation {
            problems: &[503],
            ..Operation::get(
                "/readyz",
                "ready",
                "There is something to search, and what of it is degraded",
                schemas.written::<Ready>(),
            )
        },
        Operation {
            also: &[503],
            ..Operation::get(
                "/health",
                "health",
                "As /readyz, in two words",
                schemas.written::<Health>(),
            )
        },
        Operation {
            kind: "text/plain",
            ..Operation::get(
                "/metrics",
                "metrics",
                "Prometheus metrics",
                json!({ "type": "string" }),
            )
        },
        Operation::get("/openapi.json", "openapi", "This document", json!({ "type": "object" })),
    ]
}

pub(super) fn query(name: &str, description: &str, schema: &Value) -> Value {
    json!({ "in": "query", "name": name, "description": description, "schema": schema })
}

pub(super) fn switch(name: &str, description: &str) -> Value {
    query(name, description, &json!({ "enum": [0, 1, false, true] }))
}

pub(super) fn many(name: &str, description: &str, required: bool) -> Value {
    json!({
        "in": "query", "name": name, "description": description, "required": required,
        "schema": { "type": "array", "items": { "type": "string" } }, "explode": true,
    })
}
