//! Ways to break a running service, and to see what is left of it.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use reqwest::Method;
use rustix::process::Signal;
use serde_json::Value;

use super::service::Service;

/// Rounds of a fault in the tests, and in the long ones.
pub const ROUNDS: usize = 10;
pub const LONG_ROUNDS: usize = 100;

/// Ends a service at once, as `kill -9` does.
pub async fn kill(mut service: Service) {
    service.signal(Signal::KILL);
    assert_eq!(service.ended().await, None, "it had ended before: {}", service.log());
}

/// Status and body of a request with the token of the data folder; `None` where nobody answers.
pub async fn ask(
    folder: &Path,
    service: &str,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Option<(u16, Value)> {
    let token = std::fs::read_to_string(folder.join("data/admin.token")).unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.request(method, format!("{service}{path}")).bearer_auth(token.trim());
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.ok()?;
    let status = response.status().as_u16();
    Some((status, serde_json::from_slice(&response.bytes().await.ok()?).unwrap_or_default()))
}

/// The temporary files in the data folder.
pub fn litter(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.join("data")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().unwrap().to_str().unwrap().starts_with('.') {
                found.push(path);
            }
        }
    }
    found
}

/// As if it had been left there the day before.
pub fn age(litter: &[PathBuf]) {
    let yesterday = SystemTime::now() - Duration::from_hours(24);
    for path in litter {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(yesterday).unwrap();
    }
}

/// How many files and sockets a service has open.
pub fn open_files(service: &Service) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", service.pid())).unwrap().count()
}
