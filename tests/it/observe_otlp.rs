//! Traces and metrics, sent to a collector that reads them as it would.

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::json;
use tokio::net::TcpListener;

use crate::support::mock_http::{Answer, MockHttp, Speaks};
use crate::support::service::{Service, configure, serve};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Taken>>);

#[derive(Default)]
struct Taken {
    spans: Vec<Span>,
    metrics: Vec<Metric>,
    names: Vec<String>,
    keys: Vec<String>,
}

impl Collector {
    async fn start() -> (Self, String) {
        let collector = Self::default();
        let app = Router::new()
            .route("/v1/traces", post(traces))
            .route("/v1/metrics", post(metrics))
            .with_state(collector.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (collector, url)
    }

    /// A span of the trace that the requests belong to.
    fn span(&self, name: &str) -> Option<Span> {
        let taken = self.0.lock().unwrap();
        let ours = |span: &&Span| span.name == name && hex(&span.trace_id) == TRACE;
        taken.spans.iter().find(ours).cloned()
    }
}

async fn traces(State(collector): State<Collector>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let mut taken = collector.0.lock().unwrap();
    taken.keys.push(headers["x-collector-key"].to_str().unwrap().to_owned());
    for resource in request.resource_spans {
        let attributes = resource.resource.unwrap().attributes;
        taken.names.extend(attributes.iter().map(|pair| format!("{pair:?}")));
        taken.spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
    }
    StatusCode::OK
}

async fn metrics(State(collector): State<Collector>, body: Bytes) -> StatusCode {
    let request = ExportMetricsServiceRequest::decode(body).unwrap();
    let scopes = request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
    collector.0.lock().unwrap().metrics = scopes.flat_map(|scope| scope.metrics).collect();
    StatusCode::OK
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn start(folder: &Path, endpoint: &str, upstream: &MockHttp) -> Service {
    let config = format!(
        "[telemetry]\notlp_endpoint = '{endpoint}'\nservice_name = 'scout-of-tests'\n\
         otlp_headers = {{ X-Collector-Key = '${{KEY}}' }}\n\
         [call]\nenabled = true\nallow = 'all'\n[servers.post]\nurl = '{}'",
        upstream.url
    );
    configure(folder, &config);
    let mut command = serve(folder, &[]);
    command.env("KEY", "k3y-of-the-collector");
    let service = Service::of(command).await;
    service.until_state("post", "ready").await;
    service
}

async fn upstream() -> MockHttp {
    MockHttp::start(Speaks::Stateless, false, |request| {
        Answer::Result(match request.method.as_str() {
            "tools/list" => json!({"tools": [{
                "name": "send", "description": "Send a letter", "inputSchema": {"type": "object"},
            }]})
            .to_string(),
            _ => r#"{"content":[]}"#.to_owned(),
        })
    })
    .await
}

#[tokio::test]
async fn a_trace_goes_through_and_on() {
    let (collector, url) = Collector::start().await;
    let upstream = upstream().await;
    let folder = tempfile::tempdir().unwrap();
    let service = start(folder.path(), &url, &upstream).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let context = format!("00-{TRACE}-{PARENT}-01");
    let search = http.get(format!("{}/v1/search?q=secretletter", service.url));
    let search = search.header("traceparent", &context).header("tracestate", "a=b");
    assert_eq!(search.send().await.unwrap().status(), 200);
    let call = json!({"id": "post/send", "arguments": {"to": "adasecret"}});
    let request = http.post(format!("{}/v1/call", service.url)).header("traceparent", &context);
    assert_eq!(request.json(&call).send().await.unwrap().status(), 200);
    let params = json!({"name": "call_tool", "arguments": call});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let request = http.post(format!("{}/mcp", service.url)).header("traceparent", &context);
    let request = request.header("accept", "application/json, text/event-stream").json(&body);
    assert_eq!(request.send().await.unwrap().status(), 200);
    service.stop().await;

    assert_eq!(hex(&collector.span("request").unwrap().parent_span_id), PARENT);
    for stage in ["embed", "rank", "lexical", "dense", "fuse", "rerank", "tools/call"] {
        assert!(collector.span(stage).is_some(), "no span {stage}");
    }
    let rank = collector.span("rank").unwrap();
    assert_eq!(collector.span("fuse").unwrap().parent_span_id, rank.span_id);
    // The server that is called hears of the same trace, in both places.
    let calls: Vec<_> =
        upstream.seen().into_iter().filter(|seen| seen.method == "tools/call").collect();
    assert_eq!(calls.len(), 2);
    for call in calls {
        let said = call.params["_meta"]["traceparent"].as_str().unwrap_or_default().to_owned();
        assert!(said.starts_with(&format!("00-{TRACE}-")), "{said}");
        assert_eq!(call.headers["traceparent"], said.as_str());
    }
    let taken = collector.0.lock().unwrap();
    assert!(taken.names.iter().any(|name| name.contains("scout-of-tests")));
    assert!(taken.keys.iter().all(|key| key == "k3y-of-the-collector") && !taken.keys.is_empty());
    // Neither queries nor arguments travel with a trace.
    let told = format!("{:?}", taken.spans);
    assert!(!told.contains("secretletter") && !told.contains("adasecret"), "{told}");
    // What is left is sent at the end.
    let searches = taken.metrics.iter().find(|metric| metric.name == "toolscout_searches_total");
    let Some(Data::Sum(sum)) = &searches.unwrap().data else { panic!("{searches:?}") };
    assert!(sum.is_monotonic && !sum.data_points.is_empty());
    let stages =
        taken.metrics.iter().find(|metric| metric.name == "toolscout_search_stage_seconds");
    assert!(matches!(&stages.unwrap().data, Some(Data::Histogram(_))), "{stages:?}");
    assert!(taken.metrics.iter().any(|metric| metric.name == "toolscout_server_tools"));
}

#[tokio::test]
async fn without_a_collector_requests_go_on_and_losses_are_counted() {
    let upstream = upstream().await;
    let folder = tempfile::tempdir().unwrap();
    // Nobody listens there any more.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let service = start(folder.path(), &endpoint, &upstream).await;
    service.search("letter").await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    service
        .until("counted", async || {
            service.search("letter").await;
            let url = format!("{}/metrics", service.url);
            let text = http.get(url).send().await.unwrap().text().await.unwrap();
            text.lines().any(|line| {
                line.starts_with("toolscout_telemetry_dropped_total{signal=\"traces\"}")
                    && !line.ends_with(" 0")
            })
        })
        .await;
    let log = service.log();
    assert_eq!(log.matches("the collector at [telemetry]").count(), 1, "{log}");
    assert!(!log.contains("k3y-of-the-collector"), "{log}");
    service.stop().await;
}
