//! What passes between a caller and a server through toolscout, and what does not.

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{CallToolRequestParams, ClientCapabilities, ProtocolVersion};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::{ClientHandler, RoleClient};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use toolscout::config::{CallConfig, McpConfig};
use toolscout::crawl::Wanted;
use toolscout::serve::{self, Rooms};

use crate::support::crawling::{PATIENCE, http, server, until};
use crate::support::mock_http::{Answer, MockHttp, Request, Speaks};
use crate::support::mock_stdio::MockStdio;
use crate::support::proxy::{Listening, Proxy, all, call};

/// What no typed copy would keep: a number beyond all range, half a surrogate pair, a key twice,
/// numbers in forms of their own, members that nobody knows.
const ODD: &str = r#"{ "content":[{"type":"text","text":"\ud83d","n":1e400}],"isError":false,"zebra":1.50, "zebra":2,"structuredContent":{"a":123456789012345678901234567890,"b":1.0},"_meta":{"x/y":null}}"#;

const BOTH: [Speaks; 2] = [Speaks::Handshake(400, -32601), Speaks::Stateless];

fn modern() -> ClientLifecycleMode {
    ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] }
}

fn page(tools: &[(&str, Value)]) -> String {
    let tools = tools.iter().map(|(name, annotations)| {
        json!({"name": name, "annotations": annotations, "inputSchema": {"type": "object"}})
    });
    json!({ "tools": tools.collect::<Vec<_>>() }).to_string()
}

fn script(tools: &[(&str, Value)], calls: &Value) -> Value {
    json!({ "pages": [[null, page(tools)]], "calls": calls })
}

/// The answer to a call over MCP, as it comes.
async fn raw_call(proxy: &Proxy, version: &str, id: &str) -> String {
    let mut params = json!({"name": "call_tool", "arguments": {"id": id, "arguments": {}}});
    let mut request = proxy
        .app
        .request(reqwest::Method::POST, "/mcp")
        .header("accept", "application/json, text/event-stream")
        .header("content-type", "application/json")
        .header("mcp-protocol-version", version);
    if version == "2026-07-28" {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        request = request.header("mcp-method", "tools/call").header("mcp-name", "call_tool");
    }
    let body = json!({"jsonrpc": "2.0", "id": "x", "method": "tools/call", "params": params});
    let reply = proxy.app.send(request.body(body.to_string())).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.text
}

