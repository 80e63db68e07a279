//! An MCP server on stdio that does what a test tells it: `mock_stdio.py` and its script.

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;
use toolscout::config::Transport;

/// A script, to be run by as many children as a test starts.
pub struct MockStdio {
    folder: TempDir,
}

impl MockStdio {
    pub fn new(script: &Value) -> Self {
        let mock = Self { folder: tempfile::tempdir().unwrap() };
        mock.rewrite(script);
        mock
    }

    /// A script that lists these pages.
    pub fn pages(pages: &[(Option<&str>, &str)]) -> Self {
        Self::new(&json!({ "pages": pages }))
    }

    /// Changes what running children list, and what later ones do.
    pub fn rewrite(&self, script: &Value) {
        let fresh = self.path("fresh");
        std::fs::write(&fresh, script.to_string()).unwrap();
        std::fs::rename(fresh, self.path("script")).unwrap();
    }

    /// Has a running child announce that its tools changed.
    pub fn announce(&self) {
        std::fs::write(self.path("script.change"), "").unwrap();
    }

    /// Has a running child die.
    pub fn kill(&self) {
        std::fs::write(self.path("script.die"), "").unwrap();
    }

    /// Has calls answered that wait.
    pub fn go(&self) {
        std::fs::write(self.path("script.go"), "").unwrap();
    }

    /// The methods that were called, and `start PID` for each process.
    pub fn log(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.path("script.log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    pub fn count(&self, line: &str) -> usize {
        self.log().iter().filter(|logged| logged.starts_with(line)).count()
    }

    /// The processes that were started and still run.
    pub fn running(&self) -> Vec<String> {
        let log = self.log();
        let pids = log.iter().filter_map(|line| line.strip_prefix("start "));
        pids.filter(|pid| {
            // A killed grandchild may be a zombie for as long as init takes.
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
        })
        .map(str::to_owned)
        .collect()
    }

    pub fn transport(&self) -> Transport {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/mock_stdio.py");
        Transport::Stdio {
            command: "python3".into(),
            args: vec![program.into(), self.path("script").display().to_string()],
            env: Vec::new(),
            cwd: None,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
