//! The operations on who may ask.
//!
//! Invariant: as in [`super::operations`].

use serde_json::json;

use super::super::admin::keys::{KeyList, KnownKey, MadeKey, MakeKey, RotateKey};
use super::super::door::challenge::{METADATA, Metadata};
use super::super::oauth::Ticket;
use super::{Operation, Schemas};

pub(super) fn operations(schemas: &mut Schemas) -> Vec<Operation> {
    let of = |what: &str| {
        let about = format!("the {what}'s id, percent-encoded");
        let text = json!({ "type": "string" });
        vec![json!({
            "in": "path", "name": "id", "required": true, "schema": text, "description": about,
        })]
    };
    let metadata = schemas.written::<Metadata>();
    let made = schemas.written::<MadeKey>();
    vec![
        Operation {
            problems: &[404],
            ..Operation::get(
                METADATA,
                "getProtectedResource",
                "Who gives access tokens for this service (RFC 9728)",
                metadata.clone(),
            )
        },
        Operation {
            parameters: vec![json!({
                "in": "path", "name": "path", "required": true, "schema": { "type": "string" },
                "description": "a path of this service, as mcp",
            })],
            problems: &[404],
            ..Operation::get(
                "/.well-known/oauth-protected-resource/{path}",
                "getProtectedResourceBelow",
                "The same, as it is asked of a path",
                metadata,
            )
        },
        Operation {
            problems: &[401, 403, 409],
            ..Operation::get(
                "/v1/admin/keys",
                "listKeys",
                "The API keys, without their secrets",
                schemas.written::<KeyList>(),
            )
        },
        Operation {
            method: "post",
            body: Some(schemas.read::<MakeKey>()),
            status: "201",
            problems: &[400, 401, 403, 409, 413, 415],
            ..Operation::get("/v1/admin/keys", "createKey", "Make an API key", made.clone())
        },
        Operation {
            method: "post",
            parameters: of("key"),
            body: Some(schemas.read::<RotateKey>()),
            problems: &[400, 401, 403, 404, 409, 413, 415],
            ..Operation::get(
                "/v1/admin/keys/{id}/rotate",
                "rotateKey",
                "Give an API key another secret; the old one counts for a while",
                made,
            )
        },
        Operation {
            method: "delete",
            parameters: of("key"),
            problems: &[401, 403, 404, 409],
            ..Operation::get(
                "/v1/admin/keys/{id}",
                "revokeKey",
                "Revoke an API key, for good",
                schemas.written::<KnownKey>(),
            )
        },
        Operation {
            method: "post",
            parameters: of("server"),
            problems: &[401, 403, 404, 503],
            ..Operation::get(
                "/v1/admin/servers/{id}/login",
                "ticketLogin",
                "An address at which a browser begins a login at a server, once",
                schemas.written::<Ticket>(),
            )
        },
    ]
}