#[tokio::test]
async fn a_result_passes_byte_for_byte() {
    let lister = |request: &Request| match request.method.as_str() {
        "tools/list" => Answer::Result(page(&[("odd", json!({}))])),
        _ => Answer::Result(ODD.into()),
    };
    let stdio = MockStdio::new(&script(&[("odd", json!({}))], &json!({"odd": {"result": ODD}})));
    let mut servers = vec![server("stdio", stdio.transport())];
    let mut mocks = Vec::new();
    for (at, speaks) in BOTH.into_iter().enumerate() {
        for events in [false, true] {
            let mock = MockHttp::start(speaks, events, lister).await;
            servers.push(server(&format!("http-{at}-{events}"), http(&mock.url)));
            mocks.push(mock);
        }
    }
    let ids: Vec<_> = servers.iter().map(|server| format!("{}/odd", server.id)).collect();
    let proxy = Proxy::start(servers, all()).await;
    for id in &ids {
        let reply = proxy.call(id, &json!({})).await;
        let (server, _) = id.split_once('/').unwrap();
        let whole = format!(r#"{{"id":"{id}","server":"{server}","result":{ODD}}}"#);
        assert_eq!(reply.text, whole, "{id}");
        let old = raw_call(&proxy, "2025-11-25", id).await;
        assert_eq!(old, format!(r#"{{"jsonrpc":"2.0","id":"x","result":{ODD}}}"#), "{id}");
        let new = raw_call(&proxy, "2026-07-28", id).await;
        let said = ODD.replacen("{ ", r#"{"resultType":"complete", "#, 1);
        assert_eq!(new, format!(r#"{{"jsonrpc":"2.0","id":"x","result":{said}}}"#), "{id}");
    }
    proxy.stop().await;
    assert_eq!(stdio.running(), Vec::<String>::new(), "no child is left");
}

#[tokio::test]
async fn an_error_of_the_server_is_told_as_its_own() {
    let error = json!({"code": -32602, "message": "no such city", "data": {"at": 3}});
    let failed = r#"{"content":[{"type":"text","text":"it broke"}],"isError":true}"#;
    let calls = json!({"refuse": {"error": error}, "fail": {"result": failed}});
    let stdio = MockStdio::new(&script(&[("refuse", json!({})), ("fail", json!({}))], &calls));
    let proxy = Proxy::start(vec![server("srv", stdio.transport())], all()).await;
    let (code, why) = proxy.refusal("srv/refuse", &json!({})).await;
    assert_eq!(code, "upstream-error");
    assert_eq!(why, r#"srv answered with error -32602: no such city ({"at":3})"#);
    assert_eq!(proxy.result("srv/fail", &json!({})).await["isError"], true);
    let client = proxy.client(ClientLifecycleMode::Initialize).await;
    let result = call(&client, "call_tool", json!({"id": "srv/refuse"})).await;
    assert_eq!(result.is_error, Some(true));
    assert_eq!(result.content[0].as_text().unwrap().text, why);
    let result = call(&client, "call_tool", json!({"id": "srv/fail"})).await;
    assert_eq!(result.is_error, Some(true));
    assert_eq!(result.content[0].as_text().unwrap().text, "it broke");
}

#[tokio::test]
async fn only_what_does_no_harm_is_called_a_second_time() {
    let idempotent = json!({"idempotentHint": true});
    let tools = [("safe", idempotent.clone()), ("once", json!({})), ("always", idempotent)];
    let calls = json!({"safe": "die once", "once": "die", "always": "die"});
    let stdio = MockStdio::new(&script(&tools, &calls));
    let proxy = Proxy::start(vec![server("srv", stdio.transport())], all()).await;
    proxy.result("srv/safe", &json!({})).await;
    assert_eq!(stdio.count("call safe"), 2);
    let (code, why) = proxy.refusal("srv/once", &json!({})).await;
    assert_eq!(code, "upstream-unavailable");
    assert!(why.contains("may have been carried out or not"), "{why}");
    assert_eq!(stdio.count("call once"), 1);
    assert_eq!(proxy.refusal("srv/always", &json!({})).await.0, "upstream-unavailable");
    assert_eq!(stdio.count("call always"), 2, "once more, and no more");
}

#[tokio::test]
async fn a_child_that_was_killed_is_started_anew_for_the_next_call() {
    let stdio = MockStdio::new(&script(&[("get", json!({}))], &json!({"get": "params"})));
    let proxy = Proxy::start(vec![server("srv", stdio.transport())], all()).await;
    let params = proxy.result("srv/get", &json!({"a": 1})).await["structuredContent"].clone();
    assert_eq!(params["name"], "get");
    assert_eq!(params["arguments"], json!({"a": 1}));
    // The last one that was started is that of the calls.
    let pid = stdio.log().iter().rev().find_map(|line| line.strip_prefix("start ")?.parse().ok());
    let pid = rustix::process::Pid::from_raw(pid.unwrap()).unwrap();
    let started = stdio.count("start");
    proxy.result("srv/get", &json!({})).await;
    assert_eq!(stdio.count("start"), started, "one child serves all calls");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let gone = pid.as_raw_nonzero().to_string();
    until("it is gone", || !stdio.running().contains(&gone)).await;
    let again = async {
        // Until its end is noticed a call may still meet it, and then says that it is not known
        // whether it was carried out.
        while proxy.call("srv/get", &json!({})).await.status != 200 {}
    };
    tokio::time::timeout(crate::support::crawling::PATIENCE, again).await.unwrap();
    assert_eq!(stdio.count("start"), started + 1);
    proxy.stop().await;
    assert_eq!(stdio.running(), Vec::<String>::new());
}

#[tokio::test]
async fn a_connection_that_is_not_used_is_closed() {
    let stdio = MockStdio::new(&script(&[("get", json!({}))], &json!({"get": "params"})));
    let soon = CallConfig { idle: Duration::from_millis(100), ..all() };
    let proxy = Proxy::start(vec![server("srv", stdio.transport())], soon).await;
    let crawled = stdio.running().len();
    proxy.result("srv/get", &json!({})).await;
    until("the child of the calls is gone", || stdio.running().len() == crawled).await;
    proxy.result("srv/get", &json!({})).await;
}

#[tokio::test]
async fn an_entry_that_changes_or_goes_closes_its_connection() {
    let stdio = MockStdio::new(&script(&[("get", json!({}))], &json!({"get": "params"})));
    let entry = server("srv", stdio.transport());
    let proxy = Proxy::start(vec![entry.clone()], all()).await;
    proxy.result("srv/get", &json!({})).await;
    let before = stdio.running();
    let mut changed = entry.clone();
    changed.title = Some("Another".into());
    proxy.crawler.apply(vec![Wanted::crawled(changed)]);
    until("its children are gone", || {
        let now = stdio.running();
        before.iter().all(|pid| !now.contains(pid))
    })
    .await;
    proxy.result("srv/get", &json!({})).await;
    proxy.crawler.apply(Vec::new());
    until("no child is left", || stdio.running().is_empty()).await;
    let known = proxy.app.live.catalog().get("srv/get").is_some();
    let (code, _) = proxy.refusal("srv/get", &json!({})).await;
    assert!(code == "unknown-tool" || known && code == "upstream-unavailable", "{code}");
}

#[tokio::test]
async fn a_server_that_wants_a_login_is_told_with_what_helps() {
    let lister = |request: &Request| match request.method.as_str() {
        "tools/list" => Answer::Result(page(&[("get", json!({}))])),
        _ => Answer::Status(401, Some("Bearer")),
    };
    let mock = MockHttp::start(Speaks::Stateless, false, lister).await;
    let proxy = Proxy::start(vec![server("srv", http(&mock.url))], all()).await;
    let (code, why) = proxy.refusal("srv/get", &json!({})).await;
    assert_eq!(code, "auth-required");
    assert!(why.contains("toolscout auth login srv"), "{why}");
}

#[tokio::test]
async fn annotated_arguments_go_as_headers_too() {
    let tools = json!({"tools": [{"name": "get", "inputSchema": {"type": "object", "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"}, "n": {"type": "integer"}}}}]});
    let lister = move |request: &Request| match request.method.as_str() {
        "tools/list" => Answer::Result(tools.to_string()),
        _ => Answer::Result(r#"{"content":[]}"#.into()),
    };
    let mock = MockHttp::start(Speaks::Stateless, false, lister).await;
    let proxy = Proxy::start(vec![server("srv", http(&mock.url))], all()).await;
    let listings = mock.count("tools/list");
    proxy.result("srv/get", &json!({"region": "eu", "n": 1})).await;
    let seen = mock.seen();
    let sent = seen.iter().find(|request| request.method == "tools/call").unwrap();
    assert_eq!(sent.headers["mcp-param-region"], "eu");
    assert_eq!(sent.headers["mcp-name"], "get");
    assert_eq!(mock.count("tools/list"), listings, "the server is not asked for it again");
}

#[tokio::test]
async fn progress_comes_under_the_callers_own_token() {
    let steps = [
        json!({"progress": 1, "total": 2, "message": "half"}),
        json!({"progress": 2, "total": 2, "message": "done"}),
    ];
    let result = r#"{"content":[{"type":"text","text":"made"}]}"#;
    let make = json!({"make": {"progress": steps, "result": result}});
    let stdio = MockStdio::new(&script(&[("make", json!({}))], &make));
    let told = steps.clone();
    let lister = move |request: &Request| {
        if request.method == "tools/list" {
            return Answer::Result(page(&[("make", json!({}))]));
        }
        let messages = told.iter().map(|step| {
            let mut params = step.clone();
            params["progressToken"] = request.params["_meta"]["progressToken"].clone();
            json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
        });
        Answer::Told(messages.collect(), result.into())
    };
    let mut servers = vec![server("stdio", stdio.transport())];
    let old = MockHttp::start(BOTH[0], true, lister.clone()).await;
    let new = MockHttp::start(BOTH[1], true, lister).await;
    servers.extend([server("old", http(&old.url)), server("new", http(&new.url))]);
    let proxy = Proxy::start(servers, all()).await;
    for era in [ClientLifecycleMode::Initialize, modern()] {
        let (sender, mut heard) = mpsc::unbounded_channel();
        let transport = StreamableHttpClientTransport::from_uri(proxy.app.url("/mcp"));
        let client = Listening(sender).serve_with_lifecycle(transport, era).await.unwrap();
        for id in ["stdio/make", "old/make", "new/make"] {
            let arguments = json!({ "id": id }).as_object().cloned().unwrap();
            let request = CallToolRequestParams::new("call_tool").with_arguments(arguments);
            let result = client.call_tool(request).await.unwrap();
            assert_eq!(result.content[0].as_text().unwrap().text, "made");
            let mut heard_all = Vec::new();
            while heard_all.len() < 2 {
                let step = tokio::time::timeout(crate::support::crawling::PATIENCE, heard.recv());
                heard_all.push(step.await.expect("no progress").unwrap());
            }
            // The SDK hands each to a task of its own.
            heard_all.sort_by(|a, b| a.progress.total_cmp(&b.progress));
            let messages: Vec<_> = heard_all.iter().map(|step| step.message.as_deref()).collect();
            assert_eq!(messages, [Some("half"), Some("done")], "{id}");
            assert_eq!(heard_all[0].total, Some(2.0));
            assert_eq!(heard_all[0].progress_token, heard_all[1].progress_token);
        }
        client.cancel().await.unwrap();
    }
}

#[tokio::test]
async fn a_call_that_is_cancelled_is_cancelled_at_its_server() {
    let stdio = MockStdio::new(&script(&[("hang", json!({}))], &json!({"hang": "hang"})));
    let proxy = Proxy::start(vec![server("srv", stdio.transport())], all()).await;
    let client = Arc::new(proxy.client(ClientLifecycleMode::Initialize).await);
    let calling = tokio::spawn({
        let client = Arc::clone(&client);
        async move { call(&client, "call_tool", json!({"id": "srv/hang"})).await }
    });
    until("it is under way", || stdio.count("call hang") == 1).await;
    calling.abort();
    drop(client);
    // Whoever waits no longer lets go of the connection.
    until("it is cancelled", || stdio.count("cancelled") == 1).await;
}

#[tokio::test]
async fn a_server_may_ask_back_and_is_answered() {
    let asks = r#"{"resultType":"input_required","requestState":"s-1","inputRequests":{"who":{"method":"elicitation/create","params":{"mode":"form","message":"Who?","requestedSchema":{"type":"object","properties":{"name":{"type":"string"}}}}}},"odd":1.50}"#;
    let lister = move |request: &Request| match request.method.as_str() {
        "tools/list" => Answer::Result(page(&[("greet", json!({}))])),
        _ if request.params["requestState"] == "s-1" => {
            let name = &request.params["inputResponses"]["who"]["content"]["name"];
            let text =
                json!({"type": "text", "text": format!("Hello, {}", name.as_str().unwrap())});
            Answer::Result(json!({"resultType": "complete", "content": [text]}).to_string())
        }
        _ => Answer::Result(asks.into()),
    };
    let mock = MockHttp::start(Speaks::Stateless, false, lister).await;
    let proxy = Proxy::start(vec![server("srv", http(&mock.url))], all()).await;
    // As it comes, and with what the caller can be asked for told to the server.
    let asked = raw_call(&proxy, "2026-07-28", "srv/greet").await;
    assert_eq!(asked, format!(r#"{{"jsonrpc":"2.0","id":"x","result":{asks}}}"#));
    let transport = StreamableHttpClientTransport::from_uri(proxy.app.url("/mcp"));
    let client = Answering.serve_with_lifecycle(transport, modern()).await.unwrap();
    let arguments = json!({"id": "srv/greet"}).as_object().cloned().unwrap();
    let request = CallToolRequestParams::new("call_tool").with_arguments(arguments);
    let result = client.call_tool(request).await.unwrap();
    assert_eq!(result.content[0].as_text().unwrap().text, "Hello, Ann");
    let seen = mock.seen();
    let last = seen.iter().rfind(|request| request.method == "tools/call").unwrap();
    let capabilities = &last.params["_meta"]["io.modelcontextprotocol/clientCapabilities"];
    assert!(capabilities["elicitation"].is_object(), "{capabilities}");
    // Who has no way to be asked is told so.
    let (code, why) = proxy.refusal("srv/greet", &json!({})).await;
    assert_eq!(code, "asks-back");
    assert!(why.contains("2026-07-28"), "{why}");
}

/// One client over a pair of streams, by hand.
struct Hand {
    lines: tokio::io::Lines<tokio::io::BufReader<tokio::io::ReadHalf<tokio::io::DuplexStream>>>,
    output: tokio::io::WriteHalf<tokio::io::DuplexStream>,
}

impl Hand {
    async fn begin(proxy: &Proxy) -> Self {
        Self::with(proxy, McpConfig::default()).await
    }

    async fn with(proxy: &Proxy, mcp: McpConfig) -> Self {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (input, output) = tokio::io::split(ours);
        let live = proxy.app.live.clone();
        let rooms = Rooms { caller: proxy.caller(), mcp, ..Rooms::from(live) };
        let shutdown = CancellationToken::new();
        tokio::spawn(serve::run_stream(rooms, input, output, shutdown));
        let (input, output) = tokio::io::split(theirs);
        let lines = tokio::io::BufReader::new(input).lines();
        let mut hand = Self { lines, output };
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "hand", "version": "1"}});
        hand.say(json!({"id": 0, "method": "initialize", "params": params})).await;
        assert_eq!(hand.hear().await["id"], 0);
        hand.say(json!({"method": "notifications/initialized"})).await;
        hand
    }

    async fn say(&mut self, mut message: Value) {
        message["jsonrpc"] = "2.0".into();
        self.output.write_all(format!("{message}\n").as_bytes()).await.unwrap();
    }

    async fn call(&mut self, id: u32, tool: &str) {
        let params = json!({"name": "call_tool", "arguments": {"id": tool},
            "_meta": {"progressToken": format!("token-{id}")}});
        self.say(json!({"id": id, "method": "tools/call", "params": params})).await;
    }

    async fn hear(&mut self) -> Value {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        serde_json::from_str(&line.expect("nothing is said").unwrap().unwrap()).unwrap()
    }
}

#[tokio::test]
async fn over_pipes_a_result_is_the_same_value_and_can_be_cancelled() {
    let result =
        r#"{"content":[],"zebra":{"b":1.5,"a":[null]},"structuredContent":7,"_meta":{"x":1}}"#;
    let steps = [json!({"progress": 1}), json!({"progress": 2})];
    let calls = json!({"make": {"progress": steps, "result": result},
        "odd": {"result": ODD}, "hang": "hang"});
    let tools = ["make", "odd", "hang"].map(|name| (name, json!({})));
    let stdio = MockStdio::new(&script(&tools, &calls));
    let proxy = Proxy::start(vec![server("srv", stdio.transport())], all()).await;
    let mut hand = Hand::begin(&proxy).await;
    hand.call(1, "srv/make").await;
    for progress in [1.0, 2.0] {
        let told = hand.hear().await;
        assert_eq!(told["method"], "notifications/progress");
        assert_eq!(told["params"], json!({"progressToken": "token-1", "progress": progress}));
    }
    let expected: Value = serde_json::from_str(result).unwrap();
    assert_eq!(hand.hear().await, json!({"jsonrpc": "2.0", "id": 1, "result": expected}));
    // No value can hold this one: it comes as its text.
    hand.call(2, "srv/odd").await;
    assert_eq!(hand.hear().await["result"]["content"][0]["text"], ODD);
    hand.call(3, "srv/hang").await;
    until("it is under way", || stdio.count("call hang") == 1).await;
    let params = json!({"requestId": 3, "reason": "enough"});
    hand.say(json!({"method": "notifications/cancelled", "params": params})).await;
    until("it is cancelled", || stdio.count("cancelled") == 1).await;
}

#[tokio::test]
async fn who_reads_nothing_holds_up_no_call() {
    const STEPS: u32 = 4;
    let lister = |request: &Request| {
        let token = request.params["_meta"]["progressToken"].clone();
        let tell = |step| {
            let params =
                json!({"progressToken": token, "progress": step, "message": "m".repeat(64 << 10)});
            json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
        };
        let result = r#"{"content":[]}"#.to_owned();
        match (request.method.as_str(), request.params["name"].as_str()) {
            ("tools/list", _) => Answer::Result(page(&[("make", json!({})), ("other", json!({}))])),
            (_, Some("other")) => Answer::Result(result),
            _ => Answer::Told((0..STEPS).map(tell).collect(), result),
        }
    };
    let mock = MockHttp::start(BOTH[0], true, lister).await;
    let one = CallConfig { max_concurrent: 1, ..all() };
    let proxy = Proxy::start(vec![server("srv", http(&mock.url))], one).await;
    let mut hand = Hand::begin(&proxy).await;
    hand.call(1, "srv/make").await;
    until("it is under way", || mock.count("tools/call") == 1).await;
    let ended = async {
        while proxy.call("srv/other", &json!({})).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the call still counts");
    for _ in 0..STEPS {
        assert_eq!(hand.hear().await["method"], "notifications/progress");
    }
    assert_eq!(hand.hear().await["result"]["content"], json!([]));
}

#[tokio::test]
async fn over_pipes_a_listing_may_have_a_query_too() {
    let tools = [("open_door", json!({})), ("ring_bell", json!({}))];
    let stdio = MockStdio::new(&script(&tools, &json!({})));
    let proxy = Proxy::start(vec![server("srv", stdio.transport())], all()).await;
    let list_query = McpConfig { list_query: true, ..McpConfig::default() };
    let list = json!({"id": 1, "method": "tools/list", "params": {"query": "ring_bell"}});
    for (mcp, first) in [(list_query, "srv__ring_bell"), (McpConfig::default(), "search_tools")] {
        let mut hand = Hand::with(&proxy, mcp).await;
        hand.say(list.clone()).await;
        assert_eq!(hand.hear().await["result"]["tools"][0]["name"], first);
    }
}

/// A client that answers what it is asked.
struct Answering;

impl ClientHandler for Answering {
    fn get_info(&self) -> rmcp::model::ClientConfig {
        let capabilities = ClientCapabilities::builder().enable_elicitation().build();
        let name = rmcp::model::Implementation::new("answering", "1");
        rmcp::model::ClientConfig::new(capabilities, name)
    }

    async fn create_elicitation(
        &self,
        _: rmcp::model::ElicitRequestParams,
        _: rmcp::service::RequestContext<RoleClient>,
    ) -> Result<rmcp::model::ElicitResult, rmcp::ErrorData> {
        let answer = json!({"action": "accept", "content": {"name": "Ann"}});
        Ok(serde_json::from_value(answer).unwrap())
    }
}
