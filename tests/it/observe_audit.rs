//! The audit log of the real binary: every way leaves its event, whatever happens to the process or
//! to its disk, and `audit verify` says whether the log is whole.

use std::path::Path;
use std::process::Command;

use reqwest::Method;
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::support::mock_http::{Answer, MockHttp, Speaks};
use crate::support::service::{Ran, Service, catalog, configure, run, serve};

const AUDIT: &str = "[audit]\nenabled = true\nqueries = 'full'\narguments = 'full'\n";
const LOG: &str = "data/audit/audit.jsonl";

fn lines(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join(LOG)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn verify(folder: &Path) -> Ran {
    run(folder, &["audit", "verify", "--json", "--data", "data"]).await
}

struct Client<'a> {
    service: &'a Service,
    http: reqwest::Client,
}

impl Client<'_> {
    /// The status of a request with this id.
    async fn send(&self, id: &str, method: Method, path: &str, body: Option<Value>) -> u16 {
        let mut request = self.http.request(method, format!("{}{path}", self.service.url));
        request = request.header("x-request-id", id);
        request = request.header("accept", "application/json, text/event-stream");
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["x-request-id"], id);
        response.status().as_u16()
    }

    async fn mcp(&self, id: &str, tool: &str, arguments: Value) -> u16 {
        let params = json!({"name": tool, "arguments": arguments});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        self.send(id, Method::POST, "/mcp", Some(body)).await
    }
}

