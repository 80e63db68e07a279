//! A real authorization server with an MCP server behind it (`tests/peers/oauth.mjs`), and the
//! browser of somebody who is logged in there.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use url::Url;

use super::crawling::PATIENCE;
use super::service::{Ran, configure, run};
use crate::config_check::toolscout;
use crate::upstreams::peers;

/// The two servers; they end when this is dropped.
pub struct Site {
    /// The authorization server.
    pub issuer: String,
    /// Where the MCP server is, without a path.
    pub mcp: String,
    client: reqwest::Client,
    _child: Child,
}

impl Site {
    /// `None` when the caller chose to go without the peers.
    pub async fn start() -> Option<Self> {
        let folder = peers()?;
        let mut child = Command::new("node")
            .arg("oauth.mjs")
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
        let said: Value = serde_json::from_str(&line.expect("it ended")).unwrap();
        // Nobody reads on, and it must not be stopped by that.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let text = |name: &str| said[name].as_str().unwrap().to_owned();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Some(Self { issuer: text("as"), mcp: text("mcp"), client, _child: child })
    }

    /// Changes what the servers do; what they were asked so far.
    pub async fn control(&self, change: Value) -> Value {
        let url = format!("{}/control", self.mcp);
        self.client.post(url).json(&change).send().await.unwrap().json().await.unwrap()
    }

    pub async fn count(&self, what: &str) -> u64 {
        self.control(Value::Object(serde_json::Map::new())).await[what].as_u64().unwrap()
    }

    /// A folder whose configuration names the MCP server `guarded`, with more keys.
    pub fn configured(&self, more: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        self.configure(folder.path(), "mcp", more);
        folder
    }

    pub fn configure(&self, folder: &Path, path: &str, more: &str) {
        let text = format!("[servers.guarded]\nurl = \"{}/{path}\"\n{more}\n", self.mcp);
        configure(folder, &text);
    }
}

/// Site, path and name.
type Cookie = (String, String, String);

/// A browser: it has cookies, and goes where it is sent.
pub struct Browser {
    client: reqwest::Client,
    cookies: Mutex<BTreeMap<Cookie, String>>,
}

/// Where a browser ended.
#[derive(Debug)]
pub struct Page {
    pub url: Url,
    pub status: u16,
    pub text: String,
}

impl Browser {
    pub fn new() -> Self {
        let client = reqwest::Client::builder().no_proxy().redirect(Policy::none());
        Self { client: client.build().unwrap(), cookies: Mutex::default() }
    }

    pub async fn open(&self, url: &str) -> Page {
        self.open_until(url, "no such place").await
    }

    /// Stops before a URL that begins so.
    pub async fn open_until(&self, url: &str, stop: &str) -> Page {
        let mut url = Url::parse(url).unwrap();
        for _ in 0..20 {
            if url.as_str().starts_with(stop) {
                return Page { url, status: 0, text: String::new() };
            }
            let site = url.authority().to_owned();
            let cookies = self.cookies.lock().unwrap().clone();
            let mine = |((of, path, _), _): &(&Cookie, &String)| {
                *of == site && url.path().starts_with(path.as_str())
            };
            let cookies = cookies.iter().filter(mine);
            let cookies: Vec<_> =
                cookies.map(|((_, _, name), value)| format!("{name}={value}")).collect();
            let request = self.client.get(url.clone()).header(COOKIE, cookies.join("; "));
            let response = request.send().await.unwrap();
            for cookie in response.headers().get_all(SET_COOKIE) {
                let mut parts = cookie.to_str().unwrap().split(';').map(str::trim);
                let (name, value) = parts.next().unwrap().split_once('=').unwrap();
                let path = parts.find_map(|part| part.strip_prefix("path=")).unwrap_or("/");
                let mut cookies = self.cookies.lock().unwrap();
                let cookie = (site.clone(), path.to_owned(), name.to_owned());
                match value {
                    "" => cookies.remove(&cookie),
                    value => cookies.insert(cookie, value.to_owned()),
                };
            }
            match response.headers().get(LOCATION) {
                Some(to) if response.status().is_redirection() => {
                    url = url.join(to.to_str().unwrap()).unwrap();
                }
                _ => {
                    let status = response.status().as_u16();
                    return Page { url, status, text: response.text().await.unwrap() };
                }
            }
        }
        panic!("sent around for ever, to {url} at last");
    }
}

/// `toolscout auth login` as it runs.
pub struct Waiting {
    /// Where to go with a browser.
    pub url: String,
    child: Child,
    stdin: ChildStdin,
    rest: tokio::task::JoinHandle<String>,
}

/// Starts `toolscout auth login guarded`; its last words if it ends before it shows a URL.
pub async fn begin(folder: &Path, args: &[&str]) -> Result<Waiting, String> {
    begin_as(toolscout(folder), args).await
}

/// The same by a command with an environment of its own.
pub async fn begin_as(
    mut command: std::process::Command,
    args: &[&str],
) -> Result<Waiting, String> {
    command.args(["auth", "login", "guarded", "--data", "data"]).args(args);
    let mut child = Command::from(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = String::new();
    loop {
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("says nothing");
        let Some(line) = line.unwrap() else { return Err(said) };
        if line.trim().starts_with("http") {
            let rest = tokio::spawn(async move {
                let mut rest = String::new();
                while let Ok(Some(line)) = lines.next_line().await {
                    rest.push_str(&line);
                    rest.push('\n');
                }
                rest
            });
            let stdin = child.stdin.take().unwrap();
            return Ok(Waiting { url: line.trim().to_owned(), child, stdin, rest });
        }
        said.push_str(&line);
        said.push('\n');
    }
}

impl Waiting {
    pub async fn paste(&mut self, text: &str) {
        self.stdin.write_all(format!("{text}\n").as_bytes()).await.unwrap();
    }

    pub async fn ended(self) -> Ran {
        let output = tokio::time::timeout(PATIENCE, self.child.wait_with_output()).await;
        let output = output.expect("does not end").unwrap();
        Ran {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: self.rest.await.unwrap(),
        }
    }
}

/// Logs in by the command line.
pub async fn log_in(folder: &Path) -> Ran {
    let waiting = begin(folder, &["--no-browser"]).await.unwrap_or_else(|said| panic!("{said}"));
    Browser::new().open(&waiting.url).await;
    waiting.ended().await
}

/// What `toolscout crawl` says of the server: its state, and its error or nothing.
pub async fn crawl(folder: &Path) -> (String, String) {
    let ran = run(folder, &["crawl", "--json", "--data", "data"]).await;
    let report: Value = serde_json::from_str(&ran.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", ran.stdout, ran.stderr));
    let text = |name: &str| report[0][name].as_str().unwrap_or_default().to_owned();
    (text("state"), text("error"))
}

/// Fails unless the server's tools could be read.
pub async fn assert_crawled(folder: &Path) {
    assert_eq!(crawl(folder).await, ("ready".to_owned(), String::new()));
}
