//! What editors fill in: `${input:x}` becomes `${X}`, folders become their paths.
//!
//! Invariant: what `${VAR}` and `${env:VAR}` mean is left to [`expand`](super::super::expand).

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::super::raw::RawServer;
use super::super::secret;

/// What stands for the references of one file.
pub(super) struct Variables {
    /// By the id of an input, what is written instead.
    inputs: BTreeMap<String, String>,
    /// The folder of the project.
    workspace: String,
}

impl Variables {
    /// Those of a file at `path` that asks for `inputs`.
    pub fn of(inputs: Option<&Value>, path: &Path) -> Self {
        let workspace = workspace(path);
        let text = |input: &Value, key: &str| input.get(key)?.as_str().map(str::to_owned);
        let named = inputs.and_then(Value::as_array).into_iter().flatten().filter_map(|input| {
            let id = text(input, "id")?;
            let secret = input.get("password") == Some(&Value::Bool(true));
            let default = text(input, "default").filter(|text| !secret && !text.contains('}'));
            let name = variable(&id);
            let reference = match default {
                Some(default) => format!("${{{name}:-{default}}}"),
                None => format!("${{{name}}}"),
            };
            Some((id, reference))
        });
        Self { inputs: named.collect(), workspace: workspace.display().to_string() }
    }

    /// Writes out the references of an entry.
    pub fn fill(&self, server: &mut RawServer) {
        // What a program is started with may name the variables that it is given.
        if let (Some(args), Some(env)) = (&mut server.args, &server.env) {
            for text in args.iter_mut().filter(|text| text.contains("${")) {
                for (name, value) in env {
                    *text = text.replace(&format!("${{{name}}}"), value);
                }
            }
        }
        for (_, text) in server.strings() {
            if text.contains("${") {
                *text = self.filled(text);
            }
        }
    }

    fn filled(&self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((reference, behind)) = after.split_once('}') else { break };
            filled.push_str(before);
            if let Some(instead) = self.instead(reference) {
                filled.push_str(&instead);
            } else {
                filled.extend(["${", reference, "}"]);
            }
            rest = behind;
        }
        filled + rest
    }

    fn instead(&self, reference: &str) -> Option<String> {
        if let Some(id) = reference.strip_prefix("input:") {
            let named = self.inputs.get(id).cloned();
            return Some(named.unwrap_or_else(|| format!("${{{}}}", variable(id))));
        }
        let name = Path::new(&self.workspace).file_name();
        match reference {
            "workspaceFolder" | "workspaceRoot" => Some(self.workspace.clone()),
            "workspaceFolderBasename" => Some(name?.to_string_lossy().into_owned()),
            "userHome" => Some("${HOME}".into()),
            "pathSeparator" | "/" => Some(std::path::MAIN_SEPARATOR_STR.into()),
            _ => None,
        }
    }
}

/// The folder that a file is about: `.vscode/mcp.json` is about the one around its own.
fn workspace(path: &Path) -> &Path {
    let folder = path.parent().unwrap_or(Path::new(""));
    let hidden = folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    if hidden { folder.parent().unwrap_or(folder) } else { folder }
}

/// The project whose file it is, if it is one's.
pub(super) fn project_of(path: &Path) -> Option<String> {
    let in_folder = path.parent().and_then(Path::file_name).is_some_and(|name| name == ".vscode");
    let is_projects = in_folder || path.file_name().is_some_and(|name| name == ".mcp.json");
    is_projects.then(|| workspace(path).display().to_string())
}

/// The name of a variable made of other words: `github-token` gives `GITHUB_TOKEN`.
pub(in crate::config) fn variable(text: &str) -> String {
    let words = secret::words(text);
    let name = words
        .iter()
        .map(|word| word.to_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
    let name = name.collect::<Vec<_>>().join("_");
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if starts { name } else { format!("VAR_{name}") }
}
