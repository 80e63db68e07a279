//! The operations on evaluations.
//!
//! Invariant: as in [`super::operations`].

use serde_json::{Value, json};

use super::super::admin::Done;
use super::super::admin::evals::{EvalList, NewEval, PATH, QueryFileList};
use super::operations::query;
use super::{Operation, Schemas};
use crate::eval::Metric;
use crate::quality::{Compared, Shown, Status};

pub(super) fn operations(schemas: &mut Schemas) -> Vec<Operation> {
    let id = || -> Vec<Value> {
        vec![json!({
            "in": "path", "name": "id", "required": true, "schema": { "type": "string" },
            "description": "the evaluation's id",
        })]
    };
    let mut of_two = id();
    let mut baseline =
        query("baseline", "The id of what is compared with", &json!({ "type": "string" }));
    baseline["required"] = true.into();
    let names = json!({ "enum": Metric::ALL.map(Metric::name) });
    of_two.push(baseline);
    of_two.push(query("metric", "Tell the queries that moved by this one; without it R@5", &names));
    vec![
        Operation {
            problems: &[401, 403],
            ..Operation::get(
                PATH,
                "listEvals",
                "Evaluations that wait, are at work, or are done",
                schemas.written::<EvalList>(),
            )
        },
        Operation {
            method: "post",
            body: Some(schemas.read::<NewEval>()),
            status: "202",
            problems: &[400, 401, 403, 404, 413, 415, 429, 503],
            ..Operation::get(
                PATH,
                "beginEval",
                "Score the search on labelled queries, in the background",
                schemas.written::<Status>(),
            )
        },
        Operation {
            problems: &[401, 403],
            ..Operation::get(
                "/v1/admin/evals/files",
                "listQueryFiles",
                "Query files that are offered: the demo's, and those in the data folder",
                schemas.written::<QueryFileList>(),
            )
        },
        Operation {
            parameters: id(),
            problems: &[401, 403, 404],
            ..Operation::get(
                "/v1/admin/evals/{id}",
                "getEval",
                "One evaluation: how far it is, or all that came of it",
                schemas.written::<Shown>(),
            )
        },
        Operation {
            method: "delete",
            parameters: id(),
            problems: &[401, 403, 404],
            ..Operation::get(
                "/v1/admin/evals/{id}",
                "removeEval",
                "Cancel an evaluation, or forget what came of it",
                schemas.written::<Done>(),
            )
        },
        Operation {
            parameters: of_two,
            problems: &[400, 401, 403, 404, 409, 503],
            ..Operation::get(
                "/v1/admin/evals/{id}/compare",
                "compareEvals",
                "How an evaluation differs from another one, query by query",
                schemas.written::<Compared>(),
            )
        },
    ]
}
