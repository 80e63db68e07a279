//! `toolscout model use`: writes into toolscout.toml which model is used.
//!
//! Invariant: the file names a model only after it was loaded as the file says, and everything
//! else in the file stays as it is.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use toml_edit::{DocumentMut, Item, Table, TableLike, Value, value};

use super::UseArgs;
use crate::cli::sources::variable;
use crate::config::{Sources, edit, encoder_places, file_of};
use crate::embed::{self, IN_BINARY};

const MODEL: &str = "TOOLSCOUT_MODEL";

/// Runs the subcommand.
pub fn run(args: &UseArgs) -> anyhow::Result<ExitCode> {
    // What the file says is what is tried; a variable that goes before it is told of below.
    let environment = |name: &str| variable(name).filter(|_| name != MODEL);
    let sources = Sources { runtime: args.runtime.clone(), ..args.place.sources() };
    let (shown, path) = file_of(&sources, &environment);
    let shown = shown.display();
    let before = match fs::read_to_string(&path) {
        Ok(text) => text.strip_prefix('\u{feff}').map_or(text.clone(), Into::into),
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("can't read {shown}")),
    };
    let said = |text: &str| Sources { text: Some(text.to_owned()), ..sources.clone() };
    let Ok(mut document) = before.parse::<DocumentMut>() else {
        // The configuration's own errors say where and what.
        encoder_places(&said(&before), &environment)?;
        bail!("{shown} is no TOML");
    };
    if document.get("embed").and_then(|embed| embed.get("endpoint")).is_some() {
        bail!(
            "{shown} takes vectors from an endpoint: remove [embed.endpoint] from it, then try \
             again"
        );
    }
    let model = written(&args.model, &sources.folder, &path);
    let was = model_of(&document);
    set(&mut document, (model != IN_BINARY).then_some(model.as_str()));
    let after = document.to_string();
    let places = encoder_places(&said(&after), &environment)?;
    if let Some(name) = places.missing {
        bail!(
            "there is no model {name:?}: fetch it with `toolscout model pull`, or name one of \
             `toolscout model list`, or the folder that it is in"
        );
    }
    let encoder = embed::load(&places.embed, 1)?;
    let mut out = anstream::stdout().lock();
    if was == model_of(&document) {
        writeln!(out, "{model} is the encoder of {shown} already")?;
    } else {
        edit::write(&path, &after, 0o666).with_context(|| format!("can't write {shown}"))?;
        let was = was.as_deref().unwrap_or(IN_BINARY);
        writeln!(
            out,
            "{shown}: the encoder is {model} ({} dimensions), and was {was}",
            encoder.dims()
        )?;
        writeln!(out, "next: restart `toolscout serve`; it embeds the tools anew where it has to")?;
    }
    if variable(MODEL).is_some_and(|model| !model.is_empty()) {
        writeln!(anstream::stderr(), "warning: {MODEL} is set, and goes before {shown}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the file is to say: a name as it is; a folder so that it is found from the file's own.
fn written(model: &str, here: &Path, file: &Path) -> String {
    let path = Path::new(model);
    let is_name = path.components().count() == 1 && !here.join(path).is_dir();
    if model == IN_BINARY || is_name || path.is_absolute() || file.parent() == Some(here) {
        return model.to_owned();
    }
    here.join(path).display().to_string()
}

fn model_of(document: &DocumentMut) -> Option<String> {
    Some(document.get("embed")?.get("model")?.as_str()?.to_owned())
}

/// Sets `embed.model`, or takes it out.
fn set(document: &mut DocumentMut, model: Option<&str>) {
    let Some(model) = model else { return unset(document) };
    if document.get("embed").is_none() {
        let mut table = Table::new();
        // What stands after the last key: the new table comes behind it.
        let before = document.trailing().as_str().unwrap_or_default().to_owned();
        let is_first = before.is_empty() && document.is_empty();
        table.decor_mut().set_prefix(if is_first { before } else { before + "\n" });
        document.set_trailing("");
        document.insert("embed", Item::Table(table));
    }
    let Some(embed) = document.get_mut("embed").and_then(Item::as_table_like_mut) else { return };
    match embed.get_mut("model").and_then(Item::as_value_mut) {
        Some(old) => {
            let decor = old.decor().clone();
            *old = Value::from(model);
            *old.decor_mut() = decor;
        }
        None => {
            embed.insert("model", value(model));
        }
    }
}

/// Takes `embed.model` out. Comments before it stay where they are, and so does all else but a
/// table that [`set`] made.
fn unset(document: &mut DocumentMut) {
    let last = document.iter().last().map(|(key, _)| key.to_owned());
    let Some(item) = document.get_mut("embed") else { return };
    let Some(embed) = item.as_table_like_mut() else { return };
    let comment = comment_before(embed, "model");
    let next = following(embed, "model");
    if embed.remove("model").is_none() {
        return;
    }
    if let Some(comment) = comment {
        match next.and_then(|next| embed.key_mut(&next)) {
            Some(mut next) => {
                let after = prefix_of(next.leaf_decor()).to_owned();
                next.leaf_decor_mut().set_prefix(comment + &after);
                return;
            }
            // Nothing follows that it could stand before: it stays behind what was before it.
            None => keep_behind(item, comment.trim_end()),
        }
        return;
    }
    let Some(table) = item.as_table().filter(|table| table.is_empty() && !table.is_dotted()) else {
        return;
    };
    if last.as_deref() == Some("embed")
        && table.decor().suffix().is_none_or(|s| s.as_str() == Some(""))
    {
        let before = prefix_of(table.decor()).to_owned();
        let trailing = document.trailing().as_str().unwrap_or_default().to_owned();
        document.remove("embed");
        document.set_trailing(before.strip_suffix('\n').unwrap_or(&before).to_owned() + &trailing);
    }
}

fn prefix_of(decor: &toml_edit::Decor) -> &str {
    decor.prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default()
}

fn comment_before(table: &dyn TableLike, key: &str) -> Option<String> {
    let prefix = prefix_of(table.key(key)?.leaf_decor());
    prefix.contains('#').then(|| prefix.to_owned())
}

fn following(table: &dyn TableLike, key: &str) -> Option<String> {
    let mut keys = table.iter().filter(|(_, item)| item.is_value()).map(|(key, _)| key);
    keys.find(|name| *name == key)?;
    keys.next().map(str::to_owned)
}

/// Puts a comment behind the last value of a table, or behind its head.
fn keep_behind(item: &mut Item, comment: &str) {
    let Some(table) = item.as_table_mut() else { return };
    let last = table.iter().filter(|(_, item)| item.is_value()).last();
    let last = last.map(|(key, _)| key.to_owned());
    let value = last.and_then(|last| table.get_mut(&last)?.as_value_mut());
    let decor = match value {
        Some(value) => value.decor_mut(),
        None => table.decor_mut(),
    };
    let suffix = decor.suffix().and_then(|suffix| suffix.as_str()).unwrap_or_default();
    decor.set_suffix(format!("{suffix}\n{comment}"));
}
