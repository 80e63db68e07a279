//! Benchmark data and real catalogs, which are not in this repository.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of benchmarks, whether it is there or not.
pub fn benchmarks() -> PathBuf {
    std::env::var_os("TOOLSCOUT_BENCHMARKS").filter(|path| !path.is_empty()).map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/benchmarks"),
        PathBuf::from,
    )
}

/// What lies at `path` beside the benchmarks; says so if nothing does.
pub fn shared(path: &str) -> Option<PathBuf> {
    let path = benchmarks().join("..").join(path);
    if !path.is_file() {
        eprintln!("SKIPPED: {} is needed (TOOLSCOUT_BENCHMARKS)", path.display());
        return None;
    }
    Some(path)
}

/// A command that runs the reference scorer; says so if there is none.
pub fn scorer() -> Option<Command> {
    let path = shared("tools/score_run.py")?;
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("SKIPPED: python3 is needed");
        return None;
    }
    let mut command = Command::new("python3");
    command.arg(path);
    Some(command)
}
