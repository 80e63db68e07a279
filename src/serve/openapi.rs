//! The OpenAPI document: a table of operations, over the schemas of the types that are served.
//!
//! Invariant: every route of the router is in the table (a test compares them), and a body is
//! described by the type it is written from.

mod activity;
mod console;
mod definitions;
mod evals;
mod finding;
mod keys;
mod map;
mod operations;

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use self::operations::operations;
use super::http;
use super::problem::ProblemBody;
use super::scope;

/// `GET /openapi.json`
pub async fn serve() -> Response {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(document);
    http::json(&*DOCUMENT).into_response()
}

struct Schemas {
    written: SchemaGenerator,
    read: SchemaGenerator,
}

impl Schemas {
    fn written<T: JsonSchema>(&mut self) -> Value {
        self.written.subschema_for::<T>().to_value()
    }

    fn read<T: JsonSchema>(&mut self) -> Value {
        self.read.subschema_for::<T>().to_value()
    }
}

fn settings() -> SchemaSettings {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    settings
}

/// The whole document.
pub fn document() -> Value {
    let mut schemas = Schemas {
        written: settings().for_serialize().into_generator(),
        read: settings().into_generator(),
    };
    let problem = schemas.written::<ProblemBody<'_>>();
    let mut paths = Map::new();
    for operation in operations(&mut schemas) {
        let (path, method) = (operation.path, operation.method);
        let mut described = operation.describe(&problem);
        if path == "/mcp" {
            also_of_mcp(&mut described);
        }
        let mut add = |path: String, described: Value| {
            let path = paths.entry(path).or_insert_with(|| Value::Object(Map::new()));
            path[method] = described;
        };
        if SCOPED.contains(&path) {
            add(format!("{}{path}", scope::PREFIX), of_profile(&mut described, &problem));
        }
        add(path.to_owned(), described);
    }
    let mut components = schemas.written.take_definitions(true);
    components.extend(schemas.read.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "toolscout",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The few tools that fit a query, out of all the tools of all of a \
                team's MCP servers.",
            "license": { "name": "Apache-2.0 OR MIT" },
        },
        "paths": paths,
        "components": { "schemas": components },
    })
}

/// The operations that a profile has as well.
const SCOPED: [&str; 15] = [
    "/v1/search",
    "/v1/select",
    "/v1/anthropic/tools",
    "/v1/openai/tools",
    "/v1/call",
    "/v1/feedback",
    "/v1/tools",
    "/v1/tools/{id}",
    "/v1/servers",
    "/v1/map",
    "/v1/map/query",
    "/v1/status",
    "/v1/events",
    "/mcp",
    "/mcp/server-card",
];

/// MCP answers in more ways than the others: to notifications with nothing, to requests with a stream
/// where there is progress to tell of, and it refuses messages by messages.
fn also_of_mcp(operation: &mut Value) {
    let responses = &mut operation["responses"];
    let message = responses["200"]["content"]["application/json"].clone();
    responses["200"]["content"]["text/event-stream"] = json!({ "schema": { "type": "string" } });
    responses["202"] = json!({ "description": "Noted" });
    responses["400"]["description"] = "Bad Request".into();
    responses["404"]["description"] = "Not Found".into();
    for status in ["400", "404", "default"] {
        responses[status]["content"]["application/json"] = message.clone();
    }
}

/// The operation below a profile's path; adds to itself the parameter that says the same.
fn of_profile(operation: &mut Value, problem: &Value) -> Value {
    let parameter = |place: &str, required: bool| {
        json!({
            "in": place, "name": scope::PROFILE, "required": required,
            "description": "The profile whose view is shown", "schema": { "type": "string" },
        })
    };
    let refused = &mut operation["responses"]["404"];
    refused["description"] = "Not Found".into();
    refused["content"]["application/problem+json"] = json!({ "schema": problem });
    let mut below = operation.clone();
    let id = format!("{}OfProfile", operation["operationId"].as_str().unwrap_or_default());
    below["operationId"] = id.into();
    for (operation, parameter) in
        [(operation, parameter("query", false)), (&mut below, parameter("path", true))]
    {
        if let Some(parameters) = operation["parameters"].as_array_mut() {
            parameters.push(parameter);
        }
    }
    below
}

struct Operation {
    path: &'static str,
    method: &'static str,
    id: &'static str,
    summary: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    status: &'static str,
    kind: &'static str,
    answer: Value,
    /// Other statuses with the same body.
    also: &'static [u16],
    problems: &'static [u16],
}

impl Operation {
    fn get(path: &'static str, id: &'static str, summary: &'static str, answer: Value) -> Self {
        Self {
            path,
            method: "get",
            id,
            summary,
            parameters: Vec::new(),
            body: None,
            status: "200",
            kind: "application/json",
            answer,
            also: &[],
            problems: &[],
        }
    }

    fn describe(self, problem: &Value) -> Value {
        let mut responses = Map::new();
        responses.insert(self.status.into(), response("Answered", self.kind, &self.answer));
        for status in self.also {
            let answered = response(in_words(*status), self.kind, &self.answer);
            responses.insert(status.to_string(), answered);
        }
        for status in self.problems {
            let refused = response(in_words(*status), "application/problem+json", problem);
            responses.insert(status.to_string(), refused);
        }
        responses
            .insert("default".into(), response("Refused", "application/problem+json", problem));
        let mut operation = json!({
            "operationId": self.id,
            "summary": self.summary,
            "parameters": self.parameters,
            "responses": responses,
        });
        if let Some(schema) = self.body {
            operation["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
        }
        operation
    }
}

fn in_words(status: u16) -> &'static str {
    let status = axum::http::StatusCode::from_u16(status).ok();
    status.and_then(|status| status.canonical_reason()).unwrap_or("Error")
}

fn response(description: &str, kind: &str, schema: &Value) -> Value {
    json!({ "description": description, "content": { kind: { "schema": schema } } })
}
