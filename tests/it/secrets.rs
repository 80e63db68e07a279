//! What is secret stays here: in logs, in `/v1/servers`, and on the way to a running toolscout.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::routing::any;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::config_check::toolscout;
use crate::support::front;
use crate::support::service::{Service, configure, serve};

/// Looks like a token.
const TOKEN: &str = "Kq3vT9xZb2Lm8RwPc5Yd";

/// Exit code and stderr of `toolscout crawl --json` with these variables, and its report.
fn crawl(folder: &Path, variables: &[(&str, &str)]) -> (String, Value) {
    let mut command: Command = toolscout(folder);
    command.args(["crawl", "--json", "--data", "data"]).envs(variables.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stderr), serde_json::from_str(&text(output.stdout)).unwrap())
}

#[test]
fn a_server_that_is_down_leaves_no_url_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/mcp?api_key=s3cr3t");
    configure(folder.path(), &format!("[servers.down]\nurl = \"{url}\""));
    let (log, report) = crawl(folder.path(), &[]);
    assert_eq!(report[0]["state"], "failed");
    assert!(!log.contains("s3cr3t") && !log.contains("worker quit"), "{log}");
    // Nor has rmcp the URL, where somebody has it speak up.
    let loud = "rmcp::transport::worker=error";
    let (log, _) = crawl(folder.path(), &[("TOOLSCOUT_LOG", loud)]);
    assert!(log.contains("worker quit") && !log.contains("s3cr3t"), "{log}");
}

/// A server of 2025 without the stream that it would announce changes on.
async fn streamless(
    method: Method,
    body: String,
) -> (StatusCode, [(&'static str, &'static str); 2], String) {
    let headers = [("content-type", "application/json"), ("mcp-session-id", "s1")];
    let message: Value = serde_json::from_str(&body).unwrap_or_default();
    let result = match (method, message["method"].as_str()) {
        (Method::POST, Some("initialize")) => json!({
            "protocolVersion": "2025-06-18", "capabilities": {"tools": {"listChanged": true}},
            "serverInfo": {"name": "mock", "version": "1"},
        }),
        (Method::POST, Some("tools/list")) => json!({"tools": [{"name": "a", "inputSchema": {}}]}),
        (Method::POST, Some("notifications/initialized")) => {
            return (StatusCode::ACCEPTED, headers, String::new());
        }
        (Method::POST, _) => return (StatusCode::BAD_REQUEST, headers, String::new()),
        _ => return (StatusCode::NOT_FOUND, headers, String::new()),
    };
    let reply = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
    (StatusCode::OK, headers, reply.to_string())
}

#[tokio::test]
async fn a_refused_stream_leaves_no_url_in_the_log() {
    let (origin, _task, _) = front::serve(Router::new().route("/mcp", any(streamless)), None).await;
    for log in
        ["warn,toolscout=info", "rmcp::transport::streamable_http_client=error,toolscout=info"]
    {
        let folder = tempfile::tempdir().unwrap();
        configure(folder.path(), &format!("[servers.s]\nurl = \"{origin}/mcp?api_key=s3cr3t\""));
        let mut command = serve(folder.path(), &[]);
        command.env("TOOLSCOUT_LOG", log);
        let service = Service::of(command).await;
        service.until_state("s", "ready").await;
        if log.starts_with("rmcp") {
            service.until_logged("fail to get common stream").await;
        }
        // What is logged after all that was logged before.
        service.signal(Signal::TERM);
        service.until_logged("stopping").await;
        assert!(!service.log().contains("s3cr3t"), "{}", service.log());
    }
}

#[tokio::test]
async fn arguments_are_not_told_by_a_child_that_prints_them() {
    let folder = tempfile::tempdir().unwrap();
    let script = "read line; echo connecting with $0 $1 to $2 >&2; exit 3";
    configure(
        folder.path(),
        &format!(
            "[servers.child]\ncommand = \"sh\"\nargs = [\"-c\", \"{script}\", \"--token=${{TOK}}\", \
             \"--password=hunter22\", \"postgres://u:pa55word@db/x\"]\n"
        ),
    );
    let mut command = serve(folder.path(), &[]);
    command.env("TOK", "plain words");
    let service = Service::of(command).await;
    service.until_state("child", "failed").await;
    let error = service.server("child").await["error"].as_str().unwrap().to_owned();
    let said = "connecting with --token=*** --password=*** to postgres://u:***@db/x";
    assert!(error.contains(said), "{error}");
    service.until_logged(said).await;
    for secret in ["plain words", "hunter22", "pa55word"] {
        assert!(!service.log().contains(secret), "{}", service.log());
    }
    service.stop().await;
}

#[tokio::test]
async fn the_path_of_a_url_is_not_told_by_a_server_that_prints_it() {
    let lost = async |uri: Uri| (StatusCode::NOT_FOUND, format!("nothing at {uri}"));
    let (origin, _task, _) = front::serve(Router::new().fallback(lost), None).await;
    let folder = tempfile::tempdir().unwrap();
    configure(
        folder.path(),
        &format!(
            "[servers.filled]\nurl = \"{origin}/s/${{KEY}}/mcp\"\n\
             [servers.literal]\nurl = \"{origin}/s/{TOKEN}/mcp?name=a%2Fvalue\"\n"
        ),
    );
    let mut command = serve(folder.path(), &[]);
    command.env("KEY", "ein schlüssel");
    let service = Service::of(command).await;
    for (id, said) in
        [("filled", "nothing at /s/***/mcp"), ("literal", "nothing at /s/***/mcp?***")]
    {
        service.until_state(id, "failed").await;
        let error = service.server(id).await["error"].as_str().unwrap().to_owned();
        assert!(error.contains(said), "{error}");
    }
    service.signal(Signal::TERM);
    service.until_logged("stopping").await;
    for secret in [TOKEN, "schl", "value"] {
        assert!(!service.log().contains(secret), "{}", service.log());
    }
}

#[tokio::test]
async fn no_proxy_sees_what_a_running_toolscout_is_told() {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), "");
    let service = Service::start(folder.path(), &["--demo"]).await;
    service.until_ready().await;
    // It takes connections, and answers none.
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let place = ["--data", "data", "--url", &service.url];
    for args in [
        &["server", "list"][..],
        &["reload"],
        &["trust", "pending"],
        &["search", "--json", "create an invoice"],
    ] {
        let mut command = toolscout(folder.path());
        for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
            command.env(name, &address);
        }
        command.args(args).args(place);
        let ended = tokio::process::Command::from(command).kill_on_drop(true).output();
        proxy.set_nonblocking(true).unwrap();
        let output = tokio::time::timeout(crate::support::crawling::PATIENCE / 2, ended).await;
        assert!(proxy.accept().is_err(), "{args:?} went to the proxy");
        let output = output.expect("does not end").unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    service.stop().await;
}
