//! What `scripts/fetch-test-peers.sh` installs: SDKs, suites and servers of others, a folder of
//! `tests/` each.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::process::Command;

/// The folder `name` of `tests/`, with these installed in it; `None` where the caller has said to
/// go without.
pub fn folder(name: &str, installed: &[&str]) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name);
    let Some(absent) = installed.iter().find(|what| !folder.join(what).join(".stamp").exists())
    else {
        return Some(folder);
    };
    assert!(
        std::env::var("TOOLSCOUT_SKIP_PEERS").is_ok_and(|value| value == "1"),
        "tests/{name}/{absent} is absent: run scripts/fetch-test-peers.sh, or set TOOLSCOUT_SKIP_PEERS=1"
    );
    eprintln!("skipped: tests/{name}/{absent} is absent and TOOLSCOUT_SKIP_PEERS=1");
    None
}

/// The Node.js that is installed in a folder because the machine's may be too old for what is in
/// it; else the machine's.
pub fn node(folder: &Path) -> PathBuf {
    let own = ["x64", "arm64"].map(|cpu| format!("node_modules/node-linux-{cpu}/bin/node"));
    let own = own.iter().map(|path| folder.join(path)).find(|path| path.exists());
    own.unwrap_or_else(|| "node".into())
}

/// What a command printed, as JSON; it must succeed.
pub async fn output(command: &mut Command) -> Value {
    let output = command.kill_on_drop(true).env("NO_PROXY", "127.0.0.1").output().await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}{}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {errors}"))
}
