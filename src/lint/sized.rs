//! Definitions that take much of a model's context.

use super::{Finding, Rule, Settings};
use crate::tool::{Members, Tool};

/// What is too large about a tool.
pub(super) fn check<'a>(
    tool: &'a Tool,
    settings: &'a Settings,
) -> impl Iterator<Item = Finding> + use<'a> {
    let members = Members::of(&tool.definition);
    let schema = members.as_ref().and_then(|members| members.get("inputSchema"));
    let parts = [
        (Rule::LargeDefinition, "definition", tool.definition.get().len(), settings.max_definition),
        (
            Rule::LargeSchema,
            "input schema",
            schema.map_or(0, |schema| schema.get().len()),
            settings.max_schema,
        ),
    ];
    parts.into_iter().filter(|(_, _, bytes, most)| bytes > most).map(|(rule, what, bytes, most)| {
        settings.finding(rule, &tool.id, format!("its {what} has {bytes} bytes, more than {most}"))
    })
}
