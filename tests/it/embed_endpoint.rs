//! An embeddings endpoint as encoder, over a real socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use toolscout::config::EndpointConfig;
use toolscout::embed::{EmbedError, Embedder, Endpoint, Role};

use crate::support::mock_embeddings::{MockEmbeddings, Reply, Request};
use crate::support::service::{Service, catalog, configure, ids, run, serve};

const KEY: &str = "sk-very-secret";

fn config(mock: &MockEmbeddings) -> EndpointConfig {
    EndpointConfig {
        url: mock.url.parse().unwrap(),
        model: "acme/embed-small".into(),
        api_key: Some(KEY.into()),
        dimensions: 3,
        batch: 2,
        timeout: Duration::from_secs(20),
        retries: 2,
        query_prefix: "query: ".into(),
        passage_prefix: "passage: ".into(),
    }
}

type Embedded = Result<Vec<Vec<f32>>, EmbedError>;

/// Asks as the threads of an encoder do, off the runtime.
async fn embed(
    config: &EndpointConfig,
    role: Role,
    texts: &'static [&'static str],
    within: Option<Duration>,
) -> Embedded {
    let endpoint = Endpoint::new(config).unwrap();
    let embed = move || endpoint.embed(role, texts, within.map(|time| Instant::now() + time));
    tokio::task::spawn_blocking(embed).await.unwrap()
}

/// What one text comes to at an endpoint that answers so, and the requests it took.
async fn one(
    replier: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
) -> (Embedded, Vec<Request>) {
    let mock = MockEmbeddings::start(replier).await;
    let embedded = embed(&config(&mock), Role::Tool, &["a meeting"], None).await;
    (embedded, mock.seen())
}

