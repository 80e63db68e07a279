//! MCP's conformance suite against the MCP endpoint, in the versions that it has checks for.
//! `tests/conformance/expected-failures.yml` says which must fail, and why: one of them that
//! passes is an error too.

use tokio::process::Command;

use crate::support::app::TestApp;
use crate::support::peers;

/// Versions and the fewest checks that pass. (The suite has none for 2024-11-05, and for
/// 2025-03-26 one, about sessions, which toolscout has none of; `serve_mcp.rs` speaks both.)
const VERSIONS: [(&str, usize); 3] =
    [("2025-06-18", 30), ("2025-11-25", 35), ("2026-07-28", 85)];

#[tokio::test]
async fn the_conformance_suite_passes_but_for_what_is_expected_to_fail() {
    let Some(suite) = peers::folder("conformance", &["node_modules"]) else { return };
    let app = TestApp::start().await;
    for (version, fewest) in VERSIONS {
        let output = Command::new(peers::node(&suite))
            .arg(suite.join("node_modules/@modelcontextprotocol/conformance/dist/index.js"))
            .args(["server", "--suite", "all", "--spec-version", version, "--url"])
            .arg(app.url("/mcp"))
            .arg("--expected-failures")
            .arg(suite.join("expected-failures.yml"))
            .env("NO_PROXY", "127.0.0.1")
            .kill_on_drop(true)
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{version}: {said}{errors}");
        let passed = said.lines().find_map(|line| line.strip_prefix("Total: ")).unwrap();
        let passed = passed.split(' ').next().unwrap().parse::<usize>().unwrap();
        assert!(passed >= fewest, "{version}: only {passed} passed");
    }
}
