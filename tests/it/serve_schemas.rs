//! Schemathesis reads `/openapi.json` of the real binary and asks whatever comes to its mind: nothing
//! fails, and every answer has a status, a content type and a body that the document tells of.

use std::path::Path;

use tokio::process::Command;

use crate::support::peers;
use crate::support::service::{Service, configure};

/// Not its judgements on what is to be refused: a parameter that is odd may well mean nothing.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance";

async fn asked(phases: &str, examples: &str) {
    let Some(tests) = peers::folder("schemas", &[".venv"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let text =
        "[call]\nenabled = true\nallow = \"all\"\n[learn]\nenabled = true\n[profiles.reader]\n";
    configure(folder.path(), text);
    let service = Service::start(folder.path(), &["--demo"]).await;
    service.until_ready().await;
    let token = std::fs::read_to_string(folder.path().join("data/admin.token")).unwrap();
    let ran = Command::new(tests.join(".venv/bin/st"))
        .args(["--config-file", "schemathesis.toml", "run", "--checks", CHECKS])
        .args(["--phases", phases, "--max-examples", examples, "--generation-deterministic"])
        .args(["--header", &format!("Authorization: Bearer {}", token.trim())])
        // What clients of MCP say that they take.
        .args(["--header", "Accept: application/json, text/event-stream"])
        // Which have no end: serve_openapi.rs.
        .args(["--exclude-path-regex", "/v1/events$"])
        .args(["--continue-on-failure", "--no-color", "--warnings", "off"])
        .args(["--suppress-health-check", "all", "--request-timeout", "30"])
        .arg(format!("{}/openapi.json", service.url))
        .current_dir(&tests)
        .env("NO_PROXY", "127.0.0.1")
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    let summary = said.lines().find(|line| line.contains("generated"));
    eprintln!("schemathesis: {}", summary.unwrap_or_default().trim());
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(summary.is_some(), "nothing was asked: {said}");
    assert!(Path::new(&format!("/proc/{}", service.pid())).exists());
    assert!(!service.log().contains("panicked"), "{}", service.log());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_asked_is_answered_as_the_document_says() {
    asked("coverage,fuzzing", "15").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: scripts/test-long.sh"]
async fn long_whatever_is_asked_is_answered_as_the_document_says() {
    asked("coverage,fuzzing,stateful", "300").await;
}
