//! The real binary: as a service that a test starts, asks and ends, and as a command that runs
//! once.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use toolscout::embed::{RUNTIME, models_in};

use super::crawling::PATIENCE;
use crate::config_check::toolscout;

/// A running `toolscout serve`; killed when dropped.
pub struct Service {
    /// `http://` or `https://`, and the address it listens on.
    pub url: String,
    /// The words of its first line.
    pub words: Vec<String>,
    child: Child,
    log: Arc<Mutex<String>>,
    client: reqwest::Client,
}

impl Service {
    /// `toolscout serve` in `folder` with its data in `folder/data`.
    pub async fn start(folder: &Path, args: &[&str]) -> Self {
        Self::of(serve(folder, args)).await
    }

    /// A command that begins to serve.
    pub async fn of(command: std::process::Command) -> Self {
        let mut child = Command::from(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = Arc::<Mutex<String>>::default();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let told = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let mut told = told.lock().unwrap();
                told.push_str(&line);
                told.push('\n');
            }
        });
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let first = first.expect("no first line in time").unwrap();
        let first = first.unwrap_or_else(|| panic!("nothing served: {}", log.lock().unwrap()));
        let url = first
            .split_whitespace()
            .find(|word| word.starts_with("http://") || word.starts_with("https://"));
        Self {
            url: url.unwrap().to_owned(),
            words: first.split_whitespace().map(str::to_owned).collect(),
            child,
            log,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Status and body of an answer.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        let url = format!("{}{path}", self.url);
        let response = self.client.get(url).send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    /// The value of a metric without labels.
    pub async fn metric(&self, name: &str) -> f64 {
        let response = self.client.get(format!("{}/metrics", self.url)).send().await.unwrap();
        let text = response.text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    pub async fn status(&self) -> Value {
        self.get("/v1/status").await.1
    }

    /// The entry of a server in `/v1/servers`, or null.
    pub async fn server(&self, id: &str) -> Value {
        let (_, list) = self.get("/v1/servers").await;
        let servers = list["servers"].as_array().unwrap();
        let found = servers.iter().find(|server| server["id"] == id);
        found.cloned().unwrap_or_default()
    }

    /// The answer to a query.
    pub async fn search(&self, query: &str) -> Value {
        let query: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let (status, answer) = self.get(&format!("/v1/search?q={query}")).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// The ids of every tool it serves.
    pub async fn tools(&self) -> Vec<String> {
        ids(&self.get("/v1/tools?limit=1000").await.1)
    }

    /// Waits until this is so.
    pub async fn until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let waiting = async {
            while !condition().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(waited.is_ok(), "never so: {what}; log:\n{}", self.log());
    }

    pub async fn until_ready(&self) {
        self.until("ready", async || self.get("/readyz").await.0 == 200).await;
    }

    pub async fn until_state(&self, server: &str, state: &str) {
        self.until(&format!("{server} is {state}"), async || {
            self.server(server).await["state"] == state
        })
        .await;
    }

    pub async fn until_logged(&self, text: &str) {
        self.until(&format!("logged {text:?}"), async || self.log().contains(text)).await;
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Waits for its end; the exit code unless a signal ended it.
    pub async fn ended(&mut self) -> Option<i32> {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.expect("does not end").unwrap().code()
    }

    /// Ends it as a service manager does.
    pub async fn stop(mut self) {
        self.signal(Signal::TERM);
        assert_eq!(self.ended().await, Some(0), "{}", self.log());
    }
}

/// `toolscout serve` on a free port, not started yet.
pub fn serve(folder: &Path, args: &[&str]) -> std::process::Command {
    let mut command = toolscout(folder);
    command.args(["serve", "--listen", "127.0.0.1:0"]).args(args);
    if !args.contains(&"--data") {
        command.args(["--data", "data"]);
    }
    command
}

/// Where a service started by [`serve`] keeps its catalog.
pub fn snapshot(folder: &Path) -> PathBuf {
    folder.join("data/snapshots/catalog.snapshot")
}

/// Writes a `toolscout.toml`.
pub fn configure(folder: &Path, text: &str) {
    std::fs::write(folder.join("toolscout.toml"), text).unwrap();
}

/// Writes a catalog file `catalog.jsonl` of these tools, each with a description.
pub fn catalog(folder: &Path, tools: &[(&str, &str, &str)]) {
    let lines = tools.iter().map(|(server, name, description)| {
        format!(
            r#"{{"server":"{server}","name":"{name}","description":"{description}","inputSchema":{{"type":"object"}}}}"#
        ) + "\n"
    });
    std::fs::write(folder.join("catalog.jsonl"), lines.collect::<String>()).unwrap();
}

/// The ids of the tools in an answer, in its order.
pub fn ids(answer: &Value) -> Vec<String> {
    let tools = answer["tools"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let ids = tools.iter().map(|tool| tool["id"].as_str().unwrap());
    ids.map(str::to_owned).collect()
}

/// A copy of the tiny model `name` (tests/fixtures), with an `encoder.toml` if there is to be one.
pub fn tiny(name: &str, manifest: Option<&str>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    for file in ["model.onnx", "tokenizer.json", "tokenizer_config.json", "config.json"] {
        std::fs::copy(from.join(file), folder.path().join(file)).unwrap();
    }
    if let Some(manifest) = manifest {
        std::fs::write(folder.path().join("encoder.toml"), manifest).unwrap();
    }
    folder
}

/// A command that ran to its end.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.stderr);
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.stdout))
    }
}

/// Runs `toolscout` in `folder` to its end.
pub async fn run(folder: &Path, args: &[&str]) -> Ran {
    let output = Command::from(toolscout(folder)).args(args).output();
    let output = tokio::time::timeout(PATIENCE, output).await;
    let output = output.expect("does not end").unwrap();
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Flags that name `MiniLM` and the runtime of this checkout; `None` where they are left out on
/// purpose.
pub fn encoder() -> Option<[String; 4]> {
    let runtime = runtime()?;
    let shown = |path: &Path| path.display().to_string();
    Some(["--model".into(), shown(&models().join("minilm")), "--runtime".into(), shown(&runtime)])
}

/// The ONNX Runtime library of this checkout, fetched with the model.
pub fn runtime() -> Option<PathBuf> {
    let runtime = models().join(RUNTIME);
    if models().join("minilm/model.onnx").is_file() && runtime.is_file() {
        return Some(runtime);
    }
    assert_eq!(
        std::env::var("TOOLSCOUT_SKIP_MODEL").as_deref(),
        Ok("1"),
        "minilm is not in {}: run `cargo run -- model pull minilm`, or set TOOLSCOUT_SKIP_MODEL=1",
        models().display()
    );
    eprintln!("SKIPPED for want of the model (TOOLSCOUT_SKIP_MODEL=1)");
    None
}

fn models() -> PathBuf {
    models_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("index-data"))
}
