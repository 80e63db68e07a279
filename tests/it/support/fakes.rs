//! The stand-in for the model APIs (`tests/hosts/fakes.py`), and the examples run against it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::crawling::PATIENCE;
use super::peers;

/// The running stand-in; killed when dropped.
pub struct Fakes {
    pub url: String,
    client: reqwest::Client,
    _child: Child,
}

impl Fakes {
    /// `None` where the hosts' SDKs are not installed and that is meant.
    pub async fn start() -> Option<Self> {
        let hosts = peers::folder("hosts", &[".venv"])?;
        let mut child = Command::new(hosts.join(".venv/bin/python"))
            .arg("-B")
            .arg(hosts.join("fakes.py"))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let url = first.expect("no address in time").unwrap().expect("it ended");
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Some(Self { url, client, _child: child })
    }

    /// Status and body of the answer to a request as a client of that API makes it.
    pub async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let request = self.client.post(format!("{}{path}", self.url)).body(body);
        let request = request.bearer_auth("k").header("anthropic-version", "2026-10-21");
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// The requests so far, none of which was refused.
    pub async fn seen(&self) -> Vec<Value> {
        let answer = self.client.get(format!("{}/seen", self.url)).send().await.unwrap();
        let seen: Vec<Value> = answer.json().await.unwrap();
        for one in &seen {
            assert_eq!(one["status"], 200, "{}: {}", one["request"], one["answer"]);
        }
        seen
    }

    /// What the example `file` prints, run by the Python of `folder` over toolscout at `toolscout`.
    pub async fn run(&self, folder: &str, file: &str, toolscout: &str, args: &[&str]) -> String {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
        let mut command = Command::new(folder.join(".venv/bin/python"));
        command
            .arg(example(file))
            .args(args)
            .env("TOOLSCOUT_URL", toolscout)
            .env("ANTHROPIC_BASE_URL", &self.url)
            .env("ANTHROPIC_API_KEY", "k")
            .env("OPENAI_BASE_URL", format!("{}/v1", self.url))
            .env("OPENAI_API_KEY", "k")
            .env("OPENAI_AGENTS_DISABLE_TRACING", "1");
        printed(command).await
    }
}

/// A file of `examples/`.
pub fn example(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(file)
}

/// What a command prints; it must succeed.
pub async fn printed(mut command: Command) -> String {
    command.env("NO_PROXY", "127.0.0.1").env("PYTHONDONTWRITEBYTECODE", "1").kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.expect("it does not end").unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}
