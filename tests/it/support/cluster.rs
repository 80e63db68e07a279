//! A real database, and replicas that share it.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::process::Command;
use tokio_postgres::NoTls;
use url::Url;

use super::mock_http::{Answer, MockHttp, Speaks};
use super::service::{Service, configure, serve};

/// PostgreSQL in a folder of its own; gone when dropped.
pub struct Postgres {
    pub url: String,
    folder: TempDir,
}

impl Postgres {
    /// A new one; `None` where none is installed and the caller has said to go without.
    pub async fn start(arguments: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let own = std::process::id().to_string();
        let mut all = vec!["up", "--for", &own];
        all.extend(arguments);
        let (code, said) = run(&folder, &all).await;
        if code == Some(3) && std::env::var("TOOLSCOUT_SKIP_PEERS").is_ok_and(|value| value == "1")
        {
            eprintln!("skipped: no PostgreSQL 15 or newer, and TOOLSCOUT_SKIP_PEERS=1");
            return None;
        }
        assert_eq!(code, Some(0), "{said}");
        Some(Self { url: said, folder })
    }

    /// What the script prints at this command.
    pub async fn script(&self, arguments: &[&str]) -> String {
        let (code, said) = run(&self.folder, arguments).await;
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
        said
    }

    /// The certificate of one that was started with `--tls`.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("data/server.crt")
    }

    /// A connection for the test itself.
    pub async fn client(&self) -> tokio_postgres::Client {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// The first value that a statement gives, as text.
    pub async fn one(&self, sql: &str) -> String {
        let rows = self.client().await.simple_query(sql).await.unwrap();
        let value = rows.iter().find_map(|row| match row {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        value.unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let mut down = std::process::Command::new(script());
        down.args(["shared", "down", "--data"]).arg(self.folder.path().join("data"));
        let _ = down.stdout(std::process::Stdio::null()).status();
    }
}

fn script() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts/postgres.sh")
}

async fn run(folder: &TempDir, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(script());
    command.arg("shared").args(arguments).arg("--data").arg(folder.path().join("data"));
    let output = command.output().await.unwrap();
    let said = if output.status.success() {
        String::from_utf8(output.stdout).unwrap()
    } else {
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    (output.status.code(), said.trim().to_owned())
}

/// Servers at paths of one mock, whose tools a test sets.
pub struct Upstreams {
    pub mock: MockHttp,
    names: Vec<String>,
    tools: Arc<Mutex<Vec<String>>>,
}

impl Upstreams {
    /// So many, each with these tools.
    pub async fn start(count: usize, tools: &[&str]) -> Self {
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let tools: Arc<Mutex<Vec<String>>> = Arc::new(Mutex::new(named(tools)));
        let served = Arc::clone(&tools);
        let mock = MockHttp::start(Speaks::Stateless, false, move |_| {
            let tools = served.lock().unwrap();
            let listed: Vec<_> = tools.iter().map(|name| definition(name)).collect();
            Answer::Result(format!(r#"{{"tools":[{}]}}"#, listed.join(",")))
        })
        .await;
        Self { mock, names: (0..count).map(|at| format!("s{at}")).collect(), tools }
    }

    /// What each of them lists from now on, as all who listen are told.
    pub fn set(&self, tools: &[&str]) {
        *self.tools.lock().unwrap() = tools.iter().map(|name| (*name).to_owned()).collect();
        self.mock.announce();
    }

    /// The ids of all their tools, in order.
    pub fn ids(&self) -> Vec<String> {
        let tools = self.tools.lock().unwrap();
        let of_one = |server: &String| -> Vec<String> {
            tools.iter().map(|tool| format!("{server}/{tool}")).collect()
        };
        let mut ids: Vec<_> = self.names.iter().flat_map(of_one).collect();
        ids.sort();
        ids
    }

    /// How often each has been listed.
    pub fn listings(&self) -> usize {
        self.mock.count("tools/list")
    }

    fn entries(&self) -> String {
        let mut text = String::new();
        for name in &self.names {
            let mut url: Url = self.mock.url.clone();
            url.set_path(&format!("/{name}/mcp"));
            writeln!(text, "[servers.{name}]\nurl = \"{url}\"").unwrap();
        }
        text
    }
}

/// A definition with spaces that nobody but its author would keep.
pub fn definition(name: &str) -> String {
    format!(
        r#"{{"name": "{name}",  "description":"does {name}", "inputSchema":{{"type":"object"}} }}"#
    )
}

/// A replica: its folder, and the service.
pub struct Replica {
    pub folder: TempDir,
    pub service: Service,
}

/// Keys of `[cluster]` by which tests need not wait.
pub const QUICK: &str = "lease = \"2s\"\npoll = \"100ms\"\ntimeout = \"3s\"";

impl Replica {
    /// Starts one; `cluster` are keys of `[cluster]`.
    pub async fn start(name: &str, cluster: &str, upstreams: &Upstreams) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("[cluster]\nreplica = \"{name}\"\n{cluster}\n{}", upstreams.entries());
        configure(folder.path(), &text);
        let service = Service::of(serve(folder.path(), &[])).await;
        Self { folder, service }
    }

    /// Ends it, and starts it again in its folder.
    pub async fn again(self) -> Self {
        self.service.stop().await;
        let service = Service::of(serve(self.folder.path(), &[])).await;
        Self { folder: self.folder, service }
    }

    /// Waits until it has exactly these tools.
    pub async fn until_tools(&self, ids: &[String]) {
        let has = async || self.service.tools().await == ids;
        self.service.until(&format!("has {} tools", ids.len()), has).await;
    }

    /// Waits until it holds so many leases.
    pub async fn until_leases(&self, count: usize) {
        let has = format!("{count}");
        let holds =
            async || self.service.metric("toolscout_cluster_leases").await.to_string() == has;
        self.service.until(&format!("holds {count} leases"), holds).await;
    }

    /// Waits until nothing is wrong with it.
    pub async fn until_well(&self) {
        let well = async || self.troubles().await.is_empty();
        self.service.until("all is well", well).await;
    }

    /// The parts of it that do not do as they should.
    pub async fn troubles(&self) -> Vec<String> {
        let (_, answer) = self.service.get("/readyz").await;
        let parts = answer["degraded"].as_array().cloned().unwrap_or_default();
        parts.iter().map(|part| part["part"].as_str().unwrap_or_default().to_owned()).collect()
    }
}
