//! Descriptions that are missing or say nothing.

use super::{Finding, Rule, Settings};
use crate::text::{name_key, words};
use crate::tool::Tool;

/// So many names are written out.
const SHOWN: usize = 5;

/// What is wrong with the descriptions of a tool.
pub(super) fn check<'a>(
    tool: &'a Tool,
    settings: &'a Settings,
) -> impl Iterator<Item = Finding> + use<'a> {
    let view = tool.view();
    let description = view.description.as_deref().unwrap_or_default();
    let found = |rule, message| settings.finding(rule, &tool.id, message);
    let key = name_key(description);
    let title = view.title.as_deref().map(name_key);
    let count = words(description).len();
    let own = if key.is_empty() {
        Some(found(Rule::NoDescription, "it has no description".to_owned()))
    } else if key == name_key(&tool.name) {
        Some(found(Rule::NoDescription, "its description is its name".to_owned()))
    } else if title.is_some_and(|title| title == key) {
        Some(found(Rule::NoDescription, "its description is its title".to_owned()))
    } else if count < settings.min_words {
        let message =
            format!("its description has {count} words, fewer than {}", settings.min_words);
        Some(found(Rule::ShortDescription, message))
    } else {
        None
    };
    let is_blank = |text: Option<&str>| text.is_none_or(|text| name_key(text).is_empty());
    let bare = view.params.iter().filter(|param| is_blank(param.description.as_deref()));
    let bare: Vec<&str> = bare.map(|param| &*param.name).collect();
    let params = (!bare.is_empty()).then(|| {
        let more = if bare.len() > SHOWN { ", …" } else { "" };
        let names = bare.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
        let of = view.params.len();
        let message =
            format!("{} of {of} parameters have no description: {names}{more}", bare.len());
        found(Rule::UndescribedParameters, message)
    });
    own.into_iter().chain(params)
}
