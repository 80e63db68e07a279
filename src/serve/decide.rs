//! `/v1/admin/pending`, and an operator's word on what waits.
//!
//! Invariant: what is approved is what was looked at: with a hash, another definition is refused.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::admin::Admin;
use super::http::{Params, json};
use super::problem::Problem;
use super::trust::{HeldDefinition, held};
use crate::catalog::Catalog;
use crate::live::trusted::Known;
use crate::tool::{ContentHash, ServerId, ToolId};
use crate::trust::decide::{Choice, DecisionError, Word};
use crate::trust::history::Entry;

/// Everything that is held.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PendingList {
    /// Ordered by the tools' ids.
    pub pending: Vec<Pending>,
}

/// A definition that is held.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Pending {
    /// `server/name`.
    pub id: String,
    /// The server that offers it.
    pub server: String,
    /// The tool's name at that server.
    pub name: String,
    /// Its hash, why it is held, what changed, what was found in it.
    pub held: HeldDefinition,
    /// The definition's bytes, as text: it may be JSON that not every reader takes.
    pub definition: String,
    /// Those of the definition that is served meanwhile, if there is one.
    pub served: Option<String>,
}

/// What is decided on.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decide {
    /// Which tools; absent: all of the server that wait.
    #[serde(default)]
    pub tools: Option<Vec<DecidedTool>>,
}

/// A tool that is decided on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecidedTool {
    /// Its name at its server.
    pub name: String,
    /// The hash of the definition that was looked at; with another one nothing is done.
    #[serde(default)]
    pub hash: Option<String>,
}

/// What was decided.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DecidedList {
    /// The server's id.
    pub id: String,
    /// What was done, in a word.
    pub done: &'static str,
    /// The hashes of the definitions, by the tools' ids.
    pub tools: BTreeMap<String, String>,
}

/// `GET /v1/admin/pending`
pub async fn pending(
    State(admin): State<Admin>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let params = Params::parse(query.as_deref(), &["server"])?;
    let servers: Vec<String> = params.all("server");
    let known = admin.live.known();
    let catalog = admin.live.catalog();
    let mut pending: Vec<Pending> = known
        .book
        .offered()
        .filter(|(server, ..)| servers.is_empty() || servers.iter().any(|s| s == server.as_str()))
        .filter_map(|(server, name, entry)| one(&known, &catalog, server, name, entry))
        .collect();
    pending.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(json(&PendingList { pending }))
}

fn one(
    known: &Known,
    catalog: &Catalog,
    server: &ServerId,
    name: &str,
    entry: &Entry,
) -> Option<Pending> {
    let waits = entry.held.as_ref()?;
    let id = ToolId::join(server, name);
    Some(Pending {
        held: held(known, server.as_str(), name, waits),
        definition: waits.definition.clone(),
        served: catalog.get(id.as_str()).map(|tool| tool.definition.get().to_owned()),
        id: id.to_string(),
        server: server.to_string(),
        name: name.to_owned(),
    })
}

/// `POST /v1/admin/servers/{id}/approve`
pub async fn approve(
    State(admin): State<Admin>,
    path: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    decide(admin, Word::Approve, path, body).await
}

/// `POST /v1/admin/servers/{id}/reject`
pub async fn reject(
    State(admin): State<Admin>,
    path: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    decide(admin, Word::Reject, path, body).await
}

async fn decide(
    admin: Admin,
    word: Word,
    path: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let (Path(id), body) = (path?, body?);
    let asked: Decide = if body.is_empty() {
        Decide::default()
    } else {
        serde_json::from_slice(&body)
            .map_err(|error| Problem::invalid(format!("the body is no decision: {error}")))?
    };
    let choice = |tool: DecidedTool| {
        let hash = match tool.hash.as_deref().map(ContentHash::from_hex) {
            Some(None) => return Err(Problem::invalid("hash: it has 64 hexadecimal digits")),
            hash => hash.flatten(),
        };
        Ok(Choice { name: tool.name, hash })
    };
    let choices = asked
        .tools
        .map(|tools| tools.into_iter().map(choice).collect::<Result<Vec<_>, _>>())
        .transpose()?;
    let decided = admin.live.decide(word, id.as_str().into(), choices).await;
    let events = decided.ok_or_else(Problem::internal)?.map_err(Problem::from)?;
    let tools = events
        .iter()
        .filter_map(|event| Some((event.tool.clone()?, ContentHash(event.new?).hex())));
    let done = match word {
        Word::Approve => "approved",
        Word::Reject => "rejected",
    };
    Ok(json(&DecidedList { id, done, tools: tools.collect() }))
}

impl From<DecisionError> for Problem {
    fn from(error: DecisionError) -> Self {
        let (status, code) = match &error {
            DecisionError::NoServer(_) => (StatusCode::NOT_FOUND, "unknown-server"),
            DecisionError::NothingWaits(_) => (StatusCode::NOT_FOUND, "nothing-waits"),
            DecisionError::Changed { .. } => (StatusCode::CONFLICT, "definition-changed"),
            DecisionError::NotKept => (StatusCode::INTERNAL_SERVER_ERROR, "not-kept"),
        };
        Self::new(status, code, error.to_string())
    }
}
