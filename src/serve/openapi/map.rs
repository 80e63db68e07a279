//! The operations of the picture of the catalog.
//!
//! Invariant: as of its siblings, a parameter that is not here is refused by the route.

use serde_json::json;

use super::super::map::{Map, MapPlace};
use super::operations::query;
use super::{Operation, Schemas};

pub(super) fn operations(schemas: &mut Schemas) -> Vec<Operation> {
    vec![
        Operation {
            also: &[202],
            problems: &[400, 503],
            ..Operation::get(
                "/v1/map",
                "getMap",
                "The catalog as a picture: a point for each tool that has a vector",
                schemas.written::<Map<'_>>(),
            )
        },
        Operation {
            parameters: vec![query("q", "What a tool should do", &json!({ "type": "string" }))],
            problems: &[400, 503],
            ..Operation::get(
                "/v1/map/query",
                "placeQuery",
                "Where a query stands in the picture",
                schemas.written::<MapPlace>(),
            )
        },
    ]
}