#[tokio::test]
async fn every_way_leaves_its_event() {
    let mock = MockHttp::start(Speaks::Stateless, false, |request| {
        Answer::Result(match request.method.as_str() {
            "tools/list" => json!({"tools": [{
                "name": "send", "description": "Send a letter", "inputSchema": {"type": "object"},
            }]})
            .to_string(),
            _ => r#"{"content":[{"type":"text","text":"the answer of the tool"}]}"#.to_owned(),
        })
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let entry = format!(
        "{AUDIT}[call]\nenabled = true\nallow = 'all'\n[servers.post]\nurl = '{}'",
        mock.url
    );
    configure(folder, &entry);
    let service = Service::start(folder, &[]).await;
    service.until_state("post", "ready").await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let client = Client { service: &service, http };
    let ask = async |id: &str, path: &str| client.send(id, Method::GET, path, None).await;
    let post =
        async |id: &str, path: &str, body| client.send(id, Method::POST, path, Some(body)).await;

    assert_eq!(ask("get-1", "/v1/search?q=a+letter").await, 200);
    assert_eq!(post("post-1", "/v1/search", json!({"query": "a parcel"})).await, 200);
    let batch = json!({"batch": [{"query": "one letter"}, {"query": "two letters"}]});
    assert_eq!(post("batch-1", "/v1/search", batch).await, 200);
    assert_eq!(post("select-1", "/v1/select", json!({"text": "send a letter"})).await, 200);
    assert_eq!(ask("list-1", "/v1/tools").await, 200);
    assert_eq!(ask("list-2", "/v1/servers").await, 200);
    assert_eq!(ask("list-3", "/v1/anthropic/tools").await, 200);
    assert_eq!(ask("tool-1", "/v1/tools/post/send").await, 200);
    assert_eq!(ask("tool-2", "/v1/tools/post/sand").await, 404);
    let call = json!({"id": "post/send", "arguments": {"to": "ada"}});
    assert_eq!(post("call-1", "/v1/call", call.clone()).await, 200);
    assert_eq!(post("call-2", "/v1/call", json!({"id": "post/sand"})).await, 404);
    assert_eq!(client.mcp("mcp-1", "search_tools", json!({"query": "the post"})).await, 200);
    assert_eq!(client.mcp("mcp-2", "get_tool", json!({"id": "post/send"})).await, 200);
    assert_eq!(client.mcp("mcp-3", "list_servers", json!({})).await, 200);
    assert_eq!(client.mcp("mcp-4", "call_tool", call).await, 200);
    assert_eq!(post("admin-1", "/v1/admin/reload", json!({})).await, 401);
    let token = std::fs::read_to_string(folder.join("data/admin.token")).unwrap();
    let reload = client.http.post(format!("{}/v1/admin/reload", service.url));
    let reload =
        reload.bearer_auth(token.trim()).header("x-request-id", "admin-2").json(&json!({}));
    assert_eq!(reload.send().await.unwrap().status(), 200);
    service.stop().await;

    let events = lines(folder);
    let of = |id: &str| -> Vec<&Value> {
        events.iter().filter(|event| event["request"] == id).collect()
    };
    for (id, action, way, outcome, queries, tools) in [
        ("get-1", "search", "http", "answered", json!(["a letter"]), json!(["post/send"])),
        ("post-1", "search", "http", "answered", json!(["a parcel"]), json!(["post/send"])),
        ("select-1", "select", "http", "answered", json!(["send a letter"]), json!(["post/send"])),
        ("list-1", "list", "http", "200", Value::Null, Value::Null),
        ("list-2", "list", "http", "200", Value::Null, Value::Null),
        ("list-3", "list", "http", "200", Value::Null, Value::Null),
        ("tool-1", "get", "http", "answered", Value::Null, json!(["post/send"])),
        ("tool-2", "get", "http", "unknown_tool", Value::Null, Value::Null),
        ("call-1", "call", "http", "answered", Value::Null, json!(["post/send"])),
        ("call-2", "call", "http", "unknown_tool", Value::Null, Value::Null),
        ("mcp-1", "search", "mcp", "answered", json!(["the post"]), json!(["post/send"])),
        ("mcp-2", "get", "mcp", "answered", Value::Null, json!(["post/send"])),
        ("mcp-3", "list", "mcp", "answered", Value::Null, Value::Null),
        ("mcp-4", "call", "mcp", "answered", Value::Null, json!(["post/send"])),
        ("admin-1", "refused", "http", "401", Value::Null, Value::Null),
        ("admin-2", "admin", "http", "200", Value::Null, Value::Null),
    ] {
        let [event] = of(id)[..] else { panic!("{id}: {:?}", of(id)) };
        let told = [&event["action"], &event["way"], &event["outcome"]];
        assert_eq!(told, [action, way, outcome], "{event}");
        assert_eq!((&event["queries"], &event["tools"]), (&queries, &tools), "{event}");
    }
    assert_eq!(of("batch-1").len(), 2);
    assert_eq!(of("call-1")[0]["arguments"], json!({"to": "ada"}));
    assert_eq!(of("mcp-4")[0]["arguments"], json!({"to": "ada"}));
    assert_eq!(of("call-2")[0]["target"], "post/sand");
    assert_eq!(of("admin-1")[0]["target"], "POST /v1/admin/reload");
    // Nothing of a result, and no token.
    let text = std::fs::read_to_string(folder.join(LOG)).unwrap();
    assert!(!text.contains("the answer of the tool") && !text.contains(token.trim()));
    let report = verify(folder).await.json();
    assert_eq!(report["lines"], events.len());
    let shown = run(folder, &["audit", "show", "--data", "data"]).await;
    assert!(shown.stdout.contains("/v1/admin/reload"), "{}", shown.stdout);
}

/// Who hangs up at once may have changed something all the same.
#[tokio::test]
async fn an_operator_who_waits_for_no_answer_leaves_an_event_too() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    configure(folder, AUDIT);
    let service = Service::start(folder, &[]).await;
    let token = std::fs::read_to_string(folder.join("data/admin.token")).unwrap();
    let address = service.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let head = format!(
        "POST /v1/admin/reload HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}",
        token.trim()
    );
    // Some are answered before it is seen that nobody waits.
    let cancelled = async || {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        drop(stream);
        let is_cancelled =
            |event: &Value| event["action"] == "admin" && event["outcome"] == "cancelled";
        lines(folder).iter().any(is_cancelled)
    };
    service.until("one is kept that nobody waited for", cancelled).await;
    service.stop().await;
}

#[tokio::test]
async fn nothing_is_written_unless_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    catalog(folder.path(), &[("mail", "send", "Send a letter")]);
    let service = Service::start(folder.path(), &["--catalog", "catalog.jsonl"]).await;
    service.until_ready().await;
    service.search("letter").await;
    service.stop().await;
    assert!(!folder.path().join("data/audit").exists());
    let told = verify(folder.path()).await;
    assert!(told.code == 1 && told.stderr.contains("[audit] enabled = true"), "{}", told.stderr);
}

