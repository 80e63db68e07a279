//! The operations on what was asked, and how often.
//!
//! Invariant: as in [`super::operations`].

use serde_json::json;

use super::super::activity::ActivityNow;
use super::super::limits::quota::QuotaList;
use super::{Operation, Schemas};

pub(super) fn operations(schemas: &mut Schemas) -> Vec<Operation> {
    let parameter = |name: &str, about: &str, schema: serde_json::Value| json!({ "in": "query", "name": name, "description": about, "schema": schema });
    let range = json!({ "type": "string", "enum": ["10m", "6h", "14d"], "default": "10m" });
    vec![
        Operation {
            parameters: vec![
                parameter("range", "How far back", range),
                parameter(
                    "after",
                    "last of the answer before: recent has only later queries",
                    json!({ "type": "integer", "minimum": 0 }),
                ),
            ],
            problems: &[400, 401, 403],
            ..Operation::get(
                "/v1/admin/activity",
                "getActivity",
                "What was asked, how long that took, and what was not found",
                schemas.written::<ActivityNow>(),
            )
        },
        Operation {
            problems: &[401],
            ..Operation::get(
                "/v1/admin/quotas",
                "listQuotas",
                "The calls that callers with a quota have made today (UTC)",
                schemas.written::<QuotaList>(),
            )
        },
    ]
}
