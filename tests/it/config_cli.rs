//! The frame of the command line: help, version, examples, completions and exit codes.

use crate::config_check::toolscout;

/// Exit code, stdout and stderr.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let output = toolscout(folder.path()).args(arguments).output().unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn the_example_is_a_configuration() {
    let (code, example, _) = run(&["config", "example"]);
    assert_eq!(code, 0);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("toolscout.toml"), example).unwrap();
    let output = toolscout(folder.path()).args(["config", "check"]).output();
    assert!(output.unwrap().status.success());
}

#[test]
fn every_subcommand_has_help_with_an_example() {
    for subcommand in [
        &["serve"][..],
        &["crawl"],
        &["search"],
        &["eval"],
        &["completions"],
        &["add"],
        &["registry", "search"],
        &["registry", "add"],
        &["registry", "pending"],
        &["registry", "approve"],
        &["registry", "revoke"],
        &["import"],
        &["lint"],
        &["model", "list"],
        &["model", "pull"],
        &["model", "use"],
        &["model", "texts"],
    ] {
        let (code, help, _) = run(&[subcommand, &["--help"]].concat());
        assert_eq!(code, 0, "{subcommand:?}");
        assert!(help.contains("Example"), "{help}");
    }
    let (_, help, _) = run(&["--help"]);
    assert!(!help.contains("demo-server"), "{help}");
}

#[test]
fn the_version_is_the_packages() {
    let (code, version, _) = run(&["--version"]);
    assert_eq!(code, 0);
    assert_eq!(version.trim(), concat!("toolscout ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_come_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, script, _) = run(&["completions", shell]);
        assert_eq!(code, 0, "{shell}");
        assert!(script.contains("mcp-config"), "{shell}");
    }
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    for wrong in [
        &["serve", "--listen", "localhost"][..],
        &["search"],
        &["search", "--limit", "0", "x"],
        &["search", "--limit", "51", "x"],
        &["search", "--url", "http://127.0.0.1:1", "--demo", "x"],
        &["eval", "--catalog", "a.jsonl"],
        &["config"],
        &["model"],
        &["model", "pull"],
        &["model", "pull", "bge-small"],
        &["model", "pull", "a/../b"],
        &["model", "pull", "a/b", "--file", "../model.onnx"],
        &["model", "pull", "minilm", "--as", "other"],
        &["model", "use"],
        &["crawl", "--servers", "a.jsonl"],
        &["nonsense"],
    ] {
        let (code, _, complaints) = run(wrong);
        assert_eq!(code, 2, "{wrong:?}: {complaints}");
    }
}

#[test]
fn a_wrong_configuration_exits_with_2() {
    for subcommand in [&["serve"][..], &["crawl"], &["search", "x"]] {
        let arguments = [subcommand, &["--config", "none.toml"]].concat();
        let (code, _, complaints) = run(&arguments);
        assert_eq!(code, 2, "{arguments:?}: {complaints}");
        assert!(complaints.starts_with("error: none.toml: can't be read"), "{complaints}");
    }
}