#[tokio::test]
async fn what_was_changed_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    configure(folder, AUDIT);
    catalog(folder, &[("mail", "send", "Send a letter")]);
    let service = Service::start(folder, &["--catalog", "catalog.jsonl"]).await;
    service.until_ready().await;
    for query in ["one", "two", "three"] {
        service.search(&format!("letter {query}")).await;
    }
    service.stop().await;
    assert_eq!(verify(folder).await.code, 0);
    let text = std::fs::read_to_string(folder.join(LOG)).unwrap();
    std::fs::write(folder.join(LOG), text.replace("letter two", "letter 2wo")).unwrap();
    let told = verify(folder).await;
    assert_eq!(told.code, 1);
    assert!(told.stderr.contains("audit.jsonl:3: its hash does not fit"), "{}", told.stderr);
}

#[tokio::test]
async fn a_kill_leaves_a_chain_that_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    configure(folder, AUDIT);
    catalog(folder, &[("mail", "send", "Send a letter")]);
    let mut answered = 0;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for round in 0..10_u64 {
        let mut service = Service::start(folder, &["--catalog", "catalog.jsonl"]).await;
        service.until_ready().await;
        let asking = async {
            loop {
                let url = format!("{}/v1/search?q=letter", service.url);
                if http.get(url).send().await.is_err() {
                    return;
                }
                answered += 1;
            }
        };
        // At a moment of its own each time: between no answer and a few.
        let moment = std::time::Duration::from_millis(7 * (round + 1));
        let _ = tokio::time::timeout(moment, asking).await;
        service.signal(Signal::KILL);
        assert_eq!(service.ended().await, None);
    }
    let service = Service::start(folder, &["--catalog", "catalog.jsonl"]).await;
    service.until_ready().await;
    service.stop().await;
    let report = verify(folder).await.json();
    let events = lines(folder);
    assert_eq!(report["lines"], events.len());
    assert_eq!(events.iter().filter(|event| event["action"] == "opened").count(), 11);
    assert!(answered > 0);
}

#[tokio::test]
async fn a_full_disk_is_told_and_counted_and_over_when_it_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    configure(folder, AUDIT);
    catalog(folder, &[("mail", "send", "Send a letter")]);
    // A limit on files is how the disk is filled here; the signal for it would end the process.
    let plain = serve(folder, &["--catalog", "catalog.jsonl"]);
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(plain.get_program());
    command.args(plain.get_args()).current_dir(folder);
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let service = Service::of(command).await;
    service.until_ready().await;
    service.search("letter").await;
    let pid = Pid::from_raw(i32::try_from(service.pid()).unwrap()).unwrap();
    let limit = |current| {
        prlimit(Some(pid), Resource::Fsize, Rlimit { current, maximum: None }).unwrap();
    };
    service.until("the event is written", async || lines(folder).len() == 2).await;
    let full = std::fs::metadata(folder.join(LOG)).unwrap().len();
    // In the middle of the next line.
    limit(Some(full + 100));
    service
        .until("told", async || {
            service.search("letter").await;
            service.status().await["audit_failing"] == true
        })
        .await;
    assert!(service.metric("toolscout_audit_failing").await > 0.0);
    limit(None);
    service
        .until("over", async || {
            service.search("letter").await;
            service.status().await["audit_failing"] != true
        })
        .await;
    assert!(service.log().contains("the audit log is written again"), "{}", service.log());
    service.stop().await;
    let report = verify(folder).await.json();
    assert!(report["dropped"].as_u64().unwrap() > 0, "{report}");
    assert!(lines(folder).iter().any(|event| event["action"] == "dropped"));
}