#[tokio::test]
async fn texts_go_in_batches_and_come_back_in_order() {
    let mock = MockEmbeddings::start(|_, _| Reply::Vectors).await;
    let config = config(&mock);
    let vectors = embed(&config, Role::Tool, &["a meeting", "a path", "else"], None).await;
    assert_eq!(vectors.unwrap(), [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
    embed(&config, Role::Query, &["x"], Some(Duration::from_secs(20))).await.unwrap();
    let seen = mock.seen();
    let texts: Vec<_> = seen.iter().map(|request| request.texts.as_slice()).collect();
    let sent = [&["passage: a meeting", "passage: a path"][..], &["passage: else"], &["query: x"]];
    assert_eq!(texts, sent);
    for request in &seen {
        assert_eq!(request.key.as_deref(), Some("Bearer sk-very-secret"));
        assert_eq!(request.model, "acme/embed-small");
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    for status in [408, 429, 500, 503] {
        let (embedded, seen) = one(move |_, before| match before {
            0 => Reply::Status(status, Some(("retry-after", "0".into()))),
            1 => Reply::Status(status, None),
            _ => Reply::Vectors,
        })
        .await;
        assert_eq!(embedded.unwrap(), [[1.0, 0.0, 0.0]]);
        assert_eq!(seen.len(), 3);
    }
    let (embedded, seen) = one(|_, _| Reply::Status(500, None)).await;
    assert_eq!(embedded.unwrap_err().to_string(), "the embeddings endpoint answered 500");
    assert_eq!(seen.len(), 3, "one request and two retries");
}

#[tokio::test]
async fn what_will_not_pass_is_not_tried_again_and_says_what_to_check() {
    let wrong = |index: usize, length: usize| {
        Reply::Body(json!({"data": [{"index": index, "embedding": vec![1.0; length]}]}))
    };
    let elsewhere = Reply::Status(307, Some(("location", "http://127.0.0.1:9/".into())));
    let cases = [
        (Reply::Status(401, None), "answered 401: check embed.endpoint.api_key_env"),
        (Reply::Status(404, None), "answered 404: check embed.endpoint.url"),
        (Reply::Status(400, None), "answered 400"),
        (elsewhere, "answered 307"),
        (wrong(0, 4), "vectors of 4 numbers, and 3 are configured"),
        (wrong(7, 3), "gave 1 vectors for 1 texts"),
        (Reply::Body(json!({"data": []})), "gave 0 vectors for 1 texts"),
        (Reply::Body(json!(["?"])), "something else than vectors"),
    ];
    for (reply, told) in cases {
        let (embedded, seen) = one(move |_, _| reply.clone()).await;
        let error = embedded.unwrap_err();
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(!text.contains(KEY), "{text}");
        }
        assert!(error.to_string().contains(told), "{error}");
        assert_eq!(seen.len(), 1, "{told}");
    }
}

#[tokio::test]
async fn a_silent_endpoint_is_given_up() {
    let mock = MockEmbeddings::start(|_, _| Reply::Hang).await;
    let impatient =
        EndpointConfig { timeout: Duration::from_millis(50), retries: 1, ..config(&mock) };
    let error = embed(&impatient, Role::Tool, &["x"], None).await.unwrap_err();
    assert!(error.to_string().contains("gave no answer in 50 ms"), "{error}");
    assert_eq!(mock.seen().len(), 2);
    // A query has no time for another try, however long a request may take.
    let within = Some(Duration::from_millis(50));
    let error = embed(&config(&mock), Role::Query, &["x"], within).await.unwrap_err();
    assert!(matches!(error, EmbedError::Endpoint(_)), "{error}");
    assert_eq!(mock.seen().len(), 3);
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_an_error_without_its_address() {
    let mock = MockEmbeddings::start(|_, _| Reply::Vectors).await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/v1").parse().unwrap();
    let absent = EndpointConfig { url, retries: 0, ..config(&mock) };
    let error = embed(&absent, Role::Tool, &["x"], None).await.unwrap_err();
    assert_eq!(error.to_string(), "the embeddings endpoint can't be reached");
}

#[tokio::test]
async fn the_id_follows_all_that_decides_the_vectors() {
    let mock = MockEmbeddings::start(|_, _| Reply::Hang).await;
    let base = config(&mock);
    let configs = [
        EndpointConfig { model: "acme/embed-large".into(), ..base.clone() },
        EndpointConfig { query_prefix: String::new(), ..base.clone() },
        EndpointConfig { passage_prefix: String::new(), ..base.clone() },
        EndpointConfig { url: "http://127.0.0.1:9/v1".parse().unwrap(), ..base.clone() },
        // The same by another name.
        EndpointConfig { api_key: None, batch: 9, ..base.clone() },
    ];
    let id = |config: &EndpointConfig| Endpoint::new(config).unwrap().id().to_owned();
    let ids: Vec<_> = configs.iter().map(id).collect();
    assert!(id(&base).starts_with("acme-embed-small-"), "{}", id(&base));
    assert_eq!(ids.iter().filter(|other| **other == id(&base)).count(), 1, "{ids:?}");
    assert_eq!(ids[4], id(&base));
}

const WANTED: &str = "calendar/create_event";
const PARAPHRASE: &str = "arrange an appointment";

/// A folder whose configuration names the endpoint, and a catalog.
fn folder(mock: &MockEmbeddings, deadline: &str, more: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    catalog(
        folder.path(),
        &[
            ("calendar", "create_event", "Schedule a meeting with colleagues"),
            ("files", "read_file", "Read the bytes of one path"),
            ("forge", "merge_branch", "Merge one git branch into another"),
        ],
    );
    let text = format!(
        "[embed]\ndeadline = '{deadline}'\n[embed.endpoint]\nurl = '{}'\nmodel = 'acme'\n\
         api_key_env = 'EMBED_KEY'\nquery_prefix = 'query: '\n{more}\n\
         [servers.all]\ncatalog = 'catalog.jsonl'\n",
        mock.url
    );
    configure(folder.path(), &text);
    folder
}

async fn start(folder: &std::path::Path) -> Service {
    let mut command = serve(folder, &[]);
    command.env("EMBED_KEY", KEY);
    let service = Service::of(command).await;
    service.until_ready().await;
    service
}

async fn until_embedded(service: &Service) {
    let embedded = async || {
        let status = service.status().await;
        status["mode"] == "hybrid" && status["embedded"] == status["total"]
    };
    service.until("all is embedded", embedded).await;
}

#[tokio::test]
async fn the_service_embeds_there_once_and_tells_the_key_to_nobody_else() {
    let mock = MockEmbeddings::start(|_, _| Reply::Vectors).await;
    let folder = folder(&mock, "20s", "dimensions = 3\nbatch = 2");
    let service = start(folder.path()).await;
    until_embedded(&service).await;
    let answer = service.search(PARAPHRASE).await;
    assert_eq!((&answer["mode"], ids(&answer)[0].as_str()), (&"hybrid".into(), WANTED));
    let status = service.status().await;
    assert!(status["encoder"].as_str().unwrap().starts_with("acme-"), "{status}");
    let tools = |seen: Vec<Request>| {
        seen.iter().filter(|request| !request.texts[0].starts_with("query: ")).count()
    };
    assert_eq!(tools(mock.seen()), 2, "three tools in batches of two");
    assert!(!service.log().contains(KEY) && !status.to_string().contains(KEY));
    service.stop().await;

    let service = start(folder.path()).await;
    until_embedded(&service).await;
    assert_eq!(tools(mock.seen()), 2, "vectors are kept over a restart");
    service.stop().await;

    let mut check = crate::config_check::toolscout(folder.path());
    let shown = check.args(["config", "check"]).env("EMBED_KEY", KEY).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("api_key = \"****\"") && !shown.contains(KEY), "{shown}");
    let unset = run(folder.path(), &["config", "check"]).await;
    assert_eq!(unset.code, 2);
    assert!(unset.stderr.contains("embed.endpoint.api_key_env: the variable EMBED_KEY is not set"));
}

#[tokio::test]
async fn eval_takes_the_encoder_of_a_configuration() {
    let mock = MockEmbeddings::start(|_, _| Reply::Vectors).await;
    let folder = folder(&mock, "1ms", "dimensions = 3");
    let query = format!(r#"{{"id": "q", "query": "{PARAPHRASE}", "relevant": ["{WANTED}"]}}"#);
    std::fs::write(folder.path().join("queries.jsonl"), query).unwrap();
    let mut eval = crate::config_check::toolscout(folder.path());
    eval.args(["eval", "--catalog", "catalog.jsonl", "--queries", "queries.jsonl", "--json"]);
    eval.args(["--config", "toolscout.toml", "--data", "data"]).env("EMBED_KEY", KEY);
    let output = tokio::task::spawn_blocking(move || eval.output().unwrap()).await.unwrap();
    let report = String::from_utf8(output.stdout).unwrap();
    let complaints = String::from_utf8(output.stderr).unwrap();
    let report: Value = serde_json::from_str(&report).expect(&complaints);
    assert!(report["encoder"].as_str().unwrap().starts_with("acme-"), "{report}");
    // The words alone don't find it, and no deadline of a query holds here.
    assert_eq!(report["as_served"]["recall"], 1.0, "{report}");
}

#[tokio::test]
async fn an_endpoint_too_slow_for_a_query_leaves_the_words() {
    let slow = |request: &Request, _: usize| {
        if request.texts[0].starts_with("query: ") { Reply::Hang } else { Reply::Vectors }
    };
    let mock = MockEmbeddings::start(slow).await;
    let folder = folder(&mock, "50ms", "dimensions = 3");
    let service = start(folder.path()).await;
    until_embedded(&service).await;
    let answer = service.search("git branch").await;
    assert_eq!(ids(&answer)[0], "forge/merge_branch");
    assert_eq!(answer["mode"], "lexical");
    let reason = answer["reason"].as_str().unwrap();
    assert!(reason.contains("the query could not be embedded"), "{reason}");
    service.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_comes_back_is_used_without_a_restart() {
    let up = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&up);
    let mock = MockEmbeddings::start(move |_, _| {
        if seen.load(Ordering::Relaxed) { Reply::Vectors } else { Reply::Status(503, None) }
    })
    .await;
    let folder = folder(&mock, "20s", "dimensions = 3\nretries = 0");
    let service = start(folder.path()).await;
    let told = async || {
        let status = service.status().await;
        let reason = status["reason"].as_str().unwrap_or_default();
        status["mode"] == "lexical" && reason.contains("answered 503")
    };
    service.until("the status says what is wrong", told).await;
    let answer = service.search("git branch").await;
    assert!(answer["reason"].as_str().unwrap().contains("answered 503"), "{answer}");
    up.store(true, Ordering::Relaxed);
    until_embedded(&service).await;
    assert_eq!(service.status().await.get("reason"), None);
    service.stop().await;
}

#[tokio::test]
async fn vectors_of_another_length_are_refused_and_said() {
    let mock = MockEmbeddings::start(|_, _| Reply::Vectors).await;
    let folder = folder(&mock, "20s", "dimensions = 1536");
    let service = start(folder.path()).await;
    let told = async || {
        let status = service.status().await;
        let reason = status["reason"].as_str().unwrap_or_default();
        reason.contains("vectors of 3 numbers, and 1536 are configured")
    };
    service.until("the status says what is wrong", told).await;
    assert_eq!(service.status().await["embedded"], 0);
    service.stop().await;
}
