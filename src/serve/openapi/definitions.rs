//! What is told of definitions and of the catalog's changes, as operations.
//!
//! Invariant: as of all operations.

use serde_json::json;

use super::super::events::AnyEvent;
use super::super::http;
use super::super::trust::{ChangePage, FindingPage};
use super::operations::{many, query};
use super::{Operation, Schemas};

/// What operators are told of definitions, and everybody of what is published.
pub(super) fn operations(schemas: &mut Schemas) -> Vec<Operation> {
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": http::MAX_PAGE });
    vec![
        Operation {
            parameters: vec![
                query(
                    "since",
                    "Only events after this number; without it from the oldest that is kept",
                    &json!({ "type": "integer", "minimum": 0 }),
                ),
                many("server", "Only what happened to this server; repeatable", false),
                query("limit", "Events in the page; without it 100", &limit),
            ],
            problems: &[400],
            ..Operation::get(
                "/v1/changes",
                "listChanges",
                "What happened to definitions, oldest first",
                schemas.written::<ChangePage>(),
            )
        },
        Operation {
            parameters: vec![
                many("server", "Only tools of this server; repeatable", false),
                many("rule", "Only findings of this rule; repeatable", false),
                many("level", "Only findings of this level: note, warn, quarantine", false),
                query("cursor", "next_cursor of the page before", &json!({ "type": "string" })),
                query("limit", "Tools in the page; without it 100", &limit),
            ],
            problems: &[400],
            ..Operation::get(
                "/v1/findings",
                "listFindings",
                "What is odd in definitions, served or held, by tool",
                schemas.written::<FindingPage>(),
            )
        },
        Operation {
            kind: "text/event-stream",
            problems: &[400, 406, 429],
            ..Operation::get(
                "/v1/events",
                "followEvents",
                "Server-sent events: first `state`, then `generation` for each that is published and \
                    `servers` where their states change",
                schemas.written::<AnyEvent<'_>>(),
            )
        },
    ]
}
