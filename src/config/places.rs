//! Where MCP clients keep their lists of servers, on each system.
//!
//! Invariant: nothing is opened here; a place may well be empty.

use std::path::{Path, PathBuf};

use super::Environment;
use super::load::set;

/// A file that a client may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFile {
    /// The client.
    pub client: &'static str,
    /// The file.
    pub path: PathBuf,
}

/// The usual places of the user, then those of the project in `folder`. `system` is one of
/// [`std::env::consts::OS`].
pub fn usual_places(system: &str, folder: &Path, environment: &Environment<'_>) -> Vec<ClientFile> {
    let mut all = Vec::new();
    let home = set(environment, "HOME").or_else(|| set(environment, "USERPROFILE"));
    if let Some(home) = home {
        all.extend(of_user(system, &home, environment));
    }
    let in_project = [
        ("Claude Code", ".mcp.json"),
        ("Cursor", ".cursor/mcp.json"),
        ("VS Code", ".vscode/mcp.json"),
        ("Gemini CLI", ".gemini/settings.json"),
        ("Codex", ".codex/config.toml"),
        ("OpenCode", "opencode.json"),
        ("OpenCode", "opencode.jsonc"),
    ];
    all.extend(in_project.map(|(client, path)| ClientFile { client, path: folder.join(path) }));
    // In the home folder itself both are the same.
    let mut seen = Vec::new();
    all.retain(|file| {
        let fresh = !seen.contains(&file.path);
        seen.push(file.path.clone());
        fresh
    });
    all
}

fn of_user(system: &str, home: &Path, environment: &Environment<'_>) -> Vec<ClientFile> {
    let config = set(environment, "XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
    let roaming = set(environment, "APPDATA").unwrap_or_else(|| home.join("AppData/Roaming"));
    // Where programs with windows keep what is theirs.
    let apps = match system {
        "macos" => home.join("Library/Application Support"),
        "windows" => roaming.clone(),
        _ => config.clone(),
    };
    let goose = match system {
        "windows" => roaming.join("Block/goose/config/config.yaml"),
        _ => config.join("goose/config.yaml"),
    };
    let claude = set(environment, "CLAUDE_CONFIG_DIR").unwrap_or_else(|| home.to_owned());
    let codex = set(environment, "CODEX_HOME").unwrap_or_else(|| home.join(".codex"));
    let files = [
        ("Claude Code", claude.join(".claude.json")),
        ("Claude Desktop", apps.join("Claude/claude_desktop_config.json")),
        ("Cursor", home.join(".cursor/mcp.json")),
        ("VS Code", apps.join("Code/User/mcp.json")),
        ("VS Code", apps.join("Code/User/settings.json")),
        ("VS Code Insiders", apps.join("Code - Insiders/User/mcp.json")),
        ("VSCodium", apps.join("VSCodium/User/mcp.json")),
        ("Windsurf", home.join(".codeium/windsurf/mcp_config.json")),
        ("Gemini CLI", home.join(".gemini/settings.json")),
        ("Codex", codex.join("config.toml")),
        ("OpenCode", config.join("opencode/opencode.json")),
        ("OpenCode", config.join("opencode/opencode.jsonc")),
        ("Goose", goose),
    ];
    files.map(|(client, path)| ClientFile { client, path }).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(system: &str, variables: &[(&str, &str)]) -> Vec<String> {
        let environment = |name: &str| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        let all = usual_places(system, Path::new("/p"), &environment);
        all.into_iter().map(|file| format!("{}: {}", file.client, file.path.display())).collect()
    }

    #[test]
    fn each_system_has_its_folders() {
        let has = |system: &str, variables: &[(&str, &str)], expected: &[&str]| {
            let places = places(system, variables);
            for place in expected {
                assert!(places.iter().any(|other| other == place), "{place}: {places:#?}");
            }
        };
        has(
            "linux",
            &[("HOME", "/h")],
            &[
                "Claude Code: /h/.claude.json",
                "Claude Desktop: /h/.config/Claude/claude_desktop_config.json",
                "VS Code: /h/.config/Code/User/mcp.json",
                "Windsurf: /h/.codeium/windsurf/mcp_config.json",
                "Codex: /h/.codex/config.toml",
                "OpenCode: /h/.config/opencode/opencode.jsonc",
                "Goose: /h/.config/goose/config.yaml",
                "Claude Code: /p/.mcp.json",
                "VS Code: /p/.vscode/mcp.json",
            ],
        );
        has(
            "macos",
            &[("HOME", "/h")],
            &[
                "Claude Desktop: /h/Library/Application Support/Claude/claude_desktop_config.json",
                "VS Code: /h/Library/Application Support/Code/User/mcp.json",
                "Goose: /h/.config/goose/config.yaml",
            ],
        );
        has(
            "windows",
            &[("USERPROFILE", "/u"), ("APPDATA", "/u/r")],
            &[
                "Claude Desktop: /u/r/Claude/claude_desktop_config.json",
                "Goose: /u/r/Block/goose/config/config.yaml",
                "Cursor: /u/.cursor/mcp.json",
            ],
        );
        let moved = [
            ("HOME", "/h"),
            ("XDG_CONFIG_HOME", "/x"),
            ("CODEX_HOME", "/c"),
            ("CLAUDE_CONFIG_DIR", "/d"),
        ];
        let expected = [
            "Goose: /x/goose/config.yaml",
            "Codex: /c/config.toml",
            "Claude Code: /d/.claude.json",
        ];
        has("linux", &moved, &expected);
    }

    #[test]
    fn without_a_home_only_the_project_is_looked_through() {
        let places = places("linux", &[("HOME", "")]);
        assert!(places.iter().all(|place| place.contains(": /p/")), "{places:?}");
        // The project in the home folder is not looked through twice.
        let at_home = usual_places("linux", Path::new("/p"), &|name| {
            (name == "HOME").then(|| "/p".to_owned())
        });
        let cursor = at_home.iter().filter(|file| file.client == "Cursor").count();
        assert_eq!(cursor, 1);
    }
}
